//! A process and all that came of it: its children's children, and what stayed in its session when its parent ended.
//!
//! What has left both (a daemon: `setsid` and a parent that ended) is not found; in a cgroup or pid namespace of its own the
//! kernel ends it with the container.

use crate::sys::process::{pidfd_open, pidfd_signal};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};

/// How often more processes are looked for. Those found are stopped by then and make no new ones.
const ROUNDS: usize = 16;

/// Kills the session leader `leader` and everything that is known to have come of it. `leader` is a child that is not reaped
/// yet, so its number is its own.
pub(super) fn kill_all(leader: Pid) {
    let mut found: Vec<OwnedFd> = Vec::new();
    let mut known = BTreeSet::new();
    for _ in 0..ROUNDS {
        let new: Vec<Relation> = related(leader.as_raw()).into_iter().filter(|r| !known.contains(&r.pid)).collect();
        if new.is_empty() {
            break;
        }
        for process in new {
            known.insert(process.pid);
            let Ok(pidfd) = pidfd_open(Pid::from_raw(process.pid)) else { continue };
            // The number could have passed on between the look and the open; what the descriptor holds can't change any more.
            if stat(process.pid).is_some_and(|now| now.start == process.start) {
                let _ = pidfd_signal(pidfd.as_fd(), libc::SIGSTOP);
                found.push(pidfd);
            }
        }
    }
    for pidfd in found {
        let _ = pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
    }
}

/// What proc_pid_stat(5) says of a process's relations, in this pid namespace's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Relation {
    pid: i32,
    parent: i32,
    session: i32,
    start: u64,
}

fn stat(pid: i32) -> Option<Relation> {
    parse(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The second field, the program's name, may hold spaces and parentheses.
fn parse(pid: i32, stat: &str) -> Option<Relation> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Relation {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}

fn related(leader: i32) -> Vec<Relation> {
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<Relation> = pids.filter_map(|e| stat(e.file_name().to_str()?.parse().ok()?)).collect();
    closure(leader, &all)
}

/// The leader, its session, and the descendants of all of them.
fn closure(leader: i32, all: &[Relation]) -> Vec<Relation> {
    let mut members: BTreeSet<i32> =
        all.iter().filter(|r| r.pid == leader || r.session == leader).map(|r| r.pid).collect();
    loop {
        let before = members.len();
        for process in all {
            if members.contains(&process.parent) {
                members.insert(process.pid);
            }
        }
        if members.len() == before {
            break;
        }
    }
    all.iter().filter(|r| members.contains(&r.pid)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_and_its_descendants_belong_together() {
        let process = |pid, parent, session| Relation { pid, parent, session, start: 0 };
        // 12 left the session, its parent lives; 13's parent ended; 21 is another's.
        let all = [
            process(1, 0, 1),
            process(14, 12, 12),
            process(10, 1, 10),
            process(11, 10, 10),
            process(12, 11, 12),
            process(13, 1, 10),
            process(20, 1, 20),
            process(21, 20, 20),
        ];
        let mut pids: Vec<i32> = closure(10, &all).iter().map(|r| r.pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, [10, 11, 12, 13, 14]);
    }

    #[test]
    fn a_name_may_hold_anything() {
        let line = "42 (a) b) S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1 2";
        assert_eq!(parse(42, line), Some(Relation { pid: 42, parent: 7, session: 9, start: 12345 }));
        assert_eq!(parse(42, "42 (x"), None);
        assert!(stat(std::process::id() as i32).is_some());
    }
}
