//! Start of a container: one that was just made, or one that stands there stopped.

use super::containers::gone;
use super::create::Created;
use super::plan;
use crate::base::progress::Progress;
use crate::base::{Error, Result};
use crate::runtime::plan::Plan;
use crate::state::containers::{Container, short};
use crate::state::{Containers, NewContainer};
use crate::store::Store;
use crate::supervise::monitor::{self, Assignment};
use crate::supervise::orphans;
use crate::supervise::process::Stdio;
use crate::sys::channel::Channel;
use crate::sys::term::Size;
use std::time::{Duration, Instant};

/// How long another command may take to start or remove the container that is to be started.
const PATIENCE: Duration = Duration::from_secs(30);

/// A container that is to be started, once its lock is taken.
#[derive(Debug)]
pub enum Taken {
    /// It runs already.
    Running(Box<Container>),
    /// It is stopped, and nobody else can start or remove it meanwhile.
    Stopped(Box<NewContainer>),
}

/// Starts a container that was just made. Returns the channel to its monitor.
///
/// The calling process must have no other thread.
pub fn first(
    store: &Store,
    created: Created,
    stdio: Stdio,
    size: Option<Size>,
    progress: &dyn Progress,
) -> Result<Channel> {
    let (container, plan) = created.into_plan(store, progress)?;
    fork_monitor(store, container, plan, stdio, size)
}

/// Starts a stopped container again. Returns the channel to its monitor.
///
/// The calling process must have no other thread.
pub fn again(
    store: &Store,
    container: NewContainer,
    stdio: Stdio,
    size: Option<Size>,
    progress: &dyn Progress,
) -> Result<Channel> {
    let plan = plan::plan(store, &container.record, &container.folder, progress)?;
    fork_monitor(store, container, plan, stdio, size)
}

/// Takes the lock of the container that `word` names, after what a dead monitor left of it is cleared away.
///
/// Errors: `NotFound`; `Conflict` when another command keeps it for long without running it.
pub fn take(store: &Store, word: &str) -> Result<Taken> {
    let all = Containers::new(store.paths());
    let id = all.resolve(word)?;
    let begin = Instant::now();
    loop {
        if let Some((container, state)) = all.take_stopped(&id).map_err(|e| gone(e, word))? {
            orphans::kill_leftovers(&state);
            if container.record.options.remove && state.process.is_some() {
                // Its monitor died before it could remove it.
                orphans::discard(store, &id, Some(&container.record.name), &container.record.map)?;
                return Err(Error::not_found(format!("no such container: {word}")));
            }
            return Ok(Taken::Stopped(Box::new(container)));
        }
        let container = all.load(&id).map_err(|e| gone(e, word))?;
        if container.state.status.is_alive() && container.state.process.is_some() {
            return Ok(Taken::Running(Box::new(container)));
        }
        if begin.elapsed() > PATIENCE {
            return Err(Error::conflict(format!(
                "container `{}` is being started or removed by another command",
                short(&id)
            )));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn fork_monitor(
    store: &Store,
    container: NewContainer,
    plan: Plan,
    stdio: Stdio,
    size: Option<Size>,
) -> Result<Channel> {
    monitor::start(Assignment { store: store.clone(), container, plan, stdio, size })
}
