//! Changes to a container that exists: its name, its settings.

use super::containers::gone;
use crate::base::{Error, Result};
use crate::runtime::cgroup;
use crate::spec::ContainerOptions;
use crate::spec::health::HealthOptions;
use crate::spec::limits::Limits;
use crate::spec::options::{RestartPolicy, Ulimit};
use crate::state::Containers;
use crate::state::events::{self, Event};
use crate::store::Store;
use crate::supervise::control;
use crate::supervise::protocol::Request;
use crate::sys::fs::block_device;

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

/// What `update` changes; what is empty stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// From now on.
    pub restart: Option<RestartPolicy>,
    /// `NAME=value`, from the next start on.
    pub env: Vec<String>,
    /// Names, from the next start on.
    pub unset_env: Vec<String>,
    /// From the next start on.
    pub ulimits: Vec<Ulimit>,
    /// From now on.
    pub health: HealthOptions,
    /// From now on.
    pub limits: Limits,
}

/// Changes the container that `word` names. Its monitor learns at once what concerns it.
///
/// Errors: `NotFound`; `Conflict` for a restart policy of a container that is removed at its end.
pub fn update(store: &Store, word: &str, changes: &Changes) -> Result<()> {
    let all = Containers::new(store.paths());
    let id = all.resolve(word)?;
    let limits = limit(&all, &id, word, changes)?;
    let changed = all.change(&id, |record| apply(changes, &mut record.options));
    let record = changed.map_err(|e| gone(e, word))?;
    events::append(store.paths(), &Event::of(&record, "update"));
    let checks = changes.health != HealthOptions::default();
    if changes.restart.is_none() && !checks && limits.is_none() {
        return Ok(());
    }
    if let Some(channel) = control::connect_to(&store.paths().container(&id))? {
        let health = checks.then(|| Box::new(record.options.health));
        control::ask(&channel, &Request::Update { restart: changes.restart, health, limits: limits.map(Box::new) })?;
    }
    Ok(())
}

/// Limits a container that runs; returns all limits that it has then. `None` when there is nothing to limit.
fn limit(all: &Containers, id: &str, word: &str, changes: &Changes) -> Result<Option<Limits>> {
    if changes.limits.is_empty() {
        return Ok(None);
    }
    let container = all.load(id).map_err(|e| gone(e, word))?;
    let mut limits = container.record.options.limits.clone();
    limits.update(&changes.limits);
    limits.check()?;
    // A memory limit alone moves that of swap as well.
    let mut now = changes.limits.clone();
    if now.memory.is_some() != now.memory_swap.is_some() {
        (now.memory, now.memory_swap) = (limits.memory, limits.memory_swap);
    }
    if now.cpu_period.is_some() != now.cpu_quota.is_some() {
        (now.cpu_period, now.cpu_quota) = (limits.cpu_period, limits.cpu_quota);
    }
    let settings = now.settings(&block_device)?;
    if container.state.status.is_alive() && container.state.process.is_some() {
        match &container.state.cgroup {
            Some(folder) => cgroup::apply(folder, &settings)?,
            None => {
                return Err(Error::unsupported("the container runs without a cgroup of its own")
                    .hint("stop it: what is updated then holds from its next start on"));
            }
        }
    }
    Ok(Some(limits))
}

fn apply(changes: &Changes, options: &mut ContainerOptions) -> Result<()> {
    if let Some(restart) = changes.restart {
        if options.remove && restart != RestartPolicy::No {
            return Err(Error::conflict("the container is removed at its end (`--rm`), so it cannot be started again"));
        }
        options.restart = restart;
    }
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
    for unset in &changes.unset_env {
        options.env.retain(|pair| name(pair) != *unset);
        if !options.unset_env.contains(unset) {
            options.unset_env.push(unset.clone());
        }
    }
    for pair in &changes.env {
        options.env.retain(|old| name(old) != name(pair));
        options.env.push(pair.clone());
    }
    for ulimit in &changes.ulimits {
        options.ulimits.retain(|old| old.name != ulimit.name);
        options.ulimits.push(ulimit.clone());
    }
    options.health.update(changes.health.clone());
    options.limits.update(&changes.limits);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_replace_what_has_their_name() {
        let mut options = ContainerOptions { env: vec!["A=1".into(), "B=2".into()], ..ContainerOptions::default() };
        let ulimit = |soft| Ulimit { name: "nofile".into(), soft, hard: 10 };
        options.ulimits.push(ulimit(1));
        let changes = Changes {
            restart: Some(RestartPolicy::Always),
            env: vec!["A=3".into(), "C=4".into()],
            unset_env: vec!["B".into(), "PATH".into()],
            ulimits: vec![ulimit(2)],
            health: HealthOptions { retries: Some(9), ..HealthOptions::default() },
            limits: Limits { pids: Some(3), ..Limits::default() },
        };
        for _ in 0..2 {
            apply(&changes, &mut options).unwrap();
            assert_eq!((options.env.join(" "), options.unset_env.join(" ")), ("A=3 C=4".into(), "B PATH".into()));
            assert_eq!((&options.health, &options.limits), (&changes.health, &changes.limits));
            assert_eq!((options.restart, options.ulimits.as_slice()), (RestartPolicy::Always, &[ulimit(2)][..]));
        }
        options.remove = true;
        assert!(apply(&changes, &mut options).is_err());
    }
}
