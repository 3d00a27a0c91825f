//! A log in the system's journal: one datagram for each line, or a file in memory where that would be too large.

use crate::state::log::{Settings, Stream, journal};
use crate::state::record::ContainerRecord;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::fs::File;
use std::io::{IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

/// How long a busy journal is waited for, in milliseconds, before an entry is dropped.
const PATIENCE: u16 = 100;

#[derive(Debug)]
pub(super) struct JournalLog {
    path: PathBuf,
    common: Vec<u8>,
    socket: Option<UnixDatagram>,
    entry: Vec<u8>,
    /// Bytes of lines that were not taken.
    lost: u64,
}

impl JournalLog {
    pub(super) fn new(record: &ContainerRecord, settings: &Settings, path: PathBuf) -> Self {
        let common = journal::common(record, settings.tag_of(record).as_deref());
        Self { path, common, socket: None, entry: Vec::new(), lost: 0 }
    }

    pub(super) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let mut rest = bytes;
        // A journal that does not take one line does not take the next thousand either: one wait for each piece.
        let mut patience = PATIENCE;
        while !rest.is_empty() {
            let piece = &rest[..rest.len().min(journal::MOST)];
            let end = memchr::memchr(b'\n', piece).map_or(piece.len(), |at| at + 1);
            if !self.note_lost(patience) || !self.entry(stream, &piece[..end], patience) {
                self.lost += end as u64;
                patience = 0;
            }
            rest = &rest[end..];
        }
    }

    /// Says that lines are missing, once there is somebody to tell again.
    fn note_lost(&mut self, patience: u16) -> bool {
        if self.lost == 0 {
            return true;
        }
        let text = format!("runr: {} bytes of output could not be written to the journal\n", self.lost);
        let taken = self.entry(Stream::Stderr, text.as_bytes(), patience);
        if taken {
            self.lost = 0;
        }
        taken
    }

    fn entry(&mut self, stream: Stream, piece: &[u8], patience: u16) -> bool {
        self.entry.clear();
        self.entry.extend_from_slice(&self.common);
        journal::message(&mut self.entry, stream, piece);
        self.send(patience).is_ok()
    }

    fn send(&mut self, patience: u16) -> std::io::Result<()> {
        let (mut connected_now, mut patience) = (false, patience);
        // What is larger than a datagram may be: the protocol takes it as a file that nobody can change any more.
        let mut large: Option<File> = None;
        loop {
            if self.socket.is_none() {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                socket.connect(&self.path)?;
                (self.socket, connected_now) = (Some(socket), true);
            }
            let Some(socket) = &self.socket else { continue };
            let sent = match &large {
                Some(file) => send_file(socket, file),
                None => socket.send(&self.entry).map(drop),
            };
            let Err(e) = sent else { return Ok(()) };
            match e.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EINTR) => {}
                Some(Errno::EAGAIN) if patience > 0 => {
                    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
                    if !matches!(poll(&mut fds, PollTimeout::from(patience)), Ok(1..)) {
                        return Err(e);
                    }
                    patience = 0;
                }
                Some(Errno::EMSGSIZE | Errno::ENOBUFS) if large.is_none() => large = Some(sealed(&self.entry)?),
                // The journal was started anew.
                Some(Errno::ECONNREFUSED | Errno::ENOTCONN | Errno::ECONNRESET | Errno::EPIPE) if !connected_now => {
                    self.socket = None;
                }
                _ => return Err(e),
            }
        }
    }
}

/// A file in memory with these bytes and no others for ever: journald takes none that could still change (memfd_create(2)).
fn sealed(entry: &[u8]) -> std::io::Result<File> {
    let memory = memfd_create(c"runr-journal", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut file = File::from(memory);
    file.write_all(entry)?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file)
}

/// A datagram without bytes, and the file beside it.
fn send_file(socket: &UnixDatagram, file: &File) -> std::io::Result<()> {
    let fds = [file.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&[])], &control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}
