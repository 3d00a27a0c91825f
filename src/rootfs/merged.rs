//! Stacked layers as one tree, as overlay will show them: lookups across layers that honour whiteouts and opaque directories
//! (kernel Documentation/filesystems/overlayfs), without a mount.
//!
//! All lookups go component by component through descriptors of directories; a symlink is only ever data. Works with the
//! rights of whoever calls: inside the user namespace of the layers' map.

use crate::base::{Doing, Error, Result};
use crate::sys::xattr;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use std::collections::{BTreeMap, HashSet};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

/// How many symlinks one lookup follows, as the kernel has it (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// A directory of the stack: its parts in each layer that has one, topmost first.
#[derive(Debug, Clone)]
pub(super) struct MergedDir {
    pub(super) parts: Vec<Part>,
    /// Whatever lies below the lowest part, in layers that are not in this stack, is hidden.
    pub(super) cut: bool,
}

/// One layer's directory.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// The layer's place in the stack, 0 is the lowest.
    pub(super) layer: usize,
    pub(super) fd: Rc<OwnedFd>,
    /// Whether the layer writes whiteouts as attributes.
    xattr_whiteouts: bool,
}

/// What a name in a directory of the stack is.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing; `cut` tells that a lower stack's file of this name would be hidden too.
    Missing {
        cut: bool,
    },
    Dir(MergedDir),
    /// Anything else, under this name in this layer's directory.
    File {
        part: Part,
        name: CString,
        stat: FileStat,
    },
}

/// The type bits of a file.
pub(super) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

impl MergedDir {
    /// The root of a stack of layers given as (place, folder, whether whiteouts are attributes), topmost first.
    pub(super) fn root<'a>(layers: impl IntoIterator<Item = (usize, &'a PathBuf, bool)>) -> Result<Self> {
        let mut parts = Vec::new();
        let mut cut = false;
        for (layer, path, xattr_whiteouts) in layers {
            let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
            let fd =
                nix::fcntl::open(path, flags, Mode::empty()).doing(|| format!("open layer `{}`", path.display()))?;
            let opaque = is_opaque(&fd)?;
            parts.push(Part { layer, fd: Rc::new(fd), xattr_whiteouts });
            if opaque {
                cut = true;
                break;
            }
        }
        Ok(Self { parts, cut })
    }

    /// Looks up one name.
    pub(super) fn child(&self, name: &CStr) -> Result<Found> {
        let mut dir = Self { parts: Vec::new(), cut: self.cut };
        for part in &self.parts {
            let stat = match fstatat(&*part.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::ENOENT) => continue,
                Err(e) => return Err(e).doing(|| format!("look up `{}`", name.to_string_lossy())),
            };
            if kind(&stat) != SFlag::S_IFDIR {
                let whiteout = part.is_whiteout(name, &stat)?;
                if dir.parts.is_empty() && !whiteout {
                    return Ok(Found::File { part: part.clone(), name: name.to_owned(), stat });
                }
                dir.cut = true;
                break;
            }
            let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
            let fd = openat(&*part.fd, name, flags, Mode::empty())
                .doing(|| format!("open directory `{}`", name.to_string_lossy()))?;
            let opaque = is_opaque(&fd)?;
            dir.parts.push(Part { fd: Rc::new(fd), ..part.clone() });
            if opaque {
                dir.cut = true;
                break;
            }
        }
        Ok(if dir.parts.is_empty() { Found::Missing { cut: dir.cut } } else { Found::Dir(dir) })
    }

    /// Looks up a relative name without following symlinks; the empty name is this directory.
    pub(super) fn walk(&self, name: &[u8]) -> Result<Found> {
        let mut at = self.clone();
        let mut components = name.split(|b| *b == b'/').filter(|c| !c.is_empty()).peekable();
        while let Some(component) = components.next() {
            match at.child(&c_string(component)?)? {
                Found::Dir(dir) => at = dir,
                // Whatever a lower stack has below a file is hidden by it.
                Found::File { .. } if components.peek().is_some() => return Ok(Found::Missing { cut: true }),
                other => return Ok(other),
            }
        }
        Ok(Found::Dir(at))
    }

    /// Looks up a relative name as a process with this directory as its `/` would, except that a symlink at the end is not
    /// followed. `..` stays inside.
    pub(super) fn resolve(&self, name: &[u8]) -> Result<Found> {
        self.look_up(name, false)
    }

    /// The same, but a symlink at the end is followed, too.
    pub(super) fn follow(&self, name: &[u8]) -> Result<Found> {
        self.look_up(name, true)
    }

    fn look_up(&self, name: &[u8], follow: bool) -> Result<Found> {
        let mut todo: Vec<Vec<u8>> = components_reversed(name);
        let mut stack = vec![self.clone()];
        let mut links = 0;
        while let Some(component) = todo.pop() {
            if component == b".." {
                if stack.len() > 1 {
                    stack.pop();
                }
                continue;
            }
            let component = c_string(&component)?;
            let at = &stack[stack.len() - 1];
            match at.child(&component)? {
                Found::Dir(dir) => stack.push(dir),
                Found::File { part, name, stat } if todo.is_empty() && !(follow && kind(&stat) == SFlag::S_IFLNK) => {
                    return Ok(Found::File { part, name, stat });
                }
                Found::File { part, stat, .. } if kind(&stat) == SFlag::S_IFLNK => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Error::from(Errno::ELOOP));
                    }
                    let target = readlinkat(&*part.fd, component.as_c_str()).doing(|| "read link")?;
                    let target = target.as_encoded_bytes();
                    if target.starts_with(b"/") {
                        stack.truncate(1);
                    }
                    todo.extend(components_reversed(target));
                }
                Found::File { .. } => return Ok(Found::Missing { cut: true }),
                Found::Missing { cut } => return Ok(Found::Missing { cut }),
            }
        }
        Ok(stack.pop().map_or(Found::Missing { cut: false }, Found::Dir))
    }

    /// All names that this directory shows.
    pub(super) fn names(&self) -> Result<Vec<CString>> {
        let mut seen = HashSet::new();
        let mut names = BTreeMap::new();
        for part in &self.parts {
            let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
            let mut dir = Dir::openat(&*part.fd, ".", flags, Mode::empty()).doing(|| "list a layer's directory")?;
            for entry in dir.iter() {
                let name = entry.doing(|| "list a layer's directory")?.file_name().to_owned();
                if !matches!(name.to_bytes(), b"." | b"..") && seen.insert(name.clone()) {
                    let stat = fstatat(&*part.fd, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
                        .doing(|| "list a layer's directory")?;
                    if !part.is_whiteout(&name, &stat)? {
                        names.insert(name, ());
                    }
                }
            }
        }
        Ok(names.into_keys().collect())
    }
}

impl Part {
    /// A file that says "gone": see `unpack::WhiteoutForm`.
    fn is_whiteout(&self, name: &CStr, stat: &FileStat) -> Result<bool> {
        if kind(stat) == SFlag::S_IFCHR {
            return Ok(stat.st_rdev == 0);
        }
        if !self.xattr_whiteouts || kind(stat) != SFlag::S_IFREG || stat.st_size != 0 {
            return Ok(false);
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let doing = || format!("look at `{}`", name.to_string_lossy());
        let file = openat(&*self.fd, name, flags, Mode::empty()).doing(doing)?;
        Ok(xattr::get(&file, b"user.overlay.whiteout").doing(doing)?.is_some())
    }
}

fn is_opaque(fd: impl AsFd) -> Result<bool> {
    Ok(xattr::get(fd, b"user.overlay.opaque").doing(|| "look at a layer's directory")?.as_deref() == Some(b"y"))
}

/// A component as the system calls take it; names with NUL do not get this far.
pub(super) fn c_string(component: &[u8]) -> Result<CString> {
    CString::new(component).map_err(|_| Error::corrupt("a name in a layer's record contains a NUL byte"))
}

fn components_reversed(name: &[u8]) -> Vec<Vec<u8>> {
    name.split(|b| *b == b'/').filter(|c| !c.is_empty() && *c != b".").map(<[u8]>::to_vec).rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn stack(layers: &[PathBuf]) -> MergedDir {
        MergedDir::root(layers.iter().enumerate().rev().map(|(i, path)| (i, path, true))).unwrap()
    }

    /// `layer:` of a file, `dir a b` for a directory with parts in layers a and b, `missing`, `cut`.
    fn show(found: Found) -> String {
        match found {
            Found::Missing { cut } => if cut { "cut" } else { "missing" }.to_owned(),
            Found::File { part, .. } => format!("file {}", part.layer),
            Found::Dir(dir) => dir.parts.iter().fold("dir".to_owned(), |text, part| format!("{text} {}", part.layer)),
        }
    }

    #[test]
    fn looks_up_as_overlay_does() {
        let root = tempfile::tempdir().unwrap();
        let layers: Vec<PathBuf> = (0..3).map(|i| root.path().join(i.to_string())).collect();
        let make = |layer: usize, name: &str| {
            let path = layers[layer].join(name);
            if let Some(dir) = name.strip_suffix('/') {
                fs::create_dir_all(layers[layer].join(dir)).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
        };
        for (layer, name) in
            [(0, "a/f"), (0, "a/low"), (0, "gone/x"), (0, "opaque/x"), (0, "file-then-dir"), (0, "d/f")]
        {
            make(layer, name);
        }
        for (layer, name) in [(1, "a/g"), (1, "gone"), (1, "opaque/y"), (1, "file-then-dir/z")] {
            make(layer, name);
        }
        make(2, "a/f");
        make(2, "d");
        symlink("/a/../a", layers[1].join("link")).unwrap();
        symlink("loop", layers[1].join("loop")).unwrap();
        let attribute =
            |path: &Path, name: &[u8], value: &[u8]| xattr::set_at(path.as_os_str().as_encoded_bytes(), name, value);
        if attribute(&layers[1].join("gone"), b"user.overlay.whiteout", b"y").is_err() {
            println!("skip: looks_up_as_overlay_does: no user xattrs in the temp folder");
            return;
        }
        attribute(&layers[1].join("opaque"), b"user.overlay.opaque", b"y").unwrap();
        let merged = stack(&layers);
        for (name, expected) in [
            ("", "dir 2 1 0"),
            ("a", "dir 2 1 0"),
            ("a/f", "file 2"),
            ("a/g", "file 1"),
            ("a/low", "file 0"),
            ("a/nothing", "missing"),
            ("gone", "cut"),
            ("gone/x", "cut"),
            ("opaque", "dir 1"),
            ("opaque/x", "cut"),
            ("opaque/y", "file 1"),
            ("file-then-dir", "dir 1"),
            ("file-then-dir/z", "file 1"),
            ("d/f", "cut"),
            ("link", "file 1"),
            ("link/f", "cut"),
        ] {
            assert_eq!(show(merged.walk(name.as_bytes()).unwrap()), expected, "{name}");
        }
        for (name, expected) in [
            ("link", "file 1"),
            ("link/f", "file 2"),
            ("../../link/./g", "file 1"),
            ("link/x/y", "missing"),
            ("a/f/x", "cut"),
        ] {
            assert_eq!(show(merged.resolve(name.as_bytes()).unwrap()), expected, "{name}");
        }
        assert!(merged.resolve(b"loop/x").is_err());
        let names: Vec<String> = merged.names().unwrap().iter().map(|n| n.to_string_lossy().into_owned()).collect();
        assert_eq!(names, ["a", "d", "file-then-dir", "link", "loop", "opaque"]);
    }
}
