//! What takes how much room: unpacked layers and packed blobs, as `system df` and `system check` look at them.

use super::layers::read_meta;
use super::lock::ObjectLock;
use super::{Store, trash};
use crate::base::Result;
use crate::image::Digest;
use crate::userns::IdMap;
use std::path::PathBuf;

/// One unpacked layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerUsage {
    /// The folder's name: the hex digits of its diff id, if nobody else made it.
    pub hex: String,
    /// The key of its id map.
    pub key: String,
    /// The folder.
    pub dir: PathBuf,
    /// Bytes as docker counts them; 0 when its `layer.json` cannot be read.
    pub size: u64,
    /// Whose owners it has; `None` when its `layer.json` cannot be read.
    pub map: Option<IdMap>,
    /// Why it cannot be used; it will be built again.
    pub damage: Option<&'static str>,
}

/// One blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobUsage {
    /// What it should be.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

impl Store {
    /// Every unpacked layer, in no order.
    pub fn layer_usage(&self) -> Result<Vec<LayerUsage>> {
        let mut found = Vec::new();
        for (hex, key, dir) in self.layer_dirs()? {
            let meta = read_meta(&dir)?;
            let damage = match &meta {
                None => Some("its `layer.json` is missing or damaged"),
                Some(meta) if meta.diff_id.hex() != hex || meta.map.key() != key => Some("it is another layer"),
                Some(_) if !dir.join("fs").is_dir() => Some("its files are missing"),
                Some(meta) if self.layer(&meta.diff_id, &meta.map)?.is_none() => {
                    Some("it is not known to have survived the last power cut")
                }
                Some(_) => None,
            };
            let size = meta.as_ref().map_or(0, |m| m.size);
            found.push(LayerUsage { hex, key, dir, size, map: meta.map(|m| m.map), damage });
        }
        Ok(found)
    }

    /// Every blob, ordered by digest.
    pub fn blob_usage(&self) -> Result<Vec<BlobUsage>> {
        let size = |digest: &Digest| std::fs::metadata(self.blob_path(digest)).map_or(0, |m| m.len());
        Ok(self.blob_digests()?.into_iter().map(|digest| BlobUsage { size: size(&digest), digest }).collect())
    }

    /// Every id map that something here was made with, for whoever has to delete it.
    pub fn known_maps(&self) -> Result<Vec<IdMap>> {
        let mut maps: Vec<IdMap> = Vec::new();
        let mut add = |map: IdMap| {
            if !maps.iter().any(|m| m.key() == map.key()) {
                maps.push(map);
            }
        };
        for layer in self.layer_usage()? {
            layer.map.into_iter().for_each(&mut add);
        }
        for path in trash::entries(&self.paths().tmp())? {
            if let Some(map) = trash::map_beside(&path) {
                add(map);
            }
        }
        Ok(maps)
    }

    /// The file of a blob, whether or not it is there.
    pub fn blob_file(&self, digest: &Digest) -> PathBuf {
        self.blob_path(digest)
    }

    /// Whether some image that can be read has the blob of this layer, and it is there.
    pub fn can_unpack(&self, diff_id: &Digest) -> bool {
        let Ok(index) = self.read_index() else { return false };
        index.manifests.iter().filter_map(|d| self.read_documents(&d.digest, &d.media_type).ok()).any(
            |(manifest, config)| {
                let Some(config) = config else { return false };
                let mut pairs = config.rootfs.diff_ids.iter().zip(&manifest.layers);
                pairs.any(|(id, blob)| {
                    id == diff_id
                        && std::fs::metadata(self.blob_path(&blob.digest)).is_ok_and(|meta| meta.len() == blob.size)
                })
            },
        )
    }

    /// Blobs that are not what their names say, with the reason. `read` reads and hashes all of them; without it only those
    /// that a power cut emptied are found.
    pub fn damaged_blobs(&self, read: bool) -> Result<Vec<(Digest, String)>> {
        let mut found = Vec::new();
        for BlobUsage { digest, size } in self.blob_usage()? {
            let empty = size == 0 && digest != Digest::of(b"");
            let why = if empty {
                Some("is empty".to_owned())
            } else if read {
                match self.hash_blob(&digest) {
                    Ok(actual) if actual == digest => None,
                    Ok(actual) => Some(format!("has the digest `{actual}`")),
                    // Removed meanwhile.
                    Err(e) if e.is_missing() => None,
                    Err(e) => Some(format!("cannot be read: {e}")),
                }
            } else {
                None
            };
            found.extend(why.map(|why| (digest, why)));
        }
        Ok(found)
    }

    /// Throws a layer away unless somebody builds or removes it just now; true when it is gone.
    pub fn discard_layer(&self, layer: &LayerUsage) -> Result<bool> {
        let Some(_lock) = ObjectLock::try_acquire(&self.layer_lock(&layer.hex, &layer.key))? else { return Ok(false) };
        let map = layer.map.clone().map_or_else(crate::userns::default_map, Ok)?;
        self.discard(&layer.dir, &map)?;
        // Fails while the layer has other variants.
        drop(std::fs::remove_dir(layer.dir.parent().unwrap_or(&layer.dir)));
        Ok(true)
    }
}
