//! A container in the words of lists: docker's columns, and podman's names for more of them.

use super::time;
use crate::base::template::{method, with_fields};
use crate::base::units;
use crate::image::ports::Ports;
use crate::ops::container_list::{ImageSizes, labels};
use crate::spec::options::MountKind;
use crate::spec::ports::exposed;
use crate::state::Status;
use crate::state::containers::{Container, short};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use std::cell::LazyCell;

/// Go's zero time in seconds since 1970: podman's "never".
const NEVER_SECONDS: i64 = -62_135_596_800;

/// What the rows of a list have in common.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The moment of the list.
    pub(crate) now: Timestamp,
    /// The zone in which times are shown. Finding it out means to read folders, and most lists show no such time.
    pub(crate) zone: LazyCell<TimeZone>,
    /// Ids, commands and mounts in full.
    pub(crate) full: bool,
    /// How large images are, where that is shown.
    pub(crate) images: ImageSizes,
}

/// What docker's own table shows of a container.
pub(crate) struct Shown<'a> {
    id: &'a str,
    image: String,
    command: String,
    since: String,
    status: String,
    ports: String,
    name: &'a str,
    size: String,
}

impl<'a> Shown<'a> {
    /// `written` is what it wrote, when that is to be shown.
    pub(crate) fn new(c: &'a Container, facts: &Facts, written: Option<u64>) -> Self {
        let record = &c.record;
        let command = command_line(&record.command);
        let command = if facts.full { command } else { ellipsis(&command, 20) };
        let ago = |t| time::ago(t, facts.now);
        Self {
            id: if facts.full { record.id.as_str() } else { short(&record.id) },
            image: image(c),
            command: Value::from(command).to_string(),
            since: time::parse(&record.created).map_or_else(|| "N/A".to_owned(), ago),
            status: status(c, facts.now),
            ports: ports(c),
            name: &record.name,
            size: size(written, facts.images.of(c)),
        }
    }

    /// The cells of the table, in its order.
    pub(crate) fn cells(self, with_size: bool) -> Vec<String> {
        let Self { id, image, command, since, status, ports, name, size } = self;
        let mut cells = vec![id.to_owned(), image, command, since, status, ports, name.to_owned()];
        cells.extend(with_size.then_some(size));
        cells
    }

    fn fields(self) -> Map<String, Value> {
        let Self { id, image, command, since, status, ports, name, size } = self;
        object(json!({
            "Command": command,
            "ID": id,
            "Image": image,
            "Names": name,
            "Ports": ports,
            "RunningFor": since,
            "Size": size,
            "Status": status,
        }))
    }
}

/// The row of a template: docker's fields, which `json` shows, and podman's beside them. `written` is what it wrote, when that is
/// to be shown.
pub(crate) fn row(c: &Container, facts: &Facts, written: Option<u64>) -> Value {
    let (record, state) = (&c.record, &c.state);
    let created = time::parse(&record.created);
    let labels = labels(c);
    let pairs: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let sources = record.options.mounts.iter().map(|m| mount_source(&m.kind)).filter(|s| !s.is_empty());
    let mounts: Vec<String> = sources.map(|s| if facts.full { s } else { ellipsis(&s, 15) }).collect();
    let volumes = record.options.volumes().count();
    let mut docker = Shown::new(c, facts, written).fields();
    let since = docker.get("RunningFor").cloned();
    docker.extend(object(json!({
        "CreatedAt": created.map_or_else(|| "N/A".to_owned(), |t| time::in_zone(t, &facts.zone)),
        "Labels": pairs.join(","),
        "LocalVolumes": volumes.to_string(),
        "Mounts": mounts.join(","),
        "Networks": network(c),
        "Platform": null,
        "State": state.status.word(),
    })));
    docker.sort_keys();
    let image_id = record.image.as_ref().map_or("", |i| i.id.hex());
    let podman = json!({
        "AutoRemove": record.options.remove,
        "CIDFile": record.options.cidfile,
        "Created": created.map_or_else(|| "N/A".to_owned(), |t| time::in_zone_with_fraction(t, &facts.zone)),
        "CreatedHuman": since,
        "CreatedSince": since,
        "ExitCode": state.exit_code.unwrap_or(0),
        "Exited": state.status == Status::Exited,
        "ExitedAt": seconds(&state.finished),
        "HealthStatus": state.health.as_ref().map_or("", |h| h.status.word()),
        "IPAddresses": [],
        "ImageID": if facts.full { image_id } else { image_id.get(..12).unwrap_or(image_id) },
        "IsInfra": false,
        "Pid": pid(c),
        "Pod": "",
        "PodName": "",
        "Restarts": state.restart_count,
        "StartedAt": seconds(&state.started),
    });
    let mut also = object(podman);
    also.insert("Label".to_owned(), method(labels.into_iter().map(|(k, v)| (k, v.into())).collect()));
    with_fields(docker, also)
}

/// `2B (virtual 21.5MB)`; docker has `0B` where nobody looked.
fn size(written: Option<u64>, image: Option<u64>) -> String {
    match (written, image) {
        (None, _) => "0B".to_owned(),
        (Some(own), None) => units::human_size(own),
        (Some(own), Some(image)) => {
            format!("{} (virtual {})", units::human_size(own), units::human_size(own.saturating_add(image)))
        }
    }
}

/// The object that `podman ps --format json` has for a container; `written` only with `--size`.
pub(crate) fn podman_object(c: &Container, facts: &Facts, written: Option<u64>, namespaces: Value) -> Value {
    let (record, state) = (&c.record, &c.state);
    let created = time::parse(&record.created);
    let targets: Vec<&str> = record.options.mounts.iter().map(|m| m.target.as_str()).collect();
    let size = written.map(|own| {
        let whole = own.saturating_add(facts.images.of(c).unwrap_or(0));
        json!({"rootFsSize": whole, "rwSize": own})
    });
    json!({
        "AutoRemove": record.options.remove,
        "CIDFile": record.options.cidfile.as_ref().map_or("".into(), |p| p.to_string_lossy()),
        "Command": record.command,
        "CreatedAt": created.map_or_else(|| "N/A".to_owned(), |t| time::ago(t, facts.now)),
        "Exited": state.status == Status::Exited,
        "ExitedAt": seconds(&state.finished),
        "ExitCode": state.exit_code.unwrap_or(0),
        "Id": record.id,
        "Image": image(c),
        "ImageID": record.image.as_ref().map_or("", |i| i.id.hex()),
        "IsInfra": false,
        "Labels": labels(c),
        "Mounts": targets,
        "Names": [record.name],
        "Namespaces": namespaces,
        "Networks": [],
        "Pid": pid(c),
        "Pod": "",
        "PodName": "",
        "Ports": null,
        "Restarts": state.restart_count,
        "Size": size,
        "StartedAt": seconds(&state.started),
        "State": state.status.word(),
        "Status": status(c, facts.now),
        "Created": created.map_or(NEVER_SECONDS, |t| t.as_second()),
    })
}

/// `Up 5 minutes (healthy)`, `Exited (0) 2 hours ago`, `Created`: word for word as docker has it.
pub(crate) fn status(c: &Container, now: Timestamp) -> String {
    let span = |text: &Option<String>| {
        let at = text.as_deref().and_then(time::parse);
        at.map_or_else(|| "an unknown time".to_owned(), |at| time::ago(at, now).trim_end_matches(" ago").to_owned())
    };
    let (state, code) = (&c.state, c.state.exit_code.unwrap_or(0));
    let up = || format!("Up {}", span(&state.started));
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Initialized => "Initialized".to_owned(),
        Status::Paused => format!("{} (Paused)", up()),
        Status::Running => match &state.health {
            None => up(),
            Some(health) if health.status.word() == "starting" => format!("{} (health: starting)", up()),
            Some(health) => format!("{} ({})", up(), health.status.word()),
        },
        Status::Restarting => format!("Restarting ({code}) {} ago", span(&state.finished)),
        // Its monitor was killed, and nobody noted the end.
        Status::Exited if state.finished.is_none() => format!("Exited ({code})"),
        Status::Exited => format!("Exited ({code}) {} ago", span(&state.finished)),
    }
}

/// The image as it was called, or the folder it runs.
pub(crate) fn image(c: &Container) -> String {
    let name = c.record.image.as_ref().map(|i| i.name.clone());
    name.or_else(|| Some(c.record.rootfs.as_ref()?.to_string_lossy().into_owned())).unwrap_or_default()
}

/// The network as it was asked for.
pub(crate) fn network(c: &Container) -> &str {
    c.record.options.network.as_deref().unwrap_or("host")
}

/// Ports that it listens on while it runs, in docker's form. In a network of nobody's there are none to reach, and who shares
/// another container's network has that one's.
fn ports(c: &Container) -> String {
    let mode = network(c);
    let none = mode == "none" || mode.starts_with("container:") || !c.state.status.is_running();
    if none { String::new() } else { grouped(exposed(&c.record.execution, &c.record.options)) }
}

/// docker's order: by port, neighbours of one protocol together; a group stands where it ended, the last of each protocol at the
/// end.
fn grouped(ports: Vec<Ports>) -> String {
    let mut ports = ports;
    ports.sort();
    let mut open: Vec<Ports> = Vec::new();
    let mut closed: Vec<Ports> = Vec::new();
    for next in ports {
        match open.iter_mut().find(|group| group.protocol == next.protocol) {
            Some(group) if u32::from(next.first) <= u32::from(group.last) + 1 => group.last = group.last.max(next.last),
            Some(group) => closed.push(std::mem::replace(group, next)),
            None => open.push(next),
        }
    }
    closed.into_iter().chain(open).map(|group| group.to_string()).collect::<Vec<_>>().join(", ")
}

/// The folder or volume that is mounted; empty for what the kernel makes.
pub(crate) fn mount_source(kind: &MountKind) -> String {
    match kind {
        MountKind::Bind { source, .. } => source.to_string_lossy().into_owned(),
        MountKind::Volume { name, .. } => name.clone(),
        MountKind::Tmpfs | MountKind::Devpts => String::new(),
    }
}

/// The first process, on this machine; 0 when there is none.
pub(crate) fn pid(c: &Container) -> i32 {
    c.state.process.as_ref().filter(|_| c.state.status.is_alive()).map_or(0, |p| p.pid)
}

/// docker puts arguments with spaces into quotes.
fn command_line(words: &[String]) -> String {
    let quote = |w: &String| if w.contains(' ') { format!("'{w}'") } else { w.clone() };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

fn ellipsis(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

fn seconds(text: &Option<String>) -> i64 {
    text.as_deref().and_then(time::parse).map_or(NEVER_SECONDS, |t| t.as_second())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::ContainerOptions;
    use crate::state::record::{Health, HealthStatus, VERSION};
    use crate::state::{ContainerRecord, ContainerState};
    use crate::userns::IdMap;

    fn container() -> Container {
        let mut options = ContainerOptions::default();
        options.labels.insert("com.example.tier".into(), "web".into());
        let record = ContainerRecord {
            version: VERSION,
            id: "0123456789abcdef".repeat(4),
            name: "web".into(),
            created: "2026-01-01T00:00:00.5Z".into(),
            image: None,
            execution: Default::default(),
            rootfs: Some("/srv/root".into()),
            command: vec!["sh".into(), "-c".into(), "echo hello world".into()],
            options,
            map: IdMap::single(0, 0),
            stop_signal: None,
        };
        Container { record: record.into(), state: ContainerState::created(), folder: "/nonexistent".into() }
    }

    fn facts() -> Facts {
        Facts {
            now: "2026-01-01T01:00:00Z".parse().unwrap(),
            zone: LazyCell::new(|| TimeZone::UTC),
            full: false,
            images: ImageSizes::default(),
        }
    }

    #[test]
    fn status_is_worded_as_docker_words_it() {
        let mut c = container();
        let now = facts().now;
        assert_eq!(status(&c, now), "Created");
        c.state.started = Some("2026-01-01T00:55:00Z".into());
        c.state.status = Status::Running;
        assert_eq!(status(&c, now), "Up 5 minutes");
        for (verdict, text) in [
            (HealthStatus::Starting, "Up 5 minutes (health: starting)"),
            (HealthStatus::Healthy, "Up 5 minutes (healthy)"),
            (HealthStatus::Unhealthy, "Up 5 minutes (unhealthy)"),
        ] {
            c.state.health = Some(Health { status: verdict, ..Health::default() });
            assert_eq!(status(&c, now), text);
        }
        c.state.status = Status::Paused;
        assert_eq!(status(&c, now), "Up 5 minutes (Paused)");
        c.state.finished = Some("2026-01-01T00:59:55Z".into());
        c.state.exit_code = Some(1);
        c.state.status = Status::Restarting;
        assert_eq!(status(&c, now), "Restarting (1) 5 seconds ago");
        c.state.status = Status::Exited;
        assert_eq!(status(&c, now), "Exited (1) 5 seconds ago");
        c.state.finished = None;
        assert_eq!(status(&c, now), "Exited (1)");
    }

    #[test]
    fn ports_are_listed_as_docker_lists_them() {
        for (ports, text) in [
            (&[][..], ""),
            (&["80", "80"], "80/tcp"),
            (&["443", "80"], "80/tcp, 443/tcp"),
            (&["53/udp", "443", "80"], "80/tcp, 53/udp, 443/tcp"),
            (&["8000-8002", "8003", "8005", "8001/udp"], "8000-8003/tcp, 8005/tcp, 8001/udp"),
            (&["1-65535", "65535"], "1-65535/tcp"),
        ] {
            let ports = ports.iter().map(|p| p.parse().unwrap()).collect();
            assert_eq!(grouped(ports), text);
        }
        let mut c = container();
        c.record.options.expose = vec!["80".parse().unwrap()];
        for (network, status, text) in [
            (None, Status::Running, "80/tcp"),
            (Some("host"), Status::Running, "80/tcp"),
            (None, Status::Exited, ""),
            (Some("none"), Status::Running, ""),
            (Some("container:x"), Status::Running, ""),
        ] {
            (c.state.status, c.record.options.network) = (status, network.map(str::to_owned));
            assert_eq!(super::ports(&c), text, "{network:?} {status:?}");
        }
    }

    #[test]
    fn rows_have_the_fields_of_both() {
        let row = row(&container(), &facts(), Some(1500));
        let render = |text: &str| crate::base::template::Template::parse(text).unwrap().render(&row).unwrap();
        for (template, text) in [
            ("{{.ID}} {{.Names}} {{.Image}}", "0123456789ab web /srv/root"),
            ("{{.Command}} {{.Size}} {{.State}}", "\"sh -c 'echo hello w…\" 1.5kB created"),
            ("{{.Labels}} {{.Label \"com.example.tier\"}}[{{.Label \"none\"}}]", "com.example.tier=web web[]"),
            ("{{.ExitCode}} {{.Pid}} {{.Restarts}} {{.StartedAt}} {{.Exited}}", "0 0 0 -62135596800 false"),
            ("{{.CreatedHuman}}|{{.RunningFor}}", "About an hour ago|About an hour ago"),
        ] {
            assert_eq!(render(template), text, "{template}");
        }
        let keys: Value = serde_json::from_str(&render("{{json .}}")).unwrap();
        let keys: Vec<&String> = keys.as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), 15, "docker's and no others: {keys:?}");
        assert!(!render("{{.}}").contains("AutoRemove"));
        assert_eq!(
            render("{{.CreatedAt}}|{{.Created}}"),
            "2026-01-01 00:00:00 +0000 UTC|2026-01-01 00:00:00.5 +0000 UTC"
        );
    }
}
