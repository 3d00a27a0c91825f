//! The `HostConfig` of a container's document: what was asked of this machine. Limits that nobody set are there with
//! docker's zeros, because scripts read them without asking whether they exist.

use super::log_path;
use crate::base::units::human_size;
use crate::spec::ContainerOptions;
use crate::spec::defaults::{MASKED_PATHS, READONLY_PATHS};
use crate::spec::options::{Mount, MountKind, RestartPolicy};
use crate::state::containers::Container;
use crate::state::log::Settings;
use serde_json::{Map, Value, json};

/// docker's `HostConfig`.
pub(super) fn host_config(container: &Container) -> Value {
    let options = &container.record.options;
    let mut map = Map::new();
    for part in [general(container), namespaces(options), limits(options), security(options)] {
        if let Value::Object(part) = part {
            map.extend(part);
        }
    }
    Value::Object(map)
}

fn general(container: &Container) -> Value {
    let options = &container.record.options;
    let log = Settings::of(options).ok();
    let driver = log.as_ref().map_or(options.log_driver.as_deref().unwrap_or_default(), |s| s.driver.word());
    let (policy, retries) = match options.restart {
        RestartPolicy::No => ("no", 0),
        RestartPolicy::OnFailure(retries) => ("on-failure", retries),
        RestartPolicy::Always => ("always", 0),
        RestartPolicy::UnlessStopped => ("unless-stopped", 0),
    };
    let tmpfs = options.mounts.iter().filter(|m| m.kind == MountKind::Tmpfs);
    let tmpfs: Map<String, Value> = tmpfs.map(|m| (m.target.clone(), m.options.join(",").into())).collect();
    json!({
        "Binds": null_if_empty(options.mounts.iter().filter_map(bind).collect()),
        "ContainerIDFile": options.cidfile.as_ref().map_or("".into(), |p| p.to_string_lossy()),
        "LogConfig": {
            "Type": driver,
            "Config": options.log_options,
            "Path": log_path(container).unwrap_or_default(),
            "Tag": log.as_ref().and_then(|s| s.tag.as_deref()).unwrap_or_default(),
            "Size": human_size(log.as_ref().and_then(|s| s.max_size).unwrap_or_default()),
        },
        "NetworkMode": options.network.as_deref().unwrap_or("host"),
        "PortBindings": port_bindings(options),
        "RestartPolicy": {"Name": policy, "MaximumRetryCount": retries},
        "AutoRemove": options.remove,
        "AutoRemoveImage": options.remove_image,
        "VolumeDriver": "",
        "VolumesFrom": null,
        "ConsoleSize": [0, 0],
        "Dns": options.dns,
        "DnsOptions": options.dns_options,
        "DnsSearch": options.dns_search,
        "ExtraHosts": null_if_empty(options.add_hosts.clone()),
        "Links": null,
        "PublishAllPorts": options.publish_all,
        "ReadonlyRootfs": options.read_only,
        "Tmpfs": tmpfs,
        "ShmSize": options.shm_size.unwrap_or(64 << 20),
        "Sysctls": options.sysctls,
        "Runtime": "runr",
        "Isolation": "",
        "Init": options.init,
        "Annotations": options.annotations,
    })
}

fn namespaces(options: &ContainerOptions) -> Value {
    json!({
        "CgroupnsMode": options.cgroupns.as_deref().unwrap_or("private"),
        "IpcMode": options.ipc.as_deref().unwrap_or("private"),
        "Cgroup": "",
        "PidMode": options.pid.as_deref().unwrap_or(""),
        "UTSMode": options.uts.as_deref().unwrap_or(""),
        "UsernsMode": options.userns.as_deref().unwrap_or(""),
    })
}

fn limits(options: &ContainerOptions) -> Value {
    let device = |d: &crate::spec::options::Device| json!({"PathOnHost": d.host, "PathInContainer": d.container, "CgroupPermissions": d.permissions});
    let ulimit = |u: &crate::spec::options::Ulimit| json!({"Name": u.name, "Soft": u.soft, "Hard": u.hard});
    let limits = &options.limits;
    let rates = |word: &str, list: &[crate::spec::limits::DeviceRate]| -> Vec<Value> {
        list.iter().map(|r| json!({"Path": r.device, word: r.rate})).collect()
    };
    json!({
        "OomScoreAdj": options.oom_score_adj.unwrap_or(0),
        "CpuShares": limits.cpu_shares.unwrap_or(0),
        "Memory": limits.memory.unwrap_or(0),
        "NanoCpus": limits.nano_cpus.unwrap_or(0),
        "CgroupParent": options.cgroup.parent.as_deref().unwrap_or_default(),
        "BlkioWeight": limits.blkio_weight.unwrap_or(0),
        "BlkioWeightDevice": rates("Weight", &limits.blkio_weight_devices),
        "BlkioDeviceReadBps": rates("Rate", &limits.read_bps),
        "BlkioDeviceWriteBps": rates("Rate", &limits.write_bps),
        "BlkioDeviceReadIOps": rates("Rate", &limits.read_iops),
        "BlkioDeviceWriteIOps": rates("Rate", &limits.write_iops),
        "CpuPeriod": limits.cpu_period.unwrap_or(0),
        "CpuQuota": limits.cpu_quota.unwrap_or(0),
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": limits.cpuset_cpus.as_deref().unwrap_or_default(),
        "CpusetMems": limits.cpuset_mems.as_deref().unwrap_or_default(),
        "Devices": options.devices.iter().map(device).collect::<Vec<_>>(),
        "DeviceCgroupRules": null,
        "DeviceRequests": null,
        "KernelMemory": 0,
        "KernelMemoryTCP": 0,
        "MemoryReservation": limits.memory_reservation.unwrap_or(0),
        "MemorySwap": limits.memory_and_swap(),
        "MemorySwappiness": null,
        "OomKillDisable": false,
        "PidsLimit": limits.pids,
        "Ulimits": options.ulimits.iter().map(ulimit).collect::<Vec<_>>(),
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    })
}

fn security(options: &ContainerOptions) -> Value {
    let security = &options.security;
    let mut settings: Vec<String> = security.other.clone();
    settings.extend(security.seccomp.iter().map(|s| format!("seccomp={s}")));
    if !security.proc_options.is_empty() {
        settings.push(format!("proc-opts={}", security.proc_options.join(",")));
    }
    settings.extend(security.no_new_privileges.then(|| "no-new-privileges".to_owned()));
    let bare = options.privileged || security.unmask.iter().any(|p| p.eq_ignore_ascii_case("all"));
    let paths = |defaults: &[&str], more: &[String]| {
        let kept = defaults.iter().map(|p| (*p).to_owned()).filter(|p| !bare && !security.unmask.contains(p));
        kept.chain(more.iter().cloned()).collect::<Vec<String>>()
    };
    json!({
        "CapAdd": null_if_empty(options.cap_add.clone()),
        "CapDrop": null_if_empty(options.cap_drop.clone()),
        "GroupAdd": null_if_empty(options.groups.clone()),
        "Privileged": options.privileged,
        "SecurityOpt": null_if_empty(settings),
        "MaskedPaths": paths(&MASKED_PATHS, &security.mask),
        "ReadonlyPaths": paths(&READONLY_PATHS, &[]),
    })
}

/// For each port of the container where it is asked to be published.
fn port_bindings(options: &ContainerOptions) -> Map<String, Value> {
    let mut map = Map::new();
    for published in &options.publish {
        let address = published.address.map_or_else(String::new, |a| a.to_string());
        for (port, host) in published.bindings() {
            let binding = json!({"HostIp": address, "HostPort": host});
            if let Value::Array(list) = map.entry(port).or_insert_with(|| json!([])) {
                list.push(binding);
            }
        }
    }
    map.sort_keys();
    map
}

/// docker's list of strings that nobody set is `null`.
fn null_if_empty(list: Vec<String>) -> Value {
    if list.is_empty() { Value::Null } else { list.into() }
}

fn bind(mount: &Mount) -> Option<String> {
    let source = match &mount.kind {
        MountKind::Bind { source, .. } => source.display().to_string(),
        // docker leaves out those that nobody named.
        MountKind::Volume { anonymous: true, .. } => return None,
        MountKind::Volume { name, .. } => name.clone(),
        MountKind::Tmpfs | MountKind::Devpts => return None,
    };
    let mut text = format!("{source}:{}", mount.target);
    let mut options = mount.options.clone();
    if mount.read_only {
        options.insert(0, "ro".to_owned());
    }
    if !options.is_empty() {
        text.push_str(&format!(":{}", options.join(",")));
    }
    Some(text)
}
