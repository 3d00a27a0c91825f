//! Finds the processes of a sandbox: those that have its path in their arguments or environment, as their working or root
//! folder, or in their mounts.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a monitor may take to clean up after it has reported the exit.
const GRACE: Duration = Duration::from_secs(10);

/// Waits until no process of the sandbox is left, and kills what does not end. Returns what had to be killed; with `wait`
/// false it kills at once.
pub fn wait_gone(sandbox: &Path, wait: bool) -> Vec<String> {
    let deadline = Instant::now() + if wait { GRACE } else { Duration::ZERO };
    let mut pause = Duration::from_millis(1);
    loop {
        let left = processes_of(sandbox);
        if left.is_empty() {
            return Vec::new();
        }
        if Instant::now() >= deadline {
            for (pid, _) in &left {
                let _already_gone = kill(*pid, Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(50));
            return left.into_iter().map(|(_, text)| text).collect();
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// The living processes that belong to a sandbox, with a description.
pub fn processes_of(sandbox: &Path) -> Vec<(Pid, String)> {
    // Both ends are given, so that `/tmp/rt1.1` does not find `/tmp/rt1.10`.
    let needle = format!("{}/", sandbox.display());
    let own = std::process::id();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok()).filter(|pid| *pid != own);
    pids.filter_map(|pid| {
        let proc = Path::new("/proc").join(pid.to_string());
        belongs(&proc, &needle).then(|| (Pid::from_raw(i32::try_from(pid).unwrap()), describe(pid, &proc)))
    })
    .collect()
}

fn belongs(proc: &Path, needle: &str) -> bool {
    let status = std::fs::read_to_string(proc.join("stat")).unwrap_or_default();
    // A zombie has ended; its parent is late in noticing.
    if status.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with('Z')) {
        return false;
    }
    let in_file = |name: &str| {
        std::fs::read(proc.join(name)).is_ok_and(|b| b.windows(needle.len()).any(|w| w == needle.as_bytes()))
    };
    let in_link =
        |name: &str| std::fs::read_link(proc.join(name)).is_ok_and(|l| format!("{}/", l.display()).starts_with(needle));
    // Where something is mounted says nothing: what a test mounts in its sandbox is there for every process of the machine.
    let in_mounts = || {
        let text = std::fs::read_to_string(proc.join("mountinfo")).unwrap_or_default();
        text.lines().any(|l| l.split(' ').enumerate().any(|(field, word)| field != 4 && word.contains(needle)))
    };
    in_file("cmdline") || in_link("cwd") || in_link("root") || in_file("environ") || in_mounts()
}

fn describe(pid: u32, proc: &Path) -> String {
    let read = |name: &str| {
        let bytes = std::fs::read(proc.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned()
    };
    let state = read("status").lines().filter(|l| l.starts_with("State") || l.starts_with("PPid")).collect::<String>();
    format!("{pid} `{}` ({}) {state} {}", read("comm"), read("cmdline"), read("wchan"))
}
