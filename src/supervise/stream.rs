//! Descriptors of the caller's, used without changing them: making one non-blocking would change it for the caller's shell
//! too. Writes are made such that they cannot block; an input is looked at before it is read.

use crate::base::units;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{SFlag, fstat};
use nix::sys::termios::{LocalFlags, tcgetattr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A write of at most this many bytes to a pipe that poll(2) calls writable does not block (pipe(7), PIPE_BUF).
const PIPE_BUF: usize = 4096;
const BUFFER: usize = 64 * 1024;

/// What a descriptor leads to, as far as writing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A pipe or fifo.
    Pipe,
    /// A socket.
    Socket,
    /// Regular files and devices: their writes do not wait for a reader. Pseudo-terminals' masters are non-blocking already.
    File,
}

impl Kind {
    /// Looks at a descriptor.
    pub(super) fn of(fd: impl AsFd) -> Self {
        match fstat(fd).map(|s| SFlag::from_bits_truncate(s.st_mode) & SFlag::S_IFMT) {
            Ok(SFlag::S_IFIFO) => Self::Pipe,
            Ok(SFlag::S_IFSOCK) => Self::Socket,
            _ => Self::File,
        }
    }
}

/// Writes what can be written at once; EAGAIN when that is nothing.
pub(super) fn write_now(fd: &OwnedFd, kind: Kind, bytes: &[u8]) -> Result<usize, Errno> {
    match kind {
        Kind::Pipe => crate::sys::fs::write_nowait(fd, bytes, PIPE_BUF),
        Kind::Socket => send(fd.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL),
        Kind::File => nix::unistd::write(fd, bytes),
    }
}

/// Bytes of a client's on their way into the container: to its terminal, or to a pipe of the monitor's.
#[derive(Debug)]
pub(super) struct Input {
    /// The session it belongs to.
    pub(super) session: u64,
    source: Option<OwnedFd>,
    sink: OwnedFd,
    kind: Kind,
    buffer: Vec<u8>,
    written: usize,
    /// What the end of the input is to a terminal: a character.
    ending: Option<u8>,
    /// When to write that again, and how long to wait then.
    again: Option<(u64, u64)>,
}

/// How long after the end of an input a terminal is told of it once more. A shell that turns to its own line editing in between
/// takes the character for one without a meaning, and would wait for ever; an end of input stays one.
const TELL_AGAIN_NANOS: u64 = 250_000_000;
const TELL_AGAIN_MOST: u64 = 16_000_000_000;
/// Ctrl-U.
const KILL_LINE: u8 = 0x15;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// There may be more to do at once.
    More,
    /// Nothing to do until poll says so.
    Wait,
    /// The source is at its end and all is written, or nobody reads any more.
    Done,
}

impl Input {
    /// `ending` is written at the end of the input, and again from time to time for as long as the input lives.
    pub(super) fn new(session: u64, source: OwnedFd, sink: OwnedFd, ending: Option<u8>) -> Self {
        let kind = Kind::of(&sink);
        Self { session, source: Some(source), sink, kind, buffer: Vec::new(), written: 0, ending, again: None }
    }

    /// What poll should wait for: the source's data, or the sink's room.
    pub(super) fn waits_for(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        if self.written < self.buffer.len() {
            return Some((self.sink.as_fd(), PollFlags::POLLOUT));
        }
        self.source.as_ref().map(|fd| (fd.as_fd(), PollFlags::POLLIN))
    }

    /// When it has something to do that poll does not tell of, by [`units::boot_nanos`].
    pub(super) fn deadline(&self) -> Option<u64> {
        self.again.map(|(at, _)| at)
    }

    /// At the end of the input: writes what stands for it.
    fn end(&mut self) -> Progress {
        let Some(byte) = self.ending else { return Progress::Done };
        let now = units::boot_nanos();
        let wait = match self.again {
            Some((at, _)) if now < at => return Progress::Wait,
            Some((_, wait)) => wait,
            None => TELL_AGAIN_NANOS,
        };
        // What a line editor has made of the first one stands in its line, and only an empty line can be ended.
        let edits =
            self.again.is_some() && tcgetattr(&self.sink).is_ok_and(|t| !t.local_flags.contains(LocalFlags::ICANON));
        self.again = Some((now + wait, TELL_AGAIN_MOST.min(wait * 2)));
        self.buffer = if edits { vec![KILL_LINE, byte] } else { vec![byte] };
        self.written = 0;
        self.write()
    }

    /// Writes what is waiting, else reads the next piece.
    fn step(&mut self) -> Progress {
        if self.written < self.buffer.len() {
            return self.write();
        }
        let Some(source) = &self.source else { return self.end() };
        if !is_readable(source.as_fd()) {
            return Progress::Wait;
        }
        self.buffer.resize(BUFFER, 0);
        self.written = 0;
        let result = nix::unistd::read(source, &mut self.buffer);
        self.buffer.truncate(*result.as_ref().unwrap_or(&0));
        match result {
            Ok(0) | Err(Errno::EIO) => {
                self.source = None;
                self.end()
            }
            Ok(_) => self.write(),
            Err(Errno::EINTR) => Progress::More,
            Err(Errno::EAGAIN) => Progress::Wait,
            Err(_) => Progress::Done,
        }
    }

    /// Moves at most `pieces` for as long as none would block; false when it is done.
    pub(super) fn pump(&mut self, pieces: usize) -> bool {
        for _ in 0..pieces {
            match self.step() {
                Progress::More => {}
                Progress::Wait => return true,
                Progress::Done => return false,
            }
        }
        true
    }

    fn write(&mut self) -> Progress {
        match write_now(&self.sink, self.kind, &self.buffer[self.written..]) {
            Ok(n) => {
                self.written += n;
                Progress::More
            }
            Err(Errno::EINTR) => Progress::More,
            Err(Errno::EAGAIN) => Progress::Wait,
            Err(_) => Progress::Done,
        }
    }
}

/// A look at a descriptor that may be blocking.
pub(super) fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1))
}
