//! A container that shares namespaces with another one: its process is made inside them.
//!
//! ```text
//! monitor ──clone──> joiner                              the container's process
//!    │                 │ closed to debuggers               │
//!    │                 │ enters the namespaces             │
//!    │                 └──clone (CLONE_PARENT, the rest)─> │ a child of the monitor
//!    │ <── Joined [pidfd] ── then it ends                  │ goes on as every other (`init`)
//! ```
//! Namespaces belong to the user namespace they were made in, so the container shares that with the other one, too.

use super::launch::Streams;
use super::namespaces;
use super::plan::Plan;
use super::sync::Said;
use super::{init, own_exe};
use crate::base::{Doing, Error, Kind, Result};
use crate::sys::channel::Channel;
use crate::sys::mount::clone_tree;
use crate::sys::process::{Cloned, clone_process, exit_now};
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::wait::waitpid;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Namespaces to be shared: `CLONE_NEW*` and a descriptor.
pub type Joined = Vec<(i32, OwnedFd)>;

/// All kinds that are shared, as one set of flags. A mount namespace is there to be looked into only.
pub(super) fn flags(joined: &Joined) -> u64 {
    joined.iter().filter(|(flag, _)| *flag != libc::CLONE_NEWNS).fold(0, |all, (flag, _)| all | *flag as u64)
}

/// The descriptor of one kind.
pub(super) fn of_kind(joined: &Joined, kind: i32) -> Option<&OwnedFd> {
    joined.iter().find(|(flag, _)| *flag == kind).map(|(_, fd)| fd)
}

/// Makes the container's process; `rest` are the namespaces that it does not share. Its half of the conversation is on
/// `theirs`, ours on `ours`.
pub(super) fn make(
    plan: &Plan,
    streams: Streams,
    joined: &Joined,
    rest: u64,
    ours: &Channel,
    theirs: Channel,
) -> Result<Cloned> {
    let Some(joiner) = clone_process(0)? else {
        // A panic in the child must end the child, not run the parent's code a second time.
        let status = catch_unwind(AssertUnwindSafe(|| run(plan, streams, joined, rest, theirs)));
        exit_now(status.unwrap_or(125));
    };
    drop((streams, theirs));
    let said = ours.receive::<Said>()?;
    let _ = waitpid(joiner.pid, None);
    let lost = || Error::new(Kind::Bug, "the container's process was lost while it entered namespaces");
    match said {
        Some((Said::Joined { pid }, fds)) => {
            let pidfd = fds.into_iter().next().ok_or_else(lost)?;
            Ok(Cloned { pid: nix::unistd::Pid::from_raw(pid), pidfd })
        }
        Some((Said::Failed(e), _)) => Err(e),
        _ => Err(lost()),
    }
}

/// The joiner, and in the end the container's process.
fn run(plan: &Plan, streams: Streams, joined: &Joined, rest: u64, channel: Channel) -> i32 {
    let writable_exe = own_exe::is_writable();
    let enter = || -> Result<(Option<Cloned>, Option<OwnedFd>)> {
        // While /proc/self still belongs to the user.
        init::set_oom_score(plan)?;
        if of_kind(joined, libc::CLONE_NEWUSER).is_some() {
            // The monitor's descriptors are still open here, and the other container may see this process once it is in the
            // same user namespace. Otherwise it must stay open until its ids are mapped.
            nix::sys::prctl::set_dumpable(false).doing(|| "close this process to debuggers")?;
        }
        let inside: Vec<(i32, &OwnedFd)> =
            joined.iter().filter(|(flag, _)| *flag != libc::CLONE_NEWNS).map(|(flag, fd)| (*flag, fd)).collect();
        namespaces::enter(&inside)?;
        let shm = shared_memory(joined)?;
        let cloned = clone_process(rest | libc::CLONE_PARENT as u64).map_err(|e| match e.errno() {
            // pid_namespaces(7): no process can be made in a namespace whose init has ended.
            Some(Errno::ENOMEM) => Error::conflict("the container whose process namespace is to be shared has ended"),
            _ => e.step("create the container's namespaces"),
        })?;
        Ok((cloned, shm))
    };
    match enter() {
        Ok((None, shm)) => init::run(
            plan,
            streams,
            channel,
            &init::Shared { writable_exe, flags: flags(joined), unshare: 0, shm, opened: None },
        ),
        Ok((Some(cloned), _)) => {
            let sent = channel.send(&Said::Joined { pid: cloned.pid.as_raw() }, &[cloned.pidfd.as_fd()]);
            i32::from(sent.is_err())
        }
        Err(e) => {
            drop(channel.send(&Said::Failed(e), &[]));
            125
        }
    }
}

/// The other container's /dev/shm, when the IPC namespace is shared: POSIX shared memory is files there. Only from inside its
/// mount namespace can a copy of a mount be made, and there is no way back from it, so a child goes.
fn shared_memory(joined: &Joined) -> Result<Option<OwnedFd>> {
    let (Some(_), Some(mounts)) = (of_kind(joined, libc::CLONE_NEWIPC), of_kind(joined, libc::CLONE_NEWNS)) else {
        return Ok(None);
    };
    let (ours, theirs) = Channel::pair()?;
    let Some(child) = clone_process(0)? else {
        drop(ours);
        let fetch = || -> Result<()> {
            namespaces::enter(&[(libc::CLONE_NEWNS, mounts)])?;
            let mount = clone_tree(AT_FDCWD, Path::new("/dev/shm"), false)?;
            theirs.send(&(), &[mount.as_fd()]).map(drop)
        };
        exit_now(i32::from(fetch().is_err()));
    };
    drop(theirs);
    let got = ours.receive::<()>()?;
    let _ = waitpid(child.pid, None);
    // The other one may have none: then this container gets one of its own.
    Ok(got.and_then(|((), fds)| fds.into_iter().next()))
}
