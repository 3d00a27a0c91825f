//! What unpacking a layer found out: the answer of the worker to the process that feeds it, and what the store keeps beside
//! the layer. Names in it are relative to the layer's root and escaped (`store::layers::escape`).

use crate::image::Digest;
use crate::store::layers::PendingLink;
use serde::{Deserialize, Serialize};

/// The result of unpacking one layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The digest of the uncompressed archive, whatever follows its end included.
    pub diff_id: Digest,
    /// Bytes of the files the layer holds, each inode once: what docker shows as a layer's size.
    pub size: u64,
    /// Bytes of the uncompressed archive.
    pub archive_size: u64,
    /// Entries of the archive.
    pub entries: u64,
    /// Directories that the archive did not name but that had to be made, parents first.
    pub implied_dirs: Vec<String>,
    /// Hard links whose target this layer does not hold: it lies in a lower one.
    pub pending_links: Vec<PendingLink>,
    /// What the files should have been where the file system could not be told: see [`TrueStat`].
    pub true_stats: Vec<TrueStat>,
    /// How the layer's whiteouts are written.
    pub whiteouts: WhiteoutForm,
    /// Things that were left out, one sentence each with a count; the user should see them once.
    pub warnings: Vec<String>,
}

/// The owner, mode and type that the archive gave an entry and that could not be applied: owners in a namespace with a
/// single id, and device nodes in any user namespace (an empty file stands in their place).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrueStat {
    /// The entry's name; each hard link of a file has its own record.
    pub path: String,
    /// `f`ile, `d`irectory, sym`l`ink, `c`haracter or `b`lock device, `p`ipe.
    pub kind: char,
    /// Permission bits with set-id and sticky, `07777` at most.
    pub mode: u32,
    /// The owner inside the container.
    pub uid: u32,
    /// The group inside the container.
    pub gid: u32,
    /// Major device number; 0 for all but devices.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub major: u32,
    /// Minor device number; 0 for all but devices.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub minor: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// How a layer says "the lower layer's file of this name is gone" on disk (kernel Documentation/filesystems/overlayfs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhiteoutForm {
    /// The layer has none.
    None,
    /// Character devices 0:0, which a user namespace may make since Linux 5.8.
    Device,
    /// Empty files with `user.overlay.whiteout` in directories with `user.overlay.opaque=x`, understood since Linux 6.7: for
    /// file systems that refuse the device, such as another overlay.
    Xattr,
}
