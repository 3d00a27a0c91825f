//! What happens to a container that runs: stop, kill, restart, pause, wait. The container's monitor does it; these functions
//! find the monitor and ask.

use super::containers::gone;
use crate::base::{Error, Result};
use crate::state::containers::{Container, short};
use crate::state::{Containers, Status};
use crate::store::Store;
use crate::supervise::control::{ask, connect_to, next};
use crate::supervise::orphans;
use crate::supervise::protocol::{Report, Request};
use crate::sys::channel::Channel;

/// A container that was asked to end.
#[derive(Debug)]
pub struct Ending(Option<Channel>);

impl Ending {
    /// Waits until it has ended, and all that must be true before the next command of a script is. Returns its exit code, unless it
    /// was over before.
    pub fn wait(self) -> Result<Option<i32>> {
        let Some(channel) = self.0 else { return Ok(None) };
        loop {
            match next(&channel)? {
                Some(Report::Exited { code }) => return Ok(Some(code)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }
}

/// Asks a container to end, with `signal` instead of its own stop signal, to be killed after `timeout_seconds` (-1 is never). One that
/// doesn't run is left as it is.
///
/// Errors: `NotFound`.
pub fn stop(store: &Store, word: &str, signal: Option<i32>, timeout_seconds: Option<i64>) -> Result<Ending> {
    let (id, channel) = connect(store, word)?;
    if channel.is_none() {
        settle(store, &id)?;
    }
    let request = Request::Stop { signal, timeout_seconds, remove: false };
    Ok(Ending(channel.filter(|channel| matches!(channel.send(&request, &[]), Ok(true)))))
}

/// Ends a container's process and starts it again; false for one that doesn't run, which is the caller's to start.
pub fn restart(store: &Store, word: &str, signal: Option<i32>, timeout_seconds: Option<i64>) -> Result<bool> {
    let (_, Some(channel)) = connect(store, word)? else { return Ok(false) };
    Ok(ask(&channel, &Request::Restart { signal, timeout_seconds })?.is_some())
}

/// Sends a signal to a container's first process.
///
/// Errors: `NotFound`; `Conflict` for one that doesn't run.
pub fn kill(store: &Store, word: &str, signal: i32) -> Result<()> {
    demand(store, word, &Request::Kill { signal }, "kill")
}

/// Stops all processes of a container where they are.
///
/// Errors: as [`kill`]; `Conflict` for one that is paused already; `Unsupported` without a cgroup.
pub fn pause(store: &Store, word: &str) -> Result<()> {
    demand(store, word, &Request::Pause, "pause")
}

/// Lets them go on. Errors: as [`pause`].
pub fn unpause(store: &Store, word: &str) -> Result<()> {
    demand(store, word, &Request::Unpause, "unpause")
}

fn demand(store: &Store, word: &str, request: &Request, verb: &str) -> Result<()> {
    let (id, channel) = connect(store, word)?;
    let asked = channel.map_or(Ok(None), |channel| ask(&channel, request));
    match asked.map_err(|e| e.step(format!("cannot {verb} container `{word}`")))? {
        Some(_) => Ok(()),
        None => Err(not_running(store, word, &id, verb)),
    }
}

fn not_running(store: &Store, word: &str, id: &str, verb: &str) -> Error {
    let state = Containers::new(store.paths()).load(id).map_or("gone", |c| c.state.status.word());
    Error::conflict(format!("cannot {verb} container `{word}`: container {} is not running, it is {state}", short(id)))
        .hint(format!("start it with `runr start {word}`"))
}

/// A connection to a running container, for the commands that stay with it.
///
/// Errors: `NotFound`; `Conflict` for one that doesn't run.
pub fn running(store: &Store, word: &str, verb: &str) -> Result<(Container, Channel)> {
    let (id, channel) = connect(store, word)?;
    let channel = channel.ok_or_else(|| not_running(store, word, &id, verb))?;
    let container = Containers::new(store.paths()).load(&id).map_err(|e| gone(e, word))?;
    if container.state.status == Status::Initialized {
        return Err(not_running(store, word, &id, verb));
    }
    Ok((container, channel))
}

fn connect(store: &Store, word: &str) -> Result<(String, Option<Channel>)> {
    let id = Containers::new(store.paths()).resolve(word)?;
    let channel = connect_to(&store.paths().container(&id))?;
    Ok((id, channel))
}

/// Clears away what a dead monitor left of the container.
fn settle(store: &Store, id: &str) -> Result<()> {
    match Containers::new(store.paths()).load(id) {
        Ok(container) => orphans::settle(store, &container),
        // Damaged, or gone: nothing runs.
        Err(_) => Ok(()),
    }
}

/// What `wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It has one of these states.
    Is(Status),
    /// It doesn't run: docker's default.
    NotRunning,
    /// Its process ends, or has ended if it doesn't run: docker's `next-exit`.
    NextExit,
    /// It is gone.
    Removed,
    /// Its health check says so.
    Healthy,
    /// Its health check says so.
    Unhealthy,
}

/// Waits until one of `conditions` holds for a container. Returns its exit code if that is about its end.
///
/// Errors: `NotFound`.
pub fn wait(store: &Store, word: &str, conditions: &[Condition]) -> Result<Option<i32>> {
    let id = Containers::new(store.paths()).resolve(word)?;
    let folder = store.paths().container(&id);
    let mut last = None;
    loop {
        // Connected before the look, so that no change between the two is missed.
        let channel = connect_to(&folder)?;
        if let Some(channel) = &channel {
            let _ = channel.send(&Request::Wait, &[])?;
            let _ = channel.send(&Request::Watch, &[])?;
        }
        // While its monitor has something to say a container is not gone: one made with `--rm` leaves no record of its end.
        let watched = channel.is_some();
        if let Some(code) = holds(store, &id, conditions, &mut last, watched)? {
            return Ok(code);
        }
        match channel {
            Some(channel) => {
                while let Some(report) = next(&channel)? {
                    if let Report::Exited { code } = report {
                        last = Some(code);
                        break;
                    }
                    if let Some(code) = holds(store, &id, conditions, &mut last, true)? {
                        return Ok(code);
                    }
                }
            }
            // Nobody tells of a start, so it is looked for.
            None => std::thread::sleep(std::time::Duration::from_millis(20)),
        }
    }
}

/// Waits until one of `conditions` holds for one of several containers; as [`wait`] for that one.
pub fn wait_any(store: &Store, words: &[String], conditions: &[Condition]) -> Result<Option<i32>> {
    let all = Containers::new(store.paths());
    let ids = words.iter().map(|word| all.resolve(word)).collect::<Result<Vec<_>>>()?;
    loop {
        for id in &ids {
            if let Some(code) = holds(store, id, conditions, &mut None, false)? {
                return Ok(code);
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// The exit code, in case a condition holds. With `watched` there is a monitor that has not said its last word.
fn holds(
    store: &Store,
    id: &str,
    conditions: &[Condition],
    last: &mut Option<i32>,
    watched: bool,
) -> Result<Option<Option<i32>>> {
    use crate::state::record::HealthStatus;
    let container = match Containers::new(store.paths()).load(id) {
        Ok(container) => container,
        Err(_) if !store.paths().container(id).exists() => return Ok((!watched).then_some(*last)),
        Err(e) => return Err(e),
    };
    let state = &container.state;
    let health = state.health.as_ref().map(|h| h.status);
    let alive = state.status.is_running();
    if !alive {
        *last = state.exit_code.or(*last);
    }
    let ended = last.is_some();
    let true_for = |condition: &Condition| match condition {
        Condition::Is(status) => state.status == *status,
        Condition::NotRunning => !alive,
        Condition::NextExit => !alive && (ended || state.status == Status::Exited),
        Condition::Removed => false,
        Condition::Healthy => health == Some(HealthStatus::Healthy),
        Condition::Unhealthy => health == Some(HealthStatus::Unhealthy),
    };
    let held: Vec<&Condition> = conditions.iter().filter(|c| true_for(c)).collect();
    // Before its start a container that was waited for as such has no status; whoever waits for its end gets 0.
    let early = |c: &&Condition| matches!(c, Condition::Is(Status::Created | Status::Initialized));
    let code = (!alive && !held.iter().all(early)).then(|| state.exit_code.unwrap_or(0));
    Ok((!held.is_empty()).then_some(code))
}
