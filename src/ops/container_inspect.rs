//! `container inspect`: a container as the document that docker prints, key for key.

use super::container_list::written_bytes;
use crate::base::Result;
use crate::base::units::human_size;
use crate::image::config::Execution;
use crate::spec::options::{ContainerOptions, Mount, MountKind};
use crate::state::containers::Container;
use crate::state::log::Settings;
use crate::state::{Containers, Status};
use crate::store::Store;
use serde_json::{Map, Value, json};

/// Go's zero time, docker's "never".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The document of the container that `word` names. `size` adds what it wrote.
///
/// Errors: `NotFound`; `Corrupt` for a damaged record.
pub fn inspect(store: &Store, word: &str, size: bool) -> Result<Value> {
    let mut container = Containers::new(store.paths()).find(word)?;
    container.state.sessions = super::exec::sessions(&container);
    let mut document = document(&container, &image_config(store, &container));
    if size && let Value::Object(map) = &mut document {
        map.insert("SizeRw".to_owned(), written_bytes(&container)?.into());
    }
    Ok(document)
}

/// The config of the container's image; a plain one when the image is gone.
fn image_config(store: &Store, container: &Container) -> Execution {
    let id = container.record.image.as_ref().map(|image| image.id.to_string());
    let entry = id.and_then(|id| store.find_image(&id).ok());
    entry.and_then(|e| store.load_image(&e).ok()).map(|image| image.config.config).unwrap_or_default()
}

fn document(container: &Container, image: &Execution) -> Value {
    let (record, options) = (&container.record, &container.record.options);
    let folder = container.folder.to_string_lossy();
    let (path, arguments) = record.command.split_first().map_or(("", &[][..]), |(p, rest)| (p.as_str(), rest));
    let network = options.network.as_deref().unwrap_or("host");
    let image_id = record.image.as_ref().map_or_else(String::new, |i| i.id.to_string());
    let image_name = record.image.as_ref().map_or_else(String::new, |i| i.name.clone());
    json!({
        "Id": record.id,
        "Created": record.created,
        "Path": path,
        "Args": arguments,
        "State": state(container),
        "Image": image_id,
        "ImageName": image_name,
        "ResolvConfPath": format!("{folder}/resolv.conf"),
        "HostnamePath": format!("{folder}/hostname"),
        "HostsPath": format!("{folder}/hosts"),
        "LogPath": log_path(container),
        "Name": format!("/{}", record.name),
        "RestartCount": container.state.restart_count,
        "Driver": "overlay",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": container.state.sessions,
        "HostConfig": host_config(container),
        "GraphDriver": {"Data": {"UpperDir": format!("{folder}/upper"), "WorkDir": format!("{folder}/work")}, "Name": "overlay"},
        "Mounts": options.mounts.iter().map(mount).collect::<Vec<_>>(),
        "Config": config(container, image, &image_name),
        "NetworkSettings": {"SandboxID": "", "Ports": {}, "Networks": {network: {"NetworkID": "", "IPAddress": "", "Gateway": ""}}},
        "Rootfs": record.rootfs,
    })
}

fn state(container: &Container) -> Value {
    let state = &container.state;
    let mut document = json!({
        "Status": state.status.word(),
        "Running": state.status.is_alive(),
        "Paused": state.status == Status::Paused,
        "Restarting": state.status == Status::Restarting,
        "OOMKilled": state.oom_killed,
        "Dead": false,
        "Pid": state.process.as_ref().map_or(0, |p| p.pid),
        "ConmonPid": state.monitor.as_ref().map_or(0, |p| p.pid),
        "ExitCode": state.exit_code.unwrap_or(0),
        "Error": state.error.clone().unwrap_or_default(),
        "StartedAt": state.started.as_deref().unwrap_or(NEVER),
        "FinishedAt": state.finished.as_deref().unwrap_or(NEVER),
    });
    if let (Some(health), Value::Object(map)) = (&state.health, &mut document) {
        // docker's name, and podman 3's.
        map.insert("Health".to_owned(), health.document());
        map.insert("Healthcheck".to_owned(), health.document());
    }
    document
}

/// podman's fields and docker's `Config`.
fn log_config(container: &Container) -> Value {
    let options = &container.record.options;
    let settings = Settings::of(options).ok();
    let driver = settings.as_ref().map_or(options.log_driver.as_deref().unwrap_or_default(), |s| s.driver.word());
    json!({
        "Type": driver,
        "Config": options.log_options,
        "Path": log_path(container),
        "Tag": settings.as_ref().and_then(|s| s.tag.as_deref()).unwrap_or_default(),
        "Size": human_size(settings.as_ref().and_then(|s| s.max_size).unwrap_or_default()),
    })
}

/// Where the log is, or will be at the first output; empty for a driver without a file.
fn log_path(container: &Container) -> String {
    let path = Settings::of(&container.record.options).ok().and_then(|s| s.file(&container.folder));
    path.unwrap_or_default().to_string_lossy().into_owned()
}

fn host_config(container: &Container) -> Value {
    let options = &container.record.options;
    let devices: Vec<Value> = options
        .devices
        .iter()
        .map(|d| json!({"PathOnHost": d.host, "PathInContainer": d.container, "CgroupPermissions": d.permissions}))
        .collect();
    let ulimits: Vec<Value> =
        options.ulimits.iter().map(|u| json!({"Name": u.name, "Soft": u.soft, "Hard": u.hard})).collect();
    let security = &options.security;
    let mut security_options: Vec<String> = security.other.clone();
    security_options.extend(security.seccomp.iter().map(|s| format!("seccomp={s}")));
    security_options.extend(security.no_new_privileges.then(|| "no-new-privileges".to_owned()));
    json!({
        "Binds": null_if_empty(options.mounts.iter().filter_map(bind).collect()),
        "ContainerIDFile": options.cidfile.as_ref().map_or_else(String::new, |p| p.to_string_lossy().into_owned()),
        "LogConfig": log_config(container),
        "NetworkMode": options.network.as_deref().unwrap_or("host"),
        "PortBindings": {},
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "AutoRemove": options.remove,
        "CapAdd": null_if_empty(options.cap_add.clone()),
        "CapDrop": null_if_empty(options.cap_drop.clone()),
        "CgroupnsMode": options.cgroupns.as_deref().unwrap_or("private"),
        "Dns": options.dns,
        "DnsOptions": options.dns_options,
        "DnsSearch": options.dns_search,
        "ExtraHosts": null_if_empty(options.add_hosts.clone()),
        "GroupAdd": null_if_empty(options.groups.clone()),
        "IpcMode": options.ipc.as_deref().unwrap_or("private"),
        "OomScoreAdj": options.oom_score_adj.unwrap_or(0),
        "PidMode": options.pid.as_deref().unwrap_or(""),
        "Privileged": options.privileged,
        "PublishAllPorts": false,
        "ReadonlyRootfs": options.read_only,
        "SecurityOpt": null_if_empty(security_options),
        "UTSMode": options.uts.as_deref().unwrap_or(""),
        "UsernsMode": options.userns.as_deref().unwrap_or(""),
        "ShmSize": options.shm_size.unwrap_or(64 << 20),
        "Sysctls": options.sysctls,
        "Runtime": "runr",
        "Devices": devices,
        "Ulimits": ulimits,
        "Init": options.init,
        "Annotations": options.annotations,
    })
}

/// docker's list of strings that nobody set is `null`.
fn null_if_empty(list: Vec<String>) -> Value {
    if list.is_empty() { Value::Null } else { list.into() }
}

fn bind(mount: &Mount) -> Option<String> {
    let MountKind::Bind { source, .. } = &mount.kind else { return None };
    let mut text = format!("{}:{}", source.display(), mount.target);
    let mut options = mount.options.clone();
    if mount.read_only {
        options.insert(0, "ro".to_owned());
    }
    if !options.is_empty() {
        text.push_str(&format!(":{}", options.join(",")));
    }
    Some(text)
}

fn mount(mount: &Mount) -> Value {
    let (kind, source) = match &mount.kind {
        MountKind::Bind { source, .. } => ("bind", source.to_string_lossy().into_owned()),
        MountKind::Volume { name } => ("volume", name.clone()),
        MountKind::Tmpfs => ("tmpfs", String::new()),
    };
    let propagation =
        mount.options.iter().find(|o| o.ends_with("shared") || o.ends_with("slave") || o.ends_with("private"));
    let propagation = propagation.map_or(if kind == "bind" { "rprivate" } else { "" }, String::as_str);
    json!({
        "Type": kind,
        "Source": source,
        "Destination": mount.target,
        "Mode": mount.options.join(","),
        "RW": !mount.read_only,
        "Propagation": propagation,
    })
}

/// docker's `Config`: the image's, with what the options changed.
fn config(container: &Container, image: &Execution, image_name: &str) -> Value {
    let (record, options) = (&container.record, &container.record.options);
    let mut labels = image.labels.clone();
    labels.extend(options.labels.clone());
    let entrypoint = options.entrypoint.clone().or_else(|| image.entrypoint.clone());
    let command = if options.command.is_empty() {
        // A new entrypoint drops the image's command.
        if options.entrypoint.is_some() { None } else { image.cmd.clone() }
    } else {
        Some(options.command.clone())
    };
    let hostname = options.hostname.clone().unwrap_or_else(|| record.id.chars().take(12).collect());
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("Hostname", hostname.into());
    put("Domainname", options.domainname.clone().unwrap_or_default().into());
    put("User", options.user.clone().unwrap_or_else(|| image.user.clone()).into());
    put("AttachStdin", options.interactive.into());
    put("AttachStdout", true.into());
    put("AttachStderr", true.into());
    if !image.exposed_ports.is_empty() {
        put("ExposedPorts", json!(image.exposed_ports));
    }
    put("Tty", options.tty.into());
    put("OpenStdin", options.interactive.into());
    put("StdinOnce", options.interactive.into());
    put("Env", environment(image, options).into());
    put("Cmd", json!(command));
    if let Some(check) = options.health.over(image.healthcheck.as_ref()) {
        put("Healthcheck", json!(check));
    }
    put("Image", image_name.into());
    put("Volumes", if image.volumes.is_empty() { Value::Null } else { json!(image.volumes) });
    put("WorkingDir", options.workdir.clone().unwrap_or_else(|| image.working_dir.clone()).into());
    put("Entrypoint", json!(entrypoint.filter(|e| !e.is_empty())));
    put("OnBuild", Value::Null);
    put("Labels", json!(labels));
    if let Some(signal) = options.stop_signal.clone().or_else(|| image.stop_signal.clone()) {
        put("StopSignal", signal.into());
    }
    if let Some(seconds) = options.stop_timeout {
        put("StopTimeout", seconds.into());
    }
    Value::Object(map)
}

/// The image's variables with the options' laid over them.
fn environment(image: &Execution, options: &ContainerOptions) -> Vec<String> {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let mut variables: Vec<String> = if options.unset_env_all { Vec::new() } else { image.env.clone() };
    variables.retain(|v| !options.unset_env.contains(&name(v)));
    for variable in &options.env {
        match variables.iter_mut().find(|v| name(v) == name(variable)) {
            Some(slot) => slot.clone_from(variable),
            None => variables.push(variable.clone()),
        }
    }
    variables
}
