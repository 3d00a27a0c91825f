//! `images/index.json`: which manifests have which names. It is what makes the folder an OCI image layout, and the only file
//! in it that changes.
//!
//! A change takes `tmp/index.lock`, reads, replaces the file with fsync, and lets go. An index that cannot be read (a disk
//! error, another program) is rebuilt: from the derived cache, which has a copy of the list, else from the manifests among the
//! blobs, whose names are then lost.

use super::lock::ObjectLock;
use super::{Store, cache, trash};
use crate::base::fsx::{self, Durability};
use crate::base::paths::Paths;
use crate::base::{Doing, Error, Result};
use crate::image::manifest::{Document, MAX_MANIFEST_BYTES, OCI_INDEX, OCI_MANIFEST};
use crate::image::{Descriptor, Digest, Index};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The name of an image in a layout: our full references, other tools' anything.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The digest of the index through which the manifest was found, as the registry knows the name.
pub(super) const INDEX_DIGEST: &str = "runr.index-digest";
/// The sum of the layers' uncompressed sizes in bytes, as docker counts.
pub(super) const SIZE: &str = "runr.size";

/// Largest `index.json` that is read: some 100,000 names.
const MAX_INDEX_BYTES: u64 = 64 << 20;

pub(super) fn path(paths: &Paths) -> PathBuf {
    paths.images().join("index.json")
}

/// An empty layout, as skopeo and umoci expect it.
pub(super) fn lay_out(paths: &Paths) -> Result<()> {
    let images = paths.images();
    fsx::ensure_dir(&images.join("blobs"), 0o755)?;
    fsx::ensure_dir(&images.join("blobs/sha256"), 0o755)?;
    // Whoever holds the index's lock removes what others left half-written here: a first write must not be among it.
    fsx::ensure_dir(&paths.tmp(), 0o700)?;
    let _lock = ObjectLock::acquire(&paths.tmp().join("index.lock"))?;
    fsx::write_atomic(&images.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#, Durability::Synced)?;
    if !path(paths).exists() {
        write(paths, &empty())?;
    }
    Ok(())
}

fn empty() -> Index {
    Index {
        schema_version: 2,
        media_type: Some(OCI_INDEX.to_owned()),
        manifests: Vec::new(),
        annotations: BTreeMap::new(),
    }
}

fn write(paths: &Paths, index: &Index) -> Result<()> {
    fsx::write_atomic(&path(paths), &serde_json::to_vec(index)?, Durability::Synced)
}

fn read(paths: &Paths) -> Result<Index> {
    let path = path(paths);
    let size = std::fs::metadata(&path).map_or(0, |m| m.len());
    if size > MAX_INDEX_BYTES {
        return Err(Error::corrupt(format!("`{}` has {size} bytes", path.display())));
    }
    let bytes = fsx::read(&path)?;
    serde_json::from_slice::<Index>(&bytes).doing(|| format!("read `{}`", path.display()))
}

impl Store {
    /// The index as it is, or as it could be rebuilt.
    pub(super) fn read_index(&self) -> Result<Index> {
        match read(self.paths()) {
            Ok(index) => Ok(index),
            // One of several readers repairs it; the others find it repaired once they have the lock.
            Err(_) => self.read_index_locked(&self.lock_index()?),
        }
    }

    /// [`Store::read_index`] for a holder of the lock.
    pub(super) fn read_index_locked(&self, _lock: &ObjectLock) -> Result<Index> {
        read(self.paths()).or_else(|e| self.rebuild_index(&e))
    }

    /// Changes the index under its lock; `change` must be short. Nothing is written if it fails or changes nothing.
    pub(crate) fn update_index<T>(&self, change: impl FnOnce(&mut Index) -> Result<T>) -> Result<T> {
        self.check_writable()?;
        let lock = self.lock_index()?;
        let mut index = self.read_index_locked(&lock)?;
        let before = index.clone();
        let value = change(&mut index)?;
        if index != before {
            match write(self.paths(), &index) {
                // On a full disk an image must be removable all the same: what is derived or unfinished makes room.
                Err(e) if e.is_disk_full() => {
                    cache::remove(self.paths())?;
                    drop(self.sweep_objects(std::time::Duration::ZERO));
                    write(self.paths(), &index)?;
                }
                other => other?,
            }
        }
        Ok(value)
    }

    /// Waits for the index's lock. What an earlier holder left half-written is removed.
    pub(super) fn lock_index(&self) -> Result<ObjectLock> {
        let lock = ObjectLock::acquire(&self.paths().tmp().join("index.lock"))?;
        self.sweep_index_leftovers()?;
        Ok(lock)
    }

    fn sweep_index_leftovers(&self) -> Result<()> {
        for path in trash::entries(&self.paths().images())? {
            if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(".new.")) {
                fsx::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Called with the lock held.
    fn rebuild_index(&self, why: &Error) -> Result<Index> {
        let mut index = empty();
        let copy = cache::descriptors(self.paths());
        let from = if copy.is_empty() { "the blobs; names are lost" } else { "a copy" };
        index.manifests = if copy.is_empty() { self.manifests_among_blobs()? } else { copy };
        let path = path(self.paths());
        if path.exists() {
            fsx::rename(&path, &path.with_extension("json.damaged"))?;
        }
        write(self.paths(), &index)?;
        self.note(format!("{why}: rebuilt from {from}"));
        Ok(index)
    }

    /// Every image manifest among the small blobs, as untagged images.
    fn manifests_among_blobs(&self) -> Result<Vec<Descriptor>> {
        let mut found = Vec::new();
        for digest in self.blob_digests()? {
            let size = std::fs::metadata(self.blob_path(&digest)).map_or(u64::MAX, |m| m.len());
            if size > MAX_MANIFEST_BYTES {
                continue;
            }
            let Ok(bytes) = self.read_blob(&digest, MAX_MANIFEST_BYTES) else { continue };
            if let Ok(Document::Manifest(manifest)) = Document::parse(&bytes, "") {
                let media_type = manifest.media_type.unwrap_or_else(|| OCI_MANIFEST.to_owned());
                found.push(Descriptor::new(&media_type, digest, size));
            }
        }
        Ok(found)
    }

    /// The digests of all blobs, damaged ones included.
    pub(super) fn blob_digests(&self) -> Result<Vec<Digest>> {
        let mut found = Vec::new();
        for algorithm in ["sha256", "sha512"] {
            for path in trash::entries(&self.paths().images().join("blobs").join(algorithm))? {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                found.extend(format!("{algorithm}:{name}").parse::<Digest>());
            }
        }
        found.sort();
        Ok(found)
    }
}
