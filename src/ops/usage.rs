//! `system df`: what takes how much room, and how much of it could be had back.
//!
//! An image's size is that of its unpacked layers, as docker counts; layers that several images share count once. The same
//! layers with other owners (another id map) and the packed blobs are on disk as well and are shown by themselves.

use super::{container_list, images::ImageUser};
use crate::base::Result;
use crate::image::Digest;
use crate::ops::containers;
use crate::state::Entry;
use crate::state::containers::Container;
use crate::store::{ImageSummary, Store};
use crate::userns::{self, IdMap};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Everything that takes room.
#[derive(Debug, Clone)]
pub struct Usage {
    /// Images, newest first.
    pub images: Vec<ImageUsage>,
    /// Bytes of the images' layers, each counted once.
    pub image_bytes: u64,
    /// What is free when all images without a container go.
    pub image_reclaimable: u64,
    /// Containers, newest first.
    pub containers: Vec<ContainerUsage>,
    /// Layers that are no image's in the usual map, by map.
    pub variants: Vec<VariantUsage>,
    /// The packed layers, configs and manifests.
    pub blobs: BlobTotals,
}

/// One image.
#[derive(Debug, Clone)]
pub struct ImageUsage {
    /// What `images` shows.
    pub image: ImageSummary,
    /// Bytes that another image has as well.
    pub shared: u64,
    /// Bytes that it alone has.
    pub unique: u64,
    /// How many containers were made from it.
    pub containers: usize,
}

/// One container.
#[derive(Debug, Clone)]
pub struct ContainerUsage {
    /// The container.
    pub container: Box<Container>,
    /// Bytes that it wrote.
    pub written: u64,
}

/// The layers of one id map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VariantUsage {
    /// The map's key.
    pub key: String,
    /// How many layers.
    pub layers: usize,
    /// Those that a container uses.
    pub active: usize,
    /// Bytes.
    pub bytes: u64,
    /// Bytes that no container uses.
    pub reclaimable: u64,
}

/// All blobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlobTotals {
    /// How many.
    pub count: usize,
    /// Those that an image refers to.
    pub active: usize,
    /// Bytes.
    pub bytes: u64,
    /// Bytes of those that no image refers to.
    pub reclaimable: u64,
}

/// Looks at everything. Takes as long as reading the folders of what containers wrote.
pub fn usage(store: &Store) -> Result<Usage> {
    let users = containers::image_users(store)?.users;
    let layers = store.layer_usage()?;
    let default_key = userns::default_map()?.key();
    let mut sizes: HashMap<&str, u64> = HashMap::new();
    for layer in layers.iter().filter(|l| l.size > 0) {
        // The usual map's is the one that counts; without it any other one's.
        let known = sizes.entry(&layer.hex).or_insert(layer.size);
        if layer.key == default_key {
            *known = layer.size;
        }
    }
    let images: Vec<(ImageSummary, Vec<Digest>)> = store
        .images()?
        .into_iter()
        .map(|image| {
            let diff_ids = store.diff_ids(&image);
            (image, diff_ids)
        })
        .collect();
    let mut counts: HashMap<&Digest, usize> = HashMap::new();
    for (_, diff_ids) in &images {
        for id in diff_ids.iter().collect::<HashSet<_>>() {
            *counts.entry(id).or_default() += 1;
        }
    }
    let size = |id: &Digest| sizes.get(id.hex()).copied().unwrap_or(0);
    let in_use = |image: &ImageSummary| users.iter().filter(|u| u.image == image.id).count();
    let active: HashSet<&Digest> = images.iter().filter(|(i, _)| in_use(i) > 0).flat_map(|(_, ids)| ids).collect();
    let image_bytes = counts.keys().map(|id| size(id)).sum();
    let image_reclaimable = counts.keys().filter(|id| !active.contains(*id)).map(|id| size(id)).sum();
    let known: HashSet<&str> = counts.keys().map(|id| id.hex()).collect();
    let variants = variants(layers.iter().filter(|l| l.key != default_key || !known.contains(l.hex.as_str())), &users);
    let blobs = blobs(store)?;
    let image_usage = |(image, diff_ids): &(ImageSummary, Vec<Digest>)| {
        let unique_ids: HashSet<&Digest> = diff_ids.iter().collect();
        let shared: u64 = unique_ids.iter().filter(|id| counts[**id] > 1).map(|id| size(id)).sum();
        let containers = in_use(image);
        ImageUsage { image: image.clone(), shared, unique: image.size.saturating_sub(shared), containers }
    };
    Ok(Usage {
        images: images.iter().map(image_usage).collect(),
        image_bytes,
        image_reclaimable,
        containers: container_usage(store)?,
        variants,
        blobs,
    })
}

fn container_usage(store: &Store) -> Result<Vec<ContainerUsage>> {
    let mut containers = Vec::new();
    for entry in container_list::all(store)? {
        if let Entry::Good(container) = entry {
            containers.push(container);
        }
    }
    let written = written(&containers.iter().map(AsRef::as_ref).collect::<Vec<_>>())?;
    Ok(containers.into_iter().zip(written).map(|(container, written)| ContainerUsage { container, written }).collect())
}

fn variants<'a>(
    layers: impl Iterator<Item = &'a crate::store::usage::LayerUsage>,
    users: &[ImageUser],
) -> Vec<VariantUsage> {
    let used: HashSet<(&str, &str)> =
        users.iter().flat_map(|u| &u.layers).map(|(id, key)| (id.hex(), key.as_str())).collect();
    let mut by_key: BTreeMap<&str, VariantUsage> = BTreeMap::new();
    for layer in layers {
        let active = used.contains(&(layer.hex.as_str(), layer.key.as_str()));
        // What was made for a stack of layers (a few folders) is nobody's concern.
        if layer.size == 0 {
            continue;
        }
        let variant = by_key.entry(&layer.key).or_default();
        variant.key.clone_from(&layer.key);
        variant.layers += 1;
        variant.bytes += layer.size;
        if active {
            variant.active += 1;
        } else {
            variant.reclaimable += layer.size;
        }
    }
    by_key.into_values().collect()
}

fn blobs(store: &Store) -> Result<BlobTotals> {
    let live = store.live_digests()?;
    let mut totals = BlobTotals::default();
    for blob in store.blob_usage()? {
        totals.count += 1;
        totals.bytes += blob.size;
        if live.contains(&blob.digest) {
            totals.active += 1;
        } else {
            totals.reclaimable += blob.size;
        }
    }
    Ok(totals)
}

/// Bytes that each container wrote. One child per id map looks at what this user may not, and only if there is such.
pub fn written(containers: &[&Container]) -> Result<Vec<u64>> {
    let mut sizes = vec![0; containers.len()];
    let mut closed: BTreeMap<String, (IdMap, Vec<(usize, PathBuf)>)> = BTreeMap::new();
    for (at, container) in containers.iter().enumerate() {
        let folder = container.folder.join("upper");
        match tree_bytes(&folder) {
            Some(bytes) => sizes[at] = bytes,
            None => {
                let map = &container.record.map;
                closed.entry(map.key()).or_insert_with(|| (map.clone(), Vec::new())).1.push((at, folder));
            }
        }
    }
    for (map, folders) in closed.into_values() {
        let looked = userns::run(&map, || {
            Ok(folders.iter().map(|(_, folder)| tree_bytes(folder).unwrap_or(0)).collect::<Vec<u64>>())
        });
        // A container that is gone, or ids that are no longer the user's, are no reason to show nothing.
        for ((at, _), bytes) in folders.iter().zip(looked.unwrap_or_default()) {
            sizes[*at] = bytes;
        }
    }
    Ok(sizes)
}

/// Bytes of the regular files below a folder, a file with several names counted once; `None` when a part of it is closed to
/// this user. Symlinks are not followed.
fn tree_bytes(folder: &Path) -> Option<u64> {
    let mut seen = HashSet::new();
    let mut bytes = 0;
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => return None,
            // Gone meanwhile, or nested deeper than a path may be long.
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => open.push(entry.path()),
                Ok(meta) if meta.is_file() && (meta.nlink() == 1 || seen.insert((meta.dev(), meta.ino()))) => {
                    bytes += meta.size();
                }
                Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => return None,
                _ => {}
            }
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_counts_files_once_and_follows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("big"), [0; 5000]).unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("a/b")).unwrap();
        std::fs::write(at("a/b/one"), [0; 100]).unwrap();
        std::fs::hard_link(at("a/b/one"), at("two")).unwrap();
        std::os::unix::fs::symlink(outside.path(), at("link")).unwrap();
        std::fs::write(at("three"), [0; 11]).unwrap();
        assert_eq!(tree_bytes(dir.path()), Some(111));
        assert_eq!(tree_bytes(&at("missing")), Some(0));
    }
}
