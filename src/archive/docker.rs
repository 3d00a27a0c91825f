//! `docker-archive:`, what `docker save` and `podman save` write: a tar with `manifest.json`, which lists configs and layers
//! by name. There is no image manifest in it, so one is made: its layers are the archive's, packed as they are there. (Docker
//! since 25 also puts an OCI layout into the tar; `manifest.json` then points into its blobs.)

use super::files::Files;
use super::section::Section;
use super::{Opened, choose};
use crate::base::{Doing, Error, Kind, Result};
use crate::image::manifest::{MAX_LAYERS, MAX_MANIFEST_BYTES, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST};
use crate::image::source::RawManifest;
use crate::image::{Descriptor, Digest, Hasher, ImageConfig, ImageSource, Manifest};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::io::Read;

/// One image of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

struct DockerArchive {
    manifest: RawManifest,
    blobs: HashMap<Digest, Section>,
}

pub(super) fn open(tar: impl Files, wanted: Option<&str>) -> Result<Opened> {
    let Some(list) = tar.find("manifest.json")? else {
        return Err(Error::corrupt("`manifest.json` is missing in it").hint(match tar.find("index.json")? {
            Some(_) => "it is an OCI archive: use `oci-archive:`",
            None => "it is not an archive of `docker save`; for a root file system use `runr import`",
        }));
    };
    let items: Vec<Item> = serde_json::from_slice(&list.read(MAX_MANIFEST_BYTES)?).doing(|| "read `manifest.json`")?;
    let names: Vec<Vec<String>> = items.iter().map(|i| i.repo_tags.clone().unwrap_or_default()).collect();
    let chosen = choose(wanted, &names)?;
    let source = assemble(&tar, &items[chosen])?;
    Ok(Opened { source: Box::new(source), names: names[chosen].iter().filter_map(|n| n.parse().ok()).collect() })
}

fn assemble(tar: &impl Files, item: &Item) -> Result<DockerArchive> {
    let config_section = tar.get(&item.config)?;
    let config_bytes = config_section.read(MAX_MANIFEST_BYTES).doing(|| format!("read `{}` in it", item.config))?;
    let config = ImageConfig::parse(&config_bytes)?;
    let names = item.layers.clone().unwrap_or_default();
    let diff_ids = &config.rootfs.diff_ids;
    if names.len() != diff_ids.len() || names.len() > MAX_LAYERS {
        return Err(Error::new(
            Kind::Corrupt,
            format!("`manifest.json` lists {} layers, the config {}", names.len(), diff_ids.len()),
        ));
    }
    let config = Descriptor::new(OCI_CONFIG, Digest::of(&config_bytes), config_bytes.len() as u64);
    let mut blobs = HashMap::from([(config.digest.clone(), config_section)]);
    let mut layers = Vec::with_capacity(names.len());
    for (name, diff_id) in names.iter().zip(diff_ids) {
        let section = tar.get(name)?;
        let (media_type, digest) = identify(&section, diff_id).doing(|| format!("read layer `{name}` in it"))?;
        layers.push(Descriptor::new(media_type, digest.clone(), section.len()));
        blobs.insert(digest, section);
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        config,
        layers,
        annotations: BTreeMap::new(),
    };
    let bytes = serde_json::to_vec(&manifest)?;
    let manifest = RawManifest { digest: Digest::of(&bytes), bytes, media_type: OCI_MANIFEST.to_owned() };
    Ok(DockerArchive { manifest, blobs })
}

/// A plain layer's digest is its diff id, which whoever reads it verifies; a packed one has to be hashed.
fn identify(section: &Section, diff_id: &Digest) -> Result<(&'static str, Digest)> {
    let media_type = match section.head::<4>()?[..] {
        [0x1f, 0x8b, ..] => OCI_LAYER_GZIP,
        [0x28, 0xb5, 0x2f, 0xfd] => "application/vnd.oci.image.layer.v1.tar+zstd",
        _ => return Ok(("application/vnd.oci.image.layer.v1.tar", diff_id.clone())),
    };
    let mut hasher = Hasher::new(crate::image::digest::Algorithm::Sha256);
    let (mut reader, mut buffer) = (section.reader(0), vec![0; 256 << 10]);
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok((media_type, hasher.finish())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

impl ImageSource for DockerArchive {
    fn root_manifest(&self) -> Result<RawManifest> {
        Ok(self.manifest.clone())
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<RawManifest> {
        Err(Error::not_found(format!("no manifest `{}` in it", descriptor.digest)))
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        let section = self.blobs.get(&descriptor.digest);
        let section = section.ok_or_else(|| Error::not_found(format!("no blob `{}` in it", descriptor.digest)))?;
        Ok(Box::new(section.reader(offset)))
    }
}
