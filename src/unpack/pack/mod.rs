//! From a directory to a tar stream: the way back from what [`super`] unpacks.
//!
//! ```text
//! walk     the tree by descriptors, sorted: one entry after the other     header   an entry as tar says it
//! source   one file looked at: type, attributes, what stands for a whiteout    truth    owners that the disk could not be told
//! ```
//! Two trees that are equal make the same bytes. Everything that is read may belong to a container and change meanwhile: nothing
//! is followed, nothing but regular files is opened, and a file's length in the archive is the one that was announced.

mod header;
mod source;
#[cfg(test)]
mod tests;
mod truth;
mod walk;

pub use truth::Truth;
pub use walk::{Packed, Packer};

use std::collections::HashSet;

/// How a tree is packed.
#[derive(Debug, Default)]
pub struct PackOptions {
    /// The tree is an overlay's upper folder: its whiteouts and opaque directories become those of images (OCI image spec,
    /// "Whiteouts"). Otherwise they are files like others.
    pub whiteouts: bool,
    /// Times are kept to the nanosecond, which costs a kilobyte for each entry. Layers have seconds, as docker's have.
    pub nanoseconds: bool,
    /// Owners and devices that the file system could not be told.
    pub truth: Truth,
    /// Names (relative, without slashes at their ends) that are left out as long as they are empty or symlinks: what stands
    /// there was put there from outside.
    pub placeholders: HashSet<Vec<u8>>,
}
