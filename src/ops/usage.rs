//! `system df`: what takes how much room, and how much of it could be had back.
//!
//! An image's size is that of its unpacked layers, as docker counts; layers that several images share count once. The same
//! layers with other owners (another id map) and the packed blobs are on disk as well and are shown by themselves.

use super::volumes::{self, Volume};
use super::{container_list, images::ImageUser};
use crate::base::Result;
use crate::image::Digest;
use crate::ops::containers;
use crate::state::Entry;
use crate::state::containers::Container;
use crate::store::{ImageSummary, Store};
use crate::userns;
use std::collections::{BTreeMap, HashMap, HashSet};

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
    /// Volumes, by name, and their bytes.
    pub volumes: Vec<(Volume, u64)>,
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
        volumes: volume_usage(store)?,
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
    let written = container_list::written(&containers.iter().map(AsRef::as_ref).collect::<Vec<_>>())?;
    Ok(containers.into_iter().zip(written).map(|(container, written)| ContainerUsage { container, written }).collect())
}

fn volume_usage(store: &Store) -> Result<Vec<(Volume, u64)>> {
    let volumes = volumes::list(store)?;
    let sizes = volumes::sizes(&volumes)?;
    Ok(volumes.into_iter().zip(sizes).collect())
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
