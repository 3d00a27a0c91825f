//! Reading a log from its oldest file to its newest, from the start or from the last lines, while it is being written and
//! its files are being changed.
//!
//! While one is open it marks the container's folder as being read, so that what is in the trash is not deleted under it.
//!
//! A position is always between two records: what stands behind the last newline is read again later, when it is whole or
//! has been replaced. A file that is being read stays open, so it may be renamed or removed meanwhile; the files are
//! found by the container's folder as a descriptor, so that may be moved to the trash meanwhile.

use super::backward::{self, Starts};
use super::{Format, Record, Settings, files, json, k8s, pack};
use crate::base::{Doing, Error, Result};
use crate::sys::lock;
use nix::fcntl::{Flock, OFlag, open};
use nix::sys::stat::Mode;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How much is read at once.
const CHUNK: usize = 256 * 1024;
/// See [`Reader::open`].
const SPARE: u64 = 256 << 20;
/// A longer line is no record, whoever wrote it.
pub(super) const MAX_LINE: usize = 4 * 1024 * 1024;

/// One log on the way to its reader.
#[derive(Debug)]
pub struct Reader {
    format: Format,
    /// The file that is written now, below a descriptor's name in /proc unless the user chose the place.
    path: PathBuf,
    /// Keeps that name valid, and the folder's files where they are.
    _folder: Option<Folder>,
    current: Option<Source>,
    /// Files that were opened to find the last lines, and follow the current one.
    queue: VecDeque<Source>,
    /// How many files were begun.
    begun: usize,
    starts: Starts,
    /// `buffer[from..to]` was read and not yet given out; it ends at `offset` in the file.
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    offset: u64,
    /// The bytes up to the next newline belong to a line that is too long.
    skipping: bool,
    /// How large an older file may become when it is unpacked.
    limit: u64,
}

/// A container's folder while its log is read.
#[derive(Debug)]
struct Folder {
    _fd: OwnedFd,
    _mark: Option<Flock<OwnedFd>>,
}

/// An open file of a log.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: File,
    /// Of an older file: it is not written any more.
    number: Option<u64>,
}

/// What comes next in a log.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A record.
    Record(Record<'a>),
    /// A line that is none.
    Damaged,
    /// Nothing is left for now.
    End,
}

impl Format {
    /// Reads one line of a file, with its newline. `None` is a line that is no record.
    pub fn decode(self, line: &[u8]) -> Option<Record<'_>> {
        match self {
            Self::K8s => k8s::decode(line),
            Self::Json => json::decode(line),
        }
    }
}

impl Reader {
    /// A reader at the start of the log of the container with this folder; `None` if its driver writes no file. That
    /// nothing was written yet is no error.
    pub fn open(settings: &Settings, folder: &Path) -> Result<Option<Self>> {
        let Some(format) = settings.driver.format() else { return Ok(None) };
        let (path, folder) = match &settings.path {
            Some(path) => (path.clone(), None),
            None => {
                let fd = open(folder, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
                    .doing(|| format!("open `{}`", folder.display()))?;
                let name = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
                let mark = lock::mark_read(fd.try_clone()?);
                (settings.file(&name).unwrap_or_default(), Some(Folder { _fd: fd, _mark: mark }))
            }
        };
        // A file is about as large as it may be, unless a rotation failed for a time.
        let limit = settings.max_size.map_or(u64::MAX, |size| size.saturating_mul(2).saturating_add(SPARE));
        Ok(Some(Self::at(format, path, folder, limit)))
    }

    fn at(format: Format, path: PathBuf, folder: Option<Folder>, limit: u64) -> Self {
        Self {
            limit,
            format,
            path,
            _folder: folder,
            current: None,
            queue: VecDeque::new(),
            begun: 0,
            starts: Starts::default(),
            buffer: Vec::new(),
            from: 0,
            to: 0,
            offset: 0,
            skipping: false,
        }
    }

    /// The file that is written now, as a path for this process: what to watch.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Goes to the start of the last `lines` lines of what is there now. Called before anything is read.
    pub fn seek_last(&mut self, lines: u64) -> Result<()> {
        let mut search = backward::Search::new(self.format, lines);
        let mut newest = Vec::new();
        let mut source = self.newest()?;
        while let Some(this) = source {
            let done = search.file(&this.file)?;
            let number = this.number;
            newest.push(this);
            source = if done { None } else { self.before(&newest[newest.len() - 1], number)? };
        }
        self.starts = search.starts(newest.len());
        self.queue = newest.into_iter().rev().collect();
        Ok(())
    }

    /// The next record.
    pub fn read(&mut self) -> Result<Next<'_>> {
        loop {
            match memchr::memchr(b'\n', &self.buffer[self.from..self.to]) {
                Some(length) => {
                    let line = self.from..self.from + length + 1;
                    let at = self.offset - (self.to - self.from) as u64;
                    self.from = line.end;
                    if std::mem::take(&mut self.skipping) {
                        return Ok(Next::Damaged);
                    }
                    let (begun, starts) = (self.begun, &self.starts);
                    return Ok(match self.format.decode(&self.buffer[line]) {
                        // Of a line that is not one of the last ones: its other stream's lines reach further back.
                        Some(record) if starts.is_before(begun, at, record.stream) => Next::Damaged,
                        Some(record) => Next::Record(record),
                        None => Next::Damaged,
                    });
                }
                None if self.fill()? => {}
                None => return Ok(Next::End),
            }
        }
    }

    /// Reads more, from this file or the one behind it. False at the end of all.
    fn fill(&mut self) -> Result<bool> {
        loop {
            let Some(current) = &self.current else {
                match self.successor(0)? {
                    Some(source) => self.begin(source),
                    None => return Ok(false),
                }
                continue;
            };
            if self.from > 0 {
                self.buffer.copy_within(self.from..self.to, 0);
                self.to -= self.from;
                self.from = 0;
            }
            if self.to > MAX_LINE {
                self.skipping = true;
                self.to = 0;
            }
            if self.buffer.len() < self.to + CHUNK {
                self.buffer.resize(self.to + CHUNK, 0);
            }
            let n = read_at(&current.file, &mut self.buffer[self.to..], self.offset)?;
            self.to += n;
            self.offset += n as u64;
            if memchr::memchr(b'\n', &self.buffer[self.to - n..self.to]).is_some() {
                return Ok(true);
            }
            if n == 0 && !self.at_end()? {
                return Ok(false);
            }
        }
    }

    /// Nothing more is in this file now. Goes on to the next one, or back to the last whole record; false if there is
    /// nothing to read.
    fn at_end(&mut self) -> Result<bool> {
        let Some(current) = &self.current else { return Ok(false) };
        let size = current.file.metadata()?.len();
        // Not `offset`: the writer takes back a half-written record when the disk is full.
        let whole = self.offset - self.to as u64;
        if size < whole {
            // Cut by somebody else, a log rotation by copying: what is new stands at the start.
            self.starts = Starts::default();
            self.restart_at(0);
            return Ok(size > 0);
        }
        let known = current.number;
        if known.is_none() && self.queue.is_empty() {
            let number = number_now(&self.path, &current.file)?;
            // If it was renamed, nothing more is written to it; but something may have been since the last read.
            self.current.as_mut().into_iter().for_each(|c| c.number = number);
            self.restart_at(whole);
            return Ok(number.is_some());
        }
        match self.successor(known.unwrap_or(0))? {
            Some(source) => self.begin(source),
            None => {
                self.restart_at(whole);
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn begin(&mut self, source: Source) {
        let length = source.file.metadata().map_or(0, |m| m.len());
        self.current = Some(source);
        self.begun += 1;
        self.restart_at(self.starts.offset(self.begun, length));
    }

    fn restart_at(&mut self, offset: u64) {
        (self.from, self.to, self.offset) = (0, 0, offset);
        // In the middle of a line that is too long its start was forgotten, so it goes on being skipped.
    }

    /// The file that follows the older one with `number`; 0 for the first of all. `None` if there is none yet.
    fn successor(&mut self, number: u64) -> Result<Option<Source>> {
        if let Some(source) = self.queue.pop_front() {
            return Ok(Some(source));
        }
        loop {
            // In this order: what the current file is at this moment is either still current afterwards, or listed.
            let current = self.open_current()?;
            let look = || Ok::<_, Error>(files::older(&self.path)?.into_iter().find(|n| *n > number));
            let next = look()?;
            // A list of a folder that changes meanwhile may lack what was renamed. Where something may be missing it is made
            // again, until it says the same twice.
            let whole = match (next, &current) {
                (Some(next), _) => next == number + 1,
                (None, Some(current)) => is_at(&current.file, &self.path)?,
                (None, None) => true,
            };
            if !whole && look()? != next {
                continue;
            }
            let Some(next) = next else { return Ok(current) };
            // One that was removed just now was the oldest: look again.
            if let Some(source) = self.open_older(next)? {
                return Ok(Some(source));
            }
        }
    }

    /// The newest file there is.
    fn newest(&self) -> Result<Option<Source>> {
        for _ in 0..100 {
            if let Some(source) = self.open_current()? {
                return Ok(Some(source));
            }
            // Between the two steps of a rotation, or nothing was ever written.
            let Some(number) = files::older(&self.path)?.pop() else { return Ok(None) };
            if let Some(source) = self.open_older(number)? {
                return Ok(Some(source));
            }
        }
        Ok(None)
    }

    /// The file before `source`, unless it has been removed.
    fn before(&self, source: &Source, number: Option<u64>) -> Result<Option<Source>> {
        let number = match number {
            Some(number) => number,
            None => number_now(&self.path, &source.file)?.unwrap_or(u64::MAX),
        };
        let Some(number) = files::older(&self.path)?.into_iter().rfind(|n| *n < number) else { return Ok(None) };
        self.open_older(number)
    }

    /// `None` for one that has been removed. In this order: a file is packed before the plain one goes.
    fn open_older(&self, number: u64) -> Result<Option<Source>> {
        let file = match open_file(&files::numbered(&self.path, number))? {
            None => pack::unpack(&files::packed(&self.path, number), self.limit)?,
            plain => plain,
        };
        Ok(file.map(|file| Source { file, number: Some(number) }))
    }

    fn open_current(&self) -> Result<Option<Source>> {
        Ok(open_file(&self.path)?.map(|file| Source { file, number: None }))
    }
}

/// The number that a file has now; `None` if it is still the current one. A file that was removed after its rename was
/// older than all that are left.
fn number_now(path: &Path, file: &File) -> Result<Option<u64>> {
    let id = |m: &std::fs::Metadata| (m.dev(), m.ino());
    let own = id(&file.metadata()?);
    match std::fs::metadata(path) {
        Ok(current) if id(&current) == own => return Ok(None),
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e).doing(|| format!("look at `{}`", path.display())),
    }
    let is_own = |number: &u64| {
        std::fs::metadata(files::numbered(path, *number)).is_ok_and(|m| id(&m) == own)
            || pack::origin(&files::packed(path, *number)) == Some(own)
    };
    // From the end: an inode that is free again gets used, so an earlier file that was packed may have had the same.
    let found = files::older(path)?.into_iter().rfind(is_own);
    // The folder may be gone altogether, with the container: then this file stays the last one.
    Ok(found.or_else(|| path.parent().is_some_and(Path::exists).then_some(0)))
}

fn open_file(path: &Path) -> Result<Option<File>> {
    // Not blocking: a path of the user's may be a pipe.
    match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(Some(file)),
        Ok(_) => Ok(None),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e).doing(|| format!("open `{}`", path.display())),
    }
}

/// True if this is the file that has the path now.
fn is_at(file: &File, path: &Path) -> Result<bool> {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(file), Ok(there)) => Ok((file.dev(), file.ino()) == (there.dev(), there.ino())),
        (_, Err(e)) if e.kind() == ErrorKind::NotFound => Ok(false),
        (Err(e), _) | (_, Err(e)) => Err(e).doing(|| format!("look at `{}`", path.display())),
    }
}

pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            other => return other.doing(|| "read the log"),
        }
    }
}
