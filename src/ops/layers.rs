//! The unpacked layers of an image for one id map: found, or made from the blobs.

use crate::base::{Doing, Error, Kind, Result};
use crate::store::layers::LayerSlot;
use crate::store::{Image, Layer, LayerMeta, Store};
use crate::unpack::{Limits, UnpackWorker};
use crate::userns::IdMap;
use std::io::Write;

/// The image's layers, lowest first; those that are missing for this map are unpacked from their blobs.
pub fn ensure(store: &Store, image: &Image, map: &IdMap) -> Result<Vec<Layer>> {
    let mut layers = Vec::new();
    for diff_id in &image.config.rootfs.diff_ids {
        match store.layer(diff_id, map)? {
            Some(layer) => layers.push(layer),
            None => break,
        }
    }
    if layers.len() == image.config.rootfs.diff_ids.len() {
        return Ok(layers);
    }
    let worker = UnpackWorker::start(map, Limits::default())?;
    for (diff_id, blob) in image.config.rootfs.diff_ids.iter().zip(&image.manifest.layers).skip(layers.len()) {
        let layer = match store.begin_layer(diff_id, map)? {
            LayerSlot::Ready(layer) => layer,
            LayerSlot::Build(builder) => {
                let mut job = worker.begin(&builder.fs_dir())?;
                let mut file = store.open_blob(&blob.digest)?;
                std::io::copy(&mut file, &mut job).doing(|| format!("unpack layer `{}`", blob.digest))?;
                job.flush().doing(|| format!("unpack layer `{}`", blob.digest))?;
                let report = job.finish().map_err(|e| e.step(format!("unpack layer `{}`", blob.digest)))?;
                if report.diff_id != *diff_id {
                    return Err(Error::new(
                        Kind::Corrupt,
                        format!("layer `{}` holds `{}`, not `{diff_id}`", blob.digest, report.diff_id),
                    ));
                }
                builder.commit(LayerMeta::new(diff_id.clone(), map.clone(), report.size))?
            }
        };
        layers.push(layer);
    }
    Ok(layers)
}
