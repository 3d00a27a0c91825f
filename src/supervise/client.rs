//! The foreground side of a running container: waits for its end while passing on signals, a terminal's bytes and sizes.

use super::detach::DetachKeys;
use super::process::Stdio;
use super::protocol::{Report, Request};
use crate::base::{Doing, Result};
use crate::sys::channel::Channel;
use crate::sys::term;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

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
    /// Typed on the terminal, they leave the container to itself.
    pub detach: DetachKeys,
}

/// How the company ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With the container: its exit code.
    Exited(i32),
    /// The detach keys were typed.
    Detached,
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

/// How long a monitor may take to let go of a client that leaves. An older one doesn't where it accompanies the container itself.
const PATIENCE: Duration = Duration::from_secs(1);

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

/// Accompanies a container to its end, or until it is left to itself. `started` is called once, with its pid and notes.
pub fn accompany(
    channel: &Channel,
    signals: &SignalFd,
    mut companion: Companion,
    started: impl FnOnce(i32, Vec<String>) -> Result<()>,
) -> Result<End> {
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
        if companion.pass(&ready[2..]) {
            companion.leave(channel)?;
            return Ok(End::Detached);
        }
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
                return Ok(End::Exited(code));
            }
            Some((Report::Detached, _)) => return Ok(End::Detached),
            Some((Report::Failed(e), _)) => return Err(e),
            Some(_) => {}
            None => return Err(super::monitor::lost()),
        }
    }
}

/// Connects streams to a container that runs: they go to its monitor as they are.
pub fn attach(channel: &Channel, stdio: Stdio, size: Option<term::Size>) -> Result<()> {
    let Stdio { stdin, stdout, stderr, stdin_is_relayed, .. } = stdio;
    let request = Request::Attach {
        stdin: stdin.is_some(),
        stdin_is_relayed,
        stdout: stdout.is_some(),
        stderr: stderr.is_some(),
        size,
    };
    let fds: Vec<_> = [&stdin, &stdout, &stderr].into_iter().flatten().map(AsFd::as_fd).collect();
    if channel.send(&request, &fds)? { Ok(()) } else { Err(super::monitor::lost()) }
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
    /// Moves one piece on each relay that has something. True when the detach keys were typed.
    fn pass(&mut self, ready: &[bool]) -> bool {
        let mut index = 0;
        let mut detached = false;
        // Without a terminal in the container its keys mean nothing.
        let mut keys = self.terminal.is_some().then_some(&mut self.detach);
        self.relays.retain_mut(|relay| {
            let is_ready = ready.get(index).copied().unwrap_or(false);
            index += 1;
            if !is_ready {
                return true;
            }
            match relay.pass(keys.as_deref_mut()) {
                Passed::Bytes => true,
                Passed::End => false,
                Passed::Detach => {
                    detached = true;
                    false
                }
            }
        });
        detached
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

    /// Says that the container, or the session, goes on alone, and reads until the monitor has let go of this client's pipes: a
    /// write to one that is closed would tell it that nobody wants the output any more, and end the terminal's processes.
    fn leave(&mut self, channel: &Channel) -> Result<()> {
        channel.send(&Request::Detach, &[])?;
        self.relays.retain(|relay| !relay.input);
        let begin = Instant::now();
        // By the clock: of a container that writes all the time there is always something to read.
        while !self.relays.is_empty() && begin.elapsed() < PATIENCE {
            let left = PATIENCE.saturating_sub(begin.elapsed()).as_millis();
            let mut fds: Vec<_> = self.relays.iter().map(|r| PollFd::new(r.from.as_fd(), PollFlags::POLLIN)).collect();
            let polled = poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO));
            let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
            drop(fds);
            match polled {
                Ok(0) => break,
                Ok(_) => drop(self.pass(&ready)),
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e).doing(|| "wait for the container"),
            }
        }
        Ok(())
    }

    /// After the end: everything that the container wrote is on its way already, and its end is closed.
    fn drain(&mut self) {
        for relay in self.relays.iter_mut().filter(|r| !r.input) {
            while relay.pass(None) == Passed::Bytes {}
        }
    }
}

/// What one step of a relay came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passed {
    Bytes,
    /// Of either side.
    End,
    Detach,
}

impl Relay {
    /// Copies one piece.
    fn pass(&mut self, keys: Option<&mut DetachKeys>) -> Passed {
        let mut buffer = [0u8; 16 * 1024];
        let n = match nix::unistd::read(&self.from, &mut buffer) {
            Ok(0) => return Passed::End,
            Ok(n) => n,
            Err(Errno::EINTR | Errno::EAGAIN) => return Passed::Bytes,
            Err(_) => return Passed::End,
        };
        let Some(keys) = keys.filter(|_| self.input) else { return self.write(&buffer[..n]) };
        let (bytes, detach) = keys.filter(&buffer[..n]);
        let written = self.write(&bytes);
        if detach { Passed::Detach } else { written }
    }

    fn write(&mut self, mut rest: &[u8]) -> Passed {
        while !rest.is_empty() {
            match nix::unistd::write(&self.to, rest) {
                Ok(n) => rest = &rest[n..],
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    let mut fds = [PollFd::new(self.to.as_fd(), PollFlags::POLLOUT)];
                    let _ = poll(&mut fds, PollTimeout::NONE);
                }
                Err(_) => return Passed::End,
            }
        }
        Passed::Bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_takes_its_time_and_no_longer_whatever_is_written() {
        let (channel, _monitor) = Channel::pair().unwrap();
        // A monitor that never lets go, and a container that writes faster than anybody reads.
        let from = std::fs::File::open("/dev/zero").unwrap().into();
        let to = std::fs::OpenOptions::new().write(true).open("/dev/null").unwrap().into();
        let mut companion = Companion { relays: vec![Relay { from, to, input: false }], ..Companion::default() };
        let (done, left) = std::sync::mpsc::channel();
        let leaving = std::thread::spawn(move || {
            companion.leave(&channel).unwrap();
            done.send(()).unwrap();
        });
        left.recv_timeout(PATIENCE * 10).expect("the client leaves");
        leaving.join().unwrap();
    }
}
