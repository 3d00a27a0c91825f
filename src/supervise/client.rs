//! The foreground side of a running container: waits for its end while passing on signals, a terminal's bytes and sizes.

use super::protocol::{Report, Request};
use crate::base::{Doing, Error, Result};
use crate::sys::channel::Channel;
use crate::sys::term;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, OwnedFd};

/// Bytes from one descriptor to another, at least one of which is the caller's terminal.
#[derive(Debug)]
pub struct Relay {
    /// Read.
    pub from: OwnedFd,
    /// Written.
    pub to: OwnedFd,
    /// True for the direction into the container: it ends with the container.
    pub input: bool,
}

/// How to accompany a container.
#[derive(Debug, Default)]
pub struct Companion {
    /// Streams that are a terminal of the caller's.
    pub relays: Vec<Relay>,
    /// The caller's terminal, whose size the container's follows.
    pub terminal: Option<OwnedFd>,
    /// Pass signals on (`--sig-proxy`).
    pub forward_signals: bool,
}

/// Signals that are passed on. The rest is the caller's own: SIGCHLD, SIGPIPE, the faults, and what stops a job.
const FORWARDED: [Signal; 8] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCONT,
    Signal::SIGWINCH,
];

/// Catches the signals to pass on. Called before the container is started, so that none is lost between.
pub fn catch_signals(forward: bool) -> Result<SignalFd> {
    let mut mask = SigSet::empty();
    if forward {
        FORWARDED.iter().for_each(|s| mask.add(*s));
    } else {
        mask.add(Signal::SIGWINCH);
    }
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&mask), None).doing(|| "catch signals")?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).doing(|| "catch signals")
}

/// Accompanies a container to its end; returns its exit code. `started` is called once, with its pid and notes.
pub fn accompany(
    channel: &Channel,
    signals: &SignalFd,
    mut companion: Companion,
    started: impl FnOnce(i32, Vec<String>) -> Result<()>,
) -> Result<i32> {
    let mut started = Some(started);
    loop {
        let mut fds =
            vec![PollFd::new(channel.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(companion.relays.iter().map(|r| PollFd::new(r.from.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e).doing(|| "wait for the container"),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        drop(fds);
        companion.pass(&ready[2..]);
        if ready[1] {
            companion.pass_signals(channel, signals)?;
        }
        if !ready[0] {
            continue;
        }
        match channel.receive::<Report>()? {
            Some((Report::Started { pid, notes }, _)) => {
                if let Some(started) = started.take() {
                    started(pid, notes)?;
                }
            }
            Some((Report::Exited { code }, _)) => {
                companion.drain();
                return Ok(code);
            }
            Some((Report::Failed(e), _)) => return Err(e),
            Some(_) => {}
            None => return Err(super::monitor::lost()),
        }
    }
}

/// Waits until a container that is left to itself executes its command; returns its pid and notes.
pub fn await_start(channel: &Channel) -> Result<(i32, Vec<String>)> {
    match channel.receive::<Report>()? {
        Some((Report::Started { pid, notes }, _)) => Ok((pid, notes)),
        Some((Report::Failed(e), _)) => Err(e),
        _ => Err(super::monitor::lost()),
    }
}

impl Companion {
    /// Moves one piece on each relay that has something.
    fn pass(&mut self, ready: &[bool]) {
        let mut index = 0;
        self.relays.retain_mut(|relay| {
            let go_on = !ready.get(index).copied().unwrap_or(false) || relay.pass();
            index += 1;
            go_on
        });
    }

    fn pass_signals(&self, channel: &Channel, signals: &SignalFd) -> Result<()> {
        while let Ok(Some(info)) = signals.read_signal() {
            let number = info.ssi_signo as i32;
            let request = match (&self.terminal, number) {
                (Some(terminal), libc::SIGWINCH) => term::size(terminal).map(Request::Resize),
                // Without -t a window size means nothing to the container but is a signal like any other.
                (None, _) | (Some(_), _) if self.forward_signals => Some(Request::Signal(number)),
                _ => None,
            };
            if let Some(request) = request {
                channel.send(&request, &[])?;
            }
        }
        Ok(())
    }

    /// After the end: everything that the container wrote is on its way already, and its end is closed.
    fn drain(&mut self) {
        for relay in self.relays.iter_mut().filter(|r| !r.input) {
            while relay.pass() {}
        }
    }
}

impl Relay {
    /// Copies one piece; false at the end of either side.
    fn pass(&mut self) -> bool {
        let mut buffer = [0u8; 16 * 1024];
        let n = match nix::unistd::read(&self.from, &mut buffer) {
            Ok(0) => return false,
            Ok(n) => n,
            Err(Errno::EINTR | Errno::EAGAIN) => return true,
            Err(_) => return false,
        };
        let mut rest = &buffer[..n];
        while !rest.is_empty() {
            match nix::unistd::write(&self.to, rest) {
                Ok(n) => rest = &rest[n..],
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    let mut fds = [PollFd::new(self.to.as_fd(), PollFlags::POLLOUT)];
                    let _ = poll(&mut fds, PollTimeout::NONE);
                }
                Err(_) => return false,
            }
        }
        true
    }
}

/// What an error of a container's start means to `cli::exit` is in its kind; this names the object.
pub fn explain(e: Error, name: &str) -> Error {
    e.step(format!("run `{name}`"))
}
