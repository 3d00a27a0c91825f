//! Messages between related processes: a seqpacket socket pair whose packets can carry descriptors (unix(7)).

use crate::base::{Doing, Error, Kind, Result};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg, socketpair,
};
use serde::{Serialize, de::DeserializeOwned};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The largest packet: far above any message of ours, below the default socket buffer.
const MAX_PACKET: usize = 64 * 1024;
/// The most descriptors a packet may carry.
const MAX_FDS: usize = 64;

/// One end of a packet socket.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Two connected ends, both closed on exec.
    pub fn pair() -> Result<(Self, Self)> {
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .doing(|| "create socket pair")?;
        Ok((Self(a), Self(b)))
    }

    /// Takes over a connected seqpacket socket.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Sends `message` as JSON, with descriptors. `false` if the peer is gone.
    pub fn send(&self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> Result<bool> {
        let bytes = serde_json::to_vec(message)?;
        let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let control = [ControlMessage::ScmRights(&raw)];
        let control: &[ControlMessage] = if raw.is_empty() { &[] } else { &control };
        loop {
            match sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(&bytes)], control, MsgFlags::MSG_NOSIGNAL, None) {
                Ok(_) => return Ok(true),
                Err(Errno::EINTR) => {}
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(false),
                Err(e) => return Err(e).doing(|| "send message"),
            }
        }
    }

    /// Sends `message` unless that would block; `false` if it would, or the peer is gone: a peer that doesn't read is lost.
    pub fn try_send(&self, message: &impl Serialize) -> bool {
        self.try_send_with(message, &[])
    }

    /// [`Channel::try_send`] with descriptors.
    pub fn try_send_with(&self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> bool {
        let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let control = [ControlMessage::ScmRights(&raw)];
        let control: &[ControlMessage] = if raw.is_empty() { &[] } else { &control };
        let Ok(bytes) = serde_json::to_vec(message) else { return false };
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        loop {
            match sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(&bytes)], control, flags, None) {
                Ok(_) => return true,
                Err(Errno::EINTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Receives one message and its descriptors; `None` when the peer has closed.
    pub fn receive<T: DeserializeOwned>(&self) -> Result<Option<(T, Vec<OwnedFd>)>> {
        let mut buffer = vec![0u8; MAX_PACKET];
        let mut space = nix::cmsg_space!([RawFd; MAX_FDS]);
        loop {
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let got = match recvmsg::<()>(self.0.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
            {
                Ok(got) => got,
                Err(Errno::EINTR) => continue,
                Err(Errno::ECONNRESET) => return Ok(None),
                Err(e) => return Err(e).doing(|| "receive message"),
            };
            let mut fds = Vec::new();
            for control in got.cmsgs().doing(|| "receive descriptors")? {
                if let ControlMessageOwned::ScmRights(raw) = control {
                    // SAFETY: the kernel has just installed these descriptors for this process; nobody else owns them.
                    fds.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
                }
            }
            if got.bytes == 0 {
                return Ok(None);
            }
            if got.flags.contains(MsgFlags::MSG_TRUNC) || got.flags.contains(MsgFlags::MSG_CTRUNC) {
                return Err(Error::new(Kind::Corrupt, "message is larger than this version of runr reads"));
            }
            let length = got.bytes;
            return Ok(Some((serde_json::from_slice(&buffer[..length])?, fds)));
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_bounds_and_carry_descriptors() {
        let (a, b) = Channel::pair().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(a.send(&("one", 1), &[file.as_fd()]).unwrap());
        assert!(a.send(&("two", 2), &[]).unwrap());
        let (first, fds): ((String, u8), _) = b.receive().unwrap().unwrap();
        assert_eq!((first, fds.len()), (("one".to_owned(), 1), 1));
        let (second, _): ((String, u8), _) = b.receive().unwrap().unwrap();
        assert_eq!(second.1, 2);
        drop(a);
        assert!(b.receive::<u8>().unwrap().is_none());
        assert!(!b.send(&1, &[]).unwrap());
    }
}
