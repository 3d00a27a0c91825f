//! What happened, one line of JSON per event, for `runr events`.
//!
//! ```text
//! events/current.jsonl        where events are appended
//!        <number>.jsonl       earlier ones: the higher the number, the younger
//!        rotate.lock          held by who renames the current file
//! ```
//! Whoever does something appends to the file with one `write` on an `O_APPEND` descriptor: there is no daemon that could
//! lose it and no lock to wait for. Writing an event never fails a command and costs a few microseconds; nothing is synced,
//! so a power cut may lose the last seconds. A line that cannot be read (a power cut, a full disk, a newer runr) is skipped.
//!
//! Actions are stored in podman's words; [`Event::docker_action`] knows docker's.

mod follow;
mod log;

pub use follow::Follower;
pub use log::append;

use super::record::ContainerRecord;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// A container.
    Container,
    /// An image.
    Image,
    /// runr itself: `prune`, `reset`, `renumber`.
    System,
    /// A volume.
    Volume,
    /// A network.
    Network,
}

impl Topic {
    /// Its name in documents and filters.
    pub fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::System => "system",
            Self::Volume => "volume",
            Self::Network => "network",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When: nanoseconds since 1970, UTC.
    #[serde(rename = "time")]
    pub time_nano: i64,
    /// What it is about.
    #[serde(rename = "type")]
    pub topic: Topic,
    /// What happened, in podman's words: `create`, `start`, `died`, `remove`, `exec_died`, `health_status`, `pull`, …
    pub action: Cow<'static, str>,
    /// The id of the object; an image's is its digest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The image of a container, as the user called it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// The object's labels, and what belongs to the action: `exitCode`, `signal`, `execID`, `oldName`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// With `health_status`: `healthy`, `unhealthy`, `starting`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_status: Option<String>,
}

impl Event {
    /// An event of now.
    pub fn new(
        topic: Topic,
        action: impl Into<Cow<'static, str>>,
        id: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self {
            time_nano: now(),
            topic,
            action: action.into(),
            id: id.into(),
            name: name.into(),
            image: String::new(),
            attributes: BTreeMap::new(),
            health_status: None,
        }
    }

    /// An event of a container, with its labels.
    pub fn of(record: &ContainerRecord, action: impl Into<Cow<'static, str>>) -> Self {
        let mut labels = record.execution.labels.clone();
        labels.extend(record.options.labels.clone());
        Self {
            image: record.image.as_ref().map(|image| image.name.clone()).unwrap_or_default(),
            attributes: labels,
            ..Self::new(Topic::Container, action, &record.id, &record.name)
        }
    }

    /// The event with an image's labels, which docker counts among its attributes.
    pub fn labelled(mut self, labels: &BTreeMap<String, String>) -> Self {
        self.attributes.extend(labels.clone());
        self
    }

    /// The event with one more attribute.
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.attributes.insert(key.to_owned(), value.to_string());
        self
    }

    /// The event with a health.
    pub fn health(mut self, status: impl Into<String>) -> Self {
        self.health_status = Some(status.into());
        self
    }

    /// docker's words for the action: `die` for `died`, `destroy` for a container's `remove`, `exec_die` for `exec_died`,
    /// `health_status: healthy`.
    pub fn docker_action(&self) -> Cow<'_, str> {
        match (self.topic, self.action.as_ref()) {
            (_, "died") => "die".into(),
            (Topic::Container | Topic::Volume | Topic::Network, "remove") => "destroy".into(),
            (Topic::Image, "remove") => "delete".into(),
            (Topic::Image, "loadfromarchive") => "load".into(),
            (_, "exec_died") => "exec_die".into(),
            (_, "exec") => "exec_start".into(),
            (_, "health_status") => {
                format!("health_status: {}", self.health_status.as_deref().unwrap_or("none")).into()
            }
            (_, other) => other.into(),
        }
    }
}

/// Nanoseconds since 1970.
pub fn now() -> i64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_REALTIME)
        .map(|t| t.tv_sec().saturating_mul(1_000_000_000).saturating_add(t.tv_nsec()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_vocabularies() {
        for (topic, action, docker) in [
            (Topic::Container, "died", "die"),
            (Topic::Container, "remove", "destroy"),
            (Topic::Container, "start", "start"),
            (Topic::Container, "exec_died", "exec_die"),
            (Topic::Image, "remove", "delete"),
            (Topic::Image, "pull", "pull"),
        ] {
            assert_eq!(Event::new(topic, action, "1", "x").docker_action(), docker);
        }
        let health = Event::new(Topic::Container, "health_status", "1", "x").health("healthy");
        assert_eq!(health.docker_action(), "health_status: healthy");
    }

    #[test]
    fn a_line_has_what_is_known_and_an_older_one_is_read() {
        let mut event = Event::new(Topic::Container, "died", "ab", "web").with("exitCode", 3);
        event.time_nano = 5;
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(
            line,
            r#"{"time":5,"type":"container","action":"died","id":"ab","name":"web","attributes":{"exitCode":"3"}}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
        let newer = r#"{"time":5,"type":"system","action":"refresh","more":[1]}"#;
        assert_eq!(serde_json::from_str::<Event>(newer).unwrap().action, "refresh");
    }
}
