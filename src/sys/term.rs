//! Pseudo-terminals (pts(4), ioctl_tty(2)).

use crate::base::{Doing, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters per line.
    pub columns: u16,
}

/// Unlocks a master's slave and opens it without going through a path (`TIOCSPTLCK`, `TIOCGPTPEER`, Linux 4.13): a path in
/// a container is the container's.
pub fn open_slave(master: impl AsFd) -> Result<OwnedFd> {
    let fd = master.as_fd().as_raw_fd();
    let unlocked: libc::c_int = 0;
    // SAFETY: the request reads one int, which lives through the call.
    Errno::result(unsafe { libc::ioctl(fd, libc::TIOCSPTLCK, &raw const unlocked) })
        .doing(|| "unlock pseudo-terminal")?;
    // SAFETY: the request takes open flags by value and returns a new descriptor that nobody else owns.
    let slave =
        Errno::result(unsafe { libc::ioctl(fd, libc::TIOCGPTPEER, libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) })
            .doing(|| "open pseudo-terminal")?;
    // SAFETY: see above.
    Ok(unsafe { OwnedFd::from_raw_fd(slave) })
}

/// The number of a master's slave: `/dev/pts/<number>`.
pub fn slave_number(master: impl AsFd) -> Result<u32> {
    let mut number: libc::c_uint = 0;
    // SAFETY: the request writes one unsigned int, which lives through the call.
    Errno::result(unsafe { libc::ioctl(master.as_fd().as_raw_fd(), libc::TIOCGPTN, &raw mut number) })
        .doing(|| "number of the pseudo-terminal")?;
    Ok(number)
}

/// Makes the terminal the controlling one of this process's session.
pub fn set_controlling(terminal: impl AsFd) -> Result<()> {
    // SAFETY: the request takes an int by value.
    Errno::result(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSCTTY, 0) })
        .map(drop)
        .doing(|| "set controlling terminal")
}

/// The terminal's size, or `None` if `fd` is not a terminal.
pub fn size(fd: impl AsFd) -> Option<Size> {
    let mut ws = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request writes one winsize, which lives through the call.
    let ret = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut ws) };
    (ret == 0).then_some(Size { rows: ws.ws_row, columns: ws.ws_col })
}

/// Sets the terminal's size; its foreground process group gets SIGWINCH.
pub fn set_size(fd: impl AsFd, size: Size) -> Result<()> {
    let ws = libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request reads one winsize, which lives through the call.
    Errno::result(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &raw const ws) })
        .map(drop)
        .doing(|| "set terminal size")
}

/// True if `fd` is a terminal.
pub fn is_terminal(fd: impl AsFd) -> bool {
    size(fd).is_some()
}
