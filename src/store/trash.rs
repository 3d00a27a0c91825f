//! What is to be deleted: moved to `tmp/trash-<unique>/` at once, deleted when nobody waits. Trees of other ids are deleted
//! inside a user namespace with the map that made them, which lies beside them.

use super::Store;
use crate::base::fsx::{self, Durability};
use crate::base::{Doing, Error, Kind, Result};
use crate::sys::lock;
use crate::sys::mount::is_mount_point;
use crate::userns::{self, IdMap};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::Mode;
use std::path::{Path, PathBuf};

pub(super) const PREFIX: &str = "trash-";
const MAP: &str = "map.json";
const CONTENT: &str = "it";
/// Where `runr mount` puts a container's files, in its folder.
pub const MOUNT: &str = "mount";

impl Store {
    /// Moves a folder of the user's own (its content may belong to other ids of `map`) out of sight; its space is freed by
    /// the next [`Store::empty_trash`]. A missing folder is not an error.
    pub fn discard(&self, path: &Path, map: &IdMap) -> Result<()> {
        match self.retire(path, map) {
            // A full disk has no place for the trash's own folder.
            Err(_) => delete_tree(path, map),
            Ok(_) => Ok(()),
        }
    }

    /// Like [`Store::discard`], but only moves, and returns the folder in the trash: for who deletes it soon itself. On a full
    /// disk, which has no place for that folder, it deletes at once.
    pub fn retire(&self, path: &Path, map: &IdMap) -> Result<PathBuf> {
        detach(path)?;
        loop {
            let trash = self.paths().tmp().join(fsx::unique_name(PREFIX));
            let map_file = trash.join(MAP);
            let made = fsx::create_dir(&trash, 0o700)
                .and_then(|()| fsx::write_new(&map_file, &serde_json::to_vec(map)?, Durability::Cached));
            let moved = made.and_then(|()| fsx::rename(path, &trash.join(CONTENT)));
            if moved.is_err() {
                fsx::remove_dir_all(&trash)?;
            }
            match moved {
                // Somebody who empties the trash has deleted the new folder before it was filled.
                Err(e) if e.is_missing() && path.symlink_metadata().is_ok() => {}
                Err(e) if e.is_missing() => return Ok(trash),
                Err(e) if e.is_disk_full() => return delete_tree(path, map).map(|()| trash),
                other => return other.map(|()| trash),
            }
        }
    }

    /// Deletes everything that was discarded, in child processes where ids ask for it. What cannot be deleted stays, and so
    /// does what is still read; the first reason is returned after all was tried.
    pub fn empty_trash(&self) -> Result<()> {
        let mut first = Ok(());
        for trash in entries(&self.paths().tmp())? {
            let name = trash.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(PREFIX) && !is_read(&trash) {
                let deleted = delete(&trash);
                first = first.and(deleted);
            }
        }
        first
    }
}

/// The paths in a folder; an entry that disappears meanwhile is not an error.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.doing(|| format!("read folder `{}`", folder.display()))?,
    };
    Ok(entries.flatten().map(|e| e.path()).collect())
}

/// Writes the map beside what it belongs to.
pub(super) fn write_map(folder: &Path, map: &IdMap) -> Result<()> {
    fsx::write_atomic(&folder.join(MAP), &serde_json::to_vec(map)?, Durability::Cached)
}

/// The map that lies in `folder`, else the user's default one.
pub(super) fn read_map(folder: &Path) -> Result<IdMap> {
    map_beside(folder).map_or_else(userns::default_map, Ok)
}

/// The map that lies in `folder`, if a valid one does.
pub(super) fn map_beside(folder: &Path) -> Option<IdMap> {
    let bytes = fsx::read_optional(&folder.join(MAP)).ok()??;
    serde_json::from_slice::<IdMap>(&bytes).ok().filter(|map| map.validate().is_ok())
}

pub(super) fn remove_map(folder: &Path) -> Result<()> {
    fsx::remove_file(&folder.join(MAP))
}

/// Unmounts what `runr mount` has put into a folder in this mount namespace: deleting would go on in there, in files that may be
/// the user's own (`--rootfs`).
///
/// Errors: `Conflict` when it stays mounted; nothing may be deleted then.
fn detach(folder: &Path) -> Result<()> {
    let at = folder.join(MOUNT);
    loop {
        match umount2(&at, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            // There may be another one below it.
            Ok(()) => {}
            Err(Errno::ENOENT) => return Ok(()),
            // No mount, or none of this namespace's.
            Err(_) if !is_mount_point(&at)? => return Ok(()),
            Err(e) => {
                let e = Error::from(e).with_kind(Kind::Conflict).step(format!("unmount `{}`", at.display()));
                return Err(e.hint("remove it where it was mounted, or outside"));
            }
        }
    }
}

/// True while somebody still reads in what lies in this folder of the trash: a container's log, which may end long after it.
pub fn is_read(trash: &Path) -> bool {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    open(&trash.join(CONTENT), flags, Mode::empty()).is_ok_and(lock::is_read)
}

/// Deletes a folder of the trash with the user's own rights, which most often is all that it takes. What belongs to other ids
/// stays then, and is the error.
pub fn delete_own(trash: &Path) -> Result<()> {
    // An overlay leaves a folder of mode 0 behind, empty most often. Its owner may remove it but not look into it.
    let content = trash.join(CONTENT);
    detach(&content)?;
    let _ = std::fs::remove_dir(content.join("work/work"));
    // Before the map beside it, which whoever deletes the rest needs.
    fsx::remove_dir_all(&content)?;
    fsx::remove_dir_all(trash)
}

fn delete(trash: &Path) -> Result<()> {
    if delete_own(trash).is_ok() {
        return Ok(());
    }
    detach(&trash.join(CONTENT))?;
    userns::remove_tree(&read_map(trash)?, &trash.join(CONTENT))?;
    fsx::remove_dir_all(trash)
}

fn delete_tree(path: &Path, map: &IdMap) -> Result<()> {
    detach(path)?;
    fsx::remove_dir_all(path).or_else(|_| userns::remove_tree(map, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discarded_is_gone_at_once_and_deleted_later() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let folder = dir.path().join("layers/x");
        std::fs::create_dir_all(folder.join("fs/a")).unwrap();
        let map = IdMap::single(nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
        store.discard(&folder, &map).unwrap();
        assert!(!folder.exists());
        store.discard(&folder, &map).unwrap();
        store.empty_trash().unwrap();
        assert_eq!(entries(&store.paths().tmp()).unwrap(), Vec::<PathBuf>::new());
    }
    #[test]
    fn an_overlays_own_folder_needs_no_namespace() {
        let dir = tempfile::tempdir().unwrap();
        let trash = dir.path().join("trash-1");
        let closed = trash.join("it/work/work");
        std::fs::create_dir_all(&closed).unwrap();
        std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();
        delete_own(&trash).unwrap();
        assert!(!trash.exists());
    }

    #[test]
    fn the_map_stays_beside_what_stays() {
        let dir = tempfile::tempdir().unwrap();
        let trash = dir.path().join("trash-1");
        let closed = trash.join("it/upper/closed");
        std::fs::create_dir_all(closed.join("in")).unwrap();
        write_map(&trash, &IdMap::single(1, 1)).unwrap();
        std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();
        // Root may do everything: there is nothing that stays.
        if nix::unistd::geteuid().is_root() {
            return;
        }
        delete_own(&trash).unwrap_err();
        assert!(map_beside(&trash).is_some());
    }
}
