//! The namespaces of a running container, as descriptors that let another process in.
//!
//! They are opened by the container's own process while it is set up, and kept by the monitor. Later, no way through
//! `/proc/<pid>/ns` or a pidfd is sure: both ask whether the caller may trace the process, and PID 1 of `--init` is closed to
//! the user who started it.

use crate::base::{Doing, Error, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode, fstat, stat};
use std::os::fd::{AsFd, OwnedFd};

/// In the order in which they are entered: the user namespace gives the right to the others, the mount namespace takes the
/// host's /proc away.
const KINDS: [(i32, &str); 7] = [
    (libc::CLONE_NEWUSER, "user"),
    (libc::CLONE_NEWPID, "pid"),
    (libc::CLONE_NEWNET, "net"),
    (libc::CLONE_NEWIPC, "ipc"),
    (libc::CLONE_NEWUTS, "uts"),
    (libc::CLONE_NEWCGROUP, "cgroup"),
    (libc::CLONE_NEWNS, "mnt"),
];

fn path(name: &str) -> String {
    format!("/proc/self/ns/{name}")
}

/// Opens those of this process, but for the user namespace, which the parent has. A kind that this kernel lacks is left out.
pub(super) fn open_own() -> Result<Vec<(i32, OwnedFd)>> {
    let mut opened = Vec::new();
    for (flag, name) in KINDS.into_iter().filter(|(flag, _)| *flag != libc::CLONE_NEWUSER) {
        match nix::fcntl::open(path(name).as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) {
            Ok(fd) => opened.push((flag, fd)),
            Err(Errno::ENOENT) => {}
            Err(e) => return Err(e).doing(|| format!("open `{}`", path(name))),
        }
    }
    Ok(opened)
}

/// Enters all of `namespaces` (`CLONE_NEW*` and a descriptor) that this process is not in anyway. Pid namespaces take effect
/// for children only.
pub(super) fn enter(namespaces: &[(i32, impl AsFd)]) -> Result<()> {
    // All are looked at first: entering the mount namespace hides this process's own ones.
    let mut others = Vec::new();
    for (flag, name) in KINDS {
        let Some((_, fd)) = namespaces.iter().find(|(kind, _)| *kind == flag) else { continue };
        let there = fstat(fd).doing(|| "look at the container's namespaces")?;
        let here = stat(path(name).as_str()).doing(|| format!("look at `{}`", path(name)))?;
        if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino) {
            others.push((flag, name, fd));
        }
    }
    for (flag, name, fd) in others {
        setns(fd, CloneFlags::from_bits_retain(flag))
            .map_err(|e| Error::from(e).step(format!("enter the container's {name} namespace")))?;
    }
    Ok(())
}

/// A time namespace for the processes that this one will make: its clocks are the same, so nobody notices it, and it is handed
/// down whatever they do. `None` where it can't be made (Linux 5.6, and there may be only so many).
///
/// Called while /proc is still the host's, in a user namespace that gives the right.
pub(super) fn fence() -> Option<OwnedFd> {
    unshare(CloneFlags::from_bits_retain(libc::CLONE_NEWTIME)).ok()?;
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    nix::fcntl::open(path("time_for_children").as_str(), flags, Mode::empty()).ok()
}
