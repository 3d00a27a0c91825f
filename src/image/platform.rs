//! Platforms: `os/arch[/variant]` as `--platform` takes it, and which entry of an index fits a machine.

use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What an image was built for (OCI image index, `platform`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// CPU architecture in Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// Operating system in Go's words: `linux`.
    pub os: String,
    /// CPU variant: `v7`, `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// This machine's platform.
    pub fn host() -> Self {
        Self::normalised("linux", std::env::consts::ARCH, None)
    }

    /// Builds a platform from words in any of the spellings people use (`x86_64`, `aarch64`).
    pub fn normalised(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let lower = architecture.to_ascii_lowercase();
        let (architecture, implied) = match lower.as_str() {
            "x86_64" | "x86-64" | "amd64" => ("amd64", None),
            "aarch64" | "arm64" => ("arm64", None),
            "armhf" => ("arm", Some("v7")),
            "armel" => ("arm", Some("v6")),
            "i386" | "i486" | "i586" | "i686" | "x86" | "386" => ("386", None),
            "powerpc64le" | "ppc64le" => ("ppc64le", None),
            "loongarch64" | "loong64" => ("loong64", None),
            other => (other, None),
        };
        let variant = variant.or(implied).filter(|v| !(architecture == "arm64" && matches!(*v, "v8" | "8")));
        Self { architecture: architecture.to_owned(), os: os.to_ascii_lowercase(), variant: variant.map(str::to_owned) }
    }

    /// True when an image for `self` is what someone who asks for `wanted` means: same system and architecture, and the
    /// same variant if both name one.
    pub fn satisfies(&self, wanted: &Self) -> bool {
        let mine = Self::normalised(&self.os, &self.architecture, self.variant.as_deref());
        let wanted = Self::normalised(&wanted.os, &wanted.architecture, wanted.variant.as_deref());
        mine.os == wanted.os
            && mine.architecture == wanted.architecture
            && (mine.variant == wanted.variant || mine.variant.is_none() || wanted.variant.is_none())
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// `linux/arm64`, `linux/arm/v7`, or `arm64` alone.
    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |w: &&str| {
            w.starts_with(|c: char| c.is_ascii_alphanumeric())
                && w.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        };
        if !parts.iter().all(word) {
            return Err(Error::usage(format!("invalid platform `{text}`: use os/architecture, such as linux/arm64")));
        }
        match parts[..] {
            ["linux"] => Ok(Self::host()),
            [architecture] => Ok(Self::normalised("linux", architecture, None)),
            [os, architecture] => Ok(Self::normalised(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::normalised(os, architecture, Some(variant))),
            _ => Err(Error::usage(format!("invalid platform `{text}`: use os/architecture, such as linux/arm64"))),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if let Some(variant) = &self.variant {
            write!(f, "/{variant}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_meet() {
        for (text, full) in [
            ("linux/amd64", "linux/amd64"),
            ("x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm/v7", "linux/arm/v7"),
            ("armhf", "linux/arm/v7"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), full);
        }
        for bad in ["", "linux/", "a/b/c/d", "linux/am d64", "../x"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
        let v8: Platform = "linux/arm64/v8".parse().unwrap();
        assert!(v8.satisfies(&"linux/arm64".parse().unwrap()));
        assert!(!v8.satisfies(&"linux/amd64".parse().unwrap()));
    }
}
