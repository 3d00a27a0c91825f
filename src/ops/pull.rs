//! `pull`: an image from any source into the store.
//!
//! Root manifest, the platform's manifest, config, all layers at once; the name comes last, when everything else is there, so
//! that an image with a name is a whole image. Whatever ends a pull early leaves what the next one goes on with.

use super::layers::{Bringer, DEFAULT_PARALLEL};
use crate::base::progress::{Event, Progress};
use crate::base::{Doing, Error, Kind, Result};
use crate::image::manifest::{Document, MAX_MANIFEST_BYTES, OCI_MANIFEST};
use crate::image::source::RawManifest;
use crate::image::{Descriptor, Digest, Hasher, ImageConfig, ImageSource, Manifest, Platform, Reference};
use crate::store::gc::KEEP_PARTIALS;
use crate::store::images::check_layers;
use crate::store::{ImageEntry, Provenance, Store};
use crate::unpack::{Limits, UnpackWorker};
use crate::userns::{self, IdMap};
use std::io::Read;
use std::str::FromStr;
use std::time::Duration;

/// How an image is pulled.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// `--platform`; this machine's if absent, and then another one is only warned about.
    pub platform: Option<Platform>,
    /// Layers at once.
    pub max_parallel: usize,
    /// Whose owners the unpacked files get.
    pub map: IdMap,
    /// What a layer may cost.
    pub limits: Limits,
}

impl PullOptions {
    /// The defaults: this machine's platform, this user's map.
    ///
    /// Errors: those of finding the user's subordinate ids.
    pub fn new() -> Result<Self> {
        Ok(Self {
            platform: None,
            max_parallel: DEFAULT_PARALLEL,
            map: userns::default_map()?,
            limits: Limits::default(),
        })
    }
}

/// `--pull`: when an image that has a name in the store is asked for anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Every time.
    Always,
    /// Only when it is not there.
    #[default]
    Missing,
    /// Every time, but what is there will do when the source cannot be reached.
    Newer,
    /// Not at all.
    Never,
}

impl FromStr for Policy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            // A bare `--pull` and podman's booleans.
            "always" | "true" | "" => Ok(Self::Always),
            "missing" | "ifnotpresent" => Ok(Self::Missing),
            "newer" | "ifnewer" => Ok(Self::Newer),
            "never" | "false" => Ok(Self::Never),
            _ => Err(Error::usage(format!("invalid pull policy `{text}`: use always, missing, newer or never"))),
        }
    }
}

/// What a pull brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The image's id: its config's digest.
    pub id: Digest,
    /// Its manifest's digest.
    pub manifest: Digest,
    /// The digest that the name stands for at the source: of the index if there is one. `docker pull` prints it.
    pub root: Digest,
    /// False when everything was there already, under this very name.
    pub changed: bool,
}

/// One platform's manifest, and what led to it.
struct Chosen {
    raw: RawManifest,
    document: Manifest,
    /// The index's digest.
    index: Option<Digest>,
}

/// Pulls an image and gives it `name` (none leaves it dangling). Forks, so it is called before threads exist.
///
/// Errors: whatever the source, the unpacker or the disk say. Then no name has changed.
pub fn pull(
    store: &Store,
    source: &dyn ImageSource,
    name: Option<&Reference>,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Pulled> {
    // First of all: the source may start threads as soon as it is asked anything.
    let worker = UnpackWorker::start(&options.map, options.limits)?;
    let pulled = pull_with(worker, store, source, name, options, progress);
    if let Err(e) = &pulled {
        // Half-built layers are of no use to anybody; half a download is, unless the disk is full.
        let keep = if e.is_disk_full() { Duration::ZERO } else { KEEP_PARTIALS };
        drop(store.sweep(keep));
    }
    store.take_notes().into_iter().for_each(|note| progress.event(Event::Warning(note)));
    pulled
}

fn pull_with(
    worker: UnpackWorker,
    store: &Store,
    source: &dyn ImageSource,
    name: Option<&Reference>,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Pulled> {
    let wanted = options.platform.clone().unwrap_or_else(Platform::host);
    let root = source.root_manifest()?;
    let root_digest = root.digest.clone();
    let chosen = choose(source, root, &wanted)?;
    let manifest = Descriptor::new(media_type(&chosen), chosen.raw.digest.clone(), chosen.raw.bytes.len() as u64);
    for layer in &chosen.document.layers {
        layer.compression()?;
    }
    // From here on nobody collects what this image needs, even before anything refers to it.
    let config_digest = &chosen.document.config.digest;
    let blobs = || chosen.document.layers.iter().map(|l| &l.digest).chain([&manifest.digest, config_digest]);
    let _blobs_lease = store.lease(blobs())?;
    let config_bytes = fetch_config(store, source, &chosen.document.config)?;
    let config = ImageConfig::parse(&config_bytes)?;
    check_layers(&chosen.document, &config)?;
    check_platform(&config, &wanted, options.platform.is_some(), progress)?;
    let diff_ids = &config.rootfs.diff_ids;
    let _layers_lease = store.lease(diff_ids)?;

    let bringer = Bringer {
        store,
        worker: &worker,
        source: Some(source),
        map: &options.map,
        max_parallel: options.max_parallel,
        progress,
    };
    let brought = bringer.bring(&chosen.document.layers, diff_ids)?;
    drop(worker);

    store.put_blob_as(&config_bytes, &chosen.document.config)?;
    store.put_blob_as(&chosen.raw.bytes, &manifest)?;
    let size = diff_ids.iter().filter_map(|id| brought.sizes.get(id)).fold(0u64, |sum, size| sum.saturating_add(*size));
    let provenance = Provenance { index: chosen.index.clone(), size };
    let changed = give_name(store, name, &manifest, &provenance)? || brought.changed;
    let written: Vec<Digest> = chosen.document.layers.iter().map(|l| l.digest.clone()).collect();
    store.sync_in_background(&written)?;
    Ok(Pulled { id: config_digest.clone(), manifest: manifest.digest.clone(), root: root_digest, changed })
}

/// Whether `text` has to be pulled, by what is in the store: `Ok(Some(_))` is the image to use without asking.
///
/// Errors: `NotFound` when it is not there and must not be pulled.
pub fn resolve(store: &Store, text: &str, policy: Policy) -> Result<Option<ImageEntry>> {
    let known = store.find_image_optional(text)?;
    match policy {
        // What an id or a digest names cannot have changed.
        Policy::Always | Policy::Newer => {
            let may_change =
                |e: &ImageEntry| text.parse().is_ok_and(|r: Reference| e.names.contains(&r) && r.digest().is_none());
            Ok(known.filter(|e| !may_change(e)))
        }
        Policy::Missing => Ok(known),
        Policy::Never => known.map(Some).ok_or_else(|| {
            Error::not_found(format!("no such image: `{text}`")).hint("`--pull=never` forbids to pull it")
        }),
    }
}

fn media_type(chosen: &Chosen) -> &str {
    let own = chosen.document.media_type.as_deref().unwrap_or("");
    match (own, chosen.raw.media_type.as_str()) {
        ("", "" | "application/json" | "application/octet-stream" | "text/plain") => OCI_MANIFEST,
        ("", served) => served,
        (own, _) => own,
    }
}

/// Follows an index to the platform's manifest.
fn choose(source: &dyn ImageSource, root: RawManifest, wanted: &Platform) -> Result<Chosen> {
    let index = match Document::parse(&root.bytes, &root.media_type)? {
        Document::Manifest(document) => return Ok(Chosen { raw: root, document, index: None }),
        Document::Index(index) => index,
    };
    let descriptor = index.select(wanted)?;
    let raw = source.manifest(descriptor)?;
    match Document::parse(&raw.bytes, &raw.media_type)? {
        Document::Manifest(document) => Ok(Chosen { raw, document, index: Some(root.digest) }),
        Document::Index(_) => Err(Error::unsupported(format!("manifest list names another list, `{}`", raw.digest))),
    }
}

/// The config, verified: from the store, or from the source.
fn fetch_config(store: &Store, source: &dyn ImageSource, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let digest = &descriptor.digest;
    if store.has_blob(descriptor)? {
        return store.read_blob(digest, MAX_MANIFEST_BYTES);
    }
    let mut bytes = Vec::new();
    let read = |bytes: &mut Vec<u8>| -> Result<()> {
        source.blob(descriptor, 0)?.take(descriptor.size.min(MAX_MANIFEST_BYTES) + 1).read_to_end(bytes)?;
        Ok(())
    };
    read(&mut bytes).doing(|| format!("config `{digest}`"))?;
    if bytes.len() as u64 != descriptor.size {
        return Err(Error::corrupt(format!(
            "config `{digest}` has not the {} bytes of its descriptor",
            descriptor.size
        )));
    }
    let mut hasher = Hasher::new(digest.algorithm());
    hasher.update(&bytes);
    let actual = hasher.finish();
    if actual == *digest {
        Ok(bytes)
    } else {
        Err(Error::corrupt(format!("config `{digest}` is not what its digest says: it is `{actual}`")))
    }
}

/// An image without an index may be for another machine.
fn check_platform(config: &ImageConfig, wanted: &Platform, asked: bool, progress: &dyn Progress) -> Result<()> {
    if config.architecture.is_empty() || config.os.is_empty() {
        return Ok(());
    }
    let is = Platform::normalised(&config.os, &config.architecture, config.variant.as_deref());
    if is.satisfies(wanted) {
        return Ok(());
    }
    if asked {
        return Err(Error::new(Kind::NotFound, format!("the image is for platform {is} only, not for {wanted}")));
    }
    progress.event(Event::Warning(format!("the image is for platform {is}, this machine is {wanted}")));
    Ok(())
}

/// Tags the image; false when it has the name already and all that goes with it.
fn give_name(store: &Store, name: Option<&Reference>, manifest: &Descriptor, provenance: &Provenance) -> Result<bool> {
    // A pinned name has no tag of its own: docker drops the tag of `name:tag@digest`.
    let name = name.map(|n| n.digest().map_or_else(|| n.clone(), |d| n.with_digest(d.clone())));
    let known = match &name {
        Some(name) => store.by_name(name)?,
        None => None,
    };
    let same = known.as_ref().is_some_and(|e| {
        e.manifest.digest == manifest.digest && e.size == provenance.size && e.index_digest() == provenance.index
    });
    if same {
        return Ok(false);
    }
    store.tag_image(name.as_ref(), manifest, provenance)?;
    Ok(known.is_none_or(|e| e.manifest.digest != manifest.digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_in_every_spelling() {
        for (text, policy) in [
            ("always", Policy::Always),
            ("true", Policy::Always),
            ("missing", Policy::Missing),
            ("newer", Policy::Newer),
            ("never", Policy::Never),
        ] {
            assert_eq!(text.parse::<Policy>().unwrap(), policy);
        }
        assert!("sometimes".parse::<Policy>().is_err());
    }

    #[test]
    fn a_policy_decides_by_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(resolve(&store, "alpine", Policy::Missing).unwrap(), None);
        assert_eq!(resolve(&store, "alpine", Policy::Never).unwrap_err().kind(), Kind::NotFound);
        let config = store.put_blob(br#"{"rootfs":{"diff_ids":[]}}"#, "c").unwrap();
        let manifest = serde_json::json!({"schemaVersion": 2, "config": config, "layers": []});
        let manifest = store.put_blob(&serde_json::to_vec(&manifest).unwrap(), OCI_MANIFEST).unwrap();
        store.tag_image(Some(&"alpine".parse().unwrap()), &manifest, &Provenance::default()).unwrap();
        for (policy, known) in
            [(Policy::Always, false), (Policy::Newer, false), (Policy::Missing, true), (Policy::Never, true)]
        {
            assert_eq!(resolve(&store, "alpine", policy).unwrap().is_some(), known, "{policy:?}");
        }
        assert!(resolve(&store, &config.digest.to_string(), Policy::Always).unwrap().is_some());
    }
}
