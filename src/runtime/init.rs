//! The container's side from clone to execve, as a list of short steps in the one order that works.
//!
//! This process is a copy of the monitor in new namespaces. It must not touch the store, the network or any lock; its
//! conversation with the monitor is `sync`. Every error goes up that channel with all its words.

use super::command::{Command, await_go, report};
use super::descriptors::{self, Arranged};
use super::launch::{self, Streams};
use super::plan::Plan;
use super::sources::{Opened, Sources};
use super::sync::{Handed, Said};
use super::{mounts, namespaces, process, terminal};
use crate::base::{Doing, Result};
use crate::sys::channel::Channel;
use crate::sys::{keyring, net, signal, term};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid, setsid};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What this process did not make but shares with another container, and what only the host's side can know.
#[derive(Debug)]
pub(super) struct Shared {
    /// What [`own_exe::is_writable`] says on the host: in a new user namespace every owner is nobody at first.
    pub(super) writable_exe: bool,
    /// Kinds of namespaces, `CLONE_NEW*`.
    pub(super) flags: u64,
    /// Kinds of namespaces that this process makes itself while the monitor has its ids mapped.
    pub(super) unshare: u64,
    /// The other one's /dev/shm, as a mount of nowhere yet.
    pub(super) shm: Option<OwnedFd>,
    /// What it needs of the host, where it cannot reach that itself.
    pub(super) opened: Option<Opened>,
}

impl Shared {
    fn has(&self, flag: i32) -> bool {
        self.flags & flag as u64 != 0
    }
}

/// Runs the plan; returns only the status of a failure.
pub(super) fn run(plan: &Plan, streams: Streams, channel: Channel, shared: &Shared) -> i32 {
    let opened = shared.opened.iter().flat_map(Opened::descriptors);
    let keep: Vec<BorrowedFd<'_>> = shared.shm.iter().map(AsFd::as_fd).chain(opened).collect();
    let Ok(Arranged { channel, kept }) = descriptors::arrange(streams, channel, &keep) else { return 125 };
    let mut kept = kept.into_iter();
    let shm = shared.shm.as_ref().and_then(|_| kept.next());
    let sources = shared.opened.as_ref().map_or(Ok(Sources::Visible), |o| o.renumbered(kept).map(Sources::Opened));
    match sources.and_then(|sources| build(plan, &channel, shared, shm, sources)) {
        Ok(command) => report(&channel, command.run(&channel)),
        Err(e) => report(&channel, e),
    }
}

fn build(
    plan: &Plan,
    channel: &Channel,
    shared: &Shared,
    shm: Option<OwnedFd>,
    mut sources: Sources,
) -> Result<Command> {
    make_namespaces(plan, shared.unshare)?;
    await_go(channel)?;
    become_root(plan, shared)?;
    if plan.has(libc::CLONE_NEWNET) && !shared.has(libc::CLONE_NEWNET) {
        net::loopback_up()?;
    }
    let mut notes = Vec::new();
    let (root, user) = mounts::build(plan, shm, &mut sources, &mut notes)?;
    let own_exe = if shared.writable_exe { Some(sources.own_exe()?) } else { None };
    // While the host's /proc is in sight.
    let namespaces = namespaces::open_own()?;
    if !shared.has(libc::CLONE_NEWUTS) {
        set_names(plan)?;
    }
    // Never closed by an error: that would end this process (SIGHUP), if it is not process 1, before it can tell.
    let terminal = if plan.process.terminal { Some(ManuallyDrop::new(open_terminal(&root)?)) } else { None };
    mounts::enter(&root, plan)?;
    let command = process::prepare(&process::Setting::of(plan), &user, own_exe)?;
    let mut handed: Vec<(Handed, BorrowedFd<'_>)> = Vec::new();
    handed.extend(terminal.as_ref().map(|fd| (Handed::Terminal, fd.as_fd())));
    handed.extend(command.own_exe.as_ref().map(|fd| (Handed::OwnExe, fd.as_fd())));
    handed.extend(namespaces.iter().map(|(flag, fd)| (Handed::Namespace(*flag), fd.as_fd())));
    let (handed, fds): (Vec<_>, Vec<_>) = handed.into_iter().unzip();
    channel.send(&Said::Ready { notes, handed }, &fds)?;
    Ok(command)
}

/// Makes namespaces that don't have to come with the process. Its capabilities in its new user namespace do not depend on a map.
fn make_namespaces(plan: &Plan, kinds: u64) -> Result<()> {
    if kinds == 0 {
        return Ok(());
    }
    // CLONE_NEW* are below 2^32, as unshare(2) takes them.
    let kinds = nix::sched::CloneFlags::from_bits_retain(kinds as i32);
    nix::sched::unshare(kinds).map_err(|e| launch::explain_namespaces(e.into(), plan))
}

/// `--oom-score-adj`, while /proc/self still belongs to the user: a process that is not dumpable has none of its own.
pub(super) fn set_oom_score(plan: &Plan) -> Result<()> {
    let Some(score) = plan.process.oom_score_adj else { return Ok(()) };
    std::fs::write("/proc/self/oom_score_adj", score.to_string()).doing(|| format!("set OOM score to {score}"))
}

fn become_root(plan: &Plan, shared: &Shared) -> Result<()> {
    if shared.flags == 0 && shared.opened.is_none() {
        set_oom_score(plan)?;
    }
    setsid().doing(|| "start session")?;
    keyring::join_new_session().doing(|| "start session keyring")?;
    signal::reset_all()?;
    if plan.has(libc::CLONE_NEWUSER) {
        take_root_ids()?;
    }
    // From here to execve nobody in the container may look into this process or through its /proc/self/exe, which is runr's
    // own file on the host (CVE-2019-5736).
    nix::sys::prctl::set_dumpable(false).doing(|| "close this process to debuggers")?;
    nix::sys::stat::umask(Mode::empty());
    if plan.has(libc::CLONE_NEWCGROUP) && !shared.has(libc::CLONE_NEWCGROUP) {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWCGROUP).doing(|| "create cgroup namespace")?;
    }
    Ok(())
}

/// Becomes root of the user namespace that this process is in.
pub(super) fn take_root_ids() -> Result<()> {
    // Refused in a namespace whose map was written without privilege: then there are no groups to drop either that the user
    // did not have anyway.
    let _ = setgroups(&[]);
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(gid, gid, gid).and_then(|()| setresuid(uid, uid, uid)).doing(|| "become root of the user namespace")?;
    // A change of ids makes the process dumpable again when the kernel's `suid_dumpable` says so.
    nix::sys::prctl::set_dumpable(false).doing(|| "close this process to debuggers")
}

fn set_names(plan: &Plan) -> Result<()> {
    if !plan.has(libc::CLONE_NEWUTS) {
        return Ok(());
    }
    if let Some(name) = &plan.hostname {
        nix::unistd::sethostname(name).doing(|| format!("set host name `{name}`"))?;
    }
    if let Some(name) = &plan.domainname {
        crate::sys::process::set_domainname(name).doing(|| format!("set domain name `{name}`"))?;
    }
    Ok(())
}

/// Opens a terminal of the container's own devpts, makes it this session's and puts it on the standard streams. Returns the
/// master, for the monitor.
fn open_terminal(root: &OwnedFd) -> Result<OwnedFd> {
    let (master, slave) = terminal::open(root)?;
    mounts::bind_console(root, &slave, term::slave_number(&master)?)?;
    terminal::take(slave)?;
    Ok(master)
}
