//! `system check`: looks for what power cuts, full disks, killed commands and other programs may have damaged, and repairs it
//! when asked to.
//!
//! Nothing is repaired by guessing: what can be made again (a layer whose blob is there, a name that a record gives, a
//! container's state) is; what only stands in the way (names of nobody, leftovers) goes; what would take a container or an
//! image with it goes only with `force`.

mod containers;
mod store;

use crate::base::Result;
use crate::store::Store;
use std::collections::HashSet;
use std::time::Duration;

/// What to look at and what to do about it.
#[derive(Debug, Clone, Copy)]
pub struct CheckOptions {
    /// Do not read all blobs and do not compare the files of unpacked layers.
    pub quick: bool,
    /// Repair.
    pub repair: bool,
    /// With `repair`: remove containers and images that cannot be repaired.
    pub force: bool,
    /// How old what nothing refers to may be.
    pub max_age: Duration,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The object and what is wrong with it, as a sentence without a period.
    pub what: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: no repair was asked for.
    Found,
    /// It is all right now; what was done.
    Repaired(String),
    /// It is as it was; what the user can do.
    Kept(String),
}

/// Looks at everything. Findings come in the order of what they are about: blobs, layers, images, containers, names, volumes, leftovers.
pub fn check(store: &Store, options: CheckOptions) -> Result<Vec<Finding>> {
    let mut check = Check { store, options, findings: Vec::new(), broken_layers: HashSet::new() };
    check.blobs()?;
    check.layers()?;
    check.images()?;
    check.containers()?;
    check.names()?;
    check.volumes()?;
    check.leftovers()?;
    check.unreferenced()?;
    if options.repair || !options.quick {
        // What the repairs threw away, and what was unpacked to compare with.
        store.empty_trash()?;
    }
    check.notes();
    Ok(check.findings)
}

struct Check<'a> {
    store: &'a Store,
    options: CheckOptions,
    findings: Vec<Finding>,
    /// Layers that cannot be used and cannot be made again: hex digits and map key.
    broken_layers: HashSet<(String, String)>,
}

impl Check<'_> {
    /// Notes a finding; with `repair` calls `fix`, which says what it did, or what the user can do.
    fn found(&mut self, what: impl Into<String>, fix: impl FnOnce() -> Result<Outcome>) {
        let outcome = if self.options.repair {
            // One thing that cannot be repaired is no reason to leave the others.
            fix().unwrap_or_else(|e| Outcome::Kept(e.to_string()))
        } else {
            Outcome::Found
        };
        self.findings.push(Finding { what: what.into(), outcome });
    }

    /// What the store found and repaired by itself.
    fn notes(&mut self) {
        for note in self.store.take_notes() {
            self.findings.push(Finding { what: note, outcome: Outcome::Repaired("when it was read".to_owned()) });
        }
    }
}

fn repaired(what: impl Into<String>) -> Result<Outcome> {
    Ok(Outcome::Repaired(what.into()))
}

fn kept(what: impl Into<String>) -> Result<Outcome> {
    Ok(Outcome::Kept(what.into()))
}
