//! The table of a tar file: where each file's bytes lie, so that they are read in any order and more than once (POSIX.1-2001
//! ustar and pax; GNU long names). An archive packed with gzip or zstd is inflated first, into a file without a name.

use super::files::Files;
use super::section::Section;
use crate::base::{Doing, Error, Kind, Result};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

const BLOCK: u64 = 512;
/// More entries than any image archive has.
const MAX_ENTRIES: usize = 200_000;
/// Longest name, and longest record of extended headers.
const MAX_NAME: u64 = 64 << 10;
/// How many links lead to a file at most.
const MAX_HOPS: usize = 16;
/// Bytes that an inflated archive may have.
const MAX_INFLATED: u64 = 256 << 30;

enum Entry {
    File { start: u64, len: u64 },
    Link(String),
}

/// A tar file's table.
pub(super) struct Tar {
    file: Arc<File>,
    entries: HashMap<String, Entry>,
}

impl Tar {
    /// Opens a tar file, plain or compressed.
    pub(super) fn open(path: &Path, scratch: &Path) -> Result<Self> {
        let name = || format!("read `{}`", path.display());
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).doing(name)?;
        if !file.metadata().doing(name)?.is_file() {
            return Err(Error::usage(format!("`{}` is not a file", path.display())));
        }
        let mut magic = [0u8; 4];
        let n = file.read_at(&mut magic, 0).doing(name)?;
        let file = match magic[..n] {
            [0x1f, 0x8b, ..] => inflate(flate2::read::MultiGzDecoder::new(BufReader::new(file)), scratch),
            [0x28, 0xb5, 0x2f, 0xfd] => zstd::Decoder::new(file).doing(name).and_then(|d| inflate(d, scratch)),
            _ => Ok(file),
        }
        .doing(name)?;
        let entries = scan(&file).doing(name)?;
        Ok(Self { file: Arc::new(file), entries })
    }
}

impl Files for Tar {
    fn find(&self, name: &str) -> Result<Option<Section>> {
        let Some(mut name) = normalise("", name) else { return Ok(None) };
        for _ in 0..MAX_HOPS {
            match self.entries.get(&name) {
                None => return Ok(None),
                Some(Entry::File { start, len }) => {
                    return Ok(Some(Section::new(Arc::clone(&self.file), *start, *len)));
                }
                Some(Entry::Link(target)) => name = target.clone(),
            }
        }
        Err(Error::corrupt(format!("`{name}` in it is a loop of links")))
    }
}

fn inflate(packed: impl Read, scratch: &Path) -> Result<File> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .mode(0o600)
        .open(scratch)
        .or_else(|_| unlinked_file(scratch))
        .doing(|| format!("create a temporary file in `{}`", scratch.display()))?;
    let n = std::io::copy(&mut packed.take(MAX_INFLATED + 1), &mut file).map_err(|e| match e.raw_os_error() {
        Some(_) => Error::from(e),
        None => Error::corrupt(e.to_string()),
    });
    if n.doing(|| "inflate")? > MAX_INFLATED {
        return Err(Error::new(Kind::Denied, format!("it inflates to more than {MAX_INFLATED} bytes")));
    }
    file.rewind().doing(|| "rewind")?;
    Ok(file)
}

/// For file systems without O_TMPFILE (overlay before Linux 6.1, NFS).
fn unlinked_file(scratch: &Path) -> std::io::Result<File> {
    let path = scratch.join(crate::base::fsx::unique_name("probe-archive"));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// What extended headers said about the next entry.
#[derive(Default)]
struct Extended {
    name: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

fn scan(file: &File) -> Result<HashMap<String, Entry>> {
    let end = file.metadata()?.len();
    let mut entries = HashMap::new();
    let mut extended = Extended::default();
    let mut position = 0;
    let mut headers = 0;
    while position + BLOCK <= end {
        let mut header = [0u8; BLOCK as usize];
        file.read_exact_at(&mut header, position)?;
        if header.iter().all(|b| *b == 0) {
            return Ok(entries);
        }
        headers += 1;
        if headers > MAX_ENTRIES {
            return Err(Error::corrupt(format!("it has more than {MAX_ENTRIES} entries")));
        }
        check_sum(&header)?;
        let start = position + BLOCK;
        let kind = header[156];
        let own_size = number(&header[124..136])?;
        let size = if matches!(kind, b'L' | b'K' | b'x' | b'g') { own_size } else { extended.size.unwrap_or(own_size) };
        let next = size.checked_next_multiple_of(BLOCK).and_then(|s| start.checked_add(s));
        // The very last entry's padding may be missing.
        let Some(next) = next.filter(|_| size <= end - start) else {
            return Err(
                Error::corrupt("it ends in the middle of a file").hint("the archive was not written to its end")
            );
        };
        position = next;
        let text =
            |len: u64| -> Result<Vec<u8>> { Section::new(Arc::new(file.try_clone()?), start, len).read(MAX_NAME) };
        match kind {
            b'L' => extended.name = Some(c_text(&text(size)?)),
            b'K' => extended.link = Some(c_text(&text(size)?)),
            b'x' => read_pax(&text(size)?, &mut extended)?,
            b'g' => {}
            _ => {
                let this = std::mem::take(&mut extended);
                insert(&mut entries, &header, this, start, size);
            }
        }
    }
    if headers == 0 {
        return Err(Error::corrupt("it is not a tar archive"));
    }
    Ok(entries)
}

fn insert(entries: &mut HashMap<String, Entry>, header: &[u8; 512], extended: Extended, start: u64, len: u64) {
    let own_name = || {
        let (name, prefix) = (c_text(&header[..100]), c_text(&header[345..500]));
        if header[257..].starts_with(b"ustar\0") && !prefix.is_empty() { format!("{prefix}/{name}") } else { name }
    };
    // An entry whose name leaves the archive is nobody's: no document refers to it.
    let Some(name) = normalise("", &extended.name.unwrap_or_else(own_name)) else { return };
    let target = || extended.link.clone().unwrap_or_else(|| c_text(&header[157..257]));
    let entry = match header[156] {
        b'0' | b'\0' | b'7' => Some(Entry::File { start, len }),
        b'1' => normalise("", &target()).map(Entry::Link),
        b'2' => normalise(name.rsplit_once('/').map_or("", |(folder, _)| folder), &target()).map(Entry::Link),
        _ => None,
    };
    if let Some(entry) = entry {
        entries.insert(name, entry);
    }
}

/// `name` seen from `folder`, without `.` and `..`; `None` if it leaves the archive or is longer than names are.
fn normalise(folder: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    let folder = if name.starts_with('/') { "" } else { folder };
    for part in folder.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    (!joined.is_empty() && joined.len() <= 4096).then_some(joined)
}

fn c_text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// The unsigned sum of the header with its own field as blanks.
fn check_sum(header: &[u8; 512]) -> Result<()> {
    let sum: u64 =
        header.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u64::from(*b) }).sum();
    if number(&header[148..156])? == sum { Ok(()) } else { Err(Error::corrupt("it is not a tar archive, or damaged")) }
}

/// An octal number, or GNU's base 256 for large ones.
fn number(field: &[u8]) -> Result<u64> {
    let bad = || Error::corrupt("a number in a tar header is wrong");
    if field[0] & 0x80 != 0 {
        let mut value = u64::from(field[0] & 0x7f);
        for byte in &field[1..] {
            value = value.checked_mul(256).and_then(|v| v.checked_add(u64::from(*byte))).ok_or_else(bad)?;
        }
        return Ok(value);
    }
    let text = c_text(field);
    let digits = text.trim_matches(' ');
    if digits.is_empty() { Ok(0) } else { u64::from_str_radix(digits, 8).map_err(|_| bad()) }
}

/// Records `LENGTH KEY=VALUE\n` of a pax extended header.
fn read_pax(mut bytes: &[u8], extended: &mut Extended) -> Result<()> {
    let bad = || Error::corrupt("an extended tar header is wrong");
    while !bytes.is_empty() {
        let blank = bytes.iter().position(|b| *b == b' ').ok_or_else(bad)?;
        let digits = std::str::from_utf8(&bytes[..blank]).map_err(|_| bad())?;
        let length: usize = digits.parse().map_err(|_| bad())?;
        let record = bytes.get(blank + 1..length).ok_or_else(bad)?;
        let record = record.strip_suffix(b"\n").ok_or_else(bad)?;
        let equals = record.iter().position(|b| *b == b'=').ok_or_else(bad)?;
        let value = || String::from_utf8_lossy(&record[equals + 1..]).into_owned();
        match &record[..equals] {
            b"path" => extended.name = Some(value()),
            b"linkpath" => extended.link = Some(value()),
            b"size" => extended.size = Some(value().parse().map_err(|_| bad())?),
            _ => {}
        }
        bytes = &bytes[length..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn open(bytes: &[u8]) -> Result<Tar> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tar");
        std::fs::write(&path, bytes).unwrap();
        Tar::open(&path, dir.path())
    }

    fn sample() -> Vec<u8> {
        let mut builder = ::tar::Builder::new(Vec::new());
        let mut add = |name: &str, data: &[u8]| {
            let mut header = ::tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            builder.append_data(&mut header, name, data).unwrap();
        };
        add("./a/one", b"first");
        add(&format!("{}/deep", "d/".repeat(80)), b"long name");
        let mut header = ::tar::Header::new_ustar();
        header.set_size(0);
        header.set_entry_type(::tar::EntryType::Symlink);
        builder.append_link(&mut header, "b/two", "../a/one").unwrap();
        header.set_entry_type(::tar::EntryType::Symlink);
        builder.append_link(&mut header, "loop", "loop").unwrap();
        builder.append_link(&mut header, "out", "../../etc/passwd").unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn files_are_found_through_links_and_long_names_and_never_outside() {
        let plain = sample();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        for bytes in [plain.clone(), gzip.finish().unwrap(), zstd::encode_all(&plain[..], 1).unwrap()] {
            let tar = open(&bytes).unwrap();
            assert_eq!(tar.read("a/one", 10).unwrap(), b"first");
            assert_eq!(tar.read("b/two", 10).unwrap(), b"first");
            assert_eq!(tar.read(&format!("{}deep", "d/".repeat(80)), 10).unwrap(), b"long name");
            assert!(tar.find("loop").is_err());
            assert!(tar.find("out").unwrap().is_none() && tar.find("../a/one").unwrap().is_none());
            assert!(tar.read("a/one", 4).is_err());
        }
    }

    #[test]
    fn a_cut_archive_is_an_error_and_no_archive_too() {
        let bytes = sample();
        assert!(open(&bytes[..514]).is_err());
        assert!(open(b"hello").is_err());
        assert!(open(&[7; 2048]).is_err());
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0usize..3000, value: u8) {
            let mut bytes = sample();
            let at = at % bytes.len();
            bytes[at] = value;
            if let Ok(tar) = open(&bytes) {
                drop(tar.find("b/two"));
            }
        }
    }
}
