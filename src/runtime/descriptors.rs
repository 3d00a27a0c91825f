//! The descriptors of a process that is about to become a command: its streams, what is passed on by number, the channel to
//! the monitor, and nothing else of the monitor's.

use super::launch::Streams;
use crate::base::{Error, Result};
use crate::sys::channel::Channel;
use crate::sys::process as sysproc;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

/// What a child has after [`arrange`].
#[derive(Debug)]
pub(super) struct Arranged {
    /// The channel to the monitor, closed on exec, at the first number from 3 on that nothing is passed under.
    pub(super) channel: Channel,
    /// Copies of what was to be kept, in the same order, closed on exec.
    pub(super) kept: Vec<OwnedFd>,
}

/// Makes descriptors 0, 1, 2 the streams (or /dev/null), puts what is passed on under its numbers, and closes all but these,
/// the channel and copies of `keep`. Called in a child only: every other object that owns a descriptor is void afterwards.
pub(super) fn arrange(streams: Streams, channel: Channel, keep: &[BorrowedFd<'_>]) -> Result<Arranged> {
    let null: OwnedFd = nix::fcntl::open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    let or_null = |stream: Option<OwnedFd>| match stream {
        Some(fd) => Ok::<_, Error>(fd),
        None => Ok(null.try_clone()?),
    };
    let standard = [or_null(streams.stdin)?, or_null(streams.stdout)?, or_null(streams.stderr)?];
    let passed = streams.passed;
    let sources: Vec<(RawFd, BorrowedFd<'_>)> = (0..)
        .zip(standard.iter().map(AsFd::as_fd))
        .chain(passed.iter().map(|(number, fd)| (*number, fd.as_fd())))
        .collect();
    let own = (3..).find(|number| !passed.iter().any(|(taken, _)| taken == number)).unwrap_or(3);
    let above = sources.iter().map(|(number, _)| *number).max().unwrap_or(0).max(own) + 1;
    // First out of the way of the numbers they are going to be copied to.
    let high = |fd: BorrowedFd<'_>| fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(above));
    let mut targets = Vec::new();
    for (number, fd) in &sources {
        targets.push((*number, high(*fd)?));
    }
    targets.push((own, high(channel.as_fd())?));
    let kept = keep.iter().map(|fd| high(*fd)).collect::<nix::Result<Vec<RawFd>>>()?;
    for (number, fd) in &targets {
        sysproc::copy_descriptor(*fd, *number)?;
    }
    // What these objects owned is closed or renumbered; they must not close a number again that is in use by now.
    std::mem::forget((standard, passed, channel, null));
    let open: Vec<RawFd> = targets.iter().map(|(number, _)| *number).chain(kept.iter().copied()).collect();
    sysproc::close_others(&open);
    sysproc::set_cloexec(own, true)?;
    Ok(Arranged {
        channel: Channel::from_fd(sysproc::adopt(own)),
        kept: kept.into_iter().map(sysproc::adopt).collect(),
    })
}
