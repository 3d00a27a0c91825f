//! Where the last lines of a log begin: a search from its end, record by record and file by file, that reads no more than
//! it needs.
//!
//! A line may lie in several records, with those of the other stream between them. So each stream has a start of its own,
//! and what comes before it is left out when the log is then read forwards from the first of both.

use super::read::{MAX_LINE, read_at};
use super::{Format, Record, Stream};
use crate::base::Result;
use std::fs::File;

const CHUNK: usize = 64 * 1024;

/// Where a stream's first record is: how many files were begun by then, and the offset in that file.
#[derive(Debug, Default)]
pub(super) struct Starts([Option<(usize, u64)>; 2]);

impl Starts {
    /// True for a record of a line that is not wanted.
    pub(super) fn is_before(&self, begun: usize, offset: u64, stream: Stream) -> bool {
        self.0[stream.index()].is_some_and(|start| (begun, offset) < start)
    }

    /// Where to begin in a file of this length, the first that is not wholly left out.
    pub(super) fn offset(&self, begun: usize, length: u64) -> u64 {
        match self.0.iter().flatten().min() {
            Some((file, _)) if begun < *file => length,
            Some((file, offset)) if begun == *file => *offset,
            _ => 0,
        }
    }
}

/// A search in progress.
#[derive(Debug)]
pub(super) struct Search {
    format: Format,
    /// Lines still to be found.
    wanted: u64,
    streams: [Found; 2],
    /// Files looked at, the newest first.
    files: usize,
    /// Where the newest file's last whole record ends: the start for streams of which nothing is wanted.
    end: u64,
}

/// What is known of one stream.
#[derive(Debug, Default, Clone, Copy)]
struct Found {
    /// In the middle of a wanted line, seen from its end.
    open: bool,
    /// Everything before belongs to lines that are not wanted.
    closed: bool,
    /// The first record of the wanted lines: which file, and where.
    first: Option<(usize, u64)>,
}

impl Search {
    pub(super) fn new(format: Format, lines: u64) -> Self {
        Self { format, wanted: lines, streams: Default::default(), files: 0, end: 0 }
    }

    /// Looks through a file from its end. True when all is found.
    pub(super) fn file(&mut self, file: &File) -> Result<bool> {
        let mut start = file.metadata()?.len();
        // Bytes of the file from `start` on that belong to records not yet looked at.
        let mut text: Vec<u8> = Vec::new();
        let mut whole = false;
        while start > 0 && text.len() <= MAX_LINE {
            let length = start.min(CHUNK as u64);
            let mut chunk = vec![0; length as usize];
            let n = read_at(file, &mut chunk, start - length)?;
            // Cut meanwhile: what is there now is not what was the end.
            chunk.truncate(n);
            start -= length;
            chunk.extend_from_slice(&text);
            text = chunk;
            if !whole {
                // Behind the last newline is a record that is not whole.
                let Some(end) = memchr::memrchr(b'\n', &text) else { continue };
                text.truncate(end + 1);
                whole = true;
                if self.files == 0 {
                    self.end = start + text.len() as u64;
                }
            }
            if self.text(&mut text, start) {
                self.files += 1;
                return Ok(true);
            }
        }
        self.files += 1;
        Ok(self.is_done())
    }

    /// Takes records off the end of `text`, which begins at `start`.
    fn text(&mut self, text: &mut Vec<u8>, start: u64) -> bool {
        while !text.is_empty() {
            let begin = match memchr::memrchr(b'\n', &text[..text.len() - 1]) {
                Some(newline) => newline + 1,
                None if start == 0 => 0,
                None => return false,
            };
            if let Some(record) = self.format.decode(&text[begin..]) {
                self.record(&record, start + begin as u64);
                if self.is_done() {
                    return true;
                }
            }
            text.truncate(begin);
        }
        self.is_done()
    }

    fn record(&mut self, record: &Record<'_>, at: u64) {
        let found = &mut self.streams[record.stream.index()];
        let file = self.files;
        // The first record of a line that is seen from behind is its last.
        let last = record.ends_line() || !found.open;
        if found.closed {
            return;
        }
        if last {
            if self.wanted == 0 {
                found.closed = true;
                return;
            }
            self.wanted -= 1;
        }
        found.open = true;
        found.first = Some((file, at));
    }

    /// All lines are found, and of none of them an earlier part may be missing.
    fn is_done(&self) -> bool {
        self.wanted == 0 && self.streams.iter().all(|s| s.closed || !s.open)
    }

    /// Where to start, for a reader that reads all `files` that were looked at.
    pub(super) fn starts(&self, files: usize) -> Starts {
        // Counted from the oldest: a reader has begun one file when it reads the first.
        Starts(self.streams.map(|s| {
            let (file, offset) = s.first.unwrap_or((0, self.end));
            Some((files.saturating_sub(file), offset))
        }))
    }
}
