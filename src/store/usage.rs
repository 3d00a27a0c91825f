//! What takes how much room: unpacked layers and packed blobs, as `system df` and `system check` look at them.

use super::layers::read_meta;
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
    /// It can be used: whole, and known to have survived the last power cut.
    pub usable: bool,
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
            let usable = match &meta {
                Some(meta) => {
                    meta.diff_id.hex() == hex
                        && meta.map.key() == key
                        && self.layer(&meta.diff_id, &meta.map)?.is_some()
                }
                None => false,
            };
            let size = meta.as_ref().map_or(0, |m| m.size);
            found.push(LayerUsage { hex, key, dir, size, map: meta.map(|m| m.map), usable });
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
}
