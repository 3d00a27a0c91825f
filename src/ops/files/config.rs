//! How an image that is made from a container is run: as the container was, with the changes that are asked for.

use crate::base::{Doing, Result};
use crate::image::change;
use crate::image::config::Execution;
use crate::image::manifest::{DOCKER_MANIFEST, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST};
use crate::image::{Descriptor, Manifest};
use crate::spec::options::MountKind;
use crate::spec::ports::exposed_keys;
use crate::state::record::ContainerRecord;
use serde_json::{Value, json};

/// The format of an image's documents: they differ in media types only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// OCI's.
    #[default]
    Oci,
    /// Docker's, schema 2.
    Docker,
}

impl Format {
    /// Of the manifest.
    pub(super) fn manifest(self) -> &'static str {
        match self {
            Self::Oci => OCI_MANIFEST,
            Self::Docker => DOCKER_MANIFEST,
        }
    }

    /// Of the config.
    pub(super) fn config(self) -> &'static str {
        match self {
            Self::Oci => OCI_CONFIG,
            Self::Docker => "application/vnd.docker.container.image.v1+json",
        }
    }

    /// Of a layer packed with gzip.
    pub(super) fn layer(self) -> &'static str {
        match self {
            Self::Oci => OCI_LAYER_GZIP,
            Self::Docker => "application/vnd.docker.image.rootfs.diff.tar.gzip",
        }
    }

    /// A layer that is there already, under this format's name for what it is.
    pub(super) fn converted(self, layer: &Descriptor) -> Descriptor {
        const OCI: &str = "application/vnd.oci.image.layer.v1.tar";
        const DOCKER: &str = "application/vnd.docker.image.rootfs.diff.tar";
        let (from, to, joint) = match self {
            Self::Oci => (DOCKER, OCI, '+'),
            Self::Docker => (OCI, DOCKER, '.'),
        };
        let media_type = match layer.media_type.strip_prefix(from) {
            Some("") => to.to_owned(),
            Some(packed) => format!("{to}{joint}{}", &packed[1..]),
            // Foreign layers keep their name: it says that registries may not have them.
            None => layer.media_type.clone(),
        };
        Descriptor { media_type, ..layer.clone() }
    }

    /// A manifest.
    pub(super) fn document(self, config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
        Manifest {
            schema_version: 2,
            media_type: Some(self.manifest().to_owned()),
            config,
            layers,
            annotations: std::collections::BTreeMap::default(),
        }
    }
}

/// What of a container goes into the image's config, as docker's `commit` has it.
pub(super) fn execution(record: &ContainerRecord, include_volumes: bool) -> Execution {
    let (mut image, options) = (record.execution.clone(), &record.options);
    if let Some(user) = &options.user {
        image.user.clone_from(user);
    }
    if let Some(dir) = &options.workdir {
        image.working_dir.clone_from(dir);
    }
    if options.unset_env_all {
        image.env.clear();
    }
    image.env.retain(|pair| !options.unset_env.iter().any(|name| pair.split('=').next() == Some(name)));
    for pair in &options.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        change::set(&mut image.env, name, value);
    }
    if let Some(entrypoint) = &options.entrypoint {
        image.entrypoint = Some(entrypoint.clone()).filter(|list| !list.is_empty());
        image.cmd = None;
    }
    if !options.command.is_empty() {
        image.cmd = Some(options.command.clone());
    }
    image.labels.extend(options.labels.clone());
    if let Some(signal) = &options.stop_signal {
        image.stop_signal = Some(signal.clone());
    }
    image.exposed_ports = exposed_keys(&image, options);
    image.healthcheck = options.health.over(image.healthcheck.as_ref());
    if include_volumes {
        let mounts = options.mounts.iter().filter(|m| !matches!(m.kind, MountKind::Tmpfs | MountKind::Devpts));
        image.volumes.extend(mounts.map(|m| (m.target.clone(), json!({}))));
    }
    // They were for images built from the container's own.
    image.on_build.clear();
    image
}

/// Lays what `--config FILE` says over it: the fields of docker's container config that the document has.
pub(super) fn overlay(execution: Execution, document: &str) -> Result<Execution> {
    let mut base = serde_json::to_value(&execution)?;
    let over: Value = serde_json::from_str(document).doing(|| "read the config")?;
    if let (Value::Object(base), Value::Object(over)) = (&mut base, over) {
        for (key, value) in over {
            base.insert(key, value);
        }
    }
    serde_json::from_value(base).doing(|| "read the config")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;

    #[test]
    fn layers_are_renamed_between_formats() {
        let layer = |media_type: &str| Descriptor::new(media_type, Digest::of(b"x"), 1);
        for (oci, docker) in [
            ("application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"),
            ("application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip"),
            ("application/vnd.oci.image.layer.v1.tar+zstd", "application/vnd.docker.image.rootfs.diff.tar.zstd"),
        ] {
            assert_eq!(Format::Docker.converted(&layer(oci)).media_type, docker);
            assert_eq!(Format::Oci.converted(&layer(docker)).media_type, oci);
            assert_eq!(Format::Oci.converted(&layer(oci)).media_type, oci);
        }
    }

    #[test]
    fn a_config_is_laid_over() {
        let base = Execution { user: "a".into(), env: vec!["A=1".into()], ..Execution::default() };
        let over = overlay(base.clone(), r#"{"Env":["B=2"],"Cmd":["x"],"Unknown":1}"#).unwrap();
        assert_eq!((over.user.as_str(), &over.env[..]), ("a", &["B=2".to_owned()][..]));
        assert_eq!(over.cmd, Some(vec!["x".to_owned()]));
        assert!(overlay(base, "{").is_err());
    }
}
