//! Volumes go: with the container that they were made for, or because nobody uses them.
//!
//! Under the exclusive lock of each of them the containers' records are read: whoever makes a container with one of them holds
//! its shared lock until the record is there.

use crate::base::{Error, Result};
use crate::spec::ContainerOptions;
use crate::state::events::{self, Event, Topic};
use crate::state::volume_users;
use crate::store::volumes::VolumeLock;
use crate::store::{Store, trash};
use crate::sys::lock::Mode;
use crate::userns;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// So many are locked at once: each costs a descriptor.
const AT_ONCE: usize = 100;

/// What became of volumes that were to be removed.
#[derive(Debug, Default)]
pub struct Retired {
    /// The names of those that are gone.
    pub names: Vec<String>,
    /// Those that stay, and the containers that use them, or may.
    pub used: BTreeMap<String, Vec<String>>,
    /// Those that stay because something failed.
    pub failed: BTreeMap<String, Error>,
    /// Where their files are now, for [`delete`].
    pub trash: Vec<PathBuf>,
}

/// The volumes that were made for a container.
pub fn own(options: &ContainerOptions) -> Vec<String> {
    options.volumes().filter(|(_, anonymous, _)| *anonymous).map(|(name, ..)| name.to_owned()).collect()
}

/// Moves those of these volumes out of sight that were made for a container and that no container uses any more.
pub fn retire_anonymous(store: &Store, names: &[String]) -> Result<Retired> {
    let mut names = names.to_vec();
    names.retain(|name| store.volume(name).is_ok_and(|volume| volume.is_some_and(|v| v.anonymous)));
    retire_unused(store, &names)
}

/// Moves those of these volumes out of sight that no container uses. Waits for who is making a container with one.
pub fn retire_unused(store: &Store, names: &[String]) -> Result<Retired> {
    let mut sorted = names.to_vec();
    // One order for everybody, so that nobody waits for who waits for him.
    sorted.sort_unstable();
    sorted.dedup();
    let mut retired = Retired::default();
    for some in sorted.chunks(AT_ONCE) {
        let mut locks = Vec::new();
        for name in some {
            match store.lock_volume(name, Mode::Exclusive) {
                Ok(Some(lock)) => locks.push((name.clone(), lock)),
                Ok(None) => {}
                Err(e) => drop(retired.failed.insert(name.clone(), e)),
            }
        }
        retire(store, locks, &mut retired)?;
    }
    Ok(retired)
}

/// Moves volumes out of sight whose maker was killed before its container was there.
pub fn sweep(store: &Store) {
    let Ok(volumes) = store.half_made_volumes() else { return };
    let locks = volumes.into_iter().take(AT_ONCE).filter_map(|name| {
        let lock = store.try_lock_volume(&name).ok()??;
        // Its container may have come meanwhile.
        lock.is_fresh().then_some((name, lock))
    });
    let mut retired = Retired::default();
    if retire(store, locks.collect(), &mut retired).is_ok() {
        delete(&retired.trash);
    }
}

fn retire(store: &Store, locks: Vec<(String, VolumeLock)>, retired: &mut Retired) -> Result<()> {
    if locks.is_empty() {
        return Ok(());
    }
    let map = userns::default_map()?;
    let users = volume_users(store.paths())?;
    for (name, lock) in locks {
        let ids = users.of(&name);
        if !ids.is_empty() {
            retired.used.insert(name, ids);
            continue;
        }
        let labels = store.volume(&name).ok().flatten().map(|volume| volume.labels).unwrap_or_default();
        match store.retire(&store.paths().volume(&name), &map) {
            Ok(path) => retired.trash.push(path),
            Err(e) => {
                retired.failed.insert(name, e);
                continue;
            }
        }
        drop(lock);
        events::append(store.paths(), &Event::new(Topic::Volume, "remove", &name, &name).labelled(&labels));
        retired.names.push(name);
    }
    Ok(())
}

/// Deletes files of volumes that are out of sight. What can't be deleted now is left to the next sweep.
pub fn delete(trash: &[PathBuf]) {
    // Most often everything is the user's own and no namespace is needed.
    let rest: Vec<PathBuf> = trash.iter().filter(|path| trash::delete_own(path).is_err()).cloned().collect();
    if let (false, Ok(map)) = (rest.is_empty(), userns::default_map()) {
        userns::remove_trees(&map, &rest);
    }
}
