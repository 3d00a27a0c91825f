//! What the data folder's file system can do, found by trying and kept in `format.json`: a home on NFS, an overlay inside a
//! CI pod or an old kernel each lack something else, and none of them says so beforehand.

use super::Store;
use crate::base::{Doing, Result, fsx};
use crate::sys::{reflink, xattr};
use crate::userns::{self, IdMap};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, mknod};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::chown;
use std::path::Path;

/// The abilities of one file system under one kernel, for containers with one or with many ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSystem {
    /// The file system's magic number (statfs(2)).
    pub magic: i64,
    /// The kernel's release; another kernel is probed again.
    pub kernel: String,
    /// True when probed with a map of a single id.
    pub single_id: bool,
    /// Files can belong to the map's other ids.
    pub foreign_owners: bool,
    /// `user.*` attributes.
    pub user_xattrs: bool,
    /// Overlay whiteouts: character devices 0:0, made without privilege since Linux 5.8.
    pub whiteouts: bool,
    /// It can be a lower directory of an overlay.
    pub overlay_lower: bool,
    /// It can be the upper directory of an overlay with `userxattr`.
    pub overlay_upper: bool,
    /// Copies can share blocks.
    pub reflink: bool,
}

/// What the child in the user namespace finds out.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Inside {
    foreign_owners: bool,
    whiteouts: bool,
    overlay_lower: bool,
    overlay_upper: bool,
}

impl FileSystem {
    pub(super) fn is_for_same_use(&self, other: &Self) -> bool {
        (self.magic, &self.kernel, self.single_id) == (other.magic, &other.kernel, other.single_id)
    }
}

impl Store {
    /// What this store's file system can do for containers with `map`: known from an earlier command, or tried now in a
    /// child process (some milliseconds). Call it before threads exist.
    ///
    /// Errors: those of making a user namespace.
    pub fn file_system(&self, map: &IdMap) -> Result<FileSystem> {
        let root = self.paths().root();
        let mut found = FileSystem {
            magic: nix::sys::statfs::statfs(root).doing(|| format!("look at `{}`", root.display()))?.filesystem_type().0
                as i64,
            kernel: kernel_release(),
            single_id: map.is_single(),
            foreign_owners: false,
            user_xattrs: false,
            whiteouts: false,
            overlay_lower: false,
            overlay_upper: false,
            reflink: false,
        };
        if let Some(known) = self.0.format.file_systems.iter().find(|f| f.is_for_same_use(&found)) {
            return Ok(known.clone());
        }
        let dir = self.paths().tmp().join(fsx::unique_name("probe"));
        fsx::create_dir(&dir, 0o700)?;
        let probed = probe(&dir, map, &mut found);
        userns::remove_tree(map, &dir)?;
        probed?;
        self.remember_file_system(&found)?;
        Ok(found)
    }
}

fn kernel_release() -> String {
    nix::sys::utsname::uname().map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default()
}

fn probe(dir: &Path, map: &IdMap, found: &mut FileSystem) -> Result<()> {
    let file = dir.join("file");
    std::fs::write(&file, b"x").doing(|| format!("write `{}`", file.display()))?;
    found.user_xattrs = xattr::set_at(file.as_os_str().as_bytes(), b"user.overlay.opaque", b"y").is_ok();
    found.reflink = clones(&file, &dir.join("clone"));
    let inside = userns::run(map, || Ok(probe_inside(dir, map)))?;
    found.foreign_owners = inside.foreign_owners;
    found.whiteouts = inside.whiteouts;
    found.overlay_lower = inside.overlay_lower;
    found.overlay_upper = inside.overlay_upper;
    Ok(())
}

fn clones(from: &Path, to: &Path) -> bool {
    let (Ok(from), Ok(to)) = (File::open(from), File::create_new(to)) else { return false };
    reflink::clone_file(from.as_fd(), to.as_fd()).is_ok()
}

/// Runs as root of a user namespace with the containers' map, in a process of its own.
fn probe_inside(dir: &Path, map: &IdMap) -> Inside {
    let mut found = Inside::default();
    let owned = dir.join("owned");
    let highest = map.uids.iter().map(|r| r.inside.saturating_add(r.count - 1)).max().unwrap_or(0);
    found.foreign_owners =
        !map.is_single() && File::create_new(&owned).is_ok() && chown(&owned, Some(highest), None).is_ok();
    found.whiteouts = mknod(&dir.join("whiteout"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o600), 0).is_ok();
    found.overlay_upper = try_overlay(&dir.join("both"), None).is_ok();
    found.overlay_lower = found.overlay_upper || try_overlay(&dir.join("lower"), Some("tmpfs")).is_ok();
    found
}

/// Mounts an overlay whose lower is on the probed file system and whose upper is there too, or on a fresh tmpfs; then
/// removes a lower file and writes one, as a container would.
fn try_overlay(dir: &Path, upper_on: Option<&str>) -> Result<()> {
    // Each try has its own mount namespace: nothing needs unmounting, nothing leaks.
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    for folder in ["", "lower", "top", "merged"] {
        fsx::create_dir(&dir.join(folder), 0o755)?;
    }
    std::fs::write(dir.join("lower/file"), b"x")?;
    let top = dir.join("top");
    if let Some(kind) = upper_on {
        mount(Some(kind), &top, Some(kind), MsFlags::empty(), None::<&str>)?;
    }
    fsx::create_dir(&top.join("upper"), 0o755)?;
    fsx::create_dir(&top.join("work"), 0o755)?;
    // Relative names: the data folder's path may hold commas and colons, which overlay's option string cannot.
    std::env::set_current_dir(dir)?;
    mount(
        Some("overlay"),
        dir.join("merged").as_os_str().as_bytes(),
        Some("overlay"),
        MsFlags::empty(),
        Some("lowerdir=lower,upperdir=top/upper,workdir=top/work,userxattr"),
    )?;
    std::fs::remove_file(dir.join("merged/file"))?;
    std::fs::write(dir.join("merged/new"), b"y")?;
    // The removal must have left something in the upper that hides the lower file.
    std::fs::symlink_metadata(dir.join("top/upper/file")).map(drop)?;
    Ok(())
}
