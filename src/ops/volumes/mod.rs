//! Volumes: made, listed, removed; `attach` gives them to containers.

mod attach;

pub(super) use attach::{Places, attach, future_places, name_anonymous, places, places_there};

use super::container_list;
use crate::base::fsx::Durability;
use crate::base::{Error, Kind, Result};
use crate::state::containers::short;
use crate::state::events::{self, Event, Topic};
use crate::state::{Containers, volume_users};
use crate::store::Store;
use crate::store::volumes::{VolumeEntry, VolumeRecord, check_name};
use crate::supervise::volumes::{self, Retired};
use crate::userns::{self, IdMap};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a new volume is to be.
#[derive(Debug, Clone, Default)]
pub struct NewVolume {
    /// Its name; without one it gets a random one.
    pub name: Option<String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--opt`.
    pub options: BTreeMap<String, String>,
    /// One that exists already is left as it is (`--ignore`).
    pub ignore: bool,
}

/// A volume, and who uses it.
#[derive(Debug, Clone)]
pub struct Volume {
    /// What it is.
    pub entry: VolumeEntry,
    /// Where its files are.
    pub mountpoint: PathBuf,
    /// runr's own folder for them.
    own: PathBuf,
    /// The ids of the containers that mount it.
    pub users: Vec<String>,
}

/// Makes a volume; returns its name. As with docker, one that exists with the same options is fine.
///
/// Errors: `Usage` for a name or option that can't be; `Conflict` when there is one of this name with other options.
pub fn create(store: &Store, new: NewVolume) -> Result<String> {
    check_options(&new.options)?;
    let name = match new.name {
        Some(name) => name,
        None => Containers::new_id()?,
    };
    let record = VolumeRecord { labels: new.labels, options: new.options, ..VolumeRecord::new(&name) };
    if make(store, &record, Durability::Synced)? || new.ignore {
        return Ok(name);
    }
    match store.volume(&name)? {
        Some(there) if there.options != record.options => {
            let text = format!("volume `{name}` already exists with other options");
            Err(Error::conflict(text).hint("choose another name, or remove it"))
        }
        _ => Ok(name),
    }
}

/// Makes it and tells of it; `false` when there is one of this name.
fn make(store: &Store, record: &VolumeRecord, durability: Durability) -> Result<bool> {
    let made = store.create_volume(record, durability)?;
    if made {
        let event = Event::new(Topic::Volume, "create", &record.name, &record.name);
        events::append(store.paths(), &event.labelled(&record.labels));
    }
    Ok(made)
}

/// What of the `local` driver's options works without root: a folder of this machine as the volume.
fn check_options(options: &BTreeMap<String, String>) -> Result<()> {
    for (key, value) in options {
        let fine = match key.as_str() {
            "type" => matches!(value.as_str(), "none" | "bind" | ""),
            "o" => value.split(',').all(|word| matches!(word, "bind" | "rbind" | "rw")),
            "device" => value.starts_with('/'),
            _ => return Err(Error::usage(format!("invalid volume option `{key}`: use type, o or device"))),
        };
        if !fine {
            return Err(Error::unsupported(format!("volume option `{key}={value}`: a volume is a folder of runr's or of yours"))
                .hint("for a folder of yours: --opt type=none --opt o=bind --opt device=/its/path; for memory: runr run --tmpfs"));
        }
    }
    if options.is_empty() {
        return Ok(());
    }
    let Some(device) = options.get("device") else {
        return Err(Error::usage("the volume's options name no folder").hint("add --opt device=/its/path"));
    };
    if Path::new(device).is_dir() {
        return Ok(());
    }
    Err(Error::usage(format!("volume option `device={device}`: no such folder")))
}

/// All volumes, by name.
pub fn list(store: &Store) -> Result<Vec<Volume>> {
    let users = volume_users(store.paths())?;
    let volumes = store.volumes()?.into_iter();
    Ok(volumes
        .map(|entry| {
            let mountpoint = match &entry {
                VolumeEntry::Good(record) => record.device().map(Path::to_path_buf),
                VolumeEntry::Damaged { .. } => None,
            };
            let own = store.volume_data(entry.name());
            Volume { mountpoint: mountpoint.unwrap_or_else(|| own.clone()), own, users: users.of(entry.name()), entry }
        })
        .collect())
}

/// True when there is a volume of this very name, damaged or not.
pub fn exists(store: &Store, name: &str) -> bool {
    check_name(name).is_ok() && store.paths().volume(name).is_dir()
}

/// The volume of this name, or whose name alone begins so.
///
/// Errors: `NotFound`; `Ambiguous` when several names begin so.
pub fn find(store: &Store, word: &str) -> Result<String> {
    if exists(store, word) {
        return Ok(word.to_owned());
    }
    let names: Vec<String> = store.volumes()?.iter().map(|entry| entry.name().to_owned()).collect();
    let mut fitting = names.into_iter().filter(|name| !word.is_empty() && name.starts_with(word));
    match (fitting.next(), fitting.next()) {
        (Some(name), None) => Ok(name),
        (Some(_), Some(_)) => {
            let text = format!("more than one volume has a name that begins with `{word}`");
            Err(Error::new(Kind::Ambiguous, text).hint("give the whole name"))
        }
        _ => Err(missing(word)),
    }
}

/// Bytes of the files in each volume; those in a folder of the user's own are not runr's.
pub fn sizes(volumes: &[Volume]) -> Result<Vec<u64>> {
    let map = userns::default_map()?;
    let folders: Vec<(PathBuf, &IdMap)> = volumes.iter().map(|v| (v.own.clone(), &map)).collect();
    container_list::sizes(&folders)
}

/// Removes volumes by name. One answer for each word: the name, or why it is still there.
///
/// Errors: `NotFound`; `Conflict` for one that a container mounts.
pub fn remove(store: &Store, words: &[String]) -> Result<Vec<Result<String>>> {
    let found: Vec<Result<String>> = words.iter().map(|word| find(store, word)).collect();
    let names: Vec<String> = found.iter().flatten().cloned().collect();
    let Retired { names: gone, used, mut failed, trash } = volumes::retire_unused(store, &names)?;
    volumes::delete(&trash);
    let mut answer = |name: String| match used.get(&name) {
        Some(users) => Err(in_use(&name, users)),
        None if gone.contains(&name) => Ok(name),
        None => Err(failed.remove(&name).unwrap_or_else(|| missing(&name))),
    };
    Ok(found.into_iter().map(|found| found.and_then(&mut answer)).collect())
}

fn missing(name: &str) -> Error {
    Error::not_found(format!("no such volume: {name}"))
}

fn in_use(name: &str, users: &[String]) -> Error {
    let ids: Vec<&str> = users.iter().map(|id| short(id)).collect();
    Error::conflict(format!("cannot remove volume `{name}`: container `{}` uses it", ids.join("`, `")))
        .hint(format!("remove what uses it first: `runr rm {}`", ids.join(" ")))
}

/// Volumes that are gone, and the room they took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunedVolumes {
    /// Their names.
    pub names: Vec<String>,
    /// Bytes.
    pub freed: u64,
}

/// Removes those of `chosen` that nobody uses.
pub fn prune(store: &Store, chosen: &[Volume]) -> Result<PrunedVolumes> {
    let sizes = sizes(chosen)?;
    let names: Vec<String> = chosen.iter().map(|v| v.entry.name().to_owned()).collect();
    let Retired { names: gone, trash, .. } = volumes::retire_unused(store, &names)?;
    volumes::delete(&trash);
    let freed = names.iter().zip(sizes).filter(|(name, _)| gone.contains(name)).map(|(_, size)| size).sum();
    events::append(store.paths(), &Event::new(Topic::Volume, "prune", "", "").with("reclaimed", freed));
    Ok(PrunedVolumes { names: gone, freed })
}
