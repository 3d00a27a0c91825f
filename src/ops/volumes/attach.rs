//! Volumes of a container: made when they are missing, filled with what the image has at their place, and found at each start.

use super::make;
use crate::base::fsx::Durability;
use crate::base::{Doing, Error, Result};
use crate::rootfs::content::{Content, fill, is_filled};
use crate::spec::options::{ContainerOptions, Mount, MountKind};
use crate::state::{ContainerRecord, Containers, volume_users};
use crate::store::Store;
use crate::store::volumes::{VolumeLock, VolumeRecord};
use crate::supervise::volumes;
use crate::sys::lock::Mode;
use crate::userns::{self, IdMap};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The folders of a container's volumes, by where they are mounted.
pub(in crate::ops) type Places = HashMap<String, PathBuf>;

/// Gives the volumes without a name one.
pub(in crate::ops) fn name_anonymous(options: &mut ContainerOptions) -> Result<()> {
    for mount in &mut options.mounts {
        if let MountKind::Volume { name, .. } = &mut mount.kind
            && name.is_empty()
        {
            *name = Containers::new_id()?;
        }
    }
    Ok(())
}

/// Where the volumes of a container are.
///
/// Errors: `Conflict` for one that is gone; `Usage` for one whose own folder on this machine is.
pub(in crate::ops) fn places(store: &Store, options: &ContainerOptions) -> Result<Places> {
    for (name, ..) in options.volumes() {
        if store.volume(name)?.is_none() {
            return Err(Error::conflict(format!("volume `{name}` of the container is gone"))
                .hint(format!("make a new one: `runr volume create {name}`")));
        }
    }
    future_places(store, options)
}

/// The same of a container whose volumes need not exist yet.
pub(in crate::ops) fn future_places(store: &Store, options: &ContainerOptions) -> Result<Places> {
    let mut places = Places::new();
    for (name, _, mount) in options.volumes() {
        let device = store.volume(name)?.and_then(|record| record.device().map(Path::to_path_buf));
        if let Some(missing) = device.filter(|path| !path.is_dir()) {
            return Err(Error::usage(format!("volume `{name}`: its folder `{}` is gone", missing.display())));
        }
        places.insert(mount.target.clone(), store.volume_folder(name)?);
    }
    Ok(places)
}

/// Those that are there.
pub(in crate::ops) fn places_there(store: &Store, options: &ContainerOptions) -> Places {
    let place = |(name, _, mount): (&str, bool, &Mount)| Some((mount.target.clone(), store.volume_folder(name).ok()?));
    options.volumes().filter_map(place).filter(|(_, folder)| folder.is_dir()).collect()
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
    /// The container is there. Until then those that were made for it alone are known by being fresh: a killed command leaves
    /// nothing that is not found.
    pub(in crate::ops) fn keep(self) -> Result<()> {
        self.locks.iter().filter(|lock| lock.is_fresh()).try_for_each(VolumeLock::set_used)
    }

    /// The container never came to be: what was made for it alone goes.
    pub(in crate::ops) fn give_back(self, store: &Store) {
        drop(self.locks);
        if let Ok(retired) = volumes::retire_anonymous(store, &self.anonymous) {
            volumes::delete(&retired.trash);
        }
    }
}

/// Makes the volumes that a container's record names and that do not exist, and fills the new ones from `lowers`, its image's
/// folders, topmost first. `user` is who its command runs as.
///
/// Forks; call it before threads exist.
pub(in crate::ops) fn attach(
    store: &Store,
    record: &ContainerRecord,
    user: &str,
    lowers: &[PathBuf],
    durability: Durability,
) -> Result<Attached> {
    let mut all: Vec<(&str, bool, &Mount)> = record.options.volumes().collect();
    // One order for everybody, so that nobody waits for who waits for him.
    all.sort_by_key(|(name, ..)| *name);
    all.dedup_by_key(|(name, ..)| *name);
    let mut attached = Attached { locks: Vec::new(), anonymous: volumes::own(&record.options) };
    for (name, anonymous, mount) in all {
        // A named volume is to outlive its container, whatever becomes of that.
        let durability = if anonymous { durability } else { Durability::Synced };
        let new = New { name, anonymous, durability, mount, record, user, lowers };
        match new.hold(store) {
            Ok(lock) => attached.locks.push(lock),
            Err(e) => {
                attached.give_back(store);
                return Err(e.step(format!("volume `{name}`")));
            }
        }
    }
    Ok(attached)
}

/// What is known of a volume that may have to be made.
struct New<'a> {
    name: &'a str,
    anonymous: bool,
    durability: Durability,
    mount: &'a Mount,
    record: &'a ContainerRecord,
    user: &'a str,
    lowers: &'a [PathBuf],
}

impl New<'_> {
    /// There, filled, and locked.
    fn hold(&self, store: &Store) -> Result<VolumeLock> {
        let name = self.name;
        loop {
            let Some(lock) = store.lock_volume(name, Mode::Shared)? else {
                let record = VolumeRecord { anonymous: self.anonymous, ..VolumeRecord::new(name) };
                make(store, &record, self.durability)?;
                continue;
            };
            if !self.wants_content(store, &lock)? {
                return if self.anonymous { Ok(lock) } else { lock.set_used().map(|()| lock) };
            }
            drop(lock);
            let Some(lock) = store.lock_volume(name, Mode::Exclusive)? else { continue };
            // Its files take the place of the empty folder, which must be nobody's.
            if self.wants_content(store, &lock)? && volume_users(store.paths())?.of(name).is_empty() {
                self.fill(&lock).doing(|| format!("copy the image's `{}`", self.mount.target))?;
                if self.durability == Durability::Synced {
                    lock.sync()?;
                }
            }
            return if self.anonymous { Ok(lock) } else { lock.set_used().map(|()| lock) };
        }
    }

    /// True for an empty volume of runr's own that is not yet what the image makes of it.
    fn wants_content(&self, store: &Store, lock: &VolumeLock) -> Result<bool> {
        if !lock.is_empty() || store.volume(self.name)?.is_some_and(|volume| volume.device().is_some()) {
            return Ok(false);
        }
        let outside = |uid, gid| Some((self.record.map.host_uid(uid)?, self.record.map.host_gid(gid)?));
        Ok(!is_filled(&self.content(lock), &lock.data(), &outside))
    }

    fn content(&self, lock: &VolumeLock) -> Content<'_> {
        let files = !self.mount.options.iter().any(|o| o == "nocopy");
        Content { lowers: self.lowers, target: &self.mount.target, user: self.user, files, fresh: lock.is_fresh() }
    }

    fn fill(&self, lock: &VolumeLock) -> Result<()> {
        let record = self.record;
        // Where the user does not exist, the user's folders are out of reach.
        let map = if record.options.hides_user() { userns::default_map()? } else { record.map.clone() };
        let (new, data, content) = (lock.new_data(), lock.data(), self.content(lock));
        let left = lock.left()?;
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
}

/// What ids of a container with the map `of` are in a namespace with the map `here`.
fn ids_here(of: &IdMap, here: &IdMap, uid: u32, gid: u32) -> Option<(u32, u32)> {
    Some((here.inside_uid(of.host_uid(uid)?)?, here.inside_gid(of.host_gid(gid)?)?))
}
