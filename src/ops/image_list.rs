//! `images` with its filters, and the document of `image inspect`, in docker's words.

use super::containers::image_users;
use crate::base::{Error, Result, moment, units};
use crate::image::Reference;
use crate::image::config::Execution;
use crate::store::{Image, ImageSummary, Store};
use serde_json::{Map, Value, json};
use std::str::FromStr;

/// One `--filter KEY=VALUE` of `images` and `image prune`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// `dangling=true|false`: without a name, or with one.
    Dangling(bool),
    /// `intermediate=true|false`: the same for a list. Not for a prune, which takes `dangling=false` to be about all images.
    Intermediate(bool),
    /// `label=KEY` or `label=KEY=VALUE`.
    Label(String, Option<String>),
    /// `label!=…`.
    NoLabel(String, Option<String>),
    /// `reference=PATTERN`: a shell pattern for names, with or without tag.
    Reference(String),
    /// `before=IMAGE`: made before that one.
    Before(String),
    /// `since=IMAGE` or `after=IMAGE`: made after that one.
    Since(String),
    /// `id=PREFIX`.
    Id(String),
    /// `containers=true|false`: containers were made of it.
    Used(bool),
    /// `readonly=`, `manifest=` (a list of images) and `containers=external`: what no image here is; false admits all.
    Never(bool),
    /// `until=TIME`: made before that time (RFC 3339) or that long ago (`24h`).
    Until(jiff::Timestamp),
}

/// The keys.
pub const FILTERS: [&str; 12] = [
    "dangling",
    "label",
    "label!",
    "reference",
    "before",
    "since",
    "id",
    "until",
    "containers",
    "readonly",
    "intermediate",
    "manifest",
];

impl FromStr for Filter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::usage(format!("invalid filter `{text}`: use KEY=VALUE"));
        let (key, value) = text.split_once('=').ok_or_else(bad)?;
        let label = || match value.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (value.to_owned(), None),
        };
        let switch = || {
            units::parse_bool(value)
                .ok_or_else(|| Error::usage(format!("invalid filter `{text}`: use {key}=true or {key}=false")))
        };
        Ok(match key {
            // podman: one without a name that no other image was made from, and nobody knows here what others were made from.
            "intermediate" => Self::Intermediate(switch()?),
            "dangling" => Self::Dangling(switch()?),
            "containers" if value == "external" => Self::Never(true),
            "containers" => Self::Used(switch()?),
            "readonly" | "manifest" => Self::Never(switch()?),
            "label" => Self::Label(label().0, label().1),
            "label!" => Self::NoLabel(label().0, label().1),
            "reference" => Self::Reference(value.to_owned()),
            "before" => Self::Before(value.to_owned()),
            "since" | "after" => Self::Since(value.to_owned()),
            "id" => Self::Id(value.trim_start_matches("sha256:").to_owned()),
            "until" => Self::Until(moment::parse(value, jiff::Timestamp::now())?),
            _ => {
                return Err(
                    Error::usage(format!("invalid filter `{key}`")).hint(format!("there are: {}", FILTERS.join(", ")))
                );
            }
        })
    }
}

/// The images that pass all filters, newest first. Several `reference` filters admit what one of them admits; a filter by
/// name leaves only the names that fit. Damaged images pass unless a filter needs to know them.
pub fn list(store: &Store, filters: &[Filter]) -> Result<Vec<ImageSummary>> {
    // What a killed pull left goes when somebody comes by. No reason to fail a list.
    drop(store.sweep_in_background());
    let mut images = store.images()?;
    let patterns: Vec<&String> =
        filters.iter().filter_map(|f| if let Filter::Reference(p) = f { Some(p) } else { None }).collect();
    if !patterns.is_empty() {
        for image in &mut images {
            image.names.retain(|name| patterns.iter().any(|p| names_fit(p, name)));
        }
        images.retain(|i| !i.names.is_empty());
    }
    if filters.iter().any(|f| matches!(f, Filter::Used(_))) {
        let users = image_users(store)?.users;
        let used = |image: &ImageSummary| users.iter().any(|user| user.image == image.id);
        images.retain(|i| filters.iter().all(|f| if let Filter::Used(wanted) = f { used(i) == *wanted } else { true }));
    }
    for filter in filters {
        let limit = match filter {
            Filter::Before(text) | Filter::Since(text) => made(&find(store, text)?),
            _ => None,
        };
        images.retain(|image| passes(image, filter, limit));
    }
    Ok(images)
}

fn find(store: &Store, text: &str) -> Result<ImageSummary> {
    let digest = store.find_image(text)?.manifest.digest;
    let image = store.images()?.into_iter().find(|i| i.manifests.contains(&digest));
    image.ok_or_else(|| Error::not_found(format!("no such image: `{text}`")))
}

/// Whether an image passes a filter on its own, which of `Reference` and `Used` it always does; `limit` is the time of the image that `before` and `since` name.
pub fn passes(image: &ImageSummary, filter: &Filter, limit: Option<jiff::Timestamp>) -> bool {
    let has = |name: &str, value: &Option<String>| {
        image.labels.get(name).is_some_and(|v| value.as_ref().is_none_or(|wanted| wanted == v))
    };
    let made = made(image);
    match filter {
        Filter::Dangling(wanted) | Filter::Intermediate(wanted) => {
            (image.names.is_empty() && image.foreign_names.is_empty()) == *wanted
        }
        Filter::Label(name, value) => has(name, value),
        Filter::NoLabel(name, value) => !has(name, value),
        Filter::Reference(_) | Filter::Used(_) => true,
        Filter::Never(wanted) => !wanted,
        Filter::Before(_) => made.is_some_and(|m| limit.is_some_and(|l| m < l)),
        Filter::Since(_) => made.is_some_and(|m| limit.is_some_and(|l| m > l)),
        Filter::Id(prefix) => image.id.hex().starts_with(prefix.as_str()),
        Filter::Until(at) => made.is_some_and(|m| m < *at),
    }
}

fn made(image: &ImageSummary) -> Option<jiff::Timestamp> {
    image.created.as_ref()?.parse().ok()
}

/// docker matches the short and the full name, each with and without its tag.
pub fn names_fit(pattern: &str, name: &Reference) -> bool {
    let tag = name.tag().map(|t| format!(":{t}")).unwrap_or_default();
    [name.familiar_name(), name.name()]
        .iter()
        .any(|n| fits(pattern.as_bytes(), n.as_bytes()) || fits(pattern.as_bytes(), format!("{n}{tag}").as_bytes()))
}

/// A shell pattern with `*` and `?`, neither of which crosses a `/`. Linear in both, whatever the pattern.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some(b'?') if text[t] != b'/' => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            Some(c) if *c == text[t] => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            _ => {}
        }
        match star {
            Some((at, from)) if text[from] != b'/' => {
                star = Some((at, from + 1));
                (p, t) = (at + 1, from + 1);
            }
            _ => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// The document that `image inspect` shows for an image, with docker's field names.
pub fn inspect(store: &Store, text: &str) -> Result<Value> {
    let entry = store.find_image(text)?;
    let image = store.load_image(&entry)?;
    let summary = store.images()?.into_iter().find(|i| i.id == image.id);
    let names = summary.as_ref().map_or_else(|| entry.names.clone(), |s| s.names.clone());
    let digests = summary.as_ref().map_or_else(|| entry.repo_digests.clone(), |s| s.repo_digests.clone());
    let tags: Vec<String> = names.iter().filter(|n| n.digest().is_none()).map(familiar).collect();
    let digests: Vec<String> = digests.iter().map(familiar).collect();
    Ok(document(&image, tags, digests))
}

fn document(image: &Image, tags: Vec<String>, digests: Vec<String>) -> Value {
    let config = &image.config;
    json!({
        "Id": image.id,
        "Digest": image.entry.manifest.digest,
        "RepoTags": tags,
        "RepoDigests": digests,
        "Parent": "",
        "Comment": config.history.last().and_then(|h| h.comment.clone()).unwrap_or_default(),
        "Created": config.created,
        "Author": config.author.clone().unwrap_or_default(),
        "Architecture": config.architecture,
        "Variant": config.variant.clone().unwrap_or_default(),
        "Os": config.os,
        "Size": image.entry.size,
        "VirtualSize": image.entry.size,
        "Config": execution(&config.config),
        "Labels": config.config.labels,
        "User": config.config.user,
        "Annotations": image.manifest.annotations,
        "ManifestType": image.entry.manifest.media_type,
        "GraphDriver": {"Name": "runr", "Data": {}},
        "RootFS": {"Type": "layers", "Layers": config.rootfs.diff_ids},
        "History": config.history,
    })
}

/// The `Config` of an image, in docker's order of keys.
fn execution(config: &Execution) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("User", config.user.clone().into());
    if !config.exposed_ports.is_empty() {
        put("ExposedPorts", json!(config.exposed_ports));
    }
    put("Env", config.env.clone().into());
    put("Cmd", json!(config.cmd));
    if let Some(check) = &config.healthcheck {
        put("Healthcheck", json!(check));
    }
    put("Volumes", null_if_empty(json!(config.volumes)));
    put("WorkingDir", config.working_dir.clone().into());
    put("Entrypoint", json!(config.entrypoint));
    put("OnBuild", null_if_empty(json!(config.on_build)));
    put("Labels", null_if_empty(json!(config.labels)));
    if let Some(signal) = &config.stop_signal {
        put("StopSignal", signal.clone().into());
    }
    if let Some(shell) = &config.shell {
        put("Shell", json!(shell));
    }
    Value::Object(map)
}

/// Go prints a map or a list that nobody set as `null`.
fn null_if_empty(value: Value) -> Value {
    match &value {
        Value::Array(list) if list.is_empty() => Value::Null,
        Value::Object(map) if map.is_empty() => Value::Null,
        _ => value,
    }
}

/// As docker shows a name: `alpine:3`, `alpine@sha256:…`.
pub fn familiar(name: &Reference) -> String {
    let tag = name.tag().map(|t| format!(":{t}")).unwrap_or_default();
    let digest = name.digest().map(|d| format!("@{d}")).unwrap_or_default();
    format!("{}{tag}{digest}", name.familiar_name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::manifest::OCI_MANIFEST;
    use crate::store::Provenance;

    #[test]
    fn patterns_stop_at_slashes_and_end() {
        for (pattern, text, fit) in [
            ("alpine", "alpine", true),
            ("al*", "alpine", true),
            ("*", "a/b", false),
            ("*/b", "a/b", true),
            ("a?b", "a/b", false),
            ("*a*b*", "xaybz", true),
            ("*a*b*c", "aaaabbbb", false),
            ("", "", true),
            ("**", "abc", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), fit, "{pattern} {text}");
        }
    }

    fn add(store: &Store, name: &str, second: u32, label: &str) {
        let config = json!({"created": format!("2024-01-01T00:00:{second:02}Z"), "config": {"Labels": {"l": label}},
            "rootfs": {"diff_ids": []}});
        let config = store.put_blob(&serde_json::to_vec(&config).unwrap(), "c").unwrap();
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": []});
        let manifest = store.put_blob(&serde_json::to_vec(&manifest).unwrap(), OCI_MANIFEST).unwrap();
        let name = (!name.is_empty()).then(|| name.parse().unwrap());
        store.tag_image(name.as_ref(), &manifest, &Provenance::default()).unwrap();
    }

    #[test]
    fn filters_admit_what_docker_admits() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        add(&store, "old:1", 1, "x");
        add(&store, "quay.io/mid", 2, "y");
        add(&store, "new:1", 3, "x");
        add(&store, "", 4, "z");
        let names = |filters: &[&str]| {
            let filters: Vec<Filter> = filters.iter().map(|f| f.parse().unwrap()).collect();
            let images = list(&store, &filters).unwrap();
            images.iter().map(|i| i.names.first().map(familiar).unwrap_or_default()).collect::<Vec<_>>()
        };
        for (filters, expected) in [
            (&[][..], &["", "new:1", "quay.io/mid:latest", "old:1"][..]),
            (&["dangling=true"], &[""]),
            (&["dangling=T"], &[""]),
            (&["intermediate=False"], &["new:1", "quay.io/mid:latest", "old:1"]),
            (&["label=l=x"], &["new:1", "old:1"]),
            (&["label!=l=x"], &["", "quay.io/mid:latest"]),
            (&["label=l", "dangling=false", "before=new:1"], &["quay.io/mid:latest", "old:1"]),
            (&["since=quay.io/mid"], &["", "new:1"]),
            (&["reference=*:1"], &["new:1", "old:1"]),
            (&["reference=old", "reference=quay.io/*"], &["quay.io/mid:latest", "old:1"]),
            (&["until=2024-01-01T00:00:02Z"], &["old:1"]),
            (&["until=1h"], &["", "new:1", "quay.io/mid:latest", "old:1"]),
        ] {
            assert_eq!(names(filters), expected, "{filters:?}");
        }
        for bad in ["x", "x=y", "dangling=maybe", "until=soon"] {
            assert!(bad.parse::<Filter>().is_err(), "{bad}");
        }
        let document = inspect(&store, "quay.io/mid").unwrap();
        assert_eq!(document["RepoTags"], json!(["quay.io/mid:latest"]));
        assert_eq!(document["Config"]["Labels"]["l"], "y");
        // Scripts ask for keys that nobody set, too.
        assert!(document["Config"].as_object().unwrap().get("Volumes").is_some_and(Value::is_null));
    }
}
