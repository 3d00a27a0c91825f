//! `info` and `version`: facts about this runr, its store and this machine, under docker's names, with podman's `Host`, `Store`
//! and `Version` beside them.

use super::container_list;
use crate::base::Result;
use crate::image::Platform;
use crate::runtime::cgroup;
use crate::state::Entry;
use crate::store::Store;
use crate::userns;
use serde_json::{Value, json};
use std::path::Path;

/// The document of `version`.
pub fn version() -> Value {
    let platform = Platform::host();
    let own = json!({
        "Platform": {"Name": "runr"},
        "Version": env!("CARGO_PKG_VERSION"),
        "Os": platform.os,
        "Arch": platform.architecture,
        "OsArch": platform.to_string(),
        "KernelVersion": kernel(),
    });
    // There is no daemon: whoever asks for the server's version gets the one program's.
    json!({"Client": own, "Server": own})
}

/// The document of `info`.
pub fn info(store: &Store) -> Result<Value> {
    let containers = container_list::all(store)?;
    let running = |entry: &&Entry| matches!(entry, Entry::Good(c) if c.state.status.is_running());
    let (all, running) = (containers.len(), containers.iter().filter(running).count());
    let map = userns::default_map()?;
    let images = store.images()?.len();
    let platform = Platform::host();
    let root = store.paths().root().to_string_lossy().into_owned();
    let (memory_total, memory_free) = memory();
    let (cpus, name, distribution) = (cpus(), host_name(), distribution());
    let groups = Groups::look();
    let file_system = store.file_system(&map).ok();
    let overlay = file_system.as_ref().is_some_and(|f| f.overlay_upper);
    let rootless = !nix::unistd::geteuid().is_root();
    let stopped = all - running;
    let security: &[&str] =
        if rootless { &["name=seccomp,profile=default", "name=rootless"] } else { &["name=seccomp,profile=default"] };
    let mut document = json!({
        "Containers": all,
        "ContainersRunning": running,
        "ContainersPaused": 0,
        "ContainersStopped": stopped,
        "Images": images,
        "Driver": if overlay { "overlay" } else { "copy" },
        "DriverStatus": file_system,
        "LoggingDriver": "json-file",
        "KernelVersion": kernel(),
        "OperatingSystem": distribution,
        "OSType": platform.os,
        "Architecture": std::env::consts::ARCH,
        "NCPU": cpus,
        "MemTotal": memory_total,
        "DockerRootDir": root,
        "Name": name,
        "ServerVersion": env!("CARGO_PKG_VERSION"),
        "DefaultRuntime": "runr",
        "SecurityOptions": security,
        "Warnings": null,
        "Host": {
            "Arch": platform.architecture,
            "Os": platform.os,
            "Kernel": kernel(),
            "Hostname": name,
            "Distribution": distribution,
            "CPUs": cpus,
            "MemTotal": memory_total,
            "MemFree": memory_free,
            "Security": {"Rootless": rootless, "SECCOMPEnabled": true},
            "IDMappings": {"UIDMap": map.uids, "GIDMap": map.gids},
        },
        "Store": {
            "GraphRoot": root,
            "GraphDriverName": if overlay { "overlay" } else { "copy" },
            "ContainerStore": {"Number": all, "Running": running, "Paused": 0, "Stopped": stopped},
            "ImageStore": {"Number": images},
        },
        "Version": {"Version": env!("CARGO_PKG_VERSION"), "OsArch": platform.to_string()},
    });
    groups.add_to(&mut document);
    Ok(document)
}

/// Where cgroups come from, and what they can limit.
struct Groups {
    version: &'static str,
    driver: &'static str,
    controllers: Vec<String>,
}

impl Groups {
    fn look() -> Self {
        let delegated = cgroup::own_folder().filter(|dir| is_writable(&dir.join("cgroup.procs")));
        let manager = cgroup::manager_controllers();
        let driver = match (&delegated, &manager) {
            (_, Some(_)) => "systemd",
            (Some(_), None) => "cgroupfs",
            (None, None) => "none",
        };
        let controllers = manager.or_else(|| std::fs::read_to_string(delegated?.join("cgroup.controllers")).ok());
        Self {
            version: if cgroup::has_cgroup2() { "2" } else { "1" },
            driver,
            controllers: controllers.unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        }
    }

    /// docker's keys at the top, podman's below `Host`.
    fn add_to(&self, document: &mut Value) {
        let has = |controller: &str| self.controllers.iter().any(|c| c == controller);
        for (key, value) in [
            ("CgroupDriver", json!(self.driver)),
            ("CgroupVersion", json!(self.version)),
            ("MemoryLimit", json!(has("memory"))),
            ("SwapLimit", json!(has("memory"))),
            ("CpuCfsPeriod", json!(has("cpu"))),
            ("CpuCfsQuota", json!(has("cpu"))),
            ("CPUShares", json!(has("cpu"))),
            ("CPUSet", json!(has("cpuset"))),
            ("PidsLimit", json!(has("pids"))),
        ] {
            document[key] = value;
        }
        document["Host"]["CgroupManager"] = json!(self.driver);
        document["Host"]["CgroupVersion"] = json!(format!("v{}", self.version));
        document["Host"]["CgroupControllers"] = json!(self.controllers);
    }
}

fn kernel() -> String {
    nix::sys::utsname::uname().map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default()
}

fn host_name() -> String {
    nix::sys::utsname::uname().map(|u| u.nodename().to_string_lossy().into_owned()).unwrap_or_default()
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn is_writable(path: &Path) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::W_OK).is_ok()
}

/// Total and available bytes (proc_meminfo(5)).
fn memory() -> (u64, u64) {
    parse_memory(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default())
}

fn parse_memory(text: &str) -> (u64, u64) {
    let bytes = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    (bytes("MemTotal"), bytes("MemAvailable"))
}

fn distribution() -> String {
    let read = |path| std::fs::read_to_string(path).ok();
    let text = read("/etc/os-release").or_else(|| read("/usr/lib/os-release")).unwrap_or_default();
    pretty_name(&text).unwrap_or("Linux").to_owned()
}

fn pretty_name(os_release: &str) -> Option<&str> {
    os_release.lines().find_map(|l| l.strip_prefix("PRETTY_NAME=")).map(|v| v.trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_parsed() {
        assert_eq!(parse_memory("MemTotal:  10 kB\nMemFree: 1 kB\nMemAvailable:    5 kB\n"), (10240, 5120));
        assert_eq!(pretty_name("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"), Some("Debian GNU/Linux 12"));
        assert_eq!(version()["Client"]["Version"], env!("CARGO_PKG_VERSION"));
    }
}
