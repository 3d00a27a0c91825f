//! From compressed bytes to the uncompressed archive: finds the compression by its magic bytes, inflates straight into the
//! buffer that files are written from, hashes that buffer (the diff id), and stops when a limit is passed.
//!
//! gzip may have several members (pigz, estargz) and zstd several frames (zstd:chunked): all are read.

use super::limits::Limits;
use crate::base::{Error, Kind, Result};
use crate::image::{Digest, Hasher, digest::Algorithm};
use flate2::bufread::MultiGzDecoder;
use std::cell::Cell;
use std::io::{BufRead, BufReader, Read};
use std::rc::Rc;

/// Large enough that system calls do not count, small enough that hashing and writing find it in the processor's cache.
const BUFFER: usize = 256 << 10;

/// A tar block.
pub(super) const BLOCK: usize = 512;

/// How a blob is compressed, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    Plain,
    Gzip,
    Zstd,
}

fn detect(magic: &[u8]) -> Result<Compression> {
    let unsupported = |name: &str| Err(Error::unsupported(format!("layer is compressed with {name}")));
    match magic {
        [0x1f, 0x8b, ..] => Ok(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => unsupported("bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => unsupported("xz"),
        _ => Ok(Compression::Plain),
    }
}

/// Counts the compressed bytes as they are read.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.count.set(self.count.get() + n as u64);
        Ok(n)
    }
}

/// The uncompressed archive, in order, once.
pub(super) struct Stream<'a> {
    source: Box<dyn Read + 'a>,
    compression: Compression,
    compressed: Rc<Cell<u64>>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    total: u64,
    /// Of the uncompressed bytes, where somebody wants to know their digest.
    hasher: Option<Hasher>,
    limits: &'a Limits,
}

impl<'a> Stream<'a> {
    /// Starts to read the blob `input`.
    pub(super) fn new(input: impl Read + 'a, limits: &'a Limits) -> Result<Self> {
        let compressed = Rc::new(Cell::new(0));
        let mut input = BufReader::with_capacity(BUFFER, Counted { inner: input, count: Rc::clone(&compressed) });
        // One read of a pipe may return less than the longest magic; its writer's first write never does.
        let compression = detect(input.fill_buf()?)?;
        let source: Box<dyn Read + 'a> = match compression {
            Compression::Plain => Box::new(input),
            Compression::Gzip => Box::new(MultiGzDecoder::new(input)),
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
        };
        Ok(Self {
            source,
            compression,
            compressed,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            total: 0,
            hasher: Some(Hasher::new(Algorithm::Sha256)),
            limits,
        })
    }

    /// Reads `input` as it is: an archive of our own, whose first bytes are a file's name and must not be taken for a
    /// compression's magic. Nothing is hashed.
    pub(super) fn plain(input: impl Read + 'a, limits: &'a Limits) -> Self {
        Self {
            source: Box::new(input),
            compression: Compression::Plain,
            compressed: Rc::new(Cell::new(u64::MAX)),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            total: 0,
            hasher: None,
            limits,
        }
    }

    /// What is in the buffer, or after it the next bytes of the archive; empty at its end.
    pub(super) fn fill(&mut self) -> Result<&[u8]> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            // Whole buffers make large writes: a decoder may return as little as one byte at a time.
            while self.end < self.buffer.len() {
                match self.source.read(&mut self.buffer[self.end..]) {
                    Ok(0) => break,
                    Ok(n) => self.end += n,
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(self.damaged(e)),
                }
            }
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&self.buffer[..self.end]);
            }
            self.total += self.end as u64;
            self.check_limits()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn check_limits(&self) -> Result<()> {
        let Limits { max_bytes, max_ratio, ratio_from, .. } = *self.limits;
        if self.total > max_bytes {
            return Err(Error::new(Kind::Denied, format!("layer has more than {max_bytes} bytes when uncompressed")));
        }
        if self.total > ratio_from && self.total / self.compressed.get().max(1) > max_ratio {
            let text = format!("layer grows to more than {max_ratio} times its compressed size");
            return Err(Error::new(Kind::Denied, text).hint("this is what a decompression bomb looks like"));
        }
        Ok(())
    }

    fn damaged(&self, e: std::io::Error) -> Error {
        let name = match self.compression {
            Compression::Plain => return e.into(),
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        };
        if e.kind() == std::io::ErrorKind::UnexpectedEof {
            return Error::corrupt(format!("{name} stream is truncated"));
        }
        match e.raw_os_error() {
            Some(_) => e.into(),
            None => Error::corrupt(format!("{name} stream is damaged: {e}")),
        }
    }

    /// Takes `n` bytes of what [`Self::fill`] returned.
    pub(super) fn consume(&mut self, n: usize) {
        self.start = self.end.min(self.start + n);
    }

    /// The next 512 bytes; `None` at the archive's end.
    pub(super) fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut have = 0;
        while have < BLOCK {
            let data = self.fill()?;
            if data.is_empty() {
                return if have == 0 { Ok(None) } else { Err(truncated()) };
            }
            let n = data.len().min(BLOCK - have);
            block[have..have + n].copy_from_slice(&data[..n]);
            self.consume(n);
            have += n;
        }
        Ok(Some(block))
    }

    /// Hands the next `n` bytes to `sink` in pieces.
    pub(super) fn pass(&mut self, mut n: u64, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        while n > 0 {
            let data = self.fill()?;
            if data.is_empty() {
                return Err(truncated());
            }
            let take = usize::try_from(n).map_or(data.len(), |n| n.min(data.len()));
            sink(&data[..take])?;
            self.consume(take);
            n -= take as u64;
        }
        Ok(())
    }

    /// Reads and hashes what is left. Archivers pad the end of an archive, and every byte belongs to the diff id.
    ///
    /// Returns the digest of the uncompressed bytes and their number.
    pub(super) fn finish(mut self) -> Result<(Digest, u64)> {
        self.drain()?;
        let hasher = self.hasher.unwrap_or_else(|| Hasher::new(Algorithm::Sha256));
        Ok((hasher.finish(), self.total))
    }

    /// Reads over what is left.
    pub(super) fn drain(&mut self) -> Result<()> {
        loop {
            let n = self.fill()?.len();
            if n == 0 {
                return Ok(());
            }
            self.consume(n);
        }
    }
}

pub(super) fn truncated() -> Error {
    Error::corrupt("archive is truncated")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn read(blob: &[u8], limits: &Limits) -> Result<(Digest, u64)> {
        Stream::new(blob, limits)?.finish()
    }

    #[test]
    fn every_compression_has_the_same_diff_id() {
        let (a, b) = (b"first".repeat(100_000), b"second".repeat(100_000));
        let whole = [&a[..], &b[..]].concat();
        let zstd = |data: &[u8]| zstd::encode_all(data, 3).unwrap();
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        for blob in [
            whole.clone(),
            gzip(&whole),
            [gzip(&a), gzip(&b)].concat(),
            zstd(&whole),
            [&skippable[..], &zstd(&a), &zstd(&b), &skippable].concat(),
        ] {
            let expected = (Digest::of(&whole), whole.len() as u64);
            assert_eq!(read(&blob, &Limits::default()).unwrap(), expected);
        }
        assert_eq!(read(b"", &Limits::default()).unwrap(), (Digest::of(b""), 0));
    }

    #[test]
    fn truncated_and_flipped_streams_are_errors() {
        let data: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
        for (name, blob) in [("gzip", gzip(&data)), ("zstd", zstd::encode_all(&data[..], 3).unwrap())] {
            let e = read(&blob[..blob.len() / 2], &Limits::default()).unwrap_err();
            assert_eq!((e.kind(), e.to_string()), (Kind::Corrupt, format!("{name} stream is truncated")));
        }
        let mut flipped = gzip(&data);
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x10;
        assert_eq!(read(&flipped, &Limits::default()).unwrap_err().kind(), Kind::Corrupt);
        let trailing = [&gzip(&data)[..], b"junk that is no gzip member"].concat();
        assert_eq!(read(&trailing, &Limits::default()).unwrap_err().kind(), Kind::Corrupt);
    }

    #[test]
    fn limits_stop_bombs() {
        let zeros = vec![0; 8 << 20];
        let small = Limits { max_bytes: 1 << 20, ..Limits::default() };
        let ratio = Limits { max_ratio: 50, ratio_from: 1 << 20, ..Limits::default() };
        for blob in [gzip(&zeros), zstd::encode_all(&zeros[..], 3).unwrap()] {
            let e = read(&blob, &small).unwrap_err();
            assert_eq!(e.to_string(), "layer has more than 1048576 bytes when uncompressed");
            let e = read(&blob, &ratio).unwrap_err();
            assert_eq!(e.to_string(), "layer grows to more than 50 times its compressed size");
        }
    }

    #[test]
    fn other_compressions_are_named() {
        assert_eq!(read(b"BZh91AY&SY", &Limits::default()).unwrap_err().to_string(), "layer is compressed with bzip2");
        assert_eq!(read(b"\xfd7zXZ\0\0", &Limits::default()).unwrap_err().to_string(), "layer is compressed with xz");
    }
}
