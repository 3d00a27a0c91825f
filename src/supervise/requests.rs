//! What clients ask of the monitor, one function per request.

use super::process::Process;
use super::protocol::{Report, Request};
use super::service::{Service, Stopping};
use super::session::Session;
use crate::base::{Error, Result, units};
use crate::runtime::{cgroup, view};
use crate::state::record::Status;
use crate::sys::signal;
use crate::sys::term;
use crate::userns::{Job, Keep};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// docker's and podman's time between the stop signal and SIGKILL.
const STOP_TIMEOUT_SECONDS: i64 = 10;

impl Service {
    /// Does what a client asks for.
    pub(super) fn answer(&mut self, id: u64, request: Request, fds: Vec<OwnedFd>) {
        let result = match request {
            Request::Signal(number) => {
                match self.exec_of(id) {
                    Some(exec) => exec.signal(number),
                    None => self.pass_signal(number),
                }
                Ok(None)
            }
            Request::Resize(size) => {
                match self.exec_of(id) {
                    Some(exec) => exec.resize(size),
                    None => self.resize(size),
                }
                Ok(None)
            }
            Request::Kill { signal } => self.kill(signal).map(Some),
            Request::Stop { signal, timeout_seconds, remove } => self.stop(id, signal, timeout_seconds, remove),
            Request::Restart { signal, timeout_seconds } => self.restart(id, signal, timeout_seconds),
            Request::Start => self.start(id),
            Request::Pause => self.pause(true).map(Some),
            Request::Unpause => self.pause(false).map(Some),
            Request::Namespaces => self.share_namespaces(id),
            Request::Root { alone } => self.share_root(id, alone),
            Request::Wait => self.mark(id, |s| s.wants_end = true),
            Request::Watch => self.mark(id, |s| s.watches = true).map(|_| Some(Report::Changed)),
            Request::Attach { stdin, stdin_is_relayed, stdout, stderr, size } => {
                self.attach(id, [stdin, stdout, stderr], stdin_is_relayed, size, fds)
            }
            Request::Exec(spec) => self.exec(id, &spec, fds),
            Request::Detach => {
                self.detach_exec(id);
                self.let_go(id);
                Ok(None)
            }
            Request::Sessions => Ok(Some(self.exec_ids())),
            Request::CheckHealth => self.check_health(id),
            Request::Update { restart, health, limits } => {
                let options = &mut self.assignment.container.record.options;
                options.restart = restart.unwrap_or(options.restart);
                if let Some(health) = health {
                    options.health = *health;
                    self.update_health();
                }
                if let Some(limits) = limits {
                    // The client has written them into the cgroup; the next run gets them, too.
                    self.assignment.container.record.options.limits = *limits;
                }
                Ok(Some(Report::Done))
            }
        };
        match result {
            Ok(Some(report)) => self.tell(id, &report),
            Ok(None) => {}
            Err(e) => self.tell(id, &Report::Failed(e)),
        }
    }

    /// Notes what a session waits for.
    fn mark(&mut self, id: u64, set: impl FnOnce(&mut Session)) -> Result<Option<Report>> {
        if let Some(session) = self.sessions.iter_mut().find(|s| s.id == id) {
            set(session);
        }
        Ok(None)
    }

    fn pass_signal(&mut self, number: i32) {
        if let Some(process) = &self.process {
            let _ = process.signal(number);
        }
    }

    fn resize(&mut self, size: term::Size) {
        if let Some(master) = self.process.as_ref().and_then(|p| p.prepared.terminal.as_ref()) {
            let _ = term::set_size(master, size);
        }
    }

    /// The container's process, once it executes its command.
    pub(super) fn running(&self) -> Result<&Process> {
        let executes = self.state.status != Status::Initialized;
        self.process.as_ref().filter(|_| executes).ok_or_else(not_running)
    }

    /// `start` of a container that is only initialized. What goes wrong is the end of its process.
    fn start(&mut self, id: u64) -> Result<Option<Report>> {
        let mut process = self.process.take().ok_or_else(not_running)?;
        let executed = if self.state.status == Status::Initialized && self.stopping.is_none() {
            self.mark(id, |s| s.wants_start = true)?;
            self.execute(&mut process).map(|()| None)
        } else {
            Ok(Some(Report::Started { pid: process.prepared.pid.as_raw(), notes: Vec::new() }))
        };
        self.process = Some(process);
        if let Err(e) = &executed {
            self.state.status = Status::Initialized;
            self.state.error = Some(e.to_string());
            self.mark(id, |s| s.wants_start = false)?;
        }
        executed
    }

    /// `kill`: a signal that ends the container by intention keeps its restart policy from starting it again.
    fn kill(&mut self, number: i32) -> Result<Report> {
        let process = self.running()?;
        if number == libc::SIGKILL {
            process.kill();
        } else {
            process.signal(number)?;
        }
        if number == libc::SIGKILL || number == self.stop_signal() {
            self.state.stopped_by_user = true;
        }
        self.assignment.event("kill", &[("signal", &number)]);
        Ok(Report::Done)
    }

    fn stop_signal(&self) -> i32 {
        let own = self.assignment.record().stop_signal.as_deref();
        own.and_then(signal::number).unwrap_or(libc::SIGTERM)
    }

    fn stop(&mut self, id: u64, signal: Option<i32>, timeout: Option<i64>, remove: bool) -> Result<Option<Report>> {
        self.mark(id, |s| s.wants_end = true)?;
        self.state.stopped_by_user = true;
        if remove {
            self.assignment.container.record.options.remove = true;
        }
        self.end(signal, timeout, false)?;
        Ok(None)
    }

    fn restart(&mut self, id: u64, signal: Option<i32>, timeout: Option<i64>) -> Result<Option<Report>> {
        if self.state.status == Status::Initialized {
            return self.start(id);
        }
        self.mark(id, |s| s.wants_start = true)?;
        // A stop that is under way is not undone.
        if self.stopping.as_ref().is_some_and(|s| !s.restart) {
            return Err(Error::conflict("the container is being stopped"));
        }
        self.end(signal, timeout, true)?;
        Ok(None)
    }

    /// Asks the process to end, and sees to it that it does.
    pub(super) fn end(&mut self, signal: Option<i32>, timeout: Option<i64>, restart: bool) -> Result<()> {
        let own = self.assignment.record().options.stop_timeout.map(i64::from);
        let seconds = timeout.or(own).unwrap_or(STOP_TIMEOUT_SECONDS);
        let kill_at =
            u64::try_from(seconds).ok().map(|s| units::boot_nanos().saturating_add(s.saturating_mul(1_000_000_000)));
        // Two stops: the more impatient one counts.
        let earlier = self.stopping.as_ref().map(|s| s.kill_at);
        let kill_at = match earlier {
            Some(earlier) => [earlier, kill_at].into_iter().flatten().min(),
            None => kill_at,
        };
        self.stopping = Some(Stopping { kill_at, restart });
        let number = signal.unwrap_or_else(|| self.stop_signal());
        let paused = self.state.status == Status::Paused;
        let Some(process) = &self.process else { return Ok(()) };
        if self.state.status == Status::Initialized {
            // There is no command yet that could do something before its end.
            process.kill();
            return Ok(());
        }
        process.signal(number)?;
        if paused {
            // A frozen process takes its signal when it is thawed.
            self.pause(false)?;
        }
        Ok(())
    }

    fn share_namespaces(&mut self, id: u64) -> Result<Option<Report>> {
        let Some(process) = &self.process else { return Err(not_running()) };
        let (kinds, fds): (Vec<i32>, Vec<BorrowedFd<'_>>) =
            process.prepared.shareable().map(|(kind, fd)| (kind, fd.as_fd())).unzip();
        if let Some(session) = self.sessions.iter().find(|s| s.id == id) {
            session.channel().try_send_with(&Report::Namespaces { kinds }, &fds);
        }
        Ok(None)
    }

    /// A process that enters the container opens its root and sends it itself: this one stays outside.
    fn share_root(&self, id: u64, alone: bool) -> Result<Option<Report>> {
        let process = self.process.as_ref().ok_or_else(not_running)?;
        let Some(session) = self.sessions.iter().find(|s| s.id == id) else { return Ok(None) };
        let own = |wanted: i32| {
            let found = process.prepared.shareable().find(|(kind, _)| *kind == wanted).map(|(_, fd)| fd.as_fd());
            found.ok_or_else(|| Error::unsupported("the container has no such namespace of its own"))
        };
        let (user, mount) = (own(libc::CLONE_NEWUSER)?, own(libc::CLONE_NEWNS)?);
        let channel = session.channel();
        let sending = Job::in_existing(user, Some(mount), Keep(&[channel.as_fd()]), || {
            let root = view::running()?;
            let root = if alone { view::without_mounts(&root)? } else { root };
            Ok(channel.try_send_with(&Report::Root, &[root.as_fd()]))
        })?;
        sending.wait()?;
        Ok(None)
    }

    fn pause(&mut self, frozen: bool) -> Result<Report> {
        let process = self.running()?;
        match (frozen, self.state.status) {
            (true, Status::Paused) => return Err(Error::conflict("the container is paused already")),
            (false, Status::Running) => return Err(Error::conflict("the container is not paused")),
            _ => {}
        }
        let cgroup = process.cgroup.as_ref().ok_or_else(|| {
            Error::unsupported("pausing needs a cgroup of its own, and this user may make none here")
                .hint(cgroup::log_in())
        })?;
        cgroup.freeze(frozen)?;
        self.state.status = if frozen { Status::Paused } else { Status::Running };
        self.save();
        self.assignment.event(if frozen { "pause" } else { "unpause" }, &[]);
        Ok(Report::Done)
    }

    fn attach(
        &mut self,
        id: u64,
        [stdin, stdout, stderr]: [bool; 3],
        relayed: bool,
        size: Option<term::Size>,
        fds: Vec<OwnedFd>,
    ) -> Result<Option<Report>> {
        let mut fds = fds.into_iter();
        let mut take = |wanted: bool| {
            let missing = || Error::usage("a stream to attach is missing");
            wanted.then(|| fds.next().ok_or_else(missing)).transpose()
        };
        let (stdin, stdout, stderr) = (take(stdin)?, take(stdout)?, take(stderr)?);
        self.mark(id, |s| s.wants_end = true)?;
        for (output, sink) in self.outputs.iter_mut().zip([stdout, stderr]) {
            if let Some(sink) = sink {
                output.add(id, sink, false);
            }
        }
        if let (Some(source), Some(process)) = (stdin, &self.process) {
            self.inputs.extend(process.input(id, source, relayed)?);
        }
        if let Some(size) = size {
            self.resize(size);
        }
        self.assignment.event("attach", &[]);
        Ok(Some(Report::Done))
    }
}

pub(super) fn not_running() -> Error {
    Error::conflict("the container is not running")
}
