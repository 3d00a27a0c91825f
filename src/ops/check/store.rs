//! Blobs, unpacked layers, images, and what nothing refers to.

use super::{Check, Outcome, kept, repaired};
use crate::base::{Error, Result, units};
use crate::image::Digest;
use crate::ops::{containers, images};
use crate::store::gc::{KEEP_PARTIALS, Scope};
use crate::store::usage::LayerUsage;
use crate::store::volumes::VolumeEntry;
use crate::store::{Image, ImageSummary};
use crate::supervise::orphans;
use crate::unpack::compare::first_difference;
use crate::unpack::{Limits, UnpackWorker};
use crate::userns;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::SystemTime;

impl Check<'_> {
    /// Damaged blobs are removed: they are fetched again when somebody needs them.
    pub(super) fn blobs(&mut self) -> Result<()> {
        let store = self.store;
        for (digest, why) in store.damaged_blobs(!self.options.quick)? {
            self.found(format!("blob `{digest}` {why}"), || {
                store.remove_blob(&digest)?;
                repaired("removed")
            });
        }
        Ok(())
    }

    /// A damaged volume keeps its files: they are nobody's but the user's.
    pub(super) fn volumes(&mut self) -> Result<()> {
        for entry in self.store.volumes()? {
            if let VolumeEntry::Damaged { name, error } = entry {
                self.found(error.to_string(), || {
                    kept(format!("see its files in `_data`, then `runr volume rm {name}`"))
                });
            }
        }
        Ok(())
    }

    /// Layers that cannot be used are removed when their blob is there; the next start unpacks them again.
    pub(super) fn layers(&mut self) -> Result<()> {
        let (store, force) = (self.store, self.options.force);
        let users = containers::image_users(store)?;
        let running: HashSet<(&str, &str)> = users
            .users
            .iter()
            .filter(|user| user.running)
            .flat_map(|user| user.layers.iter().map(|(id, key)| (id.hex(), key.as_str())))
            .collect();
        let blobs = self.blobs_of_layers()?;
        for layer in store.layer_usage()? {
            let blob = blobs.get(&layer.hex).filter(|(_, blob)| self.blob_is_there(blob));
            let damage = match (layer.damage, blob) {
                (Some(damage), _) => Some(damage.to_owned()),
                (None, Some((diff_id, blob))) if !self.options.quick => self.changed(&layer, diff_id, blob)?,
                (None, _) => None,
            };
            let Some(damage) = damage else { continue };
            let again = blob.is_some();
            let runs = users.unknown || running.contains(&(layer.hex.as_str(), layer.key.as_str()));
            if !again {
                self.broken_layers.insert((layer.hex.clone(), layer.key.clone()));
            }
            self.found(format!("layer `{}` for map `{}`: {damage}", layer.hex, layer.key), || {
                discard(store, &layer, again, runs, force)
            });
        }
        Ok(())
    }

    /// What became of a layer's files since they were unpacked; `None` when they are what the blob says.
    fn changed(&self, layer: &LayerUsage, diff_id: &Digest, blob: &Digest) -> Result<Option<String>> {
        let Some(map) = &layer.map else { return Ok(None) };
        let copy = self.store.begin_copy(diff_id, map)?;
        let worker = UnpackWorker::start(map, Limits::default())?;
        let mut job = worker.begin(&copy.fs_dir())?;
        let unpacked = std::io::copy(&mut self.store.open_blob(blob)?, &mut job).map_err(Error::from);
        let report = unpacked.and_then(|_| job.finish());
        match report {
            Ok(report) if report.diff_id == *diff_id => {}
            // What is wrong with the blob has been found already, or is the image's fault.
            _ => return Ok(None),
        }
        let (expected, actual) = (copy.fs_dir(), layer.dir.join("fs"));
        let found = userns::run(map, || {
            let found = first_difference(&expected, &actual)?;
            Ok(found.map(|(path, what)| format!("`{}` {what}", path.display())))
        })?;
        Ok(found)
    }

    /// Which diff id and blob each layer is made from, by the hex digits of its diff id; only of images that can be read.
    fn blobs_of_layers(&self) -> Result<HashMap<String, (Digest, Digest)>> {
        let mut found = HashMap::new();
        for summary in self.store.images()? {
            for image in self.documents(&summary).into_iter().flatten() {
                let pairs = image.config.rootfs.diff_ids.iter().zip(&image.manifest.layers);
                found.extend(pairs.map(|(id, blob)| (id.hex().to_owned(), (id.clone(), blob.digest.clone()))));
            }
        }
        Ok(found)
    }

    /// The images of an id, read from their blobs: what lists show comes from a cache.
    fn documents(&self, summary: &ImageSummary) -> Vec<Result<Image>> {
        let load = |manifest: &Digest| self.store.load_image(&self.store.find_image(&manifest.to_string())?);
        summary.manifests.iter().map(load).collect()
    }

    fn blob_is_there(&self, digest: &Digest) -> bool {
        let size = self.store.open_blob(digest).and_then(|file| Ok(file.metadata()?.len()));
        size.is_ok_and(|size| size > 0)
    }

    /// An image whose documents are lost can only be pulled again; one that lacks a packed layer still runs.
    pub(super) fn images(&mut self) -> Result<()> {
        let (store, force) = (self.store, self.options.force);
        let layers = store.layer_usage()?.into_iter();
        let unpacked: HashSet<String> = layers.filter(|l| l.damage.is_none()).map(|l| l.hex).collect();
        for summary in store.images()? {
            let name = shown(&summary);
            let documents = self.documents(&summary);
            if store.image_manifests(&summary.manifests)?.len() < summary.manifests.len() {
                // Another command is removing it.
                continue;
            }
            let unreadable = documents.iter().find_map(|document| document.as_ref().err()).map(ToString::to_string);
            if let Some(why) = unreadable {
                let used = containers::image_users(store)?.users.iter().any(|user| user.image == summary.id);
                self.found(format!("image `{name}` is damaged: {why}"), || {
                    if used && !force {
                        return kept(format!("a container uses it; `runr pull {name}` brings it back"));
                    }
                    store.forget_images(&summary.manifests)?;
                    repaired(format!("removed; `runr pull {name}` brings it back"))
                });
                continue;
            }
            for image in documents.into_iter().flatten() {
                self.image(&summary, &image, &name, &unpacked)?;
            }
        }
        Ok(())
    }

    fn image(&mut self, summary: &ImageSummary, image: &Image, name: &str, unpacked: &HashSet<String>) -> Result<()> {
        let (store, force) = (self.store, self.options.force);
        let mut lacking = Vec::new();
        let mut runs = true;
        for (blob, diff_id) in image.manifest.layers.iter().zip(&image.config.rootfs.diff_ids) {
            let size = store.open_blob(&blob.digest).and_then(|file| Ok(file.metadata()?.len()));
            let why = match size {
                Ok(size) if size == blob.size => continue,
                Ok(size) => format!("blob `{}` has {size} bytes instead of {}", blob.digest, blob.size),
                Err(_) => format!("blob `{}` is missing", blob.digest),
            };
            runs &= unpacked.contains(diff_id.hex());
            lacking.push(why);
        }
        if lacking.is_empty() {
            return Ok(());
        }
        let mut what = format!("image `{name}`: {}", lacking.join(", "));
        if runs {
            what.push_str("; its unpacked layers are whole");
        }
        let used = containers::image_users(store)?.users.iter().any(|user| user.image == summary.id);
        self.found(what, || {
            if runs || (used && !force) {
                return kept(format!("`runr pull {name}` brings it back"));
            }
            store.forget_images(&summary.manifests)?;
            repaired(format!("removed; `runr pull {name}` brings it back"))
        });
        Ok(())
    }

    /// What dead processes left.
    pub(super) fn leftovers(&mut self) -> Result<()> {
        let store = self.store;
        let mut left = store.leftovers()?;
        left.extend(orphans::half_made(store));
        left.sort();
        for path in left {
            self.found(format!("`{}` was left by a command that was killed", path.display()), || {
                orphans::sweep(store);
                store.sweep(KEEP_PARTIALS)?;
                if path.symlink_metadata().is_ok() { kept("it cannot be removed now") } else { repaired("removed") }
            });
        }
        Ok(())
    }

    /// Blobs and layers that no image and no container needs: killed commands leave some.
    pub(super) fn unreferenced(&mut self) -> Result<()> {
        let store = self.store;
        let in_use = || images::in_use(&|| containers::image_users(store));
        let used = in_use()?;
        if used.unknown || store.images()?.iter().any(|image| image.damaged.is_some()) {
            // Then what is needed cannot be known.
            return Ok(());
        }
        let live = store.live_digests()?;
        let (mut count, mut bytes) = (0u64, 0u64);
        let layers = store.layer_usage()?;
        let of_container: HashSet<(&str, &str)> =
            used.layers.iter().map(|(id, key)| (id.hex(), key.as_str())).collect();
        let live_hex: HashSet<&str> = live.iter().map(Digest::hex).collect();
        for layer in &layers {
            let needed = live_hex.contains(layer.hex.as_str())
                || of_container.contains(&(layer.hex.as_str(), layer.key.as_str()));
            if !needed && self.is_old(&layer.dir) {
                count += 1;
                bytes += layer.size;
            }
        }
        for blob in store.blob_usage()? {
            if !live.contains(&blob.digest) && self.is_old(&store.blob_file(&blob.digest)) {
                count += 1;
                bytes += blob.size;
            }
        }
        if count > 0 {
            let what = format!("{count} blobs and layers ({}) that nothing refers to", units::human_size(bytes));
            self.found(what, || {
                let collected = store.collect(&Scope::Everything, in_use)?;
                repaired(format!("removed, {}", units::human_size(collected.freed)))
            });
        }
        Ok(())
    }

    fn is_old(&self, path: &Path) -> bool {
        let modified = path.symlink_metadata().and_then(|meta| meta.modified());
        modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age >= self.options.max_age))
    }
}

fn discard(store: &crate::store::Store, layer: &LayerUsage, again: bool, runs: bool, force: bool) -> Result<Outcome> {
    if runs && !force {
        return kept("a container that runs may use it");
    }
    if !again && !force {
        return kept("what it was made from is not here; pull its image, or remove it with `--force`");
    }
    match (store.discard_layer(layer)?, again) {
        (false, _) => kept("another command works on it"),
        (true, true) => repaired("removed; the next start unpacks it again"),
        (true, false) => repaired("removed"),
    }
}

/// What a user can call the image.
fn shown(image: &ImageSummary) -> String {
    let foreign = image.foreign_names.first().cloned();
    image.names.first().map(ToString::to_string).or(foreign).unwrap_or_else(|| image.id.short().to_owned())
}
