//! The headers of a tar entry: ustar (POSIX.1-1988), with a PAX extended header before it for what ustar has no room for.
//!
//! Readers of layers agree on these two. A PAX header is written only where it is needed: it costs a kilobyte for each entry.

use crate::base::{Error, Result};

/// A tar block.
const BLOCK: usize = 512;
/// The largest number in seven octal digits: uid, gid, device numbers.
const MAX_SHORT: u64 = 0o7_777_777;
/// The largest number in eleven octal digits: sizes and times.
const MAX_LONG: u64 = 0o77_777_777_777;

/// What an entry is: the type flag of ustar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    File = b'0' as isize,
    HardLink = b'1' as isize,
    Symlink = b'2' as isize,
    CharDevice = b'3' as isize,
    BlockDevice = b'4' as isize,
    Directory = b'5' as isize,
    Fifo = b'6' as isize,
}

/// All that is said about one entry.
#[derive(Debug, Clone)]
pub(super) struct Header<'a> {
    pub(super) flag: Flag,
    /// Relative; a directory's ends with a slash.
    pub(super) name: &'a [u8],
    /// Of links.
    pub(super) link: &'a [u8],
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds and nanoseconds; the latter are written only if they are not 0.
    pub(super) mtime: (i64, u32),
    /// Of a file's data.
    pub(super) size: u64,
    /// Major and minor number of a device.
    pub(super) device: (u64, u64),
    /// Extended attributes.
    pub(super) xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

impl Header<'_> {
    /// Appends the header's blocks to `out`.
    ///
    /// # Errors
    /// `Unsupported` for a device number that ustar cannot say.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let records = self.records();
        if !records.is_empty() {
            self.block(out, b'x', b"././@PaxHeader", b"", records.len() as u64)?;
            out.extend_from_slice(&records);
            out.resize(out.len() + padding(records.len() as u64), 0);
        }
        self.block(out, self.flag as u8, self.name, self.link, self.size)
    }

    /// The PAX records for what does not fit.
    fn records(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.name.len() > 100 {
            record(&mut out, b"path", self.name);
        }
        if self.link.len() > 100 {
            record(&mut out, b"linkpath", self.link);
        }
        if self.size > MAX_LONG {
            record(&mut out, b"size", self.size.to_string().as_bytes());
        }
        for (key, id) in [("uid", self.uid), ("gid", self.gid)] {
            if u64::from(id) > MAX_SHORT {
                record(&mut out, key.as_bytes(), id.to_string().as_bytes());
            }
        }
        if let Some(text) = self.pax_time() {
            record(&mut out, b"mtime", text.as_bytes());
        }
        for (name, value) in self.xattrs {
            record(&mut out, &[b"SCHILY.xattr.", &name[..]].concat(), value);
        }
        out
    }

    fn pax_time(&self) -> Option<String> {
        let (seconds, nanos) = self.mtime;
        if nanos == 0 {
            return u64::try_from(seconds).map_or(true, |s| s > MAX_LONG).then(|| seconds.to_string());
        }
        // Decimal, so before 1970 the fraction counts away from the second above.
        let (sign, seconds, nanos) = match seconds {
            0.. => ("", seconds.unsigned_abs(), nanos),
            _ => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanos),
        };
        Some(format!("{sign}{seconds}.{nanos:09}").trim_end_matches('0').to_owned())
    }

    fn block(&self, out: &mut Vec<u8>, flag: u8, name: &[u8], link: &[u8], size: u64) -> Result<()> {
        let mut block = [0u8; BLOCK];
        let mut put = |at: usize, room: usize, bytes: &[u8]| {
            let n = bytes.len().min(room);
            block[at..at + n].copy_from_slice(&bytes[..n]);
        };
        let short = |n: u64| format!("{n:07o}\0");
        // What does not fit stands in the PAX header, which comes first.
        let fitting = |n: u64, most: u64| if n > most { 0 } else { n };
        let (major, minor) = self.device;
        if major > MAX_SHORT || minor > MAX_SHORT {
            return Err(Error::unsupported(format!("device number {major}:{minor} does not fit into a tar archive")));
        }
        put(0, 100, name);
        put(100, 8, short(u64::from(self.mode & 0o7777)).as_bytes());
        put(108, 8, short(fitting(self.uid.into(), MAX_SHORT)).as_bytes());
        put(116, 8, short(fitting(self.gid.into(), MAX_SHORT)).as_bytes());
        put(124, 12, format!("{:011o}\0", fitting(size, MAX_LONG)).as_bytes());
        let seconds = u64::try_from(self.mtime.0).map_or(0, |s| fitting(s, MAX_LONG));
        put(136, 12, format!("{seconds:011o}\0").as_bytes());
        put(148, 8, b"        ");
        put(156, 1, &[flag]);
        put(157, 100, link);
        put(257, 8, b"ustar\x0000");
        put(329, 8, short(major).as_bytes());
        put(337, 8, short(minor).as_bytes());
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend_from_slice(&block);
        Ok(())
    }
}

/// How many zeros follow `size` bytes of data.
pub(super) fn padding(size: u64) -> usize {
    let block = BLOCK as u64;
    ((block - size % block) % block) as usize
}

/// `length key=value\n`, where the length counts its own digits.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} ").as_bytes());
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(name: &'a [u8], link: &'a [u8]) -> Header<'a> {
        Header {
            flag: Flag::File,
            name,
            link,
            mode: 0o4755,
            uid: 0,
            gid: 0,
            mtime: (1, 0),
            size: 0,
            device: (0, 0),
            xattrs: &[],
        }
    }

    #[test]
    fn plain_entries_are_one_block_and_others_say_more() {
        let blocks = |header: &Header<'_>| {
            let mut out = Vec::new();
            header.write(&mut out).unwrap();
            out.len() / 512
        };
        let long = [b'n'; 101];
        assert_eq!(blocks(&header(b"a", b"")), 1);
        assert_eq!(blocks(&header(&long[..100], &long[..100])), 1);
        assert_eq!(blocks(&header(&long, b"")), 3);
        assert_eq!(blocks(&header(b"a", &long)), 3);
        for changed in [
            Header { uid: 0o10_000_000, ..header(b"a", b"") },
            Header { size: 1 << 33, ..header(b"a", b"") },
            Header { mtime: (-1, 0), ..header(b"a", b"") },
            Header { mtime: (1, 5), ..header(b"a", b"") },
            Header { xattrs: &[(b"user.a".to_vec(), vec![0, 10])], ..header(b"a", b"") },
        ] {
            assert_eq!(blocks(&changed), 3, "{changed:?}");
        }
        assert!(Header { device: (1 << 30, 0), ..header(b"a", b"") }.write(&mut Vec::new()).is_err());
    }

    #[test]
    fn times_are_decimal() {
        for (mtime, expected) in [
            ((5, 0), None),
            ((5, 500_000_000), Some("5.5")),
            ((0, 1), Some("0.000000001")),
            ((-5, 0), Some("-5")),
            ((-1, 500_000_000), Some("-0.5")),
            ((-2, 250_000_000), Some("-1.75")),
        ] {
            assert_eq!(Header { mtime, ..header(b"a", b"") }.pax_time().as_deref(), expected, "{mtime:?}");
        }
    }

    #[test]
    fn a_record_counts_its_own_length() {
        for length in [1, 90, 91, 92, 93, 94, 980, 990, 9990] {
            let mut out = Vec::new();
            record(&mut out, b"path", &vec![b'x'; length]);
            let said: usize = std::str::from_utf8(&out).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert_eq!(said, out.len());
        }
    }
}
