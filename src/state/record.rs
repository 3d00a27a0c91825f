//! The two files of a container, as types. New fields need `serde(default)`: a newer runr reads an older one's records. What the
//! reverse takes stands in [`super::format`].

use crate::base::{Error, Result, fsx};
use crate::image::Digest;
use crate::image::config::Execution;
use crate::spec::ContainerOptions;
use crate::spec::options::Attach;
use crate::sys::procfs;
use crate::userns::IdMap;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The version of both files, raised only when what is there comes to mean something else: see [`super::format`].
pub const VERSION: u32 = 1;

/// What a container is: `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerRecord {
    /// [`VERSION`].
    pub version: u32,
    /// 64 hex digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// RFC 3339, UTC.
    pub created: String,
    /// The image, unless it runs a folder (`--rootfs`).
    pub image: Option<ImageUse>,
    /// What the image says of its command, as it was when the container was made: the image may go before the container.
    #[serde(default)]
    pub execution: Execution,
    /// The folder of `--rootfs`.
    #[serde(default)]
    pub rootfs: Option<PathBuf>,
    /// Program and arguments as they will be executed.
    pub command: Vec<String>,
    /// What was asked for.
    pub options: ContainerOptions,
    /// Ids of its user namespace.
    pub map: IdMap,
    /// The signal that asks it to end, from the options or the image; SIGTERM otherwise.
    #[serde(default)]
    pub stop_signal: Option<String>,
}

/// The image of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageUse {
    /// As the user typed it.
    pub name: String,
    /// The image id: the config's digest.
    pub id: Digest,
    /// The manifest's digest.
    pub manifest: Digest,
    /// The layers, lowest first: garbage collection leaves them alone.
    pub layers: Vec<Digest>,
}

/// Where in its life a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, never started.
    Created,
    /// Its monitor lives and everything is set up; its process waits for the word to execute its command (`container init`).
    Initialized,
    /// Its monitor lives, and so does its process.
    Running,
    /// Its process is frozen.
    Paused,
    /// Its process has ended; its monitor waits before it starts the next one.
    Restarting,
    /// It ran.
    Exited,
}

impl Status {
    /// docker's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Initialized => "initialized",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
        }
    }

    /// True for the states in which a monitor lives and holds the container's lock.
    pub fn is_alive(self) -> bool {
        self.is_running() || self == Self::Initialized
    }

    /// True for the states that docker and podman call running: of those with a monitor, all but the one before the start.
    pub fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

/// What the health check says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// In its start period, or not checked yet.
    #[default]
    Starting,
    /// The last check succeeded.
    Healthy,
    /// As many checks in a row failed as `retries` says.
    Unhealthy,
}

impl HealthStatus {
    /// docker's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// State of the health check, as docker keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// The verdict.
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last checks, oldest first.
    pub log: Vec<HealthProbe>,
}

impl Health {
    /// As docker's and podman's documents show it.
    pub fn document(&self) -> serde_json::Value {
        let results = self.log.iter().map(|result| {
            serde_json::json!({
                "Start": result.start,
                "End": result.end,
                "ExitCode": result.exit_code,
                "Output": result.output,
            })
        });
        serde_json::json!({
            "Status": self.status.word(),
            "FailingStreak": self.failing_streak,
            "Log": results.collect::<Vec<_>>(),
        })
    }
}

/// One check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthProbe {
    /// RFC 3339, UTC.
    pub start: String,
    /// RFC 3339, UTC.
    pub end: String,
    /// Its exit status; -1 when it took too long or could not run.
    pub exit_code: i32,
    /// The beginning of what it wrote.
    pub output: String,
}

/// How a container is: `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerState {
    /// [`VERSION`].
    pub version: u32,
    /// The last thing its monitor said. Ask [`super::Containers`], which looks at the lock, whether it still holds.
    pub status: Status,
    /// Its process, while it runs.
    #[serde(default)]
    pub process: Option<ProcessIdentity>,
    /// Its cgroup's folder, while it runs.
    #[serde(default)]
    pub cgroup: Option<PathBuf>,
    /// RFC 3339, UTC.
    #[serde(default)]
    pub started: Option<String>,
    /// RFC 3339, UTC.
    #[serde(default)]
    pub finished: Option<String>,
    /// How it ended: its exit status, or 128 + signal.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// Why it could not start.
    #[serde(default)]
    pub error: Option<String>,
    /// True when the kernel killed it for memory.
    #[serde(default)]
    pub oom_killed: bool,
    /// The process that holds its lock while it runs.
    #[serde(default)]
    pub monitor: Option<ProcessIdentity>,
    /// How often its restart policy has started it again.
    #[serde(default)]
    pub restart_count: u32,
    /// True when somebody ended it on purpose: `unless-stopped` leaves it alone at the next boot.
    #[serde(default)]
    pub stopped_by_user: bool,
    /// The health check, when there is one.
    #[serde(default)]
    pub health: Option<Health>,
    /// Which streams of its caller's it was made for; none with `--detach`. For inspect: each start decides anew. Among the
    /// options, it would keep an older runr from reading nearly every record.
    #[serde(default)]
    pub attached: Attach,
}

impl ContainerState {
    /// Of a container that was made and never started, for nobody's streams.
    pub fn created() -> Self {
        Self {
            version: VERSION,
            status: Status::Created,
            process: None,
            cgroup: None,
            started: None,
            finished: None,
            exit_code: None,
            error: None,
            oom_killed: false,
            monitor: None,
            restart_count: 0,
            stopped_by_user: false,
            health: None,
            attached: Attach::default(),
        }
    }

    /// The same for the next run: what stays with a container from its making on is as it was.
    pub fn next(&self) -> Self {
        Self { attached: self.attached, ..Self::created() }
    }
}

/// One process, told from every other that ever had its pid (proc_pid_stat(5)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Pid, in the pid namespace below.
    pub pid: i32,
    /// Start time in clock ticks since the boot.
    pub start_time: u64,
    /// Inode of the pid namespace in which `pid` counts.
    pub pid_namespace: u64,
    /// The boot during which all this holds.
    pub boot_id: String,
}

impl ProcessIdentity {
    /// The identity of a process that exists now.
    pub fn of(pid: i32) -> Result<Self> {
        let start_time = start_time(pid).ok_or_else(|| Error::not_found(format!("process {pid} does not exist")))?;
        Ok(Self { pid, start_time, pid_namespace: own_pid_namespace(), boot_id: boot_id() })
    }

    /// True when that very process was stopped (SIGSTOP) and so answers nobody.
    pub fn is_stopped(&self) -> bool {
        is_stopped(self.pid) && self.is_alive()
    }

    /// True while that very process exists, as far as this process can see it.
    pub fn is_alive(&self) -> bool {
        self.boot_id == boot_id()
            && self.pid_namespace == own_pid_namespace()
            && start_time(self.pid) == Some(self.start_time)
    }
}

/// True when a process is in state T (proc_pid_stat(5)): stopped by a signal.
pub fn is_stopped(pid: i32) -> bool {
    procfs::stat(pid).is_some_and(|stat| stat.state == 'T')
}

/// The 22nd field of /proc/pid/stat; the second one, the program's name, may hold spaces and parentheses.
fn start_time(pid: i32) -> Option<u64> {
    let stat = fsx::read_to_string(Path::new(&format!("/proc/{pid}/stat"))).ok()?;
    parse_start_time(&stat)
}

fn parse_start_time(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn own_pid_namespace() -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/ns/pid").map(|m| m.ino()).unwrap_or_default()
}

fn boot_id() -> String {
    fsx::read_to_string(Path::new("/proc/sys/kernel/random/boot_id")).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_and_no_other() {
        let me = ProcessIdentity::of(std::process::id() as i32).unwrap();
        assert!(me.is_alive());
        assert!(!ProcessIdentity { start_time: me.start_time + 1, ..me.clone() }.is_alive());
        assert!(!ProcessIdentity { boot_id: "another".into(), ..me.clone() }.is_alive());
        assert!(!ProcessIdentity { pid_namespace: 1, ..me }.is_alive());
        assert_eq!(parse_start_time("7 (a) b) S 1 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9"), Some(4242));
    }
}
