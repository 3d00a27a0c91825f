//! `system reset`: everything of runr's below the data folder goes, running containers included.
//!
//! Only what runr makes is touched, and only in a folder that is a store: `--root $HOME` must not cost a home. What is removed
//! first moves into one folder of its own, so that a command that comes meanwhile finds an empty store instead of half a one;
//! symlinks are removed, never followed.

use super::remove::{self, RemoveOptions};
use crate::base::{Doing, Error, Result, fsx};
use crate::state::Containers;
use crate::store::Store;
use crate::userns::{self, IdMap};
use std::path::{Path, PathBuf};

/// The folder into which everything moves.
const PREFIX: &str = "reset-";
/// What a store holds at its top.
const ENTRIES: [&str; 8] = ["containers", "names", "layers", "images", "volumes", "events", "tmp", "format.json"];

/// What a reset left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// Entries of the data folder that runr did not make.
    pub foreign: Vec<PathBuf>,
}

/// Removes all containers, images and records, and the data folder if nothing else is in it.
///
/// Errors: when a container does not end, before anything else is removed; when something cannot be deleted.
pub fn reset(store: &Store) -> Result<Left> {
    let mut maps = store.known_maps().unwrap_or_default();
    maps.extend(containers(store)?);
    maps.extend(userns::default_map());
    let root = store.paths().root();
    let aside = root.join(fsx::unique_name(PREFIX));
    fsx::create_dir(&aside, 0o700)?;
    for entry in entries(root)? {
        let name = name(&entry);
        // An earlier reset that was killed goes as well.
        let ours = ENTRIES.contains(&name.as_str()) || name.starts_with(PREFIX) || name.starts_with(".new.");
        if ours && entry != aside {
            match fsx::rename(&entry, &aside.join(&name)) {
                Err(e) if e.is_missing() => {}
                other => other?,
            }
        }
    }
    delete(&aside, maps)?;
    let foreign = entries(root)?;
    if foreign.is_empty() {
        // A command that came meanwhile may have begun a new store: then it stays.
        drop(std::fs::remove_dir(root));
    }
    Ok(Left { foreign: foreign.into_iter().filter(|path| !ENTRIES.contains(&name(path).as_str())).collect() })
}

/// Ends and removes all containers; returns the id maps that their files may have.
fn containers(store: &Store) -> Result<Vec<IdMap>> {
    let all = Containers::new(store.paths());
    let mut maps = Vec::new();
    loop {
        let ids: Vec<String> = match std::fs::read_dir(store.paths().containers()) {
            Ok(entries) => entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect(),
            // A store that lost this folder can be reset all the same.
            Err(_) => Vec::new(),
        };
        maps.extend(ids.iter().filter_map(|id| all.record(id).ok()).map(|record| record.map));
        // What is no container, such as a file that somebody put there, goes with the folder.
        let ids: Vec<String> =
            ids.into_iter().filter(|id| store.paths().container(id).join("lock").is_file()).collect();
        if ids.is_empty() {
            return Ok(maps);
        }
        let options = RemoveOptions { force: true, ..RemoveOptions::default() };
        for removed in remove::remove(store, &ids, options) {
            match removed {
                Err(e) if !e.is_missing() && e.kind() != crate::base::Kind::NotFound => return Err(e),
                _ => {}
            }
        }
    }
}

/// Deletes a tree whose files may belong to ids of any of these maps.
fn delete(path: &Path, mut maps: Vec<IdMap>) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    maps.retain(|map| seen.insert(map.key()));
    // Most often nearly everything is the user's own.
    let mut rest = subtrees_left(path);
    for map in maps {
        if rest.is_empty() {
            break;
        }
        let _ = userns::run(&map, || {
            for tree in &rest {
                drop(userns::enter::remove_tree_here(tree));
            }
            Ok(())
        });
        rest = subtrees_left(path);
    }
    match rest.first() {
        None => fsx::remove_dir_all(path),
        Some(tree) => Err(Error::new(crate::base::Kind::Denied, format!("`{}` cannot be deleted", tree.display()))
            .hint("its files belong to ids that this user had once; only an administrator can delete them now")),
    }
}

/// Deletes what this user may delete, and returns the folders that are still there: each layer and each container by itself, as
/// every one of them may have its own owners.
fn subtrees_left(path: &Path) -> Vec<PathBuf> {
    if fsx::remove_dir_all(path).is_ok() {
        return Vec::new();
    }
    let mut left = vec![path.to_owned()];
    // reset-…/layers/<diff id>/<map>, reset-…/containers/<id>, reset-…/tmp/trash-…
    for _ in 0..3 {
        left = left
            .into_iter()
            .flat_map(|folder| match entries(&folder) {
                Ok(entries) if !entries.is_empty() => entries,
                _ => vec![folder],
            })
            .filter(|path| fsx::remove_dir_all(path).is_err() && path.symlink_metadata().is_ok())
            .collect();
    }
    left.retain(|path| path.symlink_metadata().is_ok());
    left
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).doing(|| format!("read folder `{}`", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_and_nothing_foreign_goes() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("precious"), "x").unwrap();
        let store = Store::open(&dir.path().join("root")).unwrap();
        let root = store.paths().root().to_owned();
        std::os::unix::fs::symlink(outside.path(), root.join("tmp/link")).unwrap();
        std::os::unix::fs::symlink(outside.path(), root.join("events")).unwrap();
        std::fs::write(root.join("thesis.txt"), "x").unwrap();
        std::fs::create_dir(root.join("reset-earlier")).unwrap();
        let left = reset(&store).unwrap();
        assert_eq!(left.foreign, [root.join("thesis.txt")]);
        assert_eq!(entries(&root).unwrap(), [root.join("thesis.txt")]);
        assert!(outside.path().join("precious").exists());
        std::fs::remove_file(root.join("thesis.txt")).unwrap();
        let store = Store::open(&root).unwrap();
        assert_eq!(reset(&store).unwrap(), Left::default());
        assert!(!root.exists());
    }
}
