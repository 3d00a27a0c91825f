//! runr's own executable as a container may see it: read-only.
//!
//! The process that executes the command runs runr's file of the host, and `/proc/self/exe` leads back to it: as the
//! interpreter of a hostile script, or to a process that an `exec` joins. Where the container's root may write that file (it is
//! the user's own, in ~/.local/bin), an image could overwrite it (CVE-2019-5736). So the last steps run from a detached
//! read-only bind mount of the file, which no process can remount: one more execve, 0.5 ms. An executable that root has
//! installed pays nothing.

use crate::base::{Doing, Error, Kind, Result};
use crate::sys::mount::{attr, clone_tree, set_attributes};
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{FileStat, fstat, stat};
use nix::unistd::{AccessFlags, access, geteuid};
use std::os::fd::OwnedFd;
use std::path::Path;

const OWN: &str = "/proc/self/exe";

/// True when who is root in the container could write runr's file: by owning it, or by its mode. To be asked in the host's
/// user namespace: in a new one without maps every owner looks like nobody, and every file as if it needed protection.
pub(super) fn is_writable() -> bool {
    // A group that is not the user's own may still be one of the subordinate ones.
    let safe = stat(OWN).is_ok_and(|s| s.st_uid == 0 && s.st_mode & 0o022 == 0);
    !safe || geteuid().is_root() || access(OWN, AccessFlags::W_OK).is_ok()
}

/// A descriptor to execute it through. Called while the host's tree is visible, in a mount namespace of our own.
pub(super) fn read_only() -> Result<OwnedFd> {
    match bind() {
        Ok(fd) => Ok(fd),
        // Deleted or replaced since it was started (an upgrade), or not visible here: then a sealed copy in memory.
        Err(_) => crate::sys::fs::sealed_copy(Path::new(OWN)),
    }
}

fn bind() -> Result<OwnedFd> {
    let same = |a: &FileStat, b: &FileStat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
    let path = std::fs::read_link(OWN).doing(|| format!("read `{OWN}`"))?;
    let own = stat(OWN).doing(|| format!("look at `{OWN}`"))?;
    // By its path: the magic link leads to a mount of the host's namespace, of which no clone can be made here.
    let mount = clone_tree(AT_FDCWD, &path, false)?;
    let there = fstat(&mount).doing(|| "look at runr's executable")?;
    if !same(&own, &there) {
        return Err(Error::new(Kind::Conflict, format!("`{}` is not this program any more", path.display())));
    }
    set_attributes(&mount, attr::RDONLY | attr::NOSUID | attr::NODEV, 0, libc::MS_PRIVATE, false)?;
    Ok(mount)
}
