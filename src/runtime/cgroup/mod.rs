//! The container's cgroup in the cgroup2 hierarchy (cgroups(7), "Delegation"): [`place`] says where it comes from, [`usable`] what can be
//! had, this module what is done with it.

mod place;
mod usable;

pub use place::Request;
pub use usable::{Source, Usable, log_in};

use crate::base::{Doing, Error, Kind, Result, fsx};
use crate::spec::limits::Setting;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A cgroup made for one container.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// The cgroup's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes over the cgroup of a monitor that is gone.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Its folder, opened as a place.
    pub(super) fn open(&self) -> Result<OwnedFd> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        nix::fcntl::open(&self.folder, flags, Mode::empty()).doing(|| format!("open `{}`", self.folder.display()))
    }

    /// Moves a process into it, beside the container's `first` one. Where the container has groups of its own with controllers,
    /// as systemd makes them, no process may be outside of these (cgroups(7), "no internal processes"): it joins `first` in its
    /// group then, as runc does it.
    pub(super) fn add_beside(&self, first: Pid, pid: Pid) -> Result<()> {
        match self.add(pid) {
            Err(e) if e.errno() == Some(Errno::EBUSY) => self.group_of(first).ok_or(e)?.add(pid),
            result => result,
        }
    }

    /// The group below it that one of its processes is in.
    fn group_of(&self, pid: Pid) -> Option<Self> {
        let groups = fsx::read_to_string(Path::new(&format!("/proc/{pid}/cgroup"))).ok()?;
        let folder = folder_of(&groups, &mountinfo().ok()?)?;
        (folder != self.folder && folder.starts_with(&self.folder)).then_some(Self { folder })
    }

    /// Moves a process into it.
    pub(super) fn add(&self, pid: Pid) -> Result<()> {
        let file = self.folder.join("cgroup.procs");
        std::fs::write(&file, pid.to_string())
            .doing(|| format!("move process {pid} into cgroup `{}`", self.folder.display()))
    }

    /// Kills every process in it (`cgroup.kill`, Linux 5.14); without that file nothing happens.
    pub fn kill(&self) {
        drop(std::fs::write(self.folder.join("cgroup.kill"), "1"));
    }

    /// Stops all its processes where they are, or lets them go on (`cgroup.freeze`, Linux 5.2); returns once it is so.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        let file = self.folder.join("cgroup.freeze");
        std::fs::write(&file, if frozen { "1" } else { "0" }).doing(|| format!("write `{}`", file.display()))?;
        // The file says what is wanted; `cgroup.events` what is.
        for _ in 0..1000 {
            let events = std::fs::read_to_string(self.folder.join("cgroup.events")).unwrap_or_default();
            if events.lines().any(|line| line == if frozen { "frozen 1" } else { "frozen 0" }) {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Err(Error::new(Kind::Io, format!("the processes in `{}` do not stop", self.folder.display())))
    }

    /// Removes it. Processes that are still on their way out keep it for a moment; it is empty and harmless then.
    pub fn remove(&self) {
        for child in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if child.file_type().is_ok_and(|t| t.is_dir()) {
                Self { folder: child.path() }.remove();
            }
        }
        drop(std::fs::remove_dir(&self.folder));
    }
}

/// Watches for processes of a cgroup that the kernel kills for memory.
#[derive(Debug)]
pub struct OomWatch {
    events: File,
    seen: u64,
}

impl OomWatch {
    /// `None` without the memory controller.
    pub fn open(cgroup: &Cgroup) -> Option<Self> {
        let mut watch = Self { events: File::open(cgroup.folder.join("memory.events")).ok()?, seen: 0 };
        // Polling tells of what comes after a read.
        watch.kills();
        Some(watch)
    }

    /// How many were killed since the last call. The descriptor is ready for POLLPRI when it is time to ask.
    pub fn kills(&mut self) -> u64 {
        let mut text = String::new();
        if self.events.rewind().is_err() || self.events.read_to_string(&mut text).is_err() {
            return 0;
        }
        let count = oom_kills(&text);
        let new = count.saturating_sub(self.seen);
        self.seen = self.seen.max(count);
        new
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

/// `oom_kill` of memory.events (cgroup-v2.rst of the kernel, "Memory Interface Files").
fn oom_kills(text: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

/// Writes limits into a cgroup's files.
///
/// Errors: `Unsupported` for a controller that the group does not have; the kernel's about a value.
pub fn apply(folder: &Path, settings: &[Setting]) -> Result<()> {
    for setting in settings {
        let rather = setting.rather.as_ref().filter(|(file, _)| folder.join(file).exists());
        let (file, value) = rather.map_or((setting.file.as_str(), &setting.value), |(file, value)| (*file, value));
        match std::fs::write(folder.join(file), value) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && setting.optional => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound || e.kind() == std::io::ErrorKind::PermissionDenied => {
                // A new file may not be made there: that is how a missing one looks.
                let has = std::fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
                let controller = &setting.controller;
                return Err(if controller.is_empty() || has.split_whitespace().any(|c| c == controller) {
                    Error::unsupported(format!("this kernel's cgroups have no `{file}`"))
                } else {
                    Error::unsupported(format!("the requested cgroup controller `{controller}` is not available"))
                        .hint("the container has a cgroup without it: give the limit when it is created")
                });
            }
            Err(e) => {
                let error = Error::from(e).step(format!("write `{value}` into `{file}` of the container's cgroup"));
                // Of cpuset: which there are. The list of a group that has none of its own yet is that of the group above.
                return Err(match std::fs::read_to_string(folder.join(format!("{file}.effective"))) {
                    Ok(list) => error.hint(format!("available are `{}`", list.trim())),
                    Err(_) => error,
                });
            }
        }
    }
    Ok(())
}

/// The controllers of the group below which this user's service manager makes scopes; `None` when it can't be reached.
fn manager_controllers() -> Option<String> {
    let uid = nix::unistd::Uid::effective();
    if !crate::runtime::systemd::is_reachable() {
        return None;
    }
    let group = if uid.is_root() { String::new() } else { format!("user.slice/user-{uid}.slice/user@{uid}.service") };
    std::fs::read_to_string(mount_root()?.join(group).join("cgroup.controllers")).ok()
}

/// Where the cgroup2 hierarchy can be seen.
pub fn mount_root() -> Option<PathBuf> {
    mount_point(&mountinfo().ok()?).map(|(point, _)| point)
}

/// True when this machine has a cgroup2 hierarchy at all.
pub fn has_cgroup2() -> bool {
    mount_point(&mountinfo().unwrap_or_default()).is_some()
}

/// The folder of this process's own cgroup in the cgroup2 hierarchy; `None` when it lies outside what is mounted.
pub fn own_folder() -> Option<PathBuf> {
    folder_of(&fsx::read_to_string(Path::new("/proc/self/cgroup")).ok()?, &mountinfo().ok()?)
}

/// The same from a process's `cgroup` and this one's `mountinfo`.
fn folder_of(groups: &str, mountinfo: &str) -> Option<PathBuf> {
    let (point, root) = mount_point(mountinfo)?;
    Some(point.join(Path::new(own_group(groups)?).strip_prefix(&root).ok()?))
}

/// The path of the `0::` line: the process's group in the unified hierarchy.
fn own_group(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::")).filter(|path| !path.contains("/.."))
}

fn mountinfo() -> Result<String> {
    fsx::read_to_string(Path::new("/proc/self/mountinfo"))
}

/// Where cgroup2 is mounted and which group is the root of that mount (proc_pid_mountinfo(5)); hybrid hosts have it at
/// `/sys/fs/cgroup/unified`.
fn mount_point(mountinfo: &str) -> Option<(PathBuf, PathBuf)> {
    mountinfo.lines().find_map(|line| {
        let (fields, rest) = line.split_once(" - ")?;
        let mut fields = fields.split(' ');
        (rest.split(' ').next()? == "cgroup2").then(|| {
            let root = fields.nth(3)?;
            Some((PathBuf::from(unescape(fields.next()?)), PathBuf::from(unescape(root))))
        })?
    })
}

/// mountinfo writes space, tab, newline and backslash as octal.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy_is_found_also_on_hybrid_hosts() {
        let info = "22 1 0:20 / /proc rw - proc proc rw\n\
            30 23 0:26 / /sys/fs/cgroup/systemd rw,nosuid shared:9 - cgroup cgroup rw,name=systemd\n\
            31 23 0:27 /user.slice /sys/fs/cgroup/my\\040unified rw,nosuid shared:10 - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_point(info), Some((PathBuf::from("/sys/fs/cgroup/my unified"), PathBuf::from("/user.slice"))));
        assert_eq!(mount_point("22 1 0:20 / /proc rw - proc proc rw\n"), None);
        assert_eq!(own_group("1:name=systemd:/\n0::/user.slice/x\n"), Some("/user.slice/x"));
        assert_eq!(own_group("0::/../x\n"), None);
        let below = |groups: &str| folder_of(groups, info);
        assert_eq!(below("0::/user.slice/x/y\n"), Some(PathBuf::from("/sys/fs/cgroup/my unified/x/y")));
        assert_eq!(below("0::/system.slice/x\n"), None, "it is not mounted here");
    }

    #[test]
    fn limits_are_written_and_what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["memory.max", "io.bfq.weight", "cgroup.controllers"] {
            std::fs::write(dir.path().join(file), "memory").unwrap();
        }
        let limits = crate::spec::limits::Limits { memory: Some(9), blkio_weight: Some(20), ..Default::default() };
        apply(dir.path(), &limits.settings(&|_| Ok((0, 0))).unwrap()).unwrap();
        let written = |file: &str| std::fs::read_to_string(dir.path().join(file)).unwrap();
        assert_eq!((written("memory.max"), written("io.bfq.weight")), ("9".into(), "20".into()));
        assert_eq!(oom_kills("low 0\noom 2\noom_kill 3\noom_group_kill 0\n"), 3);
        assert_eq!(oom_kills("oom 2\n"), 0);
    }
}
