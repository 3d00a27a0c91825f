//! The container's cgroup: a child of the caller's own in the cgroup2 hierarchy, where that is delegated to the user
//! (cgroups(7), "Delegation"); none elsewhere. Limits and controllers come with the issue that needs them.

use crate::base::{Doing, Error, Kind, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, Pid, access};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A cgroup made for one container.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// Makes the cgroup `runr-<name>`, or `None` where this user may not.
    pub fn create(name: &str) -> Option<Self> {
        let own = own_folder()?;
        // Moving a process needs write access to the common ancestor's cgroup.procs, which here is our own group.
        access(&own.join("cgroup.procs"), AccessFlags::W_OK).ok()?;
        let folder = own.join(format!("runr-{name}"));
        std::fs::create_dir(&folder).ok()?;
        Some(Self { folder })
    }

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

/// True when this machine has a cgroup2 hierarchy at all.
pub fn has_cgroup2() -> bool {
    mount_point(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()).is_some()
}

/// The folder of this process's own cgroup in the cgroup2 hierarchy; `None` when it lies outside what is mounted.
pub fn own_folder() -> Option<PathBuf> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own_group(&groups)?;
    let (point, root) = mount_point(&std::fs::read_to_string("/proc/self/mountinfo").ok()?)?;
    let below = Path::new(own).strip_prefix(&root).ok()?;
    Some(point.join(below))
}

/// The path of the `0::` line: this process's group in the unified hierarchy.
fn own_group(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::")).filter(|path| !path.contains("/.."))
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
    }
}
