//! Whether an unpacked layer still is what its archive says: two trees, side by side.
//!
//! Runs where the owners of both are mapped (`userns::run`). Paths are resolved by descriptor below the two roots; symlinks
//! are compared, never followed.

use crate::base::{Doing, Result};
use crate::sys::fs::open_in_root;
use crate::sys::xattr;
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const CHUNK: usize = 128 << 10;

/// The first place where `actual` is not what `expected` is: the path below the root and what differs there; `None` when
/// they are equal in names, types, owners, modes, times of change, sizes, contents, link targets and extended attributes.
pub fn first_difference(expected: &Path, actual: &Path) -> Result<Option<(PathBuf, &'static str)>> {
    let roots = [open_root(expected)?, open_root(actual)?];
    let mut folders = vec![PathBuf::from(".")];
    let mut compare = Compare { roots, buffers: [vec![0; CHUNK], vec![0; CHUNK]] };
    if let Some(what) = compare.folder_itself(Path::new("."))? {
        return Ok(Some((PathBuf::from("."), what)));
    }
    while let Some(folder) = folders.pop() {
        if let Some(found) = compare.folder(&folder, &mut folders)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn open_root(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    nix::fcntl::open(path, flags, Mode::empty()).doing(|| format!("open folder `{}`", path.display()))
}

struct Compare {
    roots: [OwnedFd; 2],
    buffers: [Vec<u8>; 2],
}

impl Compare {
    fn open(&self, path: &Path, flags: OFlag) -> Result<[OwnedFd; 2]> {
        let flags = flags | OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let open = |root: &OwnedFd| open_in_root(root, path, flags, Mode::empty());
        Ok([open(&self.roots[0])?, open(&self.roots[1])?])
    }

    fn folder_itself(&self, path: &Path) -> Result<Option<&'static str>> {
        let fds = self.open(path, OFlag::O_DIRECTORY)?;
        let stats = [fstat(&fds[0])?, fstat(&fds[1])?];
        match metadata(&stats) {
            None => attributes(&fds),
            some => Ok(some),
        }
    }

    fn folder(&mut self, path: &Path, folders: &mut Vec<PathBuf>) -> Result<Option<(PathBuf, &'static str)>> {
        let fds = self.open(path, OFlag::O_DIRECTORY)?;
        let (expected, actual) = (names(&fds[0])?, names(&fds[1])?);
        let at = |name: &CString| path.join(OsStr::from_bytes(name.as_bytes()));
        if let Some(name) = expected.symmetric_difference(&actual).next() {
            return Ok(Some((at(name), if expected.contains(name) { "is missing" } else { "does not belong there" })));
        }
        for name in &expected {
            let path = at(name);
            if let Some(what) = self.entry(&fds, name, &path).doing(|| format!("compare `{}`", path.display()))? {
                return Ok(Some((path, what)));
            }
            let stat = fstatat(&fds[0], name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
            if kind(&stat) == SFlag::S_IFDIR {
                folders.push(path);
            }
        }
        Ok(None)
    }

    fn entry(&mut self, fds: &[OwnedFd; 2], name: &CString, path: &Path) -> Result<Option<&'static str>> {
        let look = |fd: &OwnedFd| fstatat(fd, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        let stats = [look(&fds[0])?, look(&fds[1])?];
        if let Some(what) = metadata(&stats) {
            return Ok(Some(what));
        }
        match kind(&stats[0]) {
            SFlag::S_IFLNK => {
                let target = |fd: &OwnedFd| readlinkat(fd, name.as_c_str());
                Ok((target(&fds[0])? != target(&fds[1])?).then_some("leads elsewhere"))
            }
            SFlag::S_IFDIR => attributes(&self.open(path, OFlag::O_DIRECTORY)?),
            SFlag::S_IFREG => {
                let files = self.open(path, OFlag::empty())?;
                match attributes(&files)? {
                    None => self.contents(files),
                    some => Ok(some),
                }
            }
            _ => Ok(None),
        }
    }

    fn contents(&mut self, files: [OwnedFd; 2]) -> Result<Option<&'static str>> {
        let mut files = files.map(File::from);
        loop {
            let [a, b] = &mut self.buffers;
            let n = files[0].read(a)?;
            if n == 0 {
                return Ok(None);
            }
            // The sizes are equal; a file that shrinks meanwhile differs all the same.
            if files[1].read_exact(&mut b[..n]).is_err() || a[..n] != b[..n] {
                return Ok(Some("has another content"));
            }
        }
    }
}

fn names(folder: &OwnedFd) -> Result<BTreeSet<CString>> {
    let mut dir = Dir::from_fd(folder.as_fd().try_clone_to_owned()?)?;
    let mut found = BTreeSet::new();
    for entry in dir.iter() {
        let name = entry?.file_name().to_owned();
        if name.as_bytes() != b"." && name.as_bytes() != b".." {
            found.insert(name);
        }
    }
    Ok(found)
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn metadata([a, b]: &[FileStat; 2]) -> Option<&'static str> {
    let folder = kind(a) == SFlag::S_IFDIR;
    match () {
        () if kind(a) != kind(b) => Some("is another kind of file"),
        () if a.st_mode != b.st_mode => Some("has another mode"),
        () if (a.st_uid, a.st_gid) != (b.st_uid, b.st_gid) => Some("has another owner"),
        () if a.st_rdev != b.st_rdev => Some("is another device"),
        () if !folder && a.st_size != b.st_size => Some("has another size"),
        () if (a.st_mtime, a.st_mtime_nsec) != (b.st_mtime, b.st_mtime_nsec) && !folder => Some("has another time"),
        () => None,
    }
}

/// Those that an archive can carry; overlayfs keeps notes of its own in others.
fn attributes(fds: &[OwnedFd; 2]) -> Result<Option<&'static str>> {
    let read = |fd: &OwnedFd| -> Result<BTreeMap<Vec<u8>, Option<Vec<u8>>>> {
        let mut names = xattr::list(fd)?;
        names.retain(|name| name.starts_with(b"user.") || name.starts_with(b"security.capability"));
        names.into_iter().map(|name| Ok((name.clone(), xattr::get(fd, &name)?))).collect()
    };
    Ok((read(&fds[0])? != read(&fds[1])?).then_some("has other extended attributes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::{UtimensatFlags, utimensat};
    use nix::sys::time::{TimeSpec, TimeValLike};
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn tree(root: &Path) {
        fs::create_dir_all(root.join("a/b")).unwrap();
        for (path, bytes) in [("a/b/file", "content"), ("a/other", ""), ("top", "x")] {
            fs::write(root.join(path), bytes).unwrap();
            let file = File::options().write(true).open(root.join(path)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
        // Dangling, and out of the tree.
        symlink("/nowhere/../..", root.join("a/link")).unwrap();
        let (then, flags) = (TimeSpec::seconds(0), UtimensatFlags::NoFollowSymlink);
        utimensat(nix::fcntl::AT_FDCWD, &root.join("a/link"), &then, &then, flags).unwrap();
    }

    fn touch(path: &Path, bytes: &str) {
        fs::write(path, bytes).unwrap();
        File::options().write(true).open(path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        type Damage = fn(&Path);
        let cases: [(&str, &str, Damage); 7] = [
            ("./a/b/file", "has another content", |root| touch(&root.join("a/b/file"), "CONTENT")),
            ("./a/b/file", "has another size", |root| touch(&root.join("a/b/file"), "cont")),
            ("./a/other", "is missing", |root| fs::remove_file(root.join("a/other")).unwrap()),
            ("./a/new", "does not belong there", |root| fs::write(root.join("a/new"), "").unwrap()),
            ("./a/b", "has another mode", |root| {
                fs::set_permissions(root.join("a/b"), fs::Permissions::from_mode(0o700)).unwrap();
            }),
            ("./top", "is another kind of file", |root| {
                fs::remove_file(root.join("top")).unwrap();
                symlink("a/other", root.join("top")).unwrap();
            }),
            ("./top", "has another time", |root| fs::write(root.join("top"), "y").unwrap()),
        ];
        for (path, what, damage) in cases {
            let dir = tempfile::tempdir().unwrap();
            let (expected, actual) = (dir.path().join("expected"), dir.path().join("actual"));
            tree(&expected);
            tree(&actual);
            assert_eq!(first_difference(&expected, &actual).unwrap(), None);
            damage(&actual);
            assert_eq!(first_difference(&expected, &actual).unwrap(), Some((PathBuf::from(path), what)));
        }
    }
}
