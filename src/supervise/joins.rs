//! The namespaces that a container shares with others, opened when it starts: from the other container's monitor, which has kept
//! them, or by a path.

use super::control::connect_to;
use super::protocol::{Report, Request};
use crate::base::paths::Paths;
use crate::base::{Doing, Error, Kind, Result};
use crate::runtime::joining::Joined;
use crate::runtime::plan::{Join, JoinFrom};
use crate::state::containers::short;
use crate::sys::namespace;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, fstat, stat};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Opens all of `joins`, the user namespace they belong to included.
///
/// Errors: `Conflict` when another container does not run; `Denied` for a namespace of another user; `Usage` when they belong to
/// different user namespaces.
pub(super) fn open(paths: &Paths, joins: &[Join]) -> Result<Joined> {
    let mut joined = Joined::new();
    for join in joins {
        match &join.from {
            JoinFrom::Container(id) => {
                let kept = of_container(&paths.container(id), id)?;
                // The mount namespace is only looked into, for /dev/shm.
                let wanted = |flag: i32| {
                    flag == join.kind
                        || flag == libc::CLONE_NEWUSER
                        || (flag == libc::CLONE_NEWNS && join.kind == libc::CLONE_NEWIPC)
                };
                for (flag, fd) in kept.into_iter().filter(|(flag, _)| wanted(*flag)) {
                    add(&mut joined, flag, fd)?;
                }
            }
            JoinFrom::Path(path) => {
                let (fd, owner) = of_path(path, join.kind)?;
                add(&mut joined, join.kind, fd)?;
                if let Some(owner) = owner {
                    add(&mut joined, libc::CLONE_NEWUSER, owner)?;
                }
            }
        }
    }
    Ok(joined)
}

fn add(joined: &mut Joined, flag: i32, fd: OwnedFd) -> Result<()> {
    match joined.iter().find(|(kind, _)| *kind == flag) {
        None => joined.push((flag, fd)),
        Some((_, there)) if same(there, &fd)? => {}
        Some(_) => {
            return Err(Error::usage("the namespaces to join belong to different containers")
                .hint("all must have been made in one user namespace"));
        }
    }
    Ok(())
}

fn same(a: impl AsFd, b: impl AsFd) -> Result<bool> {
    let (a, b) = (fstat(a).doing(|| "look at a namespace")?, fstat(b).doing(|| "look at a namespace")?);
    Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
}

/// Everything that a container's monitor has of it.
fn of_container(folder: &Path, id: &str) -> Result<Joined> {
    let stopped = || Error::conflict(format!("cannot join namespaces of container `{}`: it is not running", short(id)));
    let channel = connect_to(folder)?.ok_or_else(stopped)?;
    channel.send(&Request::Namespaces, &[])?;
    match channel.receive::<Report>()? {
        Some((Report::Namespaces { kinds }, fds)) => {
            // The first is the user namespace. Nobody enters one beside its own.
            let beside = fds
                .first()
                .is_some_and(|user| namespace::owner(user).is_err_and(|e| e.errno() == Some(nix::errno::Errno::EPERM)));
            if beside {
                let text = format!(
                    "cannot join namespaces of container `{}`: it runs outside of this user namespace",
                    short(id)
                );
                return Err(Error::new(Kind::Denied, text).hint("run this command outside of `runr unshare`"));
            }
            Ok(kinds.into_iter().zip(fds).collect())
        }
        Some((Report::Failed(e), _)) => Err(e.step(format!("join namespaces of container `{}`", short(id)))),
        _ => Err(stopped()),
    }
}

/// The namespace at a path; and the user namespace that owns it, unless that is this process's own.
fn of_path(path: &Path, kind: i32) -> Result<(OwnedFd, Option<OwnedFd>)> {
    let doing = || format!("open namespace `{}`", path.display());
    let fd =
        nix::fcntl::open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK, Mode::empty()).doing(doing)?;
    if !namespace::kind(&fd).is_ok_and(|found| found == kind) {
        return Err(Error::usage(format!("`{}` is not a namespace of that kind", path.display())));
    }
    let denied = |e: Error| e.with_kind(Kind::Denied).step(format!("join namespace `{}`", path.display()));
    if kind == libc::CLONE_NEWUSER {
        return Ok((fd, None));
    }
    let owner = namespace::owner(&fd).map_err(denied)?;
    let own = stat("/proc/self/ns/user").doing(|| "look at this process's user namespace")?;
    let there = fstat(&owner).doing(doing)?;
    let foreign = (own.st_dev, own.st_ino) != (there.st_dev, there.st_ino);
    Ok((fd, foreign.then_some(owner)))
}
