//! The parent's half of a container's start: one clone into all namespaces, the id maps, the handshake of `sync`.
//!
//! The caller is single-threaded (the monitor is, for life): only so may the child of a raw clone go on with ordinary code,
//! allocation included, before it executes. Nothing of the parent's is used in the child but the plan.

use super::cgroup::Cgroup;
use super::init::Shared;
use super::joining::{self, Joined};
use super::plan::Plan;
use super::sync::{Go, Handed, Said};
use super::{nested, own_exe};
use crate::base::{Doing, Error, Kind, Result};
use crate::sys::channel::Channel;
use crate::sys::process::{clone_process, exit_now};
use crate::userns::enter;
use nix::unistd::Pid;
use std::os::fd::{OwnedFd, RawFd};

/// The container's three standard streams, as they are given to its process. With a terminal all are `None`; a stream
/// that is `None` otherwise is /dev/null.
#[derive(Debug, Default)]
pub struct Streams {
    /// Read by the container.
    pub stdin: Option<OwnedFd>,
    /// Written by the container.
    pub stdout: Option<OwnedFd>,
    /// Written by the container.
    pub stderr: Option<OwnedFd>,
    /// What else it gets, each under its number, from 3 on (`--preserve-fds`).
    pub passed: Vec<(RawFd, OwnedFd)>,
}

/// A container's process, set up and waiting for [`Prepared::execute`].
#[derive(Debug)]
pub struct Prepared {
    /// Its pid as the parent sees it.
    pub pid: Pid,
    /// A descriptor for it.
    pub pidfd: OwnedFd,
    /// The container's user namespace.
    pub user_namespace: OwnedFd,
    /// The one around it, when that hides the user.
    outer: Option<OwnedFd>,
    /// The master of its terminal.
    pub terminal: Option<OwnedFd>,
    /// What the kernel or the machine made it give up.
    pub notes: Vec<String>,
    /// Its namespaces (`CLONE_NEW*`, descriptor), for those who join it.
    pub(super) namespaces: Vec<(i32, OwnedFd)>,
    /// runr's executable, read-only, where it needs protection.
    pub(super) own_exe: Option<OwnedFd>,
    channel: Channel,
}

/// Clones the container's process and waits until it is ready to execute. The child keeps no descriptor of the caller's
/// but `streams`: the container's lock above all must not live on in it. `joined` are the namespaces of the plan that it shares.
pub fn prepare(plan: &Plan, streams: Streams, cgroup: Option<&Cgroup>, joined: &Joined) -> Result<Prepared> {
    let (ours, theirs) = Channel::pair()?;
    // The cgroup namespace is made by the child once it is in its cgroup: the namespace's root is where it is then.
    let flags = plan.namespaces & !(libc::CLONE_NEWCGROUP as u64) & !joining::flags(joined);
    let mut outer = None;
    let child = if plan.hides_user {
        let (child, namespace) = nested::make(plan, streams, flags, &ours, theirs)?;
        outer = Some(namespace);
        child
    } else if joined.is_empty() {
        // The network namespace alone takes the kernel as long as everything else here: the child makes it while the maps are
        // written. Only these two can't be made by a process for itself.
        let first = flags & (libc::CLONE_NEWUSER | libc::CLONE_NEWPID) as u64;
        let shared =
            Shared { writable_exe: own_exe::is_writable(), flags: 0, unshare: flags & !first, shm: None, opened: None };
        let Some(child) = clone_process(first).map_err(|e| explain_namespaces(e, plan))? else {
            drop(ours);
            // A panic in the child must end the child, not run the parent's code a second time.
            let work = || super::init::run(plan, streams, theirs, &shared);
            exit_now(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(125));
        };
        drop((theirs, streams));
        child
    } else {
        joining::make(plan, streams, joined, flags, &ours, theirs)?
    };
    let user_namespace = match admit(child.pid, flags, joined, plan, cgroup, &ours) {
        Ok(fd) => fd,
        Err(e) => {
            // Its end of the channel closes with ours, which ends the child; it is reaped so that no zombie stays.
            drop(ours);
            let _ = nix::sys::wait::waitpid(child.pid, None);
            return Err(e);
        }
    };
    match ours.receive::<Said>()? {
        Some((Said::Ready { notes, handed }, fds)) => {
            let mut prepared = Prepared {
                pid: child.pid,
                pidfd: child.pidfd,
                user_namespace,
                outer,
                terminal: None,
                notes,
                namespaces: Vec::new(),
                own_exe: None,
                channel: ours,
            };
            for (what, fd) in handed.into_iter().zip(fds) {
                match what {
                    Handed::Terminal => prepared.terminal = Some(fd),
                    Handed::OwnExe => prepared.own_exe = Some(fd),
                    Handed::Namespace(flag) => prepared.namespaces.push((flag, fd)),
                }
            }
            Ok(prepared)
        }
        Some((Said::Joined { .. }, _)) => Err(Error::new(Kind::Bug, "the container's process joined a container")),
        Some((Said::Failed(e), _)) => {
            let _ = nix::sys::wait::waitpid(child.pid, None);
            Err(e)
        }
        None => {
            let end = nix::sys::wait::waitpid(child.pid, None);
            Err(Error::new(Kind::Bug, format!("the container's process ended while it was set up ({end:?})")))
        }
    }
}

fn admit(
    pid: Pid,
    namespaces: u64,
    joined: &Joined,
    plan: &Plan,
    cgroup: Option<&Cgroup>,
    channel: &Channel,
) -> Result<OwnedFd> {
    let user_namespace = match joining::of_kind(joined, libc::CLONE_NEWUSER) {
        Some(fd) => fd.try_clone()?,
        None => enter::namespace_of(pid)?,
    };
    if namespaces & libc::CLONE_NEWUSER as u64 != 0 && !plan.hides_user {
        enter::write_maps(pid, &plan.map)?;
    }
    if let Some(cgroup) = cgroup {
        cgroup.add(pid)?;
    }
    channel.send(&Go::Mapped, &[])?;
    Ok(user_namespace)
}

/// What keeps a process from having namespaces.
pub(super) fn explain_namespaces(e: Error, plan: &Plan) -> Error {
    match e.errno() {
        Some(errno) if plan.has(libc::CLONE_NEWUSER) => {
            enter::unshare_error(errno as i32).step("create the container's namespaces")
        }
        _ => e,
    }
}

impl Prepared {
    /// The user namespace for work on the container's files, which lie in the user's own folders.
    pub fn file_namespace(&self) -> &OwnedFd {
        self.outer.as_ref().unwrap_or(&self.user_namespace)
    }

    /// All its namespaces (`CLONE_NEW*`, descriptor), the user namespace first, for containers that share them.
    pub fn shareable(&self) -> impl Iterator<Item = (i32, &OwnedFd)> {
        std::iter::once((libc::CLONE_NEWUSER, &self.user_namespace))
            .chain(self.namespaces.iter().map(|(flag, fd)| (*flag, fd)))
    }

    /// Lets the process execute its command; the error is what the process said of its execve.
    pub fn execute(&self) -> Result<()> {
        self.channel.send(&Go::Execute, &[]).doing(|| "start the container's command")?;
        match self.channel.receive::<Said>()? {
            None => Ok(()),
            Some((Said::Failed(e), _)) => Err(e),
            Some(_) => Err(Error::new(Kind::Bug, "the container's process was ready twice")),
        }
    }
}
