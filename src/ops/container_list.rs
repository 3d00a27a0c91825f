//! Containers as lists show them, and what else needs to know all of them.

use super::images::ImageUser;
use crate::base::Result;
use crate::state::containers::Container;
use crate::state::{Containers, Entry, Status};
use crate::store::Store;
use crate::userns;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Every container, newest first; damaged ones last.
pub fn all(store: &Store) -> Result<Vec<Entry>> {
    let mut entries = Containers::new(store.paths()).list()?;
    // Times are RFC 3339 in UTC with a fraction of any length: compared as times, not as text.
    let key = |entry: &Entry| match entry {
        Entry::Good(c) => (0, c.record.created.parse::<jiff::Timestamp>().ok(), c.record.id.clone()),
        Entry::Damaged { id, .. } => (1, None, id.clone()),
    };
    entries.sort_by_cached_key(|entry| {
        let (damaged, created, id) = key(entry);
        (damaged, std::cmp::Reverse(created), id)
    });
    Ok(entries)
}

/// Which images containers use. A damaged container's image is unknown, and so is whether it uses one.
pub fn image_users(store: &Store) -> Result<Vec<ImageUser>> {
    let good = all(store)?.into_iter().filter_map(|entry| match entry {
        Entry::Good(container) => Some(container),
        Entry::Damaged { .. } => None,
    });
    Ok(good
        .filter_map(|c| {
            let image = c.record.image.as_ref()?;
            let key = c.record.map.key();
            Some(ImageUser {
                container: c.record.id.clone(),
                image: image.id.clone(),
                running: c.state.status == Status::Running,
                layers: image.layers.iter().map(|layer| (layer.clone(), key.clone())).collect(),
            })
        })
        .collect())
}

/// Bytes of what the container wrote. Files of subordinate ids may be unreadable from outside, so a child in the container's
/// map looks.
pub fn written_bytes(container: &Container) -> Result<u64> {
    let upper = container.folder.join("upper");
    userns::run(&container.record.map, || Ok(tree_bytes(&upper)))
}

fn tree_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => tree_bytes(&entry.path()),
            Ok(meta) if meta.is_file() => meta.size(),
            _ => 0,
        })
        .sum()
}
