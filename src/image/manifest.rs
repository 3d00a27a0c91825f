//! Manifests and indexes, OCI image spec 1.1 and Docker schema 2, which differ in media types only.

use super::digest::Digest;
use super::platform::Platform;
use crate::base::{Error, Kind, Result};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// The media types of manifests and indexes, in the order a registry is asked for them.
pub const ACCEPTED_MANIFESTS: [&str; 4] = [OCI_INDEX, DOCKER_INDEX, OCI_MANIFEST, DOCKER_MANIFEST];
/// An OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image config.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// An OCI layer, gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Docker's manifest list.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// The largest manifest, index or config that is read, in bytes (docker's own limit for manifests is 4 MiB).
pub const MAX_MANIFEST_BYTES: u64 = 4 << 20;
/// The largest number of layers of one image that is accepted.
pub const MAX_LAYERS: usize = 1000;

/// Where content is and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The content's media type.
    #[serde(default)]
    pub media_type: String,
    /// The content's digest.
    pub digest: Digest,
    /// The content's size in bytes.
    pub size: u64,
    /// Where else the content is to be had: layers that a registry may not serve ("foreign").
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Free text by key.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// In an index: what the manifest is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The type of an artifact that is not an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

/// One image: a config and layers, base first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The manifest's own media type; OCI lets it be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The image config.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub layers: Vec<Descriptor>,
    /// Free text by key.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Manifests for several platforms, or the entry page of an image layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The index's own media type; OCI lets it be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The manifests.
    #[serde(default, deserialize_with = "null_as_default")]
    pub manifests: Vec<Descriptor>,
    /// Free text by key.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What a manifest document turned out to be.
#[expect(clippy::large_enum_variant, reason = "made once per pull and taken apart at once")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// Several.
    Index(Index),
}

/// `null` and an absent list mean the same to everybody but serde.
pub(super) fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    d: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

impl Document {
    /// Reads a document; `media_type` is what the registry or the descriptor called it and may be empty.
    ///
    /// Errors: `Unsupported` for schema 1 and for artifacts, `Corrupt` for anything malformed or out of bounds.
    pub fn parse(bytes: &[u8], media_type: &str) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Probe {
            #[serde(default)]
            schema_version: Option<u32>,
            #[serde(default)]
            media_type: Option<String>,
            #[serde(default)]
            manifests: Option<serde::de::IgnoredAny>,
            #[serde(default)]
            config: Option<serde::de::IgnoredAny>,
        }
        if bytes.len() as u64 > MAX_MANIFEST_BYTES {
            return Err(Error::corrupt(format!("manifest is larger than {MAX_MANIFEST_BYTES} bytes")));
        }
        let probe: Probe = serde_json::from_slice(bytes)?;
        let own = probe.media_type.as_deref().unwrap_or("");
        let called = media_type.split(';').next().unwrap_or("").trim();
        if probe.schema_version == Some(1) {
            return Err(Error::unsupported(
                "the image has a schema 1 manifest, a format that docker and runr no longer read",
            )
            .hint("ask the image's publisher to push it again with a current tool"));
        }
        if probe.schema_version != Some(2) {
            return Err(Error::corrupt("manifest has no schemaVersion 2"));
        }
        // A document that is both would be read as one thing here and as another elsewhere (CVE-2021-41190).
        if probe.manifests.is_some() && probe.config.is_some() {
            return Err(Error::corrupt("document is both a manifest and an index"));
        }
        if !own.is_empty() && ACCEPTED_MANIFESTS.contains(&called) && own != called {
            return Err(Error::corrupt(format!("manifest says it is `{own}` but was served as `{called}`")));
        }
        let name = if own.is_empty() { called } else { own };
        match name {
            OCI_INDEX | DOCKER_INDEX => Ok(Self::Index(serde_json::from_slice(bytes)?)),
            OCI_MANIFEST | DOCKER_MANIFEST => Self::manifest(bytes),
            "" | "application/json" | "application/octet-stream" | "text/plain" if probe.manifests.is_some() => {
                Ok(Self::Index(serde_json::from_slice(bytes)?))
            }
            "" | "application/json" | "application/octet-stream" | "text/plain" => Self::manifest(bytes),
            other => Err(Error::unsupported(format!("unknown manifest media type `{other}`"))),
        }
    }

    fn manifest(bytes: &[u8]) -> Result<Self> {
        let manifest: Manifest = serde_json::from_slice(bytes)?;
        if manifest.layers.len() > MAX_LAYERS {
            return Err(Error::corrupt(format!(
                "manifest lists {} layers; the limit is {MAX_LAYERS}",
                manifest.layers.len()
            )));
        }
        if manifest.config.size > MAX_MANIFEST_BYTES {
            return Err(Error::corrupt(format!(
                "image config of {} bytes; the limit is {MAX_MANIFEST_BYTES}",
                manifest.config.size
            )));
        }
        Ok(Self::Manifest(manifest))
    }
}

impl Index {
    /// The first manifest for `wanted`. Entries without a platform, or for `unknown` (attestations), never match.
    pub fn select(&self, wanted: &Platform) -> Result<&Descriptor> {
        // The exact variant first: arm/v6 also satisfies a request for arm.
        let exact = self.manifests.iter().find(|d| d.platform.as_ref() == Some(wanted));
        let fits = || self.manifests.iter().find(|d| d.platform.as_ref().is_some_and(|p| p.satisfies(wanted)));
        exact.or_else(fits).ok_or_else(|| {
            let mut have: Vec<String> = self
                .manifests
                .iter()
                .filter_map(|d| d.platform.as_ref())
                .filter(|p| p.os != "unknown")
                .map(|p| p.to_string())
                .collect();
            have.sort();
            have.dedup();
            let e = Error::new(Kind::NotFound, format!("no image for platform {wanted} in the manifest list"));
            if have.is_empty() { e } else { e.hint(format!("it has: {}", have.join(", "))) }
        })
    }
}

/// How a layer's tar stream is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    /// Plain tar.
    None,
    /// gzip (RFC 1952), possibly several members.
    Gzip,
    /// Zstandard (RFC 8878), possibly several frames.
    Zstd,
}

impl Descriptor {
    /// A descriptor with the three fields that every one has.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
        }
    }

    /// The compression that a layer's media type names. Callers still look at the first bytes: registries hold layers whose
    /// media type lies, and docker goes by the bytes.
    pub fn compression(&self) -> Result<Compression> {
        let kind = self.media_type.as_str();
        let known = [
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.docker.image.rootfs.foreign.diff.tar",
        ];
        for prefix in known {
            match kind.strip_prefix(prefix) {
                Some("") => return Ok(Compression::None),
                Some("+gzip" | ".gzip") => return Ok(Compression::Gzip),
                Some("+zstd" | ".zstd") => return Ok(Compression::Zstd),
                _ => {}
            }
        }
        Err(Error::unsupported(format!("layer `{}` has the unknown media type `{kind}`", self.digest))
            .hint("this is probably not a container image but another artifact"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn documents_are_told_apart() {
        let manifest = format!(r#"{{"schemaVersion":2,"config":{{"digest":"{D}","size":2}},"layers":null}}"#);
        assert!(
            matches!(Document::parse(manifest.as_bytes(), OCI_MANIFEST).unwrap(), Document::Manifest(m) if m.layers.is_empty())
        );
        assert!(matches!(Document::parse(br#"{"schemaVersion":2,"manifests":[]}"#, "").unwrap(), Document::Index(_)));
        let both = format!(r#"{{"schemaVersion":2,"manifests":[],"config":{{"digest":"{D}","size":2}}}}"#);
        assert_eq!(Document::parse(both.as_bytes(), "").unwrap_err().kind(), Kind::Corrupt);
        assert_eq!(Document::parse(br#"{"schemaVersion":1,"name":"x"}"#, "").unwrap_err().kind(), Kind::Unsupported);
        assert!(Document::parse(br#"{"schemaVersion":2}"#, "application/vnd.x").is_err());
        assert!(Document::parse(br#"{"schemaVersion":2,"config":{"digest":"sha256:../..","size":2}}"#, "").is_err());
        assert!(Document::parse(br#"{"schemaVersion":2,"config":{"digest":"","size":-2}}"#, "").is_err());
    }

    #[test]
    fn an_index_gives_the_platforms_entry_and_says_what_it_has() {
        let entry = |arch: &str, fill: char| {
            format!(
                r#"{{"digest":"sha256:{}","size":1,"platform":{{"os":"linux","architecture":"{arch}"}}}}"#,
                fill.to_string().repeat(64)
            )
        };
        let json = format!(r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#, entry("amd64", 'a'), entry("arm64", 'b'));
        let Document::Index(index) = Document::parse(json.as_bytes(), OCI_INDEX).unwrap() else { panic!() };
        assert_eq!(index.select(&"linux/arm64/v8".parse().unwrap()).unwrap().digest.short(), "bbbbbbbbbbbb");
        let e = index.select(&"linux/s390x".parse().unwrap()).unwrap_err();
        assert_eq!(e.hints(), ["it has: linux/amd64, linux/arm64"]);
    }
}
