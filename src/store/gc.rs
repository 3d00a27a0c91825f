//! Garbage: blobs and layers that no image, no container and no lease needs, and what dead processes left in `tmp/`.
//!
//! Collecting holds the index's lock, so that no image or lease appears meanwhile, for as long as it takes to unlink and
//! rename; trees are deleted afterwards. An object whose own lock is taken is being made, and left alone.

use super::lease::PREFIX as LEASE;
use super::lock::{ObjectLock, Wait, is_held, open_locked};
use super::new_blob::PREFIX as NEW_BLOB;
use super::trash::{self, PREFIX as TRASH};
use super::{Store, layers};
use crate::base::{Doing, Result, fsx};
use crate::image::manifest::{Document, MAX_MANIFEST_BYTES};
use crate::image::{Digest, ImageConfig, Manifest};
use crate::sys::lock::is_locked;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long an unfinished download waits for the pull that goes on with it.
pub const KEEP_PARTIALS: Duration = Duration::from_secs(7 * 24 * 3600);
/// After which time a temporary file without a lock cannot be in use any more: it takes milliseconds to fill one.
const TEMPORARY_LIFE: Duration = Duration::from_secs(3600);

/// How long deleting what was thrown away is left to whoever threw it away.
const TRASH_LIFE: Duration = Duration::from_secs(10);

/// What containers need.
#[derive(Debug, Clone, Default)]
pub struct InUse {
    /// Manifest, config or layer blobs.
    pub blobs: HashSet<Digest>,
    /// Layers: diff id and map key.
    pub layers: HashSet<(Digest, String)>,
    /// There is a container whose layers nobody knows, because its record is damaged: all layers stay.
    pub unknown: bool,
    /// Variants of an image's layers stay for these maps only, by key, unless a container uses them; `None` is for any map.
    pub maps: Option<HashSet<String>>,
}

/// What collecting removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Removed blobs.
    pub blobs: Vec<Digest>,
    /// Removed layers, by the hex digits of their diff id, for whatever map.
    pub layers: Vec<String>,
    /// Bytes that this frees.
    pub freed: u64,
}

/// Which objects are looked at.
#[derive(Debug, Clone)]
pub enum Scope {
    /// All of the store.
    Everything,
    /// These blobs and diff ids only: what a removed image had.
    Only(HashSet<Digest>),
}

impl Scope {
    fn has(&self, digest: &Digest) -> bool {
        match self {
            Self::Everything => true,
            Self::Only(set) => set.contains(digest),
        }
    }
}

/// The digests that live images refer to.
#[derive(Debug, Default)]
struct Live {
    digests: HashSet<Digest>,
    /// Those among them that a running command works with.
    leased: HashSet<Digest>,
    /// An image's manifest could not be read: its layers are unknown.
    unknown: bool,
}

impl Store {
    /// Removes what is not needed. `in_use` is asked while no container can be made from an image unleased.
    pub fn collect(&self, scope: &Scope, in_use: impl FnOnce() -> Result<InUse>) -> Result<Collected> {
        let mut collected = Collected::default();
        {
            let lock = self.lock_index()?;
            let in_use = in_use()?;
            let mut live = self.live(&lock)?;
            live.leased = self.leased()?;
            live.digests.extend(live.leased.iter().cloned());
            // A container's layers stay, but not their blobs: the unpacked folder is all it needs.
            live.digests.extend(in_use.blobs.iter().cloned());
            self.collect_layers(scope, &live, &in_use, &mut collected)?;
            if !(live.unknown && matches!(scope, Scope::Everything)) {
                self.collect_blobs(scope, &live, &mut collected)?;
            }
        }
        self.sweep(KEEP_PARTIALS)?;
        Ok(collected)
    }

    fn live(&self, lock: &ObjectLock) -> Result<Live> {
        let mut live = Live::default();
        for descriptor in self.read_index_locked(lock)?.manifests {
            live.digests.insert(descriptor.digest.clone());
            match self.read_documents(&descriptor.digest, &descriptor.media_type) {
                Ok((manifest, config)) => live.digests.extend(digests_of(&manifest, config.as_ref())),
                Err(_) => live.unknown = true,
            }
        }
        Ok(live)
    }

    /// What images refer to and running commands have leased: blobs, and layers by their diff ids.
    pub fn live_digests(&self) -> Result<HashSet<Digest>> {
        let lock = self.lock_index()?;
        let mut live = self.live(&lock)?.digests;
        live.extend(self.leased()?);
        Ok(live)
    }

    /// The diff ids of an image's layers, lowest first; none when its documents cannot be read.
    pub fn diff_ids(&self, image: &super::ImageSummary) -> Vec<Digest> {
        let descriptors = self.image_manifests(&image.manifests).unwrap_or_default();
        let configs = descriptors.iter().filter_map(|d| self.read_documents(&d.digest, &d.media_type).ok()?.1);
        configs.map(|config| config.rootfs.diff_ids).next().unwrap_or_default()
    }

    /// Everything that one image's manifest refers to: for [`Scope::Only`]. Empty when the manifest cannot be read.
    pub fn digests_of_image(&self, manifest: &crate::image::Descriptor) -> HashSet<Digest> {
        let mut all = HashSet::from([manifest.digest.clone()]);
        if let Ok((document, config)) = self.read_documents(&manifest.digest, &manifest.media_type) {
            all.extend(digests_of(&document, config.as_ref()));
        }
        all
    }

    pub(super) fn read_documents(&self, digest: &Digest, media_type: &str) -> Result<(Manifest, Option<ImageConfig>)> {
        let bytes = self.read_blob(digest, MAX_MANIFEST_BYTES)?;
        let Document::Manifest(manifest) = Document::parse(&bytes, media_type)? else {
            return Err(crate::base::Error::unsupported("an index, not an image"));
        };
        let config = self.read_blob(&manifest.config.digest, MAX_MANIFEST_BYTES);
        Ok((manifest, config.and_then(|bytes| ImageConfig::parse(&bytes)).ok()))
    }

    fn collect_blobs(&self, scope: &Scope, live: &Live, collected: &mut Collected) -> Result<()> {
        for digest in self.blob_digests()? {
            if live.digests.contains(&digest) || !scope.has(&digest) {
                continue;
            }
            let size = std::fs::metadata(self.blob_path(&digest)).map_or(0, |m| m.len());
            self.remove_blob(&digest)?;
            collected.freed += size;
            collected.blobs.push(digest);
        }
        Ok(())
    }

    fn collect_layers(&self, scope: &Scope, live: &Live, in_use: &InUse, collected: &mut Collected) -> Result<()> {
        // A damaged image's layers are unknown, so a full collection could take them for garbage. They would only be built
        // again, but that may need the network: they stay. A container without its layers is lost.
        if in_use.unknown || (live.unknown && matches!(scope, Scope::Everything)) {
            return Ok(());
        }
        for (hex, key, dir) in self.layer_dirs()? {
            let algorithm = if hex.len() == 128 { "sha512" } else { "sha256" };
            let needed = match format!("{algorithm}:{hex}").parse::<Digest>() {
                Ok(diff_id) => {
                    let wanted_map = in_use.maps.as_ref().is_none_or(|maps| maps.contains(&key));
                    live.leased.contains(&diff_id)
                        || (live.digests.contains(&diff_id) && wanted_map)
                        || !scope.has(&diff_id)
                        || in_use.layers.contains(&(diff_id, key.clone()))
                }
                Err(_) => matches!(scope, Scope::Only(_)),
            };
            if needed {
                continue;
            }
            let Some(_lock) = ObjectLock::try_acquire(&self.layer_lock(&hex, &key))? else { continue };
            let meta = layers::read_meta(&dir)?;
            let map = match &meta {
                Some(meta) => meta.map.clone(),
                None => crate::userns::default_map()?,
            };
            self.discard(&dir, &map)?;
            // Fails while the layer has other variants.
            drop(std::fs::remove_dir(dir.parent().unwrap_or(&dir)));
            collected.freed += meta.map_or(0, |m| m.size);
            collected.layers.push(hex);
        }
        Ok(())
    }

    /// Removes what processes that are gone left in `tmp/`: half-built layers, ended leases, downloads that nobody went on
    /// with for `keep_partials`, discarded trees. Waits for the index's lock only, which the caller must not have.
    pub fn sweep(&self, keep_partials: Duration) -> Result<()> {
        let leases = self.sweep_leases();
        leases.and(self.sweep_objects(keep_partials))
    }

    /// [`Store::sweep`] in a process that nobody waits for, if something is there to be swept: a look at a folder that is
    /// nearly always empty. For commands that list.
    pub fn sweep_in_background(&self) -> Result<()> {
        if self.leftovers()?.is_empty() { Ok(()) } else { self.sync_in_background(&[]) }
    }

    /// What dead processes left in `tmp/`, as far as it is the store's.
    pub fn leftovers(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for path in trash::entries(&self.paths().tmp())? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let dead = match name.split_once('-').map_or("", |(kind, _)| kind) {
                // Whoever threw it away is deleting it just now, most often.
                "trash" => is_older(&path, TRASH_LIFE),
                "layer" => !is_held(&self.paths().tmp().join(format!("{}.lock", name.trim_end_matches(".lock"))))?,
                "lease" => !is_held(&path)?,
                "blob" if name.starts_with(NEW_BLOB) => !is_held(&path)?,
                "blob" => is_older(&path, KEEP_PARTIALS) && !is_held(&path)?,
                _ => false,
            };
            if dead {
                found.push(path);
            }
        }
        Ok(found)
    }

    /// [`Store::sweep`] without the leases: waits for no lock at all.
    pub(super) fn sweep_objects(&self, keep_partials: Duration) -> Result<()> {
        let mut first = Ok(());
        for path in trash::entries(&self.paths().tmp())? {
            let swept = self.sweep_one(&path, keep_partials);
            first = first.and(swept);
        }
        first.and(self.empty_trash())
    }

    fn sweep_leases(&self) -> Result<()> {
        let is_lease = |p: &Path| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(LEASE));
        if !trash::entries(&self.paths().tmp())?.iter().any(|p| is_lease(p)) {
            return Ok(());
        }
        // Leases are made under this lock, so one that nobody holds is dead and not about to be locked.
        let _lock = self.lock_index()?;
        for path in trash::entries(&self.paths().tmp())?.into_iter().filter(|p| is_lease(p)) {
            match fsx::open(&path) {
                Ok(file) if !is_locked(&file)? => fsx::remove_file(&path)?,
                Err(e) if !e.is_missing() => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }

    fn sweep_one(&self, path: &Path, keep_partials: Duration) -> Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(TRASH) {
            Ok(())
        } else if let Some(rest) = name.strip_prefix("layer-") {
            self.sweep_build(rest.strip_suffix(".lock").unwrap_or(rest))
        } else if name.starts_with(NEW_BLOB) {
            sweep_partial(path, Duration::ZERO)
        } else if name.starts_with("blob-") {
            sweep_partial(path, keep_partials)
        } else if (name.starts_with(".new.") || name.starts_with("probe")) && is_older(path, TEMPORARY_LIFE) {
            if path.is_dir() { self.discard(path, &crate::userns::default_map()?) } else { fsx::remove_file(path) }
        } else {
            // Another module's, which sweeps its own.
            Ok(())
        }
    }

    fn sweep_build(&self, name: &str) -> Result<()> {
        let dir = self.paths().tmp().join(format!("layer-{name}"));
        let lock = self.paths().tmp().join(format!("layer-{name}.lock"));
        // Dropping the lock removes its file.
        let Some(_lock) = ObjectLock::try_acquire(&lock)? else { return Ok(()) };
        if dir.exists() { self.discard(&dir, &trash::read_map(&dir)?) } else { Ok(()) }
    }
}

fn digests_of(manifest: &Manifest, config: Option<&ImageConfig>) -> impl Iterator<Item = Digest> {
    let blobs = manifest.layers.iter().chain([&manifest.config]).map(|d| d.digest.clone()).collect::<Vec<_>>();
    let mut diff_ids = config.map(|c| c.rootfs.diff_ids.clone()).unwrap_or_default();
    diff_ids.extend(layers::derived(&diff_ids).ids());
    blobs.into_iter().chain(diff_ids)
}

fn sweep_partial(path: &Path, keep: Duration) -> Result<()> {
    if !is_older(path, keep) {
        return Ok(());
    }
    match open_locked(path, Wait::No)? {
        Some(_locked) => fsx::remove_file(path),
        None => Ok(()),
    }
}

fn is_older(path: &Path, age: Duration) -> bool {
    let modified = std::fs::symlink_metadata(path).and_then(|m| m.modified());
    modified.doing(|| "look").is_ok_and(|m| SystemTime::now().duration_since(m).is_ok_and(|d| d >= age))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::manifest::OCI_MANIFEST;
    use crate::store::{LayerMeta, LayerSlot, Provenance};
    use crate::userns::IdMap;

    fn map() -> IdMap {
        IdMap::single(nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw())
    }

    /// An image of one layer; returns the layer's diff id.
    fn image(store: &Store, name: &str) -> Digest {
        let layer = store.put_blob(name.as_bytes(), "application/vnd.oci.image.layer.v1.tar").unwrap();
        let diff_id = layer.digest.clone();
        let config = serde_json::json!({"rootfs": {"type": "layers", "diff_ids": [diff_id]}});
        let config = store.put_blob(&serde_json::to_vec(&config).unwrap(), "c").unwrap();
        let manifest = serde_json::json!({"schemaVersion": 2, "config": config, "layers": [layer]});
        let manifest = store.put_blob(&serde_json::to_vec(&manifest).unwrap(), OCI_MANIFEST).unwrap();
        store.tag_image(Some(&name.parse().unwrap()), &manifest, &Provenance::default()).unwrap();
        if let LayerSlot::Build(builder) = store.begin_layer(&diff_id, &map()).unwrap() {
            builder.commit(LayerMeta::new(diff_id.clone(), map(), 5)).unwrap();
        }
        diff_id
    }

    fn state(store: &Store) -> (usize, usize) {
        (store.blob_digests().unwrap().len(), store.layer_dirs().unwrap().len())
    }

    #[test]
    fn only_what_nobody_needs_goes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (a, b) = (image(&store, "a"), image(&store, "b"));
        let nobody = || Ok(InUse::default());
        assert_eq!(store.collect(&Scope::Everything, nobody).unwrap(), Collected::default());
        let entry = store.find_image("a").unwrap();
        let of_a = store.digests_of_image(&entry.manifest);
        store.forget_images(std::slice::from_ref(&entry.manifest.digest)).unwrap();

        let lease = store.lease(&of_a).unwrap();
        assert_eq!(store.collect(&Scope::Everything, nobody).unwrap(), Collected::default(), "leased");
        drop(lease);
        let in_use = InUse { layers: HashSet::from([(a.clone(), map().key())]), ..InUse::default() };
        let collected = store.collect(&Scope::Only(of_a), || Ok(in_use)).unwrap();
        assert_eq!((collected.blobs.len(), collected.layers.len()), (3, 0), "a container keeps the layer");
        let collected = store.collect(&Scope::Everything, nobody).unwrap();
        assert_eq!((collected.layers, collected.freed), (vec![a.hex().to_owned()], 5));
        assert_eq!(state(&store), (3, 1));
        assert!(store.layer(&b, &map()).unwrap().is_some());
        assert_eq!(std::fs::read_dir(store.paths().tmp()).unwrap().count(), 0);
    }

    #[test]
    fn objects_of_an_unreadable_image_are_not_taken_for_garbage() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        image(&store, "a");
        store.remove_blob(&store.find_image("a").unwrap().manifest.digest).unwrap();
        store.collect(&Scope::Everything, || Ok(InUse::default())).unwrap();
        assert_eq!(state(&store), (2, 1));
    }

    #[test]
    fn leftovers_go_unless_somebody_works_on_them() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let tmp = store.paths().tmp();
        let busy = store.begin_layer(&Digest::of(b"busy"), &map()).unwrap();
        std::fs::create_dir_all(tmp.join("layer-dead-one/fs/x")).unwrap();
        std::fs::write(tmp.join("layer-dead2-one.lock"), b"").unwrap();
        std::fs::write(tmp.join("blob-sha256-aa"), b"half").unwrap();
        assert!(!store.leftovers().unwrap().is_empty());
        store.sweep(KEEP_PARTIALS).unwrap();
        assert!(store.leftovers().unwrap().is_empty());
        let names = || {
            let mut names: Vec<_> =
                std::fs::read_dir(&tmp).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names().len(), 3, "{:?}", names());
        drop(busy);
        store.sweep(Duration::ZERO).unwrap();
        assert_eq!(names(), Vec::<String>::new());
    }
}
