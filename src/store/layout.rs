//! Laying out and opening the data folder: its folders, and `format.json`, which says who may read it.
//!
//! ```text
//! { "version": 1, "features": {"incompatible": [], "read_only": [], "compatible": []}, "file_systems": [..] }
//! ```
//! As in ext4: an unknown *incompatible* feature means "do not touch", an unknown *read_only* one "read, but write nothing";
//! *compatible* ones need not be known. A higher version means "do not touch". `file_systems` is what `probe` found.

use super::probe::FileSystem;
use super::{Store, index};
use crate::base::fsx::{self, Durability};
use crate::base::paths::Paths;
use crate::base::{Doing, Error, Kind, Result};
use crate::sys::lock::{Mode, is_locked, try_lock};
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;

/// The format this runr writes.
const VERSION: u32 = 1;

/// The content of `format.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Format {
    version: u32,
    #[serde(default)]
    features: Features,
    #[serde(default)]
    pub(super) file_systems: Vec<FileSystem>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Features {
    incompatible: Vec<String>,
    read_only: Vec<String>,
    compatible: Vec<String>,
}

impl Store {
    /// Refuses to go on when a feature of this store allows this runr only to read it.
    pub(super) fn check_writable(&self) -> Result<()> {
        match self.0.format.features.read_only.first() {
            None => Ok(()),
            Some(feature) => Err(newer(self.paths(), &format!("uses `{feature}`, so this version may only read it"))),
        }
    }

    /// Keeps what the probe found, for the next command.
    pub(super) fn remember_file_system(&self, found: &FileSystem) -> Result<()> {
        let path = self.paths().format();
        // Another command may have added its own meanwhile; the last one of two writers at once wins, the other probes again.
        let mut format = parse(&fsx::read(&path)?).unwrap_or_else(|| self.0.format.clone());
        format.file_systems.retain(|f| !f.is_for_same_use(found));
        format.file_systems.push(found.clone());
        write(self.paths(), &format)
    }
}

fn newer(paths: &Paths, why: &str) -> Error {
    Error::unsupported(format!("data folder `{}` {why}", paths.root().display()))
        .hint("use the newer runr, or another folder with `--root`")
}

/// Opens the data folder, laying it out where needed.
pub(super) fn open(paths: &Paths, notes: &mut Vec<String>) -> Result<Format> {
    let known = match fsx::read_optional(&paths.format()) {
        Ok(bytes) => bytes,
        // Without the right even to look, the owner's name helps more than the errno.
        Err(e) => return Err(check_owner(paths).err().unwrap_or(e)),
    };
    if known.is_none() {
        fsx::ensure_dir_all(paths.root(), 0o700)?;
    }
    check_owner(paths)?;
    match known.as_deref().map(parse) {
        Some(Some(format)) => {
            if format.version > VERSION {
                return Err(newer(paths, &format!("has format {}, this version knows {VERSION}", format.version)));
            }
            if let Some(feature) = format.features.incompatible.first() {
                return Err(newer(paths, &format!("uses `{feature}`, which this version does not know")));
            }
            make_folders(paths)?;
            Ok(format)
        }
        damaged => {
            if damaged.is_some() {
                notes.push(format!("`{}` was damaged; written again", paths.format().display()));
            }
            lay_out(paths)
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Format> {
    serde_json::from_slice::<Format>(bytes).ok().filter(|f| f.version > 0)
}

/// Two users in one store would leave files that neither can remove: `sudo` keeps `$HOME` on some systems.
fn check_owner(paths: &Paths) -> Result<()> {
    let root = paths.root();
    let owner = std::fs::metadata(root).doing(|| format!("look at data folder `{}`", root.display()))?.uid();
    let me = geteuid().as_raw();
    if owner == me {
        return Ok(());
    }
    Err(Error::new(
        Kind::Denied,
        format!("data folder `{}` belongs to user {owner}, this is user {me}", root.display()),
    )
    .hint("use a folder of your own with `--root` or RUNR_ROOT"))
}

fn make_folders(paths: &Paths) -> Result<()> {
    for folder in [paths.images(), paths.layers(), paths.containers(), paths.names(), paths.tmp()] {
        fsx::ensure_dir(&folder, 0o700)?;
    }
    Ok(())
}

fn lay_out(paths: &Paths) -> Result<Format> {
    make_folders(paths)?;
    check_locks(paths)?;
    index::lay_out(paths)?;
    let format = Format { version: VERSION, ..Format::default() };
    // Last: its presence says that all the rest is there.
    write(paths, &format)?;
    Ok(format)
}

fn write(paths: &Paths, format: &Format) -> Result<()> {
    fsx::write_atomic(&paths.format(), &serde_json::to_vec_pretty(format)?, Durability::Synced)
}

/// Everything here rests on locks that work; some network and FUSE file systems have none, or only pretend.
fn check_locks(paths: &Paths) -> Result<()> {
    let path = paths.tmp().join(fsx::unique_name("probe-lock"));
    let open = || -> Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .doing(|| format!("open `{}`", path.display()))
    };
    let result = (|| -> Result<bool> {
        let (one, other) = (open()?, open()?);
        Ok(try_lock(&one, Mode::Exclusive)? && is_locked(&other)? && !try_lock(&other, Mode::Exclusive)?)
    })();
    fsx::remove_file(&path)?;
    match result {
        Ok(true) => Ok(()),
        Ok(false) => Err(no_locks(paths)),
        Err(e) => Err(no_locks(paths).step(e.to_string())),
    }
}

fn no_locks(paths: &Paths) -> Error {
    Error::unsupported(format!("the file system of `{}` has no usable locks", paths.root().display()))
        .hint("use a folder on a local disk with `--root` or RUNR_ROOT, such as one below /var/tmp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_store_is_laid_out_and_opens_again() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/b");
        for _ in 0..2 {
            let store = Store::open(&root).unwrap();
            assert_eq!(store.take_notes(), Vec::<String>::new());
        }
        let layout = std::fs::read_to_string(root.join("images/oci-layout")).unwrap();
        assert_eq!(layout, r#"{"imageLayoutVersion":"1.0.0"}"#);
        assert!(root.join("format.json").exists() && std::fs::read_dir(root.join("tmp")).unwrap().count() == 0);
    }

    #[test]
    fn what_a_newer_version_wrote_is_refused_and_damage_is_repaired() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        let format = dir.path().join("format.json");
        for (json, text) in [
            (r#"{"version":2}"#, "has format 2, this version knows 1"),
            (r#"{"version":1,"features":{"incompatible":["x"]}}"#, "uses `x`, which this version does not know"),
        ] {
            std::fs::write(&format, json).unwrap();
            let e = Store::open(dir.path()).unwrap_err();
            assert_eq!(e.kind(), Kind::Unsupported);
            assert!(e.to_string().contains(text), "{e}");
        }
        std::fs::write(&format, r#"{"version":1,"features":{"read_only":["y"]}}"#).unwrap();
        assert!(Store::open(dir.path()).unwrap().check_writable().is_err());
        for damaged in ["", "{", "null"] {
            std::fs::write(&format, damaged).unwrap();
            assert_eq!(Store::open(dir.path()).unwrap().take_notes().len(), 1);
        }
        Store::open(dir.path()).unwrap().check_writable().unwrap();
    }
}
