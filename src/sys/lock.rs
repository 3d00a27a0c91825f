//! Open-file-description locks (fcntl(2), "Open file description locks", Linux 3.15): owned by the descriptor, kept across
//! fork, freed by the kernel when the last copy closes, however its owner ends. Unlike flock they can be probed without
//! being taken, and a probe cannot make somebody else's try fail.

use crate::base::{Doing, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
use std::os::fd::{AsFd, OwnedFd};

/// Shared or exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Any number of holders; needs a readable descriptor.
    Shared,
    /// One holder; needs a writable descriptor.
    Exclusive,
}

fn whole_file(kind: i32) -> libc::flock {
    // l_start 0 and l_len 0 mean the whole file, however long it gets; l_pid must be 0 for OFD locks.
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 }
}

fn kind(mode: Mode) -> i32 {
    match mode {
        Mode::Shared => libc::F_RDLCK,
        Mode::Exclusive => libc::F_WRLCK,
    }
}

/// Takes the lock if it is free; `false` if somebody else has it.
pub fn try_lock(fd: impl AsFd, mode: Mode) -> Result<bool> {
    match fcntl(fd, FcntlArg::F_OFD_SETLK(&whole_file(kind(mode)))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(e) => Err(e).doing(|| "take lock"),
    }
}

/// Waits for the lock.
pub fn lock(fd: impl AsFd, mode: Mode) -> Result<()> {
    loop {
        match fcntl(&fd, FcntlArg::F_OFD_SETLKW(&whole_file(kind(mode)))) {
            Err(Errno::EINTR) => {}
            other => return other.map(drop).doing(|| "wait for lock"),
        }
    }
}

/// Gives the lock back, also if copies of the descriptor are still open elsewhere.
pub fn unlock(fd: impl AsFd) -> Result<()> {
    fcntl(fd, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_UNLCK))).map(drop).doing(|| "give lock back")
}

/// True while somebody else holds the file's exclusive lock. Takes nothing.
pub fn is_locked(fd: impl AsFd) -> Result<bool> {
    let mut probe = whole_file(libc::F_RDLCK);
    fcntl(fd, FcntlArg::F_OFD_GETLK(&mut probe)).doing(|| "probe lock")?;
    Ok(i32::from(probe.l_type) != libc::F_UNLCK)
}

/// Marks a folder as being read for as long as the mark lives, for [`is_read`]. It is a shared flock(2), which a folder can have
/// (locks of fcntl need a file that can be written) and which those above know nothing of. `None` where the file system has none.
pub fn mark_read(folder: OwnedFd) -> Option<Flock<OwnedFd>> {
    Flock::lock(folder, FlockArg::LockSharedNonblock).ok()
}

/// True while somebody has marked the folder as being read.
pub fn is_read(folder: OwnedFd) -> bool {
    matches!(Flock::lock(folder, FlockArg::LockExclusiveNonblock), Err((_, Errno::EWOULDBLOCK)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_sees_the_holder_and_takes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let open =
            || std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
        let (a, b) = (open(), open());
        assert!(!is_locked(&b).unwrap());
        assert!(try_lock(&a, Mode::Exclusive).unwrap());
        assert!(is_locked(&b).unwrap());
        assert!(!is_locked(&a).unwrap(), "the holder itself sees it free");
        assert!(!try_lock(&b, Mode::Shared).unwrap());
        drop(a);
        assert!(try_lock(&b, Mode::Shared).unwrap());
    }
}
