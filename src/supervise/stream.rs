//! Output of the container on its way to a descriptor of the caller's: a file, a pipe, a socket, /dev/null.
//!
//! The caller's descriptor is used as it is: making it non-blocking would change it for the caller's shell too. Writes are
//! made such that they cannot block, so that a reader who has stopped reading stops this one stream and not the monitor.

use crate::base::Result;
use nix::errno::Errno;
use nix::sys::stat::{SFlag, fstat};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A write of at most this many bytes to a pipe that poll(2) calls writable does not block (pipe(7), PIPE_BUF).
const PIPE_BUF: usize = 4096;
const BUFFER: usize = 64 * 1024;

/// What the last step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// There may be more to do at once.
    More,
    /// Nothing to do until poll says so.
    Wait,
    /// The source is at its end and all is written, or nobody reads any more.
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pipe,
    Socket,
    /// Regular files and devices: their writes do not wait for a reader.
    File,
}

/// One stream: a source of ours and where it goes.
#[derive(Debug)]
pub(super) struct Stream {
    source: Option<OwnedFd>,
    sink: Option<(OwnedFd, Kind)>,
    buffer: Vec<u8>,
    written: usize,
    /// The direction into the container: the source is the caller's, so it is looked at before it is read.
    input: bool,
    /// What an input ends with: end-of-file for a terminal is a character.
    ending: Option<u8>,
}

impl Stream {
    /// `source` is made non-blocking: it must be the monitor's own end.
    pub(super) fn output(source: OwnedFd, sink: Option<OwnedFd>) -> Result<Self> {
        let flags = nix::fcntl::OFlag::O_NONBLOCK;
        nix::fcntl::fcntl(&source, nix::fcntl::FcntlArg::F_SETFL(flags))?;
        let sink = sink.map(|fd| {
            let mode = fstat(&fd).map(|s| SFlag::from_bits_truncate(s.st_mode) & SFlag::S_IFMT);
            let kind = match mode {
                Ok(SFlag::S_IFIFO) => Kind::Pipe,
                Ok(SFlag::S_IFSOCK) => Kind::Socket,
                _ => Kind::File,
            };
            (fd, kind)
        });
        Ok(Self { source: Some(source), sink, buffer: Vec::new(), written: 0, input: false, ending: None })
    }

    /// The caller's input on its way to the container's terminal, whose master is non-blocking already. `ending` is written
    /// once at the end of the input.
    pub(super) fn input(source: OwnedFd, master: OwnedFd, ending: Option<u8>) -> Self {
        let sink = Some((master, Kind::File));
        Self { source: Some(source), sink, buffer: Vec::new(), written: 0, input: true, ending }
    }

    /// True for the direction into the container.
    pub(super) fn is_input(&self) -> bool {
        self.input
    }

    /// What poll should wait for: the source's data, or the sink's room.
    pub(super) fn waits_for(&self) -> Option<(BorrowedFd<'_>, nix::poll::PollFlags)> {
        if self.written < self.buffer.len() {
            return self.sink.as_ref().map(|(fd, _)| (fd.as_fd(), nix::poll::PollFlags::POLLOUT));
        }
        self.source.as_ref().map(|fd| (fd.as_fd(), nix::poll::PollFlags::POLLIN))
    }

    /// Writes what is waiting, else reads the next piece.
    pub(super) fn step(&mut self) -> Progress {
        if self.written < self.buffer.len() {
            return self.write();
        }
        let Some(source) = &self.source else { return Progress::Done };
        if self.input && !is_readable(source.as_fd()) {
            return Progress::Wait;
        }
        self.buffer.resize(BUFFER, 0);
        self.written = 0;
        let result = nix::unistd::read(source, &mut self.buffer);
        self.buffer.truncate(*result.as_ref().unwrap_or(&0));
        match result {
            // EIO is how a pseudo-terminal says that its last user has closed it.
            Ok(0) | Err(Errno::EIO) => {
                self.source = None;
                match self.ending.take() {
                    Some(byte) => {
                        self.buffer.push(byte);
                        self.write()
                    }
                    None => Progress::Done,
                }
            }
            Ok(_) if self.sink.is_none() => {
                self.buffer.clear();
                Progress::More
            }
            Ok(_) => self.write(),
            Err(Errno::EINTR) => Progress::More,
            Err(Errno::EAGAIN) => Progress::Wait,
            Err(_) => {
                self.source = None;
                Progress::Done
            }
        }
    }

    fn write(&mut self) -> Progress {
        let Some((sink, kind)) = &self.sink else {
            self.buffer.clear();
            self.written = 0;
            return Progress::More;
        };
        let rest = &self.buffer[self.written..];
        let result = match kind {
            Kind::Pipe => crate::sys::fs::write_nowait(sink, rest, PIPE_BUF),
            Kind::Socket => nix::sys::socket::send(
                std::os::fd::AsRawFd::as_raw_fd(sink),
                rest,
                nix::sys::socket::MsgFlags::MSG_DONTWAIT | nix::sys::socket::MsgFlags::MSG_NOSIGNAL,
            ),
            Kind::File => nix::unistd::write(sink, rest),
        };
        match result {
            Ok(n) => {
                self.written += n;
                Progress::More
            }
            Err(Errno::EINTR) => Progress::More,
            Err(Errno::EAGAIN) => Progress::Wait,
            // Nobody reads any more, the disk is full, or the like. There is no other reader, so the container's end of the
            // pipe is broken too, and `runr run … yes | head -1` ends as it does without a container.
            Err(_) => {
                self.sink = None;
                self.source = None;
                self.buffer.clear();
                self.written = 0;
                Progress::Done
            }
        }
    }

    /// True once there is nothing left to carry.
    pub(super) fn is_done(&self) -> bool {
        self.source.is_none() && self.written >= self.buffer.len()
    }

    /// True while bytes wait for the sink.
    pub(super) fn is_pending(&self) -> bool {
        self.written < self.buffer.len()
    }
}

/// A look at a descriptor that may be blocking.
pub(super) fn is_readable(fd: BorrowedFd<'_>) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1))
}
