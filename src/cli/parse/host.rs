//! `--add-host`, `--dns`.

use crate::base::{Error, Result};
use std::net::IpAddr;

/// `NAME[;NAME…]:ADDRESS` or `NAME=ADDRESS`; the address may be `host-gateway`, or IPv6 with or without brackets. Returned as
/// `name:address`, one for each name.
pub(crate) fn add_host(text: &str) -> Result<Vec<String>> {
    let bad = |why: &str| Error::usage(format!("invalid host entry `{text}`: {why}"));
    // Whichever comes first separates: an IPv6 address holds colons itself.
    let at = text.find([':', '=']).ok_or_else(|| bad("use NAME:ADDRESS"))?;
    let (names, address) = (&text[..at], &text[at + 1..]);
    let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    if address != "host-gateway" && address.parse::<IpAddr>().is_err() {
        return Err(bad("the address is neither an IP address nor host-gateway"));
    }
    let good = |n: &str| !n.is_empty() && !n.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#');
    if !names.split(';').all(good) {
        return Err(bad("the name is empty or not a host name"));
    }
    Ok(names.split(';').map(|name| format!("{name}:{address}")).collect())
}

/// `--dns`: an address, or `none` for no resolv.conf of ours.
pub(crate) fn name_server(text: &str) -> Result<String> {
    if text != "none" && text.parse::<IpAddr>().is_err() {
        return Err(Error::usage(format!("invalid name server `{text}`: use an IP address")));
    }
    Ok(text.to_owned())
}

/// `--dns-search`: a domain, or `.` for none.
pub(crate) fn search_domain(text: &str) -> Result<String> {
    let domain = text.trim();
    if domain.is_empty() || domain.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(Error::usage(format!("invalid domain `{text}`")));
    }
    Ok(domain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (text, found) in [
            ("a:1.2.3.4", &["a:1.2.3.4"][..]),
            ("a=1.2.3.4", &["a:1.2.3.4"]),
            ("a:::1", &["a:::1"]),
            ("a:[::1]", &["a:::1"]),
            ("a;b:1.2.3.4", &["a:1.2.3.4", "b:1.2.3.4"]),
            ("gw:host-gateway", &["gw:host-gateway"]),
        ] {
            assert_eq!(add_host(text).unwrap(), found, "{text}");
        }
        for bad in ["a", "a:", ":1.2.3.4", "a:1.2.3", "a b:1.2.3.4", "a\n:1.2.3.4"] {
            assert!(add_host(bad).is_err(), "{bad}");
        }
        assert!(name_server("::1").is_ok() && name_server("none").is_ok() && name_server("x").is_err());
    }
}
