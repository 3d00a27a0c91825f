//! A part of an open file, read by position: many readers share one descriptor.

use crate::base::{Doing, Error, Result};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// `len` bytes from `start` on.
#[derive(Debug, Clone)]
pub(super) struct Section {
    file: Arc<File>,
    start: u64,
    len: u64,
}

impl Section {
    pub(super) fn new(file: Arc<File>, start: u64, len: u64) -> Self {
        Self { file, start, len }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Reads from `offset` on.
    pub(super) fn reader(&self, offset: u64) -> SectionReader {
        let offset = offset.min(self.len);
        SectionReader { file: Arc::clone(&self.file), position: self.start + offset, end: self.start + self.len }
    }

    /// The whole content, if it has at most `max` bytes.
    pub(super) fn read(&self, max: u64) -> Result<Vec<u8>> {
        if self.len > max {
            return Err(Error::corrupt(format!("it has {} bytes; at most {max} are read", self.len)));
        }
        let mut bytes = Vec::new();
        self.reader(0).read_to_end(&mut bytes).doing(|| "read")?;
        Ok(bytes)
    }

    /// The first bytes, at most `N`.
    pub(super) fn head<const N: usize>(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(N);
        self.reader(0).take(N as u64).read_to_end(&mut bytes).doing(|| "read")?;
        Ok(bytes)
    }
}

/// Reads a section.
#[derive(Debug)]
pub(super) struct SectionReader {
    file: Arc<File>,
    position: u64,
    end: u64,
}

impl Read for SectionReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let want = buffer.len().min(left);
        let n = self.file.read_at(&mut buffer[..want], self.position)?;
        self.position += n as u64;
        Ok(n)
    }
}
