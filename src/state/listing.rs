//! Reading many containers at once: few system calls for each, and no more of them than the question needs.
//!
//! A container whose state says that it does not run is believed without a look at its lock: whoever starts it is about to say
//! otherwise, and whoever ends it has just said so.

use super::containers::{CONFIG, Container, Entry, LOCK, STATE};
use super::format::{self, Versioned};
use super::record::{ContainerRecord, ContainerState, Status};
use crate::base::{Doing, Error, Result};
use crate::sys::lock;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
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

/// From so many on, the reading is shared among threads: a record costs about 20 µs, a thread 50.
const SHARE_FROM: usize = 64;
const MAX_THREADS: usize = 8;

/// The containers below `folder`, in no order.
pub(super) fn list(folder: &Path, wanted: Wanted) -> Result<Vec<Entry>> {
    let doing = || format!("read folder `{}`", folder.display());
    let ids: Vec<String> = std::fs::read_dir(folder)
        .doing(doing)?
        .flatten()
        .map(|name| name.file_name().to_string_lossy().into_owned())
        .collect();
    let threads = match ids.len() {
        ..SHARE_FROM => 1,
        many => std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS).min(many / SHARE_FROM + 1),
    };
    if threads == 1 {
        return read_all(folder, &ids, wanted);
    }
    let share = ids.len().div_ceil(threads);
    // All of them have ended when this returns: whoever forks later does so with one thread.
    std::thread::scope(|scope| {
        let (own, others) = ids.split_at(share);
        let readers: Vec<_> = others
            .chunks(share)
            .map(|ids| {
                std::thread::Builder::new().spawn_scoped(scope, move || read_all(folder, ids, wanted)).map_err(|_| ids)
            })
            .collect();
        let mut entries = read_all(folder, own, wanted)?;
        entries.reserve(ids.len() - own.len());
        for reader in readers {
            entries.extend(match reader {
                Ok(reader) => reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?,
                // No thread to be had (`ulimit -u`).
                Err(ids) => read_all(folder, ids, wanted)?,
            });
        }
        Ok(entries)
    })
}

fn read_all(folder: &Path, ids: &[String], wanted: Wanted) -> Result<Vec<Entry>> {
    let doing = || format!("read folder `{}`", folder.display());
    let mut reader = Reader { folder: File::open(folder).doing(doing)?, buffer: vec![0; 8 << 10] };
    let mut entries = Vec::with_capacity(ids.len());
    for id in ids {
        match reader.container(folder, id, wanted) {
            Ok(Some(container)) => entries.push(Entry::Good(Box::new(container))),
            Ok(None) => {}
            // It went away between the listing and the look.
            Err(_) if !folder.join(id).exists() => {}
            Err(error) if format::is_newer(&error) => entries.push(Entry::Newer { id: id.clone(), error }),
            Err(error) => entries.push(Entry::Damaged { id: id.clone(), error }),
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
        let record: Box<ContainerRecord> = self.read(id, CONFIG)?;
        Ok(Some(Container { record, state, folder: folder.join(id) }))
    }

    fn open(&self, id: &str, name: &str, flags: OFlag) -> Result<File> {
        let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let opened = openat(&self.folder, Path::new(&format!("{id}/{name}")), flags, Mode::empty());
        opened.map(File::from).map_err(Error::from).doing(|| format!("open `{id}/{name}`"))
    }

    fn read<T: Versioned>(&mut self, id: &str, name: &str) -> Result<T> {
        let doing = || format!("read `{id}/{name}`");
        let mut file = self.open(id, name, OFlag::O_RDONLY)?;
        let mut length = file.read(&mut self.buffer).doing(doing)?;
        // A regular file gives all it has: only one that fills the buffer has more.
        if length == self.buffer.len() {
            length += file.take(MAX_RECORD).read_to_end(&mut self.buffer).doing(doing)?;
        }
        let record = format::parse(&self.buffer[..length], id, name);
        self.buffer.resize(8 << 10, 0);
        record
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
