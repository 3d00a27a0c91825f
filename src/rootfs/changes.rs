//! What a stack of layers changes of another one: `diff`. Without a mount: both stacks are walked as overlay would show them,
//! but only where they differ, which for a container is its upper folder.

use super::assemble::raise_descriptor_limit;
use super::merged::{Found, MergedDir, kind};
use crate::base::{Doing, Result};
use crate::sys::xattr;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::path::PathBuf;

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChangeKind {
    /// Its content or what is said about it; a directory also when something in it changed.
    Changed,
    /// It is new.
    Added,
    /// It is gone, and all that was in it.
    Deleted,
}

/// One changed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Absolute.
    pub path: Vec<u8>,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// What `new` changes of `old` (folders of layers, topmost first; none for an empty tree), sorted by path. Paths in `hidden`
/// are left out, but not what is in them. Called by root of the layers' user namespace.
pub fn changes(old: &[PathBuf], new: &[PathBuf], hidden: &HashSet<Vec<u8>>) -> Result<Vec<Change>> {
    raise_descriptor_limit();
    let mut places: HashMap<&PathBuf, usize> = HashMap::new();
    for path in old.iter().chain(new) {
        let next = places.len();
        places.entry(path).or_insert(next);
    }
    // The same folder has the same number in both, so that what both share is seen without a look at it.
    let root = |layers: &[PathBuf]| MergedDir::root(layers.iter().map(|path| (places[path], path, true)));
    let (old, new) = (root(old)?, root(new)?);
    let mut walk = Walk { hidden, found: Vec::new() };
    walk.directory(Some(&old), &new, &mut Vec::new())?;
    walk.found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.found)
}

struct Walk<'a> {
    hidden: &'a HashSet<Vec<u8>>,
    found: Vec<Change>,
}

/// Which layers a directory has parts in; two with the same are the same.
fn parts(dir: &MergedDir) -> Vec<usize> {
    dir.parts.iter().map(|p| p.layer).collect()
}

impl Walk<'_> {
    /// Compares two directories at `at`, a path without its end's slash. True if something in it has changed.
    fn directory(&mut self, old: Option<&MergedDir>, new: &MergedDir, at: &mut Vec<u8>) -> Result<bool> {
        if old.is_some_and(|old| parts(old) == parts(new)) {
            return Ok(false);
        }
        let before = self.found.len();
        let mut names: BTreeSet<CString> = new.names()?.into_iter().collect();
        if let Some(old) = old {
            names.extend(old.names()?);
        }
        for name in names {
            let length = at.len();
            at.push(b'/');
            at.extend_from_slice(name.to_bytes());
            let was = old.map(|old| old.child(&name)).transpose()?.unwrap_or(Found::Missing { cut: false });
            self.entry(was, new.child(&name)?, at)?;
            at.truncate(length);
        }
        Ok(self.found.len() > before)
    }

    fn entry(&mut self, old: Found, new: Found, at: &mut Vec<u8>) -> Result<()> {
        match (old, new) {
            (Found::Missing { .. }, Found::Missing { .. }) => {}
            (_, Found::Missing { .. }) => self.note(at, ChangeKind::Deleted),
            (Found::Missing { .. }, Found::Dir(dir)) => {
                self.note(at, ChangeKind::Added);
                self.directory(None, &dir, at)?;
            }
            (Found::Missing { .. }, Found::File { .. }) => self.note(at, ChangeKind::Added),
            (Found::Dir(old), Found::Dir(new)) => {
                let place = self.found.len();
                let inside = self.directory(Some(&old), &new, at)?;
                let (was, is) = (dir_stat(&old)?, dir_stat(&new)?);
                if (inside || owner_and_mode(&was) != owner_and_mode(&is)) && !self.hidden.contains(&at[..]) {
                    self.found.insert(place, Change { path: at.clone(), kind: ChangeKind::Changed });
                }
            }
            (Found::File { part: a, name, stat: was }, Found::File { part: b, stat: is, .. }) => {
                let same = a.layer == b.layer && was.st_ino == is.st_ino;
                if !same && (differ(&was, &is) || capability(&a.fd, &name, &was)? != capability(&b.fd, &name, &is)?) {
                    self.note(at, ChangeKind::Changed);
                }
            }
            (Found::File { .. }, Found::Dir(dir)) => {
                self.note(at, ChangeKind::Changed);
                self.directory(None, &dir, at)?;
            }
            (Found::Dir(_), Found::File { .. }) => self.note(at, ChangeKind::Changed),
        }
        Ok(())
    }

    fn note(&mut self, at: &[u8], kind: ChangeKind) {
        if !self.hidden.contains(at) {
            self.found.push(Change { path: at.to_vec(), kind });
        }
    }
}

fn dir_stat(dir: &MergedDir) -> Result<FileStat> {
    fstat(&*dir.parts[0].fd).doing(|| "look at a layer's directory")
}

/// Of a directory nothing else counts: its time changes with what is in it.
fn owner_and_mode(stat: &FileStat) -> (u32, u32, u32) {
    (stat.st_uid, stat.st_gid, stat.st_mode)
}

/// As docker and podman see it: a file is the same when all this is.
fn differ(a: &FileStat, b: &FileStat) -> bool {
    let facts = |s: &FileStat| (owner_and_mode(s), s.st_rdev, s.st_size, s.st_mtime);
    // An archive keeps seconds only.
    let nanos = a.st_mtime_nsec != b.st_mtime_nsec && a.st_mtime_nsec != 0 && b.st_mtime_nsec != 0;
    facts(a) != facts(b) || nanos
}

fn capability(dir: &std::os::fd::OwnedFd, name: &CStr, stat: &FileStat) -> Result<Option<Vec<u8>>> {
    if kind(stat) != SFlag::S_IFREG {
        return Ok(None);
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    match openat(dir, name, flags, Mode::empty()) {
        Ok(file) => xattr::get(file, b"security.capability").doing(|| "read a file's capability"),
        // It went meanwhile: a running container's files change.
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    fn layer(root: &Path, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let layer = root.join(name);
        fs::create_dir(&layer).unwrap();
        for (path, content) in files {
            let path = layer.join(path);
            if let Some(dir) = path.to_str().unwrap().strip_suffix('/') {
                fs::create_dir_all(dir).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
        }
        layer
    }

    fn listed(old: &[PathBuf], new: &[PathBuf], hidden: &[&str]) -> Vec<String> {
        let hidden = hidden.iter().map(|h| h.as_bytes().to_vec()).collect();
        let letter = |kind| match kind {
            ChangeKind::Added => 'A',
            ChangeKind::Changed => 'C',
            ChangeKind::Deleted => 'D',
        };
        let show = |c: Change| format!("{} {}", letter(c.kind), String::from_utf8(c.path).unwrap());
        changes(old, new, &hidden).unwrap().into_iter().map(show).collect()
    }

    #[test]
    fn changes_of_an_upper_folder() {
        let dir = tempfile::tempdir().unwrap();
        let base =
            [("etc/passwd", "root"), ("etc/keep", ""), ("gone/x", ""), ("opaque/x", ""), ("f-d", ""), ("d-f/x", "")];
        let lower = layer(dir.path(), "lower", &base);
        symlink("a", lower.join("link")).unwrap();
        let changed = [
            ("etc/passwd", "root and more"),
            ("etc/hosts", ""),
            ("new/sub/file", ""),
            ("opaque/y", ""),
            ("f-d/inside", ""),
            ("d-f", ""),
            ("gone", ""),
            ("run/", ""),
            ("same/", ""),
        ];
        let upper = layer(dir.path(), "upper", &changed);
        let set = |name: &str, key: &[u8], value: &[u8]| {
            xattr::set_at(upper.join(name).as_os_str().as_encoded_bytes(), key, value)
        };
        if set("gone", b"user.overlay.whiteout", b"y").is_err() {
            println!("skip: changes_of_an_upper_folder: no user xattrs in the temp folder");
            return;
        }
        set("opaque", b"user.overlay.opaque", b"y").unwrap();
        let new = [upper.clone(), lower.clone()];
        let expected = [
            "C /d-f",
            "C /etc",
            "C /etc/passwd",
            "C /f-d",
            "A /f-d/inside",
            "D /gone",
            "A /new",
            "A /new/sub",
            "A /new/sub/file",
            "C /opaque",
            "D /opaque/x",
            "A /opaque/y",
            "A /same",
        ];
        assert_eq!(listed(std::slice::from_ref(&lower), &new, &["/etc/hosts", "/run"]), expected);
        assert!(listed(&new, &new, &[]).is_empty());
        // Against nothing all is new; the other way round all changes are undone.
        assert_eq!(listed(&[], std::slice::from_ref(&lower), &[]).len(), 11);
        assert!(listed(&new, &[lower], &[]).contains(&"A /gone".to_owned()));
    }

    #[test]
    fn what_counts_as_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let lower = layer(dir.path(), "lower", &[("d/mode", "1"), ("d/same", "1"), ("moded/", "")]);
        let upper = layer(dir.path(), "upper", &[("d/mode", "1"), ("d/same", "1"), ("moded/", "")]);
        for name in ["d/mode", "d/same"] {
            let time = fs::metadata(lower.join(name)).unwrap().modified().unwrap();
            fs::File::options().write(true).open(upper.join(name)).unwrap().set_modified(time).unwrap();
        }
        let mode = |name: &str, bits| fs::set_permissions(upper.join(name), fs::Permissions::from_mode(bits)).unwrap();
        mode("d/mode", 0o4755);
        mode("moded", 0o700);
        assert_eq!(
            listed(std::slice::from_ref(&lower), &[upper, lower.clone()], &[]),
            ["C /d", "C /d/mode", "C /moded"]
        );
    }
}
