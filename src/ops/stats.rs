//! `stats`: what containers use, at two moments. From the cgroup's files where the container has a cgroup with controllers, else
//! summed over its processes in /proc: then what ended and was nobody's child any more is missing, and memory that
//! processes share is divided among them.

use super::processes::{Snapshot, first_process};
use crate::base::units::boot_nanos;
use crate::state::containers::Container;
use crate::sys::procfs::{self, Stat};
use std::path::Path;

/// What one container has used by one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// Nanoseconds since the boot.
    pub at: u64,
    /// Nanoseconds of processor time.
    pub cpu: u64,
    /// Nanoseconds since its first process began; 0 when it does not run.
    pub age: u64,
    /// Bytes of memory, without what the kernel could drop at once.
    pub memory: u64,
    /// Bytes that it may use at most: this machine's, unless its cgroup says less.
    pub memory_limit: u64,
    /// Bytes received and sent.
    pub network: (u64, u64),
    /// Bytes read from and written to storage.
    pub storage: (u64, u64),
    /// Processes and threads.
    pub tasks: u64,
}

impl Sample {
    /// Looks at a container; all is zero for one that does not run, as docker has it.
    pub fn take(container: &Container, snapshot: &Snapshot) -> Self {
        let at = boot_nanos();
        let Some(first) = first_process(container) else { return Self { at, ..Self::default() } };
        let processes = snapshot.of(container);
        let cgroup = container.state.cgroup.as_deref();
        let started = processes.iter().find(|p| p.pid == first).map_or(at, |p| nanos(p.start_ticks));
        let machine = procfs::machine_memory().unwrap_or(0);
        // The machine's own network is not the container's.
        let shares_network = matches!(container.record.options.network.as_deref(), None | Some("host"));
        Self {
            at,
            cpu: cgroup.and_then(cgroup_cpu).unwrap_or_else(|| cpu(&processes)),
            age: at.saturating_sub(started),
            memory: cgroup.and_then(cgroup_memory).unwrap_or_else(|| memory(&processes)),
            memory_limit: cgroup.and_then(cgroup_limit).map_or(machine, |limit| limit.min(machine)),
            network: if shares_network { (0, 0) } else { procfs::network_bytes(first).unwrap_or_default() },
            storage: cgroup.and_then(cgroup_storage).unwrap_or_else(|| storage(&processes)),
            tasks: cgroup
                .and_then(|c| number(c, "pids.current"))
                .unwrap_or_else(|| processes.iter().map(|p| p.threads).sum()),
        }
    }

    /// Percent of one processor used since `before`; since its start when there is no earlier moment of the same run.
    pub fn cpu_percent(&self, before: Option<&Self>) -> f64 {
        match before.filter(|b| b.age < self.age && b.cpu <= self.cpu && b.at < self.at && b.age > 0) {
            Some(before) => (self.cpu - before.cpu) as f64 * 100.0 / (self.at - before.at) as f64,
            None => self.average_percent(),
        }
    }

    /// Percent of one processor used since its start.
    pub fn average_percent(&self) -> f64 {
        if self.age == 0 { 0.0 } else { self.cpu as f64 * 100.0 / self.age as f64 }
    }

    /// Percent of the memory that it may use.
    pub fn memory_percent(&self) -> f64 {
        if self.memory_limit == 0 { 0.0 } else { self.memory as f64 * 100.0 / self.memory_limit as f64 }
    }
}

fn nanos(ticks: u64) -> u64 {
    ticks.saturating_mul(1_000_000_000 / procfs::ticks_per_second())
}

fn cpu(processes: &[&Stat]) -> u64 {
    let ticks = |p: &&Stat| p.user_ticks.saturating_add(p.system_ticks).saturating_add(p.children_ticks);
    nanos(processes.iter().map(ticks).fold(0, u64::saturating_add))
}

fn memory(processes: &[&Stat]) -> u64 {
    let of = |p: &&Stat| {
        procfs::proportional_bytes(p.pid).unwrap_or_else(|| p.resident_pages.saturating_mul(procfs::page_size()))
    };
    processes.iter().map(of).fold(0, u64::saturating_add)
}

fn storage(processes: &[&Stat]) -> (u64, u64) {
    let bytes = processes.iter().filter_map(|p| procfs::storage_bytes(p.pid));
    bytes.fold((0, 0), |(read, written), (r, w)| (read.saturating_add(r), written.saturating_add(w)))
}

/// cgroup-v2.rst of the kernel, "CPU Interface Files". The file is there without the controller, too.
fn cgroup_cpu(folder: &Path) -> Option<u64> {
    field(&file(folder, "cpu.stat")?, "usage_usec")?.checked_mul(1000)
}

/// As docker counts: without the file cache that nobody has used for a while.
fn cgroup_memory(folder: &Path) -> Option<u64> {
    let all = number(folder, "memory.current")?;
    let cache = file(folder, "memory.stat").and_then(|text| field(&text, "inactive_file")).unwrap_or(0);
    Some(all.saturating_sub(cache))
}

fn cgroup_limit(folder: &Path) -> Option<u64> {
    number(folder, "memory.max")
}

/// Lines of `8:0 rbytes=1 wbytes=2 rios=3 …`, one for each device.
fn cgroup_storage(folder: &Path) -> Option<(u64, u64)> {
    let text = file(folder, "io.stat")?;
    let sum = |name: &str| {
        let values = text.split_whitespace().filter_map(|word| word.strip_prefix(name)?.parse::<u64>().ok());
        values.fold(0, u64::saturating_add)
    };
    Some((sum("rbytes="), sum("wbytes=")))
}

fn file(folder: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(folder.join(name)).ok()
}

fn number(folder: &Path, name: &str) -> Option<u64> {
    file(folder, name)?.trim().parse().ok()
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroups_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("cpu.stat", "usage_usec 2500\nuser_usec 1\n"),
            ("memory.current", "5000\n"),
            ("memory.stat", "anon 1\ninactive_file 1000\n"),
            ("memory.max", "max\n"),
            ("io.stat", "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2 rios=1\n"),
            ("pids.current", "7\n"),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        assert_eq!(cgroup_cpu(dir.path()), Some(2_500_000));
        assert_eq!((cgroup_memory(dir.path()), cgroup_limit(dir.path())), (Some(4000), None));
        assert_eq!((cgroup_storage(dir.path()), number(dir.path(), "pids.current")), (Some((11, 22)), Some(7)));
        assert_eq!(cgroup_cpu(Path::new("/nonexistent")), None);
    }

    #[test]
    fn shares_are_of_the_time_between_two_moments() {
        let second = 1_000_000_000;
        let first = Sample { at: 10 * second, cpu: second, age: 4 * second, ..Sample::default() };
        let next = Sample { at: 12 * second, cpu: 2 * second, age: 6 * second, ..Sample::default() };
        assert_eq!(next.cpu_percent(Some(&first)), 50.0);
        assert_eq!((first.cpu_percent(None), first.average_percent()), (25.0, 25.0));
        // Another run of the same container.
        let again = Sample { at: 14 * second, cpu: second, age: second, ..Sample::default() };
        assert_eq!(again.cpu_percent(Some(&next)), 100.0);
        assert_eq!((Sample::default().cpu_percent(None), Sample::default().memory_percent()), (0.0, 0.0));
        assert_eq!(Sample { memory: 1, memory_limit: 4, ..Sample::default() }.memory_percent(), 25.0);
    }
}
