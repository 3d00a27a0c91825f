//! `--publish`, in all of docker's forms.

use crate::base::{Error, Result};
use crate::image::ports::{Ports, range};
use crate::spec::ports::Published;
use std::net::IpAddr;

/// One word: `[[ADDRESS:][HOST]:]CONTAINER[/PROTOCOL]` with ports or ranges, several of them with commas between as podman has
/// it, or docker's `published=HOST,target=CONTAINER,protocol=PROTOCOL`.
pub(crate) fn publish(text: &str) -> Result<Vec<Published>> {
    let each = || match text.contains('=') {
        true => by_keys(text).map(|p| vec![p]),
        false => text.split(',').map(short).collect(),
    };
    each().map_err(|e: Error| e.step(format!("`{text}`")))
}

fn by_keys(text: &str) -> Result<Published> {
    let (mut host, mut container, mut protocol) = ("", "", "tcp");
    for pair in text.split(',') {
        match pair.split_once('=') {
            Some(("published", value)) => host = value,
            Some(("target", value)) => container = value,
            Some(("protocol", value)) => protocol = value,
            // Of swarm, which there is none of.
            Some(("mode", "host" | "ingress")) => {}
            Some(("mode", value)) => {
                return Err(Error::usage(format!("invalid mode `{value}`: use host or ingress")));
            }
            _ => return Err(Error::usage(format!("unknown key in `{pair}`: use published, target, protocol"))),
        }
    }
    made("", host, &format!("{container}/{protocol}"))
}

fn short(text: &str) -> Result<Published> {
    let mut parts = text.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let (host, address) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    made(address, host, container)
}

fn made(address: &str, host: &str, container: &str) -> Result<Published> {
    if container.is_empty() || container.starts_with('/') {
        return Err(Error::usage("the container's port is missing"));
    }
    let container: Ports = container.parse()?;
    // Port 0 is docker's word for any free one, like none at all.
    let chosen = match host {
        "" | "0" => None,
        text => Some(range(text)?),
    };
    if let Some((first, last)) = chosen
        && container.first != container.last
        && u32::from(last - first) + 1 != container.count()
    {
        return Err(Error::usage(format!("ranges `{host}` and `{container}` have different lengths")));
    }
    let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']'));
    let address = match (address, bare) {
        ("", _) => None,
        (_, Some(inner)) => Some(IpAddr::V6(inner.parse().map_err(|_| invalid(address))?)),
        _ => Some(address.parse().map_err(|_| invalid(address))?),
    };
    Ok(Published { address, host: chosen, container })
}

fn invalid(address: &str) -> Error {
    Error::usage(format!("invalid address `{address}`: use an IP address, IPv6 in brackets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `[ADDRESS] HOST CONTAINER`, with `-` for what was not given.
    fn shown(text: &str) -> String {
        let one = |p: &Published| {
            let address = p.address.map_or("-".to_owned(), |a| a.to_string());
            let host = p.host.map_or("-".to_owned(), |(first, last)| format!("{first}-{last}"));
            format!("[{address}] {host} {}", p.container)
        };
        publish(text).unwrap().iter().map(one).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn every_form_is_read() {
        for (text, expected) in [
            ("80", "[-] - 80/tcp"),
            ("80/udp", "[-] - 80/udp"),
            ("8080:80", "[-] 8080-8080 80/tcp"),
            ("8080:80/UDP", "[-] 8080-8080 80/udp"),
            (":80", "[-] - 80/tcp"),
            ("0:80", "[-] - 80/tcp"),
            ("8000-8002:80-82", "[-] 8000-8002 80-82/tcp"),
            ("8000-8002:80", "[-] 8000-8002 80/tcp"),
            ("80-82", "[-] - 80-82/tcp"),
            ("127.0.0.1:8080:80", "[127.0.0.1] 8080-8080 80/tcp"),
            ("127.0.0.1::80/sctp", "[127.0.0.1] - 80/sctp"),
            ("0.0.0.0:80:80", "[0.0.0.0] 80-80 80/tcp"),
            ("[::1]:8080:80", "[::1] 8080-8080 80/tcp"),
            ("[::]::80", "[::] - 80/tcp"),
            ("::1:8080:80", "[::1] 8080-8080 80/tcp"),
            ("fd00::5:8080:80", "[fd00::5] 8080-8080 80/tcp"),
            ("80:80,81:81/udp", "[-] 80-80 80/tcp, [-] 81-81 81/udp"),
            ("published=8080,target=80", "[-] 8080-8080 80/tcp"),
            ("target=80,protocol=udp,mode=host", "[-] - 80/udp"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn a_mistake_names_the_wrong_word() {
        const PORT: &str = "use a number from 1 to 65535";
        for (text, why) in [
            ("", "the container's port is missing".to_owned()),
            ("8080:", "the container's port is missing".to_owned()),
            ("8080:/udp", "the container's port is missing".to_owned()),
            ("published=8080", "the container's port is missing".to_owned()),
            ("80:80,", "the container's port is missing".to_owned()),
            ("http", format!("invalid port `http`: {PORT}")),
            ("http:80", format!("invalid port `http`: {PORT}")),
            ("8080:0", format!("invalid port `0`: {PORT}")),
            ("70000:80", format!("invalid port `70000`: {PORT}")),
            ("-5:80", format!("invalid port ``: {PORT}")),
            ("80/udp:80", format!("invalid port `80/udp`: {PORT}")),
            ("80:80/http", "invalid protocol `http`: use tcp, udp or sctp".to_owned()),
            ("82-80:80", "invalid range `82-80`: its end is before its beginning".to_owned()),
            ("80-81:80-82", "ranges `80-81` and `80-82/tcp` have different lengths".to_owned()),
            ("80:80-82", "ranges `80` and `80-82/tcp` have different lengths".to_owned()),
            ("localhost:80:80", "invalid address `localhost`: use an IP address, IPv6 in brackets".to_owned()),
            ("1.2.3:80:80", "invalid address `1.2.3`: use an IP address, IPv6 in brackets".to_owned()),
            ("[::1:80:80", "invalid address `[::1`: use an IP address, IPv6 in brackets".to_owned()),
            ("[1.2.3.4]:80:80", "invalid address `[1.2.3.4]`: use an IP address, IPv6 in brackets".to_owned()),
            ("target=80,mode=x", "invalid mode `x`: use host or ingress".to_owned()),
            ("target=80,port=8080", "unknown key in `port=8080`: use published, target, protocol".to_owned()),
        ] {
            let e = publish(text).unwrap_err();
            assert_eq!((e.to_string(), e.kind()), (format!("`{text}`: {why}"), crate::base::Kind::Usage));
        }
    }
}
