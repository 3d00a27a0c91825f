//! Bringing layers: from wherever their blob is (a source, an earlier try, the store) into the store and, in the same pass,
//! into their unpacked folder. All layers of an image at once, up to a limit.
//!
//! For each layer: its lock, then its blob's lock, then bytes; so two pulls of one image share the work. A thread that holds
//! a lock waits for bytes only.

use crate::base::progress::{Event, Progress};
use crate::base::{Doing, Error, Kind, Result};
use crate::image::{Descriptor, Digest, Hasher, ImageSource};
use crate::state::ImageUse;
use crate::store::gc::KEEP_PARTIALS;
use crate::store::{BlobSlot, BlobWriter, Image, Layer, LayerBuilder, LayerMeta, LayerSlot, Store};
use crate::sys::procfs;
use crate::unpack::{Limits, Report, UnpackJob, UnpackWorker, WhiteoutForm};
use crate::userns::IdMap;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How much is read from a source at a time.
const CHUNK: usize = 256 << 10;
/// After how long it is said for whom a pull waits.
const LONG_WAIT: Duration = Duration::from_secs(3);
/// How many layers are transferred at once unless the user says otherwise.
pub const DEFAULT_PARALLEL: usize = 6;

/// One layer to bring: the blob, and what it must unpack to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Job {
    descriptor: Descriptor,
    diff_id: Digest,
}

/// What bringing an image's layers came to.
#[derive(Debug, Clone, Default)]
pub(super) struct Brought {
    /// Each layer's size, as docker counts.
    pub(super) sizes: HashMap<Digest, u64>,
    /// Something was transferred or unpacked.
    pub(super) changed: bool,
}

/// Everything the threads share.
pub(super) struct Bringer<'a> {
    pub(super) store: &'a Store,
    pub(super) worker: &'a UnpackWorker,
    /// `None` when only blobs of the store are to be used.
    pub(super) source: Option<&'a dyn ImageSource>,
    pub(super) map: &'a IdMap,
    pub(super) max_parallel: usize,
    pub(super) progress: &'a dyn Progress,
}

/// Set when one thread failed: the others stop where they are, and leave what they have for the next try.
#[derive(Default)]
struct Stop(AtomicBool);

/// All layers of an image for containers with `map`, lowest first. Those that are not unpacked for that map, or that a power
/// cut may have damaged, are unpacked from their blobs. Call it before threads exist.
///
/// Errors: `NotFound` or `Corrupt` when a blob is not there or damaged: then the image has to be pulled again.
pub fn ensure(
    store: &Store,
    image: &Image,
    map: &IdMap,
    limits: Limits,
    progress: &dyn Progress,
) -> Result<Vec<Layer>> {
    if let Some(layers) = present(store, image, map)? {
        return Ok(layers);
    }
    let worker = UnpackWorker::start(map, limits)?;
    let bringer = Bringer { store, worker: &worker, source: None, map, max_parallel: DEFAULT_PARALLEL, progress };
    let brought = bringer.bring(&image.manifest.layers, &image.config.rootfs.diff_ids);
    if brought.is_err() {
        // What was half made may fill the disk.
        drop(store.sweep(KEEP_PARTIALS));
    }
    brought.doing(|| "unpack layers from the store").map_err(|e| match image.entry.names.first() {
        Some(name) if matches!(e.kind(), Kind::NotFound | Kind::Corrupt) => e.hint(format!("run `runr pull {name}`")),
        _ => e,
    })?;
    store.sync_in_background(&[])?;
    present(store, image, map)?.ok_or_else(|| Error::new(Kind::Bug, "a layer disappeared while it was made"))
}

/// All layers that a container's record names, lowest first: as they stand in the store, whatever has become of the image's
/// names. Call it before threads exist.
///
/// Errors: `NotFound` when one is gone and so is the image it could be made from.
pub fn ensure_recorded(store: &Store, used: &ImageUse, map: &IdMap, progress: &dyn Progress) -> Result<Vec<Layer>> {
    let there: Result<Option<Vec<Layer>>> = used.layers.iter().map(|diff_id| store.layer(diff_id, map)).collect();
    if let Some(layers) = there? {
        return Ok(layers);
    }
    let image = store.find_image(&used.id.to_string()).and_then(|entry| store.load_image(&entry)).map_err(|e| {
        if e.kind() != Kind::NotFound {
            return e;
        }
        let lost = "a layer of the container's image is not in the store any more, and neither is the image";
        Error::not_found(lost).hint(format!("bring it back with `runr pull {}`", used.name))
    })?;
    ensure(store, &image, map, Limits::default(), progress)
}

/// Whether [`ensure`] can do its work from the store alone.
///
/// Errors: `NotFound` when a layer is neither unpacked for `map` nor there as a blob.
pub fn check(store: &Store, image: &Image, map: &IdMap) -> Result<()> {
    for (descriptor, diff_id) in image.manifest.layers.iter().zip(&image.config.rootfs.diff_ids) {
        if store.layer(diff_id, map)?.is_none() && !store.has_blob(descriptor)? {
            return Err(Error::not_found(format!("blob `{}` of the image was lost", descriptor.digest)));
        }
    }
    Ok(())
}

/// The image's layers if all are there.
fn present(store: &Store, image: &Image, map: &IdMap) -> Result<Option<Vec<Layer>>> {
    image.config.rootfs.diff_ids.iter().map(|diff_id| store.layer(diff_id, map)).collect()
}

impl Bringer<'_> {
    /// Brings these layers; `diff_ids` has one for each. Returns when all are there or one failed.
    pub(super) fn bring(&self, layers: &[Descriptor], diff_ids: &[Digest]) -> Result<Brought> {
        let mut seen = HashSet::new();
        let jobs: VecDeque<Job> = layers
            .iter()
            .zip(diff_ids)
            .map(|(d, id)| Job { descriptor: d.clone(), diff_id: id.clone() })
            // The same layer twice is common: an instruction that changed nothing.
            .filter(|job| seen.insert((job.descriptor.digest.clone(), job.diff_id.clone())))
            .collect();
        let threads = self.max_parallel.clamp(1, jobs.len().max(1));
        let (queue, brought) = (Mutex::new(jobs), Mutex::new(Brought::default()));
        let (stop, first) = (Stop::default(), Mutex::new(None));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(job) = lock(&queue).pop_front() {
                        let result = self.bring_one(&job, &stop).doing(|| format!("layer `{}`", job.descriptor.digest));
                        match result {
                            Ok((size, changed)) => {
                                let mut brought = lock(&brought);
                                brought.sizes.insert(job.diff_id, size);
                                brought.changed |= changed;
                            }
                            Err(e) => {
                                lock(&first).get_or_insert(e);
                                stop.0.store(true, Ordering::Relaxed);
                                return;
                            }
                        }
                        if stop.0.load(Ordering::Relaxed) {
                            return;
                        }
                    }
                });
            }
        });
        match first.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(e) => Err(e),
            None => Ok(brought.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Brings one layer; its size, and whether anything had to be done.
    fn bring_one(&self, job: &Job, stop: &Stop) -> Result<(u64, bool)> {
        match self.attempt(job, stop) {
            // What an earlier try or an earlier boot left was not what it should be, and is gone now: once more from the start.
            Err(Failed { error, reused: true }) if error.kind() == Kind::Corrupt => {
                self.attempt(job, stop).map_err(|f| f.error)
            }
            other => other.map_err(|f| f.error),
        }
    }

    fn attempt(&self, job: &Job, stop: &Stop) -> std::result::Result<(u64, bool), Failed> {
        let digest = || job.descriptor.digest.to_string();
        let busy = self.store.is_layer_busy(&job.diff_id, self.map)?;
        match self.waiting(job, busy, || self.store.begin_layer(&job.diff_id, self.map))? {
            LayerSlot::Ready(layer) => {
                let changed = self.ensure_blob(job, stop)?;
                if changed {
                    self.progress.event(Event::LayerDone { digest: digest() });
                } else if self.source.is_some() {
                    self.progress.event(Event::LayerExists { digest: digest() });
                }
                Ok((layer.meta.size, changed))
            }
            LayerSlot::Build(builder) => {
                let report = match self.blob_slot(job)? {
                    BlobSlot::Present => self.unpack_stored(job, &builder)?,
                    BlobSlot::Write(writer) => self.transfer(job, writer, Some(&builder), stop)?,
                };
                let Some(report) = report else { return Err(bug("a layer was not unpacked").into()) };
                let size = report.size;
                self.commit(job, builder, report)?;
                self.progress.event(match self.source {
                    Some(_) => Event::LayerDone { digest: digest() },
                    None => Event::UnpackDone { digest: digest() },
                });
                Ok((size, true))
            }
        }
    }

    /// Without a source there is nothing to write a blob from.
    fn blob_slot(&self, job: &Job) -> Result<BlobSlot> {
        if self.source.is_none() && !self.store.has_blob(&job.descriptor)? {
            return Err(Error::not_found(format!("blob `{}` is not in the store", job.descriptor.digest)));
        }
        self.blob_writer(job)
    }

    fn blob_writer(&self, job: &Job) -> Result<BlobSlot> {
        let busy = self.store.is_blob_busy(&job.descriptor.digest)?;
        self.waiting(job, busy, || self.store.blob_writer(&job.descriptor))
    }

    /// Does what may have to wait for another pull, and says so: at once, and after a while for whom. That one may be stopped.
    fn waiting<T>(&self, job: &Job, busy: bool, work: impl FnOnce() -> T) -> T {
        if !busy {
            return work();
        }
        let short = job.descriptor.digest.short();
        self.progress.event(Event::Note(format!("waiting for another pull that is bringing layer {short}")));
        let (end, ended) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                if ended.recv_timeout(LONG_WAIT) == Err(RecvTimeoutError::Timeout) {
                    let builder = self.store.layer_builder(&job.diff_id, self.map);
                    self.progress.event(Event::Warning(still_waiting(short, builder)));
                }
            });
            let done = work();
            drop(end);
            done
        })
    }

    /// The layer is there already; its blob may not be.
    fn ensure_blob(&self, job: &Job, stop: &Stop) -> std::result::Result<bool, Failed> {
        if self.source.is_none() {
            return Ok(false);
        }
        match self.blob_writer(job)? {
            BlobSlot::Present => Ok(false),
            BlobSlot::Write(writer) => self.transfer(job, writer, None, stop).map(|_| true),
        }
    }

    /// From the source into the store and, if there is a builder, into its folder at once.
    fn transfer(
        &self,
        job: &Job,
        mut writer: Box<BlobWriter>,
        builder: Option<&LayerBuilder>,
        stop: &Stop,
    ) -> std::result::Result<Option<Report>, Failed> {
        let Descriptor { digest, size, .. } = &job.descriptor;
        let source = self.source.ok_or_else(|| bug("a transfer without a source"))?;
        let partial = writer.partial_len();
        let failed = |error: Error| Failed { error, reused: partial > 0 };
        self.progress.event(Event::LayerStarted { digest: digest.to_string(), total: *size });
        let mut feed = Feed::new(builder.map(|b| self.worker.begin(&b.fs_dir())).transpose()?);
        writer.replay(|bytes| feed.give(bytes)).map_err(failed)?;
        let mut done = partial;
        if done > 0 {
            self.progress.event(Event::LayerProgress { digest: digest.to_string(), done });
        }
        let mut reader = if done < *size { source.blob(&job.descriptor, done)? } else { Box::new(std::io::empty()) };
        let mut buffer = vec![0; CHUNK];
        loop {
            if stop.0.load(Ordering::Relaxed) {
                return Err(stopped().into());
            }
            let n = reader.read(&mut buffer).doing(|| "transfer")?;
            if n == 0 {
                break;
            }
            writer.write_all(&buffer[..n]).map_err(|e| failed(e.into()))?;
            feed.give(&buffer[..n]).map_err(failed)?;
            done += n as u64;
            self.progress.event(Event::LayerProgress { digest: digest.to_string(), done });
        }
        // The digest decides first: of a damaged transfer it says more than what the unpacker stumbled over.
        writer.commit().map_err(failed)?;
        let report = feed.finish();
        if report.as_ref().is_err_and(|e| e.kind() == Kind::Corrupt) {
            // Right by its digest and yet no layer: nobody needs it.
            drop(self.store.remove_blob(digest));
        }
        Ok(report?)
    }

    /// From the store's blob, verified on the way.
    fn unpack_stored(&self, job: &Job, builder: &LayerBuilder) -> std::result::Result<Option<Report>, Failed> {
        let Descriptor { digest, size, .. } = &job.descriptor;
        let (name, total) = (digest.to_string(), *size);
        self.progress.event(match self.source {
            Some(_) => Event::LayerStarted { digest: name, total },
            None => Event::UnpackStarted { digest: name, total },
        });
        let mut feed = Feed::new(Some(self.worker.begin(&builder.fs_dir())?));
        let mut file = self.store.open_blob(digest)?;
        let mut hasher = Hasher::new(digest.algorithm());
        let (mut buffer, mut done) = (vec![0; CHUNK], 0);
        loop {
            let n = file.read(&mut buffer).doing(|| format!("read blob `{digest}`"))?;
            if n == 0 {
                break;
            }
            hasher.update(&buffer[..n]);
            feed.give(&buffer[..n])?;
            done += n as u64;
            self.progress.event(Event::LayerProgress { digest: digest.to_string(), done });
        }
        let actual = hasher.finish();
        if actual != *digest {
            self.store.remove_blob(digest)?;
            let error = Error::corrupt(format!("blob `{digest}` in the store is damaged: its digest is `{actual}`"));
            return Err(Failed { error, reused: self.source.is_some() });
        }
        Ok(feed.finish()?)
    }

    fn commit(&self, job: &Job, builder: LayerBuilder, report: Report) -> Result<()> {
        for warning in &report.warnings {
            self.progress.event(Event::Warning(format!("layer {}: {warning}", job.descriptor.digest.short())));
        }
        let diff_id = report.diff_id.clone();
        let mut meta = LayerMeta::new(report.diff_id, self.map.clone(), report.size);
        if !report.true_stats.is_empty() {
            let path = builder.dir().join("owners.json");
            std::fs::write(&path, serde_json::to_vec(&report.true_stats)?)
                .doing(|| format!("write `{}`", path.display()))?;
            meta.has_true_stats = true;
        }
        meta.implied_dirs = report.implied_dirs;
        meta.pending_links = report.pending_links;
        meta.xattr_whiteouts = report.whiteouts == WhiteoutForm::Xattr;
        let committed = builder.commit(meta);
        if committed.is_err() && diff_id != job.diff_id {
            // A blob that does not fit its image.
            drop(self.store.remove_blob(&job.descriptor.digest));
        }
        committed.map(drop)
    }
}

fn still_waiting(layer: &str, builder: Option<i32>) -> String {
    let Some(pid) = builder else { return format!("still waiting for another pull that is bringing layer {layer}") };
    let stopped = procfs::stat(pid).is_some_and(|stat| matches!(stat.state, 'T' | 't'));
    let advice = if stopped { ", which is stopped: continue it or end it" } else { "" };
    format!("still waiting for layer {layer}, which is being brought by process {pid}{advice}")
}

/// Why an attempt failed, and whether bytes that were there before had a part in it.
struct Failed {
    error: Error,
    reused: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, reused: false }
    }
}

/// The unpacker's end of a transfer. When it finds the archive damaged the transfer goes on to its end all the same, because
/// the digest may tell why.
struct Feed {
    job: Option<UnpackJob>,
    damage: Option<Error>,
}

impl Feed {
    fn new(job: Option<UnpackJob>) -> Self {
        Self { job, damage: None }
    }

    fn give(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(job) = &mut self.job else { return Ok(()) };
        let Err(e) = job.write_all(bytes).map_err(Error::from) else { return Ok(()) };
        self.job = None;
        if e.kind() != Kind::Corrupt {
            return Err(e);
        }
        self.damage = Some(e);
        Ok(())
    }

    /// The report; `None` if nothing was to be unpacked.
    fn finish(self) -> Result<Option<Report>> {
        match (self.damage, self.job) {
            (Some(e), _) => Err(e),
            (None, job) => job.map(UnpackJob::finish).transpose(),
        }
    }
}

fn stopped() -> Error {
    Error::new(Kind::Io, "stopped, because another layer failed")
}

fn bug(text: &str) -> Error {
    Error::new(Kind::Bug, text)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
