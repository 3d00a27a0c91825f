//! A pseudo-terminal of the container's own devpts, on a process that is about to become a command in it.

use super::tree;
use crate::base::Result;
use crate::sys::fs::open_in_root;
use crate::sys::process as sysproc;
use crate::sys::term;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Opens a new one below `root`: (master, slave). The slave is reached through the master and never by a path of the
/// container's, which may have put anything in its place.
pub(super) fn open(root: &OwnedFd) -> Result<(OwnedFd, OwnedFd)> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW;
    let place = open_in_root(root, Path::new("/dev/pts/ptmx"), OFlag::O_PATH | OFlag::O_NOFOLLOW, Mode::empty())?;
    // Looked at before it is opened: to open a device or a fifo may do things by itself.
    tree::require_device(&place, 5, 2)?;
    let master = open_in_root(root, Path::new("/dev/pts/ptmx"), flags, Mode::empty())?;
    tree::require_device(&master, 5, 2)?;
    let slave = term::open_slave(&master)?;
    Ok((master, slave))
}

/// Makes it this session's terminal and puts it on the standard streams.
pub(super) fn take(slave: OwnedFd) -> Result<()> {
    term::set_controlling(&slave)?;
    for number in 0..3 {
        sysproc::copy_descriptor(slave.as_raw_fd(), number)?;
    }
    if slave.as_raw_fd() < 3 {
        // It is one of them by now, and must stay open.
        std::mem::forget(slave);
    }
    Ok(())
}
