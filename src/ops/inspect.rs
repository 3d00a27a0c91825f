//! `inspect`: images and containers as the JSON documents that docker prints, key for key, so that scripts and templates made
//! for docker work. What podman has beside it (`Digest`, `NamesHistory` …) follows where it costs nothing.

use crate::image::config::{Execution, ImageConfig};
use crate::image::manifest::OCI_MANIFEST;
use crate::store::Image;
use serde_json::{Map, Value, json};

/// The document of an image.
pub fn image(image: &Image) -> Value {
    let ImageConfig { created, author, architecture, variant, os, config, rootfs, history } = &image.config;
    let names = &image.entry.names;
    let tags: Vec<String> =
        names.iter().filter_map(|name| name.tag().map(|tag| format!("{}:{tag}", name.familiar_name()))).collect();
    let digests: Vec<String> = image
        .entry
        .repo_digests
        .iter()
        .filter_map(|name| name.digest().map(|digest| format!("{}@{digest}", name.familiar_name())))
        .collect();
    let comment = history.last().and_then(|h| h.comment.clone()).unwrap_or_default();
    let manifest = &image.entry.manifest;
    let media_type = if manifest.media_type.is_empty() { OCI_MANIFEST } else { &manifest.media_type };
    let mut document = json!({
        "Id": image.id.to_string(),
        "RepoTags": tags,
        "RepoDigests": digests,
        "Parent": "",
        "Comment": comment,
        "Created": created,
        "DockerVersion": "",
        "Author": author.clone().unwrap_or_default(),
        "Config": execution(config),
        "Architecture": architecture,
        "Variant": variant,
        "Os": os,
        "Size": image.entry.size,
        "VirtualSize": image.entry.size,
        "GraphDriver": {"Data": {}, "Name": "overlay"},
        "RootFS": {"Type": "layers", "Layers": rootfs.diff_ids},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
        "Descriptor": {"mediaType": media_type, "digest": manifest.digest.to_string(), "size": manifest.size},
        "Digest": manifest.digest.to_string(),
        "ManifestType": media_type,
        "Labels": null_if_empty(json!(config.labels)),
        "Annotations": image.manifest.annotations,
        "User": config.user,
        "History": history,
        "Healthcheck": config.healthcheck,
    });
    if let Value::Object(map) = &mut document {
        for optional in ["Variant", "Healthcheck"] {
            if map.get(optional).is_some_and(Value::is_null) {
                map.shift_remove(optional);
            }
        }
    }
    document
}

/// The `Config` of an image, in docker's order of keys.
pub fn execution(config: &Execution) -> Value {
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
