//! Reading many containers at once: few system calls for each, and no more of them than the question needs.
//!
//! A container whose state says that it does not run is believed without a look at its lock: whoever starts it is about to say
//! otherwise, and whoever ends it has just said so.

use super::containers::{CONFIG, Container, Entry, LOCK, STATE, refuse_newer};
use super::record::{ContainerRecord, ContainerState, Status};
use crate::base::{Doing, Error, Result};
use crate::sys::lock;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The largest record that is read, in bytes.
const MAX_RECORD: u64 = 16 << 20;

/// Which containers are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Every one.
    All,
    /// Those of which a monitor says that it runs them, whether it is still there or not; and those that it left in haste.
    Alive,
}

/// The containers below `folder`, in no order.
pub(super) fn list(folder: &Path, wanted: Wanted) -> Result<Vec<Entry>> {
    let doing = || format!("read folder `{}`", folder.display());
    let names = std::fs::read_dir(folder).doing(doing)?;
    let mut reader = Reader { folder: File::open(folder).doing(doing)?, buffer: Vec::with_capacity(8 << 10) };
    let mut entries = Vec::new();
    for name in names.flatten() {
        let id = name.file_name().to_string_lossy().into_owned();
        match reader.container(folder, &id, wanted) {
            Ok(Some(container)) => entries.push(Entry::Good(Box::new(container))),
            Ok(None) => {}
            // It went away between the listing and the look.
            Err(_) if !name.path().exists() => {}
            Err(error) => entries.push(Entry::Damaged { id, error }),
        }
    }
    Ok(entries)
}

/// Reads by descriptor, into one buffer.
struct Reader {
    folder: File,
    buffer: Vec<u8>,
}

impl Reader {
    fn container(&mut self, folder: &Path, id: &str, wanted: Wanted) -> Result<Option<Container>> {
        let mut state: ContainerState = self.read(id, STATE)?;
        if wanted == Wanted::Alive && !state.status.is_alive() && state.process.is_none() {
            return Ok(None);
        }
        if state.status.is_alive() && !self.is_held(id)? {
            // A monitor's last word is written before it lets go of the lock, perhaps just now.
            state = self.read(id, STATE)?;
            if state.status.is_alive() && !self.is_held(id)? {
                state.monitor_is_gone();
            }
        }
        let record: ContainerRecord = self.read(id, CONFIG)?;
        refuse_newer(&record, &state, id)?;
        Ok(Some(Container { record, state, folder: folder.join(id) }))
    }

    fn open(&self, id: &str, name: &str, flags: OFlag) -> Result<File> {
        let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let opened = openat(&self.folder, Path::new(&format!("{id}/{name}")), flags, Mode::empty());
        opened.map(File::from).map_err(Error::from).doing(|| format!("open `{id}/{name}`"))
    }

    fn read<T: DeserializeOwned>(&mut self, id: &str, name: &str) -> Result<T> {
        let file = self.open(id, name, OFlag::O_RDONLY)?;
        self.buffer.clear();
        file.take(MAX_RECORD).read_to_end(&mut self.buffer).doing(|| format!("read `{id}/{name}`"))?;
        serde_json::from_slice(&self.buffer).doing(|| format!("read `{id}/{name}`"))
    }

    fn is_held(&self, id: &str) -> Result<bool> {
        match self.open(id, LOCK, OFlag::O_RDWR) {
            Ok(file) => lock::is_locked(&file),
            Err(e) if e.is_missing() => Ok(false),
            Err(e) => Err(e),
        }
    }
}

impl ContainerState {
    /// Its monitor ended without a word: a kill -9, or a power cut.
    pub(super) fn monitor_is_gone(&mut self) {
        self.status = Status::Exited;
        self.exit_code.get_or_insert(137);
    }
}
