//! Files by descriptor: openat2(2) with its resolve flags, and what nix lacks.

use crate::base::{Doing, Error, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::{Mode, SFlag};
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

/// Major and minor number of a block device.
///
/// Errors: `Usage` when the path names none.
pub fn block_device(path: &Path) -> Result<(u64, u64)> {
    let stat = nix::sys::stat::stat(path).doing(|| format!("look at device `{}`", path.display()))?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFBLK {
        return Err(Error::usage(format!("`{}` is no block device", path.display())));
    }
    Ok((nix::sys::stat::major(stat.st_rdev), nix::sys::stat::minor(stat.st_rdev)))
}

/// Writes without ever waiting: pwritev2(2) with RWF_NOWAIT, which pipes know since Linux 6.5; before, at most `safe` bytes
/// after a look with poll(2). EAGAIN when there is no room.
pub fn write_nowait(fd: impl AsFd, bytes: &[u8], safe: usize) -> std::result::Result<usize, Errno> {
    use std::os::fd::AsRawFd;
    let slice = libc::iovec { iov_base: bytes.as_ptr() as *mut libc::c_void, iov_len: bytes.len() };
    // SAFETY: the vector points at `bytes`, which the call only reads and which lives through it; offset -1 means the
    // file's own position, as pipes want it.
    let ret = unsafe { libc::pwritev2(fd.as_fd().as_raw_fd(), &raw const slice, 1, -1, libc::RWF_NOWAIT) };
    match Errno::result(ret) {
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::ESPIPE | Errno::EINVAL) => {}
        other => return other.map(|n| n as usize),
    }
    let mut poll = [nix::poll::PollFd::new(fd.as_fd(), nix::poll::PollFlags::POLLOUT)];
    match nix::poll::poll(&mut poll, nix::poll::PollTimeout::ZERO)? {
        0 => Err(Errno::EAGAIN),
        _ => nix::unistd::write(&fd, &bytes[..bytes.len().min(safe)]),
    }
}

/// A copy of a file in memory that nobody can change any more (memfd_create(2), `F_SEAL_*`), good for execution.
pub fn sealed_copy(path: &Path) -> Result<OwnedFd> {
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let copy = || -> Result<OwnedFd> {
        let memory = memfd_create(c"runr", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        let mut target = std::fs::File::from(memory);
        std::io::copy(&mut std::fs::File::open(path)?, &mut target)?;
        let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
        fcntl(&target, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(target.into())
    };
    copy().map_err(|e| e.step(format!("copy `{}` into memory", path.display())))
}
