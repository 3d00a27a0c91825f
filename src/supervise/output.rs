//! What the container writes, on its way from one pipe (or its terminal) to everybody who wants it: the log, the command that
//! started the container, and whoever attached to it.
//!
//! The command in the foreground is part of the pipeline: when it doesn't read, the container's writes wait, as they would
//! without a container in between. Others must not be able to hold the container up, so each has a bounded
//! [`Sink::waiting`] and is let go when that is full. The log never waits.

use super::stream::{Kind, write_now};
use crate::base::Result;
use crate::state::log::Stream;
use nix::errno::Errno;
use nix::poll::PollFlags;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How much is read at once.
const BUFFER: usize = 64 * 1024;
/// How much fits into the pipe of a container that writes a lot. Not of every container: what the pipes of one user hold
/// together is limited (pipe(7), pipe-user-pages-soft), and beyond that all his new pipes are tiny.
const WIDE: i32 = 512 * 1024;
/// How much may wait for a reader that is not the foreground's.
const MAX_WAITING: usize = 4 << 20;

/// One reader.
#[derive(Debug)]
pub(super) struct Sink {
    /// The session it belongs to.
    session: u64,
    fd: OwnedFd,
    kind: Kind,
    /// Read but not yet taken.
    waiting: VecDeque<u8>,
    /// It is waited for.
    foreground: bool,
}

/// What happened to a reader during a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// It closed its end, or its disk is full.
    Closed(u64),
    /// It read too slowly.
    Slow(u64),
}

/// One stream of the container and its readers.
#[derive(Debug)]
pub(super) struct Output {
    /// Which one.
    pub(super) stream: Stream,
    source: Option<OwnedFd>,
    sinks: Vec<Sink>,
    buffer: Vec<u8>,
    /// The source's pipe was made larger, or cannot be.
    wide: bool,
}

impl Output {
    /// A stream that nothing writes yet.
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, source: None, sinks: Vec::new(), buffer: Vec::new(), wide: false }
    }

    /// What the container writes from now on. `source` is made non-blocking: it must be the monitor's own end.
    pub(super) fn begin(&mut self, source: OwnedFd) -> Result<()> {
        let flags = nix::fcntl::OFlag::O_NONBLOCK;
        nix::fcntl::fcntl(&source, nix::fcntl::FcntlArg::F_SETFL(flags))?;
        self.source = Some(source);
        self.wide = false;
        Ok(())
    }

    /// Adds a reader.
    pub(super) fn add(&mut self, session: u64, fd: OwnedFd, foreground: bool) {
        let kind = Kind::of(&fd);
        self.sinks.push(Sink { session, fd, kind, waiting: VecDeque::new(), foreground });
    }

    /// Lets the readers of a session go.
    pub(super) fn remove(&mut self, session: u64) {
        self.sinks.retain(|s| s.session != session);
    }

    /// Closes the container's pipe, whose next write then fails (EPIPE).
    pub(super) fn close_source(&mut self) {
        self.source = None;
    }

    /// True while somebody reads.
    pub(super) fn has_readers(&self) -> bool {
        !self.sinks.is_empty()
    }

    /// True while bytes wait for a reader.
    pub(super) fn is_pending(&self) -> bool {
        self.sinks.iter().any(|s| !s.waiting.is_empty())
    }

    /// What poll should wait for.
    pub(super) fn waits_for(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let source = self.source.as_ref().filter(|_| !self.is_held()).map(|fd| (fd.as_fd(), PollFlags::POLLIN));
        let waiting = self.sinks.iter().filter(|s| !s.waiting.is_empty());
        source.into_iter().chain(waiting.map(|s| (s.fd.as_fd(), PollFlags::POLLOUT)))
    }

    /// True while the foreground has not taken what it got.
    fn is_held(&self) -> bool {
        self.sinks.iter().any(|s| s.foreground && !s.waiting.is_empty())
    }

    /// Writes what waits and reads one piece, which `record` gets first. True if there may be more to do at once.
    pub(super) fn step(&mut self, record: &mut dyn FnMut(Stream, &[u8]), lost: &mut Vec<Lost>) -> bool {
        self.flush(lost);
        if self.is_held() {
            return false;
        }
        let Some(source) = &self.source else { return false };
        self.buffer.resize(BUFFER, 0);
        let n = match nix::unistd::read(source, &mut self.buffer) {
            Err(Errno::EINTR) => return true,
            Err(Errno::EAGAIN) => return false,
            // EIO is how a pseudo-terminal says that its last user has closed it.
            Ok(0) | Err(_) => {
                self.source = None;
                return false;
            }
            Ok(n) => n,
        };
        if n == BUFFER && !std::mem::replace(&mut self.wide, true) {
            // A pipe that was full: fewer changes between the two processes.
            let _ = nix::fcntl::fcntl(source, nix::fcntl::FcntlArg::F_SETPIPE_SZ(WIDE));
        }
        let bytes = &self.buffer[..n];
        record(self.stream, bytes);
        self.sinks.retain_mut(|sink| sink.offer(bytes).map_err(|reason| lost.push(reason)).is_ok());
        true
    }

    fn flush(&mut self, lost: &mut Vec<Lost>) {
        self.sinks.retain_mut(|sink| sink.flush().map_err(|reason| lost.push(reason)).is_ok());
    }
}

impl Sink {
    fn offer(&mut self, mut bytes: &[u8]) -> Result<(), Lost> {
        while self.waiting.is_empty() && !bytes.is_empty() {
            match write_now(&self.fd, self.kind, bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(_) => return Err(Lost::Closed(self.session)),
            }
        }
        if !self.foreground && self.waiting.len() + bytes.len() > MAX_WAITING {
            return Err(Lost::Slow(self.session));
        }
        self.waiting.extend(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Lost> {
        while !self.waiting.is_empty() {
            let (first, _) = self.waiting.as_slices();
            match write_now(&self.fd, self.kind, first) {
                Ok(n) => drop(self.waiting.drain(..n)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(_) => return Err(Lost::Closed(self.session)),
            }
        }
        Ok(())
    }
}
