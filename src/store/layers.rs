//! Unpacked layers: `layers/<hex of the diff id>/<map>/{fs,layer.json}`, one folder for each layer and id map, shared by all
//! images and containers that have both.
//!
//! A layer is built in `tmp/layer-<hex>-<map>/` under its lock and renamed when it is whole. `layer.json` carries what the
//! folder cannot: the map, what is left to do when layers are stacked, and where and when it was made (see the module's page
//! on power cuts). A layer whose `layer.json` is missing, damaged or for something else is no layer, and built again.

use super::lock::ObjectLock;
use super::{Store, trash};
use crate::base::fsx::{self, Durability};
use crate::base::{Error, Result};
use crate::image::Digest;
use crate::sys::machine::Origin;
use crate::userns::IdMap;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The version of `layer.json` and of the folder's form that this runr makes; any other is built again.
pub const VERSION: u32 = 1;

/// An unpacked layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The layer's root.
    pub fs: PathBuf,
    /// What `layer.json` says.
    pub meta: LayerMeta,
}

/// `layer.json`. Paths in it are relative to the layer's root and escaped by [`escape`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerMeta {
    /// [`VERSION`].
    pub version: u32,
    /// The digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Whose owners the files have.
    pub map: IdMap,
    /// Bytes as docker counts them.
    pub size: u64,
    /// Folders that the archive did not name: at assembly they take the lower layers' mode, owner and times.
    #[serde(default)]
    pub implied_dirs: Vec<String>,
    /// Hard links whose target lies in a lower layer.
    #[serde(default)]
    pub pending_links: Vec<PendingLink>,
    /// Its whiteouts are attributes instead of devices (see `unpack::WhiteoutForm`).
    #[serde(default)]
    pub xattr_whiteouts: bool,
    /// What files should have been where that could not be applied stands in `owners.json` beside `fs`.
    #[serde(default)]
    pub has_true_stats: bool,
    /// Where and when it was made.
    pub origin: Origin,
    /// True when it is known to be on disk.
    pub synced: bool,
}

/// A hard link that could not be made because its target is not in the layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingLink {
    /// The link's path.
    pub path: String,
    /// The path it links to.
    pub target: String,
}

/// The kernel takes no more lower folders in one overlay (OVL_MAX_STACK).
pub const MAX_LOWERS: usize = 500;

/// The layers that `rootfs::assemble` may make for a stack: their names, in place of a diff id. They are kept as long as the
/// stack is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// Lies on top and sets right what the layers could not know of one another.
    pub fixup: Digest,
    /// Stands for the lowest ones where there are too many: its name, and for how many (each counted once).
    pub merged: Option<(Digest, usize)>,
}

/// What may be made for a stack of layers, lowest first.
pub fn derived(diff_ids: &[Digest]) -> Derived {
    // A layer that comes again higher up counts there only.
    let unique: Vec<&Digest> =
        diff_ids.iter().enumerate().filter(|(i, id)| !diff_ids[i + 1..].contains(id)).map(|(_, id)| id).collect();
    let name = |what: &str, ids: &[&Digest]| {
        let lines: String = ids.iter().map(|id| format!("{id}\n")).collect();
        Digest::of(format!("runr {what}, version 1\n{lines}").as_bytes())
    };
    // One place is for the merged layer, one for the fix-up layer.
    let merged = (unique.len() >= MAX_LOWERS).then(|| unique.len() - (MAX_LOWERS - 2));
    Derived {
        fixup: name("fix-up layer", &unique),
        merged: merged.map(|count| (name("merged layers", &unique[..count]), count)),
    }
}

impl Derived {
    /// All names.
    pub fn ids(self) -> impl Iterator<Item = Digest> {
        [Some(self.fixup), self.merged.map(|m| m.0)].into_iter().flatten()
    }
}

/// What [`Store::begin_layer`] found.
#[derive(Debug)]
pub enum LayerSlot {
    /// The layer is there.
    Ready(Layer),
    /// It has to be built; nobody else can meanwhile.
    Build(LayerBuilder),
}

/// A layer being built, and its lock. Dropped without [`LayerBuilder::commit`] it is discarded.
#[derive(Debug)]
pub struct LayerBuilder {
    store: Store,
    diff_id: Digest,
    map: IdMap,
    dir: PathBuf,
    committed: bool,
    _lock: ObjectLock,
}

impl LayerMeta {
    /// The facts of a layer just unpacked; [`LayerBuilder::commit`] fills in the rest.
    pub fn new(diff_id: Digest, map: IdMap, size: u64) -> Self {
        Self {
            version: VERSION,
            diff_id,
            map,
            size,
            implied_dirs: Vec::new(),
            pending_links: Vec::new(),
            xattr_whiteouts: false,
            has_true_stats: false,
            origin: Origin::here(),
            synced: false,
        }
    }
}

impl Store {
    pub(super) fn layer_dir(&self, diff_id: &Digest, map_key: &str) -> PathBuf {
        self.paths().layers().join(diff_id.hex()).join(map_key)
    }

    pub(super) fn layer_lock(&self, diff_id: &str, map_key: &str) -> PathBuf {
        self.paths().tmp().join(format!("layer-{diff_id}-{map_key}.lock"))
    }

    fn layer_build_dir(&self, diff_id: &str, map_key: &str) -> PathBuf {
        self.paths().tmp().join(format!("layer-{diff_id}-{map_key}"))
    }

    /// The layer for this map, if it is there and can be relied on.
    pub fn layer(&self, diff_id: &Digest, map: &IdMap) -> Result<Option<Layer>> {
        let dir = self.layer_dir(diff_id, &map.key());
        let Some(meta) = read_meta(&dir)? else { return Ok(None) };
        let usable = meta.version == VERSION
            && meta.diff_id == *diff_id
            && meta.map.key() == map.key()
            && (meta.synced || !meta.origin.is_before_boot_of(self.origin()));
        let fs = dir.join("fs");
        Ok((usable && fs.is_dir()).then_some(Layer { fs, meta }))
    }

    /// True while somebody else builds the layer, so that [`Store::begin_layer`] would wait.
    pub fn is_layer_busy(&self, diff_id: &Digest, map: &IdMap) -> Result<bool> {
        super::lock::is_held(&self.layer_lock(diff_id.hex(), &map.key()))
    }

    /// The process that builds the layer, while one does.
    pub fn layer_builder(&self, diff_id: &Digest, map: &IdMap) -> Option<i32> {
        let lock = self.layer_lock(diff_id.hex(), &map.key());
        std::fs::read_to_string(lock).ok()?.trim().parse().ok()
    }

    /// The layer, or the place to build it: waits while another process or thread builds it.
    pub fn begin_layer(&self, diff_id: &Digest, map: &IdMap) -> Result<LayerSlot> {
        if let Some(layer) = self.layer(diff_id, map)? {
            return Ok(LayerSlot::Ready(layer));
        }
        self.check_writable()?;
        let lock = ObjectLock::acquire(&self.layer_lock(diff_id.hex(), &map.key()))?;
        if let Some(layer) = self.layer(diff_id, map)? {
            return Ok(LayerSlot::Ready(layer));
        }
        self.build(diff_id, map, lock).map(LayerSlot::Build)
    }

    /// A place to unpack a layer once more, to compare it with the one that is there: what is begun here is not committed.
    pub fn begin_copy(&self, diff_id: &Digest, map: &IdMap) -> Result<LayerBuilder> {
        self.check_writable()?;
        let lock = ObjectLock::acquire(&self.layer_lock(diff_id.hex(), &map.key()))?;
        self.build(diff_id, map, lock)
    }

    fn build(&self, diff_id: &Digest, map: &IdMap, lock: ObjectLock) -> Result<LayerBuilder> {
        let key = map.key();
        // For those who wait; a full disk is no reason not to build.
        drop(lock.file().set_len(0).and_then(|()| write!(lock.file(), "{}", std::process::id())));
        let dir = self.layer_build_dir(diff_id.hex(), &key);
        // Left by a builder that was killed: the lock was free.
        self.discard(&dir, map)?;
        fsx::create_dir(&dir, 0o700)?;
        trash::write_map(&dir, map)?;
        fsx::create_dir(&dir.join("fs"), 0o755)?;
        let (store, diff_id, map) = (self.clone(), diff_id.clone(), map.clone());
        Ok(LayerBuilder { store, diff_id, map, dir, committed: false, _lock: lock })
    }

    /// Every layer folder: its diff id's hex digits, its map's key, its path. Damaged ones are among them.
    pub(super) fn layer_dirs(&self) -> Result<Vec<(String, String, PathBuf)>> {
        let mut found = Vec::new();
        let name = |p: &Path| p.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for layer in trash::entries(&self.paths().layers())? {
            for variant in trash::entries(&layer)? {
                found.push((name(&layer), name(&variant), variant));
            }
        }
        Ok(found)
    }

    /// Bytes of all unpacked layers of these diff ids, whatever their map; each counted once.
    pub fn layer_size(&self, diff_id: &Digest) -> Option<u64> {
        let variants = trash::entries(&self.paths().layers().join(diff_id.hex())).ok()?;
        variants.iter().find_map(|dir| Some(read_meta(dir).ok()??.size))
    }
}

/// Reads a layer's `layer.json`: `None` when it is missing or cannot be understood.
pub(super) fn read_meta(dir: &Path) -> Result<Option<LayerMeta>> {
    let bytes = fsx::read_optional(&dir.join("layer.json"))?;
    Ok(bytes.and_then(|b| serde_json::from_slice::<LayerMeta>(&b).ok()).filter(|m| m.map.validate().is_ok()))
}

pub(super) fn write_meta(dir: &Path, meta: &LayerMeta, durability: Durability) -> Result<()> {
    fsx::write_atomic(&dir.join("layer.json"), &serde_json::to_vec(meta)?, durability)
}

impl LayerBuilder {
    /// The empty folder to unpack into. It belongs to the user: container root by every map.
    pub fn fs_dir(&self) -> PathBuf {
        self.dir.join("fs")
    }

    /// The folder around it, where a side-car file may lie.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The diff id that the layer must turn out to have.
    pub fn diff_id(&self) -> &Digest {
        &self.diff_id
    }

    /// Makes the layer visible. The caller has compared the diff id of what it unpacked; `meta.diff_id` is that one.
    ///
    /// Errors: `Corrupt` when it is another diff id than was begun.
    pub fn commit(mut self, mut meta: LayerMeta) -> Result<Layer> {
        if meta.diff_id != self.diff_id {
            return Err(Error::corrupt(format!(
                "layer unpacks to `{}`, the image's config says `{}`",
                meta.diff_id, self.diff_id
            )));
        }
        meta.version = VERSION;
        meta.map = self.map.clone();
        meta.origin = self.store.origin().clone();
        meta.synced = false;
        write_meta(&self.dir, &meta, Durability::Cached)?;
        trash::remove_map(&self.dir)?;
        let target = self.store.layer_dir(&self.diff_id, &self.map.key());
        // A layer that could not be relied on; a container that still uses it keeps its files until it ends.
        self.store.discard(&target, &self.map)?;
        loop {
            fsx::ensure_dir_all(target.parent().unwrap_or(&target), 0o755)?;
            match fsx::rename(&self.dir, &target) {
                // Garbage collection removed the empty parent in between.
                Err(e) if e.is_missing() && self.dir.exists() => {}
                other => break other?,
            }
        }
        self.committed = true;
        Ok(Layer { fs: target.join("fs"), meta })
    }
}

impl Drop for LayerBuilder {
    fn drop(&mut self) {
        if !self.committed {
            // What cannot be discarded now is swept later.
            drop(self.store.discard(&self.dir, &self.map));
        }
    }
}

/// Any file name as a JSON string: bytes that are not UTF-8, and backslashes, as `\xNN`.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' { text.push_str("\\x5c") } else { text.push(c) }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The bytes that [`escape`] was given.
pub fn unescape(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let digits = rest.get(at..at + 4).and_then(|s| s.strip_prefix("\\x"));
        let byte = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
        bytes.push(byte.ok_or_else(|| Error::corrupt(format!("invalid escape in `{text}`")))?);
        rest = &rest[at + 4..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map() -> IdMap {
        IdMap::single(nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw())
    }

    fn build(store: &Store, diff_id: &Digest) -> Layer {
        match store.begin_layer(diff_id, &map()).unwrap() {
            LayerSlot::Build(builder) => {
                std::fs::write(builder.fs_dir().join("file"), b"x").unwrap();
                builder.commit(LayerMeta::new(diff_id.clone(), map(), 1)).unwrap()
            }
            LayerSlot::Ready(_) => panic!("ready"),
        }
    }

    #[test]
    fn a_layer_is_built_once_for_each_map() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let id = Digest::of(b"layer");
        assert_eq!(store.layer(&id, &map()).unwrap(), None);
        let layer = build(&store, &id);
        assert_eq!(store.layer(&id, &map()).unwrap().as_ref(), Some(&layer));
        assert!(matches!(store.begin_layer(&id, &map()).unwrap(), LayerSlot::Ready(l) if l == layer));
        let mut other = map();
        other.uids.push(crate::userns::IdRange { inside: 1, outside: 100_000, count: 9 });
        assert!(store.layer(&id, &other).unwrap().is_none());
        assert_eq!(std::fs::read_dir(store.paths().tmp()).unwrap().count(), 0);
    }

    #[test]
    fn what_cannot_be_relied_on_is_built_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let id = Digest::of(b"layer");
        let layer = build(&store, &id);
        let file = layer.fs.parent().unwrap().join("layer.json");
        let changed = |change: &dyn Fn(&mut LayerMeta)| {
            let mut meta = layer.meta.clone();
            change(&mut meta);
            serde_json::to_vec(&meta).unwrap()
        };
        let cases: [(&str, Vec<u8>, bool); 7] = [
            ("empty", Vec::new(), false),
            ("torn", b"{\"version\":1".to_vec(), false),
            ("other version", changed(&|m| m.version = 2), false),
            ("unsynced, earlier boot", changed(&|m| m.origin.boot = "before".into()), false),
            ("synced, earlier boot", changed(&|m| (m.origin.boot, m.synced) = ("before".into(), true)), true),
            ("another machine's", changed(&|m| m.origin = Origin { machine: "x".into(), boot: "y".into() }), true),
            ("as it was", changed(&|_| ()), true),
        ];
        for (what, bytes, usable) in cases {
            std::fs::write(&file, bytes).unwrap();
            assert_eq!(store.layer(&id, &map()).unwrap().is_some(), usable, "{what}");
            if !usable {
                build(&store, &id);
                assert!(store.layer(&id, &map()).unwrap().is_some(), "{what}");
            }
        }
    }

    #[test]
    fn an_abandoned_build_leaves_nothing_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let id = Digest::of(b"layer");
        drop(store.begin_layer(&id, &map()).unwrap());
        let LayerSlot::Build(wrong) = store.begin_layer(&id, &map()).unwrap() else { panic!() };
        let e = wrong.commit(LayerMeta::new(Digest::of(b"other"), map(), 0)).unwrap_err();
        assert!(e.to_string().contains("config says"), "{e}");
        // Killed in the middle: the folder stays, the lock is free.
        let killed = store.layer_build_dir(id.hex(), "one");
        std::fs::create_dir_all(killed.join("fs/half")).unwrap();
        build(&store, &id);
        store.empty_trash().unwrap();
        assert_eq!(std::fs::read_dir(store.paths().tmp()).unwrap().count(), 0);
    }

    proptest! {
        #[test]
        fn any_name_survives_escaping(bytes: Vec<u8>) {
            prop_assert_eq!(unescape(&escape(&bytes)).unwrap(), bytes);
        }
    }
}
