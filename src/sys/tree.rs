//! Removing trees of any depth with few descriptors and a flat stack.
//!
//! A hostile archive can nest directories deeper than this process may hold descriptors open (and, by symlinks, than a path
//! may be long). So below a certain depth a directory is first renamed to the top, where it is removed in its turn.

use crate::base::{Doing, Error, Result};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};

/// How deep directories are entered before they are brought up.
const MAX_OPEN: usize = 32;

/// Removes what `name` below `parent` is, with everything in it; symlinks are not followed.
///
/// # Errors
/// `ENOENT` if it does not exist; whatever the file system refuses.
pub fn remove(parent: impl AsFd, name: &[u8]) -> Result<()> {
    let parent = parent.as_fd();
    match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) => return Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(e) => return Err(e).doing(|| format!("remove `{}`", String::from_utf8_lossy(name))),
    }
    let mut removal = Removal { top: parent, brought_up: Vec::new(), counter: 0 };
    let name = CString::new(name).map_err(|_| Error::from(Errno::EINVAL))?;
    removal.directory(parent, &name, 0)?;
    while let Some(name) = removal.brought_up.pop() {
        removal.directory(parent, &name, 0)?;
    }
    Ok(())
}

struct Removal<'a> {
    top: BorrowedFd<'a>,
    /// Directories renamed into `top`.
    brought_up: Vec<CString>,
    counter: u64,
}

impl Removal<'_> {
    fn directory(&mut self, parent: BorrowedFd<'_>, name: &CString, depth: usize) -> Result<()> {
        let doing = || format!("remove directory `{}`", name.to_string_lossy());
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let fd = match openat(parent, name.as_c_str(), flags, Mode::empty()) {
            Err(Errno::EACCES) => {
                // Mode 0 stops its owner, unless the owner has CAP_DAC_OVERRIDE.
                let mode = Mode::S_IRWXU;
                nix::sys::stat::fchmodat(parent, name.as_c_str(), mode, nix::sys::stat::FchmodatFlags::NoFollowSymlink)
                    .doing(doing)?;
                openat(parent, name.as_c_str(), flags, Mode::empty())
            }
            other => other,
        };
        let mut dir = Dir::from_fd(fd.doing(doing)?).doing(doing)?;
        // A snapshot: entries must not be removed under a running readdir of some file systems.
        let names: Vec<CString> =
            dir.iter().map(|entry| entry.map(|e| e.file_name().to_owned())).collect::<Result<_, _>>().doing(doing)?;
        for child in names.iter().filter(|n| !matches!(n.to_bytes(), b"." | b"..")) {
            match unlinkat(&dir, child.as_c_str(), UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(Errno::EISDIR | Errno::EPERM) if depth < MAX_OPEN => {
                    self.directory(dir.as_fd(), child, depth + 1)?
                }
                Err(Errno::EISDIR | Errno::EPERM) => self.bring_up(dir.as_fd(), child).doing(doing)?,
                Err(Errno::EACCES) => {
                    nix::sys::stat::fchmod(&dir, Mode::S_IRWXU).doing(doing)?;
                    remove(&dir, child.to_bytes())?;
                }
                Err(e) => return Err(e).doing(|| format!("remove `{}`", child.to_string_lossy())),
            }
        }
        drop(dir);
        unlinkat(parent, name.as_c_str(), UnlinkatFlags::RemoveDir).doing(doing)
    }

    fn bring_up(&mut self, parent: BorrowedFd<'_>, name: &CString) -> Result<()> {
        // EPERM of unlinkat may also mean an immutable file, which is not renamed but reported by what follows.
        self.counter += 1;
        let unique = crate::base::fsx::unique_name(&format!(".removed-{}", self.counter));
        let unique = CString::new(unique).map_err(|_| Error::from(Errno::EINVAL))?;
        renameat(parent, name.as_c_str(), self.top, unique.as_c_str())?;
        self.brought_up.push(unique);
        Ok(())
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
