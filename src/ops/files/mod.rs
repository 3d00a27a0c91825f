//! A container's files from outside: copied, packed, compared, made an image, mounted.
//!
//! Whatever touches them runs as root of the container's user namespace in a child process ([`Files::work`]), in the mount
//! namespace of a running container, or with the root filesystem of a stopped one mounted for it alone. This process itself,
//! with the user's rights on the host, never resolves a path of a container's.

pub mod commit;
pub mod config;
pub mod cp;
pub mod diff;
pub mod export;
pub mod import;
mod locate;
pub mod mount;

use super::{layers, plan, start, volumes};
use crate::base::progress::Progress;
use crate::base::{Doing, Error, Kind, Result};
use crate::rootfs::assemble;
use crate::runtime::plan::Root;
use crate::runtime::view::{self, Access, Place};
use crate::spec::options::MountKind;
use crate::state::Containers;
use crate::state::containers::{Container, short};
use crate::state::record::ContainerRecord;
use crate::store::{Layer, Store};
use crate::supervise::control;
use crate::sys::channel::Channel;
use crate::sys::namespace;
use crate::unpack::pack::Truth;
use crate::userns::subid::own_ids;
use crate::userns::{IdMap, Job, Keep};
use nix::errno::Errno;
use serde::{Serialize, de::DeserializeOwned};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What of a container's tree is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// As the container sees it: with volumes, and whatever else is mounted.
    Everything,
    /// The root filesystem alone.
    Root,
}

/// The files of one container.
#[derive(Debug)]
pub struct Files {
    /// Its record.
    pub record: ContainerRecord,
    folder: PathBuf,
    access: Access,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Running {
        user: OwnedFd,
        mount: OwnedFd,
    },
    /// It runs in a namespace beside this process's, whose ids are the same: inside `runr unshare`.
    Beside {
        monitor: Channel,
    },
    Stopped {
        root: Root,
        staging: PathBuf,
        places: Vec<Place>,
        _lock: Option<File>,
    },
}

impl Files {
    /// Finds the way to the files of the container that `word` names. A stopped one can't be started until this is dropped if
    /// `access` is to write.
    ///
    /// Errors: `NotFound`; `Conflict` when another command starts or removes it and does not come to an end.
    pub fn open(store: &Store, word: &str, access: Access, progress: &dyn Progress) -> Result<Self> {
        loop {
            if access == Access::Write {
                match start::take(store, word)? {
                    start::Taken::Running(container) => {
                        if let Some(way) = running(&container.record, &container.folder)? {
                            let Container { record, folder, .. } = *container;
                            return Ok(Self { record: *record, folder, access, way });
                        }
                    }
                    start::Taken::Stopped(new) => {
                        mount::refuse_mounted(&new.record, &new.folder)?;
                        let way = stopped(store, &new.record, &new.folder, Some(new.lock), progress)?;
                        return Ok(Self { record: new.record, folder: new.folder, access, way });
                    }
                }
                continue;
            }
            let Container { record, state, folder } = Containers::new(store.paths()).find(word)?;
            let way =
                if state.status.is_alive() && state.process.is_some() { running(&record, &folder)? } else { None };
            let way = match way {
                Some(way) => way,
                None => stopped(store, &record, &folder, None, progress)?,
            };
            return Ok(Self { record: *record, folder, access, way });
        }
    }

    /// Where its changes are, unless its root is a folder of its own.
    pub fn upper(&self) -> Option<PathBuf> {
        let layered = self.record.rootfs.is_none() && !self.folder.join("copy").exists();
        layered.then(|| self.folder.join("upper"))
    }

    /// Its id map.
    pub fn map(&self) -> &IdMap {
        &self.record.map
    }

    /// Starts work in a child process that sees the files below the descriptor it is given. Call it before this process has
    /// threads.
    pub fn work<T: Serialize + DeserializeOwned>(
        &self,
        extent: Extent,
        keep: Keep<'_>,
        work: impl FnOnce(OwnedFd) -> Result<T>,
    ) -> Result<Job<T>> {
        match &self.way {
            Way::Running { user, mount } => Job::in_existing(user.as_fd(), Some(mount.as_fd()), keep, || {
                let root = view::running()?;
                work(if extent == Extent::Root { view::without_mounts(&root)? } else { root })
            }),
            Way::Beside { monitor } => {
                let ended = || Error::conflict("the container has just ended");
                let root = control::root(monitor, extent == Extent::Root)?.ok_or_else(ended)?;
                let keep: Vec<BorrowedFd<'_>> = keep.0.iter().copied().chain([root.as_fd()]).collect();
                Job::in_new(self.map(), Keep(&keep), || work(root.try_clone().doing(|| "duplicate a descriptor")?))
            }
            Way::Stopped { root, staging, places, .. } => Job::in_new(self.map(), keep, || {
                let places = if extent == Extent::Root { &[][..] } else { places };
                work(view::with_places(root, self.access, staging, places)?)
            }),
        }
    }
}

impl Files {
    /// Starts work on this machine's files in a child process whose ids are the container's: root is the user.
    pub fn as_owner<T: Serialize + DeserializeOwned>(
        &self,
        keep: Keep<'_>,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<Job<T>> {
        match &self.way {
            // A container that hides its user has a namespace in which the user's folders are out of reach.
            Way::Running { user, .. } if !self.record.options.hides_user() => {
                Job::in_existing(user.as_fd(), None, keep, work)
            }
            _ => Job::in_new(self.map(), keep, work),
        }
    }
}

/// `None` when its monitor has just ended.
fn running(record: &ContainerRecord, folder: &Path) -> Result<Option<Way>> {
    let Some(monitor) = control::connect_to(folder)? else { return Ok(None) };
    let Some((user, mount)) = control::namespaces(&monitor)? else { return Ok(None) };
    match namespace::owner(&user) {
        // Nobody enters a namespace beside its own. Its monitor can open what is in it, and with the same ids that will do.
        Err(e) if e.errno() == Some(Errno::EPERM) => {
            if !is_root_of(&record.map)? {
                let text = format!("container `{}` is out of reach from this user namespace", short(&record.id));
                return Err(Error::new(Kind::Denied, text).hint("run this command outside of `runr unshare`"));
            }
            Ok(Some(Way::Beside { monitor }))
        }
        Err(e) => Err(e),
        Ok(_) => Ok(Some(Way::Running { user, mount })),
    }
}

/// True for root of a user namespace with the ids of this map.
fn is_root_of(map: &IdMap) -> Result<bool> {
    Ok(nix::unistd::geteuid().is_root() && own_ids()?.key() == map.key())
}

fn stopped(
    store: &Store,
    record: &ContainerRecord,
    folder: &Path,
    lock: Option<File>,
    progress: &dyn Progress,
) -> Result<Way> {
    let root = root(store, record, folder, progress)?;
    Ok(Way::Stopped { root, staging: folder.join("root"), places: places(store, record), _lock: lock })
}

/// The layers of a container's image, lowest first.
fn layers_of(store: &Store, record: &ContainerRecord, progress: &dyn Progress) -> Result<Vec<Layer>> {
    let image =
        record.image.as_ref().ok_or_else(|| Error::corrupt("the container has neither an image nor a folder"))?;
    layers::ensure_recorded(store, image, &record.map, progress)
}

/// What the file system could not be told of a container's files.
fn truth(store: &Store, record: &ContainerRecord, progress: &dyn Progress) -> Result<Truth> {
    if record.rootfs.is_some() { Ok(Truth::default()) } else { Truth::of(&layers_of(store, record, progress)?) }
}

/// The root filesystem of a container, from its record.
fn root(store: &Store, record: &ContainerRecord, folder: &Path, progress: &dyn Progress) -> Result<Root> {
    if let Some(path) = &record.rootfs {
        return Ok(Root::Dir(path.clone()));
    }
    let layers = layers_of(store, record, progress)?;
    let stack = assemble::stack(store, &layers, &record.map)?;
    plan::image_root(store, stack, folder, &record.map, progress)
}

/// The host's files and folders, and the volumes, in the container, the outer ones first. A volume that is gone is left out: the
/// rest can be saved.
fn places(store: &Store, record: &ContainerRecord) -> Vec<Place> {
    let volumes = volumes::places_there(store, &record.options);
    let place = |mount: &crate::spec::options::Mount| {
        let source = match &mount.kind {
            MountKind::Bind { source, .. } => Some(source.clone()),
            MountKind::Volume { .. } => volumes.get(&mount.target).cloned(),
            MountKind::Tmpfs | MountKind::Devpts => None,
        };
        source.map(|source| Place { source, target: mount.target.clone(), read_only: mount.read_only })
    };
    let mut places: Vec<Place> = record.options.mounts.iter().filter_map(place).collect();
    places.sort_by_key(|p| p.target.matches('/').count());
    places
}
