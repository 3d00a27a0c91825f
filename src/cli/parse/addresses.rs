//! `--ip`, `--ip6`, `--mac-address`, `--network-alias`, `--link`: what a container is called in a private network, which runr has
//! not yet. Where docker and podman refuse them because of another network, it is that mistake and told as such.

use super::super::args::container::NetworkArgs;
use super::super::args::locate::not_yet;
use crate::base::{Error, Kind, Result};
use std::net::{Ipv4Addr, Ipv6Addr};

/// What is wrong with a flag's value, which stands at `{}`.
type Wrong = fn(&str) -> Option<&'static str>;

/// Refuses what is given of these flags; `network` is the network that was chosen.
pub(crate) fn refuse(args: &NetworkArgs, network: Option<&str>) -> Result<()> {
    let own = "in which the container has an address of its own";
    let named = "in which containers find each other by name";
    let one = |word: &Option<String>| word.clone().into_iter().collect::<Vec<_>>();
    let flags: [(&str, Vec<String>, Wrong, &str); 5] = [
        ("--ip", one(&args.ip), |a| a.parse::<Ipv4Addr>().err().map(|_| "address `{}`: use an IPv4 address"), own),
        ("--ip6", one(&args.ip6), |a| a.parse::<Ipv6Addr>().err().map(|_| "address `{}`: use an IPv6 address"), own),
        ("--mac-address", one(&args.mac_address), mac, own),
        ("--network-alias", args.network_alias.clone(), |_| None, named),
        ("--link", args.link.clone(), |_| None, named),
    ];
    for (flag, words, wrong, purpose) in flags {
        // An empty word is none, as for docker: `--ip "$ADDRESS"`.
        let Some(word) = words.iter().find(|w| !w.is_empty()) else { continue };
        if let Some(why) = wrong(word) {
            return Err(Error::usage(format!("{flag}: invalid {}", why.replace("{}", word))));
        }
        return Err(refusal(flag, purpose, network));
    }
    Ok(())
}

fn mac(text: &str) -> Option<&'static str> {
    let pair = |p: &str| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit());
    let whole = |separator| text.split(separator).count() == 6 && text.split(separator).all(pair);
    if whole(':') || whole('-') {
        None
    } else {
        Some("address `{}`: use six pairs of hex digits, such as 02:42:ac:11:00:02")
    }
}

fn refusal(flag: &str, purpose: &str, network: Option<&str>) -> Error {
    let Some(network) = network else {
        let text = format!("{}: there is no private network yet, {purpose}", not_yet(flag));
        return Error::new(Kind::Unsupported, text).hint(match flag {
            "--network-alias" | "--link" => {
                "containers with this machine's network reach each other at 127.0.0.1: --add-host NAME:127.0.0.1 gives it a name"
            }
            _ => "leave it out: the container has this machine's addresses",
        });
    };
    // podman's words.
    Error::usage(format!("{flag} can only be set when the network mode is bridge")).hint(match network {
        "none" => "with `--network none` there is nobody to reach: leave it out".to_owned(),
        "host" => "with `--network host` the container has this machine's addresses and names: leave it out".to_owned(),
        other => format!(
            "with `--network {other}` addresses and names are those of the network that is joined: leave it out"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> NetworkArgs {
        NetworkArgs {
            network: None,
            expose: Vec::new(),
            publish: Vec::new(),
            publish_all: false,
            hostname: None,
            domainname: None,
            ip: None,
            ip6: None,
            mac_address: None,
            network_alias: Vec::new(),
            link: Vec::new(),
            dns: Vec::new(),
            dns_option: Vec::new(),
            dns_search: Vec::new(),
            add_host: Vec::new(),
            hosts_file: None,
            no_hosts: false,
            no_hostname: false,
        }
    }

    #[test]
    fn values_are_looked_at_first() {
        let said = |args: NetworkArgs| refuse(&args, Some("host")).unwrap_err().to_string();
        let word = |text: &str| Some(text.to_owned());
        assert_eq!(said(NetworkArgs { ip: word("::1"), ..args() }), "--ip: invalid address `::1`: use an IPv4 address");
        assert_eq!(said(NetworkArgs { ip6: word("x"), ..args() }), "--ip6: invalid address `x`: use an IPv6 address");
        for (mac, good) in
            [("02:42:ac:11:00:02", true), ("02-42-AC-11-00-02", true), ("02:42:ac:11:00", false), ("x", false)]
        {
            let wrong = "use six pairs of hex digits, such as 02:42:ac:11:00:02";
            let expected = match good {
                true => "--mac-address can only be set when the network mode is bridge".to_owned(),
                false => format!("--mac-address: invalid address `{mac}`: {wrong}"),
            };
            assert_eq!(said(NetworkArgs { mac_address: word(mac), ..args() }), expected);
        }
        refuse(&NetworkArgs { ip: word(""), link: vec![String::new()], ..args() }, None).unwrap();
    }
}
