//! Descriptors over a unix stream socket (unix(7), SCM_RIGHTS), one message with one byte of data at a time.

use crate::base::{Doing, Error, Kind, Result};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// The most descriptors one message carries here.
const MOST: usize = 8;

/// Sends copies of `fds` and one byte. Concurrent senders do not mix: each message is one byte.
pub fn send_fds(socket: &UnixStream, tag: u8, fds: &[BorrowedFd<'_>]) -> Result<()> {
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    loop {
        let sent = sendmsg::<()>(
            socket.as_raw_fd(),
            &[IoSlice::new(&[tag])],
            &[ControlMessage::ScmRights(&raw)],
            MsgFlags::MSG_NOSIGNAL,
            None,
        );
        match sent {
            Err(Errno::EINTR) => {}
            other => return other.map(drop).doing(|| "send descriptors"),
        }
    }
}

/// Receives one byte and the descriptors sent with it; `None` when the other side has closed.
pub fn receive_fds(socket: &UnixStream) -> Result<Option<(u8, Vec<OwnedFd>)>> {
    let mut byte = [0u8];
    let mut space = nix::cmsg_space!([RawFd; MOST]);
    let mut parts = [IoSliceMut::new(&mut byte)];
    let message = loop {
        match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
            Err(Errno::EINTR) => {}
            other => break other.doing(|| "receive descriptors")?,
        }
    };
    let mut fds = Vec::new();
    for control in message.cmsgs().doing(|| "receive descriptors")? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            // SAFETY: the kernel has just made these descriptors for this process; nobody else owns them.
            fds.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    if message.flags.contains(MsgFlags::MSG_CTRUNC) {
        return Err(Error::new(Kind::Bug, format!("received a message with more than {MOST} descriptors")));
    }
    let empty = message.bytes == 0;
    Ok((!empty).then_some((byte[0], fds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsFd;

    #[test]
    fn descriptors_arrive_with_their_byte() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"hello").unwrap();
        file.rewind().unwrap();
        send_fds(&ours, 7, &[file.as_fd(), ours.as_fd()]).unwrap();
        send_fds(&ours, 8, &[file.as_fd()]).unwrap();
        drop(ours);
        let (tag, fds) = receive_fds(&theirs).unwrap().unwrap();
        assert_eq!((tag, fds.len()), (7, 2));
        let mut text = String::new();
        std::fs::File::from(fds.into_iter().next().unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        assert_eq!(receive_fds(&theirs).unwrap().unwrap().0, 8);
        assert!(receive_fds(&theirs).unwrap().is_none());
    }
}
