//! `commit`: an image from a container: the layers of its image, and what the container changed as one more.
//!
//! A child in the container's user namespace packs the upper folder; this process hashes the archive (the diff id), packs it
//! with gzip, hashes that (the digest) and writes it, all in one pass. The image gets its name when everything is there.

use super::config::{self, Format};
use super::diff::PLACES;
use super::export::open;
use super::{Extent, Files, truth};
use crate::base::progress::{Event, Progress};
use crate::base::{Doing, Error, Kind, Result};
use crate::image::config::{History, ImageConfig, RootFs};
use crate::image::digest::Algorithm;
use crate::image::{Descriptor, Digest, Hasher, Platform, Reference, change};
use crate::runtime::view::Access;
use crate::state::events::{self, Event as Happening};
use crate::store::new_blob::FinishedBlob;
use crate::store::{Image, Provenance, Store};
use crate::supervise::control;
use crate::supervise::protocol::Request;
use crate::unpack::pack::{PackOptions, Packed, Packer};
use crate::userns::{Job, Keep};
use flate2::Compression;
use flate2::write::GzEncoder;
use nix::fcntl::OFlag;
use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// `commit`'s options.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// The image's name; none for a dangling image.
    pub name: Option<Reference>,
    /// `--author`.
    pub author: Option<String>,
    /// `--message`.
    pub message: Option<String>,
    /// `--change`.
    pub changes: Vec<String>,
    /// What the file of `--config` holds.
    pub config: Option<String>,
    /// `--pause`: nothing in the container runs while its files are read.
    pub pause: Pause,
    /// `--format`.
    pub format: Format,
    /// `--include-volumes`.
    pub include_volumes: bool,
    /// `--squash`: one layer with everything.
    pub squash: bool,
}

/// Whether a running container is frozen meanwhile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pause {
    /// If that is possible.
    #[default]
    IfPossible,
    /// It must be.
    Yes,
    /// No.
    No,
}

/// Makes the image; returns its id. Call it before this process has threads.
///
/// Errors: `NotFound`; `Usage` for a bad change; `NotFound` with a hint when the container's image is gone.
pub fn commit(store: &Store, word: &str, options: &CommitOptions, progress: &dyn Progress) -> Result<Digest> {
    let files = Files::open(store, word, Access::Read, progress)?;
    let record = &files.record;
    // What is wrong with the options is said before anything is packed.
    let mut execution = config::execution(record, options.include_volumes);
    if let Some(document) = &options.config {
        execution = config::overlay(execution, document)?;
    }
    change::apply(&mut execution, &options.changes)?;
    let base = base(store, &files, options.squash)?;
    // Until the new image is named nothing else tells that these are needed.
    let kept = base.iter().flat_map(|b| b.manifest.layers.iter().map(|l| &l.digest).chain(&b.config.rootfs.diff_ids));
    let _lease = store.lease(kept)?;
    let folder = store.paths().container(&record.id);
    let whole = options.squash || files.upper().is_none();
    let (layer, diff_id, packed) = {
        let _frozen = Frozen::begin(&folder, options.pause)?;
        pack(store, &files, whole, progress)?
    };
    if packed.left_out > 0 {
        progress.event(Event::Warning(format!("{} sockets were left out: an image cannot hold them", packed.left_out)));
    }
    let config = image_config(base.as_ref(), record, execution, &diff_id, whole, options);
    let id = write(store, base.as_ref().filter(|_| !whole), layer, &config, packed.size, options)?;
    events::append(store.paths(), &Happening::of(record, "commit"));
    Ok(id)
}

/// The container's image; `None` for a container without one.
fn base(store: &Store, files: &Files, squash: bool) -> Result<Option<Image>> {
    let Some(used) = &files.record.image else { return Ok(None) };
    let found = store.find_image(&used.manifest.to_string()).or_else(|_| store.find_image(&used.id.to_string()));
    match found.and_then(|entry| store.load_image(&entry)) {
        Ok(image) => Ok(Some(image)),
        Err(e) if e.kind() == Kind::NotFound && squash => Ok(None),
        Err(e) if e.kind() == Kind::NotFound => {
            let text = format!("the container's image `{}` is not in the store any more", used.name);
            Err(Error::not_found(text).hint(format!(
                "bring it back with `runr pull {}`, or put everything into one layer with `--squash`",
                used.name
            )))
        }
        Err(e) => Err(e),
    }
}

/// Keeps a running container frozen until it is dropped.
struct Frozen(Option<crate::sys::channel::Channel>);

impl Frozen {
    fn begin(folder: &Path, pause: Pause) -> Result<Self> {
        if pause == Pause::No {
            return Ok(Self(None));
        }
        let Some(channel) = control::connect_to(folder)? else { return Ok(Self(None)) };
        match control::ask(&channel, &Request::Pause) {
            Ok(Some(_)) => Ok(Self(Some(channel))),
            Ok(None) => Ok(Self(None)),
            // It is frozen already, or has just ended: nothing runs.
            Err(e) if e.kind() == Kind::Conflict => Ok(Self(None)),
            Err(_) if pause == Pause::IfPossible => Ok(Self(None)),
            Err(e) => Err(e.step("pause the container")),
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Some(channel) = &self.0 {
            // A monitor that has ended has no container to thaw.
            drop(control::ask(channel, &Request::Unpause));
        }
    }
}

/// The new layer: the blob, its diff id, and what is in it.
fn pack(store: &Store, files: &Files, whole: bool, progress: &dyn Progress) -> Result<(FinishedBlob, Digest, Packed)> {
    let places = PLACES.iter().map(|p| p.trim_start_matches('/').as_bytes().to_vec());
    let options = PackOptions {
        whiteouts: !whole,
        truth: truth(store, &files.record, progress)?,
        // In an image of its own every folder is needed.
        placeholders: if whole { HashSet::new() } else { places.collect() },
        ..PackOptions::default()
    };
    let blob = store.new_blob()?;
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).doing(|| "create pipe")?;
    // Only a matter of speed.
    let _ = nix::fcntl::fcntl(&write, nix::fcntl::FcntlArg::F_SETPIPE_SZ(1 << 20));
    let job = packer(files, whole, &write, &options)?;
    drop(write);
    let compressed = compress(File::from(read), blob);
    let packed = job.wait();
    // The child's failure explains a short archive.
    let (packed, (blob, diff_id)) = match (packed, compressed) {
        (Ok(packed), compressed) => (packed, compressed?),
        (Err(e), Err(c)) if e.errno() == Some(nix::errno::Errno::EPIPE) => return Err(c),
        (Err(e), _) => return Err(e),
    };
    Ok((blob.finish(store)?, diff_id, packed))
}

fn packer(files: &Files, whole: bool, output: &OwnedFd, options: &PackOptions) -> Result<Job<Packed>> {
    let keep = [output.as_fd()];
    let pack = |dir: OwnedFd| {
        let mut packer = Packer::new(File::from(output.try_clone().doing(|| "copy descriptor")?), options);
        packer.contents(dir.as_fd(), b"", false)?;
        packer.finish().map(|(_, packed)| packed)
    };
    match files.upper().filter(|_| !whole) {
        Some(upper) => files.as_owner(Keep(&keep), || {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let dir = nix::fcntl::open(&upper, flags, nix::sys::stat::Mode::empty());
            pack(dir.doing(|| format!("open `{}`", upper.display()))?)
        }),
        None => files.work(Extent::Root, Keep(&keep), |root| pack(open(&root)?)),
    }
}

/// From the archive to the blob.
pub(super) fn compress(
    mut archive: impl Read,
    blob: crate::store::new_blob::NewBlob,
) -> Result<(crate::store::new_blob::NewBlob, Digest)> {
    let mut encoder = GzEncoder::new(blob, Compression::default());
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let n = match archive.read(&mut buffer) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            other => other.doing(|| "read the new layer")?,
        };
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        encoder.write_all(&buffer[..n]).doing(|| "write the new layer")?;
    }
    Ok((encoder.finish().doing(|| "write the new layer")?, hasher.finish()))
}

fn image_config(
    base: Option<&Image>,
    record: &crate::state::record::ContainerRecord,
    execution: crate::image::config::Execution,
    diff_id: &Digest,
    whole: bool,
    options: &CommitOptions,
) -> ImageConfig {
    let now = jiff::Timestamp::now().to_string();
    let mut config = base.map(|b| b.config.clone()).unwrap_or_default();
    if config.architecture.is_empty() {
        let own = Platform::host();
        (config.architecture, config.os, config.variant) = (own.architecture, own.os, own.variant);
    }
    if whole {
        // Its layers are not there any more as such.
        config.rootfs.diff_ids.clear();
        config.history.iter_mut().for_each(|h| h.empty_layer = true);
    }
    config.rootfs = RootFs { kind: "layers".to_owned(), diff_ids: config.rootfs.diff_ids };
    config.rootfs.diff_ids.push(diff_id.clone());
    config.history.push(History {
        created: Some(now.clone()),
        created_by: Some(record.command.join(" ")),
        author: options.author.clone(),
        comment: options.message.clone(),
        empty_layer: false,
    });
    config.created = Some(now);
    config.author = options.author.clone().or(config.author);
    config.config = execution;
    config
}

/// Writes what belongs to the image, then names it.
pub(super) fn write(
    store: &Store,
    base: Option<&Image>,
    layer: FinishedBlob,
    config: &ImageConfig,
    size: u64,
    options: &CommitOptions,
) -> Result<Digest> {
    let format = options.format;
    let config = serde_json::to_vec(config)?;
    let config_descriptor = Descriptor::new(format.config(), Digest::of(&config), config.len() as u64);
    let mut layers: Vec<Descriptor> =
        base.iter().flat_map(|b| &b.manifest.layers).map(|layer| format.converted(layer)).collect();
    layers.push(Descriptor::new(format.layer(), layer.digest.clone(), layer.size));
    let manifest = serde_json::to_vec(&format.document(config_descriptor.clone(), layers))?;
    let manifest_descriptor = Descriptor::new(format.manifest(), Digest::of(&manifest), manifest.len() as u64);
    let layer_digest = layer.digest.clone();
    let _lease = store.lease([&layer_digest, &config_descriptor.digest, &manifest_descriptor.digest])?;
    layer.commit(format.layer())?;
    store.put_blob_as(&config, &config_descriptor)?;
    store.put_blob_as(&manifest, &manifest_descriptor)?;
    let size = size.saturating_add(base.map_or(0, |b| b.entry.size));
    store.tag_image(options.name.as_ref(), &manifest_descriptor, &Provenance { index: None, size })?;
    store.sync_in_background(&[layer_digest])?;
    Ok(config_descriptor.digest)
}
