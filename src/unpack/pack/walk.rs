//! Walks a tree and writes its entries: a directory, then what is in it, by name.

use super::PackOptions;
use super::header::{Flag, Header, padding};
use super::source::{Source, is_made_up, kind};
use crate::base::{Doing, Error, Result};
use crate::store::layers::escape;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat, major, minor};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How deep directories may be nested: what unpacks it accepts no more.
const MAX_DEPTH: usize = 512;
/// How much is read and written at a time.
const BUFFER: usize = 256 << 10;

/// What a packed tree came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Packed {
    /// Entries, whiteouts included.
    pub entries: u64,
    /// Bytes of all files, each inode once.
    pub size: u64,
    /// Sockets, which an archive cannot hold.
    pub left_out: u64,
}

/// Writes one archive.
pub struct Packer<'a, W> {
    out: W,
    options: &'a PackOptions,
    /// Headers and small files that are not written yet.
    pending: Vec<u8>,
    /// The name of each file with several, by device and inode.
    links: HashMap<(u64, u64), Vec<u8>>,
    packed: Packed,
}

impl<'a, W: Write> Packer<'a, W> {
    /// Begins an archive.
    pub fn new(out: W, options: &'a PackOptions) -> Self {
        let pending = Vec::with_capacity(BUFFER + 4096);
        Self { out, options, pending, links: HashMap::new(), packed: Packed::default() }
    }

    /// Packs what `name` in `parent` is, and all in it, under the name `called`. False if there is nothing of that name.
    pub fn tree(&mut self, parent: BorrowedFd<'_>, name: &CStr, called: &[u8]) -> Result<bool> {
        self.entry(parent, name, called, 1)
    }

    /// Packs what is in a directory, under names that begin with `below` (empty, or without a slash at its end). With `itself`
    /// the directory is an entry too: `./` where `below` is empty.
    pub fn contents(&mut self, dir: BorrowedFd<'_>, below: &[u8], itself: bool) -> Result<()> {
        let fd = dir.try_clone_to_owned().doing(|| "copy descriptor")?;
        let stat = fstat(&fd).doing(|| "look at the directory")?;
        let source = Source { stat, fd: Some(fd) };
        if itself {
            self.header(&source, if below.is_empty() { b"." } else { below }, Flag::Directory, b"", 0)?;
        }
        self.children(dir, below, 1)
    }

    /// Ends the archive; returns its writer.
    pub fn finish(mut self) -> Result<(W, Packed)> {
        // Two blocks of zeros (POSIX, ustar Interchange Format).
        self.pending.resize(self.pending.len() + 1024, 0);
        self.flush()?;
        self.out.flush().doing(|| "write archive")?;
        Ok((self.out, self.packed))
    }

    fn flush(&mut self) -> Result<()> {
        let written = self.out.write_all(&self.pending).doing(|| "write archive");
        self.pending.clear();
        written
    }

    fn children(&mut self, dir: BorrowedFd<'_>, below: &[u8], depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::unsupported(format!("directories are nested deeper than {MAX_DEPTH}")));
        }
        for name in names(dir).doing(|| format!("list directory `{}`", escape(below)))? {
            let called =
                if below.is_empty() { name.to_bytes().to_vec() } else { [below, b"/", name.to_bytes()].concat() };
            self.entry(dir, &name, &called, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, parent: BorrowedFd<'_>, name: &CStr, called: &[u8], depth: usize) -> Result<bool> {
        let doing = || format!("pack `{}`", escape(called));
        let Some(source) = Source::look(parent, name).doing(doing)? else { return Ok(false) };
        if self.options.whiteouts && source.is_whiteout().doing(doing)? {
            self.marker(&whiteout_name(called), &source).doing(doing)?;
            return Ok(true);
        }
        match kind(&source.stat) {
            SFlag::S_IFDIR => self.directory(&source, called, depth)?,
            SFlag::S_IFSOCK => self.packed.left_out += 1,
            other => {
                let empty = source.stat.st_size == 0 || other == SFlag::S_IFLNK;
                if !(empty && self.options.placeholders.contains(called)) {
                    self.other(parent, name, &source, called).doing(doing)?;
                }
            }
        }
        Ok(true)
    }

    fn directory(&mut self, source: &Source, called: &[u8], depth: usize) -> Result<()> {
        let Some(fd) = &source.fd else { return Ok(()) };
        let doing = || format!("pack `{}`", escape(called));
        let opaque = self.options.whiteouts && source.is_opaque().doing(doing)?;
        if self.options.placeholders.contains(called) && !opaque && names(fd.as_fd())?.is_empty() {
            return Ok(());
        }
        self.header(source, called, Flag::Directory, b"", 0).doing(doing)?;
        if opaque {
            self.marker(&[called, b"/.wh..wh..opq"].concat(), source).doing(doing)?;
        }
        if is_made_up(fd) {
            return Ok(());
        }
        self.children(fd.as_fd(), called, depth + 1)
    }

    /// Anything but a directory.
    fn other(&mut self, parent: BorrowedFd<'_>, name: &CStr, source: &Source, called: &[u8]) -> Result<()> {
        let stat = &source.stat;
        if stat.st_nlink > 1 {
            let inode = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&inode) {
                let first = first.clone();
                return self.header(source, called, Flag::HardLink, &first, 0);
            }
            self.links.insert(inode, called.to_vec());
        }
        match kind(stat) {
            SFlag::S_IFREG => self.file(source, called),
            SFlag::S_IFLNK => {
                let target = match readlinkat(parent, name) {
                    Ok(target) => target,
                    // It went, or is something else by now.
                    Err(Errno::ENOENT | Errno::EINVAL) => return Ok(()),
                    Err(e) => return Err(e).doing(|| "read link"),
                };
                self.header(source, called, Flag::Symlink, target.as_encoded_bytes(), 0)
            }
            SFlag::S_IFIFO => self.header(source, called, Flag::Fifo, b"", 0),
            SFlag::S_IFCHR => self.header(source, called, Flag::CharDevice, b"", 0),
            SFlag::S_IFBLK => self.header(source, called, Flag::BlockDevice, b"", 0),
            _ => Ok(()),
        }
    }

    fn file(&mut self, source: &Source, called: &[u8]) -> Result<()> {
        let size = source.stat.st_size.cast_unsigned();
        self.header(source, called, Flag::File, b"", size)?;
        self.packed.size += size;
        let Some(fd) = &source.fd else { return Ok(()) };
        let mut file = File::from(fd.try_clone().doing(|| "copy descriptor")?);
        let mut left = size;
        while left > 0 {
            if self.pending.len() >= BUFFER {
                self.flush()?;
            }
            let room = (BUFFER - self.pending.len()).min(usize::try_from(left).unwrap_or(BUFFER));
            let start = self.pending.len();
            self.pending.resize(start + room, 0);
            let n = loop {
                match file.read(&mut self.pending[start..]) {
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    other => break other.doing(|| "read it")?,
                }
            };
            // Somebody made it shorter meanwhile: zeros take the place of what is gone, as with GNU tar.
            let n = if n == 0 { room } else { n };
            self.pending.truncate(start + n);
            left -= n as u64;
        }
        self.pending.resize(self.pending.len() + padding(size), 0);
        Ok(())
    }

    /// An empty file that is a message to whoever unpacks.
    fn marker(&mut self, name: &[u8], source: &Source) -> Result<()> {
        let stat = &source.stat;
        let header = Header {
            flag: Flag::File,
            name,
            link: b"",
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: (stat.st_mtime, 0),
            size: 0,
            device: (0, 0),
            xattrs: &[],
        };
        self.push(&header)
    }

    fn header(&mut self, source: &Source, called: &[u8], flag: Flag, link: &[u8], size: u64) -> Result<()> {
        let stat = &source.stat;
        let xattrs = if flag == Flag::HardLink { Vec::new() } else { source.attributes()? };
        let mut header = Header {
            flag,
            name: called,
            link,
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: (stat.st_mtime, if self.options.nanoseconds { stat.st_mtime_nsec as u32 } else { 0 }),
            size,
            device: (0, 0),
            xattrs: &xattrs,
        };
        let letter = match flag {
            Flag::Directory => 'd',
            Flag::Symlink => 'l',
            Flag::Fifo => 'p',
            Flag::CharDevice | Flag::BlockDevice => '-',
            Flag::File | Flag::HardLink => 'f',
        };
        if matches!(flag, Flag::CharDevice | Flag::BlockDevice) {
            header.device = (major(stat.st_rdev), minor(stat.st_rdev));
        }
        if let Some(truth) = self.options.truth.get(called, letter, size == 0) {
            (header.uid, header.gid) = (truth.uid, truth.gid);
            if matches!(truth.kind, 'c' | 'b') && flag == Flag::File {
                header.flag = if truth.kind == 'c' { Flag::CharDevice } else { Flag::BlockDevice };
                header.mode = truth.mode;
                header.device = (truth.major.into(), truth.minor.into());
            }
        }
        let slashed;
        if flag == Flag::Directory {
            slashed = [called, b"/"].concat();
            header.name = &slashed;
        }
        self.push(&header)
    }

    fn push(&mut self, header: &Header<'_>) -> Result<()> {
        self.packed.entries += 1;
        if self.pending.len() >= BUFFER {
            self.flush()?;
        }
        header.write(&mut self.pending)
    }
}

/// `a/x` as a whiteout: `a/.wh.x`.
fn whiteout_name(name: &[u8]) -> Vec<u8> {
    match name.iter().rposition(|b| *b == b'/') {
        Some(slash) => [&name[..=slash], b".wh.", &name[slash + 1..]].concat(),
        None => [b".wh.", name].concat(),
    }
}

/// The names in a directory, sorted by their bytes.
fn names(dir: BorrowedFd<'_>) -> Result<Vec<CString>> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    // Opened anew: a descriptor's copy shares its position.
    let fresh: OwnedFd = nix::fcntl::openat(dir, c".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::from_fd(fresh)?.iter() {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
