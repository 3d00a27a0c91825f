//! Removing containers, many at once: all that run are asked to end before any of them is waited for, and what needs a user
//! namespace to be deleted is deleted by one child per id map.
//!
//! A running container's monitor removes it itself, as for `--rm`; everything else is removed here, under the container's
//! lock. Name and folder are gone when this returns.

use super::containers::gone;
use crate::base::{Doing, Error, Kind, Result, fsx, units};
use crate::spec::ContainerOptions;
use crate::state::containers::{self, short};
use crate::state::events::{self, Event, Topic};
use crate::state::format;
use crate::state::record::ProcessIdentity;
use crate::state::{ContainerRecord, Containers, Entry};
use crate::store::{Store, trash};
use crate::supervise::control::{connect_to, next};
use crate::supervise::orphans;
use crate::supervise::protocol::Request;
use crate::supervise::volumes;
use crate::sys::channel::Channel;
use crate::sys::lock::{self, Mode};
use crate::userns::{self, IdMap};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// How to remove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Also those that run.
    pub force: bool,
    /// With `force`: send the stop signal and wait this many seconds (-1: for ever) before SIGKILL. Without it they are killed
    /// at once, as docker does.
    pub stop_seconds: Option<i64>,
    /// The volumes that were made for them go as well, unless others use them.
    pub volumes: bool,
}

/// So many are removed in one go: each costs a descriptor or two.
const AT_ONCE: usize = 200;
/// How long a command waits for files to be deleted that nobody can see any more.
const WAIT_NANOS: u64 = 200_000_000;
/// A monitor that has not ended so long after its container was to be killed is stuck.
const PATIENCE_SECONDS: i64 = 30;
/// How often a monitor that is waited for is looked at.
const LOOK_MILLIS: u64 = 500;

/// Removes containers by name or id. One answer for each word, in their order: the full id, or why it is still there.
///
/// Errors: `NotFound`; `Conflict` for one that runs, without `force`.
pub fn remove(store: &Store, words: &[String], options: RemoveOptions) -> Vec<Result<String>> {
    // All words are looked up before anything goes: the second word for one container must find it too.
    let all = Containers::new(store.paths());
    let resolved: Vec<Result<Named>> = words.iter().map(|word| Ok(Named { word, id: all.resolve(word)? })).collect();
    let volumes = volumes_of(&all, &resolved, options);
    let mut answers = Vec::with_capacity(words.len());
    let (mut resolved, mut seen) = (resolved.into_iter().peekable(), Vec::new());
    while resolved.peek().is_some() {
        answers.extend(remove_some(store, resolved.by_ref().take(AT_ONCE), options, &mut seen));
    }
    // One look at what the containers that are left use, for all of them. What can't go now is found by `volume prune`.
    if let Ok(retired) = volumes::retire_anonymous(store, &volumes) {
        volumes::delete(&retired.trash);
    }
    answers
}

/// The volumes that may go with these containers: as asked for, and those of containers that were to be removed at their end.
fn volumes_of(all: &Containers, resolved: &[Result<Named>], options: RemoveOptions) -> Vec<String> {
    let records = resolved.iter().flatten().filter_map(|named| all.record(&named.id).ok());
    let mut names: Vec<String> = records
        .filter(|record| options.volumes || record.options.remove)
        .flat_map(|r| volumes::own(&r.options))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A container, and the word that meant it.
struct Named<'a> {
    word: &'a str,
    id: String,
}

/// Where a removal stands.
enum Step {
    /// Nothing runs; the lock is ours.
    Locked(File),
    /// Its monitor was asked to end and remove it, and is this process, if that is known already.
    Asked(Channel, Option<ProcessIdentity>),
    /// Another word meant the same container.
    Same,
}

/// A folder that is out of sight and still to be deleted; the map is `None` when nobody knows it.
struct Trash {
    path: PathBuf,
    map: Option<IdMap>,
}

/// Removes some; `seen` are the ids that earlier words meant.
fn remove_some<'a>(
    store: &Store,
    some: impl Iterator<Item = Result<Named<'a>>>,
    options: RemoveOptions,
    seen: &mut Vec<String>,
) -> Vec<Result<String>> {
    let begun: Vec<Result<(String, Step)>> = some.map(|named| begin(store, named?, options, seen)).collect();
    let mut trash = Vec::new();
    let answers = begun
        .into_iter()
        .map(|begun| {
            let (id, step) = begun?;
            let lock = match step {
                Step::Same => return Ok(id),
                Step::Locked(lock) => Some(lock),
                Step::Asked(channel, monitor) => finish(store, &id, &channel, monitor, options)?,
            };
            if let Some(_lock) = lock {
                trash.extend(retire(store, &id)?);
            }
            Ok(id)
        })
        .collect();
    empty(store, trash);
    answers
}

/// Takes a container's lock, or asks its monitor to end.
fn begin(store: &Store, named: Named<'_>, options: RemoveOptions, seen: &mut Vec<String>) -> Result<(String, Step)> {
    let Named { word, id } = named;
    if seen.contains(&id) {
        return Ok((id, Step::Same));
    }
    let folder = store.paths().container(&id);
    let monitor = if options.force { monitor_of(store, &id) } else { None };
    if options.force {
        end_if_stopped(monitor.as_ref());
    } else {
        refuse_newer(store, &id)?;
    }
    let mut step = begin_one(store, &folder, word, &id, options);
    // It was stopped a moment ago, or is about to be: a SIGSTOP takes its time to arrive on a busy machine.
    if step.is_err() && options.force && end_if_stopped(monitor_of(store, &id).as_ref()) {
        step = wait_for_lock(&folder).map(Step::Locked);
    }
    if let Ok(Step::Asked(_, of)) = &mut step {
        *of = monitor;
    }
    let step = step.map_err(|e| gone(e, word))?;
    seen.push(id.clone());
    Ok((id, step))
}

/// What a newer runr made is whole, whatever this one makes of it: only force removes it.
fn refuse_newer(store: &Store, id: &str) -> Result<()> {
    let all = Containers::new(store.paths());
    let unread = all.record(id).err().or_else(|| all.state(id).err());
    unread.filter(format::is_newer).map_or(Ok(()), Err)
}

/// A monitor that somebody stopped would be waited for in vain. What it leaves is found by its record. False when it is not
/// stopped.
fn end_if_stopped(monitor: Option<&ProcessIdentity>) -> bool {
    monitor.filter(|monitor| monitor.is_stopped()).inspect(|monitor| kill(monitor)).is_some()
}

/// One that has executed nothing yet needs no force. Its monitor was just heard, so that the state holds.
fn is_initialized(store: &Store, id: &str) -> bool {
    let state = Containers::new(store.paths()).state(id);
    state.is_ok_and(|state| state.status == crate::state::Status::Initialized)
}

fn monitor_of(store: &Store, id: &str) -> Option<ProcessIdentity> {
    Containers::new(store.paths()).state(id).ok()?.monitor
}

fn begin_one(store: &Store, folder: &Path, word: &str, id: &str, options: RemoveOptions) -> Result<Step> {
    if let Some(lock) = containers::try_lock(folder)? {
        return Ok(Step::Locked(lock));
    }
    match connect_to(folder)? {
        Some(_) if !options.force && !is_initialized(store, id) => Err(running(word, id)),
        Some(channel) => {
            let (signal, seconds) = match options.stop_seconds {
                None | Some(0) => (Some(libc::SIGKILL), 0),
                Some(seconds) => (None, seconds),
            };
            channel.send(&Request::Stop { signal, timeout_seconds: Some(seconds), remove: true }, &[])?;
            Ok(Step::Asked(channel, None))
        }
        // Whoever had the lock was no monitor: another command that looked after it, or its end came meanwhile.
        None => wait_for_lock(folder).map(Step::Locked),
    }
}

/// Waits for the end of a container whose monitor was asked; its lock if the monitor left the removal to us.
fn finish(
    store: &Store,
    id: &str,
    channel: &Channel,
    monitor: Option<ProcessIdentity>,
    options: RemoveOptions,
) -> Result<Option<File>> {
    let folder = store.paths().container(id);
    let patience = match options.stop_seconds {
        Some(seconds) if seconds < 0 => None,
        seconds => Some(seconds.unwrap_or(0).saturating_add(PATIENCE_SECONDS)),
    };
    let monitor = monitor.or_else(|| monitor_of(store, id));
    if hears_the_end(channel, patience, monitor.as_ref())? {
        // An older monitor does not know of removing.
        return match wait_for_lock(&folder) {
            Err(e) if e.is_missing() => Ok(None),
            other => other.map(Some),
        };
    }
    // Stuck or stopped: its container goes with it.
    if let Some(monitor) = monitor {
        kill(&monitor);
    }
    match wait_for_lock(&folder) {
        Err(e) if e.is_missing() => Ok(None),
        other => other.map(Some),
    }
}

fn kill(process: &ProcessIdentity) {
    orphans::kill_process(&crate::state::ContainerState {
        process: Some(process.clone()),
        ..crate::state::ContainerState::created()
    });
}

/// Waits until the monitor says that all is over, or is gone; false when that takes longer than `seconds` or the monitor is
/// stopped. On a busy machine a SIGSTOP takes its time to arrive, so a look before the waiting is not enough.
fn hears_the_end(channel: &Channel, seconds: Option<i64>, monitor: Option<&ProcessIdentity>) -> Result<bool> {
    use crate::supervise::protocol::Report;
    let until = seconds.map(|s| units::boot_nanos().saturating_add(s.unsigned_abs().saturating_mul(1_000_000_000)));
    loop {
        let left = until.map_or(LOOK_MILLIS, |until| until.saturating_sub(units::boot_nanos()).div_ceil(1_000_000));
        if left == 0 {
            return Ok(false);
        }
        let timeout = PollTimeout::try_from(left.min(LOOK_MILLIS) as i32).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, timeout).unwrap_or(0) == 0 {
            if monitor.is_some_and(ProcessIdentity::is_stopped) {
                return Ok(false);
            }
            continue;
        }
        match next(channel)? {
            Some(Report::Exited { .. }) | None => return Ok(true),
            Some(_) => {}
        }
    }
}

fn running(word: &str, id: &str) -> Error {
    Error::conflict(format!("cannot remove container `{word}`: container `{}` is running", short(id)))
        .hint(format!("remove it by force: `runr rm -f {word}`"))
}

/// Waits until nobody has the container's lock. `ENOENT` when the container is gone.
fn wait_for_lock(folder: &Path) -> Result<File> {
    let doing = || format!("lock container folder `{}`", folder.display());
    let file = std::fs::OpenOptions::new().read(true).write(true).open(folder.join("lock")).doing(doing)?;
    lock::lock(&file, Mode::Exclusive).doing(doing)?;
    // The folder may have been thrown away while we waited for a lock in it.
    std::fs::symlink_metadata(folder).doing(doing)?;
    Ok(file)
}

/// Moves a container out of sight and frees its names, with its lock held. `None` when there was nothing any more.
fn retire(store: &Store, id: &str) -> Result<Option<Trash>> {
    let all = Containers::new(store.paths());
    let folder = store.paths().container(id);
    if folder.symlink_metadata().is_err() {
        return Ok(None);
    }
    if let Ok(state) = all.state(id) {
        orphans::kill_leftovers(&state);
    }
    let record = all.record(id);
    let map = record.as_ref().ok().map(|record| record.map.clone());
    let known = map.clone().map_or_else(userns::default_map, Ok)?;
    let trash = match store.retire(&folder, &known) {
        Ok(path) => Some(Trash { path, map }),
        // No room for the trash's own folder: then it is deleted where it is.
        Err(e) if e.is_disk_full() => {
            fsx::remove_dir_all(&folder).or_else(|_| userns::remove_tree(&known, &folder))?;
            None
        }
        Err(e) => return Err(e),
    };
    drop_names(&all, id, &record)?;
    events::append(
        store.paths(),
        &match &record {
            Ok(record) => Event::of(record, "remove"),
            Err(_) => Event::new(Topic::Container, "remove", id, ""),
        },
    );
    Ok(trash)
}

fn drop_names(all: &Containers, id: &str, record: &Result<Box<ContainerRecord>>) -> Result<()> {
    match record {
        Ok(record) => all.drop_name(&record.name, id).map(drop),
        // Its record is unreadable, so the names say whose they are.
        Err(_) => all.drop_names_of(id),
    }
}

/// Deletes what was thrown away. What takes long is left to a process that nobody waits for, what cannot be deleted now to
/// the next sweep.
fn empty(store: &Store, trash: Vec<Trash>) {
    let begin = units::boot_nanos();
    let mut rest: BTreeMap<String, (IdMap, Vec<PathBuf>)> = BTreeMap::new();
    let mut unknown = Vec::new();
    // Most often everything is the user's own and no namespace is needed.
    for Trash { path, map } in trash {
        if units::boot_nanos().saturating_sub(begin) > WAIT_NANOS {
            drop(store.sync_in_background(&[]));
            return;
        }
        // What somebody still reads is deleted by a later command.
        if trash::is_read(&path) || trash::delete_own(&path).is_ok() {
            continue;
        }
        match map {
            Some(map) => rest.entry(map.key()).or_insert_with(|| (map, Vec::new())).1.push(path),
            None => unknown.push(path),
        }
    }
    for (map, paths) in rest.into_values() {
        userns::remove_trees(&map, &paths);
    }
    if unknown.is_empty() {
        return;
    }
    let maps = userns::default_map().into_iter().chain(store.known_maps().unwrap_or_default());
    for map in maps {
        unknown.retain(|path| path.exists());
        if !unknown.is_empty() {
            userns::remove_trees(&map, &unknown);
        }
    }
}

/// All containers that cannot do without one of these: by `--requires`, or because they join its namespaces. Those that
/// others depend on come last.
pub fn dependants(store: &Store, ids: &[String]) -> Result<Vec<String>> {
    let all = Containers::new(store.paths());
    let mut needs: Vec<(String, Vec<String>)> = Vec::new();
    for entry in all.list()? {
        if let Entry::Good(container) = entry {
            let words = needed(&container.record.options);
            let ids = words.iter().filter_map(|word| all.resolve(word).ok()).collect();
            needs.push((container.record.id.clone(), ids));
        }
    }
    Ok(closure(&needs, ids))
}

/// The containers that an option names.
fn needed(options: &ContainerOptions) -> Vec<&str> {
    let modes = [&options.network, &options.pid, &options.ipc, &options.uts, &options.userns, &options.cgroupns];
    let joined = modes.into_iter().flatten().filter_map(|mode| mode.strip_prefix("container:"));
    joined.chain(options.requires.iter().map(String::as_str)).collect()
}

fn closure(needs: &[(String, Vec<String>)], ids: &[String]) -> Vec<String> {
    let mut found: Vec<String> = ids.to_vec();
    let mut at = 0;
    while at < found.len() {
        let dependants = needs.iter().filter(|(_, needed)| needed.contains(&found[at]));
        let new: Vec<String> = dependants.map(|(id, _)| id.clone()).filter(|id| !found.contains(id)).collect();
        found.extend(new);
        at += 1;
    }
    let mut found = found.split_off(ids.len());
    found.reverse();
    found
}

/// Removes one container; see [`remove`].
pub fn remove_one(store: &Store, word: &str, force: bool) -> Result<String> {
    let options = RemoveOptions { force, ..RemoveOptions::default() };
    let answer = remove(store, &[word.to_owned()], options).pop();
    answer.unwrap_or_else(|| Err(Error::new(Kind::Bug, "a removal without an answer")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependants_are_found_through_others() {
        let needs = |list: &[(&str, &[&str])]| -> Vec<(String, Vec<String>)> {
            list.iter().map(|(id, n)| ((*id).to_owned(), n.iter().map(|n| (*n).to_owned()).collect())).collect()
        };
        let graph =
            needs(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &["a", "d"]), ("e", &["f"]), ("f", &["e"])]);
        assert_eq!(closure(&graph, &["a".into()]), ["c", "d", "b"]);
        assert_eq!(closure(&graph, &["e".into()]), ["f"]);
        assert!(closure(&graph, &["c".into()]).is_empty());
        let options = ContainerOptions {
            network: Some("container:net".into()),
            pid: Some("host".into()),
            requires: vec!["db".into()],
            ..Default::default()
        };
        assert_eq!(needed(&options), ["net", "db"]);
    }
}
