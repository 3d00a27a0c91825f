//! Containers as a whole: list, find, remove.

use super::images::{ImageUser, ImageUsers};
use crate::base::{Error, Result};
use crate::state::containers::{self, Container};
use crate::state::{ContainerRecord, Containers, Entry};
use crate::store::Store;
use crate::store::layers::derived;
use crate::supervise::orphans;

/// Every container, the damaged ones too, in no order. What dead monitors left is cleaned up on the way.
pub fn list(store: &Store) -> Result<Vec<Entry>> {
    // No reason to fail a list.
    drop(store.sweep_in_background());
    orphans::list(store)
}

/// Those that run, and nothing about the others, in no order.
pub fn list_alive(store: &Store) -> Result<Vec<Entry>> {
    drop(store.sweep_in_background());
    orphans::list_alive(store)
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
            Entry::Damaged { id, .. } | Entry::Newer { id, .. } => match all.record(&id) {
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
    super::remove::remove_one(store, word, force)
}

/// What a folder that has gone away meanwhile means to whoever asked for `word`.
pub(super) fn gone(e: Error, word: &str) -> Error {
    if e.is_missing() { Error::not_found(format!("no such container: {word}")) } else { e }
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
