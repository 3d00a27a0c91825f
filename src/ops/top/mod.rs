//! `top`: the processes of a container as rows. What docker and podman leave to a `ps` (the host's, or the image's if it has one)
//! is read from /proc, so that a container without any program can be looked at.
//!
//! Without arguments, and with descriptors, the columns are podman's; options of `ps(1)` give those of `ps`. Ids are those inside of the
//! container, in both: there is no root here that would know the others by name.

mod columns;
mod field;

use super::processes::{self, Names, Snapshot};
use crate::base::units::boot_nanos;
use crate::base::{Result, units};
use crate::state::containers::Container;
use crate::sys::procfs::{self, Stat, Status};
use columns::Column;
use std::collections::{BTreeMap, HashMap};

/// A head line, when the columns have one, and a row for each process.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Titles of the columns.
    pub head: Option<Vec<String>>,
    /// One cell for each column.
    pub rows: Vec<Vec<String>>,
}

/// What the descriptors of `top` are, for its help and its completion.
pub fn descriptors() -> impl Iterator<Item = &'static str> {
    columns::DESCRIPTORS.iter().map(|(name, ..)| *name)
}

/// Checks the words behind the container's name, which say what is shown.
///
/// Errors: `Usage` for a descriptor or an option of `ps` that is not known.
pub fn check(words: &[String]) -> Result<()> {
    columns::parse(words).map(drop)
}

/// The processes of a running container, its first one first.
///
/// Errors: `Conflict` when it does not run; `Usage` as for [`check`].
pub fn table(container: &Container, words: &[String]) -> Result<Table> {
    let columns = columns::parse(words)?;
    let first = processes::running(container, "top")?;
    let snapshot = Snapshot::take();
    let scene = Scene::new(container, first, &columns);
    let level = procfs::status(first).map_or(0, |s| s.pids.len().saturating_sub(1));
    let mut seen: Vec<Process<'_>> = Vec::new();
    for stat in snapshot.of(container) {
        let Some(status) = procfs::status(stat.pid) else { continue };
        // What is about to join the container is not yet in its namespace.
        if status.pids.len() > level {
            seen.push(Process { stat, status, level });
        }
    }
    let inside: HashMap<i32, i32> = seen.iter().map(|p| (p.stat.pid, p.number(&p.status.pids))).collect();
    let rows = seen.iter().map(|p| columns.iter().map(|c| c.field.text(p, &scene, &inside)).collect()).collect();
    let titles: Vec<String> = columns.into_iter().map(|c| c.title).collect();
    let head = titles.iter().any(|t| !t.is_empty()).then_some(titles);
    Ok(Table { head, rows })
}

/// One process.
struct Process<'a> {
    stat: &'a Stat,
    status: Status,
    /// Which of its numbers is the container's.
    level: usize,
}

impl Process<'_> {
    /// Of a number in every pid namespace, the one in the container's.
    fn number(&self, numbers: &[i32]) -> i32 {
        numbers.get(self.level).copied().unwrap_or(0)
    }

    fn cpu_nanos(&self) -> u64 {
        nanos(self.stat.user_ticks.saturating_add(self.stat.system_ticks))
    }
}

/// What all cells of a table are made with.
struct Scene {
    names: Names,
    host_users: BTreeMap<u32, String>,
    host_groups: BTreeMap<u32, String>,
    /// Since the boot.
    now_nanos: u64,
    /// Seconds since 1970.
    boot_time: i64,
    memory: u64,
}

impl Scene {
    fn new(container: &Container, first: i32, columns: &[Column]) -> Self {
        let wants_host = columns.iter().any(|c| c.field.is_of_the_host());
        let (host_users, host_groups) = if wants_host { processes::host_names() } else { Default::default() };
        Self {
            names: Names::of(container, first),
            host_users,
            host_groups,
            now_nanos: boot_nanos(),
            boot_time: procfs::boot_time().unwrap_or(0),
            memory: procfs::machine_memory().unwrap_or(0),
        }
    }

    fn age_nanos(&self, stat: &Stat) -> u64 {
        self.now_nanos.saturating_sub(nanos(stat.start_ticks))
    }
}

fn nanos(ticks: u64) -> u64 {
    ticks.saturating_mul(1_000_000_000 / procfs::ticks_per_second())
}

/// Whole seconds as Go prints them.
fn go_seconds(nanos: u64) -> String {
    units::go_duration(nanos / 1_000_000_000 * 1_000_000_000)
}
