//! A health check on request.

use crate::base::{Error, Kind, Result};
use crate::store::Store;
use crate::supervise::control;
use crate::supervise::protocol::{Report, Request};

/// Runs the health check of the container that `word` names; true when it succeeds.
///
/// Errors: `NotFound`; `Conflict` when the container does not run or has no check.
pub fn check(store: &Store, word: &str) -> Result<bool> {
    let channel = super::exec::connect(store, word)?;
    match control::ask(&channel, &Request::CheckHealth).map_err(|e| e.step(format!("check health of `{word}`")))? {
        Some(Report::Health { healthy }) => Ok(healthy),
        Some(_) => Err(Error::new(Kind::Corrupt, "the container's monitor gave an answer to another question")),
        None => Err(Error::conflict(format!("container `{word}` ended during the check"))),
    }
}
