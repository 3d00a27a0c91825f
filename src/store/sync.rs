//! Making blobs and layers survive a power cut, in a process that nobody waits for: one `syncfs` for everything a pull wrote
//! instead of an fsync for each of its files.

use super::Store;
use super::layers::{read_meta, write_meta};
use super::lock::ObjectLock;
use crate::base::fsx::{self, Durability};
use crate::base::{Doing, Result};
use crate::image::Digest;
use crate::sys::process::{Fork, close_from, exit_now, fork};
use nix::sys::wait::waitpid;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};
use std::fs::OpenOptions;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

impl Store {
    /// Starts a process of its own that syncs the file system and then records it: for `blobs` (which the caller has written
    /// or hashed) and for every layer made in this boot. It keeps nothing of the caller open. It also deletes what was
    /// discarded.
    pub fn sync_in_background(&self, blobs: &[Digest]) -> Result<()> {
        match fork()? {
            Fork::Child => {
                // The child of the child belongs to nobody: the caller has nothing to reap and no terminal to share.
                let _ = setsid();
                if matches!(fork(), Ok(Fork::Child)) && detach().is_ok() {
                    drop(self.sync_now(blobs));
                    drop(self.sweep(super::gc::KEEP_PARTIALS));
                }
                exit_now(0)
            }
            Fork::Parent(child) => {
                let _ = waitpid(child, None);
                Ok(())
            }
        }
    }

    /// Syncs the file system and records that `blobs` and this boot's layers are on disk. Takes as long as the disk takes.
    pub fn sync_now(&self, blobs: &[Digest]) -> Result<()> {
        let mut unsynced = Vec::new();
        for digest in blobs {
            if self.is_unsynced_blob(digest)? {
                unsynced.push(digest);
            }
        }
        let mut layers = Vec::new();
        for (hex, key, dir) in self.layer_dirs()? {
            if read_meta(&dir)?.is_some_and(|m| !m.synced && m.origin == *self.origin()) {
                layers.push((hex, key, inode(&dir)?, dir));
            }
        }
        if unsynced.is_empty() && layers.is_empty() {
            return Ok(());
        }
        let root = self.paths().root();
        nix::unistd::syncfs(fsx::open(root)?).doing(|| format!("sync the file system of `{}`", root.display()))?;
        for digest in unsynced {
            self.mark_blob_synced(digest)?;
        }
        for (hex, key, seen, dir) in layers {
            self.mark_layer_synced(&hex, &key, &dir, seen)?;
        }
        Ok(())
    }

    fn mark_layer_synced(&self, hex: &str, key: &str, dir: &Path, seen: Option<u64>) -> Result<()> {
        // Somebody who has the lock is about to replace or to remove it.
        let Some(_lock) = ObjectLock::try_acquire(&self.layer_lock(hex, key))? else { return Ok(()) };
        match read_meta(dir)? {
            // Another inode is a layer built since the sync.
            Some(mut meta) if !meta.synced && inode(dir)? == seen => {
                meta.synced = true;
                write_meta(dir, &meta, Durability::Synced)
            }
            _ => Ok(()),
        }
    }
}

fn inode(dir: &Path) -> Result<Option<u64>> {
    match std::fs::metadata(dir) {
        Ok(meta) => Ok(Some(meta.ino())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).doing(|| format!("look at `{}`", dir.display())),
    }
}

/// Lets go of everything inherited: a script that reads our caller's output must see its end, and locks must be free.
fn detach() -> Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    drop(null);
    close_from(3);
    std::env::set_current_dir("/")?;
    Ok(())
}
