//! `container inspect`: a container as the document that docker prints, with every key that docker documents (what runr does not
//! have is there with its zero), and podman's keys beside them where docker has none.

mod config;
mod host;

use super::container_list::{self, ImageSizes};
use super::exec;
use crate::base::Result;
use crate::spec::caps::{self, CapSet};
use crate::spec::options::{Mount, MountKind};
use crate::state::containers::Container;
use crate::state::log::Settings;
use crate::state::{Containers, Status};
use crate::store::Store;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Go's zero time, docker's "never".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The document of the container that `word` names. `size` adds what it wrote, and that with its image.
///
/// Errors: `NotFound`; `Corrupt` for a damaged record.
pub fn inspect(store: &Store, word: &str, size: bool) -> Result<Value> {
    let container = Containers::new(store.paths()).find(word)?;
    let mut document = document(&container, &exec::sessions(&container), &|name| {
        store.volume_folder(name).unwrap_or_else(|_| store.volume_data(name))
    });
    if size && let Value::Object(map) = &mut document {
        let written = container_list::written_bytes(&container)?;
        let image = ImageSizes::load(store)?.of(&container).unwrap_or(0);
        map.insert("SizeRw".to_owned(), written.into());
        map.insert("SizeRootFs".to_owned(), written.saturating_add(image).into());
    }
    Ok(document)
}

/// `volume` tells where a volume's files are.
fn document(container: &Container, sessions: &[String], volume: &dyn Fn(&str) -> PathBuf) -> Value {
    let (record, options) = (&container.record, &container.record.options);
    let folder = &container.folder;
    let (path, arguments) = record.command.split_first().map_or(("", &[][..]), |(p, rest)| (p.as_str(), rest));
    let image_name = record.image.as_ref().map_or("", |i| i.name.as_str());
    let network = options.network.as_deref().unwrap_or("host");
    let (bounding, effective) = capabilities(container);
    json!({
        "Id": record.id,
        "Created": record.created,
        "Path": path,
        "Args": arguments,
        "State": state(container),
        "Image": record.image.as_ref().map_or_else(String::new, |i| i.id.to_string()),
        "ImageDigest": record.image.as_ref().map_or_else(String::new, |i| i.manifest.to_string()),
        "ImageName": image_name,
        "Rootfs": record.rootfs.as_ref().map_or("".into(), |p| p.to_string_lossy()),
        "Pod": "",
        "ResolvConfPath": existing(folder, "resolv.conf"),
        "HostnamePath": existing(folder, "hostname"),
        "HostsPath": existing(folder, "hosts"),
        "StaticDir": folder,
        "OCIRuntime": "runr",
        "ConmonPidFile": options.conmon_pidfile.as_ref().map_or("".into(), |p| p.to_string_lossy()),
        "PidFile": options.pidfile.as_ref().map_or("".into(), |p| p.to_string_lossy()),
        "LogPath": log_path(container).unwrap_or_default(),
        "Name": format!("/{}", record.name),
        "RestartCount": container.state.restart_count,
        "Driver": "overlay",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "EffectiveCaps": effective,
        "BoundingCaps": bounding,
        "ExecIDs": sessions,
        "HostConfig": host::host_config(container),
        "GraphDriver": {
            "Data": {"UpperDir": folder.join("upper"), "WorkDir": folder.join("work"), "MergedDir": folder.join("root")},
            "Name": "overlay",
        },
        "Mounts": options.mounts.iter().map(|m| mount(m, volume)).collect::<Vec<_>>(),
        "Dependencies": options.requires,
        "Config": config::config(container, image_name),
        "NetworkSettings": network_settings(network),
        "Namespace": "",
        "IsInfra": false,
        "IsService": false,
    })
}

fn state(container: &Container) -> Value {
    let state = &container.state;
    let alive = state.status.is_alive();
    let pid = |process: &Option<crate::state::record::ProcessIdentity>| {
        process.as_ref().filter(|_| alive).map_or(0, |p| p.pid)
    };
    let mut document = json!({
        "OciVersion": oci_spec::runtime::VERSION,
        "Status": state.status.word(),
        "Running": state.status.is_running(),
        "Paused": state.status == Status::Paused,
        "Restarting": state.status == Status::Restarting,
        "OOMKilled": state.oom_killed,
        "Dead": false,
        "Pid": pid(&state.process),
        "ConmonPid": pid(&state.monitor),
        "ExitCode": state.exit_code.filter(|_| !alive || state.status == Status::Restarting).unwrap_or(0),
        "Error": state.error.clone().unwrap_or_default(),
        "StartedAt": state.started.as_deref().unwrap_or(NEVER),
        "FinishedAt": state.finished.as_deref().unwrap_or(NEVER),
        "CgroupPath": state.cgroup.as_ref().filter(|_| alive).map_or("".into(), |p| p.to_string_lossy()),
        "StoppedByUser": state.stopped_by_user,
        "CheckpointedAt": NEVER,
        "RestoredAt": NEVER,
    });
    // docker has the key only for containers with a check, and scripts ask with `{{if .State.Health}}`.
    if let (Some(health), Value::Object(map)) = (&state.health, &mut document) {
        // docker's name, and podman 3's.
        map.insert("Health".to_owned(), health.document());
        map.insert("Healthcheck".to_owned(), health.document());
    }
    document
}

/// The file that its output goes to, when its driver writes one.
fn log_path(container: &Container) -> Option<String> {
    let settings = Settings::of(&container.record.options).ok()?;
    Some(settings.file(&container.folder)?.to_string_lossy().into_owned())
}

/// Names of the bounding and the effective capabilities of its first process.
fn capabilities(container: &Container) -> (Vec<&'static str>, Vec<&'static str>) {
    let options = &container.record.options;
    let user = options.user.as_deref().unwrap_or(&container.record.execution.user);
    let name = user.split(':').next().unwrap_or_default();
    // Whoever is root under another name is not known without the image's files.
    let uid = if matches!(name, "" | "0" | "root") { 0 } else { 1 };
    let request = caps::Request {
        add: &options.cap_add,
        drop: &options.cap_drop,
        privileged: options.privileged,
        last: crate::sys::caps::last(),
        uid,
    };
    let Ok(sets) = caps::sets(&request) else { return (Vec::new(), Vec::new()) };
    let names = |set: &Option<oci_spec::runtime::Capabilities>| CapSet::from_oci(set.as_ref()).names().collect();
    (names(sets.bounding()), names(sets.effective()))
}

/// A file of runr's that is put over the image's.
fn existing(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    if path.exists() { path.to_string_lossy().into_owned() } else { String::new() }
}

fn mount(mount: &Mount, volume: &dyn Fn(&str) -> PathBuf) -> Value {
    let (kind, source) = match &mount.kind {
        MountKind::Bind { source, .. } => ("bind", source.to_string_lossy().into_owned()),
        MountKind::Volume { name, .. } => ("volume", volume(name).to_string_lossy().into_owned()),
        MountKind::Tmpfs => ("tmpfs", String::new()),
        MountKind::Devpts => ("devpts", String::new()),
    };
    let propagation =
        mount.options.iter().find(|o| o.ends_with("shared") || o.ends_with("slave") || o.ends_with("private"));
    let propagation = propagation.map_or(if kind == "bind" { "rprivate" } else { "" }, String::as_str);
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("Type", kind.into());
    if let MountKind::Volume { name, .. } = &mount.kind {
        put("Name", name.as_str().into());
    }
    put("Source", source.into());
    put("Destination", mount.target.as_str().into());
    put("Driver", if kind == "volume" { "local" } else { "" }.into());
    put("Mode", mount.options.join(",").into());
    put("Options", json!(mount.options));
    put("RW", (!mount.read_only).into());
    put("Propagation", propagation.into());
    Value::Object(map)
}

/// docker's keys, all empty: a container has the machine's network or none.
fn network_settings(network: &str) -> Value {
    let name = network.split(':').next().unwrap_or(network);
    let addresses = json!({
        "IPAMConfig": null,
        "Links": null,
        "Aliases": null,
        "MacAddress": "",
        "DriverOpts": null,
        "NetworkID": "",
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": null,
    });
    let mut networks = Map::new();
    // Who joins another's network has none of its own.
    if !matches!(name, "container" | "ns") {
        networks.insert(name.to_owned(), addresses);
    }
    json!({
        "Bridge": "",
        "SandboxID": "",
        "SandboxKey": "",
        "Ports": {},
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "EndpointID": "",
        "Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "MacAddress": "",
        "Networks": networks,
    })
}

#[cfg(test)]
mod tests;
