//! `import`: an image of one layer from the archive of a root filesystem, such as `export` writes.
//!
//! The archive is inflated if it is packed, hashed (the diff id), packed with gzip and hashed again (the digest), in one pass.
//! That it is a tar archive shows its first header; what is wrong further on is found when the layer is unpacked, in the
//! user namespace, as every image's is.

use super::commit::{CommitOptions, compress, write};
use crate::base::{Doing, Error, Kind, Result};
use crate::image::config::{Execution, History, ImageConfig, RootFs};
use crate::image::{Digest, Platform, Reference, change};
use crate::state::events::{self, Event, Topic};
use crate::store::Store;
use std::io::{BufRead, BufReader, Read};

/// Bytes of a tar header.
const BLOCK: usize = 512;
/// Where its checksum is (POSIX.1-2001, ustar): as many octal digits, counted as spaces.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// `import`'s options.
#[derive(Debug)]
pub struct ImportOptions {
    /// The image's name; none for a dangling image.
    pub name: Option<Reference>,
    /// `--change`.
    pub changes: Vec<String>,
    /// `--message`, or where the archive came from.
    pub message: String,
    /// What the archive's programs run on.
    pub platform: Platform,
}

/// Makes the image; returns its id.
///
/// Errors: `Usage` for a bad change; `Corrupt` for what is no tar archive; `Unsupported` for one that is packed another way.
pub fn import(store: &Store, archive: impl Read, options: ImportOptions) -> Result<Digest> {
    let mut execution = Execution::default();
    change::apply(&mut execution, &options.changes)?;
    let mut archive = Checked::new(inflated(archive)?)?;
    let (blob, diff_id) = compress(&mut archive, store.new_blob()?)?;
    let layer = blob.finish(store)?;
    let now = jiff::Timestamp::now().to_string();
    let config = ImageConfig {
        created: Some(now.clone()),
        architecture: options.platform.architecture,
        variant: options.platform.variant,
        os: options.platform.os,
        config: execution,
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![diff_id] },
        history: vec![History { created: Some(now), comment: Some(options.message), ..History::default() }],
        ..ImageConfig::default()
    };
    let size = archive.files.bytes;
    let named = options.name.as_ref().map(ToString::to_string).unwrap_or_default();
    let how = CommitOptions { name: options.name, ..CommitOptions::default() };
    let id = write(store, None, layer, &config, size, &how)?;
    let event = Event::new(Topic::Image, "import", id.to_string(), named);
    events::append(store.paths(), &event.labelled(&config.config.labels));
    Ok(id)
}

/// The archive as it was before it was packed.
fn inflated<'a>(archive: impl Read + 'a) -> Result<Box<dyn Read + 'a>> {
    let mut archive = BufReader::with_capacity(256 << 10, archive);
    let mut magic = Vec::new();
    (&mut archive).take(6).read_to_end(&mut magic).doing(|| "read the archive")?;
    let whole = std::io::Cursor::new(magic.clone()).chain(archive);
    let packed = |by: &str, with: &str| {
        let e = Error::unsupported(format!("the archive is packed with {by}"));
        Err(e.hint(format!("unpack it on the way: `{with} -dc FILE | runr import -`")))
    };
    match magic.as_slice() {
        [0x1f, 0x8b, ..] => Ok(Box::new(flate2::bufread::MultiGzDecoder::new(whole))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Ok(Box::new(zstd::stream::read::Decoder::with_buffer(whole).doing(|| "read the archive")?))
        }
        [b'B', b'Z', b'h', ..] => packed("bzip2", "bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => packed("xz", "xz"),
        _ => Ok(Box::new(whole)),
    }
}

/// An archive whose first header was looked at.
struct Checked<R> {
    first: std::io::Cursor<Vec<u8>>,
    rest: R,
    files: Files,
}

impl<R: Read> Checked<R> {
    fn new(mut rest: R) -> Result<Self> {
        let mut first = Vec::new();
        (&mut rest).take(BLOCK as u64).read_to_end(&mut first).doing(|| "read the archive")?;
        if !is_header(&first) {
            return Err(Error::new(Kind::Corrupt, "it is not a tar archive of a root filesystem"));
        }
        Ok(Self { first: std::io::Cursor::new(first), rest, files: Files::default() })
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = match self.first.fill_buf()?.is_empty() {
            true => self.rest.read(buffer),
            false => self.first.read(buffer),
        }?;
        self.files.see(&buffer[..n]);
        Ok(n)
    }
}

/// How many bytes an archive's files have, which is an image's size as docker counts: without headers and padding.
#[derive(Default)]
struct Files {
    /// The header that is being read.
    header: Vec<u8>,
    /// How much content is still to come.
    content: u64,
    bytes: u64,
    /// Something that is no header stood where one should be: nothing after it can be counted.
    lost: bool,
}

impl Files {
    /// Takes the archive's next bytes.
    fn see(&mut self, mut data: &[u8]) {
        while !data.is_empty() && !self.lost {
            let content = usize::try_from(self.content).unwrap_or(usize::MAX).min(data.len());
            if content > 0 {
                self.content -= content as u64;
                data = &data[content..];
                continue;
            }
            let (part, rest) = data.split_at((BLOCK - self.header.len()).min(data.len()));
            self.header.extend_from_slice(part);
            data = rest;
            if self.header.len() == BLOCK {
                self.count();
                self.header.clear();
            }
        }
    }

    fn count(&mut self) {
        self.lost = !is_header(&self.header);
        let header = tar::Header::from_byte_slice(&self.header);
        let size = header.entry_size().unwrap_or(0);
        self.content = size.checked_next_multiple_of(BLOCK as u64).unwrap_or(u64::MAX);
        let is_file = header.entry_type().is_file() || header.entry_type().is_gnu_sparse();
        self.bytes = self.bytes.saturating_add(if is_file && !self.lost { size } else { 0 });
    }
}

/// A header, or the end of an archive with nothing in it.
fn is_header(block: &[u8]) -> bool {
    if block.len() != BLOCK {
        return false;
    }
    let digits = block[CHECKSUM].iter().skip_while(|b| **b == b' ').take_while(|b| (b'0'..=b'7').contains(b));
    let said = digits.fold(0u64, |sum, digit| sum * 8 + u64::from(digit - b'0'));
    let counted = |at: usize| if CHECKSUM.contains(&at) { b' ' } else { block[at] };
    let sum: u64 = (0..BLOCK).map(|at| u64::from(counted(at))).sum();
    sum == said || block.iter().all(|b| *b == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_without_headers_and_padding() {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, size) in [("a", 0), ("b", 1), ("c/d", 512), ("e", 1000)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(size);
            archive.append_data(&mut header, path, std::io::repeat(7).take(size)).unwrap();
        }
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, "f", "a").unwrap();
        let bytes = archive.into_inner().unwrap();
        for piece in [1, 511, 512, 4096] {
            let mut files = Files::default();
            bytes.chunks(piece).for_each(|chunk| files.see(chunk));
            assert_eq!((files.bytes, files.lost), (1513, false), "{piece}");
        }
        let mut files = Files::default();
        files.see(&bytes[1..]);
        assert_eq!((files.bytes, files.lost), (0, true));
        // Sizes that no archive can have.
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::MAX);
        header.set_cksum();
        files = Files::default();
        files.see(header.as_bytes());
        files.see(&[7; 600]);
    }

    #[test]
    fn an_archive_is_told_from_anything_else() {
        let mut header = tar::Header::new_gnu();
        header.set_path("etc/passwd").unwrap();
        header.set_cksum();
        assert!(is_header(header.as_bytes()));
        assert!(is_header(&[0; BLOCK]));
        let mut broken = header.as_bytes().to_vec();
        broken[0] ^= 1;
        for bad in [&broken[..], b"", &[b'7'; BLOCK], &header.as_bytes()[..100]] {
            assert!(!is_header(bad));
        }
    }
}
