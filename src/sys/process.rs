//! Processes: fork, clone3, pidfds, and what a child sets about itself.

use crate::base::{Doing, Result};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Which side of a fork this is.
#[derive(Debug)]
pub enum Fork {
    /// The new process.
    Child,
    /// The old one, with the new one's pid.
    Parent(Pid),
}

/// Forks. glibc's `fork` leaves its allocator usable in the child even when other threads existed; locks of other
/// libraries are not: a child of a process with threads must keep to plain system calls and files.
pub fn fork() -> Result<Fork> {
    // SAFETY: no pointer is passed; the child goes on with copies of this thread's stack and heap only, and the contract
    // about other threads' locks is the caller's, stated above.
    match unsafe { nix::unistd::fork() }.doing(|| "fork")? {
        nix::unistd::ForkResult::Child => Ok(Fork::Child),
        nix::unistd::ForkResult::Parent { child } => Ok(Fork::Parent(child)),
    }
}

/// Ends this process at once: no destructors, no atexit handlers, no flushing of a parent's buffers a second time.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: `_exit` takes an integer and does not return.
    unsafe { libc::_exit(status) }
}

/// `struct clone_args` of clone3(2): the 64 bytes of its first version (Linux 5.3), and what came later.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    /// Linux 5.5.
    set_tid: u64,
    set_tid_size: u64,
    /// Linux 5.7.
    cgroup: u64,
}

/// The size of the first version, which every kernel with clone3 takes.
const CLONE_ARGS_FIRST: usize = 64;

/// A child made by [`clone_process`].
#[derive(Debug)]
pub struct Cloned {
    /// Its pid in this process's pid namespace.
    pub pid: Pid,
    /// A descriptor for it.
    pub pidfd: OwnedFd,
}

/// Makes a child process in the new namespaces of `flags` (`CLONE_NEW*`), like fork otherwise; `None` is the child. With
/// `CLONE_PARENT` in `flags` it becomes a child of this process's parent, which reaps it.
///
/// Falls back to `fork` + `unshare`-free `clone` where clone3 does not exist (Linux before 5.3) or a seccomp filter hides it
/// (ENOSYS: docker's own policy does).
///
/// Must be called with a single thread only: unlike `fork`, the raw call does not make the allocator safe in the child.
pub fn clone_process(flags: u64) -> Result<Option<Cloned>> {
    cloned(clone_raw(flags, None), "create process in new namespaces")
}

/// Like [`clone_process`] with the child in `cgroup` (an open folder) from its first moment. Where the kernel can't do that
/// (clone3, Linux 5.7) or does not allow it, this process's own cgroup is the child's: the second value tells.
pub fn clone_into_cgroup(flags: u64, cgroup: BorrowedFd<'_>) -> Result<(Option<Cloned>, bool)> {
    match clone_raw(flags, Some(cgroup)) {
        Err(Errno::ENOSYS | Errno::E2BIG | Errno::EINVAL | Errno::EACCES | Errno::EPERM | Errno::EBUSY) => {
            Ok((clone_process(flags)?, false))
        }
        other => Ok((cloned(other, "create process in a cgroup")?, true)),
    }
}

fn cloned(result: std::result::Result<Option<(i32, RawFd)>, Errno>, what: &str) -> Result<Option<Cloned>> {
    let Some((pid, pidfd)) = result.doing(|| what)? else { return Ok(None) };
    // SAFETY: the kernel has just stored a new descriptor there, which nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Some(Cloned { pid: Pid::from_raw(pid), pidfd }))
}

/// The system call: `None` in the child, its pid and a new descriptor in the parent.
fn clone_raw(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> std::result::Result<Option<(i32, RawFd)>, Errno> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: RawFd = -1;
    // A sibling ends with the signal that this process would end with; the kernel wants none said then.
    let exit_signal = if flags & libc::CLONE_PARENT as u64 != 0 { 0 } else { libc::SIGCHLD as u64 };
    let mut args = CloneArgs {
        flags: flags | libc::CLONE_PIDFD as u64 | if cgroup.is_some() { CLONE_INTO_CGROUP } else { 0 },
        pidfd: &raw mut pidfd as u64,
        exit_signal,
        cgroup: cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
        ..CloneArgs::default()
    };
    let size = if cgroup.is_some() { size_of::<CloneArgs>() } else { CLONE_ARGS_FIRST };
    // SAFETY: `args` is a live clone_args of at least the size passed; `pidfd` outlives the call; no stack is given and
    // CLONE_VM is not set, so the child runs on its copy of this stack.
    let mut ret = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size) };
    if ret < 0 && cgroup.is_none() && Errno::last() == Errno::ENOSYS {
        // SAFETY: the older clone(2) with a null stack is a fork with flags; with CLONE_PIDFD the third argument is where the
        // kernel stores the descriptor, which outlives the call.
        ret = unsafe {
            libc::syscall(libc::SYS_clone, flags | libc::CLONE_PIDFD as u64 | exit_signal, 0, &raw mut pidfd, 0, 0)
        };
    }
    Errno::result(ret).map(|pid| (pid != 0).then_some((pid as i32, pidfd)))
}

/// pidfd_open(2): a descriptor that stays bound to this very process.
pub fn pidfd_open(pid: Pid) -> Result<OwnedFd> {
    // SAFETY: two integers; a success is a new descriptor that nobody else owns.
    let ret = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let fd = Errno::result(ret).doing(|| format!("open process {pid}"))?;
    // SAFETY: see above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// pidfd_send_signal(2). A process that is gone already is not an error.
pub fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    // SAFETY: integers and a null siginfo, which the call allows.
    let ret = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, 0, 0) };
    match Errno::result(ret) {
        Err(Errno::ESRCH) => Ok(()),
        other => other.map(drop).doing(|| format!("send signal {signal}")),
    }
}

/// Asks the kernel to send `signal` to this process when its parent ends (`PR_SET_PDEATHSIG`). Cleared by every change of
/// credentials, so this comes after the last one.
pub fn set_parent_death_signal(signal: Signal) -> Result<()> {
    nix::sys::prctl::set_pdeathsig(signal).doing(|| "set parent-death signal")
}

/// Closes every descriptor from `first` on (close_range(2), Linux 5.9; before it, one by one from /proc/self/fd).
pub fn close_from(first: RawFd) {
    // SAFETY: integers only. Descriptors owned by Rust objects that live on are the caller's business: it calls this in a
    // child whose inherited objects are never used or dropped again.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if ret == 0 {
        return;
    }
    let open: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")
        .map(|dir| {
            dir.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).filter(|fd| *fd >= first).collect()
        })
        .unwrap_or_default();
    for fd in open {
        // SAFETY: as above; closing a number that is not open is harmless.
        unsafe { libc::close(fd) };
    }
}

/// dup2: `number` becomes a copy of `fd` that stays open across execve.
pub fn copy_descriptor(fd: RawFd, number: RawFd) -> Result<()> {
    // SAFETY: integers only. What was open under `number` is closed: the caller arranges descriptors by number here and owns
    // no object for it.
    Errno::result(unsafe { libc::dup2(fd, number) }).map(drop).doing(|| format!("copy descriptor {fd} to {number}"))
}

/// Sets or clears close-on-exec of an open descriptor.
pub fn set_cloexec(fd: RawFd, on: bool) -> Result<()> {
    // SAFETY: integers only.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, if on { libc::FD_CLOEXEC } else { 0 }) })
        .map(drop)
        .doing(|| format!("set flags of descriptor {fd}"))
}

/// A copy of a descriptor that the caller of this program left open, close-on-exec, with a number from `above` on.
///
/// Errors: EBADF when there is none.
pub fn copy_inherited(fd: RawFd, above: RawFd) -> Result<OwnedFd> {
    // SAFETY: integers only; a success is a new descriptor that nobody else owns.
    let copy = Errno::result(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, above) });
    copy.doing(|| format!("copy descriptor {fd}")).map(adopt)
}

/// Takes ownership of an open descriptor by its number.
pub fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: the callers are the few places that arrange descriptors by number after a fork; each adopts a number once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Closes every descriptor from 3 on that is not in `keep`.
pub fn close_others(keep: &[RawFd]) {
    let mut keep: Vec<RawFd> = keep.iter().copied().filter(|fd| *fd >= 3).collect();
    keep.sort_unstable();
    keep.dedup();
    let mut next = 3;
    for fd in keep {
        if fd > next {
            // SAFETY: as in `close_from`.
            unsafe { libc::syscall(libc::SYS_close_range, next, fd - 1, 0) };
        }
        next = fd + 1;
    }
    close_from(next);
}

/// setdomainname(2) for this UTS namespace.
pub fn set_domainname(name: &str) -> Result<()> {
    // SAFETY: pointer and length of one live string.
    Ok(Errno::result(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }).map(drop)?)
}

/// personality(2): the execution domain, kept across execve.
pub fn set_personality(domain: u64) -> Result<()> {
    // SAFETY: no memory is passed.
    Errno::result(unsafe { libc::personality(domain) }).map(drop).doing(|| "set execution domain")
}

/// setrlimit(2) by the kernel's resource number.
pub fn set_rlimit(resource: u32, soft: u64, hard: u64) -> Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the struct lives through the call.
    Ok(Errno::result(unsafe { libc::setrlimit(resource, &raw const limit) }).map(drop)?)
}

/// Executes `path` with `args` and `env`; returns only to say why not.
pub fn execute(path: &std::ffi::CStr, args: &[std::ffi::CString], env: &[std::ffi::CString]) -> Errno {
    match nix::unistd::execve(path, args, env) {
        Ok(never) => match never {},
        Err(e) => e,
    }
}

/// Replaces this process's command line, which everybody in its pid namespace can read (proc_pid_cmdline(5)): the words of a
/// host's command, secrets among them, are not the container's business. It holds as many of `words` as had room before.
pub fn set_command_line(words: &[&[u8]]) {
    // Fields 48 and 49 of proc_pid_stat(5): where the arguments lie; readable because it is our own process.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let address = |index: usize| fields.get(index).and_then(|f| f.parse::<usize>().ok()).filter(|a| *a != 0);
    let (Some(start), Some(end)) = (address(45), address(46)) else { return };
    if start < end {
        // SAFETY: the kernel placed the argument strings in this range of the initial stack, which stays mapped and writable;
        // std has copied what it gave out as owned strings, and nothing in this process reads the originals again.
        let place = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, end - start) };
        place.fill(0);
        let mut rest = place;
        for word in words {
            // A zero must be left behind it: else the kernel takes what follows, the environment, for more of it.
            if word.len() >= rest.len() {
                break;
            }
            let (own, others) = rest.split_at_mut(word.len() + 1);
            own[..word.len()].copy_from_slice(word);
            rest = others;
        }
    }
}

/// Runs `work` in a child process and brings its result back: for what needs threads in a program that must not have any.
pub fn in_child<T: serde::Serialize + serde::de::DeserializeOwned>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    use std::io::{Read, Write};
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).doing(|| "create pipe")?;
    match fork()? {
        Fork::Child => {
            drop(read);
            // Ended with its parent: nobody is left to use the result.
            let _ = set_parent_death_signal(Signal::SIGTERM);
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                serde_json::to_vec(&work()).map(|bytes| std::fs::File::from(write).write_all(&bytes))
            }));
            exit_now(i32::from(!matches!(done, Ok(Ok(Ok(()))))))
        }
        Fork::Parent(child) => {
            drop(write);
            let mut bytes = Vec::new();
            let received = std::fs::File::from(read).read_to_end(&mut bytes);
            let end = loop {
                match nix::sys::wait::waitpid(child, None) {
                    Err(Errno::EINTR) => {}
                    other => break other,
                }
            };
            received.doing(|| "wait for child process")?;
            if bytes.is_empty() {
                return Err(crate::base::Error::new(
                    crate::base::Kind::Io,
                    format!("the child process ended early: {end:?}"),
                ));
            }
            serde_json::from_slice::<Result<T>>(&bytes)?
        }
    }
}

/// Executes the file behind a descriptor (execveat(2) with `AT_EMPTY_PATH`); returns only to say why not.
pub fn execute_descriptor(
    file: impl std::os::fd::AsFd,
    args: &[std::ffi::CString],
    env: &[std::ffi::CString],
) -> Errno {
    match nix::unistd::execveat(file, c"", args, env, nix::fcntl::AtFlags::AT_EMPTY_PATH) {
        Ok(never) => match never {},
        Err(e) => e,
    }
}
