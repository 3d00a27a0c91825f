//! Locks on files that come and go: an OFD lock counts only while its file is the one that the path names, because whoever
//! finishes with an object renames or removes its lock file while holding the lock.

use crate::base::{Doing, Result, fsx};
use crate::sys::lock::{Mode, is_locked, lock, try_lock};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Whether to wait for a lock that somebody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until it is free.
    Yes,
    /// Not at all.
    No,
}

/// Opens or creates `path` for reading and writing and takes its exclusive lock; `None` if it is taken and `wait` is `No`.
/// The lock is free again when the file is closed.
pub fn open_locked(path: &Path, wait: Wait) -> Result<Option<File>> {
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .doing(|| format!("open `{}`", path.display()))?;
        if wait == Wait::Yes {
            lock(&file, Mode::Exclusive).doing(|| format!("lock `{}`", path.display()))?;
        } else if !try_lock(&file, Mode::Exclusive).doing(|| format!("lock `{}`", path.display()))? {
            return Ok(None);
        }
        if is_at(&file, path)? {
            return Ok(Some(file));
        }
        // Its last holder renamed or removed it between our open and our lock.
    }
}

/// True while somebody holds the lock of the file at `path`. Takes nothing.
pub fn is_held(path: &Path) -> Result<bool> {
    match fsx::open(path) {
        Ok(file) => is_locked(&file).doing(|| format!("look at the lock `{}`", path.display())),
        Err(e) if e.is_missing() => Ok(false),
        Err(e) => Err(e),
    }
}

/// True when `path` names this very file.
pub(super) fn is_at(file: &File, path: &Path) -> Result<bool> {
    let mine = file.metadata().doing(|| format!("look at `{}`", path.display()))?;
    match std::fs::symlink_metadata(path) {
        Ok(there) => Ok(mine.ino() == there.ino() && mine.dev() == there.dev()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).doing(|| format!("look at `{}`", path.display())),
    }
}

/// An exclusive lock whose file disappears when it is dropped.
#[derive(Debug)]
pub struct ObjectLock {
    path: PathBuf,
    file: File,
}

impl ObjectLock {
    /// Waits for the lock.
    pub fn acquire(path: &Path) -> Result<Self> {
        loop {
            if let Some(lock) = Self::open(path, Wait::Yes)? {
                return Ok(lock);
            }
        }
    }

    /// Takes the lock if it is free.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>> {
        Self::open(path, Wait::No)
    }

    fn open(path: &Path, wait: Wait) -> Result<Option<Self>> {
        Ok(open_locked(path, wait)?.map(|file| Self { path: path.to_owned(), file }))
    }

    /// The locked file.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for ObjectLock {
    fn drop(&mut self) {
        // Removed while still locked, so that nobody can believe in a lock on a file without a name. A file that cannot be
        // removed is swept later.
        drop(fsx::remove_file(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_no_file_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let mut inside = 0u32;
        let counter = std::sync::Mutex::new(&mut inside);
        std::thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| {
                    for _ in 0..200 {
                        let held = ObjectLock::acquire(&path).unwrap();
                        **counter.try_lock().expect("two holders") += 1;
                        drop(held);
                    }
                });
            }
        });
        assert_eq!(inside, 1600);
        let held = ObjectLock::acquire(&path).unwrap();
        assert!(ObjectLock::try_acquire(&path).unwrap().is_none() && is_held(&path).unwrap());
        drop(held);
        assert!(!is_held(&path).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
