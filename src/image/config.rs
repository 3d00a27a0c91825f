//! The image config (OCI image spec, "Image Configuration", with the fields Docker adds): how to run the image, and the
//! diff ids its layers must have.

use super::digest::Digest;
use super::manifest::null_as_default;
use crate::base::{Doing, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An image's config blob.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// CPU architecture in Go's words.
    #[serde(default)]
    pub architecture: String,
    /// CPU variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Operating system in Go's words.
    #[serde(default)]
    pub os: String,
    /// How to run it.
    #[serde(default, deserialize_with = "null_as_default")]
    pub config: Execution,
    /// The layers' digests, uncompressed.
    #[serde(default, deserialize_with = "null_as_default")]
    pub rootfs: RootFs,
    /// How each layer came to be.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
}

/// The `config` object of an image config. Field names on disk are Go's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Execution {
    /// `user[:group]`, names or numbers.
    #[serde(deserialize_with = "null_as_default")]
    pub user: String,
    /// `80/tcp` and so on, as keys.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, serde_json::Value>,
    /// `NAME=value`.
    #[serde(deserialize_with = "null_as_default")]
    pub env: Vec<String>,
    /// What always runs.
    pub entrypoint: Option<Vec<String>>,
    /// The arguments, or the command when there is no entrypoint.
    pub cmd: Option<Vec<String>>,
    /// Paths that get an anonymous volume, as keys.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, serde_json::Value>,
    /// Where the command starts.
    #[serde(deserialize_with = "null_as_default")]
    pub working_dir: String,
    /// Labels.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the command to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Docker: how to see whether the container is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Docker: the shell of shell-form instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    /// Docker: instructions for images built from this one.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
}

/// Docker's health check. Durations are nanoseconds; 0 means the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", "…"]`.
    #[serde(deserialize_with = "null_as_default")]
    pub test: Vec<String>,
    /// Time between two checks.
    pub interval: i64,
    /// How long one check may take.
    pub timeout: i64,
    /// How long failures don't count at the start.
    pub start_period: i64,
    /// Time between two checks during the start period.
    pub start_interval: i64,
    /// Failures in a row that make the container unhealthy.
    pub retries: i64,
}

/// The layers of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the uncompressed layers, lowest first.
    #[serde(deserialize_with = "null_as_default")]
    pub diff_ids: Vec<Digest>,
}

/// One line of an image's history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// When, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By which instruction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// By whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// True when the instruction made no layer.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// Reads a config blob.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).doing(|| "read image config")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_docker_config_with_nulls_is_read() {
        let json = br#"{"architecture":"amd64","os":"linux","created":"2024-01-01T00:00:00Z",
          "config":{"Env":["PATH=/bin"],"Cmd":["/bin/sh"],"Entrypoint":null,"Volumes":null,"Labels":null,"OnBuild":null,"User":"",
          "ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["CMD","true"],"Interval":30000000000}},
          "rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},
          "history":[{"created_by":"x","empty_layer":true}]}"#;
        let config = ImageConfig::parse(json).unwrap();
        assert_eq!(config.config.cmd.as_deref(), Some(&["/bin/sh".to_owned()][..]));
        assert_eq!(config.rootfs.diff_ids.len(), 1);
        assert_eq!(config.config.healthcheck.unwrap().interval, 30_000_000_000);
        assert!(ImageConfig::parse(br#"{"config":null,"rootfs":null}"#).unwrap().rootfs.diff_ids.is_empty());
        assert!(ImageConfig::parse(b"7").is_err());
    }
}
