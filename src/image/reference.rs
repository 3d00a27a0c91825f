//! Image names as Docker normalises them (the `distribution/reference` grammar): `alpine` is
//! `docker.io/library/alpine:latest`.

use super::digest::Digest;
use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The registry of names that have none.
pub const DEFAULT_REGISTRY: &str = "docker.io";

/// A full image name: `registry/repository[:tag][@digest]`, with at least one of tag and digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry as `host[:port]`: `docker.io`, `localhost:5000`, `[::1]:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository on its registry: `library/alpine`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` when neither tag nor digest was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if the name is pinned.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// `registry/repository`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The name as docker shows it: without `docker.io/` and `library/`.
    pub fn familiar_name(&self) -> String {
        if self.registry != DEFAULT_REGISTRY {
            return self.name();
        }
        match self.repository.strip_prefix("library/") {
            Some(rest) if !rest.contains('/') => rest.to_owned(),
            _ => self.repository.clone(),
        }
    }

    /// The same repository with another tag and no digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self> {
        check_tag(tag)?;
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same repository pinned to `digest`, without a tag.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// What a registry is asked for: the digest if there is one, else the tag.
    pub fn manifest_selector(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }
}

impl FromStr for Reference {
    type Err = Error;

    /// Errors are worded as docker words them, because people search for them.
    fn from_str(text: &str) -> Result<Self> {
        let bad =
            || Error::usage(format!("invalid reference format: `{}`", text.chars().take(300).collect::<String>()));
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().map_err(|e| e.step(bad().to_string()))?)),
            None => (text, None),
        };
        // A colon after the last slash separates the tag; one before it belongs to the registry's port.
        let slash = rest.rfind('/').map_or(0, |i| i + 1);
        let (name, tag) = match rest[slash..].find(':') {
            Some(i) => (&rest[..slash + i], Some(&rest[slash + i + 1..])),
            None => (rest, None),
        };
        if let Some(tag) = tag {
            check_tag(tag).map_err(|_| bad())?;
        }
        if name.len() == 64 && digest.is_none() && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(bad().hint("64 hex digits are an image id, not a name"));
        }
        let (registry, path) = split_registry(name);
        let repository = if registry == DEFAULT_REGISTRY && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(bad().hint("repository names are lower case"));
        }
        if !is_registry(&registry) || !repository.split('/').all(is_component) {
            return Err(bad());
        }
        if registry.len() + 1 + repository.len() > 255 {
            return Err(bad().hint("the name is longer than 255 characters"));
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        Ok(Self { registry, repository, tag, digest })
    }
}

/// The first component is a registry if it could not be a repository: it has a dot, a port, or is `localhost`.
fn split_registry(name: &str) -> (String, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            let registry =
                if first == "index.docker.io" || first == "registry-1.docker.io" { DEFAULT_REGISTRY } else { first };
            (registry.to_owned(), rest)
        }
        _ => (DEFAULT_REGISTRY.to_owned(), name),
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("v6", port),
            _ => return false,
        },
        None => text.find(':').map_or((text, ""), |i| text.split_at(i)),
    };
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let port_ok = port.is_empty() || port[1..].parse::<u16>().is_ok() && port.len() > 1 && port.starts_with(':');
    host.split('.').all(label) && port_ok
}

/// `[a-z0-9]+` groups joined by `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let alnum = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'z');
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    if !alnum(first) || !alnum(last) {
        return false;
    }
    bytes
        .split(|&b| alnum(b))
        .filter(|gap| !gap.is_empty())
        .all(|gap| matches!(gap, b"." | b"_" | b"__") || gap.iter().all(|&b| b == b'-'))
}

fn check_tag(tag: &str) -> Result<()> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let ok = tag.bytes().next().is_some_and(word)
        && tag.len() <= 128
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-');
    if ok { Ok(()) } else { Err(Error::usage(format!("invalid tag `{tag}`"))) }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Reference {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_are_normalised_as_docker_does() {
        for (text, full) in [
            ("alpine", "docker.io/library/alpine:latest".to_owned()),
            ("alpine:3.20", "docker.io/library/alpine:3.20".to_owned()),
            ("user/app", "docker.io/user/app:latest".to_owned()),
            ("docker.io/alpine", "docker.io/library/alpine:latest".to_owned()),
            ("index.docker.io/library/alpine", "docker.io/library/alpine:latest".to_owned()),
            ("localhost/app", "localhost/app:latest".to_owned()),
            ("localhost:5000/app:v1", "localhost:5000/app:v1".to_owned()),
            ("[::1]:5000/app", "[::1]:5000/app:latest".to_owned()),
            ("quay.io/a/b/c", "quay.io/a/b/c:latest".to_owned()),
            (&format!("alpine@{D}"), format!("docker.io/library/alpine@{D}")),
            (&format!("alpine:3@{D}"), format!("docker.io/library/alpine:3@{D}")),
            ("a__b/c-d---e.f", "docker.io/a__b/c-d---e.f:latest".to_owned()),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), full, "{text}");
        }
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        let digits = &D[7..];
        for bad in [
            "",
            "Alpine",
            "a:",
            "a:-x",
            "a//b",
            "/a",
            "a/",
            "a..b",
            "a___b",
            "-a",
            "a@sha256:12",
            "localhost:port/a",
            "a b",
            "a\n",
            digits,
            "http://x/y",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn familiar_names_drop_what_docker_drops() {
        for (text, familiar) in [("alpine", "alpine"), ("u/a", "u/a"), ("localhost:5000/a", "localhost:5000/a")] {
            assert_eq!(text.parse::<Reference>().unwrap().familiar_name(), familiar);
        }
    }

    proptest! {
        #[test]
        fn parse_and_print_agree(text in "([a-z0-9.]{1,9}(:[0-9]{1,4})?/)?[a-z0-9._-]{1,9}(/[a-z0-9_-]{1,9}){0,2}(:[A-Za-z0-9_.-]{1,9})?") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
            }
        }

        #[test]
        fn any_text_is_refused_or_parsed_without_panic(text in "\\PC{0,60}") {
            drop(text.parse::<Reference>());
        }
    }
}
