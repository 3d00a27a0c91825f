//! `events`: which events are meant, and their document with the fields of both docker and podman.

use crate::base::{Error, Result};
use crate::image::Reference;
use crate::state::events::{self, Event, Follower, Topic};
use crate::store::Store;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Keys of `--filter`. Those that are about what runr does not have fit nothing.
pub const FILTERS: [&str; 18] = [
    "container",
    "event",
    "status",
    "image",
    "label",
    "type",
    "volume",
    "network",
    "scope",
    "pod",
    "daemon",
    "plugin",
    "config",
    "node",
    "secret",
    "service",
    "label!",
    "id",
];

/// Which events are wanted. Times are nanoseconds since 1970.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Not those before.
    pub since: Option<i64>,
    /// Not those after; when it is in the future, wait for it.
    pub until: Option<i64>,
    /// Wait for what is still to come.
    pub stream: bool,
}

/// Gives every event that is wanted to `sink`, in batches, until the end that the query has or `reader` hangs up.
pub fn run(
    store: &Store,
    query: &Query,
    reader: Option<BorrowedFd<'_>>,
    sink: &mut dyn FnMut(&[Event]) -> Result<()>,
) -> Result<()> {
    let wants_history = query.since.is_some() || query.until.is_some() || !query.stream;
    let since = wants_history.then(|| query.since.unwrap_or(i64::MIN));
    let mut follower = Follower::open(store.paths(), since)?;
    loop {
        // Looked at before reading: what happens in between is in the next batch.
        let now = events::now();
        let mut batch = follower.read()?;
        batch.retain(|e| query.since.is_none_or(|t| e.time_nano >= t) && query.until.is_none_or(|t| e.time_nano <= t));
        // Parallel writers take the time before they write.
        batch.sort_by_key(|e| e.time_nano);
        sink(&batch)?;
        let left = query.until.map(|until| until.saturating_sub(now));
        if !query.stream || left.is_some_and(|left| left < 0) {
            return Ok(());
        }
        let limit = left.map(|left| Duration::from_nanos(left.unsigned_abs()));
        if follower.wait(limit, reader)? {
            return Ok(());
        }
    }
}

/// Whether an event fits `--filter KEY=VALUE`.
pub fn fits(event: &Event, key: &str, value: &str) -> bool {
    let named = |name: &str| !value.is_empty() && (name == value || event.id.starts_with(value));
    match key {
        "container" => event.topic == Topic::Container && named(&event.name),
        "id" => !value.is_empty() && event.id.starts_with(value),
        "volume" => event.topic == Topic::Volume && named(&event.name),
        "network" => event.topic == Topic::Network && named(&event.name),
        "image" => match event.topic {
            Topic::Image => named(&event.name) || same_image(&event.name, value) || is_image_id(event, value),
            Topic::Container => same_image(&event.image, value),
            _ => false,
        },
        "event" | "status" => action_is(event, value),
        "type" => event.topic.word() == value || (event.topic == Topic::System && value == "daemon"),
        "scope" => value == "local",
        _ => false,
    }
}

fn is_image_id(event: &Event, value: &str) -> bool {
    !value.is_empty() && event.id.strip_prefix("sha256:").is_some_and(|hex| hex.starts_with(value))
}

/// docker's words are as good as podman's; `exec_create` and `exec_start` are one event here.
fn action_is(event: &Event, value: &str) -> bool {
    let docker = event.docker_action();
    event.action == value
        || docker == value
        || docker.split_once(':').is_some_and(|(action, _)| action == value)
        || (event.action == "exec" && value == "exec_create")
        || (event.action == "remove" && matches!(value, "destroy" | "delete" | "rm"))
}

/// The same image by name: `alpine` is `docker.io/library/alpine` of any tag.
fn same_image(name: &str, wanted: &str) -> bool {
    if name == wanted {
        return !name.is_empty();
    }
    let (Ok(name), Ok(reference)) = (name.parse::<Reference>(), wanted.parse::<Reference>()) else { return false };
    let tail = wanted.rsplit('/').next().unwrap_or(wanted);
    let precise = tail.contains(':') || tail.contains('@');
    name.name() == reference.name()
        && (!precise || (name.tag() == reference.tag() && name.digest() == reference.digest()))
}

/// The event with the fields of docker's and of podman's document, whose names differ by their case at most.
pub fn document(event: &Event, zone: &TimeZone, truncate: bool) -> Result<Value> {
    let id = shown_id(&event.id, truncate);
    let (docker_id, _) = docker_identity(event);
    let docker_id = shown_id(&docker_id, truncate);
    let action = event.docker_action();
    let time = local(event, zone, "%Y-%m-%dT%H:%M:%S%.f")?;
    let labels: Map<String, Value> = event.attributes.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let exit_code = event.attributes.get("exitCode").and_then(|code| code.parse::<i64>().ok());
    Ok(json!({
        // podman's.
        "ID": id, "Name": event.name, "Image": event.image, "Type": event.topic.word(), "Status": event.action,
        "Time": time, "Attributes": labels, "HealthStatus": event.health_status.as_deref().unwrap_or_default(),
        "ContainerExitCode": exit_code, "TimeNano": event.time_nano,
        // docker's.
        "id": docker_id, "status": action, "from": event.image, "From": event.image, "Action": action, "scope": "local",
        "Scope": "local", "time": event.time_nano.div_euclid(1_000_000_000), "timeNano": event.time_nano,
        "Actor": {"ID": docker_id, "Attributes": actor(event)},
    }))
}

/// One line as docker prints it: time, type, action, id, and attributes in order.
pub fn line(event: &Event, zone: &TimeZone, truncate: bool) -> Result<String> {
    let time = local(event, zone, "%Y-%m-%dT%H:%M:%S.%9f")?;
    let attributes: Vec<String> =
        actor(event).iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    let mut text = format!("{time} {} {}", event.topic.word(), event.docker_action());
    let (id, _) = docker_identity(event);
    if !id.is_empty() {
        text.push_str(&format!(" {}", shown_id(&id, truncate)));
    }
    if !attributes.is_empty() {
        text.push_str(&format!(" ({})", attributes.join(", ")));
    }
    // A label may hold anything; an event is one line.
    Ok(text.replace('\n', "\\n"))
}

/// RFC 3339 in a zone, as Go writes it: UTC is `Z`.
fn local(event: &Event, zone: &TimeZone, form: &str) -> Result<String> {
    let time = Timestamp::from_nanosecond(event.time_nano.into());
    let time = time.map_err(|e| Error::corrupt(format!("event of an impossible time: {e}")))?;
    let time = time.to_zoned_datetime(zone.clone());
    let offset = time.strftime("%:z").to_string();
    Ok(format!("{}{}", time.strftime(form), if offset == "+00:00" { "Z" } else { &offset }))
}

/// docker's attributes: labels, image and name among them, sorted.
fn actor(event: &Event) -> Map<String, Value> {
    let mut all: std::collections::BTreeMap<&str, &str> =
        event.attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let (_, name) = docker_identity(event);
    for (key, value) in [("image", event.image.as_str()), ("name", &name)] {
        if !value.is_empty() {
            all.insert(key, value);
        }
    }
    all.into_iter().map(|(k, v)| (k.to_owned(), json!(v))).collect()
}

/// What docker calls the object: its id and name. A pull is told of by what was asked for: `alpine:3` of `alpine`.
fn docker_identity(event: &Event) -> (Cow<'_, str>, Cow<'_, str>) {
    let own = (Cow::from(&event.id), Cow::from(&event.name));
    if event.topic != Topic::Image || event.action != "pull" {
        return own;
    }
    let Ok(reference) = event.name.parse::<Reference>() else { return own };
    let name = reference.familiar_name();
    let version = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => format!("@{digest}"),
        (None, Some(tag)) => format!(":{tag}"),
        (None, None) => String::new(),
    };
    (format!("{name}{version}").into(), name.into())
}

/// An id as it is or short; what is no id, such as an image's name, stays whole.
fn shown_id(id: &str, truncate: bool) -> String {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    let is_id = digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if truncate && is_id { digits[..12].to_owned() } else { id.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn died() -> Event {
        let mut event = Event::new(
            Topic::Container,
            "died",
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "web",
        )
        .with("exitCode", 3)
        .with("l", "v");
        event.image = "alpine".into();
        event.time_nano = 1_769_860_800_000_000_005;
        event
    }

    #[test]
    fn filters_know_both_vocabularies() {
        let event = died();
        for (key, value, fit) in [
            ("event", "die", true),
            ("event", "died", true),
            ("status", "start", false),
            ("container", "web", true),
            ("container", "0123", true),
            ("container", "we", false),
            ("container", "", false),
            ("image", "alpine", true),
            ("image", "docker.io/library/alpine:latest", true),
            ("image", "alpine:3", false),
            ("type", "container", true),
            ("type", "image", false),
            ("volume", "web", false),
            ("pod", "web", false),
            ("scope", "local", true),
        ] {
            assert_eq!(fits(&event, key, value), fit, "{key}={value}");
        }
        let image = Event::new(Topic::Image, "remove", "sha256:ab01", "quay.io/x:1");
        for (key, value, fit) in
            [("event", "delete", true), ("event", "remove", true), ("image", "ab0", true), ("image", "quay.io/x", true)]
        {
            assert_eq!(fits(&image, key, value), fit, "{key}={value}");
        }
        let health = Event::new(Topic::Container, "health_status", "1", "x").health("healthy");
        assert!(fits(&health, "event", "health_status") && fits(&health, "event", "health_status: healthy"));
    }

    #[test]
    fn text_and_document() {
        assert_eq!(
            line(&died(), &TimeZone::UTC, false).unwrap(),
            "2026-01-31T12:00:00.000000005Z container die 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef (exitCode=3, image=alpine, l=v, name=web)"
        );
        let document = document(&died(), &TimeZone::UTC, true).unwrap();
        for (place, value) in [
            ("/Status", json!("died")),
            ("/status", json!("die")),
            ("/Action", json!("die")),
            ("/ID", json!("0123456789ab")),
            ("/from", json!("alpine")),
            ("/Actor/Attributes/exitCode", json!("3")),
            ("/Attributes/l", json!("v")),
            ("/ContainerExitCode", json!(3)),
            ("/time", json!(1_769_860_800)),
            ("/timeNano", json!(1_769_860_800_000_000_005i64)),
            ("/Time", json!("2026-01-31T12:00:00.000000005Z")),
        ] {
            assert_eq!(document.pointer(place), Some(&value), "{place}");
        }
    }
}
