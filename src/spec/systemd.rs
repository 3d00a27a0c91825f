//! What podman does for a container whose first process is systemd (`--systemd`), and for the volumes that an image names
//! (`--image-volume`). Both are settled when a container is made.

use super::options::{ContainerOptions, Mount, MountKind};
use crate::base::{Error, Result};
use crate::image::config::Execution;
use serde::{Deserialize, Serialize};

/// `--systemd`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Systemd {
    /// The container is like any other.
    #[default]
    Off,
    /// If its command is systemd's.
    Auto,
    /// It gets what systemd needs.
    On,
}

/// `--image-volume`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageVolume {
    /// The image's volumes are folders of the container like any other.
    Ignore,
    /// They are memory.
    Tmpfs,
    /// They are volumes without a name, which go with the container.
    #[default]
    Anonymous,
}

/// Where systemd wants memory, and with which mode, as podman mounts it.
pub(super) const TMPFS: [(&str, &str); 4] =
    [("/run", "mode=755"), ("/run/lock", "mode=755"), ("/tmp", "mode=1777"), ("/var/log/journal", "mode=755")];

/// The signal that makes systemd shut down in an orderly way (systemd(1)).
const STOP_SIGNAL: &str = "SIGRTMIN+3";

/// How many volumes an image may name.
const MAX_VOLUMES: usize = 128;

/// Settles what depends on the image and the command.
///
/// Errors: for volumes of the image that can't be mounted.
pub fn settle(options: &mut ContainerOptions, image: &Execution, command: &[String]) -> Result<()> {
    let is_systemd = || command.first().is_some_and(|program| is_systemd(program));
    if options.systemd == Systemd::Auto {
        options.systemd = if is_systemd() { Systemd::On } else { Systemd::Off };
    }
    if options.systemd == Systemd::On && options.stop_signal.is_none() && image.stop_signal.is_none() {
        options.stop_signal = Some(STOP_SIGNAL.to_owned());
    }
    image_volumes(options, image)
}

/// Mounts the volumes that the image names, where the user mounts nothing.
fn image_volumes(options: &mut ContainerOptions, image: &Execution) -> Result<()> {
    if options.image_volume == ImageVolume::Ignore {
        return Ok(());
    }
    let way_out = "leave the image's volumes out: --image-volume ignore";
    if image.volumes.len() > MAX_VOLUMES {
        let text = format!("the image names {} volumes, more than {MAX_VOLUMES}", image.volumes.len());
        return Err(Error::unsupported(text).hint(way_out));
    }
    for text in image.volumes.keys() {
        let Some(target) = clean(text) else {
            return Err(Error::usage(format!("the image names the volume `{}`", text.escape_debug())).hint(way_out));
        };
        let (kind, words) = match options.image_volume {
            ImageVolume::Tmpfs => (MountKind::Tmpfs, vec!["nodev".to_owned(), "exec".to_owned()]),
            _ => (MountKind::Volume { name: String::new(), anonymous: true }, Vec::new()),
        };
        if options.mounts.iter().all(|m| m.target != target) {
            options.mounts.push(Mount { kind, target, read_only: false, options: words });
        }
    }
    Ok(())
}

/// An image's volume as mounts are written, as docker reads it: below `/`, without `.`, `..` and double slashes. `None` for the
/// root itself.
fn clean(text: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    (!parts.is_empty() && !text.contains('\0')).then(|| format!("/{}", parts.join("/")))
}

/// podman's rule.
fn is_systemd(program: &str) -> bool {
    matches!(program, "/sbin/init" | "/usr/sbin/init" | "/usr/local/sbin/init")
        || program.rsplit('/').next() == Some("systemd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_known_by_its_name() {
        for (command, yes) in [
            ("/sbin/init", true),
            ("/usr/local/sbin/init", true),
            ("/lib/systemd/systemd", true),
            ("systemd", true),
            ("init", false),
            ("/bin/sh", false),
            ("/etc/systemd/", false),
        ] {
            let mut options = ContainerOptions { systemd: Systemd::Auto, ..ContainerOptions::default() };
            settle(&mut options, &Execution::default(), &[command.to_owned()]).unwrap();
            assert_eq!(options.systemd == Systemd::On, yes, "{command}");
            assert_eq!(options.stop_signal.as_deref(), yes.then_some("SIGRTMIN+3"), "{command}");
        }
    }

    #[test]
    fn a_stop_signal_of_ones_own_and_a_mount_of_ones_own_stay() {
        let image = Execution {
            stop_signal: Some("SIGINT".into()),
            volumes: [("/data/".to_owned(), serde_json::json!({})), ("/own".to_owned(), serde_json::json!({}))].into(),
            ..Execution::default()
        };
        let own = Mount { kind: MountKind::Tmpfs, target: "/own".into(), read_only: true, options: Vec::new() };
        let mut options = ContainerOptions {
            systemd: Systemd::On,
            image_volume: ImageVolume::Tmpfs,
            mounts: vec![own],
            ..ContainerOptions::default()
        };
        settle(&mut options, &image, &[]).unwrap();
        assert_eq!(options.stop_signal, None);
        let mounts: Vec<_> = options.mounts.iter().map(|m| (m.target.as_str(), m.read_only)).collect();
        assert_eq!(mounts, [("/own", true), ("/data", false)]);
    }

    #[test]
    fn volumes_of_an_image_are_read_as_docker_reads_them() {
        let volumes = |names: &[&str]| {
            let volumes = names.iter().map(|n| ((*n).to_owned(), serde_json::json!({}))).collect();
            let own =
                Mount { kind: MountKind::Tmpfs, target: "/data/own".into(), read_only: false, options: Vec::new() };
            let mut options = ContainerOptions { mounts: vec![own], ..Default::default() };
            let image = Execution { volumes, ..Execution::default() };
            settle(&mut options, &image, &[])?;
            Ok::<_, Error>(options.mounts[1..].iter().map(|m| m.target.clone()).collect::<Vec<_>>().join(" "))
        };
        for (name, target) in [
            ("data", "/data"),
            ("/a/../b/", "/b"),
            ("//x//./y", "/x/y"),
            ("/../../z", "/z"),
            ("/data//own", ""),
            ("/data/./own/", ""),
            ("/a b\n", "/a b\n"),
        ] {
            assert_eq!(volumes(&[name]).unwrap(), target, "{name}");
        }
        assert_eq!(volumes(&["/a", "a/", "/a/."]).unwrap(), "/a");
        for name in ["/", "", "/..", "/a\0b"] {
            assert!(volumes(&[name]).is_err(), "{name:?}");
        }
        let many: Vec<String> = (0..=MAX_VOLUMES).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(volumes(&many).is_err() && volumes(&many[1..]).is_ok());
    }
}
