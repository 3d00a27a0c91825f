//! A log in files: records are collected in a buffer and appended by one write(2) each time, the file is changed when it
//! is full.

use super::packer::Packer;
use crate::base::fsx;
use crate::base::units::boot_nanos;
use crate::state::log::{Format, Settings, Stream, files, json, k8s};
use crate::state::record::ContainerRecord;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Records that are collected before they are written. Reads of the monitor are of this order.
const ENOUGH: usize = 64 * 1024;
/// After a file could not be opened, the next try is this many nanoseconds later.
const RETRY: u64 = 1_000_000_000;

#[derive(Debug)]
pub(super) struct FileLog {
    path: PathBuf,
    encoder: Encoder,
    /// When a file is full, and how many older ones stay.
    rotation: Option<(u64, u32)>,
    /// Packs the older ones.
    packer: Option<Packer>,
    /// It is in a place of the user's.
    stays: bool,
    current: Option<Current>,
    lines: [Line; 2],
    buffer: Vec<u8>,
    /// Bytes of records that were not written.
    lost: u64,
    /// No try to open the file before this time.
    pub(super) retry_at: u64,
}

#[derive(Debug)]
enum Encoder {
    K8s,
    Json(json::Encoder),
}

/// The file that is written now.
#[derive(Debug)]
struct Current {
    file: File,
    size: u64,
}

/// Where a stream is.
#[derive(Debug, Default)]
struct Line {
    /// In the middle of a line.
    open: bool,
    /// The first bytes of a character, kept back for JSON.
    cut: Vec<u8>,
}

impl FileLog {
    /// `None` if the driver has no file.
    pub(super) fn new(settings: &Settings, record: &ContainerRecord, folder: &Path) -> Option<Self> {
        let encoder = match settings.driver.format()? {
            Format::K8s => Encoder::K8s,
            Format::Json => Encoder::Json(json::Encoder { attributes: settings.attributes(record) }),
        };
        Some(Self {
            path: settings.file(folder)?,
            encoder,
            rotation: settings.rotation(),
            stays: settings.path.is_some(),
            packer: settings.compress.then(Packer::default),
            current: None,
            lines: Default::default(),
            buffer: Vec::new(),
            lost: 0,
            retry_at: 0,
        })
    }

    pub(super) fn write(&mut self, time: &[u8], stream: Stream, bytes: &[u8]) {
        let line = &mut self.lines[stream.index()];
        if matches!(self.encoder, Encoder::K8s) {
            return self.append(time, stream, bytes);
        }
        // At most three bytes were kept back; the rest of their character is nearly always at the front of this piece.
        let joined;
        let mut rest = bytes;
        if !line.cut.is_empty() {
            line.cut.extend_from_slice(bytes);
            joined = std::mem::take(&mut line.cut);
            rest = &joined;
        }
        let kept = json::cut_character(rest);
        line.cut.extend_from_slice(&rest[rest.len() - kept..]);
        self.append(time, stream, &rest[..rest.len() - kept]);
    }

    /// See [`super::Log::close`]. Files in a place of the user's stay in any case.
    pub(super) fn close(&mut self, keep: bool) {
        if keep || !self.stays {
            self.packer.as_ref().into_iter().for_each(|packer| packer.end(keep));
        }
    }

    pub(super) fn end_run(&mut self, time: &[u8]) {
        for stream in Stream::ALL {
            let cut = std::mem::take(&mut self.lines[stream.index()].cut);
            self.append(time, stream, &cut);
            if std::mem::take(&mut self.lines[stream.index()].open) {
                match &self.encoder {
                    Encoder::K8s => k8s::unfinished(&mut self.buffer, time, stream),
                    Encoder::Json(json) => json.unfinished(&mut self.buffer, time, stream),
                }
            }
        }
        self.flush(time);
        self.buffer = Vec::new();
    }

    /// Makes records of `bytes` and writes them.
    fn append(&mut self, time: &[u8], stream: Stream, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        self.lines[stream.index()].open = *last != b'\n';
        // Small files are filled in small steps, so that each is about as long as it may be.
        let enough = self.rotation.map_or(ENOUGH, |(full, _)| ENOUGH.min(usize::try_from(full / 8).unwrap_or(ENOUGH)));
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match &self.encoder {
                Encoder::K8s => k8s::encode(&mut self.buffer, time, stream, rest, enough),
                Encoder::Json(json) => json.encode(&mut self.buffer, time, stream, rest, enough),
            };
            self.flush(time);
        }
    }

    /// Writes the collected records, or drops and counts them.
    fn flush(&mut self, time: &[u8]) {
        if self.buffer.is_empty() {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        if let Err(dropped) = self.try_flush(time, &buffer) {
            self.lost += dropped as u64;
        }
        buffer.clear();
        self.buffer = buffer;
    }

    /// Errors: how many bytes were not written.
    fn try_flush(&mut self, time: &[u8], records: &[u8]) -> Result<(), usize> {
        if let (Some((full, kept)), Some(current)) = (self.rotation, &self.current)
            && current.size > 0
            && current.size + records.len() as u64 > full
        {
            self.current = None;
            // If it cannot be renamed, the old file simply grows on.
            if files::rotate(&self.path, kept).is_ok() {
                self.packer.as_mut().into_iter().for_each(|packer| packer.start(&self.path));
            }
        }
        self.open().ok_or(records.len())?;
        let Some(current) = &mut self.current else { return Err(records.len()) };
        if self.lost > 0 {
            let mut note = Vec::new();
            match &self.encoder {
                Encoder::K8s => k8s::lost(&mut note, time, self.lost),
                Encoder::Json(json) => json.lost(&mut note, time, self.lost),
            }
            current.append(&note).map_err(|_| records.len())?;
            self.lost = 0;
        }
        current.append(records)
    }

    /// Opens the file, unless it is open or could not be opened a moment ago.
    fn open(&mut self) -> Option<()> {
        if self.current.is_some() {
            return Some(());
        }
        if self.retry_at > 0 && boot_nanos() < self.retry_at {
            return None;
        }
        match Current::open(&self.path) {
            Ok(current) => {
                self.retry_at = 0;
                self.current = Some(current);
                Some(())
            }
            Err(_) => {
                self.retry_at = boot_nanos() + RETRY;
                None
            }
        }
    }
}

impl Current {
    fn open(path: &Path) -> std::io::Result<Self> {
        let options = || {
            let mut options = OpenOptions::new();
            // Not through a symlink or into a pipe that somebody put at a path of the user's: this process must not wait.
            options
                .append(true)
                .read(true)
                .create(true)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC);
            options
        };
        let file = match options().open(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let folder = path.parent().unwrap_or(Path::new("/"));
                fsx::ensure_dir(folder, 0o700)?;
                options().open(path)?
            }
            other => other?,
        };
        let mut current = Self { size: file.metadata()?.len(), file };
        let mut last = [b'\n'];
        if current.size > 0 && current.file.read_exact_at(&mut last, current.size - 1).is_ok() && last != [b'\n'] {
            // A power cut left half a record: the next one begins on a line of its own.
            current.append(b"\n").map_err(|_| ErrorKind::StorageFull)?;
        }
        Ok(current)
    }

    /// Appends whole records. Errors: how many bytes were not written; the file ends with a whole record then too.
    fn append(&mut self, records: &[u8]) -> Result<(), usize> {
        let mut written = 0;
        while written < records.len() {
            match self.file.write(&records[written..]) {
                Ok(0) => break,
                Ok(n) => written += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.size += written as u64;
        if written == records.len() {
            return Ok(());
        }
        let whole = memchr::memrchr(b'\n', &records[..written]).map_or(0, |at| at + 1);
        let size = self.size - (written - whole) as u64;
        // Truncation frees room, so it works on a full disk. Not when somebody else writes to the same file.
        if self.file.metadata().is_ok_and(|m| m.len() == self.size) && self.file.set_len(size).is_ok() {
            self.size = size;
        }
        Err(records.len() - whole)
    }
}
