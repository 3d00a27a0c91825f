//! Volumes of a container: made when they are missing, filled with what the image has at their place, and found at each start.

use super::make;
use crate::base::fsx::Durability;
use crate::base::{Doing, Error, Result};
use crate::rootfs::content::{Content, fill, is_filled};
use crate::spec::options::{ContainerOptions, Mount, MountKind};
use crate::state::{ContainerRecord, Containers};
use crate::store::Store;
use crate::store::volumes::{VolumeLock, VolumeRecord};
use crate::supervise::volumes;
use crate::sys::lock::Mode;
use crate::userns::{self, IdMap};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The folders of a container's volumes, by where they are mounted.
pub(in crate::ops) type Places = HashMap<String, PathBuf>;

/// Gives the volumes without a name one; returns these names.
pub(in crate::ops) fn name_anonymous(options: &mut ContainerOptions) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for mount in &mut options.mounts {
        if let MountKind::Volume { name } = &mut mount.kind
            && name.is_empty()
        {
            *name = Containers::new_id()?;
            names.push(name.clone());
        }
    }
    Ok(names)
}

/// Where the volumes of a container are. With `exist` all of them must be there.
///
/// Errors: `Conflict` for one that is gone; `Usage` for one whose own folder on this machine is.
pub(in crate::ops) fn places(store: &Store, options: &ContainerOptions, exist: bool) -> Result<Places> {
    let mut places = Places::new();
    for (name, mount) in of(options) {
        let record = store.volume(name)?;
        if record.is_none() && exist {
            return Err(Error::conflict(format!("volume `{name}` of the container is gone"))
                .hint(format!("make a new one: `runr volume create {name}`")));
        }
        let device = record.as_ref().and_then(VolumeRecord::device);
        if let Some(missing) = device.filter(|path| !path.is_dir()) {
            return Err(Error::usage(format!("volume `{name}`: its folder `{}` is gone", missing.display())));
        }
        places.insert(mount.target.clone(), device.map_or_else(|| store.volume_data(name), Path::to_path_buf));
    }
    Ok(places)
}

/// The volumes, each with its first mount; sorted, so that everybody locks them in one order.
fn of(options: &ContainerOptions) -> Vec<(&str, &Mount)> {
    let named = |mount: &'_ Mount| matches!(mount.kind, MountKind::Volume { .. });
    let mut volumes: Vec<(&str, &Mount)> = options
        .mounts
        .iter()
        .filter(|mount| named(mount))
        .filter_map(|mount| match &mount.kind {
            MountKind::Volume { name } => Some((name.as_str(), mount)),
            _ => None,
        })
        .collect();
    volumes.sort_by_key(|(name, _)| *name);
    volumes
}

/// Volumes that can't be removed until the record of the container that mounts them is written.
#[derive(Debug, Default)]
pub(in crate::ops) struct Attached {
    /// Held as long as this lives.
    locks: Vec<VolumeLock>,
    /// Those that were made for the container.
    anonymous: Vec<String>,
}

impl Attached {
    /// The container never came to be: what was made for it alone goes.
    pub(in crate::ops) fn give_back(self, store: &Store) {
        drop(self.locks);
        if let Ok(retired) = volumes::retire_anonymous(store, &self.anonymous) {
            volumes::delete(&retired.trash);
        }
    }
}

/// Makes the volumes that a container's record names and that do not exist, and fills the new ones from `lowers`, its image's
/// folders, topmost first. `anonymous` are those that go with the container.
///
/// Forks; call it before threads exist.
pub(in crate::ops) fn attach(
    store: &Store,
    record: &ContainerRecord,
    anonymous: Vec<String>,
    lowers: &[PathBuf],
    durability: Durability,
) -> Result<Attached> {
    let mut attached = Attached { locks: Vec::new(), anonymous };
    let mut last = "";
    for (name, mount) in of(&record.options) {
        if name == std::mem::replace(&mut last, name) {
            continue;
        }
        let own = attached.anonymous.iter().any(|own| own == name);
        // A named volume is to outlive its container, whatever becomes of that.
        let durability = if own { durability } else { Durability::Synced };
        match hold(store, record, (name, mount), own, lowers, durability) {
            Ok(lock) => attached.locks.push(lock),
            Err(e) => {
                attached.give_back(store);
                return Err(e.step(format!("volume `{name}`")));
            }
        }
    }
    Ok(attached)
}

/// One volume: there, filled, and locked.
fn hold(
    store: &Store,
    record: &ContainerRecord,
    (name, mount): (&str, &Mount),
    anonymous: bool,
    lowers: &[PathBuf],
    durability: Durability,
) -> Result<VolumeLock> {
    loop {
        let Some(lock) = store.lock_volume(name, Mode::Shared)? else {
            make(store, &VolumeRecord { anonymous, ..VolumeRecord::new(name) }, durability)?;
            continue;
        };
        if !lock.is_fresh() {
            return Ok(lock);
        }
        drop(lock);
        let Some(lock) = store.lock_volume(name, Mode::Exclusive)? else { continue };
        if lock.is_fresh() {
            let own_folder = store.volume(name)?.is_some_and(|volume| volume.device().is_none());
            if own_folder {
                fill_volume(record, mount, &lock, lowers).doing(|| format!("copy the image's `{}`", mount.target))?;
            }
            lock.set_used()?;
        }
        return Ok(lock);
    }
}

fn fill_volume(record: &ContainerRecord, mount: &Mount, lock: &VolumeLock, lowers: &[PathBuf]) -> Result<()> {
    // Where the user does not exist, the user's folders are out of reach.
    let map = if record.options.hides_user() { userns::default_map()? } else { record.map.clone() };
    let (new, data) = (lock.new_data(), lock.data());
    let left = lock.left()?;
    let files = !mount.options.iter().any(|o| o == "nocopy");
    let content = Content {
        lowers,
        target: &mount.target,
        user: record.options.user.as_deref().unwrap_or(&record.execution.user),
        files,
    };
    let outside = |uid, gid| Some((record.map.host_uid(uid)?, record.map.host_gid(gid)?));
    if left.is_empty() && is_filled(&content, &data, &outside) {
        return Ok(());
    }
    userns::run(&map, || {
        for path in left {
            userns::enter::remove_tree_here(&path)?;
        }
        let filled = fill(&content, &new, &data, &|uid, gid| ids_here(&record.map, &map, uid, gid));
        if filled.is_err() {
            drop(userns::enter::remove_tree_here(&new));
        }
        filled
    })
}

/// What ids of a container with the map `of` are in a namespace with the map `here`.
fn ids_here(of: &IdMap, here: &IdMap, uid: u32, gid: u32) -> Option<(u32, u32)> {
    Some((here.inside_uid(of.host_uid(uid)?)?, here.inside_gid(of.host_gid(gid)?)?))
}
