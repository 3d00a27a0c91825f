//! The monitor at work: waits for its container, its streams and its clients, and does what they ask for.
//!
//! Everything here happens in one thread and none of it may block: a client that doesn't read its answers is dropped, a
//! reader that doesn't read its stream is `output`'s matter.

use super::control::Listener;
use super::finish;
use super::health::Checks;
use super::log::Log;
use super::monitor::Assignment;
use super::notify::{Ear, Notify};
use super::output::{Lost, Output};
use super::process::Process;
use super::protocol::Report;
use super::restart::{self, BackOff};
use super::session::{OWNER, Session};
use super::sessions::Execs;
use super::stream::{Input, is_readable};
use crate::base::{Error, Kind, units};
use crate::state::log::Stream;
use crate::state::record::{ContainerState, HealthStatus, ProcessIdentity, Status};
use crate::sys::channel::Channel;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::os::fd::AsFd;
use std::time::Duration;

/// Somebody asked for the process's end.
#[derive(Debug)]
pub(super) struct Stopping {
    /// When to kill it, on the boot clock; `None` is never.
    pub(super) kill_at: Option<u64>,
    /// Start it again afterwards.
    pub(super) restart: bool,
}

/// See the module documentation.
pub(super) struct Service {
    pub(super) assignment: Assignment,
    pub(super) state: ContainerState,
    /// Between two runs there is none.
    pub(super) process: Option<Process>,
    pub(super) outputs: [Output; 2],
    pub(super) inputs: Vec<Input>,
    pub(super) sessions: Vec<Session>,
    pub(super) stopping: Option<Stopping>,
    pub(super) execs: Execs,
    pub(super) checks: Checks,
    pub(super) log: Log,
    pub(super) listener: Listener,
    /// Until the container says that it is ready.
    pub(super) ear: Option<Ear>,
    /// Whom to tell once it is healthy.
    pub(super) awaits_health: Option<Notify>,
    signals: SignalFd,
    next_session: u64,
    back_off: BackOff,
    /// When the next run begins, on the boot clock.
    restart_at: Option<u64>,
}

impl Service {
    /// Takes up the service of a container whose owner waits on `client`.
    pub(super) fn new(mut assignment: Assignment, client: Channel, signals: SignalFd, listener: Listener) -> Self {
        let mut owner = Session::new(OWNER, client);
        owner.wants_start = true;
        owner.wants_end = assignment.stdio.foreground;
        let mut outputs = [Output::new(Stream::Stdout), Output::new(Stream::Stderr)];
        let stdio = &mut assignment.stdio;
        if !stdio.direct {
            for (output, sink) in outputs.iter_mut().zip([stdio.stdout.take(), stdio.stderr.take()]) {
                if let Some(sink) = sink {
                    output.add(OWNER, sink, true);
                }
            }
        }
        // The options were checked when the container was made.
        let log = Log::open(assignment.record(), &assignment.container.folder).unwrap_or_else(|_| Log::off());
        let mut state = assignment.container.former.next();
        state.monitor = ProcessIdentity::of(std::process::id() as i32).ok();
        Self {
            assignment,
            state,
            process: None,
            outputs,
            inputs: Vec::new(),
            sessions: vec![owner],
            stopping: None,
            execs: Execs::default(),
            checks: Checks::default(),
            log,
            listener,
            ear: None,
            awaits_health: None,
            signals,
            next_session: OWNER + 1,
            back_off: BackOff::new(),
            restart_at: None,
        }
    }

    /// Serves until the container has ended for good; returns its exit code.
    pub(super) fn serve(&mut self) -> i32 {
        loop {
            let code = self.serve_run();
            if !self.goes_on(code) {
                return code;
            }
            loop {
                if self.restart_at.is_none_or(|at| units::boot_nanos() >= at) {
                    break;
                }
                self.turn(false);
                if self.stopping.as_ref().is_some_and(|s| !s.restart) {
                    return code;
                }
            }
            self.restart_at = None;
            let asked = self.stopping.take().is_some();
            if let Err(e) = self.begin() {
                self.tell_starters(&Report::Failed(e.clone()));
                self.state.error = Some(e.to_string());
                return finish::status_of(&e);
            }
            self.note_pid();
            if asked {
                self.assignment.event("restart", &[]);
            }
        }
    }

    /// `--pidfile` after a further start; the command wrote it after the first. Nobody is there to be told of a failure.
    fn note_pid(&self) {
        let file = self.assignment.record().options.pidfile.as_ref();
        if let (Some(file), Some(process)) = (file, &self.process) {
            let _ = std::fs::write(file, process.prepared.pid.to_string());
        }
    }

    /// Serves until the container's process has ended and what it wrote is delivered.
    fn serve_run(&mut self) -> i32 {
        let mut ended = None;
        loop {
            // Whoever else had the pipes open died with the pid namespace, so the rest is there already.
            if let Some(code) = ended
                && self.drain()
            {
                self.check_memory();
                self.end_execs();
                self.log.end_run();
                return code;
            }
            if let Some(code) = self.turn(ended.is_some()) {
                ended.get_or_insert(code);
            }
        }
    }

    /// One turn of the loop: sleeps until something happens and does what it asks for. The exit code of the container's
    /// process if it has ended.
    fn turn(&mut self, ended: bool) -> Option<i32> {
        let memory = self.wait(ended);
        self.pump(32);
        self.read_sessions();
        self.listen();
        if memory {
            self.check_memory();
        }
        self.check_deadlines();
        self.turn_health();
        let code = self.read_signals();
        // After the signals: a session whose process has ended is over in this same turn.
        self.turn_execs();
        code
    }

    /// Passes on that the container, or its health check, is content.
    fn listen(&mut self) {
        self.ear.take_if(|ear| ear.listen());
        let healthy = self.state.health.as_ref().is_some_and(|h| h.status == HealthStatus::Healthy);
        if healthy && let Some(notify) = self.awaits_health.take() {
            notify.ready(std::process::id());
        }
    }

    /// Notes when the kernel has killed a process of the container for memory.
    fn check_memory(&mut self) {
        let oom = self.process.as_mut().and_then(|p| p.oom.as_mut());
        let kills = oom.map_or(0, |watch| watch.kills());
        if kills > 0 {
            self.state.oom_killed = true;
            self.save();
            for _ in 0..kills.min(16) {
                self.assignment.event("oom", &[]);
            }
        }
    }

    /// Sleeps until something happens; true when it is about the container's memory.
    fn wait(&self, ended: bool) -> bool {
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.listener.as_fd(), PollFlags::POLLIN),
        ];
        let oom = self.process.as_ref().and_then(|p| p.oom.as_ref());
        fds.extend(oom.map(|watch| PollFd::new(watch.as_fd(), PollFlags::POLLPRI)));
        fds.extend(self.ear.iter().map(|ear| PollFd::new(ear.as_fd(), PollFlags::POLLIN)));
        fds.extend(self.sessions.iter().map(|s| PollFd::new(s.as_fd(), PollFlags::POLLIN)));
        let outputs = self.outputs.iter().flat_map(Output::waits_for);
        let outputs = outputs.filter(|(_, flags)| !ended || flags.contains(PollFlags::POLLOUT));
        let inputs = self.inputs.iter().filter(|_| !ended).filter_map(Input::waits_for);
        let execs = self.execs.waits_for();
        fds.extend(outputs.chain(inputs).chain(execs).map(|(fd, flags)| PollFd::new(fd, flags)));
        let timeout = match self.next_deadline() {
            Some(deadline) => {
                let left = deadline.saturating_sub(units::boot_nanos()).div_ceil(1_000_000);
                PollTimeout::try_from(left.min(3_600_000) as i32).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        let _ = poll(&mut fds, timeout);
        oom.is_some() && fds[2].revents().is_some_and(|r| !r.is_empty())
    }

    fn next_deadline(&self) -> Option<u64> {
        let stopping = self.stopping.as_ref().and_then(|s| s.kill_at);
        let process = self.process.as_ref().and_then(|p| p.deadline);
        let health = self.process.as_ref().and(self.checks.deadline());
        let inputs = self.inputs.iter().filter_map(Input::deadline).chain(self.execs.deadlines());
        [stopping, process, self.restart_at, health].into_iter().flatten().chain(inputs).min()
    }

    fn check_deadlines(&mut self) {
        let now = units::boot_nanos();
        let Some(process) = &mut self.process else { return };
        let due = |deadline: &mut Option<u64>| deadline.take_if(|at| now >= *at).is_some();
        let timed_out = due(&mut process.deadline);
        if self.stopping.as_mut().is_some_and(|s| due(&mut s.kill_at)) || timed_out {
            process.kill();
        }
    }

    /// Moves bytes on every stream for as long as none of them would block, but at most `pieces` of each.
    fn pump(&mut self, pieces: usize) {
        let mut lost = Vec::new();
        let log = &mut self.log;
        for output in &mut self.outputs {
            for _ in 0..pieces {
                if !output.step(&mut |stream, bytes| log.write(stream, bytes), &mut lost) {
                    break;
                }
            }
        }
        for lost in lost {
            self.reader_lost(lost);
        }
        self.inputs.retain_mut(|input| input.pump(pieces));
    }

    /// Carries what is left after the end; true when nothing waits for a reader any more. With `--pid host` something may
    /// live on that writes for ever: a pipe's fill, many times over, is enough.
    fn drain(&mut self) -> bool {
        self.inputs.clear();
        self.pump(256);
        !self.outputs.iter().any(Output::is_pending)
    }

    fn reader_lost(&mut self, lost: Lost) {
        let (Lost::Closed(id) | Lost::Slow(id)) = lost;
        if let Lost::Slow(_) = lost {
            let e = Error::new(Kind::Io, "the container's output was not read fast enough").hint("see `runr logs`");
            self.tell(id, &Report::Failed(e));
            self.outputs.iter_mut().for_each(|o| o.remove(id));
        } else if id != OWNER {
            // `runr attach … | head -1`: nobody reads what it would be there for.
            self.tell(id, &Report::Detached);
        }
        // `runr run … yes | head -1` ends as it does without a container: the command still waits, nobody reads. When the
        // command itself is gone, the container goes on without it.
        let waits = self.sessions.iter().any(|s| s.id == OWNER && !is_closed(s));
        if id == OWNER && waits {
            self.outputs.iter_mut().filter(|o| !o.has_readers()).for_each(Output::close_source);
        }
    }

    fn read_sessions(&mut self) {
        while let Some(channel) = self.listener.accept() {
            self.sessions.push(Session::new(self.next_session, channel));
            self.next_session += 1;
        }
        let readable: Vec<u64> =
            self.sessions.iter().filter(|s| is_readable(s.as_fd())).map(|session| session.id).collect();
        for id in readable {
            let Some(session) = self.sessions.iter().find(|s| s.id == id) else { continue };
            match session.channel().receive() {
                Ok(Some((request, fds))) => self.answer(id, request, fds),
                Ok(None) => self.close(id),
                // A newer client's word.
                Err(e) => {
                    let e = e.with_kind(Kind::Unsupported).step("the container was started by another version of runr");
                    self.tell(id, &Report::Failed(e));
                }
            }
        }
    }

    /// The client is gone: the container goes on without it, as it does when docker's client is killed.
    fn close(&mut self, id: u64) {
        self.sessions.retain(|s| s.id != id);
        self.abandon_exec(id);
        self.let_go(id);
    }

    /// Nothing more is read from a client or written to it.
    pub(super) fn let_go(&mut self, id: u64) {
        self.outputs.iter_mut().for_each(|o| o.remove(id));
        self.inputs.retain(|i| i.session != id);
    }

    /// Tells one client; one that doesn't listen is dropped.
    pub(super) fn tell(&mut self, id: u64, report: &Report) {
        if self.sessions.iter().any(|s| s.id == id && !s.tell(report)) {
            self.close(id);
        }
    }

    /// Tells everybody who waits for the start.
    pub(super) fn started(&mut self, report: &Report) {
        self.tell_starters(report);
        self.changed();
    }

    /// Tells the command that asked for no more that the container is set up.
    pub(super) fn initialized(&mut self) {
        self.tell_starters(&Report::Done);
    }

    fn tell_starters(&mut self, report: &Report) {
        for session in self.sessions.iter_mut().filter(|s| s.wants_start) {
            session.wants_start = false;
            session.tell(report);
        }
    }

    /// Tells everybody who watches that `state.json` was replaced.
    pub(super) fn changed(&self) {
        for session in self.sessions.iter().filter(|s| s.watches) {
            session.tell(&Report::Changed);
        }
    }

    /// Writes the state down and tells who watches.
    pub(super) fn save(&mut self) {
        let _ = self.assignment.write_state(&self.state);
        self.changed();
    }

    /// The process has ended with `code`: true if another follows.
    fn goes_on(&mut self, code: i32) -> bool {
        let Some(process) = self.process.take() else { return false };
        let ran = Duration::from_nanos(units::boot_nanos().saturating_sub(process.began));
        if self.state.status == Status::Initialized {
            return self.keep(process);
        }
        let wait = match &self.stopping {
            Some(stopping) if stopping.restart => {
                // docker and podman count anew then, also when a health check (podman's) asked for it.
                self.state.restart_count = 0;
                self.back_off = BackOff::new();
                Duration::ZERO
            }
            Some(_) => return self.keep(process),
            None if self.state.stopped_by_user => return self.keep(process),
            _ if !restart::is_due(self.assignment.record().options.restart, code, self.state.restart_count) => {
                return self.keep(process);
            }
            _ => {
                self.state.restart_count += 1;
                self.back_off.after(ran)
            }
        };
        process.cgroup.iter().for_each(|cgroup| {
            cgroup.kill();
            cgroup.remove();
        });
        self.state.status = Status::Restarting;
        self.state.process = None;
        self.state.cgroup = None;
        self.state.exit_code = Some(code);
        self.state.finished = Some(finish::now());
        self.save();
        self.assignment.event("died", &[("exitCode", &code)]);
        self.restart_at = Some(units::boot_nanos() + wait.as_nanos() as u64);
        true
    }

    /// The end: what the process left is needed for tidying up.
    fn keep(&mut self, process: Process) -> bool {
        self.process = Some(process);
        false
    }

    /// The exit code of the container's process if it has ended.
    fn read_signals(&mut self) -> Option<i32> {
        let mut code = None;
        while let Ok(Some(info)) = self.signals.read_signal() {
            if info.ssi_signo == libc::SIGCHLD as u32 {
                code = code.or(self.reap());
                continue;
            }
            // Somebody asks the monitor to end, such as a service manager at shutdown: the container is what they mean. It is not
            // started again now, but at the next boot it may be. It has its own time to end, so that this process outlives it and
            // tells how it ended: a service manager kills both after a longer one.
            let _ = self.end(Some(info.ssi_signo as i32), None, false);
        }
        code
    }

    fn reap(&mut self) -> Option<i32> {
        let mut ended = None;
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => ended = ended.or(self.reaped(pid, code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => ended = ended.or(self.reaped(pid, 128 + signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(_) => return ended,
                Ok(_) => {}
            }
        }
    }

    /// A child has ended; its code if it is the container's process.
    fn reaped(&mut self, pid: Pid, code: i32) -> Option<i32> {
        self.execs.reaped(pid, code);
        let process = self.process.as_ref()?;
        (process.prepared.pid == pid).then_some(code)
    }
}

/// True when the client's end is closed.
fn is_closed(session: &Session) -> bool {
    let mut fds = [PollFd::new(session.as_fd(), PollFlags::empty())];
    let _ = poll(&mut fds, PollTimeout::ZERO);
    fds[0].revents().is_some_and(|r| r.intersects(PollFlags::POLLHUP | PollFlags::POLLERR))
}
