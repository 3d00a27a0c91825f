//! `info` and `version`: facts about this runr, its store and this machine, under docker's names, with podman's `Host`, `Store`
//! and `Version` beside them.

use super::container_list;
use crate::base::Result;
use crate::image::Platform;
use crate::runtime::cgroup::{Source, Usable};
use crate::state::Entry;
use crate::store::Store;
use crate::userns::{self, IdRange};
use serde_json::{Value, json};

/// What containers log with unless they are told otherwise.
const DEFAULT_LOG_DRIVER: &str = "k8s-file";

/// The document of `version`. What runr does not have, an interface over the network and a Go compiler, is empty.
pub fn version() -> Value {
    let platform = Platform::host();
    let own = json!({
        "Platform": {"Name": "runr"},
        "Version": env!("CARGO_PKG_VERSION"),
        "APIVersion": "",
        "GitCommit": "",
        "GoVersion": "",
        "BuildTime": "",
        "BuiltTime": "",
        "Built": 0,
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
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let [memory_total, memory_free, swap_total, swap_free] =
        ["MemTotal", "MemAvailable", "SwapTotal", "SwapFree"].map(|name| bytes(&memory, name));
    let (cpus, name, release) = (cpus(), host_name(), os_release());
    let distribution = release_field(&release, "PRETTY_NAME").unwrap_or("Linux");
    let [id, release, codename] =
        ["ID", "VERSION_ID", "VERSION_CODENAME"].map(|field| release_field(&release, field).unwrap_or_default());
    let groups = Groups(Usable::look());
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
        "LoggingDriver": DEFAULT_LOG_DRIVER,
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
            "OS": platform.os,
            "Kernel": kernel(),
            "Hostname": name,
            "Distribution": {"Distribution": id, "Version": release, "Codename": codename},
            "CPUs": cpus,
            "MemTotal": memory_total,
            "MemFree": memory_free,
            "SwapTotal": swap_total,
            "SwapFree": swap_free,
            "EventLogger": "file",
            "LogDriver": DEFAULT_LOG_DRIVER,
            "OCIRuntime": {"Name": "runr", "Package": "", "Path": executable(), "Version": env!("CARGO_PKG_VERSION")},
            "ServiceIsRemote": false,
            "Security": {"Rootless": rootless, "SECCOMPEnabled": true, "AppArmorEnabled": false, "SELinuxEnabled": false},
            "IDMappings": {"UIDMap": ranges(&map.uids), "GIDMap": ranges(&map.gids)},
        },
        "Store": {
            "GraphRoot": root,
            "GraphDriverName": if overlay { "overlay" } else { "copy" },
            "ContainerStore": {"Number": all, "Running": running, "Paused": 0, "Stopped": stopped},
            "ImageStore": {"Number": images},
        },
        "Version": {"Version": env!("CARGO_PKG_VERSION"), "Os": platform.os, "OsArch": platform.to_string()},
    });
    groups.add_to(&mut document);
    Ok(document)
}

/// Where cgroups come from, and what they can limit.
struct Groups(Usable);

impl Groups {
    /// docker's keys at the top, podman's below `Host`.
    fn add_to(&self, document: &mut Value) {
        let Self(usable) = self;
        let has = |controller: &str| usable.has(controller);
        let driver = match usable.source {
            Source::Manager => "systemd",
            Source::Own => "cgroupfs",
            Source::None => "none",
        };
        // As docker and podman say it of a hybrid machine, too: v2 is there and limits nothing.
        let version = if usable.unified { "2" } else { "1" };
        for (key, value) in [
            ("CgroupDriver", json!(driver)),
            ("CgroupVersion", json!(version)),
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
        document["Host"]["CgroupManager"] = json!(driver);
        document["Host"]["CgroupsVersion"] = json!(format!("v{version}"));
        document["Host"]["CgroupControllers"] = json!(usable.controllers);
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

/// A line of proc_meminfo(5) in bytes.
fn bytes(meminfo: &str, name: &str) -> u64 {
    let line = meminfo.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// os-release(5).
fn os_release() -> String {
    let read = |path| std::fs::read_to_string(path).ok();
    read("/etc/os-release").or_else(|| read("/usr/lib/os-release")).unwrap_or_default()
}

fn release_field<'a>(os_release: &'a str, name: &str) -> Option<&'a str> {
    let value = os_release.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
    value.map(|v| v.trim_matches(['"', '\'']))
}

fn executable() -> String {
    std::env::current_exe().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
}

/// An id map in podman's words.
fn ranges(ranges: &[IdRange]) -> Vec<Value> {
    ranges.iter().map(|r| json!({"ContainerID": r.inside, "HostID": r.outside, "Size": r.count})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_parsed() {
        let memory = "MemTotal:  10 kB\nMemFree: 1 kB\nMemAvailable:    5 kB\n";
        assert_eq!(["MemTotal", "MemAvailable", "SwapFree"].map(|name| bytes(memory, name)), [10240, 5120, 0]);
        let release = "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_ID=12\nID=debian\n";
        assert_eq!(release_field(release, "PRETTY_NAME"), Some("Debian GNU/Linux 12"));
        assert_eq!(release_field(release, "ID"), Some("debian"));
        assert_eq!(version()["Client"]["Version"], env!("CARGO_PKG_VERSION"));
    }
}
