//! Paths as `cp` is given them: what their letters ask for (docker's rules), and where they lead, by descriptors.

use crate::base::{Doing, Error, Result};
use crate::sys::fs::open_in_root;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How many symlinks at the end of a path are followed, as the kernel has it (path_resolution(7)).
const MAX_LINKS: u32 = 40;

/// A path, taken apart by its letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spelled {
    /// Absolute and clean: no `.`, `..`, double or trailing slashes.
    pub(super) path: Vec<u8>,
    /// It ends with a slash, so it must be a directory.
    pub(super) directory: bool,
    /// It ends with `.`, or is the root: what is in the directory is meant, not the directory.
    pub(super) contents: bool,
}

impl Spelled {
    /// Reads `text`; a relative one is below `base`.
    pub(super) fn new(text: &[u8], base: &[u8]) -> Self {
        let last = text.rsplit(|b| *b == b'/').next().unwrap_or_default();
        let absolute = if text.starts_with(b"/") { text.to_vec() } else { [base, b"/", text].concat() };
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in absolute.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => drop(parts.pop()),
                _ => parts.push(part),
            }
        }
        let path = [b"/", &parts.join(&b'/')[..]].concat();
        let contents = last == b"." || path == b"/";
        Self { directory: last.is_empty() || contents, contents, path }
    }

    /// The last component; empty for the root.
    pub(super) fn name(&self) -> &[u8] {
        split(&self.path).1
    }
}

/// A clean absolute path's parent and last component.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(0) => (b"/", &path[1..]),
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"/", path),
    }
}

/// Where paths are looked up.
#[derive(Debug)]
pub(super) enum Tree {
    /// This machine's own files, with the user's rights.
    Host,
    /// Below a container's root, which nothing leads out of.
    Container(OwnedFd),
}

/// What a path leads to: a name in a directory.
#[derive(Debug)]
pub(super) struct Located {
    /// The directory.
    pub(super) parent: OwnedFd,
    /// The directory's path in the tree.
    pub(super) parent_path: Vec<u8>,
    /// `.` for the tree's root.
    pub(super) name: CString,
    /// What stands there, a symlink itself; `None` for nothing.
    pub(super) stat: Option<FileStat>,
}

impl Located {
    /// It is there and a directory.
    pub(super) fn is_dir(&self) -> bool {
        self.kind() == Some(SFlag::S_IFDIR)
    }

    /// Its type.
    pub(super) fn kind(&self) -> Option<SFlag> {
        self.stat.map(|s| SFlag::from_bits_truncate(s.st_mode) & SFlag::S_IFMT)
    }

    /// Its own path in the tree.
    pub(super) fn path(&self) -> Vec<u8> {
        match self.name.as_bytes() {
            b"." => self.parent_path.clone(),
            name => [&self.parent_path, &b"/"[..], name].concat(),
        }
    }

    /// Opens it, which is a directory.
    pub(super) fn open_dir(&self) -> Result<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        nix::fcntl::openat(&self.parent, self.name.as_c_str(), flags, Mode::empty()).doing(|| "open the directory")
    }
}

impl Tree {
    fn open(&self, path: &[u8]) -> Result<OwnedFd> {
        let (path, flags) = (Path::new(OsStr::from_bytes(path)), OFlag::O_PATH | OFlag::O_DIRECTORY);
        match self {
            Self::Container(root) => open_in_root(root, path, flags, Mode::empty()),
            Self::Host => nix::fcntl::open(path, flags | OFlag::O_CLOEXEC, Mode::empty())
                .doing(|| format!("open `{}`", path.display())),
        }
    }

    /// Finds what an absolute path leads to. With `follow` a symlink at its end is followed, also to where nothing is yet.
    ///
    /// Errors: `ENOENT` when the directory that would hold it does not exist.
    pub(super) fn locate(&self, path: &[u8], follow: bool) -> Result<Located> {
        let mut path = path.to_vec();
        for _ in 0..=MAX_LINKS {
            let (above, name) = split(&path);
            let name = if name.is_empty() { &b"."[..] } else { name };
            let name = CString::new(name).map_err(|_| Error::usage("a path contains a NUL byte"))?;
            let parent = self.open(above)?;
            let stat = match fstatat(&parent, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => Some(stat),
                Err(Errno::ENOENT) => None,
                Err(e) => return Err(e).doing(|| format!("look at `{}`", String::from_utf8_lossy(&path))),
            };
            let located = Located { parent, parent_path: above.to_vec(), name, stat };
            if !follow || located.kind() != Some(SFlag::S_IFLNK) {
                return Ok(located);
            }
            let target = readlinkat(&located.parent, located.name.as_c_str()).doing(|| "read link")?;
            let target = target.as_encoded_bytes();
            let whole = if target.starts_with(b"/") { target.to_vec() } else { [above, &b"/"[..], target].concat() };
            path = self.tidy(whole);
        }
        Err(Error::from(Errno::ELOOP))
    }

    /// Ends a path with a name, so that it can be split. `..` elsewhere is left to the kernel: what it means depends on links.
    fn tidy(&self, mut path: Vec<u8>) -> Vec<u8> {
        while path.len() > 1 && (path.ends_with(b"/") || path.ends_with(b"/.")) {
            path.pop();
        }
        if path.is_empty() {
            path.push(b'/');
        }
        if split(&path).1 == b".." {
            path.extend_from_slice(b"/.");
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_letters_of_a_path() {
        for (text, path, directory, contents) in [
            ("a", "/base/a", false, false),
            ("a/", "/base/a", true, false),
            ("a/.", "/base/a", true, true),
            (".", "/base", true, true),
            ("..", "/", true, true),
            ("/x//./y/../z", "/x/z", false, false),
            ("/", "/", true, true),
            ("", "/base", true, false),
            ("/../../x", "/x", false, false),
        ] {
            let expected = Spelled { path: path.into(), directory, contents };
            assert_eq!(Spelled::new(text.as_bytes(), b"/base"), expected, "{text}");
        }
    }

    #[test]
    fn links_of_a_container_stay_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(dir.path().join("secret"), "host").unwrap();
        std::fs::write(root.join("etc/file"), "inside").unwrap();
        for (target, link) in [
            ("/etc", "abs"),
            ("../../../../etc/file", "up"),
            ("/etc/not-yet", "dangling"),
            ("loop", "loop"),
            ("abs/..", "dots"),
            ("/", "slash"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        symlink(dir.path().join("secret"), root.join("out")).unwrap();
        let tree = Tree::Container(std::fs::File::open(&root).unwrap().into());
        let at = |path: &str| tree.locate(path.as_bytes(), true);
        let inode = |name: &str| std::os::unix::fs::MetadataExt::ino(&root.join(name).symlink_metadata().unwrap());
        for (path, name) in [
            ("/etc/file", "etc/file"),
            ("/abs/file", "etc/file"),
            ("/abs", "etc"),
            ("/up", "etc/file"),
            ("/dots", "."),
            ("/slash", "."),
        ] {
            assert_eq!(at(path).unwrap().stat.unwrap().st_ino, inode(name), "{path}");
        }
        let dangling = at("/dangling").unwrap();
        assert_eq!((dangling.stat.is_none(), &dangling.path()[..]), (true, &b"/etc/not-yet"[..]));
        assert_eq!(at("/loop").unwrap_err().errno(), Some(Errno::ELOOP));
        assert!(at("/out").unwrap_err().is_missing(), "the host's folders are not there");
        assert_eq!(tree.locate(b"/out", false).unwrap().kind(), Some(SFlag::S_IFLNK));
        assert!(at("/no/such").unwrap_err().is_missing());
    }
}
