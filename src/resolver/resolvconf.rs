//! resolv.conf(5): which servers to ask, which suffixes to try, how long to wait.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// glibc's `MAXNS`: further servers are never asked.
const MAX_SERVERS: usize = 3;
/// A bound against nonsense; glibc before 2.26 knew six.
const MAX_SEARCH: usize = 32;

/// One resolv.conf, with the defaults of resolv.conf(5) for what it does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvConf {
    /// The servers, first to ask in front; never empty. The zone of a link-local address is an interface name or index.
    pub servers: Vec<Server>,
    /// Suffixes for names with few dots, without final dots.
    pub search: Vec<String>,
    /// A name with at least this many dots is tried as it is before any suffix is.
    pub ndots: usize,
    /// How long to wait for one server.
    pub timeout: Duration,
    /// How often to go through all servers.
    pub attempts: usize,
    /// `use-vc`: ask by TCP only.
    pub tcp_only: bool,
    /// `rotate`: spread queries over the servers.
    pub rotate: bool,
    /// `no-aaaa`: do not ask for IPv6 addresses.
    pub no_aaaa: bool,
}

/// A server's address and, for a link-local one, its zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The address.
    pub address: IpAddr,
    /// `eth0` or `3` of `fe80::1%eth0`.
    pub zone: Option<String>,
}

impl Server {
    fn parse(text: &str) -> Option<Self> {
        let (address, zone) = match text.split_once('%') {
            Some((address, zone)) => (address, Some(zone.to_owned())),
            None => (text, None),
        };
        Some(Self { address: address.parse().ok()?, zone })
    }

    /// Where to send to. An unknown zone becomes 0, which the kernel refuses when it matters.
    pub fn socket_address(&self, port: u16) -> SocketAddr {
        match self.address {
            IpAddr::V4(_) => SocketAddr::new(self.address, port),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, self.scope_id()).into(),
        }
    }

    fn scope_id(&self) -> u32 {
        let Some(zone) = self.zone.as_deref().filter(|z| !z.is_empty() && !z.contains(['/', '.'])) else { return 0 };
        let from_sysfs = || std::fs::read_to_string(format!("/sys/class/net/{zone}/ifindex")).ok()?.trim().parse().ok();
        zone.parse().ok().or_else(from_sysfs).unwrap_or(0)
    }
}

impl ResolvConf {
    /// Reads the file's text; what it does not understand is skipped, numbers are held to resolv.conf(5)'s limits.
    pub fn parse(text: &str) -> Self {
        let mut conf = Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            tcp_only: false,
            rotate: false,
            no_aaaa: false,
        };
        for line in text.lines() {
            // A comment begins in the first column only, but an address or a suffix never holds these signs.
            let mut words = line.split(['#', ';']).next().unwrap_or("").split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.next().and_then(Server::parse)),
                Some("domain") => conf.search = words.take(1).map(suffix).collect(),
                Some("search") => conf.search = words.map(suffix).take(MAX_SEARCH).collect(),
                Some("options") => words.for_each(|word| conf.option(word)),
                _ => {}
            }
        }
        conf.servers.truncate(MAX_SERVERS);
        if conf.servers.is_empty() {
            // resolv.conf(5): "the default is to use the name server on the local machine".
            conf.servers.push(Server { address: Ipv4Addr::LOCALHOST.into(), zone: None });
        }
        conf.search.retain(|suffix| !suffix.is_empty());
        conf
    }

    fn option(&mut self, word: &str) {
        let (name, value) = word.split_once(':').unwrap_or((word, ""));
        match (name, value.parse::<usize>()) {
            ("ndots", Ok(n)) => self.ndots = n.min(15),
            ("timeout", Ok(n)) => self.timeout = Duration::from_secs(n.clamp(1, 30) as u64),
            ("attempts", Ok(n)) => self.attempts = n.clamp(1, 5),
            ("use-vc", _) => self.tcp_only = true,
            ("rotate", _) => self.rotate = true,
            ("no-aaaa", _) => self.no_aaaa = true,
            _ => {}
        }
    }

    /// The full names to ask for, in order: a name that ends in a dot only as it is; one with `ndots` dots or more as it is
    /// and then with each suffix; any other with each suffix and then as it is.
    pub fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(absolute) = name.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let mut list: Vec<String> = self.search.iter().map(|suffix| format!("{name}.{suffix}")).collect();
        let dots = name.bytes().filter(|b| *b == b'.').count();
        let place = if dots >= self.ndots { 0 } else { list.len() };
        list.insert(place, name.to_owned());
        list
    }
}

fn suffix(word: &str) -> String {
    word.trim_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_manual_page_is_followed() {
        let conf = ResolvConf::parse(
            "# generated\ndomain old.example\nsearch Corp.example. lab.example ; x\nnameserver 10.0.0.1\nnameserver fe80::1%lo\n\
             nameserver not-an-address\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n\
             options ndots:99 timeout:0 attempts:9 rotate use-vc no-aaaa unknown:3\n",
        );
        assert_eq!(conf.search, ["corp.example", "lab.example"]);
        let servers: Vec<String> = conf.servers.iter().map(|s| s.address.to_string()).collect();
        assert_eq!(servers, ["10.0.0.1", "fe80::1", "10.0.0.3"]);
        assert_eq!((conf.ndots, conf.timeout.as_secs(), conf.attempts), (15, 1, 5));
        assert!(conf.rotate && conf.tcp_only && conf.no_aaaa);
        let SocketAddr::V6(local) = conf.servers[1].socket_address(53) else { panic!() };
        assert_eq!(local.scope_id(), 1, "the loopback interface is always number 1");
    }

    #[test]
    fn an_empty_file_means_the_local_server() {
        let conf = ResolvConf::parse("");
        assert_eq!(conf.servers[0].socket_address(53).to_string(), "127.0.0.1:53");
        assert_eq!((conf.ndots, conf.timeout.as_secs(), conf.attempts), (1, 5, 2));
    }

    #[test]
    fn the_search_list_goes_by_dots() {
        let conf = ResolvConf::parse("search a b\noptions ndots:2\n");
        assert_eq!(conf.candidates("x"), ["x.a", "x.b", "x"]);
        assert_eq!(conf.candidates("x.y"), ["x.y.a", "x.y.b", "x.y"]);
        assert_eq!(conf.candidates("x.y.z"), ["x.y.z", "x.y.z.a", "x.y.z.b"]);
        assert_eq!(conf.candidates("x."), ["x"]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "((nameserver|search|options|domain) ?\\PC{0,20}\n){0,8}") {
            let conf = ResolvConf::parse(&text);
            prop_assert!(!conf.servers.is_empty());
            drop(conf.candidates("a.b"));
        }
    }
}
