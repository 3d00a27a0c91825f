//! `container cleanup`: what a container's monitor would have done, had it not been killed.

use super::containers;
use crate::base::{Error, Result};
use crate::state::Containers;
use crate::state::containers::short;
use crate::state::events::{self, Event};
use crate::store::Store;
use crate::supervise::orphans;

/// Settles one container that does not run; its full id.
///
/// Errors: `NotFound`; `Conflict` for one that runs.
pub fn cleanup(store: &Store, word: &str) -> Result<String> {
    let container = Containers::new(store.paths()).find(word)?;
    let id = container.record.id.clone();
    if containers::is_running(&container) {
        return Err(Error::conflict(format!(
            "cannot clean up container `{word}`: container `{}` is running",
            short(&id)
        ))
        .hint(format!("stop it first: `runr stop {word}`")));
    }
    orphans::settle(store, &container)?;
    orphans::sweep(store);
    events::append(store.paths(), &Event::of(&container.record, "cleanup"));
    Ok(id)
}
