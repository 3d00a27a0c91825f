//! Where an image can come from: a registry (`registry`), an archive or folder (`archive`), or runr itself. `ops::pull`
//! knows only this trait.

use super::digest::Digest;
use super::manifest::Descriptor;
use crate::base::Result;
use std::io::Read;

/// A manifest or an index as it was served. `digest` is always that of `bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawManifest {
    /// The document, byte for byte: the digest covers these.
    pub bytes: Vec<u8>,
    /// Its media type; empty when the source does not say.
    pub media_type: String,
    /// Its digest, verified.
    pub digest: Digest,
}

/// Serves one image's documents and blobs.
pub trait ImageSource: Send + Sync {
    /// The manifest or index that the image's name stands for.
    fn root_manifest(&self) -> Result<RawManifest>;

    /// The manifest that an index names. The bytes are verified against `descriptor`.
    fn manifest(&self, descriptor: &Descriptor) -> Result<RawManifest>;

    /// A blob's bytes from `offset` on. The reader itself goes on after a broken connection; it does not verify, its caller
    /// does. A reader never yields more than `descriptor.size - offset` bytes: more is an error.
    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>>;
}
