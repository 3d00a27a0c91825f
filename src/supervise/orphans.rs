//! What a monitor or a maker that was killed left behind, found by whoever comes next: processes, half-made folders,
//! containers that were to be removed at their end.

use super::volumes;
use crate::base::Result;
use crate::base::fsx::{self, Durability};
use crate::runtime::cgroup::Cgroup;
use crate::state::containers::{self, Container};
use crate::state::events::{self, Event, Topic};
use crate::state::record::ContainerState;
use crate::state::{Containers, Entry, Status};
use crate::store::{Store, trash};
use crate::sys::process::{pidfd_open, pidfd_signal};
use crate::userns;
use nix::unistd::Pid;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Kills a container's first process. Nothing is signalled unless it is the very process of the record, on this boot, in this
/// pid namespace.
pub fn kill_process(state: &ContainerState) {
    let Some(process) = state.process.as_ref().filter(|p| p.is_alive()) else { return };
    let Ok(pidfd) = pidfd_open(Pid::from_raw(process.pid)) else { return };
    // The pid could have passed on between the look and the open; what the descriptor holds can't change any more.
    if process.is_alive() {
        let _ = pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
    }
}

/// Kills all that a dead monitor left of its container. Called with the container's lock taken, so that no new monitor starts
/// one meanwhile.
pub fn kill_leftovers(state: &ContainerState) {
    kill_process(state);
    if let Some(folder) = &state.cgroup {
        let cgroup = Cgroup::at(folder.clone());
        cgroup.kill();
        cgroup.remove();
    }
}

/// Settles what dead monitors left: their processes end, and containers made with `--rm` go.
pub fn settle(store: &Store, container: &Container) -> Result<()> {
    if container.state.process.is_none() {
        return Ok(());
    }
    let Some(_lock) = containers::try_lock(&container.folder)? else { return Ok(()) };
    // Somebody else may have settled it, or started it again and seen its end, before the lock was ours.
    let id = &container.record.id;
    let Ok(Container { record, mut state, folder }) = Containers::new(store.paths()).load(id) else { return Ok(()) };
    if state.process.is_none() {
        return Ok(());
    }
    kill_leftovers(&state);
    let code = state.exit_code.unwrap_or(137);
    events::append(store.paths(), &Event::of(&record, "died").with("exitCode", code));
    if record.options.remove {
        return discard(store, id, Some(&record.name), &record.map);
    }
    state.status = Status::Exited;
    state.exit_code = Some(code);
    state.process = None;
    state.monitor = None;
    state.cgroup = None;
    state.finished.get_or_insert_with(super::finish::now);
    // Lost in a power cut, it is found again: nothing has to wait for the disk.
    containers::write_state(&folder, &state, Durability::Cached)
}

/// Moves a container out of sight, frees its name, deletes its files.
pub fn discard(store: &Store, id: &str, name: Option<&str>, map: &userns::IdMap) -> Result<()> {
    let all = Containers::new(store.paths());
    let record = all.record(id);
    let trash = store.retire(&store.paths().container(id), map)?;
    match name {
        Some(name) => drop(all.drop_name(name, id)?),
        None => all.drop_names_of(id)?,
    }
    events::append(
        store.paths(),
        &match &record {
            Ok(record) => Event::of(record, "remove"),
            Err(_) => Event::new(Topic::Container, "remove", id, name.unwrap_or_default()),
        },
    );
    if let Some(record) = record.ok().filter(|record| record.options.remove) {
        volumes::delete(&volumes::retire_anonymous(store, &volumes::own(&record.options))?.trash);
    }
    // Most often everything is the user's own and no namespace is needed.
    if trash::delete_own(&trash).is_err() {
        userns::remove_tree(map, &trash)?;
    }
    Ok(())
}

/// Removes half-made containers, and volumes, whose maker is gone.
pub fn sweep(store: &Store) {
    volumes::sweep(store);
    for folder in half_made(store) {
        let _ = fsx::remove_dir_all(&folder);
    }
}

/// Half-made containers whose maker is gone.
pub fn half_made(store: &Store) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(store.paths().tmp()).into_iter().flatten().flatten();
    let containers = entries.filter(|e| e.file_name().to_string_lossy().starts_with("container-"));
    containers.map(|e| e.path()).filter(|folder| !is_being_made(folder)).collect()
}

/// True while its maker holds the lock, or has not come to taking it: a folder without one is given a moment.
fn is_being_made(folder: &Path) -> bool {
    let young = || {
        let modified = std::fs::metadata(folder).and_then(|m| m.modified());
        modified.is_ok_and(|m| m.elapsed().is_ok_and(|age| age < std::time::Duration::from_secs(5)))
    };
    containers::is_running(folder).unwrap_or(true) || young()
}

/// All containers, after the dead monitors' have been settled.
pub fn list(store: &Store) -> Result<Vec<Entry>> {
    let all = Containers::new(store.paths());
    let left = settled(store, all.list()?)?;
    let names = left.iter().filter_map(|entry| match entry {
        Entry::Good(container) => Some(container.record.name.as_str()),
        Entry::Damaged { .. } | Entry::Newer { .. } => None,
    });
    // No reason to fail a list.
    drop(all.sweep_names(&names.collect()));
    Ok(left)
}

/// Those that run, likewise. What a dead monitor left is among them, settled and no longer running.
pub fn list_alive(store: &Store) -> Result<Vec<Entry>> {
    settled(store, Containers::new(store.paths()).list_alive()?)
}

fn settled(store: &Store, entries: Vec<Entry>) -> Result<Vec<Entry>> {
    let mut left = Vec::with_capacity(entries.len());
    for entry in entries {
        if let Entry::Good(container) = &entry
            && container.state.process.is_some()
            && !container.state.status.is_alive()
        {
            // What cannot be settled now, on a full disk for instance, is shown as it is.
            drop(settle(store, container));
            if !container.folder.exists() {
                continue;
            }
        }
        left.push(entry);
    }
    sweep(store);
    Ok(left)
}
