//! Copies that share their blocks: ioctl_ficlone(2).

use crate::base::{Doing, Result};
use nix::errno::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Makes `to` share all of `from`'s data. Errors with `EOPNOTSUPP`, `EXDEV` or `EINVAL` where the file system cannot.
pub fn clone_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: FICLONE takes the source descriptor as an integer; both descriptors are borrowed for the whole call.
    let ret = unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONE as _, from.as_raw_fd()) };
    Errno::result(ret).map(drop).doing(|| "share blocks of file")
}
