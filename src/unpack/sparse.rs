//! Sparse files: the maps of GNU tar's four ways to write one (its manual, "Storing Sparse Files"): the old `S` header with
//! extension blocks, and PAX formats 0.0 (records), 0.1 (one record) and 1.0 (in front of the data).

use super::number;
use crate::base::{Error, Result};

/// No honest archiver writes more pieces for one file; each costs memory and a system call.
const MAX_SEGMENTS: usize = 1 << 18;

/// A piece of a sparse file that has data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// A checked map: segments ascend, do not overlap and end at or before `size`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SparseMap {
    /// The file's size with its holes.
    pub(super) size: u64,
    /// Where the stored bytes go, in their order in the archive.
    pub(super) segments: Vec<Segment>,
}

impl SparseMap {
    /// Checks a map against the number of bytes the archive stores for it.
    pub(super) fn new(size: u64, mut segments: Vec<Segment>, stored: u64) -> Result<Self> {
        let bad = |what: &str| Err(Error::corrupt(format!("sparse map {what}")));
        let (mut end, mut sum) = (0u64, 0u64);
        for segment in &segments {
            if segment.offset < end {
                return bad("with overlapping pieces");
            }
            end = match segment.offset.checked_add(segment.length) {
                Some(end) if end <= size => end,
                _ => return bad("that goes beyond the file's size"),
            };
            sum += segment.length;
        }
        if sum != stored {
            return bad("that does not fit the stored data");
        }
        segments.retain(|s| s.length > 0);
        Ok(Self { size, segments })
    }
}

/// What PAX records say about a sparse file, before it is known which format they make.
#[derive(Debug, Default)]
pub(super) struct SparsePax {
    /// The file's real name in formats 0.1 and 1.0; `path` holds one for archivers that know no sparse files.
    pub(super) name: Option<Vec<u8>>,
    /// The file's size with its holes.
    pub(super) size: Option<u64>,
    /// `GNU.sparse.major`, `GNU.sparse.minor`.
    version: (u64, u64),
    segments: Vec<Segment>,
    /// Format 0.0: an offset whose length is still to come.
    offset: Option<u64>,
    seen: bool,
}

impl SparsePax {
    /// Takes the record `GNU.sparse.<key>`; `None` if its value is bad.
    pub(super) fn record(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.size = Some(number::decimal(value)?),
            b"major" => self.version.0 = number::decimal(value)?,
            b"minor" => self.version.1 = number::decimal(value)?,
            b"offset" => {
                self.seen = true;
                if self.offset.replace(number::decimal(value)?).is_some() {
                    return None;
                }
            }
            b"numbytes" => self.push(number::decimal(value)?)?,
            b"map" => {
                self.seen = true;
                self.segments.clear();
                for (i, text) in value.split(|b| *b == b',').enumerate() {
                    let number = number::decimal(text)?;
                    if i % 2 == 0 { self.offset = Some(number) } else { self.push(number)? }
                }
                if self.offset.is_some() {
                    return None;
                }
            }
            b"numblocks" => self.seen = true,
            _ => {}
        }
        Some(())
    }

    fn push(&mut self, length: u64) -> Option<()> {
        let offset = self.offset.take()?;
        self.segments.push(Segment { offset, length });
        (self.segments.len() <= MAX_SEGMENTS).then_some(())
    }

    /// True for format 1.0, whose map is in front of the data: see [`MapReader`].
    pub(super) fn map_in_data(&self) -> bool {
        self.version == (1, 0)
    }

    /// The map of formats 0.0 and 0.1; `None` if the file is not sparse.
    ///
    /// # Errors
    /// `Corrupt` when the records contradict each other or `stored`; `Unsupported` for a version that does not exist yet.
    pub(super) fn map(&mut self, stored: u64) -> Result<Option<SparseMap>> {
        if self.version.0 > 1 || (self.version.0 == 1 && self.version.1 > 0) {
            let (major, minor) = self.version;
            return Err(Error::unsupported(format!("sparse file of unknown format {major}.{minor}")));
        }
        if !self.seen {
            return Ok(None);
        }
        if self.offset.is_some() {
            return Err(Error::corrupt("sparse map with an offset but no length"));
        }
        let size = self.size.ok_or_else(|| Error::corrupt("sparse map without the file's size"))?;
        SparseMap::new(size, std::mem::take(&mut self.segments), stored).map(Some)
    }
}

/// The four-piece table at the end of an old GNU header, or the 21-piece one of its extension blocks: pairs of 12-byte
/// numbers; an empty pair ends it.
pub(super) fn old_pieces(table: &[u8], segments: &mut Vec<Segment>) -> Result<()> {
    for piece in table.chunks_exact(24) {
        if piece[0] == 0 || piece[12] == 0 {
            break;
        }
        let (offset, length) = match (number::unsigned(&piece[..12]), number::unsigned(&piece[12..])) {
            (Some(offset), Some(length)) => (offset, length),
            _ => return Err(Error::corrupt("sparse map with a bad number")),
        };
        if segments.len() == MAX_SEGMENTS {
            return Err(too_many());
        }
        segments.push(Segment { offset, length });
    }
    Ok(())
}

fn too_many() -> Error {
    Error::corrupt(format!("sparse map of more than {MAX_SEGMENTS} pieces"))
}

/// Reads the map of format 1.0 from blocks of 512 bytes: lines of decimal numbers, first how many pairs follow, padded to
/// a whole block.
#[derive(Debug, Default)]
pub(super) struct MapReader {
    /// Digits of a number that goes on in the next block.
    digits: Vec<u8>,
    pairs: Option<usize>,
    numbers: Vec<u64>,
}

impl MapReader {
    /// Takes the next block; true when the map is complete.
    pub(super) fn block(&mut self, block: &[u8]) -> Result<bool> {
        let bad = || Error::corrupt("sparse map with a bad number");
        for &byte in block {
            if byte != b'\n' {
                if self.digits.len() >= 20 {
                    return Err(bad());
                }
                self.digits.push(byte);
                continue;
            }
            let number = number::decimal(&self.digits).ok_or_else(bad)?;
            self.digits.clear();
            match self.pairs {
                None if number > MAX_SEGMENTS as u64 => return Err(too_many()),
                None => self.pairs = Some(number as usize),
                Some(_) => self.numbers.push(number),
            }
            if self.pairs.is_some_and(|pairs| self.numbers.len() == pairs * 2) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The pieces read.
    pub(super) fn segments(self) -> Vec<Segment> {
        self.numbers.chunks_exact(2).map(|pair| Segment { offset: pair[0], length: pair[1] }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(offset: u64, length: u64) -> Segment {
        Segment { offset, length }
    }

    #[test]
    fn maps_are_checked() {
        let ok = SparseMap::new(100, vec![segment(0, 10), segment(50, 0), segment(90, 10)], 20).unwrap();
        assert_eq!(ok.segments, [segment(0, 10), segment(90, 10)]);
        for (size, pieces, stored) in [
            (100, vec![segment(50, 10), segment(0, 10)], 20),
            (100, vec![segment(0, 10), segment(5, 10)], 20),
            (100, vec![segment(95, 10)], 10),
            (100, vec![segment(u64::MAX, 10)], 10),
            (100, vec![segment(0, 10)], 11),
        ] {
            assert!(SparseMap::new(size, pieces, stored).is_err());
        }
    }

    #[test]
    fn pax_formats() {
        let mut zero = SparsePax::default();
        for (key, value) in [("size", "100"), ("numblocks", "2"), ("offset", "0"), ("numbytes", "10")] {
            zero.record(key.as_bytes(), value.as_bytes()).unwrap();
        }
        assert_eq!(zero.map(10).unwrap().unwrap().segments, [segment(0, 10)]);
        let mut one = SparsePax::default();
        one.record(b"map", b"0,10,90,10").unwrap();
        one.record(b"size", b"100").unwrap();
        assert_eq!(one.map(20).unwrap().unwrap().size, 100);
        assert!(SparsePax::default().record(b"map", b"0,10,90").is_none());
        assert!(SparsePax::default().record(b"numbytes", b"10").is_none());
        assert_eq!(SparsePax::default().map(0).unwrap(), None);
    }

    #[test]
    fn map_in_front_of_the_data() {
        let mut reader = MapReader::default();
        assert!(!reader.block(b"2\n0\n1").unwrap());
        assert!(reader.block(b"0\n90\n10\n\0\0\0").unwrap());
        assert_eq!(reader.segments(), [segment(0, 10), segment(90, 10)]);
        assert!(MapReader::default().block(b"0\n").unwrap());
        assert!(MapReader::default().block(b"99999999\n").is_err());
        assert!(MapReader::default().block(b"x\n").is_err());
        assert!(MapReader::default().block(&[b'1'; 512]).is_err());
    }
}
