//! Whiteouts: from the image's form (OCI image spec, "Whiteouts": files named `.wh.x`) to overlay's.
//!
//! They are collected and written at the end of the layer, so that they never touch entries of their own layer, in whatever
//! order the archive has them. A directory that is both whited out and present hides what lies below it: it is opaque.
//! AUFS's own files (`.wh..wh.…`) mean nothing to overlay and are left out.

use super::metadata::Warnings;
use super::name;
use super::report::WhiteoutForm;
use crate::base::{Doing, Error, Kind, Result};
use crate::sys::xattr;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag};
use nix::sys::stat::{Mode, SFlag, lstat, mknodat};
use std::collections::BTreeSet;

/// Marks a directory that hides the lower one, and (with another value) one that holds xattr whiteouts.
pub(super) const OPAQUE: &[u8] = b"user.overlay.opaque";
/// Marks an xattr whiteout.
pub(super) const WHITEOUT: &[u8] = b"user.overlay.whiteout";

/// Where AUFS kept the inodes of hard links; entries link to names in it.
pub(super) const AUFS_LINKS: &[u8] = b".wh..wh.plnk";

/// What a cleaned name asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// An entry of its own.
    Entry,
    /// The lower layer's file of this name is gone.
    Whiteout(Vec<u8>),
    /// What the lower layers have in this directory is gone.
    Opaque(Vec<u8>),
    /// Nothing to an overlay.
    Nothing,
}

/// Reads a cleaned name.
///
/// # Errors
/// `Corrupt` for whiteouts of nothing, of `.` and of `..`, and for names below a whiteout.
pub(super) fn meaning(name: &[u8]) -> Result<Meaning> {
    if name.split(|b| *b == b'/').next() == Some(AUFS_LINKS) {
        return Ok(Meaning::Entry);
    }
    let (parent, last) = name::split(name);
    for part in parent.split(|b| *b == b'/') {
        if part.starts_with(b".wh..wh.") {
            return Ok(Meaning::Nothing);
        }
        if part.starts_with(b".wh.") {
            return Err(Error::corrupt(format!("name `{}` is below a whiteout", name::show(name))));
        }
    }
    if last == b".wh..wh..opq" {
        return Ok(Meaning::Opaque(parent.to_vec()));
    }
    match last.strip_prefix(b".wh.") {
        None => Ok(Meaning::Entry),
        Some(b"" | b"." | b"..") => Err(Error::corrupt(format!("whiteout `{}` names no file", name::show(name)))),
        Some(rest) if rest.starts_with(b".wh.") => Ok(Meaning::Nothing),
        Some(hidden) => {
            Ok(Meaning::Whiteout(if parent.is_empty() { hidden.to_vec() } else { [parent, b"/", hidden].concat() }))
        }
    }
}

/// The whiteouts of one layer.
#[derive(Debug, Default)]
pub(super) struct Whiteouts {
    pub(super) hidden: BTreeSet<Vec<u8>>,
    pub(super) opaque: BTreeSet<Vec<u8>>,
}

impl Whiteouts {
    /// Writes all of them below the current root; the parents exist.
    pub(super) fn write(mut self, warnings: &mut Warnings) -> Result<WhiteoutForm> {
        let mut form = WhiteoutForm::None;
        for name in std::mem::take(&mut self.hidden) {
            match lstat(&name[..]) {
                Ok(stat) if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR => {
                    self.opaque.insert(name);
                }
                // The layer's own file hides the lower one, and so does a file where the parent should be.
                Ok(_) | Err(Errno::ENOTDIR) => {}
                Err(Errno::ENOENT) => {
                    // In an opaque directory there is nothing left to hide.
                    if !self.opaque.contains(name::split(&name).0) {
                        write_one(&name, &mut form)?;
                    }
                }
                Err(e) => return Err(e).doing(|| format!("examine `{}`", name::show(&name))),
            }
        }
        for name in &self.opaque {
            match mark(name, b"y") {
                Ok(()) => {}
                // The archive replaced the directory by a file or never had it: then there is nothing to be opaque.
                Err(Errno::ENOENT | Errno::ENOTDIR) => warnings.add("opaque directories are none", None),
                Err(e) => return Err(refused(name, e)),
            }
        }
        Ok(form)
    }
}

fn write_one(name: &[u8], form: &mut WhiteoutForm) -> Result<()> {
    if *form != WhiteoutForm::Xattr {
        match mknodat(AT_FDCWD, name, SFlag::S_IFCHR, Mode::empty(), 0) {
            Ok(()) => {
                *form = WhiteoutForm::Device;
                return Ok(());
            }
            // overlay as the backing store (ovl_mknod) and kernels before 5.8 refuse the device.
            Err(Errno::EPERM | Errno::EINVAL | Errno::ENOTSUP) if *form == WhiteoutForm::None => {}
            Err(e) => return Err(refused(name, e)),
        }
    }
    *form = WhiteoutForm::Xattr;
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    nix::fcntl::openat(AT_FDCWD, name, flags, Mode::empty()).map_err(|e| refused(name, e))?;
    xattr::set_at(name, WHITEOUT, b"y").map_err(|e| refused(name, e))?;
    // An opaque directory keeps its `y`: it was sorted out before.
    mark(name::split(name).0, b"x").map_err(|e| refused(name, e))
}

/// Marks a directory, which an archive may have named through symlinks.
fn mark(dir: &[u8], value: &[u8]) -> nix::Result<()> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    xattr::set(nix::fcntl::openat(AT_FDCWD, name::path(dir), flags, Mode::empty())?, OPAQUE, value)
}

fn refused(name: &[u8], e: Errno) -> Error {
    let error = Error::from(e).step(format!("write whiteout `{}`", name::show(name)));
    match e {
        Errno::EPERM | Errno::ENOTSUP => error.with_kind(Kind::Unsupported).hint(
            "the file system of the data folder has neither whiteouts nor user attributes; choose another by `--root`",
        ),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_meaning() {
        let hidden = |n: &[u8]| Meaning::Whiteout(n.to_vec());
        let opaque = |n: &[u8]| Meaning::Opaque(n.to_vec());
        for (name, expected) in [
            (&b"a/b"[..], Meaning::Entry),
            (b"", Meaning::Entry),
            (b"a/.wh.b", hidden(b"a/b")),
            (b".wh.b", hidden(b"b")),
            (b".wh.b.wh.c", hidden(b"b.wh.c")),
            (b".wh....", hidden(b"...")),
            (b".wh..wh..opq", opaque(b"")),
            (b"a/.wh..wh..opq", opaque(b"a")),
            (b".wh..wh.aufs", Meaning::Nothing),
            (b".wh..wh.orph/x/y", Meaning::Nothing),
            (b".wh..wh.plnk/12.34", Meaning::Entry),
        ] {
            assert_eq!(meaning(name).unwrap(), expected, "{}", String::from_utf8_lossy(name));
        }
        for bad in [&b".wh."[..], b"a/.wh.", b".wh..", b".wh...", b".wh.a/b"] {
            assert!(meaning(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
