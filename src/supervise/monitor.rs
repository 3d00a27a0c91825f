//! The monitor's life: forked from the command, start of the container, service until its end.

use super::finish;
use super::protocol::{Report, Request};
use super::stream::{Progress, Stream, is_readable};
use crate::base::fsx::Durability;
use crate::base::{Doing, Error, Kind, Result, units};
use crate::runtime::cgroup::Cgroup;
use crate::runtime::launch::{Prepared, Streams, prepare};
use crate::runtime::plan::Plan;
use crate::state::NewContainer;
use crate::state::containers::{short, write_state};
use crate::state::record::{ContainerState, ProcessIdentity, Status};
use crate::store::Store;
use crate::sys::channel::Channel;
use crate::sys::process::{Fork, close_others, exit_now, fork, pidfd_signal};
use crate::sys::term::{self, Size};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// Everything a monitor needs, made by the command before the fork.
#[derive(Debug)]
pub struct Assignment {
    /// The data folder.
    pub store: Store,
    /// The container; its lock goes to the monitor.
    pub container: NewContainer,
    /// What its process does.
    pub plan: Plan,
    /// Where its streams come from and go to.
    pub stdio: Stdio,
    /// First size of its terminal.
    pub size: Option<Size>,
    /// When to kill it, in seconds from its start; 0 is never.
    pub timeout_seconds: u32,
}

/// The caller's side of the container's streams. None of these is a terminal: the command relays one through pipes.
#[derive(Debug, Default)]
pub struct Stdio {
    /// What the container reads; `None` is nothing (/dev/null).
    pub stdin: Option<OwnedFd>,
    /// `stdin` is a pipe that the command fills from a terminal.
    pub stdin_is_relayed: bool,
    /// Where its output goes, or its terminal's; `None` is nowhere.
    pub stdout: Option<OwnedFd>,
    /// Where its errors go.
    pub stderr: Option<OwnedFd>,
}

/// Forks the monitor; returns the channel to it.
///
/// The calling process must have no other thread.
pub fn start(assignment: Assignment) -> Result<Channel> {
    let (ours, theirs) = Channel::pair()?;
    match fork()? {
        Fork::Parent(_) => Ok(ours),
        Fork::Child => {
            drop(ours);
            let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| main(assignment, theirs)));
            exit_now(status.unwrap_or(125))
        }
    }
}

fn main(mut assignment: Assignment, client: Channel) -> i32 {
    detach(&assignment, &client);
    match begin(&mut assignment) {
        Ok(running) => {
            let report = Report::Started { pid: running.prepared.pid.as_raw(), notes: running.prepared.notes.clone() };
            drop(client.send(&report, &[]));
            let mut service = Service { running, client: Some(client), timed_out: false };
            let code = service.serve();
            finish::ended(assignment, service.running, service.client, code)
        }
        Err(e) => finish::failed(assignment, client, e),
    }
}

/// Cuts what ties this process to the command: its session, its folder, and every descriptor that is not the monitor's own
/// (a caller's lock, a `make` job pipe, the `$(…)` pipe of `id=$(runr run -d …)`).
fn detach(assignment: &Assignment, client: &Channel) {
    let _ = nix::unistd::setsid();
    let _ = nix::unistd::chdir("/");
    crate::sys::signal::ignore_sigpipe();
    let stdio = &assignment.stdio;
    let streams = [&stdio.stdin, &stdio.stdout, &stdio.stderr].into_iter().flatten().map(AsRawFd::as_raw_fd);
    let own = [client.as_fd().as_raw_fd(), assignment.container.lock.as_raw_fd()];
    let keep: Vec<RawFd> = streams.chain(own).collect();
    close_others(&keep);
    if let Ok(null) = nix::fcntl::open("/dev/null", nix::fcntl::OFlag::O_RDWR, nix::sys::stat::Mode::empty()) {
        for number in 0..3 {
            // A stream that was passed under its own number has been copied away by the command.
            let _ = crate::sys::process::copy_descriptor(null.as_raw_fd(), number);
        }
    }
}

/// A container whose command executes.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) prepared: Prepared,
    pub(super) cgroup: Option<Cgroup>,
    pub(super) state: ContainerState,
    streams: Vec<Stream>,
    signals: SignalFd,
    deadline: Option<u64>,
}

fn begin(assignment: &mut Assignment) -> Result<Running> {
    // Blocked before the clone: a child that ends at once is not missed.
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        mask.add(signal);
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None).doing(|| "block signals")?;
    let signals =
        SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).doing(|| "watch signals")?;
    let cgroup = Cgroup::create(short(&assignment.container.record.id));
    let (given, mut streams) = wire(assignment)?;
    let prepared = match prepare(&assignment.plan, given, cgroup.as_ref()) {
        Ok(prepared) => prepared,
        Err(e) => {
            cgroup.iter().for_each(Cgroup::remove);
            return Err(e);
        }
    };
    if let Some(master) = &prepared.terminal {
        streams.extend(terminal_streams(master, &mut assignment.stdio)?);
        if let Some(size) = assignment.size {
            term::set_size(master, size)?;
        }
    }
    let mut state = ContainerState::created();
    state.status = Status::Running;
    state.process = Some(ProcessIdentity::of(prepared.pid.as_raw())?);
    state.cgroup = cgroup.as_ref().map(|c| c.folder().to_owned());
    state.started = Some(super::finish::now());
    // On disk before the command runs: whoever finds this monitor dead knows which process to end.
    write_state(&assignment.container.folder, &state, durability(assignment))?;
    if let Err(e) = prepared.execute() {
        let _ = waitpid(prepared.pid, None);
        cgroup.iter().for_each(Cgroup::remove);
        return Err(e);
    }
    let after = u64::from(assignment.timeout_seconds) * 1_000_000_000;
    let deadline = (after > 0).then(|| units::boot_nanos() + after);
    Ok(Running { prepared, cgroup, state, streams, signals, deadline })
}

/// A container that is removed at its end need not survive a power cut: it is exited and gone after one either way.
pub(super) fn durability(assignment: &Assignment) -> Durability {
    if assignment.container.record.options.remove { Durability::Cached } else { Durability::Synced }
}

/// The container's ends of its streams, and the monitor's.
fn wire(assignment: &mut Assignment) -> Result<(Streams, Vec<Stream>)> {
    if assignment.plan.process.terminal {
        return Ok((Streams::default(), Vec::new()));
    }
    let mut carried = Vec::new();
    let mut output = |sink: Option<OwnedFd>| -> Result<Option<OwnedFd>> {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).doing(|| "create pipe")?;
        carried.push(Stream::output(read, sink)?);
        Ok(Some(write))
    };
    let stdio = &mut assignment.stdio;
    let stdout = output(stdio.stdout.take())?;
    let stderr = output(stdio.stderr.take())?;
    Ok((Streams { stdin: stdio.stdin.take(), stdout, stderr }, carried))
}

/// The two directions of a terminal: its output to the client, the client's input to it.
fn terminal_streams(master: &OwnedFd, stdio: &mut Stdio) -> Result<Vec<Stream>> {
    let mut streams = vec![Stream::output(master.try_clone()?, stdio.stdout.take())?];
    if let Some(input) = stdio.stdin.take() {
        // End of transmission, Ctrl-D, for a file or pipe that has been read to its end. A person's terminal has none.
        let ending = (!stdio.stdin_is_relayed).then_some(4);
        streams.push(Stream::input(input, master.try_clone()?, ending));
    }
    Ok(streams)
}

struct Service {
    running: Running,
    client: Option<Channel>,
    timed_out: bool,
}

impl Service {
    /// Serves until the container's first process has ended and its output is delivered; returns its exit code.
    fn serve(&mut self) -> i32 {
        let mut ended = None;
        loop {
            if let Some(code) = ended {
                // Whoever else had the pipes open died with the pid namespace, so the rest is there already.
                if self.drain() {
                    return code;
                }
            }
            self.wait(ended.is_some());
            self.pump();
            self.read_client();
            self.check_deadline();
            if let Some(code) = self.read_signals() {
                ended.get_or_insert(code);
            }
        }
    }

    /// Sleeps until something happens.
    fn wait(&self, ended: bool) {
        let running = &self.running;
        let mut fds = vec![PollFd::new(running.signals.as_fd(), PollFlags::POLLIN)];
        if let Some(client) = &self.client {
            fds.push(PollFd::new(client.as_fd(), PollFlags::POLLIN));
        }
        for (fd, flags) in running.streams.iter().filter(|s| !ended || s.is_pending()).filter_map(Stream::waits_for) {
            fds.push(PollFd::new(fd, flags));
        }
        let timeout = match running.deadline {
            Some(deadline) if !self.timed_out => {
                let left = deadline.saturating_sub(units::boot_nanos()) / 1_000_000 + 1;
                PollTimeout::try_from(left.min(3_600_000) as i32).unwrap_or(PollTimeout::MAX)
            }
            _ => PollTimeout::NONE,
        };
        let _ = poll(&mut fds, timeout);
    }

    /// Moves bytes on every stream for as long as none of them would block, but not for ever.
    fn pump(&mut self) {
        for stream in &mut self.running.streams {
            for _ in 0..32 {
                if stream.step() != Progress::More {
                    break;
                }
            }
        }
        self.running.streams.retain(|s| !s.is_done());
    }

    /// Carries what is left after the end; true when nothing waits for a reader any more. With `--pid host` something may
    /// live on that writes for ever: a pipe's fill, many times over, is enough.
    fn drain(&mut self) -> bool {
        self.running.streams.retain(|s| !s.is_input());
        for stream in &mut self.running.streams {
            for _ in 0..256 {
                if stream.step() != Progress::More {
                    break;
                }
            }
        }
        self.running.streams.retain(|s| !s.is_done());
        !self.running.streams.iter().any(Stream::is_pending)
    }

    fn read_client(&mut self) {
        let Some(client) = &self.client else { return };
        if !is_readable(client.as_fd()) {
            return;
        }
        match client.receive::<Request>() {
            Ok(Some((Request::Signal(signal), _))) => {
                let _ = pidfd_signal(self.running.prepared.pidfd.as_fd(), signal);
            }
            Ok(Some((Request::Resize(size), _))) => {
                if let Some(master) = &self.running.prepared.terminal {
                    let _ = term::set_size(master, size);
                }
            }
            // The client is gone: the container goes on without it, as it does when docker's client is killed.
            Ok(None) => self.client = None,
            // Not for this end, or not understood: a newer client's word.
            Ok(Some(_)) | Err(_) => {}
        }
    }

    fn check_deadline(&mut self) {
        if !self.timed_out && self.running.deadline.is_some_and(|d| units::boot_nanos() >= d) {
            self.timed_out = true;
            let _ = pidfd_signal(self.running.prepared.pidfd.as_fd(), libc::SIGKILL);
        }
    }

    /// The container's exit code if it has ended.
    fn read_signals(&mut self) -> Option<i32> {
        let mut code = None;
        while let Ok(Some(info)) = self.running.signals.read_signal() {
            if info.ssi_signo == libc::SIGCHLD as u32 {
                code = code.or_else(|| self.reap());
            } else {
                // Somebody asks the monitor to end: the container is what they mean.
                let _ = pidfd_signal(self.running.prepared.pidfd.as_fd(), info.ssi_signo as i32);
            }
        }
        code
    }

    fn reap(&self) -> Option<i32> {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.running.prepared.pid => return Some(code),
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.running.prepared.pid => {
                    return Some(128 + signal as i32);
                }
                Ok(WaitStatus::StillAlive) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

/// What the client is told when a start fails without an error of its own.
pub(super) fn lost() -> Error {
    Error::new(Kind::Bug, "the container's monitor ended without a word")
}
