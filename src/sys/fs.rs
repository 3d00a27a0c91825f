//! Files by descriptor: openat2(2) with its resolve flags, and what nix lacks.

use crate::base::{Doing, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Opens `path` as if `root` were `/`: absolute names, `..` and symlinks stay inside, magic links (`/proc/x/fd/y`) are
/// refused. openat2(2), Linux 5.6.
pub fn open_in_root(root: impl AsFd, path: &Path, flags: OFlag, mode: Mode) -> Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .mode(if flags.contains(OFlag::O_CREAT) { mode } else { Mode::empty() })
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    loop {
        match nix::fcntl::openat2(&root, path, how) {
            // The kernel could not be sure that a concurrent rename kept `..` inside; it asks for another try.
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            other => return other.doing(|| format!("open `{}` in the container's root", path.display())),
        }
    }
}
