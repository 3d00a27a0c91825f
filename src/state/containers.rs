//! Making, finding, listing and forgetting containers.

use super::format::{self, Versioned};
use super::listing;
use super::names;
use super::record::{ContainerRecord, ContainerState, Status};
use crate::base::fsx::{self, Durability};
use crate::base::paths::Paths;
use crate::base::{Doing, Error, Kind, Result};
use crate::image::digest::hex;
use crate::sys::lock::{self, Mode};
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub(super) const CONFIG: &str = "config.json";
pub(super) const STATE: &str = "state.json";
pub(super) const LOCK: &str = "lock";

/// Mode of an `upper` folder that no container has used: its first start gives it the image's mode for `/`, and no later one
/// may. Unlike a note in the state it can't be lost in a power cut on its own.
pub const FRESH_UPPER: u32 = 0o1700;

/// The containers of one data folder.
#[derive(Debug, Clone)]
pub struct Containers {
    paths: Paths,
}

/// A container as found on disk.
#[derive(Debug, Clone)]
pub enum Entry {
    /// Both files are readable.
    Good(Box<Container>),
    /// Something is not: it can be shown and removed.
    Damaged {
        /// The folder's name.
        id: String,
        /// What is wrong.
        error: Error,
    },
    /// A newer runr made it, and this one does not know all that it says: it can be shown, and removed by force.
    Newer {
        /// The folder's name.
        id: String,
        /// What is not known.
        error: Error,
    },
}

impl Entry {
    /// The container, if it can be read.
    pub fn good(self) -> Option<Container> {
        match self {
            Self::Good(container) => Some(*container),
            Self::Damaged { .. } | Self::Newer { .. } => None,
        }
    }
}

/// A container with readable files.
#[derive(Debug, Clone)]
pub struct Container {
    /// What it is. It is large, and lists move their containers about.
    pub record: Box<ContainerRecord>,
    /// How it is, its status already corrected by a look at the lock.
    pub state: ContainerState,
    /// Its folder.
    pub folder: PathBuf,
}

/// A container whose maker still holds its lock. Dropped before [`NewContainer::into_parts`], it is left for the sweep.
#[derive(Debug)]
pub struct NewContainer {
    /// What it is.
    pub record: ContainerRecord,
    /// Its folder.
    pub folder: PathBuf,
    /// The held lock: it goes to the monitor.
    pub lock: File,
    /// How it was when its lock was taken.
    pub former: ContainerState,
}

impl Containers {
    /// The containers below `paths`.
    pub fn new(paths: &Paths) -> Self {
        Self { paths: paths.clone() }
    }

    /// A fresh id: 64 hex digits.
    pub fn new_id() -> Result<String> {
        let mut bytes = [0u8; 32];
        crate::sys::random::fill(&mut bytes)?;
        Ok(hex(&bytes))
    }

    /// Makes a container in this state: its folder appears complete and locked, then its name. With no name in `record`, one is
    /// chosen.
    ///
    /// Errors: `Conflict` when the name is taken.
    pub fn create(
        &self,
        mut record: ContainerRecord,
        state: ContainerState,
        durability: Durability,
    ) -> Result<NewContainer> {
        let making = self.paths.tmp().join(format!("container-{}", record.id));
        let folder = self.paths.container(&record.id);
        fsx::create_dir(&making, 0o700)?;
        let lock = open_lock(&making)?;
        if !lock::try_lock(&lock, Mode::Exclusive)? {
            return Err(Error::conflict(format!("container `{}` is being made by another command", record.id)));
        }
        let chosen = record.name.is_empty();
        if chosen {
            record.name = self.free_name()?;
        }
        let made = (|| {
            for (sub, mode) in [("upper", FRESH_UPPER), ("work", 0o755), ("root", 0o755)] {
                fsx::create_dir(&making.join(sub), mode)?;
            }
            // Both: a record without its state, or with an empty one, is a damaged container.
            fsx::write_new(&making.join(STATE), &serde_json::to_vec(&state)?, durability)?;
            fsx::write_new(&making.join(CONFIG), &format::record(&record)?, durability)?;
            if durability == Durability::Synced {
                fsx::sync_dir(&making)?;
            }
            fsx::rename(&making, &folder)
        })();
        if let Err(e) = made {
            drop(fsx::remove_dir_all(&making));
            return Err(e);
        }
        loop {
            match self.take_name(&record.name, &record.id) {
                Ok(()) => break,
                // Somebody took the name that was chosen for this container a moment ago: another one does as well.
                Err(e) if chosen && e.kind() == crate::base::Kind::Conflict => {
                    record.name = self.free_name()?;
                    fsx::write_atomic(&folder.join(CONFIG), &format::record(&record)?, durability)?;
                }
                Err(e) => {
                    drop(fsx::remove_dir_all(&folder));
                    return Err(e);
                }
            }
        }
        if durability == Durability::Synced {
            fsx::sync_dir(&self.paths.containers())?;
        }
        Ok(NewContainer { record, folder, lock, former: state })
    }

    fn free_name(&self) -> Result<String> {
        for salt in 0..100 {
            let name = names::generate(crate::sys::random::number()?, salt);
            if std::fs::symlink_metadata(self.paths.names().join(&name)).is_err() {
                return Ok(name);
            }
        }
        Err(Error::conflict("no free container name was found in 100 tries").hint("give one with `--name`"))
    }

    /// Makes `name` stand for `id`. A name whose container is gone is free.
    pub fn take_name(&self, name: &str, id: &str) -> Result<()> {
        names::check(name)?;
        let link = self.paths.names().join(name);
        let target = Path::new("../containers").join(id);
        loop {
            match std::os::unix::fs::symlink(&target, &link) {
                Ok(()) => return Ok(()),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e).doing(|| format!("take the name `{name}`")),
            }
            let holder = self.name_holder(name)?;
            match holder {
                Some(holder) if self.paths.container(&holder).exists() => {
                    return Err(Error::conflict(format!(
                        "the container name `{name}` is already in use by container `{}`",
                        short(&holder)
                    ))
                    .hint(format!("remove that container with `runr rm {name}`, or choose another name")));
                }
                Some(holder) => drop(self.drop_name(name, &holder)?),
                None => {}
            }
        }
    }

    /// Frees `name` if it stands for `id`; `false` if it does not.
    pub fn drop_name(&self, name: &str, id: &str) -> Result<bool> {
        // Between the look and the removal the name could pass to another container, so both happen under the folder's lock,
        // and only removals need it: making a symlink is atomic.
        let _guard = self.lock_names()?;
        self.drop_name_locked(name, id)
    }

    fn drop_name_locked(&self, name: &str, id: &str) -> Result<bool> {
        let own = self.name_holder(name)?.as_deref() == Some(id);
        if own {
            fsx::remove_file(&self.paths.names().join(name))?;
        }
        Ok(own)
    }

    fn lock_names(&self) -> Result<File> {
        let path = self.paths.names().join(".lock");
        let guard = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let guard = guard.doing(|| "open the lock of the container names")?;
        lock::lock(&guard, Mode::Exclusive)?;
        Ok(guard)
    }

    /// Replaces a container's record by what `change` makes of it, and returns that. Changes come one after the other; the
    /// container's id stays.
    ///
    /// Errors: `change`'s own, after which nothing is changed; one of [`Error::is_missing`] when there is no such container.
    pub fn change(&self, id: &str, change: impl FnOnce(&mut ContainerRecord) -> Result<()>) -> Result<ContainerRecord> {
        let _guard = self.lock_names()?;
        self.change_locked(id, change)
    }

    fn change_locked(
        &self,
        id: &str,
        change: impl FnOnce(&mut ContainerRecord) -> Result<()>,
    ) -> Result<ContainerRecord> {
        let path = self.paths.container(id).join(CONFIG);
        let mut record = *self.record(id)?;
        change(&mut record)?;
        let durability = if record.options.remove { Durability::Cached } else { Durability::Synced };
        fsx::write_atomic(&path, &format::record(&record)?, durability)?;
        Ok(record)
    }

    /// Frees every name that stands for `id`: of a container whose record does not say which.
    pub fn drop_names_of(&self, id: &str) -> Result<()> {
        let _guard = self.lock_names()?;
        let names = std::fs::read_dir(self.paths.names()).doing(|| "read the container names")?;
        for name in names.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
            // Entries that are no symlinks are nobody's name.
            if self.name_holder(&name).is_ok_and(|holder| holder.as_deref() == Some(id)) {
                self.drop_name_locked(&name, id)?;
            }
        }
        Ok(())
    }

    /// Gives a container another name. The new name stands for it before the old one is free.
    ///
    /// Errors: `Conflict` when the name is taken, `Usage` when it is no name.
    pub fn rename(&self, id: &str, name: &str) -> Result<()> {
        // Killed half-way the container has two names, one of which goes when somebody asks for it after the container's end.
        self.take_name(name, id)?;
        let _guard = self.lock_names()?;
        let mut old = String::new();
        let changed = self.change_locked(id, |record| {
            old = std::mem::replace(&mut record.name, name.to_owned());
            record.options.name = Some(name.to_owned());
            Ok(())
        });
        self.drop_name_locked(if changed.is_ok() { &old } else { name }, id)?;
        changed.map(drop)
    }

    /// Frees the names of containers that are gone: whoever removed them was killed before it came to that. A name appears
    /// after its container, so one that points nowhere will never point anywhere. The `known` names, of containers that were
    /// just seen, are not looked at.
    pub fn sweep_names(&self, known: &HashSet<&str>) -> Result<()> {
        let folder = self.paths.names();
        for entry in std::fs::read_dir(&folder).doing(|| format!("read folder `{}`", folder.display()))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // The lock lies there too.
            if known.contains(name.as_str()) {
                continue;
            }
            let Ok(Some(id)) = self.name_holder(&name) else { continue };
            if !self.paths.container(&id).exists() {
                self.drop_name(&name, &id)?;
            }
        }
        Ok(())
    }

    /// The id that `name` stands for, whether or not there is such a container.
    pub fn name_holder(&self, name: &str) -> Result<Option<String>> {
        match std::fs::read_link(self.paths.names().join(name)) {
            Ok(target) => Ok(target.file_name().map(|id| id.to_string_lossy().into_owned())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).doing(|| format!("look up the name `{name}`")),
        }
    }

    /// Every container, in no order.
    pub fn list(&self) -> Result<Vec<Entry>> {
        listing::list(&self.paths.containers(), listing::Wanted::All)
    }

    /// Those that may run, in no order: all that a list of running containers needs to read.
    pub fn list_alive(&self) -> Result<Vec<Entry>> {
        listing::list(&self.paths.containers(), listing::Wanted::Alive)
    }

    /// The full id for a name, an id, or the unambiguous beginning of one.
    pub fn resolve(&self, word: &str) -> Result<String> {
        let missing = || Error::not_found(format!("no such container: {word}"));
        if word.is_empty() || word.contains('/') || word.starts_with('.') {
            return Err(missing());
        }
        if let Some(id) = self.name_holder(word)?.filter(|id| self.paths.container(id).exists()) {
            return Ok(id);
        }
        if !word.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(missing());
        }
        if self.paths.container(word).exists() {
            return Ok(word.to_owned());
        }
        let folder = self.paths.containers();
        let entries = std::fs::read_dir(&folder).doing(|| format!("read folder `{}`", folder.display()))?;
        let mut found =
            entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).filter(|id| id.starts_with(word));
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(id),
            (Some(_), Some(_)) => {
                let text = format!("more than one container has an id that starts with `{word}`");
                Err(Error::new(Kind::Ambiguous, text).hint("give more digits, or the name"))
            }
            _ => Err(missing()),
        }
    }

    /// The container for a name, an id, or the beginning of one.
    pub fn find(&self, word: &str) -> Result<Container> {
        let id = self.resolve(word)?;
        self.load(&id)
    }

    /// Takes a container that nobody runs, to start it. `None` while somebody holds its
    /// lock.
    ///
    /// Errors: one of [`Error::is_missing`] when it went away meanwhile.
    pub fn take_stopped(&self, id: &str) -> Result<Option<NewContainer>> {
        let folder = self.paths.container(id);
        let path = folder.join(LOCK);
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.doing(|| format!("open `{}`", path.display()))?;
        if !lock::try_lock(&file, Mode::Exclusive)? {
            return Ok(None);
        }
        // A removal has moved the folder away, with the lock that was just taken in it.
        let (own, there) = (file.metadata()?, std::fs::metadata(&path).doing(|| format!("open `{}`", path.display()))?);
        if (own.dev(), own.ino()) != (there.dev(), there.ino()) {
            return Ok(None);
        }
        let (record, state) = (*self.record(id)?, self.state(id)?);
        Ok(Some(NewContainer { record, folder, lock: file, former: state }))
    }

    /// Reads only what a container is, by its full id: for one whose state is damaged.
    pub fn record(&self, id: &str) -> Result<Box<ContainerRecord>> {
        read(&self.paths.container(id).join(CONFIG), id)
    }

    /// Reads only what its last monitor said, by its full id: whether it still holds nobody has looked.
    pub fn state(&self, id: &str) -> Result<ContainerState> {
        read(&self.paths.container(id).join(STATE), id)
    }

    /// Reads a container by its full id.
    pub fn load(&self, id: &str) -> Result<Container> {
        let folder = self.paths.container(id);
        let (record, mut state) = (self.record(id)?, self.state(id)?);
        let mut held = is_running(&folder)?;
        if !held && state.status.is_alive() {
            // A monitor's last word is written before it lets go of the lock, perhaps just now.
            state = self.state(id)?;
            held = is_running(&folder)?;
        }
        match (held, state.status) {
            (false, status) if status.is_alive() => state.monitor_is_gone(),
            // Its maker still sets it up.
            (true, Status::Exited) => state.status = Status::Running,
            _ => {}
        }
        Ok(Container { record, state, folder })
    }
}

/// True while the container's monitor, or its maker, holds its lock.
pub fn is_running(folder: &Path) -> Result<bool> {
    match OpenOptions::new().read(true).write(true).open(folder.join(LOCK)) {
        Ok(file) => lock::is_locked(&file),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).doing(|| format!("open `{}`", folder.join(LOCK).display())),
    }
}

/// Replaces `state.json`. On a full disk it is overwritten where it stands, because a container's end must be recorded all
/// the same: readers may see a half of it for a moment.
pub fn write_state(folder: &Path, state: &ContainerState, durability: Durability) -> Result<()> {
    let (path, bytes) = (folder.join(STATE), serde_json::to_vec(state)?);
    match fsx::write_atomic(&path, &bytes, durability) {
        Err(e) if e.is_disk_full() => overwrite(&path, bytes).map_err(|_| e),
        other => other,
    }
}

/// Writes into the blocks that the file has, padded with blanks.
fn overwrite(path: &Path, mut bytes: Vec<u8>) -> Result<()> {
    let name = || format!("write `{}`", path.display());
    let file = OpenOptions::new().write(true).open(path).doing(name)?;
    let size = usize::try_from(file.metadata().doing(name)?.len()).unwrap_or(0);
    if bytes.len() > size {
        return Err(nix::errno::Errno::ENOSPC.into());
    }
    bytes.resize(size, b' ');
    file.write_all_at(&bytes, 0).doing(name)
}

/// Takes the lock of an existing container, for its next monitor or for its removal; `None` while somebody has it.
pub fn try_lock(folder: &Path) -> Result<Option<File>> {
    let file = open_lock(folder)?;
    Ok(lock::try_lock(&file, Mode::Exclusive)?.then_some(file))
}

fn open_lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    options.doing(|| format!("open `{}`", path.display()))
}

fn read<T: Versioned>(path: &Path, id: &str) -> Result<T> {
    format::parse(&fsx::read(path)?, id, &path.display().to_string())
}

/// The first twelve digits of an id.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::ContainerOptions;
    use crate::state::record::VERSION;
    use crate::userns::IdMap;

    fn setup() -> (tempfile::TempDir, Containers) {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        for folder in [paths.containers(), paths.names(), paths.tmp()] {
            std::fs::create_dir(folder).unwrap();
        }
        (dir, Containers::new(&paths))
    }

    fn record(name: &str) -> ContainerRecord {
        ContainerRecord {
            version: VERSION,
            id: Containers::new_id().unwrap(),
            name: name.into(),
            created: "2026-01-01T00:00:00Z".into(),
            image: None,
            execution: Default::default(),
            rootfs: Some("/x".into()),
            command: vec!["true".into()],
            options: ContainerOptions::default(),
            map: IdMap::single(0, 0),
            stop_signal: None,
        }
    }

    fn make(containers: &Containers, name: &str) -> Result<NewContainer> {
        containers.create(record(name), ContainerState::created(), Durability::Cached)
    }

    #[test]
    fn a_name_is_its_own_lock_and_free_when_its_container_is_gone() {
        let (_dir, containers) = setup();
        let first = make(&containers, "web").unwrap();
        let e = make(&containers, "web").unwrap_err();
        assert_eq!(e.kind(), crate::base::Kind::Conflict);
        assert_eq!(containers.list().unwrap().len(), 1, "the loser leaves nothing");
        std::fs::remove_dir_all(&first.folder).unwrap();
        let second = make(&containers, "web").unwrap();
        containers.drop_name("web", &first.record.id).unwrap();
        assert_eq!(containers.resolve("web").unwrap(), second.record.id, "only its own name is dropped");
    }

    #[test]
    fn running_means_the_lock_is_held() {
        let (_dir, containers) = setup();
        let new = make(&containers, "").unwrap();
        assert!(is_running(&new.folder).unwrap());
        let mut state = ContainerState::created();
        state.status = Status::Running;
        write_state(&new.folder, &state, Durability::Cached).unwrap();
        assert_eq!(containers.find(&new.record.id[..8]).unwrap().state.status, Status::Running);
        let id = new.record.id.clone();
        drop(new);
        assert_eq!(containers.find(&id).unwrap().state.status, Status::Exited);
    }

    #[test]
    fn a_damaged_record_is_one_entry_and_nobody_elses_problem() {
        let (_dir, containers) = setup();
        let (bad, _good) = (make(&containers, "bad").unwrap(), make(&containers, "good").unwrap());
        std::fs::write(bad.folder.join(CONFIG), "").unwrap();
        let list = containers.list().unwrap();
        assert_eq!(list.iter().filter(|e| matches!(e, Entry::Damaged { .. })).count(), 1);
        assert_eq!(list.len(), 2);
        containers.find("good").unwrap();
        assert_eq!(containers.resolve("bad").unwrap(), bad.record.id, "it can still be named, to be removed");
        assert_eq!(containers.find("nope").unwrap_err().to_string(), "no such container: nope");
    }
}
