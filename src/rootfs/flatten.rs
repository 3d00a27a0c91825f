//! A stack of layers as one ordinary folder: for machines where overlay is refused, and for the lowest layers of a stack that
//! has more than the kernel takes.

use super::assemble::{Stack, raise_descriptor_limit};
use super::copy;
use super::merged::{Found, MergedDir, kind};
use crate::base::{Doing, Error, Result, fsx};
use crate::userns::{self, IdMap};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat};
use nix::unistd::linkat;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How deep directories may be nested: each level costs descriptors and stack.
const MAX_DEPTH: usize = 1024;

/// What files of the new folder are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Files of their own, which a container may write to.
    Copy,
    /// The layers' own files under one more name; nobody may write to them.
    Link,
}

/// What a container gets that cannot have an overlay: a copy at `dest` of what the layers show. Reflinks where the file system
/// has them.
pub fn copy_stack(stack: &Stack, dest: &Path, map: &IdMap) -> Result<()> {
    userns::run(map, || copy_inside(&stack.lowers, &stack.root_like, dest))
}

/// Replaces `dest` by a copy of what `lowers` (topmost first) show, for a caller that is root of the layers' user namespace.
/// It appears when it is whole: the process may be killed half-way.
pub fn copy_inside(lowers: &[PathBuf], root_like: &Path, dest: &Path) -> Result<()> {
    let making = dest.with_extension("part");
    fsx::remove_dir_all(&making)?;
    fsx::create_dir(&making, 0o755)?;
    flatten(lowers, root_like, &making, How::Copy).doing(|| "copy the image's files")?;
    fsx::rename(&making, dest)
}

/// Makes the folder, inside the layers' user namespace; `lowers` are topmost first.
pub(super) fn flatten(lowers: &[PathBuf], root_like: &Path, dest: &Path, how: How) -> Result<()> {
    raise_descriptor_limit();
    let count = lowers.len();
    // Looking for whiteouts that are attributes costs something for empty files only.
    let merged = MergedDir::root(lowers.iter().enumerate().map(|(i, path)| (count - 1 - i, path, true)))?;
    let root = open_dir(AT_FDCWD, &path_c_string(dest)?).doing(|| format!("open `{}`", dest.display()))?;
    let mut flattening = Flattening { how, root: &root, linked: HashMap::new() };
    flattening.contents(&merged, &root, &mut Vec::new())?;
    let like =
        open_dir(AT_FDCWD, &path_c_string(root_like)?).doing(|| format!("open layer `{}`", root_like.display()))?;
    let stat = fstat(&like).doing(|| "look at the image's root")?;
    copy::metadata(&like, &stat, &root).doing(|| "set owner and mode of the root")
}

/// Fills the open folder `to` with what `from` shows, and makes it like it: for a caller that is root of the layers' user
/// namespace.
pub(super) fn copy_folder(from: &MergedDir, to: &OwnedFd) -> Result<()> {
    let mut flattening = Flattening { how: How::Copy, root: to, linked: HashMap::new() };
    flattening.contents(from, to, &mut Vec::new())?;
    let like = &*from.parts[0].fd;
    let stat = fstat(like).doing(|| "look at the image's folder")?;
    copy::metadata(like, &stat, to).doing(|| "set owner and mode of the folder")
}

struct Flattening<'a> {
    how: How,
    root: &'a OwnedFd,
    /// The name in the new folder of each file with several.
    linked: HashMap<(u64, u64), CString>,
}

impl Flattening<'_> {
    /// Fills `to`, whose components below the root are `at`.
    fn contents(&mut self, from: &MergedDir, to: &OwnedFd, at: &mut Vec<CString>) -> Result<()> {
        if at.len() > MAX_DEPTH {
            return Err(Error::unsupported(format!("the image nests more than {MAX_DEPTH} directories")));
        }
        for name in from.names()? {
            match from.child(&name)? {
                Found::Missing { .. } => {}
                Found::File { part, name, stat } => self.file(part.fd.as_fd(), &name, &stat, to, at)?,
                Found::Dir(dir) => {
                    let doing = || format!("create directory `{}`", name.to_string_lossy());
                    mkdirat(to, name.as_c_str(), Mode::S_IRWXU).doing(doing)?;
                    let made = open_dir(to.as_fd(), &name).doing(doing)?;
                    at.push(name.clone());
                    self.contents(&dir, &made, at)?;
                    at.pop();
                    let like = &*dir.parts[0].fd;
                    let stat = fstat(like).doing(doing)?;
                    copy::metadata(like, &stat, &made).doing(doing)?;
                }
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        from: std::os::fd::BorrowedFd<'_>,
        name: &CStr,
        stat: &FileStat,
        to: &OwnedFd,
        at: &[CString],
    ) -> Result<()> {
        let doing = || format!("link `{}`", name.to_string_lossy());
        if self.how == How::Link {
            match linkat(from, name, to, name, AtFlags::empty()) {
                // A file may have only so many names.
                Err(Errno::EMLINK) => {}
                other => return other.doing(doing),
            }
        }
        let inode = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.linked.get(&inode) {
            return linkat(self.root, first.as_c_str(), to, name, AtFlags::empty()).doing(doing);
        }
        copy::file(from, name, stat, to.as_fd(), name)?;
        if stat.st_nlink > 1 && kind(stat) != SFlag::S_IFDIR {
            let whole: Vec<&[u8]> = at.iter().map(|c| c.to_bytes()).chain([name.to_bytes()]).collect();
            self.linked.insert(inode, super::merged::c_string(&whole.join(&b'/'))?);
        }
        Ok(())
    }
}

pub(super) fn open_dir(parent: impl AsFd, name: &CStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

fn path_c_string(path: &Path) -> Result<CString> {
    super::merged::c_string(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn one_folder_shows_what_the_stack_shows() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for dir in ["low/d/sub", "top/d", "copy", "link"] {
            fs::create_dir_all(path(dir)).unwrap();
        }
        fs::write(path("low/d/f"), "low").unwrap();
        fs::write(path("low/d/both"), "low").unwrap();
        fs::write(path("low/gone"), "").unwrap();
        fs::write(path("top/d/both"), "top").unwrap();
        fs::hard_link(path("low/d/f"), path("low/d/sub/f2")).unwrap();
        fs::set_permissions(path("top/d"), fs::Permissions::from_mode(0o1755)).unwrap();
        fs::write(path("top/gone"), "").unwrap();
        let gone = path("top/gone");
        if crate::sys::xattr::set_at(gone.as_os_str().as_bytes(), b"user.overlay.whiteout", b"y").is_err() {
            println!("skip: one_folder_shows_what_the_stack_shows: no user xattrs in the temp folder");
            return;
        }
        for (how, dest) in [(How::Copy, "copy"), (How::Link, "link")] {
            flatten(&[path("top"), path("low")], &path("low"), &path(dest), how).unwrap();
            let dest = path(dest);
            let meta = |name: &str| dest.join(name).metadata().unwrap();
            assert_eq!(fs::read(dest.join("d/both")).unwrap(), b"top");
            assert_eq!(meta("d").mode() & 0o7777, 0o1755);
            assert_eq!(meta("d/f").ino(), meta("d/sub/f2").ino());
            assert!(!dest.join("gone").exists());
            let shared = meta("d/f").ino() == path("low/d/f").metadata().unwrap().ino();
            assert_eq!(shared, how == How::Link);
        }
    }
}
