//! A further command in a running container.
//!
//! ```text
//! monitor ──clone──> joiner                          command
//!    │                 │ closed to debuggers            │
//!    │                 │ cgroup, namespaces, root       │
//!    │                 └──clone (CLONE_PARENT)────────> │ a child of the monitor, in the container's pid namespace
//!    │ <── Joined [pidfd, fence] ── then it ends        │ terminal, user, working folder, capabilities, filter
//!    │ <── Ready [pty master] ───────────────────────── │
//!    │ ── Go ─────────────────────────────────────────> │
//!    │ <── end of the channel: it executes; or Failed ─ │
//! ```
//! The joiner is not dumpable and has none of the monitor's descriptors before it enters the first namespace, so neither it nor
//! the command can be looked into or traced by who is root in the container (CVE-2016-9962), and no descriptor of the host's is
//! there to be reached (CVE-2024-21626). Whatever the container does to slow them down, the monitor does not wait: it polls
//! [`Starting`].
//!
//! The fence is a time namespace that the command shares only with what comes of it: by that its processes are known, whoever
//! their parents are (`supervise::marks`).

use super::caps::CapSets;
use super::cgroup::Cgroup;
use super::command::{Command, report};
use super::descriptors::{self, Arranged};
use super::launch::{Prepared, Streams};
use super::plan::{Plan, ProcessPlan};
use super::process::{self, Setting};
use super::sync::{Go, Handed, Said};
use super::{init, namespaces, terminal};
use crate::base::{Doing, Error, Kind, Result};
use crate::rootfs::users;
use crate::spec::caps::CapSet;
use crate::sys::channel::Channel;
use crate::sys::process::{Cloned, clone_into_cgroup, clone_process, exit_now};
use crate::sys::term::{self, Size};
use crate::sys::{keyring, signal};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, setsid};
use serde::{Deserialize, Serialize};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `exec` asks for. What it leaves open is as the container's own command has it. New fields need a default: it travels
/// between versions (`supervise::protocol`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecSpec {
    /// 64 hex digits.
    pub id: String,
    /// Program and arguments.
    pub args: Vec<String>,
    /// `NAME=value` beside or instead of the container's.
    pub env: Vec<String>,
    /// Where it starts; must exist.
    pub cwd: Option<String>,
    /// `user[:group]` as names or numbers, resolved in the container.
    pub user: Option<String>,
    /// It gets a pseudo-terminal.
    pub tty: bool,
    /// The terminal's first size.
    pub size: Option<Size>,
    /// The first descriptor is its stdin.
    pub stdin: bool,
    /// `stdin` is relayed from a terminal: its end is nothing that the command is told.
    pub stdin_is_relayed: bool,
    /// The next descriptor gets its output.
    pub stdout: bool,
    /// The next descriptor gets its errors.
    pub stderr: bool,
    /// The descriptors after these are its own under these numbers, from 3 on.
    pub passed: Vec<i32>,
    /// All capabilities.
    pub privileged: bool,
    /// It goes on when its client is gone.
    pub detach: bool,
}

/// The highest number under which a descriptor is passed on.
pub const MAX_PASSED: i32 = 255;

impl ExecSpec {
    /// Errors: `Usage` for what no process can be.
    pub fn check(&self) -> Result<()> {
        if self.args.is_empty() {
            return Err(Error::usage("no command specified"));
        }
        if let Some(number) = self.passed.iter().find(|n| !(3..=MAX_PASSED).contains(*n)) {
            return Err(Error::usage(format!("descriptor {number} cannot be passed on: 3 to {MAX_PASSED} can")));
        }
        Ok(())
    }

    /// The process in a container that was started by `container`.
    fn process(&self, container: &Plan) -> ProcessPlan {
        let own = &container.process;
        let mut env = own.env.clone();
        let known = |name: &str| [&own.env, &self.env].into_iter().flatten().any(|e| e.split('=').next() == Some(name));
        if self.tty && !known("TERM") {
            env.push(crate::spec::defaults::TERM.to_owned());
        }
        for pair in &self.env {
            let name = pair.split('=').next();
            env.retain(|old| old.split('=').next() != name);
            env.push(pair.clone());
        }
        let all = CapSet::all(crate::sys::caps::last());
        let (capabilities, user_capabilities) = if self.privileged {
            let bounding = CapSets { bounding: all, ..CapSets::default() };
            (CapSets { permitted: all, effective: all, ..bounding }, bounding)
        } else {
            (own.capabilities, own.user_capabilities)
        };
        ProcessPlan {
            terminal: self.tty,
            args: self.args.clone(),
            env,
            cwd: self.cwd.clone().unwrap_or_else(|| own.cwd.clone()),
            user: self.user.clone().unwrap_or_else(|| own.user.clone()),
            capabilities,
            user_capabilities,
            init: false,
            ..own.clone()
        }
    }
}

/// A command that is on its way into its container.
#[derive(Debug)]
pub struct Starting {
    channel: Channel,
    cloned: Option<Cloned>,
    fence: Option<OwnedFd>,
    ready: bool,
    went: bool,
    terminal: Option<OwnedFd>,
}

/// A command that executes.
#[derive(Debug)]
pub struct Executing {
    /// Its pid as the monitor sees it; the monitor's child.
    pub pid: Pid,
    /// A descriptor for it.
    pub pidfd: OwnedFd,
    /// The master of its terminal.
    pub terminal: Option<OwnedFd>,
    /// The time namespace that only it and what comes of it are in; `None` where the kernel or the user may make none.
    pub fence: Option<OwnedFd>,
}

/// Sends a command on its way. The caller is the single-threaded parent of the container; it will have two more children to
/// reap, of which the first is of no interest. `slack` is the command's timer slack in nanoseconds, by which the caller knows
/// what comes of it.
///
/// Errors: `Usage` as [`ExecSpec::check`]; whatever forbids one more process. What goes wrong inside comes from
/// [`Starting::step`].
pub fn begin(
    container: &Plan,
    prepared: &Prepared,
    cgroup: Option<&Cgroup>,
    spec: &ExecSpec,
    slack: u64,
    streams: Streams,
) -> Result<Starting> {
    spec.check()?;
    let (ours, theirs) = Channel::pair()?;
    let folder = cgroup.map(Cgroup::open).transpose()?;
    let (cloned, placed) = match &folder {
        Some(folder) => clone_into_cgroup(0, folder.as_fd())?,
        None => (clone_process(0)?, true),
    };
    if cloned.is_some() {
        return Ok(Starting { channel: ours, cloned: None, fence: None, ready: false, went: false, terminal: None });
    }
    drop(ours);
    let work = || {
        let joiner = Joiner { container, prepared, spec, slack, cgroup: cgroup.filter(|_| !placed) };
        joiner.run(streams, theirs)
    };
    exit_now(catch_unwind(AssertUnwindSafe(work)).unwrap_or(125));
}

impl Starting {
    /// What the caller polls for [`Starting::step`].
    pub fn channel(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// The command's process, once it is there.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.cloned.as_ref().map(|c| c.pidfd.as_fd())
    }

    /// Reads one message, which must be there. `None`: not executing yet.
    ///
    /// Errors: what joiner or command said; `Io` when they ended without a word, as when the container ends meanwhile.
    pub fn step(&mut self) -> Result<Option<Executing>> {
        match self.channel.receive::<Said>()? {
            // Not once it executes: who is root in the container may then have got hold of the channel's other end.
            Some((Said::Joined { pid }, fds)) if self.cloned.is_none() => {
                let mut fds = fds.into_iter();
                let pidfd = fds.next().ok_or_else(|| Error::new(Kind::Bug, "a process without its descriptor"))?;
                self.fence = fds.next();
                self.cloned = Some(Cloned { pid: Pid::from_raw(pid), pidfd });
            }
            Some((Said::Ready { handed, .. }, fds)) if !self.ready => {
                self.ready = true;
                self.terminal =
                    handed.into_iter().zip(fds).find(|(what, _)| *what == Handed::Terminal).map(|(_, fd)| fd);
            }
            Some((Said::Failed(e), _)) => return Err(e),
            Some(_) => return Err(Error::new(Kind::Corrupt, "the process said the same thing twice")),
            // It executes, or was killed without a word, as when the container ends: its status tells.
            None => {
                let lost = || Error::new(Kind::Io, "the process ended before it could execute its command");
                let Cloned { pid, pidfd } = self.cloned.take().ok_or_else(lost)?;
                let (terminal, fence) = (self.terminal.take(), self.fence.take());
                return Ok(Some(Executing { pid, pidfd, terminal, fence }));
            }
        }
        if self.ready && self.cloned.is_some() && !self.went {
            self.channel.send(&Go::Execute, &[])?;
            self.went = true;
        }
        Ok(None)
    }
}

/// The process between the monitor and the command.
struct Joiner<'a> {
    container: &'a Plan,
    prepared: &'a Prepared,
    spec: &'a ExecSpec,
    /// The timer slack, in nanoseconds.
    slack: u64,
    /// Where it still has to move.
    cgroup: Option<&'a Cgroup>,
}

/// Who comes back from [`Joiner::enter`].
enum Entered {
    /// The joiner, with what it has to tell the monitor.
    Joiner { cloned: Cloned, fence: Option<OwnedFd> },
    /// The command's process; with runr's executable, where it needs protection.
    Command { own_exe: Option<OwnedFd> },
}

impl Joiner<'_> {
    /// Returns the exit status of the joiner, or of a command that could not be executed.
    fn run(&self, streams: Streams, channel: Channel) -> i32 {
        let keep: Vec<BorrowedFd<'_>> = std::iter::once(self.prepared.user_namespace.as_fd())
            .chain(self.prepared.namespaces.iter().map(|(_, fd)| fd.as_fd()))
            .chain(self.prepared.own_exe.iter().map(AsFd::as_fd))
            .collect();
        let outside = self.leave_host();
        let Ok(Arranged { channel, kept }) = descriptors::arrange(streams, channel, &keep) else { return 125 };
        match outside.and_then(|()| self.enter(kept)) {
            Ok(Entered::Command { own_exe }) => {
                let command = self.prepare(&channel, own_exe);
                report(&channel, command.map_or_else(|e| e, |command| command.run(&channel)))
            }
            Ok(Entered::Joiner { cloned, fence }) => {
                let fds: Vec<BorrowedFd<'_>> =
                    std::iter::once(cloned.pidfd.as_fd()).chain(fence.iter().map(AsFd::as_fd)).collect();
                i32::from(channel.send(&Said::Joined { pid: cloned.pid.as_raw() }, &fds).is_err())
            }
            Err(e) => report(&channel, e),
        }
    }

    /// What must be done as the user on the host, and before anybody in the container could look.
    fn leave_host(&self) -> Result<()> {
        if let Some(score) = self.container.process.oom_score_adj {
            std::fs::write("/proc/self/oom_score_adj", score.to_string())
                .doing(|| format!("set OOM score to {score}"))?;
        }
        let first = self.prepared.pid;
        self.cgroup.map_or(Ok(()), |cgroup| cgroup.add_beside(first, nix::unistd::getpid()))?;
        nix::sys::prctl::set_dumpable(false).doing(|| "close this process to debuggers")
    }

    /// Enters the namespaces and makes the command's process.
    fn enter(&self, kept: Vec<OwnedFd>) -> Result<Entered> {
        let mut kept = kept.into_iter();
        let kinds = std::iter::once(libc::CLONE_NEWUSER).chain(self.prepared.namespaces.iter().map(|(flag, _)| *flag));
        let joined: Vec<(i32, OwnedFd)> = kinds.zip(kept.by_ref()).collect();
        // The user namespace is the first: it gives the right to make another.
        let (user, others) = joined.split_at(1);
        namespaces::enter(user)?;
        let fence = namespaces::fence();
        namespaces::enter(others)?;
        drop(joined);
        if self.container.has(libc::CLONE_NEWUSER) {
            init::take_root_ids()?;
        }
        nix::sys::stat::umask(Mode::empty());
        let cloned = clone_process(libc::CLONE_PARENT as u64).map_err(|e| match e.errno() {
            // pid_namespaces(7): no process can be made in a namespace whose init has ended.
            Some(Errno::ENOMEM) => Error::conflict("the container is not running any more"),
            _ => e,
        })?;
        Ok(match cloned {
            Some(cloned) => Entered::Joiner { cloned, fence },
            None => Entered::Command { own_exe: kept.next() },
        })
    }

    /// In the command's process.
    fn prepare(&self, channel: &Channel, own_exe: Option<OwnedFd>) -> Result<Command> {
        setsid().doing(|| "start session")?;
        nix::sys::prctl::set_timerslack(self.slack).doing(|| "set timer slack")?;
        keyring::join_new_session().doing(|| "start session keyring")?;
        signal::reset_all()?;
        let process = self.spec.process(self.container);
        // Never closed by an error: that would end this process (SIGHUP) before it can tell.
        let master = if process.terminal { Some(ManuallyDrop::new(self.open_terminal()?)) } else { None };
        let setting =
            Setting { process: &process, make_workdir: self.spec.cwd.is_none(), ..Setting::of(self.container) };
        let user = users::resolve(root()?.as_fd(), &process.user, &process.groups)?;
        let command = process::prepare(&setting, &user, own_exe)?;
        let handed = master.iter().map(|_| Handed::Terminal).collect();
        let fds: Vec<BorrowedFd<'_>> = master.iter().map(|master| master.as_fd()).collect();
        channel.send(&Said::Ready { notes: Vec::new(), handed }, &fds)?;
        Ok(command)
    }

    fn open_terminal(&self) -> Result<OwnedFd> {
        let (master, slave) = terminal::open(&root()?)?;
        if let Some(size) = self.spec.size {
            term::set_size(&master, size)?;
        }
        terminal::take(slave)?;
        Ok(master)
    }
}

fn root() -> Result<OwnedFd> {
    nix::fcntl::open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).doing(|| "open the container's root")
}
