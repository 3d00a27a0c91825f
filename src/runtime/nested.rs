//! A container in which its user does not exist (`--userns nomap`, `--subuidname`): a user namespace inside another one.
//!
//! What the container is made of lies below the user's own data folder, which nobody but the user can enter. So a process in
//! a user namespace that has the user opens all of it as detached mounts, and the container's process, made in a namespace
//! below that leaves the user out, inherits them.
//!
//! ```text
//! monitor ──clone (user, mount)──> opener                                   the container's process
//!    │ ── its map, Mapped ──────────> │ opens root, binds (`sources`)          │
//!    │                                └──clone (CLONE_PARENT, all kinds)─────> │ a child of the monitor
//!    │                                │ writes its map: all ids but the user's │
//!    │ <── Joined [pidfd] ── then it ends                                      │
//!    │ ── Mapped ────────────────────────────────────────────────────────────> │ goes on as every other (`init`)
//! ```
//! Files of the container's are removed by the outer namespace, everything else happens in the inner one.

use super::init::{self, Shared};
use super::launch::Streams;
use super::plan::Plan;
use super::sources::Opened;
use super::sync::{Go, Said};
use super::{command, own_exe};
use crate::base::{Doing, Error, Kind, Result};
use crate::sys::channel::Channel;
use crate::sys::process::{Cloned, clone_process, exit_now};
use crate::userns::{IdMap, enter, idmap::IdRange};
use nix::mount::MsFlags;
use nix::sys::wait::waitpid;
use nix::unistd::{Gid, Pid, Uid, getegid, geteuid, setgroups, setresgid, setresuid};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Makes the container's process, and returns the outer user namespace with it. `flags` are its namespaces (`CLONE_NEW*`).
pub(super) fn make(
    plan: &Plan,
    streams: Streams,
    flags: u64,
    ours: &Channel,
    theirs: Channel,
) -> Result<(Cloned, OwnedFd)> {
    // On the host's terms: inside, every id looks different.
    let inner = [without(&plan.map.uids, geteuid().as_raw()), without(&plan.map.gids, getegid().as_raw())];
    let writable_exe = own_exe::is_writable();
    let outer = (libc::CLONE_NEWUSER | libc::CLONE_NEWNS) as u64;
    let Some(opener) = clone_process(outer)? else {
        let work = || run(plan, streams, flags, theirs, writable_exe, &inner);
        // A panic in the child must end the child, not run the parent's code a second time.
        exit_now(catch_unwind(AssertUnwindSafe(work)).unwrap_or(125));
    };
    drop((streams, theirs));
    let made = admit(opener.pid, &plan.map, ours);
    if made.is_err() {
        // It waits for a word that will not come.
        let _ = nix::sys::signal::kill(opener.pid, nix::sys::signal::Signal::SIGKILL);
    }
    let _ = waitpid(opener.pid, None);
    made
}

fn admit(opener: Pid, map: &IdMap, ours: &Channel) -> Result<(Cloned, OwnedFd)> {
    let namespace = enter::namespace_of(opener)?;
    enter::write_maps(opener, map)?;
    ours.send(&Go::Mapped, &[])?;
    let lost = || Error::new(Kind::Bug, "the container's process was lost while its namespaces were made");
    match ours.receive::<Said>()? {
        Some((Said::Joined { pid }, fds)) => {
            let pidfd = fds.into_iter().next().ok_or_else(lost)?;
            Ok((Cloned { pid: Pid::from_raw(pid), pidfd }, namespace))
        }
        Some((Said::Failed(e), _)) => Err(e),
        _ => Err(lost()),
    }
}

/// A map of the inner namespace, for uid_map or gid_map: the ids of `outer` but `own`, each the same inside.
fn without(outer: &[IdRange], own: u32) -> String {
    let others = outer.iter().filter(|r| r.outside != own);
    others.map(|r| format!("{} {} {}\n", r.inside, r.inside, r.count)).collect()
}

/// The opener, and in the end the container's process.
fn run(plan: &Plan, streams: Streams, flags: u64, channel: Channel, writable_exe: bool, inner: &[String; 2]) -> i32 {
    let open = || -> Result<Opened> {
        command::await_go(&channel)?;
        init::set_oom_score(plan)?;
        become_root()?;
        let none: Option<&str> = None;
        nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)
            .doing(|| "unshare the mount tree")?;
        Opened::open(plan, writable_exe)
    };
    let made = open().and_then(|opened| {
        let cloned = clone_process(flags | libc::CLONE_PARENT as u64).doing(|| "create the container's namespaces")?;
        Ok((opened, cloned))
    });
    match made {
        Ok((opened, None)) => {
            let shared = Shared { writable_exe, flags: 0, unshare: 0, shm: None, opened: Some(opened) };
            init::run(plan, streams, channel, &shared)
        }
        Ok((_, Some(child))) => {
            let said = match write_maps(child.pid, inner) {
                Ok(()) => channel.send(&Said::Joined { pid: child.pid.as_raw() }, &[child.pidfd.as_fd()]),
                Err(e) => {
                    let _ = nix::sys::signal::kill(child.pid, nix::sys::signal::Signal::SIGKILL);
                    channel.send(&Said::Failed(e), &[])
                }
            };
            i32::from(said.is_err())
        }
        Err(e) => {
            drop(channel.send(&Said::Failed(e), &[]));
            125
        }
    }
}

/// Becomes root of the outer namespace, in which nobody but this process and its child is: they must see each other's /proc.
fn become_root() -> Result<()> {
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    setgroups(&[])
        .and_then(|()| setresgid(gid, gid, gid))
        .and_then(|()| setresuid(uid, uid, uid))
        .and_then(|()| nix::sys::prctl::set_dumpable(true))
        .doing(|| "become root of the user namespace")
}

fn write_maps(pid: Pid, [uids, gids]: &[String; 2]) -> Result<()> {
    for (file, map) in [("uid_map", uids), ("gid_map", gids)] {
        let path = format!("/proc/{pid}/{file}");
        std::fs::write(&path, map).doing(|| format!("write `{path}`"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inner_map_leaves_the_user_out() {
        let range = |inside, outside, count| IdRange { inside, outside, count };
        let outer = [range(0, 100_000, 1000), range(1000, 300_000, 64_536), range(65_536, 1001, 1)];
        assert_eq!(without(&outer, 1001), "0 0 1000\n1000 1000 64536\n");
    }
}
