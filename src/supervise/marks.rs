//! Marks by which the processes of an exec session are known, whatever they did to their ancestry.
//!
//! A daemon (`setsid`, and a parent that ended) becomes a child of the container's first process, and nothing in its ids says
//! any more who made it. What it cannot help to inherit, through fork and exec, is
//!
//! - a time namespace of the session's own (`runtime::exec`), from the command on. Its clocks are the container's, so nobody
//!   notices. It is a fence: only with `CAP_SYS_ADMIN` can a process leave it. No container has that unless it was given, and the
//!   usual filter lets nobody make a user namespace to have it in. Without a filter (`seccomp=unconfined`) everybody may.
//! - its timer slack (`PR_SET_TIMERSLACK`, 50 µs for everybody): each session has one that is a few nanoseconds longer, a
//!   number of its own, which who owns the user namespace may read in `/proc/PID/timerslack_ns`. A process may set that
//!   itself, one of a real-time class has none, and it counts in one namespace only (`Mark::within`). It is for kernels without
//!   time namespaces (before Linux 5.6), and for who left the fence. A daemon that left both goes with the container, and with
//!   `--pid host` not even then.
//!
//! Not a cgroup below the container's, which could be killed as a whole: few users may make one, and in it no controllers could be
//! enabled beside the container's own processes. Java before 24 and Node look for limits in their own group only, and would see none.

use crate::sys::procfs;
use nix::sys::stat::fstat;
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

/// The kernel's own timer slack, in nanoseconds (`INIT_TASK`).
const USUAL: u64 = 50_000;

/// How many numbers there are. The longest slack is twice the usual one.
const NUMBERS: u64 = 49_999;

/// What a session's processes have in common.
#[derive(Debug)]
pub(super) struct Mark {
    /// Their timer slack, in nanoseconds.
    pub(super) slack: u64,
    /// The namespace they are in, by its kind's name in `/proc/PID/ns`: on a machine with many containers, others have the same
    /// slack.
    within: Option<(&'static str, u64)>,
    /// Their time namespace, and its inode: the number is nobody else's as long as the descriptor is held.
    fence: Option<(OwnedFd, u64)>,
}

impl Mark {
    /// The session's time namespace is known.
    pub(super) fn fence(&mut self, namespace: OwnedFd) {
        self.fence = fstat(&namespace).ok().map(|stat| (namespace, stat.st_ino));
    }

    /// True if this process has it.
    pub(super) fn is_on(&self, pid: i32) -> bool {
        let there = |(kind, number)| procfs::namespace(pid, kind) == Some(number);
        self.fence.as_ref().is_some_and(|(_, number)| there(("time", *number)))
            || slack(pid) == Some(self.slack) && self.within.is_some_and(there)
    }
}

/// Gives out marks, to one container's sessions.
#[derive(Debug, Default)]
pub(super) struct Marks {
    given: u64,
    /// From the second lap on: the numbers that somebody still had at its beginning, such as a daemon that was left running.
    taken: BTreeSet<u64>,
}

impl Marks {
    /// A mark for the next session of the container whose first process is `first`.
    pub(super) fn next(&mut self, first: Pid) -> Mark {
        Mark { slack: USUAL + self.number(), within: place(first.as_raw()), fence: None }
    }

    fn number(&mut self) -> u64 {
        // At most one lap: with every number taken (no machine has room for that) two sessions share one.
        for _ in 0..NUMBERS {
            if self.given > 0 && self.given.is_multiple_of(NUMBERS) {
                self.taken =
                    procfs::pids().into_iter().filter_map(slack).filter_map(|s| s.checked_sub(USUAL)).collect();
            }
            let number = 1 + self.given % NUMBERS;
            self.given += 1;
            // What the monitor has itself, the container's first process has inherited: runr in a session of an outer runr.
            if !self.taken.contains(&number) && own_slack() != Some(USUAL + number) {
                return number;
            }
        }
        1
    }
}

/// The pid namespace; where that is the monitor's own (`--pid host`) the mount namespace, which is always the container's.
fn place(first: i32) -> Option<(&'static str, u64)> {
    let own = std::process::id() as i32;
    let of =
        |kind| Some((kind, procfs::namespace(first, kind)?)).filter(|(_, n)| procfs::namespace(own, kind) != Some(*n));
    of("pid").or_else(|| of("mnt"))
}

fn slack(pid: i32) -> Option<u64> {
    std::fs::read_to_string(format!("/proc/{pid}/timerslack_ns")).ok()?.trim().parse().ok()
}

fn own_slack() -> Option<u64> {
    nix::sys::prctl::get_timerslack().ok().and_then(|slack| u64::try_from(slack).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_one_after_the_other_and_round() {
        let mut marks = Marks::default();
        let own = own_slack().unwrap() - USUAL;
        let lap: Vec<u64> = (0..NUMBERS).map(|_| marks.number()).take_while(|n| *n < NUMBERS).collect();
        assert!(lap.windows(2).all(|w| w[0] < w[1]) && !lap.contains(&0) && !lap.contains(&own), "{:?}", &lap[..3]);
        marks.given = NUMBERS;
        let again = marks.number();
        assert!((1..10).contains(&again) && !marks.taken.contains(&again), "{again}");
    }

    #[test]
    fn this_process_has_no_mark() {
        // Of a process without privileges, a thread may read its own slack only.
        let own = nix::unistd::gettid().as_raw();
        let mark = Marks::default().next(Pid::from_raw(own));
        // The process is in the monitor's own namespaces: nothing there is a container's.
        assert_eq!(mark.within, None);
        assert!(!mark.is_on(own));
        let within = procfs::namespace(own, "pid").map(|n| ("pid", n));
        assert!(Mark { slack: own_slack().unwrap(), within, fence: None }.is_on(own));
        let mut fenced = Mark { slack: 0, within: None, fence: None };
        assert!(!fenced.is_on(own));
        if let Ok(namespace) = std::fs::File::open("/proc/self/ns/time") {
            fenced.fence(namespace.into());
            assert!(fenced.is_on(own));
        }
    }
}
