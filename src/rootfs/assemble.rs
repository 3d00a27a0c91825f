//! From an image's layers to the folders that an overlay is mounted from.
//!
//! Layers are unpacked without knowing one another. Where that shows, one more folder on top, the **fix-up layer**, sets it
//! right:
//! - A directory that a layer had to make without being told about it would hide the lower layer's owner, mode and times
//!   (`tmp/foo` alone must not turn 1777 into 0755): the fix-up layer has that directory as the lower layer has it.
//! - A hard link to a file of a lower layer: the fix-up layer has a copy of that file.
//!
//! It is made once for each stack of layers and id map, kept in the store as a layer, and found again by
//! `store::layers::derived`. Most images need none.
//!
//! The root directory is different: overlay shows the upper folder's, which takes owner, mode and times from
//! [`Stack::root_like`].

use super::copy;
use super::flatten::{How, flatten};
use super::merged::{Found, MergedDir, Part, c_string};
use crate::base::{Doing, Error, Result};
use crate::image::Digest;
use crate::store::layers::{derived, escape, unescape};
use crate::store::{Layer, LayerBuilder, LayerMeta, LayerSlot, Store};
use crate::userns::{self, IdMap};
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat, mkdirat};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What an overlay's lower side is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// The folders, topmost first.
    pub lowers: Vec<PathBuf>,
    /// The folder whose root directory the container's root is like: the topmost layer's that says something about it.
    pub root_like: PathBuf,
}

impl Stack {
    /// The stack with what a container has changed on top.
    pub fn below(mut self, upper: PathBuf) -> Self {
        self.root_like.clone_from(&upper);
        self.lowers.insert(0, upper);
        self
    }
}

/// Puts layers (lowest first, all unpacked for `map`) together. Forks once for each new stack; call it before threads exist.
///
/// # Errors
/// `Corrupt` when a hard link's target is in no lower layer; those of the store and of the file system.
pub fn stack(store: &Store, layers: &[Layer], map: &IdMap) -> Result<Stack> {
    let stacked = try_stack(store, layers, map);
    if stacked.is_err() {
        // What was half made may fill the disk.
        drop(store.empty_trash());
    }
    stacked
}

fn try_stack(store: &Store, layers: &[Layer], map: &IdMap) -> Result<Stack> {
    // A layer that comes twice is the same folder twice, which overlay refuses, and the lower one adds nothing.
    let unique: Vec<&Layer> = layers
        .iter()
        .enumerate()
        .filter(|(i, layer)| !layers[i + 1..].iter().any(|l| l.fs == layer.fs))
        .map(|(_, l)| l)
        .collect();
    let derived = derived(&layers.iter().map(|l| l.meta.diff_id.clone()).collect::<Vec<_>>());
    let Some(lowest) = unique.first() else { return empty(store, &derived.fixup, map) };
    let names_root = |layer: &&&Layer| !layer.meta.implied_dirs.iter().any(|name| name == ROOT);
    let root_like = unique.iter().rev().find(names_root).unwrap_or(lowest).fs.clone();
    let mut lowers: Vec<PathBuf> = unique.iter().rev().map(|l| l.fs.clone()).collect();
    if let Some((id, count)) = derived.merged {
        lowers.truncate(unique.len() - count);
        lowers.push(merge(store, &id, &unique[..count], map)?);
    }
    if unique.iter().enumerate().any(|(i, layer)| needs_fixup(layer, i == 0)) {
        let fixup = fixup_layer(store, &derived.fixup, &unique, map)?;
        if !fixup.meta.implied_dirs.is_empty() {
            lowers.insert(0, fixup.fs);
        }
    }
    Ok(Stack { lowers, root_like })
}

/// An image without layers (`FROM scratch` and settings only): overlay needs a lower folder all the same.
fn empty(store: &Store, id: &Digest, map: &IdMap) -> Result<Stack> {
    let layer = match store.begin_layer(id, map)? {
        LayerSlot::Ready(layer) => layer,
        LayerSlot::Build(builder) => commit(store, builder, LayerMeta::new(id.clone(), map.clone(), 0))?,
    };
    Ok(Stack { lowers: vec![layer.fs.clone()], root_like: layer.fs })
}

/// One folder for many layers (lowest first): their own files, linked.
fn merge(store: &Store, id: &Digest, layers: &[&Layer], map: &IdMap) -> Result<PathBuf> {
    let builder = match store.begin_layer(id, map)? {
        LayerSlot::Ready(layer) => return Ok(layer.fs),
        LayerSlot::Build(builder) => builder,
    };
    let (lowers, dest): (Vec<PathBuf>, _) = (layers.iter().rev().map(|l| l.fs.clone()).collect(), builder.fs_dir());
    let root_like = &lowers[lowers.len() - 1];
    userns::run(map, || flatten(&lowers, root_like, &dest, How::Link)).doing(|| "merge the image's lowest layers")?;
    Ok(commit(store, builder, LayerMeta::new(id.clone(), map.clone(), 0))?.fs)
}

/// How records name the layer's root.
const ROOT: &str = ".";

fn needs_fixup(layer: &Layer, lowest: bool) -> bool {
    !layer.meta.pending_links.is_empty() || (!lowest && layer.meta.implied_dirs.iter().any(|name| name != ROOT))
}

/// The fix-up layer from the store, or made now. Its record lists what it holds as `implied_dirs`.
fn fixup_layer(store: &Store, id: &Digest, layers: &[&Layer], map: &IdMap) -> Result<Layer> {
    let builder = match store.begin_layer(id, map)? {
        LayerSlot::Ready(layer) => return Ok(layer),
        LayerSlot::Build(builder) => builder,
    };
    let dest = builder.fs_dir();
    let made: Made =
        userns::run(map, || Fixup::new(layers)?.make(&dest)).doing(|| "put the image's layers together")?;
    let mut meta = LayerMeta::new(id.clone(), map.clone(), made.size);
    meta.implied_dirs = made.names;
    commit(store, builder, meta)
}

/// Also has the new layer synced, and what it replaced deleted, by a process that nobody waits for.
fn commit(store: &Store, builder: LayerBuilder, meta: LayerMeta) -> Result<Layer> {
    let layer = builder.commit(meta)?;
    store.sync_in_background(&[])?;
    Ok(layer)
}

/// What the fix-up layer turned out to hold.
#[derive(Debug, Serialize, Deserialize)]
struct Made {
    names: Vec<String>,
    size: u64,
}

/// A file that is to be copied up.
#[derive(Debug, Clone)]
struct Source {
    part: Part,
    name: CString,
    stat: FileStat,
}

struct Fixup<'a> {
    layers: &'a [&'a Layer],
    /// For each layer the directories it did not name.
    implied: Vec<HashSet<Vec<u8>>>,
    merged: MergedDir,
    dirs: BTreeSet<Vec<u8>>,
    files: BTreeMap<Vec<u8>, Source>,
}

impl<'a> Fixup<'a> {
    fn new(layers: &'a [&'a Layer]) -> Result<Self> {
        raise_descriptor_limit();
        let names = |layer: &&Layer| {
            let implied = layer.meta.implied_dirs.iter().filter(|name| *name != ROOT);
            implied.map(|name| unescape(name)).collect::<Result<HashSet<_>>>()
        };
        Ok(Self {
            layers,
            implied: layers.iter().map(names).collect::<Result<_>>()?,
            merged: part_of(layers, 0, layers.len())?,
            dirs: BTreeSet::new(),
            files: BTreeMap::new(),
        })
    }

    /// Finds out what is needed and writes it into the empty folder `dest`.
    fn make(mut self, dest: &Path) -> Result<Made> {
        for name in self.implied.iter().skip(1).flatten() {
            if let Found::Dir(dir) = self.merged.walk(name)?
                && self.told_by(&dir, name) != 0
            {
                self.dirs.insert(name.clone());
            }
        }
        self.find_links()?;
        let parents: Vec<Vec<u8>> = self.dirs.iter().chain(self.files.keys()).flat_map(|name| parents(name)).collect();
        self.dirs.extend(parents);
        self.write(dest)
    }

    /// Which part of a directory knows its owner, mode and times: the topmost whose layer was told about it.
    fn told_by(&self, dir: &MergedDir, name: &[u8]) -> usize {
        let told = |part: &Part| !self.implied[part.layer].contains(name);
        dir.parts.iter().position(told).unwrap_or(dir.parts.len() - 1)
    }

    /// Resolves the links that wait, lowest layer first.
    fn find_links(&mut self) -> Result<()> {
        for (i, layer) in self.layers.iter().enumerate() {
            if layer.meta.pending_links.is_empty() {
                continue;
            }
            let (below, above) = (part_of(self.layers, 0, i + 1)?, part_of(self.layers, i + 1, self.layers.len())?);
            for link in &layer.meta.pending_links {
                let (path, target) = (unescape(&link.path)?, unescape(&link.target)?);
                let source = match below.resolve(&target)? {
                    Found::File { part, name, stat } => Some(Source { part, name, stat }),
                    // A link of a lower layer that waited too.
                    _ => self.files.get(&target).cloned(),
                };
                let source = source.ok_or_else(|| {
                    let text = format!("hard link `{}`: its target `{}` is in no lower layer", link.path, link.target);
                    Error::corrupt(text).step(format!("layer `{}`", layer.meta.diff_id))
                })?;
                match above.walk(&path)? {
                    Found::Missing { cut: false } => drop(self.files.insert(path, source)),
                    // A higher layer has put something else there, or has taken it away.
                    _ => drop(self.files.remove(&path)),
                }
            }
        }
        Ok(())
    }

    fn write(&self, dest: &Path) -> Result<Made> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let open = |name: &[u8]| -> Result<OwnedFd> {
            let path = dest.join(os(name));
            openat(AT_FDCWD, &path, flags, Mode::empty()).doing(|| format!("open `{}`", path.display()))
        };
        // Parents sort before their children.
        for name in &self.dirs {
            let (parent, last) = split(name);
            mkdirat(open(parent)?, c_string(last)?.as_c_str(), Mode::S_IRWXU)
                .doing(|| format!("create directory `{}`", escape(name)))?;
        }
        let mut copied: HashMap<(u64, u64), PathBuf> = HashMap::new();
        let mut size = 0u64;
        for (name, source) in &self.files {
            let path = dest.join(os(name));
            let (parent, last) = split(name);
            let (parent, last) = (open(parent)?, c_string(last)?);
            if let Some(first) = copied.get(&(source.stat.st_dev, source.stat.st_ino)) {
                nix::unistd::linkat(AT_FDCWD, first, &parent, last.as_c_str(), AtFlags::empty())
                    .doing(|| format!("link `{}`", path.display()))?;
                continue;
            }
            copy::file(source.part.fd.as_fd(), &source.name, &source.stat, parent.as_fd(), &last)?;
            size = size.saturating_add(source.stat.st_size.cast_unsigned());
            copied.insert((source.stat.st_dev, source.stat.st_ino), path);
        }
        // Children first: writing into a directory changes its time.
        for name in self.dirs.iter().rev() {
            let Found::Dir(dir) = self.merged.walk(name)? else { continue };
            let like = &dir.parts[self.told_by(&dir, name)].fd;
            let stat = fstat(&**like).doing(|| format!("look at `{}`", escape(name)))?;
            copy::metadata(&**like, &stat, open(name)?).doing(|| format!("set metadata of `{}`", escape(name)))?;
        }
        let names = self.dirs.iter().chain(self.files.keys()).map(|name| escape(name)).collect();
        Ok(Made { names, size })
    }
}

/// The tree of layers `from..to`.
fn part_of(layers: &[&Layer], from: usize, to: usize) -> Result<MergedDir> {
    let range = layers.iter().enumerate().take(to).skip(from).rev();
    MergedDir::root(range.map(|(i, layer)| (i, &layer.fs, layer.meta.xattr_whiteouts)))
}

fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|b| *b == b'/') {
        Some(slash) => (&name[..slash], &name[slash + 1..]),
        None => (&[], name),
    }
}

fn os(name: &[u8]) -> &OsStr {
    OsStr::from_bytes(name)
}

/// All directories above a name, without the root.
fn parents(name: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    name.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(i, _)| name[..i].to_vec())
}

/// A lookup holds a descriptor for each layer and directory on its way.
pub(super) fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Without it stacks of hundreds of layers fail, others do not.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
