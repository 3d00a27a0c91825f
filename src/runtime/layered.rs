//! An image's layers as the container's root: an overlay, or a copy of what it would show where the kernel refuses one.
//!
//! That the file system can have overlays was tried beforehand (`store::probe`), but a security module, a mount option or an
//! odd lower layer may refuse this very one. The process that finds out is root of the layers' user namespace, so it can make
//! the copy itself.

use super::plan::Root;
use super::tree;
use crate::base::{Doing, Error, Kind, Result};
use crate::rootfs::flatten;
use crate::sys::mount::{FsContext, clone_tree};
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The container's root, detached.
pub(super) fn root(root: &Root, notes: &mut Vec<String>) -> Result<OwnedFd> {
    match root {
        Root::Overlay { lowers, upper, work, root_like } => mount(lowers, upper, work, root_like.as_deref(), notes),
        Root::Dir(path) => clone_tree(AT_FDCWD, path, true),
    }
}

/// The writable root, detached. `lowers` are topmost first; `root_like` is given for an `upper` that nobody has used yet.
pub(super) fn mount(
    lowers: &[PathBuf],
    upper: &Path,
    work: &Path,
    root_like: Option<&Path>,
    notes: &mut Vec<String>,
) -> Result<OwnedFd> {
    let copy = upper.with_file_name(Root::COPY);
    // Once a copy, always one: its changes are in it.
    if copy.exists() {
        return clone_tree(AT_FDCWD, &copy, true);
    }
    let refusal = match writable(lowers, upper, work, root_like) {
        Err(e) if is_refusal(&e) => e,
        other => return other,
    };
    let copied = match root_like {
        Some(like) => flatten::copy_inside(lowers, like, &copy),
        None => {
            let all: Vec<PathBuf> = std::iter::once(upper.to_owned()).chain(lowers.iter().cloned()).collect();
            flatten::copy_inside(&all, upper, &copy)
        }
    };
    copied.doing(|| refusal.to_string())?;
    notes.push(Root::COPIED.to_owned());
    clone_tree(AT_FDCWD, &copy, true)
}

fn writable(lowers: &[PathBuf], upper: &Path, work: &Path, root_like: Option<&Path>) -> Result<OwnedFd> {
    if let Some(layer) = root_like {
        tree::copy_root_metadata(layer, upper)?;
    }
    overlay(lowers, Some((upper, work)))
}

/// The kernel will not have this overlay, whatever is on disk; another errno means that something is missing or broken.
fn is_refusal(e: &Error) -> bool {
    matches!(
        e.errno(),
        Some(
            Errno::EPERM
                | Errno::EACCES
                | Errno::EINVAL
                | Errno::ENODEV
                | Errno::EOPNOTSUPP
                | Errno::ENOSYS
                | Errno::EREMOTE
                | Errno::EXDEV
        )
    )
}

/// An overlay of absolute folders. `userxattr` because in a user namespace only `user.*` attributes can be written
/// (Linux 5.11). Without upper and work folder it is read-only.
pub(super) fn overlay(lowers: &[std::path::PathBuf], writable: Option<(&Path, &Path)>) -> Result<OwnedFd> {
    let context = FsContext::open("overlay")?;
    let set = |key: &str, path: &Path| -> Result<()> {
        let folder = tree::open_path(path)?;
        match context.descriptor(key, &folder) {
            Ok(()) => Ok(()),
            // Layers by descriptor came with Linux 6.13; `lowerdir+` by path with 6.8.
            Err(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::EBADF) => {
                context.string(key, path.as_os_str().as_encoded_bytes())
            }
            Err(e) => Err(e).doing(|| format!("add layer `{}` to the overlay", path.display())),
        }
    };
    context.flag("userxattr")?;
    let appended = lowers.iter().try_for_each(|lower| set("lowerdir+", lower));
    if appended.is_err() {
        return overlay_by_string(lowers, writable);
    }
    if let Some((upper, work)) = writable {
        set("upperdir", upper)?;
        set("workdir", work)?;
    }
    context.mount(0).map_err(explain_overlay)
}

/// Before Linux 6.8 all lower folders come in one option of at most a page, so they are named relative to their common
/// parent: `<diff id>/<map>/fs`.
fn overlay_by_string(lowers: &[std::path::PathBuf], writable: Option<(&Path, &Path)>) -> Result<OwnedFd> {
    let base =
        lowers.iter().skip(1).fold(lowers.first().and_then(|p| p.parent()).map(Path::to_path_buf), |base, lower| {
            let mut base = base?;
            while !lower.starts_with(&base) {
                base = base.parent()?.to_path_buf();
            }
            Some(base)
        });
    let base = base.unwrap_or_else(|| "/".into());
    let here = tree::open_path(Path::new("."))?;
    nix::unistd::chdir(&base).doing(|| format!("enter `{}`", base.display()))?;
    let escape = |path: &Path| path.display().to_string().replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,");
    let relative: Vec<String> = lowers.iter().map(|l| escape(l.strip_prefix(&base).unwrap_or(l))).collect();
    let context = FsContext::open("overlay")?;
    context.flag("userxattr")?;
    context.string("lowerdir", relative.join(":"))?;
    if let Some((upper, work)) = writable {
        context.string("upperdir", upper.as_os_str().as_encoded_bytes())?;
        context.string("workdir", work.as_os_str().as_encoded_bytes())?;
    }
    let mount = context.mount(0).map_err(explain_overlay);
    nix::unistd::fchdir(here).doing(|| "return to the folder")?;
    mount
}

fn explain_overlay(e: Error) -> Error {
    match e.errno() {
        Some(Errno::EPERM | Errno::ENODEV) => {
            e.with_kind(Kind::Unsupported).hint("overlay in user namespaces needs Linux 5.11 or newer")
        }
        _ => e,
    }
}
