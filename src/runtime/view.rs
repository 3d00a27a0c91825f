//! A container's files as another process sees them: for copying, packing and mounting from outside.
//!
//! The calling process is root of the container's user namespace, has one thread, and does nothing else any more: it leaves
//! its mount namespace. What it gets is a descriptor of the root; every path from there on is resolved below that.

use super::layered::{self, overlay};
use super::plan::Root;
use super::tree;
use crate::base::{Doing, Error, Kind, Result};
use crate::store::layers::MAX_LOWERS;
use crate::sys::mount::{attr, clone_tree, move_mount, set_attributes};
use nix::fcntl::{AT_FDCWD, OFlag};
use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What is done with the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing changes, so the container may be started meanwhile.
    Read,
    /// Changes go where the container's own would. Nobody else has the root mounted: the caller holds the container's lock.
    Write,
}

/// A file or folder of the host that the container has somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Absolute, on the host.
    pub source: PathBuf,
    /// Absolute, in the container.
    pub target: String,
    /// It can't be written there.
    pub read_only: bool,
}

/// The root of a running container, whose mount namespace this process has entered: with everything mounted in it.
pub fn running() -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::open("/", flags, Mode::empty()).doing(|| "open the container's root")
}

/// Only the root filesystem of what [`running`] gave, without the mounts in it.
pub fn without_mounts(root: &OwnedFd) -> Result<OwnedFd> {
    clone_tree(root.as_fd(), Path::new(""), false)
}

/// The root filesystem of a container that does not run, alone.
pub fn root(root: &Root, access: Access) -> Result<OwnedFd> {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).doing(|| "unshare the mount tree")?;
    nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .doing(|| "unshare the mount tree")?;
    mount_root(root, access)
}

/// The root filesystem, detached.
fn mount_root(root: &Root, access: Access) -> Result<OwnedFd> {
    match root {
        Root::Dir(path) => {
            let mount = clone_tree(AT_FDCWD, path, true)?;
            if access == Access::Read {
                set_attributes(&mount, attr::RDONLY, 0, 0, true)?;
            }
            Ok(mount)
        }
        Root::Overlay { lowers, upper, work, root_like } => {
            if access == Access::Read && lowers.len() < MAX_LOWERS {
                // The upper folder as one more layer: two overlays must not write to it.
                let layers: Vec<PathBuf> = std::iter::once(upper).chain(lowers).cloned().collect();
                return overlay(&layers, None);
            }
            match access {
                Access::Read => overlay(lowers, Some((upper, work))),
                Access::Write => layered::mount(lowers, upper, work, root_like.as_deref(), &mut Vec::new()),
            }
        }
    }
}

/// The root filesystem with these places in it, the outer ones first. `staging` is an empty folder to attach it to. A place
/// whose target is missing is made, or left out where nothing may change.
pub fn with_places(root_from: &Root, access: Access, staging: &Path, places: &[Place]) -> Result<OwnedFd> {
    let mount = root(root_from, access)?;
    if places.is_empty() {
        return Ok(mount);
    }
    let staging_fd = tree::open_path(staging)?;
    move_mount(&mount, &staging_fd).doing(|| format!("attach the root filesystem at `{}`", staging.display()))?;
    for place in places {
        put(&mount, place, access).map_err(|e| e.step(format!("mount `{}`", place.target)))?;
    }
    Ok(mount)
}

fn put(root: &OwnedFd, place: &Place, access: Access) -> Result<()> {
    let source = clone_tree(AT_FDCWD, &place.source, true)?;
    let target = match (access, tree::is_dir(&source)?) {
        (Access::Read, _) => match tree::open_existing(root, &place.target)? {
            Some(target) => target,
            None => return Ok(()),
        },
        (Access::Write, true) => tree::ensure_dir(root, &place.target, false)?,
        (Access::Write, false) => tree::ensure_file(root, &place.target)?,
    };
    if tree::is_same(root, &target)? {
        let text = "a link in the image leads to its root, over which nothing may be mounted";
        return Err(Error::new(Kind::Denied, text));
    }
    set_attributes(&source, 0, 0, libc::MS_PRIVATE, true)?;
    if place.read_only || access == Access::Read {
        set_attributes(&source, attr::RDONLY, 0, 0, true)?;
    }
    move_mount(&source, &target)
}

/// Attaches the root filesystem to the folder `at` of this process's own mount namespace, for good.
pub fn attach(root: &Root, access: Access, at: &Path) -> Result<()> {
    let mount = mount_root(root, access)?;
    move_mount(&mount, &tree::open_path(at)?).doing(|| format!("mount the root filesystem at `{}`", at.display()))
}
