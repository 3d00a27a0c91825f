//! Start of a created container in the foreground.

use super::create::Created;
use crate::base::Result;
use crate::store::Store;
use crate::supervise::monitor::{self, Assignment};
use crate::supervise::process::Stdio;
use crate::sys::channel::Channel;
use crate::sys::term::Size;

/// Forks the container's monitor, which starts it. The calling process must have no other thread.
/// With `foreground` the caller stays with the container.
pub fn start(store: &Store, created: Created, stdio: Stdio, size: Option<Size>, foreground: bool) -> Result<Channel> {
    monitor::start(Assignment {
        store: store.clone(),
        container: created.container,
        plan: created.plan,
        stdio,
        size,
        foreground,
    })
}
