//! Containers as a whole: list, find, remove.

use super::images::{ImageUser, ImageUsers};
use crate::base::{Doing, Error, Result};
use crate::state::containers::{self, Container, short};
use crate::state::{ContainerRecord, Containers, Entry};
use crate::store::Store;
use crate::store::layers::derived;
use crate::supervise::orphans;
use crate::sys::lock::{self, Mode};
use crate::userns::default_map;
use std::path::Path;

/// Every container, the damaged ones too, in no order. What dead monitors left is cleaned up on the way.
pub fn list(store: &Store) -> Result<Vec<Entry>> {
    // No reason to fail a list.
    drop(store.sweep_in_background());
    orphans::list(store)
}

/// The container for a name, an id, or the beginning of one.
pub fn find(store: &Store, word: &str) -> Result<Container> {
    Containers::new(store.paths()).find(word)
}

/// Who uses images: for `rmi` and garbage collection. Of a container whose record is readable its state need not be.
pub fn image_users(store: &Store) -> Result<ImageUsers> {
    let all = Containers::new(store.paths());
    let mut found = ImageUsers::default();
    for entry in all.list()? {
        match entry {
            Entry::Good(container) => found.users.extend(image_user(&container.record, is_running(&container))),
            Entry::Damaged { id, .. } => match all.record(&id) {
                Ok(record) => {
                    let running = containers::is_running(&store.paths().container(&id)).unwrap_or(true);
                    found.users.extend(image_user(&record, running));
                }
                Err(_) => found.unknown = true,
            },
        }
    }
    Ok(found)
}

/// Removes a container and returns its id. A running one is killed first if `force`.
///
/// Errors: `NotFound`; `Conflict` for a running one without `force`.
pub fn remove(store: &Store, word: &str, force: bool) -> Result<String> {
    let all = Containers::new(store.paths());
    let id = all.resolve(word)?;
    let folder = store.paths().container(&id);
    let loaded = all.load(&id);
    let lock = match containers::try_lock(&folder).map_err(|e| gone(e, word))? {
        Some(lock) => lock,
        None if !force => return Err(running(word, &id)),
        None => {
            if let Ok(container) = &loaded {
                orphans::kill_process(&container.state);
            }
            wait_for_end(&folder).map_err(|e| gone(e, word))?
        }
    };
    if !folder.exists() {
        // It was a `--rm` container, and its monitor has removed it.
        return Ok(id);
    }
    match loaded {
        Ok(container) => {
            orphans::kill_leftovers(&container.state);
            orphans::discard(store, &id, Some(&container.record.name), &container.record.map)?;
        }
        // Its record is unreadable: the folder goes, and the name with it when somebody wants it.
        Err(_) => orphans::discard(store, &id, None, &default_map()?)?,
    }
    drop(lock);
    Ok(id)
}

fn running(word: &str, id: &str) -> Error {
    Error::conflict(format!("cannot remove container `{word}`: container `{}` is running", short(id)))
        .hint(format!("remove it by force: `runr rm -f {word}`"))
}

/// What a folder that has gone away meanwhile means to whoever asked for `word`.
pub(super) fn gone(e: Error, word: &str) -> Error {
    if e.is_missing() { Error::not_found(format!("no such container: {word}")) } else { e }
}

/// Waits until the container's monitor lets go of its lock.
fn wait_for_end(folder: &Path) -> Result<std::fs::File> {
    let path = folder.join("lock");
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .doing(|| format!("open `{}`", path.display()))?;
    lock::lock(&file, Mode::Exclusive)?;
    Ok(file)
}

/// True if the status is one that `rm` refuses without `-f`.
pub fn is_running(container: &Container) -> bool {
    container.state.status.is_alive()
}

/// What a container means to the image it was made from.
fn image_user(record: &ContainerRecord, running: bool) -> Option<ImageUser> {
    let image = record.image.as_ref()?;
    let map = record.map.key();
    Some(ImageUser {
        container: record.id.clone(),
        image: image.id.clone(),
        running,
        layers: derived(&image.layers).ids().chain(image.layers.clone()).map(|layer| (layer, map.clone())).collect(),
    })
}
