//! The content of the files that runr puts over the image's: /etc/hosts, /etc/hostname, /etc/resolv.conf. Pure text; the
//! caller reads the host's files and writes the results.

use crate::base::{Error, Result};

/// What `/etc/hosts` is made from.
#[derive(Debug, Clone, Copy)]
pub struct Hosts<'a> {
    /// The host's own /etc/hosts, for a container in the host's network: its names go on to work.
    pub host_file: Option<&'a str>,
    /// The container's host name and the address it stands for.
    pub hostname: &'a str,
    /// `--add-host` values, `name[;name…]:address` or `name=address`.
    pub added: &'a [String],
    /// What `host-gateway` means, if there is such an address.
    pub host_gateway: Option<&'a str>,
}

/// Makes /etc/hosts. Names added by the user come first: the first match wins.
pub fn hosts(facts: &Hosts<'_>) -> Result<String> {
    let mut text = String::new();
    for value in facts.added {
        let (names, address) = parse_add_host(value)?;
        let address = if address == "host-gateway" {
            facts.host_gateway.ok_or_else(|| {
                Error::unsupported(format!("`--add-host {value}`: this network has no host-gateway address"))
            })?
        } else {
            address
        };
        for name in names.split(';') {
            text.push_str(&format!("{address}\t{name}\n"));
        }
    }
    match facts.host_file {
        Some(host) => {
            text.push_str(host);
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
        }
        None => text.push_str("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
    }
    let known =
        text.lines().any(|l| l.split('#').next().unwrap_or("").split_whitespace().skip(1).any(|n| n == facts.hostname));
    if !facts.hostname.is_empty() && !known {
        text.push_str(&format!("127.0.1.1\t{}\n", facts.hostname));
    }
    Ok(text)
}

/// Takes `--add-host` apart; IPv6 addresses may stand in brackets.
pub fn parse_add_host(value: &str) -> Result<(&str, &str)> {
    let bad = || Error::usage(format!("invalid `--add-host {value}`: use name:address"));
    // `name=address` is docker's newer spelling; an address has no `=`.
    let (names, address) = value.split_once('=').or_else(|| value.split_once(':')).ok_or_else(bad)?;
    let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    let name_ok = |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    let address_ok = address == "host-gateway" || address.parse::<std::net::IpAddr>().is_ok();
    if names.split(';').all(name_ok) && address_ok { Ok((names, address)) } else { Err(bad()) }
}

/// What `/etc/resolv.conf` is made from.
#[derive(Debug, Clone, Copy)]
pub struct Resolv<'a> {
    /// The host's file.
    pub host_file: &'a str,
    /// `--dns`; replaces the host's servers.
    pub servers: &'a [String],
    /// `--dns-search`; replaces the host's. A single `.` means none.
    pub search: &'a [String],
    /// `--dns-option`; replaces the host's.
    pub options: &'a [String],
    /// True when the container has the host's network, where a server on the loopback address is the host's own.
    pub host_network: bool,
}

/// Makes /etc/resolv.conf.
pub fn resolv_conf(facts: &Resolv<'_>) -> Result<String> {
    for server in facts.servers {
        if server.parse::<std::net::IpAddr>().is_err() && server != "none" {
            return Err(Error::usage(format!("invalid `--dns {server}`: not an IP address")));
        }
    }
    let untouched = facts.servers.is_empty() && facts.search.is_empty() && facts.options.is_empty();
    if facts.host_network && untouched {
        return Ok(facts.host_file.to_owned());
    }
    let host = |keyword: &str| -> Vec<String> {
        let lines = facts.host_file.lines().filter(|l| l.split_whitespace().next() == Some(keyword));
        lines.map(|l| l.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")).filter(|v| !v.is_empty()).collect()
    };
    let reachable = |server: &String| {
        let loopback =
            server.split('%').next().and_then(|a| a.parse::<std::net::IpAddr>().ok()).is_some_and(|a| a.is_loopback());
        facts.host_network || !loopback
    };
    let servers = if facts.servers.is_empty() {
        host("nameserver").into_iter().filter(reachable).collect()
    } else {
        facts.servers.to_vec()
    };
    // The last `search` line of a file is the one in force (resolv.conf(5)).
    let search =
        if facts.search.is_empty() { host("search").pop().unwrap_or_default() } else { facts.search.join(" ") };
    let options = if facts.options.is_empty() { host("options").join(" ") } else { facts.options.join(" ") };
    let mut text = String::new();
    if !search.is_empty() && search != "." {
        text.push_str(&format!("search {search}\n"));
    }
    for server in servers.iter().filter(|s| *s != "none") {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if !options.is_empty() {
        text.push_str(&format!("options {options}\n"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_puts_the_users_names_first_and_knows_its_own() {
        let added = ["db:10.0.0.5".to_owned(), "v6=[fd00::1]".to_owned()];
        let facts = Hosts { host_file: None, hostname: "box", added: &added, host_gateway: None };
        assert_eq!(
            hosts(&facts).unwrap(),
            "10.0.0.5\tdb\nfd00::1\tv6\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\tbox\n"
        );
        let facts = Hosts { host_file: Some("127.0.0.1 localhost box # x"), added: &[], ..facts };
        assert_eq!(hosts(&facts).unwrap(), "127.0.0.1 localhost box # x\n");
        for bad in ["db", "db:", ":1.2.3.4", "db:host", "a b:1.2.3.4", "x\n:1.2.3.4"] {
            assert!(parse_add_host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn resolv_conf_follows_the_host_unless_told_otherwise() {
        let host_file = "# c\nnameserver 127.0.0.53\nnameserver 9.9.9.9\nsearch a.example b.example\noptions edns0\n";
        let facts = Resolv { host_file, servers: &[], search: &[], options: &[], host_network: true };
        assert_eq!(resolv_conf(&facts).unwrap(), host_file);
        let private = Resolv { host_network: false, ..facts };
        assert_eq!(resolv_conf(&private).unwrap(), "search a.example b.example\nnameserver 9.9.9.9\noptions edns0\n");
        let (servers, dot) = (["1.1.1.1".to_owned()], [".".to_owned()]);
        let own = Resolv { servers: &servers, search: &dot, ..facts };
        assert_eq!(resolv_conf(&own).unwrap(), "nameserver 1.1.1.1\noptions edns0\n");
        assert!(resolv_conf(&Resolv { servers: &["x".to_owned()], ..facts }).is_err());
    }
}
