//! Entering a user namespace: the child unshares, the parent writes the maps, the child works as the namespace's root.

use super::idmap::{IdMap, IdRange};
use super::subid::helper;
use crate::base::{Doing, Error, Kind, Result};
use crate::sys::process::{Fork, exit_now, fork};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, geteuid, setresgid, setresuid};
use serde::{Serialize, de::DeserializeOwned};
use std::io::{Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A process that is root of a user namespace of its own, and the socket to it.
#[derive(Debug)]
pub struct Worker {
    pid: Pid,
    /// The parent's end of a stream socket; the worker's function got the other end.
    pub socket: UnixStream,
}

impl Worker {
    /// Forks a worker with `map` and runs `work` in it; the worker ends when `work` returns. Its exit status is `work`'s.
    ///
    /// Called before this process has threads whenever `work` will start threads of its own.
    pub fn spawn(map: &IdMap, work: impl FnOnce(UnixStream) -> i32) -> Result<Self> {
        let inside = is_inside(map);
        let mut worker = Self::fork(|mut socket| {
            let entered = if inside { take_root() } else { become_root(&mut socket) };
            match entered {
                Ok(()) => work(socket),
                Err(_) => 1,
            }
        })?;
        if !inside {
            worker.admit(map)?;
        }
        Ok(worker)
    }

    /// Forks a worker that enters no namespace by itself. Its exit status is `work`'s.
    pub(super) fn fork(work: impl FnOnce(UnixStream) -> i32) -> Result<Self> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
            .doing(|| "create socket pair")?;
        match fork()? {
            Fork::Child => {
                drop(ours);
                let socket = UnixStream::from(theirs);
                // A panic must not unwind into the parent's copy of the stack frames above.
                let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(socket)));
                exit_now(status.unwrap_or(101))
            }
            Fork::Parent(pid) => {
                drop(theirs);
                Ok(Self { pid, socket: UnixStream::from(ours) })
            }
        }
    }

    /// Waits for the child's unshare, writes its maps, lets it go on.
    fn admit(&mut self, map: &IdMap) -> Result<()> {
        let mut unshared = [0u8; 5];
        self.socket.read_exact(&mut unshared).doing(|| "start worker in a user namespace")?;
        let errno = i32::from_le_bytes([unshared[1], unshared[2], unshared[3], unshared[4]]);
        if errno != 0 {
            return Err(unshare_error(errno));
        }
        write_maps(self.pid, map)?;
        self.socket.write_all(b"m").doing(|| "start worker in a user namespace")
    }

    /// Waits for the worker's end; its exit status, or 128 + signal.
    pub fn wait(self) -> Result<i32> {
        drop(self.socket);
        loop {
            match waitpid(self.pid, None) {
                Ok(WaitStatus::Exited(_, status)) => return Ok(status),
                Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as i32),
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(e) => return Err(e).doing(|| format!("wait for worker {}", self.pid)),
            }
        }
    }
}

/// True for root of a user namespace with this very map: within `runr unshare`, where nobody could write the map once more.
fn is_inside(map: &IdMap) -> bool {
    geteuid().is_root()
        && super::subid::own_ids().is_ok_and(|own| {
            // The first namespace's map is the identity, and the ids of real root's containers are no reason to stay in it.
            own.key() == map.key() && own.uids.iter().chain(&own.gids).any(|r| r.inside != r.outside)
        })
}

/// The child's half of [`Worker::admit`].
fn become_root(socket: &mut UnixStream) -> Result<()> {
    let unshared = unshare(CloneFlags::CLONE_NEWUSER);
    let errno = unshared.err().map_or(0, |e| e as i32);
    let mut frame = [b'u', 0, 0, 0, 0];
    frame[1..].copy_from_slice(&errno.to_le_bytes());
    socket.write_all(&frame)?;
    socket.read_exact(&mut [0u8])?;
    take_root()
}

fn take_root() -> Result<()> {
    setresgid(Gid::from_raw(0), Gid::from_raw(0), Gid::from_raw(0))?;
    setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0))?;
    // Modes and owners come from archives and other trees, never from the user's umask.
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    Ok(())
}

/// Joins a user namespace, and a mount namespace that belongs to it, and becomes root there. `/` is the mount namespace's then.
pub(super) fn become_root_of(user: BorrowedFd<'_>, mount: Option<BorrowedFd<'_>>) -> Result<()> {
    nix::sched::setns(user, CloneFlags::CLONE_NEWUSER)?;
    if let Some(mount) = mount {
        nix::sched::setns(mount, CloneFlags::CLONE_NEWNS)?;
    }
    take_root()
}

/// What an unshare or clone with CLONE_NEWUSER means when it fails; errnos of clone(2).
pub fn unshare_error(errno: i32) -> Error {
    let e = Error::os(errno).step("create user namespace");
    match errno {
        libc::EPERM | libc::EACCES => e
            .with_kind(Kind::Denied)
            .hint("run `runr doctor`: it tells what on this machine forbids user namespaces and how to allow them"),
        libc::ENOSPC | libc::EUSERS => {
            e.with_kind(Kind::Denied).hint("the limit is reached: see `sysctl user.max_user_namespaces`")
        }
        libc::EINVAL | libc::ENOSYS => {
            e.with_kind(Kind::Unsupported).hint("this kernel is built without user namespaces (CONFIG_USER_NS)")
        }
        _ => e,
    }
}

/// Writes the maps of `pid`, which is in a new user namespace: directly where the kernel lets us, else by `newuidmap` and
/// `newgidmap`, side by side.
pub fn write_maps(pid: Pid, map: &IdMap) -> Result<()> {
    let map = &super::subid::seen_from_here(map);
    if map.is_single() || geteuid().is_root() {
        return write_maps_directly(pid, map);
    }
    let uids = start_helper("newuidmap", pid, &map.uids)?;
    let gids = start_helper("newgidmap", pid, &map.gids);
    // Both are reaped whatever happens to one of them.
    let uids = finish_helper("newuidmap", uids);
    finish_helper("newgidmap", gids?)?;
    uids
}

fn write_maps_directly(pid: Pid, map: &IdMap) -> Result<()> {
    let write = |file: &str, text: &str| {
        let path = format!("/proc/{pid}/{file}");
        std::fs::write(&path, text).doing(|| format!("write `{path}`"))
    };
    let lines = |ranges: &[IdRange]| {
        ranges.iter().map(|r| format!("{} {} {}\n", r.inside, r.outside, r.count)).collect::<String>()
    };
    if !geteuid().is_root() {
        // Without it the kernel refuses a gid map from a process without CAP_SETGID (user_namespaces(7)).
        write("setgroups", "deny")?;
    }
    write("uid_map", &lines(&map.uids))?;
    write("gid_map", &lines(&map.gids))
}

fn start_helper(name: &str, pid: Pid, ranges: &[IdRange]) -> Result<Child> {
    let program = helper(name).ok_or_else(|| {
        Error::new(Kind::Unsupported, format!("`{name}` is not installed"))
            .hint("install the package `uidmap` (Debian, Ubuntu) or `shadow-utils` (Fedora)")
    })?;
    let mut command = Command::new(&program);
    command.arg(pid.to_string());
    for r in ranges {
        command.args([r.inside.to_string(), r.outside.to_string(), r.count.to_string()]);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .doing(|| format!("execute `{}`", program.display()))
}

fn finish_helper(name: &str, child: Child) -> Result<()> {
    let output = child.wait_with_output().doing(|| format!("wait for `{name}`"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::new(Kind::Denied, said).step(format!("map ids with `{name}`"))
        .hint("check this user's ranges in /etc/subuid and /etc/subgid, and that newuidmap is setuid root or has its file capability: `runr doctor`"))
}

/// Runs `work` as root of a new user namespace with `map`, in a child, and brings its result or error back.
pub fn run<T: Serialize + DeserializeOwned>(map: &IdMap, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut worker = Worker::spawn(map, |mut socket| {
        let result: Result<T> = work();
        let sent = serde_json::to_vec(&result)
            .map_err(Error::from)
            .and_then(|bytes| socket.write_all(&bytes).map_err(Error::from));
        i32::from(sent.is_err())
    })?;
    receive(&mut worker.socket).and_then(|bytes: Vec<u8>| {
        let status = worker.wait()?;
        if bytes.is_empty() {
            return Err(Error::new(
                Kind::Bug,
                format!("worker in the user namespace ended with status {status} and no answer"),
            ));
        }
        serde_json::from_slice::<Result<T>>(&bytes)?
    })
}

fn receive(socket: &mut UnixStream) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).doing(|| "wait for worker in the user namespace")?;
    Ok(bytes)
}

/// Removes `path` and all below it, files of subordinate ids included. A missing path is not an error.
pub fn remove_tree(map: &IdMap, path: &Path) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        _ => {}
    }
    run(map, || remove_tree_here(path))
}

/// Removes trees in one child with the map. What can't be removed stays.
pub fn remove_trees(map: &IdMap, paths: &[PathBuf]) {
    let _ = run(map, || {
        for path in paths {
            drop(remove_tree_here(path));
        }
        Ok(())
    });
}

/// Removes a tree with this process's own rights, however deep it is, making unreadable directories of it accessible first (a
/// directory of mode 0 stops even its owner, unless the owner has CAP_DAC_OVERRIDE). A missing path is not an error.
pub fn remove_tree_here(path: &Path) -> Result<()> {
    match crate::sys::tree::remove(nix::fcntl::AT_FDCWD, path.as_os_str().as_encoded_bytes()) {
        Err(e) if e.is_missing() && !path.exists() => Ok(()),
        other => other,
    }
}

/// Keeps a user namespace alive and enterable: `/proc/<pid>/ns/user`.
pub fn namespace_of(pid: Pid) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/ns/user");
    Ok(crate::base::fsx::open(Path::new(&path))?.into())
}

/// Removes a tree as root of an existing user namespace, in a child: no id map has to be written again.
pub fn remove_tree_in(namespace: &OwnedFd, path: &Path) -> Result<()> {
    match fork()? {
        Fork::Child => {
            let removed = nix::sched::setns(namespace, CloneFlags::CLONE_NEWUSER).map_err(Error::from).and_then(|()| {
                setresgid(Gid::from_raw(0), Gid::from_raw(0), Gid::from_raw(0))?;
                setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0))?;
                remove_tree_here(path)
            });
            exit_now(i32::from(removed.is_err()))
        }
        Fork::Parent(pid) => match waitpid(pid, None) {
            Ok(WaitStatus::Exited(_, 0)) => Ok(()),
            _ => Err(Error::new(Kind::Io, format!("remove `{}` in its user namespace", path.display()))),
        },
    }
}
