//! Which namespaces a container shares with others (`container:ID`, `ns:PATH`), and the id map that comes with them.

use crate::base::{Doing, Error, Result};
use crate::runtime::plan::{Join, JoinFrom};
use crate::spec::options::ContainerOptions;
use crate::state::Containers;
use crate::store::Store;
use crate::sys::namespace;
use crate::sys::process::in_child;
use crate::userns::IdMap;
use crate::userns::idmap::IdRange;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The options that say whose namespace it is, with its kind.
fn modes(options: &mut ContainerOptions) -> [(i32, &mut Option<String>); 6] {
    [
        (libc::CLONE_NEWUSER, &mut options.userns),
        (libc::CLONE_NEWNET, &mut options.network),
        (libc::CLONE_NEWPID, &mut options.pid),
        (libc::CLONE_NEWIPC, &mut options.ipc),
        (libc::CLONE_NEWUTS, &mut options.uts),
        (libc::CLONE_NEWCGROUP, &mut options.cgroupns),
    ]
}

/// Replaces names of containers by their full ids: a name may pass to another container, an id never.
///
/// Errors: `NotFound`.
pub fn pin(store: &Store, options: &mut ContainerOptions) -> Result<()> {
    for (_, mode) in modes(options) {
        let Some(word) = mode.as_deref().and_then(|m| m.strip_prefix("container:")) else { continue };
        let id = Containers::new(store.paths()).resolve(word)?;
        *mode = Some(format!("container:{id}"));
    }
    Ok(())
}

/// What a container with these (pinned) options shares.
pub(super) fn joins(options: &ContainerOptions) -> Vec<Join> {
    let mut options = options.clone();
    let join = |(kind, mode): (i32, &mut Option<String>)| {
        let (word, rest) = mode.as_deref()?.split_once(':')?;
        let from = match word {
            "container" => JoinFrom::Container(rest.to_owned()),
            "ns" => JoinFrom::Path(PathBuf::from(rest)),
            _ => return None,
        };
        Some(Join { kind, from })
    };
    modes(&mut options).into_iter().filter_map(join).collect()
}

/// The id map of the user namespace that comes with what is shared; `None` when the container makes one of its own.
///
/// Errors: `NotFound` when a container is gone; `Denied` for a namespace of another user.
pub(super) fn map(store: &Store, options: &ContainerOptions) -> Result<Option<IdMap>> {
    let mut map = None;
    for join in joins(options) {
        let its = match &join.from {
            JoinFrom::Container(id) => Some(map_of_container(store, id)?),
            JoinFrom::Path(path) => map_of(path, join.kind)?,
        };
        match (&map, its) {
            (Some(first), Some(second)) if *first != second => {
                return Err(Error::usage("the namespaces to join belong to different containers"));
            }
            (None, its) => map = its,
            _ => {}
        }
    }
    Ok(map)
}

fn map_of_container(store: &Store, id: &str) -> Result<IdMap> {
    let record = Containers::new(store.paths()).load(id)?.record;
    if record.options.hides_user() {
        let flag = if record.options.named_ids().is_some() { "--subuidname" } else { "--userns nomap" };
        return Err(Error::unsupported(format!(
            "container `{}` hides its user (`{flag}`), so its namespaces cannot be shared",
            record.name
        ))
        .hint("what another container is made of could not be reached from inside them"));
    }
    Ok(record.map)
}

/// The map of the user namespace that owns the namespace at `path`, or is it; `None` for this process's own.
fn map_of(path: &Path, kind: i32) -> Result<Option<IdMap>> {
    let doing = || format!("join namespace `{}`", path.display());
    let file = File::open(path).doing(doing)?;
    if !namespace::kind(&file).is_ok_and(|found| found == kind) {
        return Err(Error::usage(format!("`{}` is not a namespace of that kind", path.display())));
    }
    let owner = if kind == libc::CLONE_NEWUSER { file } else { File::from(namespace::owner(&file).doing(doing)?) };
    let (there, own) = (owner.metadata().doing(doing)?, std::fs::metadata("/proc/self/ns/user").doing(doing)?);
    if (there.dev(), there.ino()) == (own.dev(), own.ino()) {
        return Ok(None);
    }
    let read = || -> Result<IdMap> {
        setns(owner.as_fd(), CloneFlags::CLONE_NEWUSER)?;
        Ok(IdMap { uids: ranges("/proc/self/uid_map")?, gids: ranges("/proc/self/gid_map")? })
    };
    in_child(read).doing(doing).map(Some)
}

/// user_namespaces(7): three numbers a line. A process in the namespace is shown ids of the parent namespace.
fn ranges(file: &str) -> Result<Vec<IdRange>> {
    let text = std::fs::read_to_string(file).doing(|| format!("read `{file}`"))?;
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map(|n| n.parse::<u32>().ok());
        Some(IdRange { inside: numbers.next()??, outside: numbers.next()??, count: numbers.next()?? })
    };
    Ok(text.lines().filter_map(range).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_say_what_is_shared() {
        let options = ContainerOptions {
            network: Some("container:abc".into()),
            pid: Some("ns:/proc/1/ns/pid".into()),
            ipc: Some("host".into()),
            userns: Some("keep-id:uid=5".into()),
            ..ContainerOptions::default()
        };
        assert_eq!(
            joins(&options),
            [
                Join { kind: libc::CLONE_NEWNET, from: JoinFrom::Container("abc".into()) },
                Join { kind: libc::CLONE_NEWPID, from: JoinFrom::Path("/proc/1/ns/pid".into()) },
            ]
        );
        assert!(joins(&ContainerOptions::default()).is_empty());
    }
}
