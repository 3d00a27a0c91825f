//! File operations whose errors name the path, and the two ways to write a file that never shows half of itself.

use super::error::{Doing, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// How long a written file must be able to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Kept by the page cache only: a power cut may lose it or leave it empty.
    Cached,
    /// `fsync` of the file and of its folder: a power cut leaves the old or the new content.
    Synced,
}

/// Reads a whole file.
///
/// One of /proc has no size and is made anew up to the reader's place for each read: with room enough from the start it is
/// made once, not seven times as by `std::fs::read`.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    const ROOM: u64 = 8192;
    let bytes = File::open(path).and_then(|mut file| {
        let size = file.metadata()?.len().saturating_add(1).max(ROOM);
        let mut bytes = Vec::new();
        bytes.try_reserve(usize::try_from(size).unwrap_or(usize::MAX))?;
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    bytes.doing(|| format!("read `{}`", path.display()))
}

/// Reads a whole UTF-8 file.
pub fn read_to_string(path: &Path) -> Result<String> {
    let text = String::from_utf8(read(path)?);
    text.map_err(|e| std::io::Error::new(ErrorKind::InvalidData, e)).doing(|| format!("read `{}`", path.display()))
}

/// Reads a whole file, or `None` if it does not exist.
pub fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.is_missing() => Ok(None),
        Err(e) => Err(e),
    }
}

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<File> {
    File::open(path).doing(|| format!("open `{}`", path.display()))
}

/// Creates one folder with `mode`; an existing one is not an error.
pub fn ensure_dir(path: &Path, mode: u32) -> Result<()> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other.doing(|| format!("create folder `{}`", path.display())),
    }
}

/// Creates one folder with `mode` that must not exist yet.
pub fn create_dir(path: &Path, mode: u32) -> Result<()> {
    fs::DirBuilder::new().mode(mode).create(path).doing(|| format!("create folder `{}`", path.display()))
}

/// Creates a folder and all its missing parents, the new ones with `mode`.
pub fn ensure_dir_all(path: &Path, mode: u32) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .doing(|| format!("create folder `{}`", path.display()))
}

/// Renames `from` to `to`, replacing a file or an empty folder at `to`.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).doing(|| format!("rename `{}` to `{}`", from.display(), to.display()))
}

/// Removes a file; a missing one is not an error.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other.doing(|| format!("remove `{}`", path.display())),
    }
}

/// Removes a folder and all below it that this user may remove; a missing one is not an error.
/// For trees that hold files of subordinate ids see `userns::remove_tree`.
pub fn remove_dir_all(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other.doing(|| format!("remove folder `{}`", path.display())),
    }
}

/// A name for a temporary file that no other process or thread of this user uses now.
pub fn unique_name(prefix: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}.{}.{}.{n}", std::process::id(), super::units::boot_nanos())
}

/// Writes a file that must not exist yet, in a folder that nobody else reads yet: of a failure half a file is left.
/// The caller syncs the folder.
pub fn write_new(path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    let written = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        if durability == Durability::Synced { file.sync_all() } else { Ok(()) }
    });
    written.doing(|| format!("write `{}`", path.display()))
}

/// Replaces `path` by a file with `bytes`: written beside it, then renamed, so that readers see the old or the new
/// content and nothing between.
pub fn write_atomic(path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let temporary: PathBuf = folder.join(unique_name(".new"));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&temporary)?;
        file.write_all(bytes)?;
        if durability == Durability::Synced {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        // Best effort: the write error is the one to report.
        drop(fs::remove_file(&temporary));
    }
    written.doing(|| format!("write `{}`", path.display()))?;
    if durability == Durability::Synced {
        sync_dir(folder)?;
    }
    Ok(())
}

/// Makes the entries of a folder survive a power cut.
pub fn sync_dir(path: &Path) -> Result<()> {
    open(path)?.sync_all().doing(|| format!("sync folder `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_atomic_replaces_and_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_atomic(&path, b"one", Durability::Cached).unwrap();
        write_atomic(&path, b"two", Durability::Synced).unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn errors_name_the_path() {
        let e = read(Path::new("/does/not/exist")).unwrap_err();
        assert_eq!(e.to_string(), "read `/does/not/exist`: No such file or directory (ENOENT)");
    }
}
