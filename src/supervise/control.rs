//! The control socket of a container: `ctl` in its folder, a seqpacket socket that its monitor listens on.
//!
//! The name of a socket may have 107 bytes (unix(7)) and a data folder's path may be longer, so both sides go through
//! `/proc/self/fd`, by a descriptor of the folder. The folder is the user's own and closed to others (0700), which is all
//! the permission there is.

use super::protocol::{Report, Request, VERSION};
use crate::base::{Doing, Error, Kind, Result};
use crate::state::containers;
use crate::state::record::is_stopped;
use crate::sys::channel::Channel;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::{PeerCredentials, ReceiveTimeout, SendTimeout};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, connect, getsockopt, listen, setsockopt,
    socket,
};
use nix::sys::stat::Mode;
use nix::sys::time::{TimeVal, TimeValLike};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

const NAME: &str = "ctl";
/// How long a monitor may be silent before its state is looked at. It answers at once unless the machine is very busy.
const LOOK: Duration = Duration::from_millis(500);

/// The monitor's end.
#[derive(Debug)]
pub(super) struct Listener(OwnedFd);

impl Listener {
    /// Makes the socket in a container's folder. One that a dead monitor left is replaced: the caller holds the lock.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let dir = open_folder(folder)?;
        let listener = new_socket(SockFlag::SOCK_NONBLOCK)?;
        match nix::unistd::unlinkat(&dir, NAME, nix::unistd::UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(e) => return Err(e).doing(|| format!("replace `{}`", folder.join(NAME).display())),
        }
        bind(listener.as_raw_fd(), &address(&dir)?)
            .doing(|| format!("create socket `{}`", folder.join(NAME).display()))?;
        listen(&listener, Backlog::MAXCONN).doing(|| "listen on the control socket")?;
        Ok(Self(listener))
    }

    /// The next client, greeted; `None` when there is none.
    pub(super) fn accept(&self) -> Option<Channel> {
        // A listener that doesn't block hands out sockets that do.
        let channel = Channel::from_fd(accept4(&self.0, SockFlag::SOCK_CLOEXEC).ok()?);
        let hello = Report::Hello { protocol: VERSION, runr: env!("CARGO_PKG_VERSION").to_owned() };
        channel.try_send(&hello).then_some(channel)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn new_socket(flags: SockFlag) -> Result<OwnedFd> {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC | flags, None).doing(|| "create socket")
}

fn open_folder(folder: &Path) -> Result<OwnedFd> {
    nix::fcntl::open(folder, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .doing(|| format!("open folder `{}`", folder.display()))
}

fn address(dir: &OwnedFd) -> Result<UnixAddr> {
    UnixAddr::new(format!("/proc/self/fd/{}/{NAME}", dir.as_raw_fd()).as_str()).doing(|| "name the control socket")
}

/// Connects to the monitor of the container in `folder`; `None` when none listens there.
fn try_connect(folder: &Path, patience: Option<Duration>) -> Result<Option<Channel>> {
    let dir = match open_folder(folder) {
        Ok(dir) => dir,
        Err(e) if e.is_missing() => return Ok(None),
        Err(e) => return Err(e),
    };
    let socket = new_socket(SockFlag::empty())?;
    let limit = |time: Duration| {
        let time = TimeVal::microseconds(i64::try_from(time.as_micros()).unwrap_or(i64::MAX));
        // Sending's is connect's, too.
        setsockopt(&socket, ReceiveTimeout, &time)
            .and_then(|()| setsockopt(&socket, SendTimeout, &time))
            .doing(|| "set up socket")
    };
    limit(patience.unwrap_or(LOOK))?;
    loop {
        match connect(socket.as_raw_fd(), &address(&dir)?) {
            Ok(()) => break,
            Err(Errno::ENOENT | Errno::ECONNREFUSED) => return Ok(None),
            // Its queue is full.
            Err(Errno::EAGAIN) if patience.is_none() => {}
            Err(e) => return Err(e).doing(|| format!("connect to `{}`", folder.join(NAME).display())),
        }
    }
    loop {
        let mut look = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut look, PollTimeout::try_from(patience.unwrap_or(LOOK)).unwrap_or(PollTimeout::MAX));
        match getsockopt(&socket, PeerCredentials) {
            _ if ready != Ok(0) => break,
            Ok(monitor) if is_stopped(monitor.pid()) => return Err(stopped(monitor.pid())),
            _ if patience.is_some() => break,
            _ => {}
        }
    }
    if patience.is_none() {
        limit(Duration::ZERO)?;
    }
    let channel = Channel::from_fd(socket);
    match channel.receive::<Report>()? {
        Some((Report::Hello { protocol, runr }, _)) if protocol > VERSION => Err(Error::unsupported(format!(
            "the container was started by runr {runr}, which is newer than this one ({})",
            env!("CARGO_PKG_VERSION")
        ))),
        Some((Report::Hello { .. }, _)) => Ok(Some(channel)),
        Some(_) => Err(Error::new(Kind::Corrupt, "the container's monitor did not say hello")),
        // It ended while we came.
        None => Ok(None),
    }
}

fn stopped(pid: i32) -> Error {
    Error::new(Kind::Io, format!("the container's monitor, process {pid}, is stopped and answers nobody"))
        .hint(format!("let it go on: `kill -CONT {pid}`; or end both: `runr rm -f`"))
}

/// Connects to the monitor of the container in `folder`; `None` when it has none, because it does not run. One that is just
/// being started is waited for, one that somebody stopped (SIGSTOP) is an error.
pub fn connect_to(folder: &Path) -> Result<Option<Channel>> {
    for _ in 0..6000 {
        if let Some(channel) = try_connect(folder, None)? {
            return Ok(Some(channel));
        }
        if !containers::is_running(folder)? {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(Error::new(
        Kind::Io,
        "the container is being started or removed by another command that does not come to an end",
    )
    .hint("is it stopped? `ps` shows state T"))
}

/// Sends one request and returns the first answer; `None` when the monitor ended without one.
pub fn ask(channel: &Channel, request: &Request) -> Result<Option<Report>> {
    if !channel.send(request, &[])? {
        return Ok(None);
    }
    match channel.receive::<Report>()? {
        Some((Report::Failed(e), _)) => Err(e),
        Some((report, _)) => Ok(Some(report)),
        None => Ok(None),
    }
}

/// [`ask`] for what is only to be shown: `None` as well when the monitor does not answer in time, because it is stopped.
pub fn ask_briefly(folder: &Path, request: &Request, patience: Duration) -> Option<Report> {
    let channel = try_connect(folder, Some(patience)).ok()??;
    ask(&channel, request).ok()?
}

/// A running container's user namespace and mount namespace, from its monitor; `None` when it has none any more.
pub fn namespaces(channel: &Channel) -> Result<Option<(OwnedFd, OwnedFd)>> {
    if !channel.send(&Request::Namespaces, &[])? {
        return Ok(None);
    }
    match channel.receive::<Report>()? {
        Some((Report::Failed(e), _)) => Err(e),
        Some((Report::Namespaces { kinds }, fds)) => {
            let mut found: Vec<(i32, OwnedFd)> = kinds.into_iter().zip(fds).collect();
            let mut take = |kind: i32| {
                let at = found.iter().position(|(k, _)| *k == kind);
                at.map(|at| found.swap_remove(at).1)
                    .ok_or_else(|| Error::unsupported("the container has no such namespace of its own"))
            };
            Ok(Some((take(libc::CLONE_NEWUSER)?, take(libc::CLONE_NEWNS)?)))
        }
        Some(_) => Err(Error::new(Kind::Bug, "the monitor sent no namespaces")),
        None => Ok(None),
    }
}

/// A running container's root, opened by its monitor; `alone` without what is mounted in it. `None` when it has ended.
pub fn root(channel: &Channel, alone: bool) -> Result<Option<OwnedFd>> {
    if !channel.send(&Request::Root { alone }, &[])? {
        return Ok(None);
    }
    match channel.receive::<Report>()? {
        Some((Report::Failed(e), _)) => Err(e),
        Some((Report::Root, mut fds)) if fds.len() == 1 => Ok(fds.pop()),
        Some(_) => Err(Error::new(Kind::Bug, "the monitor sent no root")),
        None => Ok(None),
    }
}

/// The next answer; `None` when the monitor has ended.
pub fn next(channel: &Channel) -> Result<Option<Report>> {
    match channel.receive::<Report>()? {
        Some((Report::Failed(e), _)) => Err(e),
        other => Ok(other.map(|(report, _)| report)),
    }
}
