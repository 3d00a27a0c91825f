//! Names to addresses without the C library: /etc/hosts, then the servers of /etc/resolv.conf.
//!
//! A static program must not call getaddrinfo (see `sys::nss`), so this is the one resolver for everything runr looks up.
//! Order: address literals, `localhost` (RFC 6761), the hosts file, DNS with the search list (resolv.conf(5)). The files are
//! read at each look-up: they are small, and a laptop changes networks. The core blocks and uses plain sockets; [`ForReqwest`]
//! is the plug for the HTTP client.

pub mod dns;
pub mod hosts;
mod order;
mod plug;
pub mod resolvconf;

pub use plug::ForReqwest;

use crate::base::{Error, Kind, Result, fsx};
use dns::Answer;
use resolvconf::ResolvConf;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// More addresses than this are not kept from one look-up.
pub const MAX_ADDRESSES: usize = 32;

/// Looks names up. Cheap to clone; holds no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    port: u16,
}

impl Default for Resolver {
    fn default() -> Self {
        Self::with_files("/etc/hosts", "/etc/resolv.conf")
    }
}

impl Resolver {
    /// Uses other files than those of /etc, which need not exist.
    pub fn with_files(hosts: impl Into<PathBuf>, resolv_conf: impl Into<PathBuf>) -> Self {
        Self { hosts: hosts.into(), resolv_conf: resolv_conf.into(), port: 53 }
    }

    /// Asks the servers at another port than 53.
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// The addresses of `name`, the one to try first in front; never empty, at most [`MAX_ADDRESSES`]. Blocks as long as
    /// the time limits of resolv.conf allow.
    ///
    /// Errors: `NotFound` when the name does not exist or has no address, `Remote` when no server gave an answer.
    pub fn lookup(&self, name: &str) -> Result<Vec<IpAddr>> {
        let wanted = name.trim_end_matches('.').to_ascii_lowercase();
        if let Ok(address) = wanted.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(vec![address]);
        }
        if wanted == "localhost" || wanted.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let known = hosts::lookup(&self.read(&self.hosts)?, &wanted);
        if !known.is_empty() {
            return Ok(known);
        }
        let conf = ResolvConf::parse(&self.read(&self.resolv_conf)?);
        self.ask(name, &conf).map_err(|e| e.step(format!("look up `{name}`")))
    }

    /// The text of a file, lossily: one odd byte in a comment must not disable it. A missing file is an empty one.
    fn read(&self, path: &std::path::Path) -> Result<String> {
        Ok(fsx::read_optional(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default())
    }

    fn ask(&self, name: &str, conf: &ResolvConf) -> Result<Vec<IpAddr>> {
        let mut exists = false;
        for candidate in conf.candidates(name) {
            match dns::query(&candidate, conf, self.port)? {
                Answer::Addresses(mut addresses) => {
                    addresses.truncate(MAX_ADDRESSES);
                    order::reachable_first(&mut addresses);
                    return Ok(addresses);
                }
                Answer::NoData => exists = true,
                Answer::NoName => {}
            }
        }
        Err(Error::new(Kind::NotFound, if exists { "the name has no address" } else { "no such host" }))
    }
}

#[cfg(test)]
mod tests;
