//! Ports of a container: which ones it is said to listen on, which ones are to be published, and in which networks that can be.
//! Words and rules only: there is no network yet whose ports could be published.

use super::options::ContainerOptions;
use crate::base::{Error, Result};
use crate::image::config::Execution;
use crate::image::ports::Ports;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// One `--publish`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Of this machine; `None` is every one.
    pub address: Option<IpAddr>,
    /// First and last port of this machine: as many as the container's, or a choice for a single one; `None` is any free ones.
    pub host: Option<(u16, u16)>,
    /// In the container.
    pub container: Ports,
}

impl Published {
    /// Each port of the container as a key of `PortBindings`, with docker's text for the machine's one.
    pub fn bindings(&self) -> impl Iterator<Item = (String, String)> {
        let (host, single) = (self.host, self.container.first == self.container.last);
        let text = move |offset: usize| match host {
            None => String::new(),
            Some((first, last)) if single && first != last => format!("{first}-{last}"),
            Some((first, _)) => (usize::from(first) + offset).to_string(),
        };
        self.container.keys().enumerate().map(move |(offset, port)| (port, text(offset)))
    }
}

/// What the container is said to listen on, by its image, by `--expose` and by `--publish`. What an image says that is no
/// port is left out.
pub fn exposed(image: &Execution, options: &ContainerOptions) -> Vec<Ports> {
    let of_image = image.exposed_ports.keys().filter_map(|port| port.parse().ok());
    of_image.chain(options.expose.iter().copied()).chain(options.published_ports()).collect()
}

/// The same as docker's `ExposedPorts`: the image's words as they are, and the options' beside them.
pub fn exposed_keys(image: &Execution, options: &ContainerOptions) -> BTreeMap<String, serde_json::Value> {
    let mut keys = image.exposed_ports.clone();
    for ports in options.expose.iter().copied().chain(options.published_ports()) {
        keys.extend(ports.keys().map(|port| (port, serde_json::json!({}))));
    }
    keys
}

/// Why nothing of what is to be published will be, where docker and podman say so and go on; `None` when there is nothing to
/// publish.
pub fn discarded(options: &ContainerOptions) -> Option<String> {
    let network = options.network.as_deref()?;
    let asked = !options.publish.is_empty() || options.publish_all;
    asked.then(|| match network {
        "host" => {
            "published ports are discarded with `--network host`: what the container listens on is this machine's"
                .to_owned()
        }
        "none" => "published ports are discarded with `--network none`: nobody reaches the container".to_owned(),
        other => format!("published ports are discarded with `--network {other}`"),
    })
}

/// Refuses what cannot be with the network that was chosen.
pub fn check(options: &ContainerOptions) -> Result<()> {
    let publishes = !options.publish.is_empty() || options.publish_all;
    match options.network.as_deref() {
        None if publishes => {
            let flag = if options.publish.is_empty() { "--publish-all" } else { "--publish" };
            Err(Error::unsupported(format!(
                "{flag}: not supported yet: the container has this machine's network, there is no private one yet"
            ))
            .hint("with `--network host` the flag is accepted and needed for nothing: the container's own ports are this machine's"))
        }
        Some(network) if network.starts_with("container:") => {
            let conflict = |what: &str| {
                Err(Error::usage(format!("conflicting options: port {what} and the container type network mode"))
                    .hint("ports are those of the container whose network it is: name them there"))
            };
            match publishes {
                true => conflict("publishing"),
                false if !options.expose.is_empty() => conflict("exposing"),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(host: Option<(u16, u16)>, container: &str) -> Published {
        Published { address: None, host, container: container.parse().unwrap() }
    }

    #[test]
    fn bindings_are_dockers() {
        let pairs = |p: Published| p.bindings().map(|(c, h)| format!("{c}={h}")).collect::<Vec<_>>().join(" ");
        assert_eq!(pairs(published(None, "80")), "80/tcp=");
        assert_eq!(pairs(published(Some((8080, 8080)), "80/udp")), "80/udp=8080");
        assert_eq!(pairs(published(Some((8080, 8082)), "80-82")), "80/tcp=8080 81/tcp=8081 82/tcp=8082");
        assert_eq!(pairs(published(Some((8080, 8090)), "80")), "80/tcp=8080-8090");
        assert_eq!(pairs(published(Some((65_535, 65_535)), "65535")), "65535/tcp=65535");
    }

    #[test]
    fn what_is_exposed_is_the_images_and_the_users() {
        let image = Execution {
            exposed_ports: [("80/tcp", 0), ("53", 0), ("$PORT", 0)]
                .map(|(k, _)| (k.to_owned(), serde_json::json!({})))
                .into(),
            ..Execution::default()
        };
        let options = ContainerOptions {
            expose: vec!["100-101/udp".parse().unwrap()],
            publish: vec![published(None, "80"), published(None, "443")],
            ..ContainerOptions::default()
        };
        let texts: Vec<String> = exposed(&image, &options).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["53/tcp", "80/tcp", "100-101/udp", "80/tcp", "443/tcp"]);
        let keys: Vec<String> = exposed_keys(&image, &options).into_keys().collect();
        assert_eq!(keys, ["$PORT", "100/udp", "101/udp", "443/tcp", "53", "80/tcp"]);
    }

    #[test]
    fn the_network_decides_what_can_be() {
        let with = |network: Option<&str>, publish: bool, expose: bool| ContainerOptions {
            network: network.map(str::to_owned),
            publish: if publish { vec![published(None, "80")] } else { Vec::new() },
            expose: if expose { vec!["80".parse().unwrap()] } else { Vec::new() },
            ..ContainerOptions::default()
        };
        for (network, publish, expose, good) in [
            (None, false, true, true),
            (None, true, false, false),
            (Some("host"), true, true, true),
            (Some("none"), true, true, true),
            (Some("ns:/x"), true, true, true),
            (Some("container:x"), true, false, false),
            (Some("container:x"), false, true, false),
            (Some("container:x"), false, false, true),
        ] {
            let options = with(network, publish, expose);
            assert_eq!(check(&options).is_ok(), good, "{network:?} {publish} {expose}");
            assert_eq!(good && discarded(&options).is_some(), good && publish, "{network:?} {publish} {expose}");
        }
        let all = ContainerOptions { publish_all: true, ..with(Some("host"), false, false) };
        assert!(discarded(&all).is_some());
    }
}
