//! The processes of a container, found from outside: by its cgroup where it has one, else as what descends from its monitor.
//! (Exec sessions are the monitor's children as the first process is; what loses its parent in a container goes to its process 1.)

use crate::base::{Error, Result};
use crate::rootfs::users;
use crate::state::containers::Container;
use crate::sys::procfs::{self, Stat};
use crate::userns::IdMap;
use crate::userns::idmap::IdRange;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

pub use crate::sys::procfs::namespace;

/// Every process of this machine at one moment, taken once for all containers of a command.
#[derive(Debug, Default)]
pub struct Snapshot {
    processes: HashMap<i32, Stat>,
    children: HashMap<i32, Vec<i32>>,
}

impl Snapshot {
    /// Looks at all processes.
    pub fn take() -> Self {
        let mut snapshot = Self::default();
        for stat in procfs::pids().into_iter().filter_map(procfs::stat) {
            snapshot.children.entry(stat.parent).or_default().push(stat.pid);
            snapshot.processes.insert(stat.pid, stat);
        }
        snapshot
    }

    /// The processes of a container, by pid; none when it does not run.
    pub fn of(&self, container: &Container) -> Vec<&Stat> {
        let Some(first) = first_process(container) else { return Vec::new() };
        let pids = match container.state.cgroup.as_deref().and_then(cgroup_pids) {
            Some(pids) => pids,
            None => self.descendants(container, first),
        };
        let mut found: Vec<&Stat> = pids.into_iter().filter_map(|pid| self.processes.get(&pid)).collect();
        // A child that has ended and not been waited for is nothing to see, except for the first process itself.
        found.sort_by_key(|p| (p.pid != first, p.start_ticks, p.pid));
        found
    }

    fn descendants(&self, container: &Container, first: i32) -> HashSet<i32> {
        let mut waiting = vec![first];
        let monitor = container.state.monitor.as_ref().filter(|m| m.is_alive());
        if let Some(children) = monitor.and_then(|m| self.children.get(&m.pid)) {
            waiting.extend(children);
        }
        let mut found = HashSet::new();
        while let Some(pid) = waiting.pop() {
            if found.insert(pid) {
                waiting.extend(self.children.get(&pid).into_iter().flatten());
            }
        }
        found
    }
}

/// The pid of the container's first process, if it is alive and that very process.
pub fn first_process(container: &Container) -> Option<i32> {
    let process = container.state.process.as_ref().filter(|_| container.state.status.is_running())?;
    process.is_alive().then_some(process.pid)
}

/// The first process of a container that must run.
///
/// Errors: `Conflict` when it does not.
pub fn running(container: &Container, action: &str) -> Result<i32> {
    first_process(container).ok_or_else(|| {
        let name = &container.record.name;
        Error::conflict(format!(
            "{action} can only be used on running containers: `{name}` is {}",
            container.state.status.word()
        ))
        .hint(format!("start it with `runr start {name}`"))
    })
}

/// All processes in a cgroup and those below it; `None` when it can't be read.
fn cgroup_pids(folder: &Path) -> Option<HashSet<i32>> {
    let text = std::fs::read_to_string(folder.join("cgroup.procs")).ok()?;
    let mut pids: HashSet<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    let below = std::fs::read_dir(folder).ok()?.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    for child in below {
        pids.extend(cgroup_pids(&child.path()).unwrap_or_default());
    }
    Some(pids)
}

/// Ids and names as they are inside of one container.
#[derive(Debug)]
pub struct Names {
    map: IdMap,
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Names {
    /// The names that the container's own files give, read through its first process's root, by descriptor. A file that
    /// can't be read or is not a plain small one gives no names.
    pub fn of(container: &Container, first: i32) -> Self {
        let root = File::open(format!("/proc/{first}/root"));
        let (users, groups) = root.map(|root| users::names(root.as_fd())).unwrap_or_default();
        Self { map: container.record.map.clone(), users, groups }
    }

    /// A user of this machine as the container calls him: a name, else a number; `?` for one that it can't see.
    pub fn user(&self, outside: u32) -> String {
        name(inside(&self.map.uids, outside), &self.users)
    }

    /// A group, likewise.
    pub fn group(&self, outside: u32) -> String {
        name(inside(&self.map.gids, outside), &self.groups)
    }

    /// A user's number in the container.
    pub fn uid(&self, outside: u32) -> Option<u32> {
        inside(&self.map.uids, outside)
    }

    /// A group's number in the container.
    pub fn gid(&self, outside: u32) -> Option<u32> {
        inside(&self.map.gids, outside)
    }
}

fn name(id: Option<u32>, names: &BTreeMap<u32, String>) -> String {
    id.map_or_else(|| "?".to_owned(), |id| names.get(&id).cloned().unwrap_or_else(|| id.to_string()))
}

fn inside(ranges: &[IdRange], outside: u32) -> Option<u32> {
    let range = ranges.iter().find(|r| outside.checked_sub(r.outside).is_some_and(|offset| offset < r.count))?;
    range.inside.checked_add(outside - range.outside)
}

/// Names of this machine's users and groups, for the columns that show them.
pub fn host_names() -> (BTreeMap<u32, String>, BTreeMap<u32, String>) {
    File::open("/").map(|root| users::names(root.as_fd())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_container() {
        let ranges =
            [IdRange { inside: 0, outside: 1000, count: 1 }, IdRange { inside: 1, outside: 100_000, count: 65_535 }];
        for (outside, expected) in
            [(1000, Some(0)), (100_000, Some(1)), (165_534, Some(65_535)), (165_535, None), (0, None)]
        {
            assert_eq!(inside(&ranges, outside), expected, "{outside}");
        }
        let names = BTreeMap::from([(0, "root".to_owned())]);
        assert_eq!(
            (name(Some(0), &names), name(Some(7), &names), name(None, &names)),
            ("root".into(), "7".into(), "?".into())
        );
    }
}
