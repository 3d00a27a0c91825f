//! Commands in a running container: how to reach it. What happens then is between its monitor and the caller's terminal.

use crate::base::{Error, Result};
use crate::runtime::exec::ExecSpec;
use crate::state::Containers;
use crate::state::containers::Container;
use crate::store::Store;
use crate::supervise::control;
use crate::supervise::protocol::{Report, Request};
use crate::sys::channel::Channel;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// A fresh session id: 64 hex digits.
pub fn new_id() -> Result<String> {
    Containers::new_id()
}

/// Connects to the monitor of the container that `word` names.
///
/// Errors: `NotFound`; `Conflict` when it does not run.
pub fn connect(store: &Store, word: &str) -> Result<Channel> {
    let id = Containers::new(store.paths()).resolve(word)?;
    control::connect_to(&store.paths().container(&id))?.ok_or_else(|| {
        Error::conflict(format!("container `{word}` is not running")).hint(format!("start it: `runr start {word}`"))
    })
}

/// Asks for a command. `fds` are the streams that `spec` announces, then what it passes on.
pub fn send(channel: &Channel, spec: &ExecSpec, fds: &[BorrowedFd<'_>]) -> Result<()> {
    if channel.send(&Request::Exec(Box::new(spec.clone())), fds)? {
        return Ok(());
    }
    Err(Error::conflict("the container is not running any more"))
}

/// How long a monitor is waited for that may be stopped.
const PATIENCE: Duration = Duration::from_millis(500);

/// The ids of a container's sessions, as its monitor knows them: a note on disk for each would make `exec` slower.
pub fn sessions(container: &Container) -> Vec<String> {
    if !container.state.status.is_alive() {
        return Vec::new();
    }
    match control::ask_briefly(&container.folder, &Request::Sessions, PATIENCE) {
        Some(Report::Sessions { ids }) => ids,
        _ => Vec::new(),
    }
}
