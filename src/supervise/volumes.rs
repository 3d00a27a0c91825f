//! Volumes go: with the container that they were made for, or because nobody uses them.
//!
//! Under the exclusive lock of each of them the containers' records are read: whoever makes a container with one of them holds
//! its shared lock until the record is there.

use crate::base::Result;
use crate::spec::options::MountKind;
use crate::state::events::{self, Event, Topic};
use crate::state::{ContainerRecord, volume_users};
use crate::store::volumes::{VolumeLock, VolumeRecord};
use crate::store::{Store, trash};
use crate::sys::lock::Mode;
use crate::userns;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What became of volumes that were to be removed.
#[derive(Debug, Default)]
pub struct Retired {
    /// The names of those that are gone.
    pub names: Vec<String>,
    /// Those that stay, and the containers that use them.
    pub used: BTreeMap<String, Vec<String>>,
    /// Where their files are now, for [`delete`].
    pub trash: Vec<PathBuf>,
}

/// The volumes that a record mounts, sorted, each once.
pub fn mounted(record: &ContainerRecord) -> Vec<String> {
    let volume = |kind: &MountKind| match kind {
        MountKind::Volume { name } => Some(name.clone()),
        MountKind::Bind { .. } | MountKind::Tmpfs | MountKind::Devpts => None,
    };
    let mut names: Vec<String> = record.options.mounts.iter().filter_map(|m| volume(&m.kind)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Moves those of these volumes out of sight that were made for a container and that no container uses any more. One that
/// somebody is about to use stays.
pub fn retire_anonymous(store: &Store, names: &[String]) -> Result<Retired> {
    let anonymous = |name: &str| store.volume(name).is_ok_and(|volume| volume.is_some_and(|v| v.anonymous));
    let names: Vec<&String> = names.iter().filter(|name| anonymous(name)).collect();
    let locks = names.into_iter().filter_map(|name| Some((name.clone(), store.try_lock_volume(name).transpose()?)));
    retire(store, locks.map(|(name, lock)| Ok((name, lock?))).collect::<Result<_>>()?)
}

/// Moves those of these volumes out of sight that no container uses.
pub fn retire_unused(store: &Store, names: &[String]) -> Result<Retired> {
    let mut sorted = names.to_vec();
    // One order for everybody, so that nobody waits for who waits for him.
    sorted.sort_unstable();
    sorted.dedup();
    let mut locks = Vec::new();
    for name in sorted {
        if let Some(lock) = store.lock_volume(&name, Mode::Exclusive)? {
            locks.push((name, lock));
        }
    }
    retire(store, locks)
}

fn retire(store: &Store, locks: Vec<(String, VolumeLock)>) -> Result<Retired> {
    let mut retired = Retired::default();
    if locks.is_empty() {
        return Ok(retired);
    }
    let map = userns::default_map()?;
    let mut users = volume_users(store.paths())?;
    for (name, lock) in locks {
        if let Some(ids) = users.remove(&name) {
            retired.used.insert(name, ids);
            continue;
        }
        let labels = store.volume(&name).ok().flatten().map(|v: VolumeRecord| v.labels).unwrap_or_default();
        retired.trash.push(store.retire(&store.paths().volume(&name), &map)?);
        drop(lock);
        events::append(store.paths(), &Event::new(Topic::Volume, "remove", &name, &name).labelled(&labels));
        retired.names.push(name);
    }
    Ok(retired)
}

/// Deletes files of volumes that are out of sight. What can't be deleted now is left to the next sweep.
pub fn delete(trash: &[PathBuf]) {
    // Most often everything is the user's own and no namespace is needed.
    let rest: Vec<&PathBuf> = trash.iter().filter(|path| trash::delete_own(path).is_err()).collect();
    if let (false, Ok(map)) = (rest.is_empty(), userns::default_map()) {
        let _ = userns::run(&map, || {
            for path in rest {
                drop(userns::enter::remove_tree_here(path));
            }
            Ok(())
        });
    }
}
