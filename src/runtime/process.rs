//! Turns the process that built the container into the container's command: user, groups, working folder, limits,
//! capabilities, system call filter, and last the search for the program.

use super::caps;
use super::command::{Command, SEARCH_PATH, c_strings};
use super::plan::{Plan, ProcessPlan};
use super::seccomp::Program;
use crate::base::{Doing, Error, Kind, Result};
use crate::rootfs::users;
use crate::sys::process as sysproc;
use crate::userns::IdMap;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::sys::statfs::{FsType, fstatfs};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// pipe(2)'s file system (include/uapi/linux/magic.h).
const PIPEFS_MAGIC: FsType = FsType(0x5049_5045);

/// What is set on a process.
#[derive(Debug)]
pub(super) struct Setting<'a> {
    /// The command.
    pub(super) process: &'a ProcessPlan,
    /// The system call filter.
    pub(super) seccomp: Option<&'a Program>,
    /// Ids of the user namespace.
    pub(super) map: &'a IdMap,
    /// The container has a user namespace of its own.
    pub(super) own_user_namespace: bool,
    /// A missing working folder is made.
    pub(super) make_workdir: bool,
}

impl<'a> Setting<'a> {
    /// Of a container's first process.
    pub(super) fn of(plan: &'a Plan) -> Self {
        Self {
            process: &plan.process,
            seccomp: plan.seccomp.as_ref(),
            map: &plan.map,
            own_user_namespace: plan.has(libc::CLONE_NEWUSER),
            make_workdir: true,
        }
    }
}

/// Sets everything on this process, for `user`. The container's root is `/` already.
pub(super) fn prepare(setting: &Setting<'_>, user: &users::User, own_exe: Option<OwnedFd>) -> Result<Command> {
    let process = setting.process;
    let mut env = process.env.clone();
    if !env.iter().any(|e| e.starts_with("HOME=")) {
        env.push(format!("HOME={}", user.home));
    }
    reopen_null()?;
    own_streams(process, user.uid)?;
    for (resource, soft, hard) in &process.rlimits {
        sysproc::set_rlimit(*resource, *soft, *hard).map_err(explain_rlimit)?;
    }
    if let Some(domain) = process.personality {
        sysproc::set_personality(domain)?;
    }
    // As root, so that a folder that only root may create is created; docker does the same.
    enter_workdir(&process.cwd, setting.make_workdir)?;
    let capabilities = if user.uid == 0 { &process.capabilities } else { &process.user_capabilities };
    caps::limit_bounding(capabilities.bounding)?;
    if !process.no_new_privileges {
        // Without no_new_privs the kernel wants CAP_SYS_ADMIN for a filter, so it is installed before that is given up.
        install_filter(setting)?;
    }
    change_user(setting, user)?;
    // A folder that root cannot enter (a user's own on NFS, a bind of mode 0700) may be open to the user.
    nix::unistd::chdir(process.cwd.as_str()).map_err(|e| explain_workdir(e, &process.cwd))?;
    require_inside(&process.cwd)?;
    caps::apply(capabilities)?;
    // The last change of credentials is done: earlier, it would have been cleared.
    sysproc::set_parent_death_signal(Signal::SIGKILL)?;
    if process.no_new_privileges {
        nix::sys::prctl::set_no_new_privs().doing(|| "set no_new_privs")?;
        install_filter(setting)?;
    }
    nix::sys::stat::umask(Mode::from_bits_truncate(process.umask));
    let search_path = env.iter().rev().find_map(|e| e.strip_prefix("PATH=")).unwrap_or(SEARCH_PATH).to_owned();
    Ok(Command {
        args: c_strings(&process.args, "argument")?,
        env: c_strings(&env, "environment variable")?,
        search_path,
        init: process.init,
        terminal: process.terminal,
        own_exe,
    })
}

fn install_filter(setting: &Setting<'_>) -> Result<()> {
    setting.seccomp.map_or(Ok(()), Program::install)
}

/// Streams that are the host's /dev/null become the container's, so that their names (`/proc/self/fd/0`) lead there.
fn reopen_null() -> Result<()> {
    let is_null = |stat: &nix::sys::stat::FileStat| {
        stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFCHR.bits() && stat.st_rdev == nix::sys::stat::makedev(1, 3)
    };
    for (number, stream) in (0..).zip([std::io::stdin().as_fd(), std::io::stdout().as_fd(), std::io::stderr().as_fd()])
    {
        if !is_null(&fstat(stream).doing(|| "look at the standard streams")?) {
            continue;
        }
        // A folder mounted at /dev by the user may hold anything there: then the host's stays.
        let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        if let Ok(own) = nix::fcntl::open("/dev/null", flags, Mode::empty())
            && fstat(&own).is_ok_and(|stat| is_null(&stat))
        {
            sysproc::copy_descriptor(own.as_raw_fd(), number)?;
        }
    }
    Ok(())
}

/// The pipes of the standard streams belong to the container's user, so that it can open /dev/stdout by name. One that
/// belongs to somebody outside the user namespace (`sudo -u x runr … | cat`) cannot be given and stays as it is.
fn own_streams(process: &ProcessPlan, uid: u32) -> Result<()> {
    if process.terminal {
        let group = None;
        nix::unistd::fchown(std::io::stdin(), Some(Uid::from_raw(uid)), group)
            .doing(|| "give the terminal to the user")?;
        return Ok(());
    }
    for stream in [std::io::stdout().as_fd(), std::io::stderr().as_fd()] {
        let stat = fstat(stream).doing(|| "look at the standard streams")?;
        // Not one with a name of the caller's file system: its owner is the caller's business.
        let anonymous = || fstatfs(stream).is_ok_and(|fs| fs.filesystem_type() == PIPEFS_MAGIC);
        if stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFIFO.bits() && anonymous() {
            match nix::unistd::fchown(stream, Some(Uid::from_raw(uid)), None) {
                Err(Errno::EPERM | Errno::EINVAL | Errno::EOVERFLOW) => {}
                other => other.doing(|| "give the standard streams to the user")?,
            }
        }
    }
    Ok(())
}

fn explain_rlimit(e: Error) -> Error {
    match e.errno() {
        Some(Errno::EPERM) => e
            .step("set limit (`--ulimit`)")
            .with_kind(Kind::Denied)
            .hint("a user cannot raise a hard limit: `ulimit -H -a` shows what this shell has"),
        _ => e.step("set limit (`--ulimit`)"),
    }
}

/// Makes the working folder if it is missing and checks that it is in the container: a path such as `/proc/self/fd/7` could
/// lead out of it (CVE-2024-21626).
fn enter_workdir(cwd: &str, make: bool) -> Result<()> {
    match nix::unistd::chdir(cwd) {
        Ok(()) => {}
        Err(Errno::ENOENT) if make => {
            std::fs::create_dir_all(cwd).map_err(|e| Error::from(e).step(format!("create working folder `{cwd}`")))?;
            nix::unistd::chdir(cwd).map_err(|e| explain_workdir(e, cwd))?;
        }
        // `exec`: as docker has it, the command is what was not found then.
        Err(Errno::ENOENT) => return Err(explain_workdir(Errno::ENOENT, cwd).with_kind(Kind::CommandNotFound)),
        // The user may be allowed to; it is tried again as the user.
        Err(Errno::EACCES) => return Ok(()),
        Err(e) => return Err(explain_workdir(e, cwd)),
    }
    require_inside(cwd)
}

/// The kernel begins the name of a folder that is not below the root with `(unreachable)`.
fn require_inside(cwd: &str) -> Result<()> {
    let here = nix::unistd::getcwd().map_err(|e| explain_workdir(e, cwd))?;
    if here.is_absolute() {
        return Ok(());
    }
    Err(Error::new(Kind::Denied, format!("working folder `{cwd}` is outside the container")))
}

fn explain_workdir(e: Errno, cwd: &str) -> Error {
    Error::from(e).step(format!("change to working folder `{cwd}`"))
}

fn change_user(setting: &Setting<'_>, user: &users::User) -> Result<()> {
    let mapped = |id: u32, host: Option<u32>, what: &str| match host {
        Some(_) => Ok(()),
        None => Err(Error::new(Kind::Denied, format!("{what} {id} is not mapped into the container"))
            .hint("this user has no subordinate ids, or too few: see `runr doctor`")),
    };
    if setting.own_user_namespace {
        mapped(user.uid, setting.map.host_uid(user.uid), "user id")?;
        mapped(user.gid, setting.map.host_gid(user.gid), "group id")?;
    }
    // The primary group as well: else a set-group-id program could shed it, and with it what files deny to the group
    // (CVE-2022-36109).
    let others = user.groups.iter().filter(|g| **g != user.gid);
    let groups: Vec<Gid> = std::iter::once(&user.gid).chain(others).map(|g| Gid::from_raw(*g)).collect();
    match setgroups(&groups) {
        // With a map of one id the kernel forbids setgroups for good; the groups of the image don't exist there anyway.
        Err(Errno::EPERM | Errno::EINVAL) if setting.map.is_single() => {}
        other => other.doing(|| format!("set supplementary groups {:?}", user.groups))?,
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    setresgid(gid, gid, gid).doing(|| format!("change to group {gid}"))?;
    setresuid(uid, uid, uid).doing(|| format!("change to user {uid}"))?;
    // A change of ids makes the process dumpable again when the kernel's `suid_dumpable` says so.
    nix::sys::prctl::set_dumpable(false).doing(|| "close this process to debuggers")
}
