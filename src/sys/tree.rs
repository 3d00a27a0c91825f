//! Removing trees of any depth with few descriptors and a flat stack.
//!
//! A hostile archive can nest directories deeper than this process may hold descriptors open (and, by symlinks, than a path
//! may be long). So below a certain depth a directory is first renamed to the top, where it is removed in its turn.

use crate::base::{Doing, Error, Result};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How deep directories are entered before they are brought up.
const MAX_OPEN: usize = 32;

/// Removes what `name` below `parent` is, with everything in it; symlinks are not followed.
///
/// # Errors
/// `ENOENT` if it does not exist; whatever the file system refuses.
pub fn remove(parent: impl AsFd, name: &[u8]) -> Result<()> {
    let parent = parent.as_fd();
    let doing = || format!("remove `{}`", String::from_utf8_lossy(name));
    let name = CString::new(name).map_err(|_| Error::from(Errno::EINVAL)).doing(doing)?;
    match unlinkat(parent, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) => return Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(e) => return Err(e).doing(doing),
    }
    let top = open_directory(parent, &name).doing(doing)?;
    let removal = Removal { top: top.as_fd() };
    // What was brought up while a round went on is removed in the next one.
    while removal.contents(&top, 0)? > 0 {}
    unlinkat(parent, name.as_c_str(), UnlinkatFlags::RemoveDir).doing(doing)
}

fn open_directory(parent: BorrowedFd<'_>, name: &CString) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let open = || openat(parent, name.as_c_str(), flags, Mode::empty());
    match open() {
        Err(Errno::EACCES) => {
            // Mode 0 stops its owner, unless the owner has CAP_DAC_OVERRIDE.
            fchmodat(parent, name.as_c_str(), Mode::S_IRWXU, FchmodatFlags::NoFollowSymlink)?;
            open()
        }
        other => other,
    }
}

struct Removal<'a> {
    /// The tree's own root: if the removal is killed, what was brought up is still inside.
    top: BorrowedFd<'a>,
}

impl Removal<'_> {
    /// Removes what was in a directory; how many entries that were.
    fn contents(&self, dir: &OwnedFd, depth: usize) -> Result<usize> {
        // A snapshot: entries must not be removed under a running readdir of some file systems.
        let names: Vec<CString> = {
            let copy = dir.try_clone()?;
            let mut stream = Dir::from_fd(copy)?;
            stream.iter().map(|entry| entry.map(|e| e.file_name().to_owned())).collect::<Result<_, _>>()?
        };
        let mut count = 0;
        for name in names.iter().filter(|n| !matches!(n.to_bytes(), b"." | b"..")) {
            count += 1;
            self.child(dir, name, depth).doing(|| format!("remove `{}`", name.to_string_lossy()))?;
        }
        Ok(count)
    }

    fn child(&self, dir: &OwnedFd, name: &CString, depth: usize) -> Result<()> {
        let mut unlinked = unlinkat(dir, name.as_c_str(), UnlinkatFlags::NoRemoveDir);
        if unlinked == Err(Errno::EACCES) {
            // As in `open_directory`, for its entries.
            fchmod(dir, Mode::S_IRWXU)?;
            unlinked = unlinkat(dir, name.as_c_str(), UnlinkatFlags::NoRemoveDir);
        }
        match unlinked {
            // POSIX has EPERM for directories, Linux EISDIR; an immutable file is reported by what follows.
            Err(Errno::EISDIR | Errno::EPERM) => {}
            Err(Errno::ENOENT) => return Ok(()),
            other => return Ok(other?),
        }
        if depth < MAX_OPEN {
            self.contents(&open_directory(dir.as_fd(), name)?, depth + 1)?;
            return Ok(unlinkat(dir, name.as_c_str(), UnlinkatFlags::RemoveDir)?);
        }
        let unique = CString::new(crate::base::fsx::unique_name(".removed")).map_err(|_| Error::from(Errno::EINVAL))?;
        Ok(renameat(dir, name.as_c_str(), self.top, unique.as_c_str())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::mkdirat;

    #[test]
    fn trees_deeper_than_paths_and_descriptors_go() {
        let dir = tempfile::tempdir().unwrap();
        let open = |path: &std::path::Path| std::fs::File::open(path).unwrap();
        let root = open(dir.path());
        let mut at: std::os::fd::OwnedFd = root.try_clone().unwrap().into();
        for i in 0..3000 {
            mkdirat(&at, "a", Mode::S_IRWXU).unwrap();
            let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            if i % 100 == 0 {
                openat(&at, "file", OFlag::O_CREAT | OFlag::O_CLOEXEC, Mode::S_IRWXU).unwrap();
            }
            at = openat(&at, "a", flags, Mode::empty()).unwrap();
        }
        std::fs::write(dir.path().join("outside"), b"x").unwrap();
        nix::unistd::symlinkat(dir.path().join("outside").as_path(), &root, "a/link").unwrap();
        remove(&root, b"a").unwrap();
        remove(&root, b"file").unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(remove(&root, b"a").unwrap_err().is_missing());
    }
}
