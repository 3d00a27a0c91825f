//! Volumes: folders with a name that outlive containers.
//!
//! ```text
//! volumes/<name>/volume.json    VolumeRecord
//!                _data/         its files, of any id of the user's
//!                lock           shared by who makes a container with it, exclusive by who fills or removes it
//!                fresh          until the first container with it was made
//!                new.<unique>/  files on their way to `_data`; swept by who has the exclusive lock
//! ```
//! Who uses a volume is nowhere written down twice: the containers' records say it. So that a volume cannot go between the
//! look at the records and its removal, who makes a container holds the shared lock until its record is there.

use super::Store;
use crate::base::fsx::{self, Durability};
use crate::base::{Doing, Error, Result};
use crate::sys::lock::{Mode, lock, try_lock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The version of `volume.json`. A file with a higher one is not read.
pub const VERSION: u32 = 1;

const RECORD: &str = "volume.json";
const DATA: &str = "_data";
const LOCK: &str = "lock";
const FRESH: &str = "fresh";
const NEW: &str = "new";

/// What a volume is: `volume.json`. A newer runr may add fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// [`VERSION`].
    pub version: u32,
    /// Its name, which is its folder's, too.
    pub name: String,
    /// RFC 3339, UTC.
    pub created: String,
    /// `--label`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `--opt`: `type`, `o`, `device`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Made for one container, which takes it along when it goes (`--rm`, `rm -v`).
    #[serde(default)]
    pub anonymous: bool,
}

impl VolumeRecord {
    /// A volume of now.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            version: VERSION,
            name: name.into(),
            created: jiff::Timestamp::now().to_string(),
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
            anonymous: false,
        }
    }

    /// The folder of this machine that is mounted instead of one of runr's (`o=bind`).
    pub fn device(&self) -> Option<&Path> {
        self.options.get("device").map(Path::new)
    }
}

/// A volume as found on disk.
#[derive(Debug, Clone)]
pub enum VolumeEntry {
    /// Its record is readable.
    Good(VolumeRecord),
    /// It is not: the volume can be named and removed.
    Damaged {
        /// The folder's name.
        name: String,
        /// What is wrong.
        error: Error,
    },
}

impl VolumeEntry {
    /// The volume's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Good(record) => &record.name,
            Self::Damaged { name, .. } => name,
        }
    }
}

/// A lock on a volume that exists, given back when it is dropped.
#[derive(Debug)]
pub struct VolumeLock {
    folder: PathBuf,
    /// Held as long as it is open.
    _file: File,
}

impl VolumeLock {
    /// True while there is nothing in it; of what can't be looked into that is not believed.
    pub fn is_empty(&self) -> bool {
        std::fs::read_dir(self.data()).is_ok_and(|mut entries| entries.next().is_none())
    }

    /// True until a container has been made with the volume.
    pub fn is_fresh(&self) -> bool {
        self.folder.join(FRESH).exists()
    }

    /// Notes that a container has been made with it.
    pub fn set_used(&self) -> Result<()> {
        fsx::remove_file(&self.folder.join(FRESH))
    }

    /// Makes what is in it survive a power cut.
    pub fn sync(&self) -> Result<()> {
        let folder = fsx::open(&self.folder)?;
        nix::unistd::syncfs(folder).doing(|| format!("sync the file system of `{}`", self.folder.display()))
    }

    /// Where its files are.
    pub fn data(&self) -> PathBuf {
        self.folder.join(DATA)
    }

    /// A name for a folder that is to take the place of [`VolumeLock::data`]: a rename does so at once, as long as that is empty.
    pub fn new_data(&self) -> PathBuf {
        self.folder.join(fsx::unique_name(NEW))
    }

    /// What killed commands left under such names.
    pub fn left(&self) -> Result<Vec<PathBuf>> {
        let entries = super::trash::entries(&self.folder)?;
        Ok(entries.into_iter().filter(|path| name_of(path).starts_with("new.")).collect())
    }
}

/// Checks a volume's name: it becomes a folder's.
///
/// Errors: `Usage`.
pub fn check_name(name: &str) -> Result<()> {
    let valid = |(i, b): (usize, u8)| b.is_ascii_alphanumeric() || (i > 0 && b"_.-".contains(&b));
    if name.is_empty() || name.len() > 255 || !name.bytes().enumerate().all(valid) {
        return Err(Error::usage(format!("`{name}` is no volume name"))
            .hint("a name has letters, digits, `_`, `.` and `-`, and begins with a letter or digit"));
    }
    Ok(())
}

impl Store {
    /// The folder that is mounted where a volume is: of one that does not exist, what it will be.
    ///
    /// Errors: as [`Store::volume`].
    pub fn volume_folder(&self, name: &str) -> Result<PathBuf> {
        let record = self.volume(name)?;
        let device = record.as_ref().and_then(VolumeRecord::device);
        Ok(device.map_or_else(|| self.volume_data(name), Path::to_path_buf))
    }

    /// Where a volume's own files are, whether or not it exists.
    pub fn volume_data(&self, name: &str) -> PathBuf {
        self.paths().volume(name).join(DATA)
    }

    /// Makes a volume; `false` when there is one of this name already. It appears when it is whole.
    pub fn create_volume(&self, record: &VolumeRecord, durability: Durability) -> Result<bool> {
        check_name(&record.name)?;
        self.check_writable()?;
        fsx::ensure_dir(&self.paths().volumes(), 0o700)?;
        let making = self.paths().tmp().join(fsx::unique_name(".new.volume"));
        let made = (|| {
            fsx::create_dir(&making, 0o700)?;
            fsx::create_dir(&making.join(DATA), 0o755)?;
            for name in [LOCK, FRESH] {
                fsx::write_new(&making.join(name), b"", Durability::Cached)?;
            }
            fsx::write_new(&making.join(RECORD), &serde_json::to_vec(record)?, durability)?;
            if durability == Durability::Synced {
                fsx::sync_dir(&making)?;
            }
            // A volume's folder is never empty, so that an existing one is never replaced.
            match fsx::rename(&making, &self.paths().volume(&record.name)) {
                Err(e) if is_taken(&e) => Ok(false),
                other => other.map(|()| true),
            }
        })();
        if !matches!(made, Ok(true)) {
            drop(fsx::remove_dir_all(&making));
        } else if durability == Durability::Synced {
            fsx::sync_dir(&self.paths().volumes())?;
        }
        made
    }

    /// The record of a volume; `None` when there is no such volume.
    ///
    /// Errors: `Corrupt` for one that can't be read.
    pub fn volume(&self, name: &str) -> Result<Option<VolumeRecord>> {
        // What is no name names nothing.
        if check_name(name).is_err() {
            return Ok(None);
        }
        let folder = self.paths().volume(name);
        let read = || fsx::read_optional(&folder.join(RECORD));
        // It may have been made after the first look, or removed after the second.
        let bytes = match read()? {
            None if folder.is_dir() => read()?,
            other => other,
        };
        let Some(bytes) = bytes else {
            return if folder.is_dir() { Err(damaged(name, "it has no record")) } else { Ok(None) };
        };
        let record: VolumeRecord = serde_json::from_slice(&bytes).map_err(|e| damaged(name, &e.to_string()))?;
        if record.version > VERSION {
            return Err(Error::unsupported(format!("volume `{name}` was made by a newer runr")).hint("use that"));
        }
        Ok(Some(VolumeRecord { name: name.to_owned(), ..record }))
    }

    /// All volumes, by name.
    pub fn volumes(&self) -> Result<Vec<VolumeEntry>> {
        let mut names: Vec<String> =
            super::trash::entries(&self.paths().volumes())?.iter().map(|path| name_of(path)).collect();
        names.sort_unstable();
        let entry = |name: String| match self.volume(&name) {
            Ok(record) => record.map(VolumeEntry::Good),
            Err(error) => Some(VolumeEntry::Damaged { name, error }),
        };
        Ok(names.into_iter().filter_map(entry).collect())
    }

    /// The volumes without a name of their own with which no container has been made yet.
    pub fn half_made_volumes(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = super::trash::entries(&self.paths().volumes())?
            .into_iter()
            .filter(|folder| folder.join(FRESH).exists())
            .map(|folder| name_of(&folder))
            .collect();
        names.sort_unstable();
        names.retain(|name| self.volume(name).is_ok_and(|volume| volume.is_some_and(|v| v.anonymous)));
        Ok(names)
    }

    /// Waits for a volume's lock; `None` when there is no such volume.
    pub fn lock_volume(&self, name: &str, mode: Mode) -> Result<Option<VolumeLock>> {
        self.take_volume(name, |file| lock(file, mode).map(|()| true))
    }

    /// Takes a volume's exclusive lock; `None` when somebody has it, or there is no such volume.
    pub fn try_lock_volume(&self, name: &str) -> Result<Option<VolumeLock>> {
        self.take_volume(name, |file| try_lock(file, Mode::Exclusive))
    }

    fn take_volume(&self, name: &str, take: impl Fn(&File) -> Result<bool>) -> Result<Option<VolumeLock>> {
        if check_name(name).is_err() {
            return Ok(None);
        }
        let folder = self.paths().volume(name);
        loop {
            if !folder.is_dir() {
                return Ok(None);
            }
            let path = folder.join(LOCK);
            // A volume that lost its lock in a power cut gets a new one.
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            // A link could lead to a file that is never the one at this path.
            options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
            let file = match options.open(&path) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.doing(|| format!("open `{}`", path.display()))?,
            };
            if !take(&file).doing(|| format!("lock volume `{name}`"))? {
                return Ok(None);
            }
            // It may have been removed, and made again, while we waited.
            if super::lock::is_at(&file, &path)? {
                return Ok(Some(VolumeLock { folder, _file: file }));
            }
        }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_taken(e: &Error) -> bool {
    use nix::errno::Errno;
    matches!(e.errno(), Some(Errno::ENOTEMPTY | Errno::EEXIST))
}

fn damaged(name: &str, why: &str) -> Error {
    Error::corrupt(format!("volume `{name}` is damaged: {why}"))
        .hint(format!("its files are in its folder `_data`; `runr volume rm {name}` removes it with them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    #[test]
    fn names() {
        for (name, good) in
            [("a", true), ("a.b-c_1", true), ("", false), (".a", false), ("a/b", false), ("..", false), ("ä", false)]
        {
            assert_eq!(check_name(name).is_ok(), good, "{name}");
        }
        assert!(check_name(&"a".repeat(256)).is_err());
    }

    #[test]
    fn a_volume_is_made_once_and_found_again() {
        let (_dir, store) = store();
        assert!(store.volume("data").unwrap().is_none() && store.volumes().unwrap().is_empty());
        let record = VolumeRecord::new("data");
        assert!(store.create_volume(&record, Durability::Synced).unwrap());
        std::fs::write(store.volume_data("data").join("file"), "").unwrap();
        assert!(!store.create_volume(&VolumeRecord::new("data"), Durability::Cached).unwrap());
        assert_eq!(store.volume("data").unwrap().unwrap(), record);
        assert!(store.volume_data("data").join("file").exists());
        assert_eq!(std::fs::read_dir(store.paths().tmp()).unwrap().count(), 0);
        assert!(store.volume("../data").unwrap().is_none());
    }

    #[test]
    fn a_damaged_volume_stops_no_other() {
        let (_dir, store) = store();
        for name in ["a", "b"] {
            store.create_volume(&VolumeRecord::new(name), Durability::Cached).unwrap();
        }
        std::fs::write(store.paths().volume("a").join(RECORD), "").unwrap();
        let volumes = store.volumes().unwrap();
        assert!(
            matches!(&volumes[..], [VolumeEntry::Damaged { name, .. }, VolumeEntry::Good(b)] if name == "a" && b.name == "b")
        );
        assert!(store.volume("a").unwrap_err().to_string().starts_with("volume `a` is damaged: "));
        std::fs::write(store.paths().volume("b").join(RECORD), br#"{"version":9,"name":"b","created":""}"#).unwrap();
        assert_eq!(store.volume("b").unwrap_err().to_string(), "volume `b` was made by a newer runr");
    }

    #[test]
    fn users_share_the_lock_and_who_removes_has_it_alone() {
        let (_dir, store) = store();
        assert!(store.lock_volume("v", Mode::Shared).unwrap().is_none());
        store.create_volume(&VolumeRecord::new("v"), Durability::Cached).unwrap();
        let one = store.lock_volume("v", Mode::Shared).unwrap().unwrap();
        let two = store.lock_volume("v", Mode::Shared).unwrap().unwrap();
        assert!(one.is_fresh() && store.try_lock_volume("v").unwrap().is_none());
        drop((one, two));
        let alone = store.try_lock_volume("v").unwrap().unwrap();
        alone.set_used().unwrap();
        assert!(!alone.is_fresh());
    }
}
