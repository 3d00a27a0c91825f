//! Containers as lists show them: in order, and with the size of what they wrote.

use super::containers;
use crate::base::Result;
use crate::state::Entry;
use crate::state::containers::Container;
use crate::store::Store;
use crate::userns;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Every container, newest first; damaged ones last.
pub fn all(store: &Store) -> Result<Vec<Entry>> {
    let mut entries = containers::list(store)?;
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
