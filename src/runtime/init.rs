//! The container's side from clone to execve, as a list of short steps in the one order that works.
//!
//! This process is a copy of the monitor in new namespaces. It must not touch the store, the network or any lock; its
//! conversation with the monitor is `sync`. Every error goes up that channel with all its words.

use super::command::{CHANNEL, Command, await_go, report};
use super::launch::Streams;
use super::plan::Plan;
use super::sync::Said;
use super::{mounts, own_exe, process};
use crate::base::{Doing, Error, Result};
use crate::sys::channel::Channel;
use crate::sys::{keyring, net, process as sysproc, signal, term};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid, setsid};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::path::Path;

/// Runs the plan; returns only the status of a failure.
pub(super) fn run(plan: &Plan, streams: Streams, channel: Channel) -> i32 {
    let Ok(channel) = arrange_descriptors(streams, channel) else { return 125 };
    match build(plan, &channel) {
        Ok(command) => report(&channel, command.run(&channel)),
        Err(e) => report(&channel, e),
    }
}

fn build(plan: &Plan, channel: &Channel) -> Result<Command> {
    // Asked on the host's terms, before this process is somebody else.
    let protect = own_exe::is_writable();
    await_go(channel)?;
    become_root(plan)?;
    if plan.has(libc::CLONE_NEWNET) {
        net::loopback_up()?;
    }
    let mut notes = Vec::new();
    let root = mounts::build(plan, &mut notes)?;
    let own_exe = if protect { Some(own_exe::read_only()?) } else { None };
    set_names(plan)?;
    let terminal = if plan.process.terminal { Some(open_terminal(&root)?) } else { None };
    mounts::enter(&root, plan)?;
    let command = process::prepare(plan, own_exe)?;
    let master = terminal.as_ref().map(|t| t.as_fd());
    channel.send(&Said::Ready { notes }, master.as_slice())?;
    Ok(command)
}

/// Descriptors 0, 1, 2 are the streams (or /dev/null), 3 the channel, and nothing else is open.
fn arrange_descriptors(streams: Streams, channel: Channel) -> Result<Channel> {
    let null: OwnedFd = nix::fcntl::open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    let or_null = |stream: Option<OwnedFd>| match stream {
        Some(fd) => Ok::<_, Error>(fd),
        None => Ok(null.try_clone()?),
    };
    // First out of the way of the numbers they are going to be copied to.
    let sources = [or_null(streams.stdin)?, or_null(streams.stdout)?, or_null(streams.stderr)?];
    let mut high = Vec::new();
    for fd in sources.iter().map(AsFd::as_fd).chain([channel.as_fd()]) {
        high.push(nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(10))?);
    }
    for (number, fd) in (0..).zip(&high) {
        sysproc::copy_descriptor(*fd, number)?;
    }
    sysproc::close_from(CHANNEL + 1);
    // What these objects owned is closed or renumbered; they must not close a number again that is in use by now.
    std::mem::forget((sources, channel, null));
    sysproc::set_cloexec(CHANNEL, true)?;
    Ok(Channel::from_fd(sysproc::adopt(CHANNEL)))
}

fn become_root(plan: &Plan) -> Result<()> {
    if let Some(score) = plan.process.oom_score_adj {
        // While /proc/self still belongs to the user: a process that is not dumpable has none of its own.
        std::fs::write("/proc/self/oom_score_adj", score.to_string()).doing(|| format!("set OOM score to {score}"))?;
    }
    setsid().doing(|| "start session")?;
    keyring::join_new_session().doing(|| "start session keyring")?;
    signal::reset_all()?;
    if plan.has(libc::CLONE_NEWUSER) {
        // Refused in a namespace whose map was written without privilege: then there are no groups to drop either that
        // the user did not have anyway.
        let _ = setgroups(&[]);
        setresgid(Gid::from_raw(0), Gid::from_raw(0), Gid::from_raw(0))
            .doing(|| "become root of the user namespace")?;
        setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0))
            .doing(|| "become root of the user namespace")?;
    }
    // From here to execve nobody in the container may look into this process or through its /proc/self/exe, which is runr's
    // own file on the host (CVE-2019-5736).
    nix::sys::prctl::set_dumpable(false).doing(|| "close this process to debuggers")?;
    nix::sys::stat::umask(Mode::empty());
    if plan.has(libc::CLONE_NEWCGROUP) {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWCGROUP).doing(|| "create cgroup namespace")?;
    }
    Ok(())
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

/// Opens a pseudo-terminal of the container's own devpts, makes it this session's and puts it on the standard streams.
/// Returns the master, for the monitor.
fn open_terminal(root: &OwnedFd) -> Result<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW;
    let master = crate::sys::fs::open_in_root(root, Path::new("/dev/pts/ptmx"), flags, Mode::empty())?;
    let slave = term::open_slave(&master)?;
    mounts::bind_console(root, &slave, term::slave_number(&master)?)?;
    term::set_controlling(&slave)?;
    for number in 0..3 {
        sysproc::copy_descriptor(slave.as_raw_fd(), number)?;
    }
    // A descriptor that is one of 0..3 by now must not be closed.
    let raw = slave.into_raw_fd();
    if raw > CHANNEL {
        drop(sysproc::adopt(raw));
    }
    Ok(master)
}
