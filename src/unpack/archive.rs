//! Reads tar archives entry by entry: v7, ustar, GNU and PAX, as docker's, GNU tar's and bsdtar's are.
//!
//! The `tar` crate gives the layout of headers; what lies above it (extended headers, long names, sparse maps, numbers) is
//! read here, because every one of these lengths and numbers is hostile and has a limit.
//!
//! Global PAX headers are read over, as docker does. Sizes of entries that can't have data (links, devices, directories)
//! are ignored, as Go and GNU tar do.

use super::limits::Limits;
use super::name;
use super::number;
use super::pax::Extensions;
use super::sparse::{MapReader, SparseMap, old_pieces};
use super::stream::{BLOCK, Stream, truncated};
use crate::base::{Error, Result};
use tar::Header;

/// The limit of Go's archive/tar and of bsdtar for one extended header or long name.
const MAX_EXTENDED: u64 = 1 << 20;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Directory,
    Symlink,
    HardLink,
    Fifo,
    CharDevice,
    BlockDevice,
}

/// One entry; its data is still in the archive.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: EntryKind,
    /// As in the archive, not cleaned.
    pub(super) name: Vec<u8>,
    /// As in the archive; of links.
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds and nanoseconds.
    pub(super) mtime: (i64, u32),
    /// The file's size, holes included.
    pub(super) size: u64,
    /// Where the data goes if the file has holes.
    pub(super) sparse: Option<SparseMap>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Major and minor number of a device.
    pub(super) device: (u32, u32),
}

/// Reads the entries of a stream.
pub(super) struct Archive<'a> {
    stream: Stream<'a>,
    limits: &'a Limits,
    /// Bytes of the current entry's data that nobody has read.
    data: u64,
    /// Padding behind them.
    padding: u64,
    started: bool,
}

impl<'a> Archive<'a> {
    pub(super) fn new(stream: Stream<'a>, limits: &'a Limits) -> Self {
        Self { stream, limits, data: 0, padding: 0, started: false }
    }

    /// The next entry; `None` at the archive's end.
    pub(super) fn next(&mut self) -> Result<Option<Entry>> {
        let mut ext = Extensions::default();
        let (mut long_name, mut long_link) = (None, None);
        loop {
            self.skip()?;
            let Some(block) = self.header()? else { return Ok(None) };
            let header = Header::from_byte_slice(&block);
            let old = header.as_old();
            let size = number::unsigned(&old.size).ok_or_else(|| bad_field("size", &old.name))?;
            match old.linkflag[0] {
                b'x' | b'X' => {
                    let data = self.extended(size)?;
                    ext.add(&data)?;
                }
                b'g' | b'V' => {
                    self.extended(size)?;
                }
                b'L' => long_name = Some(self.long_name(size)?),
                b'K' => long_link = Some(self.long_name(size)?),
                _ => {
                    let name = ext.path.take().or(long_name).unwrap_or_else(|| header_name(header));
                    ext.path = Some(name);
                    if ext.link.is_none() {
                        ext.link = long_link;
                    }
                    return self.entry(header, size, ext).map(Some);
                }
            }
        }
    }

    /// Hands the current entry's data to `sink` in pieces, in the order of the archive.
    pub(super) fn data(&mut self, sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let n = std::mem::take(&mut self.data);
        self.stream.pass(n, sink)
    }

    /// Reads over what is left of the current entry.
    fn skip(&mut self) -> Result<()> {
        self.stream.pass(std::mem::take(&mut self.data), |_| Ok(()))?;
        let padding = std::mem::take(&mut self.padding);
        // `umoci insert` leaves the padding of the last entry out, and Go's reader, hence docker and podman, accepts that.
        if padding == 0 || self.stream.fill()?.is_empty() {
            return Ok(());
        }
        self.stream.pass(padding, |_| Ok(()))
    }

    /// The next header block, its checksum verified; `None` at the end: two blocks of zeros, or no more blocks.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let Some(block) = self.stream.block()? else { return Ok(None) };
        if block == [0; BLOCK] {
            // One block of zeros in the middle is damage: readers disagree on what follows it.
            return match self.stream.block()? {
                Some(second) if second != [0; BLOCK] => Err(Error::corrupt("archive has a lone block of zeros")),
                _ => Ok(None),
            };
        }
        if !checksum_fits(&block) {
            let what = if self.started { "entry header is damaged" } else { "layer is not a tar archive" };
            return Err(Error::corrupt(what));
        }
        self.started = true;
        Ok(Some(block))
    }

    fn expect(&mut self, size: u64) {
        self.data = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    /// The data of an extended header.
    fn extended(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > MAX_EXTENDED {
            return Err(Error::corrupt(format!("extended header of {size} bytes; at most {MAX_EXTENDED} are allowed")));
        }
        self.expect(size);
        let mut data = Vec::with_capacity(size as usize);
        self.data(|piece| {
            data.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(data)
    }

    /// A GNU long name: it ends at the first NUL.
    fn long_name(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut data = self.extended(size)?;
        if let Some(end) = data.iter().position(|b| *b == 0) {
            data.truncate(end);
        }
        Ok(data)
    }

    fn entry(&mut self, header: &Header, size: u64, mut ext: Extensions) -> Result<Entry> {
        let old = header.as_old();
        let mut name = ext.path.take().unwrap_or_default();
        let kind = entry_kind(old.linkflag[0], &name)?;
        let stored = if kind == EntryKind::File { ext.size.unwrap_or(size) } else { 0 };
        let dumpdir = if old.linkflag[0] == b'D' { size } else { 0 };
        self.check_size(stored.max(dumpdir))?;
        self.expect(stored.max(dumpdir));
        let sparse = match kind {
            EntryKind::File => self.sparse_map(header, stored, &mut ext)?,
            _ => None,
        };
        if let Some(real) = ext.sparse.name.take() {
            name = real;
        }
        let unsigned = |field: &[u8], what: &str| number::unsigned(field).ok_or_else(|| bad_field(what, &name));
        let owner = |pax: Option<u64>, field: &[u8], what: &str| {
            let id = pax.map_or_else(|| unsigned(field, what), Ok)?;
            // 2^32-1 is the kernel's "no id".
            u32::try_from(id).ok().filter(|id| *id != u32::MAX).ok_or_else(|| bad_field(what, &name))
        };
        let mtime = || number::field(&old.mtime).map(|s| (s, 0)).ok_or_else(|| bad_field("mtime", &name));
        let entry = Entry {
            kind,
            link: ext.link.take().unwrap_or_else(|| until_nul(&old.linkname).to_vec()),
            mode: (unsigned(&old.mode, "mode")? & 0o7777) as u32,
            uid: owner(ext.uid, &old.uid, "uid")?,
            gid: owner(ext.gid, &old.gid, "gid")?,
            mtime: ext.mtime.map_or_else(mtime, Ok)?,
            size: sparse.as_ref().map_or(stored, |map| map.size),
            sparse,
            xattrs: ext.xattrs,
            device: device(header, kind).ok_or_else(|| bad_field("device number", &name))?,
            name,
        };
        self.check_size(entry.size)?;
        Ok(entry)
    }

    fn check_size(&self, size: u64) -> Result<()> {
        if size > self.limits.max_bytes {
            return Err(Error::corrupt(format!(
                "entry of {size} bytes; at most {} are allowed",
                self.limits.max_bytes
            )));
        }
        Ok(())
    }

    /// The map of a sparse file in whichever format; leaves its stored bytes as the entry's data.
    fn sparse_map(&mut self, header: &Header, stored: u64, ext: &mut Extensions) -> Result<Option<SparseMap>> {
        if header.as_old().linkflag[0] == b'S' {
            return self.old_sparse_map(header, stored).map(Some);
        }
        if !ext.sparse.map_in_data() {
            return ext.sparse.map(stored);
        }
        let mut reader = MapReader::default();
        loop {
            if self.data < BLOCK as u64 {
                return Err(Error::corrupt("sparse map that is longer than its entry"));
            }
            let block = self.stream.block()?.ok_or_else(truncated)?;
            self.data -= BLOCK as u64;
            if reader.block(&block)? {
                break;
            }
        }
        let size = ext.sparse.size.ok_or_else(|| Error::corrupt("sparse map without the file's size"))?;
        SparseMap::new(size, reader.segments(), self.data).map(Some)
    }

    fn old_sparse_map(&mut self, header: &Header, stored: u64) -> Result<SparseMap> {
        // GNU's own layout, whatever the magic says (star writes it too): table at 386, flag at 482, real size at 483.
        let bytes = header.as_bytes();
        let size = number::unsigned(&bytes[483..495]).ok_or_else(|| Error::corrupt("sparse map with a bad size"))?;
        let mut segments = Vec::new();
        old_pieces(&bytes[386..482], &mut segments)?;
        let mut extended = bytes[482] != 0;
        while extended {
            let block = self.stream.block()?.ok_or_else(truncated)?;
            old_pieces(&block[..504], &mut segments)?;
            extended = block[504] != 0;
        }
        SparseMap::new(size, segments, stored)
    }

    /// Reads over the rest of the stream.
    pub(super) fn drain(mut self) -> Result<()> {
        self.stream.drain()
    }

    /// Reads to the end of the stream: see [`Stream::finish`].
    pub(super) fn finish(self) -> Result<(crate::image::Digest, u64)> {
        self.stream.finish()
    }
}

fn bad_field(what: &str, raw_name: &[u8]) -> Error {
    Error::corrupt(format!("entry `{}` has a bad {what}", name::show(until_nul(raw_name))))
}

fn until_nul(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|b| *b == 0).unwrap_or(field.len())]
}

/// The name in the header: with ustar's prefix, which GNU headers use for something else.
fn header_name(header: &Header) -> Vec<u8> {
    let name = until_nul(&header.as_old().name);
    match header.as_ustar().map(|ustar| until_nul(&ustar.prefix)) {
        Some(prefix) if !prefix.is_empty() => [prefix, b"/", name].concat(),
        _ => name.to_vec(),
    }
}

fn entry_kind(flag: u8, name: &[u8]) -> Result<EntryKind> {
    match flag {
        // v7 tar had no type for directories; GNU tar and Go still read the slash as one.
        0 | b'0' | b'7' if name.ends_with(b"/") => Ok(EntryKind::Directory),
        0 | b'0' | b'7' | b'S' => Ok(EntryKind::File),
        b'1' => Ok(EntryKind::HardLink),
        b'2' => Ok(EntryKind::Symlink),
        b'3' => Ok(EntryKind::CharDevice),
        b'4' => Ok(EntryKind::BlockDevice),
        b'5' | b'D' => Ok(EntryKind::Directory),
        b'6' => Ok(EntryKind::Fifo),
        _ => {
            let flag = char::from(flag).escape_default();
            Err(Error::unsupported(format!("entry `{}` has the unknown type `{flag}`", name::show(name))))
        }
    }
}

fn device(header: &Header, kind: EntryKind) -> Option<(u32, u32)> {
    if !matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
        return Some((0, 0));
    }
    // In the same place in ustar and GNU headers; v7 archives hold no devices.
    let bytes = header.as_bytes();
    let part = |field: &[u8]| u32::try_from(number::unsigned(field)?).ok();
    Some((part(&bytes[329..337])?, part(&bytes[337..345])?))
}

/// The sum of all bytes, those of the checksum field as blanks; some old tars summed signed bytes.
fn checksum_fits(block: &[u8; BLOCK]) -> bool {
    let field = 148..156;
    let Some(stored) = number::field(&block[field.clone()]) else { return false };
    let outside = block[..field.start].iter().chain(&block[field.end..]);
    let (mut unsigned, mut signed) = (8 * i64::from(b' '), 8 * i64::from(b' '));
    for byte in outside {
        unsigned += i64::from(*byte);
        signed += i64::from(byte.cast_signed());
    }
    stored == unsigned || stored == signed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a whole archive: names and sizes, or the first error.
    fn read(bytes: &[u8]) -> Result<Vec<(Vec<u8>, u64)>> {
        let limits = Limits::default();
        let mut archive = Archive::new(Stream::new(bytes, &limits)?, &limits);
        let mut seen = Vec::new();
        while let Some(entry) = archive.next()? {
            let mut stored = 0;
            archive.data(|piece| {
                stored += piece.len() as u64;
                Ok(())
            })?;
            if let Some(map) = &entry.sparse {
                assert_eq!(map.segments.iter().map(|s| s.length).sum::<u64>(), stored);
            }
            seen.push((entry.name, entry.size));
        }
        archive.finish()?;
        Ok(seen)
    }

    fn sample() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
        for (name, size) in [("a", 3usize), (&long[..], 1000), ("b/c", 512), ("e", 0)] {
            header.set_size(size as u64);
            builder.append_data(&mut header, name, &vec![7; size][..]).unwrap();
        }
        let pax = [("path", &b"named by pax"[..]), ("SCHILY.xattr.user.x", b"1"), ("mtime", b"1.5")];
        builder.append_pax_extensions(pax).unwrap();
        header.set_size(5);
        builder.append_data(&mut header, "short", &b"hello"[..]).unwrap();
        header.set_entry_type(tar::EntryType::Symlink);
        builder.append_link(&mut header, "link", "t".repeat(150)).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn long_names_and_extended_headers_apply_to_the_next_entry() {
        let names: Vec<(String, u64)> =
            read(&sample()).unwrap().into_iter().map(|(n, s)| (String::from_utf8(n).unwrap(), s)).collect();
        assert_eq!(names.len(), 6);
        assert_eq!(names[1].0.len(), 181);
        assert_eq!(names[4], ("named by pax".to_owned(), 5));
        assert_eq!(names[5], ("link".to_owned(), 0));
    }

    #[test]
    fn ends_and_damage() {
        let whole = sample();
        let end = whole.len() - 1024;
        let mut lone = whole[..end].to_vec();
        lone.extend([0; 512]);
        lone.extend(&whole[..512]);
        assert_eq!(read(&whole[..end]).unwrap().len(), 6, "no blocks of zeros at the end");
        assert_eq!(read(&whole[..end + 512]).unwrap().len(), 6, "one block of zeros at the end");
        assert_eq!(read(b"").unwrap(), []);
        let mut flipped = whole.clone();
        flipped[1024] ^= 1;
        for (what, bytes, text) in [
            ("lone zeros", &lone[..], "archive has a lone block of zeros"),
            ("middle of a header", &whole[..700], "archive is truncated"),
            ("middle of data", &whole[..1600], "archive is truncated"),
            ("no tar", &[b'x'; 600], "layer is not a tar archive"),
            ("bit flip", &flipped, "entry header is damaged"),
        ] {
            assert_eq!(read(bytes).unwrap_err().to_string(), text, "{what}");
        }
    }

    #[test]
    fn hostile_headers() {
        let change = |at: usize, bytes: &[u8]| {
            let mut tar = sample();
            tar[at..at + bytes.len()].copy_from_slice(bytes);
            let mut header = Header::new_old();
            header.as_mut_bytes().copy_from_slice(&tar[..512]);
            header.set_cksum();
            tar[..512].copy_from_slice(header.as_bytes());
            read(&tar).unwrap_err().to_string()
        };
        assert_eq!(change(124, b"-0000000001\0"), "entry `a` has a bad size");
        assert_eq!(change(124, &[0xff; 12]), "entry `a` has a bad size");
        assert_eq!(
            change(124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"),
            format!("entry of {} bytes; at most {} are allowed", i64::MAX, Limits::default().max_bytes)
        );
        assert_eq!(change(108, b"\x80\0\0\0\xff\xff\xff\xff"), "entry `a` has a bad uid");
        assert_eq!(change(116, b"\x80\0\0\x01\0\0\0\0"), "entry `a` has a bad gid");
        assert_eq!(change(100, b"zzzzzzz\0"), "entry `a` has a bad mode");
        assert_eq!(change(156, b"?"), "entry `a` has the unknown type `?`");
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let _ = read(&bytes);
        }

        #[test]
        fn mutated_archives_never_panic(
            changes in proptest::collection::vec((0usize..9000, any::<u8>()), 1..8),
            fix in any::<bool>(),
        ) {
            let mut tar = sample();
            let length = tar.len();
            for (at, byte) in changes {
                let at = at % length;
                tar[at] = byte;
                if fix {
                    // Past the checksum, to what lies behind it.
                    let start = at / 512 * 512;
                    let mut header = Header::new_old();
                    header.as_mut_bytes().copy_from_slice(&tar[start..start + 512]);
                    header.set_cksum();
                    tar[start + 148..start + 156].copy_from_slice(&header.as_bytes()[148..156]);
                }
            }
            let _ = read(&tar);
        }
    }
}
