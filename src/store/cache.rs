//! `images/runr-cache.json`: what `images` shows of every image, so that listing a thousand reads one file and not three
//! thousand. Derived, never trusted over the index: it counts only for the very `index.json` whose inode, size and times it
//! names, and is written again from the blobs otherwise. It holds a copy of the index's list, from which a damaged index can
//! be rebuilt.

use super::Store;
use super::index;
use super::lock::ObjectLock;
use crate::base::fsx::{self, Durability};
use crate::base::paths::Paths;
use crate::base::{Doing, Result};
use crate::image::manifest::{Document, MAX_MANIFEST_BYTES};
use crate::image::{Descriptor, Digest, ImageConfig};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// What is known of one manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// The config's digest: the image's id. The manifest's own when it cannot be read.
    pub(super) id: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<String>,
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
    /// The layers' compressed size, for images whose uncompressed one nobody noted.
    pub(super) packed_size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) damaged: Option<String>,
}

/// Which `index.json` the cache was made from.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    inode: u64,
    size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Cache {
    stamp: Stamp,
    manifests: Vec<Descriptor>,
    known: HashMap<Digest, Known>,
}

fn path(paths: &Paths) -> PathBuf {
    paths.images().join("runr-cache.json")
}

fn stamp(paths: &Paths) -> Result<Stamp> {
    let path = index::path(paths);
    let meta = std::fs::metadata(&path).doing(|| format!("look at `{}`", path.display()))?;
    Ok(Stamp {
        inode: meta.ino(),
        size: meta.len(),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        ctime: (meta.ctime(), meta.ctime_nsec()),
    })
}

fn read(paths: &Paths) -> Cache {
    // A cache that cannot be read is no cache.
    fsx::read_optional(&path(paths)).ok().flatten().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default()
}

/// The copy of the index's list, for rebuilding it.
pub(super) fn descriptors(paths: &Paths) -> Vec<Descriptor> {
    read(paths).manifests
}

/// Gives its room to something that cannot be derived.
pub(super) fn remove(paths: &Paths) -> Result<()> {
    fsx::remove_file(&path(paths))
}

impl Store {
    /// The index's list with what is known of each manifest, from the cache if it is fresh.
    pub(super) fn known_images(&self) -> Result<(Vec<Descriptor>, HashMap<Digest, Known>)> {
        let old = read(self.paths());
        if stamp(self.paths()).is_ok_and(|now| now == old.stamp) {
            return Ok((old.manifests, old.known));
        }
        // The stamp is taken first: a change during the reading leaves a stamp that fits nothing.
        let before = stamp(self.paths());
        let manifests = self.read_index()?.manifests;
        let mut known = HashMap::new();
        for descriptor in &manifests {
            // Content that a digest names does not change, so an old entry holds unless its blob was lost.
            let entry = match old.known.get(&descriptor.digest) {
                Some(k) if k.damaged.is_none() && self.blob_path(&descriptor.digest).exists() => k.clone(),
                _ => self.learn(descriptor),
            };
            known.insert(descriptor.digest.clone(), entry);
        }
        let mut cache = Cache { stamp: Stamp::default(), manifests, known };
        if let Ok(stamp) = before {
            cache.stamp = stamp;
            // A cache that cannot be written costs time, nothing else.
            drop(self.write_cache(&cache));
        }
        Ok((cache.manifests, cache.known))
    }

    /// Written only under the index's lock, because leftovers beside the index are removed under it.
    fn write_cache(&self, cache: &Cache) -> Result<()> {
        let Some(_lock) = ObjectLock::try_acquire(&self.paths().tmp().join("index.lock"))? else { return Ok(()) };
        fsx::write_atomic(&path(self.paths()), &serde_json::to_vec(cache)?, Durability::Cached)
    }

    fn learn(&self, descriptor: &Descriptor) -> Known {
        self.read_known(descriptor).unwrap_or_else(|e| Known {
            id: descriptor.digest.clone(),
            created: None,
            architecture: String::new(),
            os: String::new(),
            labels: BTreeMap::new(),
            packed_size: 0,
            damaged: Some(e.to_string()),
        })
    }

    fn read_known(&self, descriptor: &Descriptor) -> Result<Known> {
        let bytes = self.read_blob(&descriptor.digest, MAX_MANIFEST_BYTES)?;
        let manifest = match Document::parse(&bytes, &descriptor.media_type)? {
            Document::Manifest(manifest) => manifest,
            Document::Index(_) => return Err(crate::base::Error::unsupported("an index, not an image")),
        };
        let config = ImageConfig::parse(&self.read_blob(&manifest.config.digest, MAX_MANIFEST_BYTES)?)?;
        Ok(Known {
            id: manifest.config.digest.clone(),
            created: config.created,
            architecture: config.architecture,
            os: config.os,
            labels: config.config.labels,
            packed_size: manifest.layers.iter().fold(0, |sum: u64, l| sum.saturating_add(l.size)),
            damaged: None,
        })
    }
}
