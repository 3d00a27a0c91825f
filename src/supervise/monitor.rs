//! The monitor's life: forked from the command, start of the container, service until its end.

use super::control::Listener;
use super::finish;
use super::joins;
use super::notify::{Ear, Notify};
use super::process::{self, Process, Stdio};
use super::protocol::Report;
use super::service::Service;
use crate::base::fsx::Durability;
use crate::base::{Doing, Error, Kind, Result, units};
use crate::runtime::cgroup::{self, Cgroup};
use crate::runtime::plan::Plan;
use crate::spec::options::{RestartPolicy, SdNotify};
use crate::state::containers::{short, write_state};
use crate::state::events::{self, Event};
use crate::state::record::{ContainerState, ProcessIdentity, Status};
use crate::state::{ContainerRecord, NewContainer};
use crate::store::Store;
use crate::sys::channel::Channel;
use crate::sys::fs::block_device;
use crate::sys::process::{Fork, close_others, exit_now, fork};
use crate::sys::term::Size;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::waitpid;
use std::os::fd::{AsFd, AsRawFd, RawFd};

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
    /// Whom to tell that it is ready.
    pub notify: Option<Notify>,
    /// Its process waits for [`Request::Start`](super::protocol::Request::Start) before it executes.
    pub hold: bool,
    /// Volumes that go when the container does, if they were made for one and no other uses them (`--rm`).
    pub volumes: Vec<String>,
    /// Done by the monitor when a container that is removed at its end is gone, after everybody knows of the end.
    pub afterwards: Option<fn(&Store, &ContainerRecord)>,
}

impl Assignment {
    pub(super) fn record(&self) -> &ContainerRecord {
        &self.container.record
    }

    /// A container that is removed at its end need not survive a power cut: it is exited and gone after one either way.
    pub(super) fn durability(&self) -> Durability {
        if self.record().options.remove { Durability::Cached } else { Durability::Synced }
    }

    /// Writes down that something happened to the container.
    pub(super) fn event(&self, action: &'static str, attributes: &[(&str, &dyn std::fmt::Display)]) {
        let event =
            attributes.iter().fold(Event::of(self.record(), action), |event, (key, value)| event.with(key, value));
        events::append(self.store.paths(), &event);
    }

    pub(super) fn write_state(&self, state: &ContainerState) -> Result<()> {
        write_state(&self.container.folder, state, self.durability())
    }
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
    widen(&mut assignment.plan);
    let (signals, listener) = match watch_signals().and_then(|s| Ok((s, Listener::open(&assignment.container.folder)?)))
    {
        Ok(made) => made,
        Err(e) => return finish::unserved(&assignment, &client, e),
    };
    let mut service = Service::new(assignment, client, signals, listener);
    match service.begin() {
        Ok(()) => {
            let code = service.serve();
            finish::ended(service, code)
        }
        Err(e) => finish::failed(service, e),
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
    let passed = stdio.passed.iter().map(|(_, fd)| fd.as_raw_fd());
    let own = [client.as_fd().as_raw_fd(), assignment.container.lock.as_raw_fd()];
    let keep: Vec<RawFd> = streams.chain(passed).chain(own).collect();
    close_others(&keep);
    if let Ok(null) = nix::fcntl::open("/dev/null", nix::fcntl::OFlag::O_RDWR, nix::sys::stat::Mode::empty()) {
        for number in 0..3 {
            // A stream that was passed under its own number has been copied away by the command.
            let _ = crate::sys::process::copy_descriptor(null.as_raw_fd(), number);
        }
    }
}

/// An exec session takes seven or eight descriptors, and there may be a thousand; many systems give 1024 unless one asks for more. What
/// runs in the container has what its starter had, for programs that use select(2), unless it was given a number of its own.
fn widen(plan: &mut Plan) {
    const ENOUGH: u64 = 16 * 1024;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let wanted = ENOUGH.min(hard);
    if soft >= wanted || setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_err() {
        return;
    }
    let limits = &mut plan.process.rlimits;
    if !limits.iter().any(|(resource, _, _)| *resource == libc::RLIMIT_NOFILE) {
        limits.push((libc::RLIMIT_NOFILE, soft, hard));
    }
}

/// Blocks and watches the signals that mean something here. Before any clone: a child that ends at once is not missed.
pub(super) fn watch_signals() -> Result<SignalFd> {
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        mask.add(signal);
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None).doing(|| "block signals")?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).doing(|| "watch signals")
}

impl Service {
    /// Starts the container's process: for the first time, or again.
    pub(super) fn begin(&mut self) -> Result<()> {
        let mut process = self.set_up()?;
        if std::mem::take(&mut self.assignment.hold) {
            self.process = Some(process);
            self.state.status = Status::Initialized;
            self.assignment.write_state(&self.state)?;
            self.assignment.event("init", &[]);
            self.initialized();
            return Ok(());
        }
        if let Err(e) = self.execute(&mut process) {
            let _ = waitpid(process.prepared.pid, None);
            process.cgroup.iter().for_each(Cgroup::remove);
            return Err(e);
        }
        self.process = Some(process);
        Ok(())
    }

    /// Makes the container's process up to the moment before it executes its command.
    fn set_up(&mut self) -> Result<Process> {
        let assignment = &mut self.assignment;
        let keep = assignment.record().options.interactive && !assignment.stdio.foreground;
        if let Some(notify) = assignment.notify.take() {
            match notify.who {
                SdNotify::Container => self.ear = Some(Ear::open(&assignment.container.folder, notify)?),
                SdNotify::Healthy => self.awaits_health = Some(notify),
                SdNotify::Conmon | SdNotify::Ignore => {}
            }
        }
        // Anew at each start: the other container may have been started again, too.
        let joined = joins::open(assignment.store.paths(), &assignment.plan.joins)?;
        let cgroup = make_cgroup(assignment)?;
        assignment.stdio.runs_again = assignment.record().options.restart != RestartPolicy::No;
        let Assignment { plan, stdio, size, .. } = assignment;
        let (process, input) = process::make(plan, cgroup, stdio, keep, &mut self.outputs, *size, &joined)?;
        drop(joined);
        self.inputs.extend(input);
        let state = &mut self.state;
        state.oom_killed = false;
        state.process = Some(ProcessIdentity::of(process.prepared.pid.as_raw())?);
        state.cgroup = process.cgroup_folder().map(ToOwned::to_owned);
        Ok(process)
    }

    /// Lets the process execute its command.
    pub(super) fn execute(&mut self, process: &mut Process) -> Result<()> {
        self.begin_health();
        self.state.status = Status::Running;
        self.state.started = Some(finish::now());
        // On disk before the command runs: whoever finds this monitor dead knows which process to end.
        let assignment = &self.assignment;
        assignment.write_state(&self.state)?;
        process.began = units::boot_nanos();
        process.prepared.execute()?;
        let after = u64::from(assignment.record().options.timeout) * 1_000_000_000;
        process.deadline = (after > 0).then(|| process.began + after);
        // The overlay's upper is no longer new.
        if let crate::runtime::plan::Root::Overlay { root_like, .. } = &mut self.assignment.plan.root {
            *root_like = None;
        }
        let report =
            Report::Started { pid: process.prepared.pid.as_raw(), notes: std::mem::take(&mut process.prepared.notes) };
        self.assignment.event("start", &[]);
        self.started(&report);
        Ok(())
    }
}

/// The container's cgroup, with its limits.
fn make_cgroup(assignment: &Assignment) -> Result<Option<Cgroup>> {
    let record = assignment.record();
    let request = cgroup::Request {
        name: short(&record.id),
        options: &record.options.cgroup,
        settings: &record.options.limits.settings(&block_device)?,
        detached: !assignment.stdio.foreground,
    };
    Cgroup::create(&request)
}

/// What the client is told when a start fails without an error of its own.
pub fn lost() -> Error {
    Error::new(Kind::Bug, "the container's monitor ended without a word")
}
