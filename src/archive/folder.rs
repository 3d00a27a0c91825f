//! `dir:`, skopeo's plain folder: `manifest.json`, blobs named by their hex digits, manifests of other platforms as
//! `<hex>.manifest.json`.

use super::Opened;
use super::files::{Files, Folder};
use super::oci::sized;
use crate::base::{Error, Result};
use crate::image::manifest::MAX_MANIFEST_BYTES;
use crate::image::source::RawManifest;
use crate::image::{Descriptor, Digest, Hasher, ImageSource};
use std::io::Read;

struct Dir {
    files: Folder,
    manifest: RawManifest,
}

pub(super) fn open(files: Folder) -> Result<Opened> {
    let bytes = files.read("manifest.json", MAX_MANIFEST_BYTES)?;
    let manifest = RawManifest { digest: Digest::of(&bytes), bytes, media_type: String::new() };
    Ok(Opened { source: Box::new(Dir { files, manifest }), names: Vec::new() })
}

impl ImageSource for Dir {
    fn root_manifest(&self) -> Result<RawManifest> {
        Ok(self.manifest.clone())
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<RawManifest> {
        let digest = &descriptor.digest;
        let bytes = self.files.read(&format!("{}.manifest.json", digest.hex()), MAX_MANIFEST_BYTES)?;
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(&bytes);
        let actual = hasher.finish();
        if actual != *digest {
            return Err(Error::corrupt(format!("manifest `{digest}` is not what its digest says: it is `{actual}`")));
        }
        Ok(RawManifest { bytes, media_type: descriptor.media_type.clone(), digest: actual })
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        sized(self.files.get(descriptor.digest.hex())?, descriptor, offset)
    }
}
