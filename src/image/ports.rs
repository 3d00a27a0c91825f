//! Ports as images and command lines name them: a number or a range of them, and a protocol. Nothing here opens one.

use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The default.
    Tcp,
    /// Datagrams.
    Udp,
    /// Streams of messages.
    Sctp,
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(Error::usage(format!("invalid protocol `{text}`: use tcp, udp or sctp"))),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// `80`, `80/udp`, `8000-8010/tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ports {
    /// The first one, never 0.
    pub first: u16,
    /// The last one, no smaller than the first.
    pub last: u16,
    /// The same for all of them.
    pub protocol: Protocol,
}

impl Ports {
    /// How many.
    pub fn count(&self) -> u32 {
        u32::from(self.last - self.first) + 1
    }

    /// Each of them as a key of `ExposedPorts`: `80/tcp`.
    pub fn keys(self) -> impl Iterator<Item = String> {
        (self.first..=self.last).map(move |port| format!("{port}/{}", self.protocol))
    }

    /// True when both have a port in common.
    pub fn meet(&self, other: &Self) -> bool {
        self.protocol == other.protocol && self.first <= other.last && other.first <= self.last
    }
}

impl FromStr for Ports {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = range(ports)?;
        Ok(Self { first, last, protocol: protocol.parse()? })
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}/{}", self.first, self.protocol),
            false => write!(f, "{}-{}/{}", self.first, self.last, self.protocol),
        }
    }
}

/// `80` or `8000-8010`.
pub fn range(text: &str) -> Result<(u16, u16)> {
    // Go's and Rust's numbers may begin with a `+`; a port does not.
    let number = |text: &str| match text.parse::<u16>() {
        Ok(port) if port > 0 && !text.starts_with('+') => Ok(port),
        _ => Err(Error::usage(format!("invalid port `{text}`: use a number from 1 to 65535"))),
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first > last {
        return Err(Error::usage(format!("invalid range `{text}`: its end is before its beginning")));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (text, shown, count) in [
            ("80", "80/tcp", 1),
            ("53/UDP", "53/udp", 1),
            ("8000-8010", "8000-8010/tcp", 11),
            ("7-7/sctp", "7/sctp", 1),
            ("1-65535", "1-65535/tcp", 65_535),
        ] {
            let ports: Ports = text.parse().unwrap();
            assert_eq!((ports.to_string().as_str(), ports.count()), (shown, count));
        }
        assert_eq!("80-82/udp".parse::<Ports>().unwrap().keys().collect::<Vec<_>>(), ["80/udp", "81/udp", "82/udp"]);
        for (text, message) in [
            ("", "invalid port ``: use a number from 1 to 65535"),
            ("0", "invalid port `0`: use a number from 1 to 65535"),
            ("+1", "invalid port `+1`: use a number from 1 to 65535"),
            ("80-x", "invalid port `x`: use a number from 1 to 65535"),
            ("65536", "invalid port `65536`: use a number from 1 to 65535"),
            ("9-8", "invalid range `9-8`: its end is before its beginning"),
            ("80/http", "invalid protocol `http`: use tcp, udp or sctp"),
            ("80/", "invalid protocol ``: use tcp, udp or sctp"),
        ] {
            assert_eq!(text.parse::<Ports>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn ranges_meet() {
        let meet = |a: &str, b: &str| a.parse::<Ports>().unwrap().meet(&b.parse().unwrap());
        assert!(meet("8000-8080", "8080/tcp") && meet("53/udp", "53/udp") && meet("1-5", "5-9"));
        assert!(!meet("80", "80/udp") && !meet("80", "81/tcp"));
    }
}
