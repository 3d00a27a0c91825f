//! A process and all that came of it: its children's children, what stayed in its session when its parent ended, and what has
//! left both (a daemon: `setsid` and a parent that ended), which is known by its [`Mark`].

use super::marks::Mark;
use crate::sys::process::{pidfd_open, pidfd_signal};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};

/// How often more processes are looked for. Those found are stopped by then and make no new ones.
const ROUNDS: usize = 16;

/// Kills the session leader `leader` and everything that is known to have come of it. `leader` is a child that is not reaped
/// yet, so its number is its own.
pub(super) fn kill_all(leader: Pid, mark: &Mark) {
    let mut known = BTreeSet::new();
    // A process that is stopped in the middle of a fork still finishes it; once it is killed it doesn't. So what is found only
    // after the first were killed is looked for as well.
    for _ in 0..ROUNDS {
        let found = stop_all(leader, mark, &mut known);
        if found.is_empty() {
            break;
        }
        found.into_iter().for_each(kill);
    }
}

/// Stops what is not `known` yet and adds it to that.
fn stop_all(leader: Pid, mark: &Mark, known: &mut BTreeSet<(i32, u64)>) -> Vec<OwnedFd> {
    let mut found: Vec<OwnedFd> = Vec::new();
    for _ in 0..ROUNDS {
        let related = related(leader.as_raw(), mark);
        let new: Vec<Relation> = related.into_iter().filter(|r| known.insert((r.pid, r.start))).collect();
        if new.is_empty() {
            break;
        }
        for process in new {
            let Ok(pidfd) = pidfd_open(Pid::from_raw(process.pid)) else { continue };
            // The number could have passed on between the look and the open; what the descriptor holds can't change any more.
            if stat(process.pid).is_some_and(|now| now.start == process.start) {
                let _ = pidfd_signal(pidfd.as_fd(), libc::SIGSTOP);
                found.push(pidfd);
            }
        }
    }
    found
}

fn kill(pidfd: OwnedFd) {
    let _ = pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
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

fn related(leader: i32, mark: &Mark) -> Vec<Relation> {
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<Relation> = pids.filter_map(|e| stat(e.file_name().to_str()?.parse().ok()?)).collect();
    closure(leader, &all, |pid| mark.is_on(pid))
}

/// The leader, its session, who is marked, and the descendants of all of them.
fn closure(leader: i32, all: &[Relation], is_marked: impl Fn(i32) -> bool) -> Vec<Relation> {
    let is_first = |r: &&Relation| r.pid == leader || r.session == leader || is_marked(r.pid);
    let mut members: BTreeSet<i32> = all.iter().filter(is_first).map(|r| r.pid).collect();
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
            // A daemon, and a child of its own.
            process(30, 1, 30),
            process(31, 30, 31),
        ];
        let pids = |is_marked: &dyn Fn(i32) -> bool| {
            let mut pids: Vec<i32> = closure(10, &all, is_marked).iter().map(|r| r.pid).collect();
            pids.sort_unstable();
            pids
        };
        assert_eq!(pids(&|_| false), [10, 11, 12, 13, 14]);
        assert_eq!(pids(&|pid| pid == 30), [10, 11, 12, 13, 14, 30, 31]);
    }

    #[test]
    fn a_name_may_hold_anything() {
        let line = "42 (a) b) S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1 2";
        assert_eq!(parse(42, line), Some(Relation { pid: 42, parent: 7, session: 9, start: 12345 }));
        assert_eq!(parse(42, "42 (x"), None);
        assert!(stat(std::process::id() as i32).is_some());
    }
}
