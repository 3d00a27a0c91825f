//! Changes to a container that exists: its name.

use super::containers::gone;
use crate::base::Result;
use crate::state::Containers;
use crate::state::events::{self, Event};
use crate::store::Store;

/// Gives the container that `word` names the name `name`.
///
/// Errors: `NotFound`; `Conflict` when the name is taken.
pub fn rename(store: &Store, word: &str, name: &str) -> Result<()> {
    let all = Containers::new(store.paths());
    let id = all.resolve(word)?;
    let old = all.record(&id).map(|record| record.name).unwrap_or_default();
    all.rename(&id, name).map_err(|e| gone(e, word))?;
    if let Ok(record) = all.record(&id) {
        events::append(store.paths(), &Event::of(&record, "rename").with("oldName", old));
    }
    Ok(())
}
