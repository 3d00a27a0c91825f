//! The layer as it grows: what must be remembered from entry to entry, and what is done at the end.
//!
//! The current root of the thread is the layer's root, and the current folder is there: relative names are enough, and no
//! symlink leads out. The last component of a name is never followed; symlinks in front of it are, inside the layer, as
//! docker and GNU tar do.
//!
//! Names here are cleaned (`name::clean`): the root is the empty name.

use super::limits::Limits;
use super::metadata::{Owners, Warnings, time};
use super::name;
use super::report::{TrueStat, WhiteoutForm};
use super::whiteout::{AUFS_LINKS, Whiteouts};
use crate::base::{Doing, Error, Kind, Result};
use crate::store::layers::{PendingLink, escape};
use crate::sys::{tree, xattr};
use crate::userns::IdMap;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags, fchmod, fstatat, mkdirat, utimensat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};
use std::collections::{BTreeMap, BTreeSet};

/// The mode of directories that the archive does not name.
const IMPLIED_MODE: Mode = Mode::from_bits_truncate(0o755);
/// How many symlinks to directories that do not exist yet may follow one another, as the kernel has it (path_resolution(7)).
const MAX_LINKS: u32 = 40;

/// What a directory gets at the end, when nothing more is written into it.
#[derive(Debug)]
pub(super) struct DirFinish {
    pub(super) mtime: (i64, u32),
    /// The whole mode, if mkdir(2) could not give it: set-gid would make entries inherit the group.
    pub(super) mode: Option<u32>,
    /// Entries would inherit it.
    pub(super) default_acl: Option<Vec<u8>>,
}

/// A layer being written.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    pub(super) owners: Owners<'a>,
    pub(super) limits: &'a Limits,
    pub(super) warnings: Warnings,
    pub(super) whiteouts: Whiteouts,
    dirs: BTreeMap<Vec<u8>, DirFinish>,
    implied: BTreeSet<Vec<u8>>,
    /// Link to target.
    pending: BTreeMap<Vec<u8>, Vec<u8>>,
    true_stats: BTreeMap<Vec<u8>, TrueStat>,
    /// Bytes of all names above.
    remembered: usize,
    /// Bytes of all files, each inode once.
    size: u64,
}

/// What a layer turned out to be.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) size: u64,
    pub(super) implied_dirs: Vec<String>,
    pub(super) pending_links: Vec<PendingLink>,
    pub(super) true_stats: Vec<TrueStat>,
    pub(super) whiteouts: WhiteoutForm,
    pub(super) warnings: Vec<String>,
}

pub(super) fn lstat(name: &[u8]) -> nix::Result<FileStat> {
    fstatat(AT_FDCWD, name::path(name), AtFlags::AT_SYMLINK_NOFOLLOW)
}

pub(super) fn is_dir(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR
}

impl<'a> Layer<'a> {
    /// Starts with the empty current root.
    pub(super) fn new(map: &'a IdMap, limits: &'a Limits) -> Result<Self> {
        reset_root()?;
        Ok(Self {
            owners: Owners::new(map),
            limits,
            warnings: Warnings::default(),
            whiteouts: Whiteouts::default(),
            dirs: BTreeMap::new(),
            implied: BTreeSet::from([Vec::new()]),
            pending: BTreeMap::new(),
            true_stats: BTreeMap::new(),
            remembered: 0,
            size: 0,
        })
    }

    /// Bounds what a hostile archive can make this process remember.
    pub(super) fn remember(&mut self, name: &[u8]) -> Result<()> {
        // 64: what a map's entry costs beside the name.
        self.remembered += name.len() + 64;
        if self.remembered > self.limits.max_remembered {
            return Err(Error::new(Kind::Denied, "layer has too many names to remember"));
        }
        Ok(())
    }

    /// Counts a new file's bytes.
    pub(super) fn count(&mut self, bytes: u64) -> Result<()> {
        self.size = self.size.saturating_add(bytes);
        if self.size > self.limits.max_bytes {
            let text = format!("files of the layer have more than {} bytes", self.limits.max_bytes);
            return Err(Error::new(Kind::Denied, text));
        }
        Ok(())
    }

    /// Runs `create`, which makes `name` and fails if it exists, after making room and parents as far as needed.
    pub(super) fn create<T>(&mut self, name: &[u8], mut create: impl FnMut() -> nix::Result<T>) -> Result<T> {
        let mut tries = 0;
        loop {
            tries += 1;
            match create() {
                Ok(made) => return Ok(made),
                Err(Errno::EEXIST) if tries < 4 => self.clear(name)?,
                Err(Errno::ENOENT) if tries < 4 => self.make_parents(name)?,
                Err(Errno::ENOTDIR) => return Err(Error::corrupt("a parent of it is not a directory")),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Removes whatever has this name, so that another entry can take it.
    pub(super) fn clear(&mut self, name: &[u8]) -> Result<()> {
        let stat = match lstat(name) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Ok(()),
            Err(e) => return Err(e).doing(|| "examine what is in its place"),
        };
        if is_dir(&stat) {
            tree::remove(AT_FDCWD, name).doing(|| "remove the directory in its place")?;
            self.forget_below(name);
        } else {
            unlinkat(AT_FDCWD, name, UnlinkatFlags::NoRemoveDir).doing(|| "remove the file in its place")?;
            if stat.st_nlink == 1 {
                self.size = self.size.saturating_sub(stat.st_size.cast_unsigned());
            }
        }
        self.forget(name);
        Ok(())
    }

    fn forget(&mut self, name: &[u8]) {
        self.dirs.remove(name);
        self.implied.remove(name);
        self.pending.remove(name);
        self.true_stats.remove(name);
    }

    fn forget_below(&mut self, name: &[u8]) {
        let first = [name, b"/"].concat();
        // `0` follows `/`: all names below start with `first` and sort before this.
        let after = [name, b"0"].concat();
        let inside = |key: &Vec<u8>| *key >= first && *key < after;
        self.implied.retain(|key| !inside(key));
        self.dirs.retain(|key, _| !inside(key));
        self.pending.retain(|key, _| !inside(key));
        self.true_stats.retain(|key, _| !inside(key));
    }

    /// Makes the missing directories above `name`.
    pub(super) fn make_parents(&mut self, name: &[u8]) -> Result<()> {
        self.make_dirs(name::split(name).0, MAX_LINKS)
    }

    fn make_dirs(&mut self, dir: &[u8], links_left: u32) -> Result<()> {
        let ends = (0..dir.len()).filter(|i| dir[*i] == b'/').chain([dir.len()]).filter(|end| *end > 0);
        for end in ends {
            let part = &dir[..end];
            match mkdirat(AT_FDCWD, part, IMPLIED_MODE) {
                Ok(()) => self.imply(part)?,
                Err(Errno::EEXIST) => self.pass_link(part, links_left)?,
                Err(Errno::ENOTDIR) => return Err(Error::corrupt("a parent of it is not a directory")),
                Err(e) => return Err(e).doing(|| format!("create directory `{}`", name::show(part))),
            }
        }
        Ok(())
    }

    /// A symlink whose target is not there yet, on the way to an entry: its target is made.
    fn pass_link(&mut self, link: &[u8], links_left: u32) -> Result<()> {
        match fstatat(AT_FDCWD, link, AtFlags::empty()) {
            Ok(_) => return Ok(()),
            Err(Errno::ENOENT) if links_left > 0 => {}
            Err(e) => return Err(e).doing(|| format!("look up `{}`", name::show(link))),
        }
        let target = nix::fcntl::readlink(link).doing(|| format!("read link `{}`", name::show(link)))?;
        let target = target.as_encoded_bytes();
        let whole =
            if target.starts_with(b"/") { target.to_vec() } else { [name::split(link).0, b"/", target].concat() };
        let whole = name::clean(&whole, self.limits)?;
        self.make_dirs(&whole, links_left - 1)
    }

    /// Remembers a directory just made that the archive has not named.
    fn imply(&mut self, part: &[u8]) -> Result<()> {
        // A symlink may lie on the way: the record names the directory itself.
        let real = std::fs::canonicalize(super::entry::os(part));
        let real = real.map_or_else(|_| part.to_vec(), |p| p.as_os_str().as_encoded_bytes()[1..].to_vec());
        self.pending.remove(&real);
        self.remember(&real)?;
        self.implied.insert(real);
        Ok(())
    }

    /// Remembers what the directory `name`, named by the archive, gets at the end.
    pub(super) fn finish_dir_later(&mut self, name: &[u8], finish: DirFinish) -> Result<()> {
        self.implied.remove(name);
        self.remember(name)?;
        self.dirs.insert(name.to_vec(), finish);
        Ok(())
    }

    /// Remembers what could not be applied to `name`.
    pub(super) fn remember_true_stat(&mut self, name: &[u8], stat: Option<TrueStat>) -> Result<()> {
        let Some(stat) = stat else { return Ok(()) };
        self.remember(name)?;
        self.remember(name)?;
        self.true_stats.insert(name.to_vec(), stat);
        Ok(())
    }

    /// A hard link has been made: it is the same file, so the same was not applied to it.
    pub(super) fn share_true_stat(&mut self, target: &[u8], link: &[u8]) -> Result<()> {
        let path = escape(link);
        let shared = self.true_stats.get(target).map(|stat| TrueStat { path, ..stat.clone() });
        self.remember_true_stat(link, shared)
    }

    /// Remembers a hard link whose target is not in this layer.
    pub(super) fn link_later(&mut self, link: &[u8], target: &[u8]) -> Result<()> {
        // A link to such a link is one to its target.
        let target = self.pending.get(target).map_or(target, |t| &t[..]).to_vec();
        if target == link {
            return Err(Error::corrupt("hard link to itself"));
        }
        self.remember(link)?;
        self.remember(&target)?;
        self.pending.insert(link.to_vec(), target);
        Ok(())
    }

    /// Writes what had to wait: links to entries that came later, whiteouts, modes and times of directories.
    pub(super) fn finish(mut self) -> Result<Outcome> {
        match tree::remove(AT_FDCWD, AUFS_LINKS) {
            Err(e) if !e.is_missing() => return Err(e.step("remove AUFS's folder of links")),
            Err(_) => {}
            Ok(()) => self.forget_below(AUFS_LINKS),
        }
        self.forget(AUFS_LINKS);
        let pending = std::mem::take(&mut self.pending);
        for (link, target) in pending {
            if linkat(AT_FDCWD, &target[..], AT_FDCWD, &link[..], AtFlags::empty()).is_err() {
                self.pending.insert(link, target);
            }
        }
        self.make_whiteout_parents()?;
        let whiteouts = std::mem::take(&mut self.whiteouts).write(&mut self.warnings)?;
        for (name, finish) in &self.dirs {
            finish_dir(name, finish).doing(|| format!("finish directory `{}`", name::show(name)))?;
        }
        let link = |(path, target): (Vec<u8>, Vec<u8>)| PendingLink { path: escape(&path), target: escape(&target) };
        Ok(Outcome {
            size: self.size,
            implied_dirs: self.implied.iter().map(|name| escape(name::path(name))).collect(),
            pending_links: self.pending.into_iter().map(link).collect(),
            true_stats: self.true_stats.into_values().collect(),
            whiteouts,
            warnings: self.warnings.sentences(),
        })
    }

    fn make_whiteout_parents(&mut self) -> Result<()> {
        let parents = self.whiteouts.hidden.iter().map(|n| name::split(n).0);
        let wanted: BTreeSet<Vec<u8>> =
            parents.chain(self.whiteouts.opaque.iter().map(|n| &n[..])).map(<[u8]>::to_vec).collect();
        for dir in wanted {
            match fstatat(AT_FDCWD, name::path(&dir), AtFlags::empty()) {
                // A file of the layer where the directory should be hides the lower one as it is.
                Ok(_) | Err(Errno::ENOTDIR) => {}
                Err(Errno::ENOENT) => match self.make_dirs(&dir, MAX_LINKS) {
                    Err(e) if e.kind() == Kind::Corrupt => self.warnings.add("whiteouts have no place", None),
                    other => other.doing(|| format!("make room for whiteouts in `{}`", name::show(&dir)))?,
                },
                Err(e) => return Err(e).doing(|| format!("look up `{}`", name::show(&dir))),
            }
        }
        Ok(())
    }
}

fn finish_dir(name: &[u8], finish: &DirFinish) -> nix::Result<()> {
    if finish.mode.is_some() || finish.default_acl.is_some() {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let dir = match nix::fcntl::openat(AT_FDCWD, name::path(name), flags, Mode::empty()) {
            // Reached by another name, it has been replaced since.
            Err(Errno::ENOTDIR | Errno::ELOOP | Errno::ENOENT) => return Ok(()),
            other => other?,
        };
        if let Some(acl) = &finish.default_acl {
            // A file system without ACLs has none to inherit either.
            let _ = xattr::set(&dir, b"system.posix_acl_default", acl);
        }
        if let Some(mode) = finish.mode {
            fchmod(&dir, Mode::from_bits_truncate(mode))?;
        }
    }
    let when = time(finish.mtime);
    match utimensat(AT_FDCWD, name::path(name), &when, &when, UtimensatFlags::NoFollowSymlink) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(()),
        other => other,
    }
}

/// Takes from the layer's root what it may have inherited from the folder it was made in: another group and set-gid, ACLs.
/// Everything made below it would inherit them again.
fn reset_root() -> Result<()> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let doing = || "prepare the layer's root";
    let root = nix::fcntl::openat(AT_FDCWD, ".", flags, Mode::empty()).doing(doing)?;
    for acl in [&b"system.posix_acl_default"[..], b"system.posix_acl_access"] {
        match xattr::remove(&root, acl) {
            Ok(()) | Err(Errno::ENOTSUP) => {}
            Err(e) => return Err(e).doing(doing),
        }
    }
    nix::unistd::fchown(&root, Some(0.into()), Some(0.into())).doing(doing)?;
    fchmod(&root, IMPLIED_MODE).doing(doing)
}
