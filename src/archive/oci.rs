//! `oci:` and `oci-archive:`, the OCI image layout in a folder or a tar file: `index.json`, `oci-layout`, `blobs/<alg>/<hex>`.

use super::files::Files;
use super::{Opened, choose};
use crate::base::{Doing, Error, Result};
use crate::image::manifest::{MAX_MANIFEST_BYTES, OCI_INDEX};
use crate::image::source::RawManifest;
use crate::image::{Descriptor, Digest, Hasher, ImageSource, Index};
use std::io::Read;

const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// What containerd and docker write: the full name, where `ref.name` is the tag only.
const FULL_NAME: &str = "io.containerd.image.name";

struct Layout {
    files: Box<dyn Files>,
    root: Root,
}

enum Root {
    /// One entry of `index.json`.
    Entry(Descriptor),
    /// Several entries without names: the platforms of one image.
    Whole(RawManifest),
}

pub(super) fn open(files: Box<dyn Files>, wanted: Option<&str>) -> Result<Opened> {
    let Some(index) = files.find("index.json")? else {
        return Err(Error::corrupt("`index.json` is missing in it").hint(match files.find("manifest.json")? {
            Some(_) => "it is an archive of `docker save`: use `docker-archive:`",
            None => "it is not an OCI image layout",
        }));
    };
    let bytes = index.read(MAX_MANIFEST_BYTES).doing(|| "read `index.json` in it")?;
    let mut index: Index = serde_json::from_slice(&bytes).doing(|| "read `index.json` in it")?;
    let names: Vec<Vec<String>> = index.manifests.iter().map(names_of).collect();
    if wanted.is_none() && names.len() > 1 && names.iter().all(|n| *n == names[0]) {
        let whole = RawManifest { digest: Digest::of(&bytes), bytes, media_type: OCI_INDEX.to_owned() };
        return Ok(Opened {
            source: Box::new(Layout { files, root: Root::Whole(whole) }),
            names: references(&names[0]),
        });
    }
    let chosen = choose(wanted, &names)?;
    let root = Root::Entry(index.manifests.swap_remove(chosen));
    Ok(Opened { source: Box::new(Layout { files, root }), names: references(&names[chosen]) })
}

fn names_of(descriptor: &Descriptor) -> Vec<String> {
    [FULL_NAME, REF_NAME].iter().filter_map(|key| descriptor.annotations.get(*key)).cloned().collect()
}

/// The names that say which image it is; a bare tag does not.
fn references(names: &[String]) -> Vec<crate::image::Reference> {
    let full = |name: &&String| name.contains(['/', ':', '@']);
    names.iter().filter(full).filter_map(|n| n.parse().ok()).take(1).collect()
}

impl Layout {
    fn read(&self, descriptor: &Descriptor) -> Result<RawManifest> {
        let digest = &descriptor.digest;
        let bytes = self.files.read(&blob_name(digest), MAX_MANIFEST_BYTES)?;
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(&bytes);
        let actual = hasher.finish();
        if actual != *digest {
            return Err(Error::corrupt(format!("blob `{digest}` is not what its digest says: it is `{actual}`")));
        }
        Ok(RawManifest { bytes, media_type: descriptor.media_type.clone(), digest: actual })
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm_name(), digest.hex())
}

impl ImageSource for Layout {
    fn root_manifest(&self) -> Result<RawManifest> {
        match &self.root {
            Root::Entry(descriptor) => self.read(descriptor),
            Root::Whole(manifest) => Ok(manifest.clone()),
        }
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<RawManifest> {
        self.read(descriptor)
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        sized(self.files.get(&blob_name(&descriptor.digest))?, descriptor, offset)
    }
}

/// A blob's reader, after its length was compared.
pub(super) fn sized(
    section: super::section::Section,
    descriptor: &Descriptor,
    offset: u64,
) -> Result<Box<dyn Read + Send>> {
    if section.len() != descriptor.size {
        return Err(Error::corrupt(format!(
            "blob `{}` has {} bytes, its descriptor says {}",
            descriptor.digest,
            section.len(),
            descriptor.size
        )));
    }
    Ok(Box::new(section.reader(offset)))
}
