//! Whole images from layers: as an OCI layout, an OCI or docker archive, or pushed to a registry.

use super::http;
use super::layer::{Entry, Kind, Layer};
use runr::image::Digest;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// As nearly all images are.
    #[default]
    Gzip,
    /// zstd.
    Zstd,
    /// Not at all.
    Plain,
}

impl Compression {
    fn media_type(self) -> &'static str {
        match self {
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
        }
    }

    fn compress(self, tar: &[u8]) -> Vec<u8> {
        match self {
            Self::Gzip => {
                let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                writer.write_all(tar).unwrap();
                writer.finish().unwrap()
            }
            Self::Zstd => zstd::encode_all(tar, 1).unwrap(),
            Self::Plain => tar.to_vec(),
        }
    }
}

/// A blob with what a descriptor says of it.
#[derive(Debug, Clone)]
pub struct Blob {
    /// The media type.
    pub media_type: String,
    /// The content.
    pub bytes: Vec<u8>,
    /// Its digest.
    pub digest: Digest,
}

impl Blob {
    /// A blob of these bytes.
    pub fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        let digest = Digest::of(&bytes);
        Self { media_type: media_type.to_owned(), bytes, digest }
    }

    /// Its descriptor.
    pub fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest.to_string(), "size": self.bytes.len() })
    }
}

/// Collects layers and settings of an image.
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    layers: Vec<(Vec<u8>, Compression)>,
    config: Value,
    docker: bool,
    architecture: String,
}

impl Default for ImageBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl ImageBuilder {
    /// No layers, an empty config, this machine's platform.
    pub fn new() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { layers: Vec::new(), config: json!({}), docker: false, architecture: architecture.to_owned() }
    }

    /// Adds a layer, gzip.
    pub fn layer(self, layer: &Layer) -> Self {
        self.tar(layer.tar(), Compression::Gzip)
    }

    /// Adds a layer with a compression.
    pub fn layer_as(self, layer: &Layer, compression: Compression) -> Self {
        self.tar(layer.tar(), compression)
    }

    /// Adds a layer that is a tar already.
    pub fn tar(mut self, tar: Vec<u8>, compression: Compression) -> Self {
        self.layers.push((tar, compression));
        self
    }

    /// Sets a field of the config's `config` object: `Cmd`, `Env`, `User`, ….
    pub fn config(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    /// Uses Docker's media types (schema 2).
    pub fn docker(mut self) -> Self {
        self.docker = true;
        self
    }

    /// Sets the architecture (Go's names).
    pub fn architecture(mut self, name: &str) -> Self {
        name.clone_into(&mut self.architecture);
        self
    }

    /// Makes the blobs and the manifest.
    pub fn build(self) -> Image {
        let layers: Vec<(Digest, Blob)> = self
            .layers
            .iter()
            .map(|(tar, compression)| {
                let docker_type = match compression {
                    Compression::Plain => "application/vnd.docker.image.rootfs.diff.tar",
                    _ => "application/vnd.docker.image.rootfs.diff.tar.gzip",
                };
                let media_type = if self.docker { docker_type } else { compression.media_type() };
                (Digest::of(tar), Blob::new(media_type, compression.compress(tar)))
            })
            .collect();
        let config = json!({
            "created": "2024-01-02T03:04:05Z",
            "architecture": self.architecture,
            "os": "linux",
            "config": self.config,
            "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|l| l.0.to_string()).collect::<Vec<_>>() },
            "history": layers.iter().map(|_| json!({ "created_by": "test" })).collect::<Vec<_>>(),
        });
        let (config_type, manifest_type) = if self.docker {
            ("application/vnd.docker.container.image.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
        } else {
            ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.manifest.v1+json")
        };
        let config = Blob::new(config_type, serde_json::to_vec(&config).unwrap());
        let blobs: Vec<Blob> = layers.iter().map(|l| l.1.clone()).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": config.descriptor(),
            "layers": blobs.iter().map(Blob::descriptor).collect::<Vec<_>>(),
        });
        let manifest = Blob::new(manifest_type, serde_json::to_vec(&manifest).unwrap());
        let tars = self.layers.into_iter().map(|l| l.0).collect();
        Image { config, layers: blobs, manifest, tars, architecture: self.architecture }
    }
}

/// A finished image.
#[derive(Debug, Clone)]
pub struct Image {
    /// The config: its digest is the image's id.
    pub config: Blob,
    /// The layers as they are stored, lowest first.
    pub layers: Vec<Blob>,
    /// The manifest.
    pub manifest: Blob,
    /// The layers as tars.
    pub tars: Vec<Vec<u8>>,
    /// Go's name of the architecture.
    pub architecture: String,
}

impl Image {
    /// The image's id, as users see it: 64 hex digits.
    pub fn id(&self) -> &str {
        self.config.digest.hex()
    }

    /// All blobs: config, layers, manifest.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        std::iter::once(&self.config).chain(&self.layers).chain(std::iter::once(&self.manifest))
    }

    /// An index over images for several platforms, with their manifests.
    pub fn index(images: &[&Self]) -> Blob {
        let entries: Vec<Value> = images
            .iter()
            .map(|i| {
                let mut d = i.manifest.descriptor();
                d["platform"] = json!({ "architecture": i.architecture, "os": "linux" });
                d
            })
            .collect();
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries });
        Blob::new(media_type, serde_json::to_vec(&index).unwrap())
    }

    /// Writes an OCI image layout (a folder) whose index names the image `tag`; an empty tag leaves the name out.
    pub fn write_oci_layout(&self, dir: &Path, tag: &str) {
        std::fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        for (name, bytes) in self.layout_files(tag) {
            std::fs::write(dir.join(name), bytes).unwrap();
        }
    }

    /// Writes the same as one tar (`oci-archive:`).
    pub fn write_oci_archive(&self, file: &Path, tag: &str) {
        // skopeo gives what it unpacks to the owner that the archive names, as tar does: an archive's owner is its maker.
        let (uid, gid) = (nix::unistd::geteuid().as_raw().into(), nix::unistd::getegid().as_raw().into());
        let entries = self.layout_files(tag).into_iter().map(|(name, bytes)| Entry::new(name, Kind::File(bytes)));
        // With its folders: those that an archive does not name it gives to root.
        let folders = ["blobs/", "blobs/sha256/"].map(|name| Entry::new(name, Kind::Dir));
        let layer = Layer { entries: folders.into_iter().chain(entries).map(|e| e.owner(uid, gid)).collect() };
        std::fs::write(file, layer.tar()).unwrap();
    }

    fn layout_files(&self, tag: &str) -> Vec<(String, Vec<u8>)> {
        let mut entry = self.manifest.descriptor();
        if !tag.is_empty() {
            entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        }
        let index = json!({ "schemaVersion": 2, "manifests": [entry] });
        let mut files = vec![
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".to_owned(), serde_json::to_vec(&index).unwrap()),
        ];
        files.extend(self.blobs().map(|b| (format!("blobs/sha256/{}", b.digest.hex()), b.bytes.clone())));
        files
    }

    /// Writes what `docker save` writes (`docker-archive:`), with these names (`busybox:latest`).
    pub fn write_docker_archive(&self, file: &Path, names: &[&str]) {
        let layer_name = |tar: &Vec<u8>| format!("{}.tar", Digest::of(tar).hex());
        let config_name = format!("{}.json", self.config.digest.hex());
        let layers: Vec<String> = self.tars.iter().map(layer_name).collect();
        let manifest = json!([{ "Config": config_name, "RepoTags": names, "Layers": layers }]);
        let mut out = Layer::new()
            .file("manifest.json", serde_json::to_vec(&manifest).unwrap())
            .file(&config_name, &self.config.bytes);
        for tar in &self.tars {
            out = out.file(layer_name(tar), tar);
        }
        std::fs::write(file, out.tar()).unwrap();
    }

    /// Pushes to a registry on loopback: `address` is `127.0.0.1:port`, `repository` a path, `tag` a tag.
    pub fn push(&self, address: &str, repository: &str, tag: &str) {
        for blob in std::iter::once(&self.config).chain(&self.layers) {
            push_blob(address, repository, blob);
        }
        push_manifest(address, repository, tag, &self.manifest);
    }
}

/// Uploads one blob (POST, then PUT with the digest).
pub fn push_blob(address: &str, repository: &str, blob: &Blob) {
    let started = http::request(address, "POST", &format!("/v2/{repository}/blobs/uploads/"), &[], b"");
    assert_eq!(started.status, 202, "{started:?}");
    let location = started.header("location").expect("a location");
    let path = location.split_once("://").map_or(location, |(_, rest)| &rest[rest.find('/').unwrap()..]);
    let joint = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{joint}digest={}", blob.digest);
    let done = http::request(address, "PUT", &path, &[("Content-Type", "application/octet-stream")], &blob.bytes);
    assert_eq!(done.status, 201, "{done:?}");
}

/// Puts a manifest or an index under a tag.
pub fn push_manifest(address: &str, repository: &str, tag: &str, manifest: &Blob) {
    let path = format!("/v2/{repository}/manifests/{tag}");
    let done = http::request(address, "PUT", &path, &[("Content-Type", &manifest.media_type)], &manifest.bytes);
    assert_eq!(done.status, 201, "{done:?}");
}
