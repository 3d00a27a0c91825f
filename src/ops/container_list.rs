//! Containers as lists show them: in order, with their labels,  with the size of what they wrote.

use super::containers;
use crate::base::Result;
use crate::image::Digest;
use crate::state::containers::Container;
use crate::state::{Containers, Entry};
use crate::store::Store;
use crate::userns::{self, IdMap};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Every container, newest first; those that can't be read last.
pub fn all(store: &Store) -> Result<Vec<Entry>> {
    Ok(ordered(containers::list(store)?))
}

/// Those that run, newest first. Not everything is read of the others, so that not every damaged one is noticed.
pub fn alive(store: &Store) -> Result<Vec<Entry>> {
    let mut entries = containers::list_alive(store)?;
    entries.retain(|entry| if let Entry::Good(container) = entry { container.state.status.is_running() } else { true });
    Ok(ordered(entries))
}

fn ordered(mut entries: Vec<Entry>) -> Vec<Entry> {
    // Times are RFC 3339 in UTC with a fraction of any length: compared as times, not as text.
    let key = |entry: &Entry| match entry {
        Entry::Good(c) => (0, c.record.created.parse::<jiff::Timestamp>().ok(), c.record.id.clone()),
        Entry::Damaged { id, .. } | Entry::Newer { id, .. } => (1, None, id.clone()),
    };
    entries.sort_by_cached_key(|entry| {
        let (damaged, created, id) = key(entry);
        (damaged, std::cmp::Reverse(created), id)
    });
    entries
}

/// The name under which a container with an unreadable record can still be called.
pub fn name_of_unreadable(store: &Store, id: &str) -> Option<String> {
    let entries = std::fs::read_dir(store.paths().names()).ok()?.flatten();
    let names = entries.map(|e| e.file_name().to_string_lossy().into_owned()).filter(|n| !n.starts_with('.'));
    let all = Containers::new(store.paths());
    names.into_iter().find(|name| all.resolve(name).is_ok_and(|found| found == id))
}

/// The labels of the container's image with its own laid over them.
pub fn labels(container: &Container) -> BTreeMap<String, String> {
    let mut labels = container.record.execution.labels.clone();
    labels.extend(container.record.options.labels.iter().map(|(k, v)| (k.clone(), v.clone())));
    labels
}

/// Sizes of images in bytes, read at once for all containers of a list.
#[derive(Debug, Default)]
pub struct ImageSizes(HashMap<Digest, u64>);

impl ImageSizes {
    /// Reads the list of images.
    pub fn load(store: &Store) -> Result<Self> {
        Ok(Self(store.images()?.into_iter().map(|image| (image.id, image.size)).collect()))
    }

    /// Bytes of the container's image; `None` when it is gone or was a folder.
    pub fn of(&self, container: &Container) -> Option<u64> {
        self.0.get(&container.record.image.as_ref()?.id).copied()
    }
}

/// Bytes of what one container wrote.
pub fn written_bytes(container: &Container) -> Result<u64> {
    Ok(written(&[container])?.first().copied().unwrap_or_default())
}

/// Bytes of what each container wrote.
pub fn written(all: &[&Container]) -> Result<Vec<u64>> {
    let folders: Vec<(PathBuf, &IdMap)> = all.iter().map(|c| (c.folder.join("upper"), &c.record.map)).collect();
    sizes(&folders)
}

/// Bytes of the files in folders. Those of subordinate ids may be unreadable from outside: such folders are looked at again by a
/// child in their id map, one for each map.
pub fn sizes(folders: &[(PathBuf, &IdMap)]) -> Result<Vec<u64>> {
    let mut sizes = Vec::with_capacity(folders.len());
    let mut unseen: Vec<(&IdMap, Vec<usize>)> = Vec::new();
    for (at, (folder, map)) in folders.iter().enumerate() {
        let tree = tree_size(folder);
        sizes.push(tree.bytes);
        if tree.denied {
            match unseen.iter_mut().find(|(known, _)| known == map) {
                Some((_, places)) => places.push(at),
                None => unseen.push((map, vec![at])),
            }
        }
    }
    for (map, places) in unseen {
        let seen: Vec<TreeSize> =
            userns::run(map, || Ok(places.iter().map(|at| tree_size(&folders[*at].0)).collect()))?;
        for (at, tree) in places.into_iter().zip(seen) {
            sizes[at] = tree.bytes;
        }
    }
    Ok(sizes)
}

#[derive(Default, Serialize, Deserialize)]
struct TreeSize {
    bytes: u64,
    /// Some folder could not be read.
    denied: bool,
}

/// Regular files, each once whatever its number of names, as docker counts.
fn tree_size(folder: &Path) -> TreeSize {
    let mut size = TreeSize::default();
    let mut linked = HashSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) => {
                size.denied |= e.kind() == std::io::ErrorKind::PermissionDenied;
                continue;
            }
        };
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                Ok(meta) if meta.is_file() && (meta.nlink() == 1 || linked.insert(meta.ino())) => {
                    size.bytes += meta.size();
                }
                _ => {}
            }
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_as_large_as_its_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/one"), [0; 100]).unwrap();
        std::fs::write(dir.path().join("a/b/two"), [0; 20]).unwrap();
        std::fs::hard_link(dir.path().join("a/one"), dir.path().join("again")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        let size = tree_size(dir.path());
        assert_eq!((size.bytes, size.denied), (120, false));
        assert_eq!(tree_size(&dir.path().join("nothing")).bytes, 0);
    }
}
