//! What a namespace's descriptor says of itself (ioctl_nsfs(2)).

use crate::base::{Doing, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// `_IO(0xb7, 0x1)`.
const NS_GET_USERNS: libc::c_ulong = 0xb701;
/// `_IO(0xb7, 0x3)`.
const NS_GET_NSTYPE: libc::c_ulong = 0xb703;

/// Which kind of namespace it is, `CLONE_NEW*`; ENOTTY for a descriptor of something else.
pub fn kind(fd: impl AsFd) -> Result<i32> {
    // SAFETY: this request takes no argument.
    Errno::result(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), NS_GET_NSTYPE) }).doing(|| "look at a namespace")
}

/// The user namespace that owns it; EPERM when that is not this process's own and not below it.
pub fn owner(fd: impl AsFd) -> Result<OwnedFd> {
    // SAFETY: this request takes no argument and returns a new descriptor, which nobody else owns.
    unsafe {
        let owner = Errno::result(libc::ioctl(fd.as_fd().as_raw_fd(), NS_GET_USERNS));
        owner.doing(|| "find the owner of a namespace").map(|fd| OwnedFd::from_raw_fd(fd))
    }
}
