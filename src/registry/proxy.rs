//! Which proxy a request goes through: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` as Go's net/http and curl
//! read them, since users set them for docker and podman.

use super::config::is_loopback;
use reqwest::Url;
use std::net::IpAddr;

/// The proxies of the environment; a value without a scheme means `http://`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http://` URLs.
    pub http: Option<String>,
    /// For `https://` URLs.
    pub https: Option<String>,
    /// For both, where the others are unset; `socks5://` and `socks5h://` are allowed in each.
    pub all: Option<String>,
    /// Who is reached directly: names (with all below them), `.suffix`, addresses, CIDR blocks, each with an optional port;
    /// `*` for everybody.
    pub no_proxy: String,
}

impl std::fmt::Debug for Proxies {
    /// Proxy URLs hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let set = [self.http.is_some(), self.https.is_some(), self.all.is_some()];
        f.debug_struct("Proxies").field("http_https_all_set", &set).field("no_proxy", &self.no_proxy).finish()
    }
}

impl Proxies {
    /// The proxy for `url` as a URL text, or `None` for a direct connection. Loopback is always direct.
    pub(super) fn for_url(&self, url: &Url) -> Option<String> {
        let own = if url.scheme() == "https" { &self.https } else { &self.http };
        let proxy = own.as_ref().or(self.all.as_ref())?;
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
        if is_loopback(host) || exempt(&self.no_proxy, host, url.port_or_known_default().unwrap_or(0)) {
            return None;
        }
        Some(if proxy.contains("://") { proxy.clone() } else { format!("http://{proxy}") })
    }
}

/// True if `list` names `host` and `port`.
fn exempt(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address = host.parse::<IpAddr>().ok();
    list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let (Some(address), Some((network, bits))) = (address, entry.split_once('/')) {
            return in_block(address, network, bits);
        }
        let (name, only_port) = match entry.parse::<IpAddr>() {
            Ok(_) => (entry, None),
            Err(_) => super::config::split_port(entry),
        };
        if only_port.is_some_and(|only| only != port) {
            return false;
        }
        if let Ok(ip) = name.parse::<IpAddr>() {
            return address == Some(ip);
        }
        let name = name.trim_start_matches('*').to_ascii_lowercase();
        match name.strip_prefix('.') {
            // `.example.com` is for what is below it only, `example.com` for itself as well.
            Some(suffix) => !suffix.is_empty() && host.ends_with(&name),
            None => {
                !name.is_empty() && host.strip_suffix(&name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        }
    })
}

/// True if `address` is in `network/bits`.
fn in_block(address: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) if bits <= 32 => {
            (u32::from(a) ^ u32::from(n)).checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(n)) if bits <= 128 => {
            (u128::from(a) ^ u128::from(n)).checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_proxy_is_read_as_go_reads_it() {
        for (list, host, port, direct) in [
            ("*", "a.b", 443, true),
            ("example.com", "example.com", 443, true),
            ("example.com", "x.Example.com", 443, true),
            ("example.com", "badexample.com", 443, false),
            (".example.com", "example.com", 443, false),
            (".example.com", "x.example.com", 443, true),
            ("*.example.com", "x.example.com", 443, true),
            ("example.com:5000", "example.com", 443, false),
            ("example.com:5000", "example.com", 5000, true),
            ("a, 10.0.0.0/8 ,b", "10.200.3.4", 80, true),
            ("10.0.0.0/8", "11.0.0.1", 80, false),
            ("0.0.0.0/0", "11.0.0.1", 80, true),
            ("10.0.0.0/99", "10.0.0.1", 80, false),
            ("fd00::/8", "fd12::1", 80, true),
            ("::/0", "10.0.0.1", 80, false),
            ("10.0.0.1", "10.0.0.1", 80, true),
            ("10.0.0.1:80", "10.0.0.1", 81, false),
            ("fd00::1", "fd00::1", 80, true),
            ("[fd00::1]:80", "fd00::1", 80, true),
            ("", "a", 80, false),
            (",.,/,", "a", 80, false),
        ] {
            assert_eq!(exempt(list, host, port), direct, "`{list}` for {host}:{port}");
        }
    }

    #[test]
    fn the_scheme_picks_the_proxy() {
        let proxies = Proxies {
            http: Some("plain:1".into()),
            https: None,
            all: Some("socks5://s:2".into()),
            no_proxy: "direct".into(),
        };
        let pick = |url: &str| proxies.for_url(&Url::parse(url).unwrap());
        assert_eq!(pick("http://a/").as_deref(), Some("http://plain:1"));
        assert_eq!(pick("https://a/").as_deref(), Some("socks5://s:2"));
        for url in ["https://direct/", "http://localhost/", "http://127.0.0.1:5000/", "http://[::1]/"] {
            assert_eq!(pick(url), None, "{url}");
        }
    }

    proptest! {
        #[test]
        fn any_list_is_read_without_panic(list in "\\PC{0,40}", host in "\\PC{0,20}") {
            let all = list + ",*";
            prop_assert!(exempt(&all, &host, 80));
        }
    }
}
