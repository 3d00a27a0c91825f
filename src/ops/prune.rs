//! `container prune` and `system prune`: containers that do not run, images that nobody uses, and what nothing refers to.

use super::images::{self, Pruned};
use super::remove::{self, RemoveOptions};
use super::{container_list, containers};
use crate::base::{Kind, Result};
use crate::state::containers::Container;
use crate::state::events::{self, Event, Topic};
use crate::store::{ImageSummary, Store};

/// Containers that are gone, and the room they took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunedContainers {
    /// Full ids.
    pub ids: Vec<String>,
    /// Bytes that they had written.
    pub freed: u64,
}

/// Removes those of `chosen` that do not run. One that was started or removed meanwhile is left alone.
pub fn containers(store: &Store, chosen: Vec<Container>) -> Result<PrunedContainers> {
    let stopped: Vec<Container> = chosen.into_iter().filter(|c| !c.state.status.is_running()).collect();
    let sizes = container_list::written(&stopped.iter().collect::<Vec<_>>()).unwrap_or_default();
    let ids: Vec<String> = stopped.into_iter().map(|c| c.record.id).collect();
    let mut pruned = PrunedContainers::default();
    let mut failed = Ok(());
    let removed = remove::remove(store, &ids, RemoveOptions::default());
    for (at, (id, removed)) in ids.into_iter().zip(removed).enumerate() {
        match removed {
            Ok(_) => {
                pruned.freed += sizes.get(at).copied().unwrap_or_default();
                pruned.ids.push(id);
            }
            Err(e) if matches!(e.kind(), Kind::Conflict | Kind::NotFound) => {}
            Err(e) => failed = Err(e),
        }
    }
    tell(store, Topic::Container, pruned.freed);
    failed.map(|()| pruned)
}

/// Removes images; see [`images::prune`].
pub fn images(store: &Store, all: bool, wanted: &dyn Fn(&ImageSummary) -> bool) -> Result<Pruned> {
    let pruned = images::prune(store, all, wanted, &|| containers::image_users(store))?;
    tell(store, Topic::Image, pruned.freed);
    Ok(pruned)
}

fn tell(store: &Store, topic: Topic, freed: u64) {
    events::append(store.paths(), &Event::new(topic, "prune", "", "").with("reclaimed", freed));
}
