//! An archive into a tree that is there already, as `docker cp` does: entries are merged with what exists, nothing else is
//! touched, and names like `.wh.x` mean nothing.
//!
//! The archive is hostile, and so is whoever else works in the tree meanwhile. No path is walked by the process itself: the
//! parent of each entry is opened by openat2(2), either below the destination without following any symlink, or as a path in
//! the container's root, where symlinks lead to other places of that same root; the last component is never followed.
//!
//! Works with the rights of whoever calls: for a container's files, inside its user namespace.

use super::archive::{Archive, Entry, EntryKind};
use super::entry::content;
use super::limits::Limits;
use super::metadata::{Warnings, set_xattrs, time};
use super::name;
use super::stream::Stream;
use crate::base::{Doing, Error, Kind, Result};
use crate::sys::fs::open_in_root;
use crate::sys::tree;
use crate::userns::IdMap;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags, fchmod, fstatat, futimens, mkdirat, mknodat, utimensat};
use nix::unistd::{UnlinkatFlags, fchown, fchownat, linkat, symlinkat, unlinkat};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Where the entries go.
#[derive(Debug)]
pub struct Destination {
    /// An existing directory.
    pub dir: OwnedFd,
    /// The container's root, and the path of `dir` in it. Without it symlinks below `dir` are not followed.
    pub within: Option<(OwnedFd, Vec<u8>)>,
}

/// What an entry's name becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rename {
    /// It stays.
    Keep,
    /// The first component becomes this one.
    First(Vec<u8>),
    /// This one is put in front: what is in the archive becomes the content of this directory.
    Below(Vec<u8>),
}

/// Whose the files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The process's own user and group.
    Caller,
    /// Root's of the namespace.
    Root,
    /// As the archive says, in ids of this process's namespace.
    Archive,
    /// As the archive says in ids of the host; ids that the namespace does not have become root.
    Host(IdMap),
}

/// How an archive is written.
#[derive(Debug)]
pub struct ExtractOptions {
    /// What becomes of names.
    pub rename: Rename,
    /// Whose files they become.
    pub owner: Owner,
    /// A directory may replace a file, and the reverse.
    pub overwrite: bool,
    /// They become files of the user's own on the host: no set-id bits, no capabilities, no devices.
    pub defuse: bool,
    /// Bounds for the archive.
    pub limits: Limits,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Extracted {
    /// Entries written.
    pub entries: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// What was left out.
    pub warnings: Vec<String>,
}

/// An archive whose first entry has been looked at: what it is decides where it goes.
pub struct Incoming<'a> {
    archive: Archive<'a>,
    first: Option<Entry>,
}

impl<'a> Incoming<'a> {
    /// Reads as far as the first entry. `packed_here` is what [`super::pack`] writes; anything else may be compressed.
    pub fn new(input: impl Read + 'a, packed_here: bool, limits: &'a Limits) -> Result<Self> {
        let stream = if packed_here { Stream::plain(input, limits) } else { Stream::new(input, limits)? };
        let mut archive = Archive::new(stream, limits);
        let first = archive.next()?;
        Ok(Self { archive, first })
    }

    /// Whether the first entry is a directory; `None` for an archive without entries.
    pub fn starts_with_directory(&self) -> Option<bool> {
        self.first.as_ref().map(|entry| entry.kind == EntryKind::Directory)
    }

    /// Writes all entries.
    ///
    /// # Errors
    /// `Conflict` when a directory and a file would replace one another, `Corrupt` for names that lead outside and damaged
    /// archives; what was written stays.
    pub fn extract(mut self, destination: &Destination, options: &ExtractOptions) -> Result<Extracted> {
        let mut writer = Writer {
            destination,
            options,
            parent: None,
            dirs: Vec::new(),
            warnings: Warnings::default(),
            done: Extracted::default(),
        };
        let mut next = self.first.take();
        while let Some(entry) = next {
            if writer.done.entries >= options.limits.max_entries {
                return Err(Error::new(Kind::Denied, "archive has too many entries"));
            }
            writer.entry(&entry, &mut self.archive).doing(|| format!("copy `{}`", name::show(&entry.name)))?;
            next = self.archive.next()?;
        }
        // To the end of the stream: its writer must not get EPIPE for the padding.
        self.archive.drain()?;
        writer.finish()
    }
}

/// A directory that gets its mode and time when nothing more is written into it.
struct Dir {
    name: Vec<u8>,
    mode: u32,
    mtime: (i64, u32),
}

struct Writer<'a> {
    destination: &'a Destination,
    options: &'a ExtractOptions,
    /// The parent of the last entry, by name.
    parent: Option<(Vec<u8>, OwnedFd)>,
    dirs: Vec<Dir>,
    warnings: Warnings,
    done: Extracted,
}

fn c_string(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| Error::corrupt("a name contains a NUL byte"))
}

fn is_dir(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR
}

fn lstat(parent: BorrowedFd<'_>, name: &CString) -> Result<Option<FileStat>> {
    match fstatat(parent, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT) => Ok(None),
        Err(e) => Err(e).doing(|| "look at what is in its place"),
    }
}

impl Writer<'_> {
    /// An entry's name below the destination; the destination itself is the empty name.
    fn renamed(&self, raw: &[u8]) -> Result<Vec<u8>> {
        let clean = name::clean(raw, &self.options.limits)?;
        Ok(match &self.options.rename {
            Rename::Keep => clean,
            Rename::First(new) => match clean.iter().position(|b| *b == b'/') {
                Some(slash) => [new, &clean[slash..]].concat(),
                None => new.clone(),
            },
            Rename::Below(dir) if clean.is_empty() => dir.clone(),
            Rename::Below(dir) => [dir, &b"/"[..], &clean].concat(),
        })
    }

    fn entry(&mut self, entry: &Entry, archive: &mut Archive<'_>) -> Result<()> {
        let name = self.renamed(&entry.name)?;
        self.done.entries += 1;
        if name.is_empty() {
            // The destination itself: it is there and stays as it is.
            return if entry.kind == EntryKind::Directory {
                Ok(())
            } else {
                Err(Error::corrupt("the archive's root is not a directory"))
            };
        }
        let (dir, last) = name::split(&name);
        let last = c_string(last)?;
        let parent = self.open_parent(dir)?;
        let written = self.write(parent.as_fd(), &last, &name, entry, archive);
        self.parent = Some((dir.to_vec(), parent));
        written
    }

    fn write(
        &mut self,
        parent: BorrowedFd<'_>,
        last: &CString,
        name: &[u8],
        entry: &Entry,
        archive: &mut Archive<'_>,
    ) -> Result<()> {
        match entry.kind {
            EntryKind::Directory => self.directory(parent, last, name, entry),
            EntryKind::File => self.file(parent, last, name, entry, archive),
            EntryKind::CharDevice | EntryKind::BlockDevice => {
                self.warnings.add("devices were left out", None);
                Ok(())
            }
            EntryKind::Fifo => {
                self.clear(parent, last, name)?;
                mknodat(parent, last.as_c_str(), SFlag::S_IFIFO, Mode::from_bits_truncate(entry.mode & 0o777), 0)
                    .doing(|| "create fifo")?;
                self.set_by_name(parent, last, entry)
            }
            EntryKind::Symlink => {
                if entry.link.is_empty() || entry.link.contains(&0) {
                    return Err(Error::corrupt("symlink without a target"));
                }
                self.clear(parent, last, name)?;
                symlinkat(OsStr::from_bytes(&entry.link), parent, last.as_c_str()).doing(|| "create symlink")?;
                self.set_by_name(parent, last, entry)
            }
            EntryKind::HardLink => self.hard_link(parent, last, name, entry),
        }
    }

    /// Opens the directory of this name, making what is missing of it.
    fn open_parent(&mut self, name: &[u8]) -> Result<OwnedFd> {
        if let Some((known, fd)) = self.parent.take()
            && known == name
        {
            return Ok(fd);
        }
        match self.open_dir(name) {
            Err(e) if e.is_missing() && !name.is_empty() => {}
            other => return other,
        }
        let (above, last) = name::split(name);
        let last = c_string(last)?;
        let parent = self.open_parent(above)?;
        match mkdirat(&parent, last.as_c_str(), Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(e) => return Err(e).doing(|| format!("create directory `{}`", name::show(name))),
        }
        self.open_dir(name)
    }

    fn open_dir(&self, name: &[u8]) -> Result<OwnedFd> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        if let Some((root, path)) = &self.destination.within {
            let whole = [path, &b"/"[..], name].concat();
            return open_in_root(root, Path::new(OsStr::from_bytes(&whole)), flags, Mode::empty());
        }
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        loop {
            match openat2(&self.destination.dir, name::path(name), how) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(Errno::ELOOP) => {
                    let text = format!("`{}` is a symlink; nothing is copied through it", name::show(name));
                    return Err(Error::new(Kind::Denied, text));
                }
                other => return other.doing(|| format!("open directory `{}`", name::show(name))),
            }
        }
    }

    /// Makes room for anything but a directory.
    fn clear(&self, parent: BorrowedFd<'_>, last: &CString, name: &[u8]) -> Result<()> {
        match lstat(parent, last)? {
            None => Ok(()),
            Some(stat) if is_dir(&stat) => {
                if !self.options.overwrite {
                    let text = format!("cannot overwrite directory `{}` with non-directory", name::show(name));
                    return Err(Error::conflict(text).hint("`--overwrite` allows it"));
                }
                tree::remove(parent, last.as_bytes()).doing(|| "remove the directory in its place")
            }
            Some(_) => match unlinkat(parent, last.as_c_str(), UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => Ok(()),
                Err(e) => Err(e).doing(|| "remove the file in its place"),
            },
        }
    }

    fn directory(&mut self, parent: BorrowedFd<'_>, last: &CString, name: &[u8], entry: &Entry) -> Result<()> {
        match lstat(parent, last)? {
            Some(stat) if is_dir(&stat) => {}
            Some(_) if !self.options.overwrite => {
                let text = format!("cannot overwrite non-directory `{}` with directory", name::show(name));
                return Err(Error::conflict(text).hint("`--overwrite` allows it"));
            }
            existing => {
                if existing.is_some() {
                    unlinkat(parent, last.as_c_str(), UnlinkatFlags::NoRemoveDir)
                        .doing(|| "remove the file in its place")?;
                }
                mkdirat(parent, last.as_c_str(), Mode::S_IRWXU).doing(|| "create directory")?;
            }
        }
        let dir = open_nofollow(parent, last, OFlag::O_DIRECTORY | OFlag::O_RDONLY)?;
        self.set_owner(&dir, entry)?;
        self.set_attributes(&dir, entry);
        self.dirs.push(Dir { name: name.to_vec(), mode: self.mode(entry), mtime: entry.mtime });
        Ok(())
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        last: &CString,
        name: &[u8],
        entry: &Entry,
        archive: &mut Archive<'_>,
    ) -> Result<()> {
        let new = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let create = || openat(parent, last.as_c_str(), new, Mode::S_IRUSR | Mode::S_IWUSR);
        let cleared = self.clear(parent, last, name);
        let mut file = match cleared {
            // A mount's own file cannot be replaced, only written: /etc/hosts and the like.
            Err(e) if e.errno() == Some(Errno::EBUSY) => {
                let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
                let file = File::from(open_nofollow(parent, last, flags)?);
                if !file.metadata()?.is_file() {
                    return Err(e);
                }
                file.set_len(0).doing(|| "empty it")?;
                content(&mut file.try_clone()?, entry, archive)?;
                self.done.bytes += entry.size;
                return Ok(());
            }
            other => {
                other?;
                File::from(create().doing(|| "create file")?)
            }
        };
        content(&mut file, entry, archive)?;
        self.done.bytes += entry.size;
        // chown(2) and write(2) clear set-id bits and file capabilities.
        self.set_owner(&file, entry)?;
        fchmod(&file, Mode::from_bits_truncate(self.mode(entry))).doing(|| "set its mode")?;
        self.set_attributes(&file, entry);
        let when = time(entry.mtime);
        futimens(&file, &when, &when).doing(|| "set its times")
    }

    fn hard_link(&mut self, parent: BorrowedFd<'_>, last: &CString, name: &[u8], entry: &Entry) -> Result<()> {
        let target = self.renamed(&entry.link)?;
        if target.is_empty() || target == name {
            return Err(Error::corrupt("hard link to itself"));
        }
        self.clear(parent, last, name)?;
        let (dir, target_last) = name::split(&target);
        let from = self.open_dir(dir)?;
        linkat(&from, target_last, parent, last.as_c_str(), AtFlags::empty())
            .doing(|| format!("link it to `{}`", name::show(&target)))
    }

    fn mode(&self, entry: &Entry) -> u32 {
        if self.options.defuse { entry.mode & 0o1777 } else { entry.mode }
    }

    fn owner(&self, entry: &Entry) -> Option<(u32, u32)> {
        match &self.options.owner {
            Owner::Caller => None,
            Owner::Root => Some((0, 0)),
            Owner::Archive => Some((entry.uid, entry.gid)),
            Owner::Host(map) => Some((map.inside_uid(entry.uid).unwrap_or(0), map.inside_gid(entry.gid).unwrap_or(0))),
        }
    }

    fn set_owner(&mut self, fd: impl AsFd, entry: &Entry) -> Result<()> {
        let Some((uid, gid)) = self.owner(entry) else { return Ok(()) };
        let set = fchown(&fd, Some(uid.into()), Some(gid.into()));
        self.judge_owner(set, uid, gid)
    }

    /// An id that the namespace does not have cannot be set; with a single id every file is its own.
    fn judge_owner(&mut self, set: nix::Result<()>, uid: u32, gid: u32) -> Result<()> {
        match set {
            Err(Errno::EINVAL) => {
                self.warnings
                    .add(&format!("files could not be given to {uid}:{gid}, which is not in the id map"), None);
                Ok(())
            }
            other => other.doing(|| "set its owner"),
        }
    }

    fn set_attributes(&mut self, fd: impl AsFd, entry: &Entry) {
        if self.options.defuse {
            for (name, value) in entry.xattrs.iter().filter(|(n, _)| n.starts_with(b"user.") && !is_overlays(n)) {
                // The host's file system may have none.
                let _ = crate::sys::xattr::set(&fd, name, value);
            }
        } else if !entry.xattrs.is_empty() {
            set_xattrs(fd, entry, &mut self.warnings);
        }
    }

    fn set_by_name(&mut self, parent: BorrowedFd<'_>, last: &CString, entry: &Entry) -> Result<()> {
        if let Some((uid, gid)) = self.owner(entry) {
            let nofollow = AtFlags::AT_SYMLINK_NOFOLLOW;
            let set = fchownat(parent, last.as_c_str(), Some(uid.into()), Some(gid.into()), nofollow);
            self.judge_owner(set, uid, gid)?;
        }
        let when = time(entry.mtime);
        utimensat(parent, last.as_c_str(), &when, &when, UtimensatFlags::NoFollowSymlink).doing(|| "set its times")
    }

    /// Modes and times of directories, the deepest first.
    fn finish(mut self) -> Result<Extracted> {
        for dir in std::mem::take(&mut self.dirs).into_iter().rev() {
            let (above, last) = name::split(&dir.name);
            let opened = self.open_dir(above).and_then(|parent| {
                open_nofollow(parent.as_fd(), &c_string(last)?, OFlag::O_DIRECTORY | OFlag::O_RDONLY)
            });
            // Whoever else works here has taken it away.
            let Ok(fd) = opened else { continue };
            let when = time(dir.mtime);
            fchmod(&fd, Mode::from_bits_truncate(dir.mode))
                .and_then(|()| futimens(&fd, &when, &when))
                .doing(|| format!("set mode of `{}`", name::show(&dir.name)))?;
        }
        self.done.warnings = self.warnings.sentences();
        Ok(self.done)
    }
}

fn is_overlays(name: &[u8]) -> bool {
    name.starts_with(b"user.overlay.") || name.starts_with(b"user.containers.")
}

fn open_nofollow(parent: BorrowedFd<'_>, last: &CString, flags: OFlag) -> Result<OwnedFd> {
    openat(parent, last.as_c_str(), flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty()).doing(|| "open it")
}
