//! `--log-opt compress=true`: older files of a log as gzip, made by a process beside the monitor, read back into a file without
//! a name.
//!
//! ```text
//! ctr.log.7           what a rotation left
//! ctr.log.7.gz.part   being written: whoever writes has a lock on it
//! ctr.log.7.gz        whole; only then the other one goes, so that one of them is always there
//! ```
//! A reader that has the plain file open must be able to tell which number it got, so its inode stands in gzip's header.

use super::files;
use crate::base::{Doing, Result, fsx};
use crate::sys::lock;
use flate2::read::MultiGzDecoder;
use flate2::{Compression, GzBuilder};
use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Our subfield of gzip's extra field (RFC 1952, 2.3.1.1): two letters and the length of what follows.
const FIELD: [u8; 4] = [b'r', b'u', 16, 0];

/// Packs the older files of a log that are not packed yet, the oldest first.
///
/// Errors: those of the first file that cannot be packed: it stays as it is.
pub fn pack_older(current: &Path) -> Result<()> {
    for number in files::older(current)? {
        match open(&files::numbered(current, number)) {
            Ok(plain) => pack(&plain, current, number)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e).doing(|| "open an older file of the log"),
        }
    }
    Ok(())
}

fn pack(plain: &File, current: &Path, number: u64) -> Result<()> {
    let part = files::part(current, number);
    let doing = || format!("write `{}`", part.display());
    // Somebody else may be able to write to a folder of the user's: what stands there is not followed.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let target = options.open(&part).doing(doing)?;
    // Another monitor's process may be at it still, when the container was started again at once.
    if !lock::try_lock(&target, lock::Mode::Exclusive)? {
        return Ok(());
    }
    let written = (|| -> std::io::Result<()> {
        target.set_len(0)?;
        let meta = plain.metadata()?;
        let extra = [&FIELD[..], &meta.dev().to_le_bytes(), &meta.ino().to_le_bytes()].concat();
        let mut encoder = GzBuilder::new().extra(extra).write(&target, Compression::default());
        std::io::copy(&mut &*plain, &mut encoder)?;
        encoder.finish()?;
        // The plain file goes after this; a power cut must not take both.
        target.sync_data()
    })();
    if let Err(e) = written {
        // On a full disk it would be in the way.
        drop(fsx::remove_file(&part));
        return Err(e).doing(doing);
    }
    fsx::rename(&part, &files::packed(current, number))?;
    fsx::remove_file(&files::numbered(current, number))
}

/// The device and inode of the file that a packed one was made of.
pub(super) fn origin(packed: &Path) -> Option<(u64, u64)> {
    let mut decoder = flate2::read::GzDecoder::new(open(packed).ok()?);
    // The header is read with the first bytes.
    let _ = decoder.read(&mut [0]);
    let value: &[u8; 16] = decoder.header()?.extra()?.strip_prefix(&FIELD)?.try_into().ok()?;
    let (device, inode) = value.split_at(8);
    Some((u64::from_le_bytes(device.try_into().ok()?), u64::from_le_bytes(inode.try_into().ok()?)))
}

/// The content of a packed file, as a file without a name; not more than `limit` bytes, and of a damaged one what comes before
/// the damage. `None` if there is no such file.
pub(super) fn unpack(packed: &Path, limit: u64) -> Result<Option<File>> {
    let folder = packed.parent().unwrap_or(Path::new("/"));
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let on_disk = || nix::fcntl::open(folder, flags, Mode::S_IRUSR | Mode::S_IWUSR);
    let in_memory = || memfd_create(c"log", MFdFlags::MFD_CLOEXEC);
    let mut failed = None;
    // A full disk, a folder of somebody else's, a file system that has no such files: then it takes memory.
    for made in [on_disk(), in_memory()] {
        let source = match open(packed) {
            Ok(source) => source,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).doing(|| format!("open `{}`", packed.display())),
        };
        let Ok(target) = made.map(File::from) else { continue };
        match copy(MultiGzDecoder::new(std::io::BufReader::new(source)).take(limit), &target) {
            Ok(()) => return Ok(Some(target)),
            Err(e) => failed = Some(e),
        }
    }
    Err(failed.unwrap_or_else(|| std::io::ErrorKind::StorageFull.into()))
        .doing(|| format!("unpack `{}`", packed.display()))
}

/// Errors: only those of writing.
fn copy(mut from: impl Read, mut to: &File) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => to.write_all(&buffer[..n])?,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Ok(()),
        }
    }
}

/// Not blocking, through no link: see [`pack`]. What is no regular file is as good as missing.
fn open(path: &Path) -> std::io::Result<File> {
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path) {
        Err(e) if e.raw_os_error() == Some(libc::ELOOP) => return Err(std::io::ErrorKind::NotFound.into()),
        other => other?,
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(std::io::ErrorKind::NotFound.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    fn content(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn what_is_packed_is_read_back_and_known_by_its_inode() {
        let dir = tempfile::tempdir().unwrap();
        let current = dir.path().join("ctr.log");
        let text = b"line\n".repeat(50_000);
        std::fs::write(files::numbered(&current, 7), &text).unwrap();
        // What a killed one left is written over.
        std::fs::write(files::part(&current, 7), b"x".repeat(100_000)).unwrap();
        let meta = std::fs::metadata(files::numbered(&current, 7)).unwrap();
        pack_older(&current).unwrap();
        let packed = files::packed(&current, 7);
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(names, std::slice::from_ref(&packed));
        assert!(packed.metadata().unwrap().len() < 2000);
        assert_eq!(origin(&packed), Some((meta.dev(), meta.ino())));
        assert_eq!(content(&unpack(&packed, u64::MAX).unwrap().unwrap()), text);
        assert_eq!(content(&unpack(&packed, 12).unwrap().unwrap()), text[..12], "a bomb ends at the limit");
        assert!(unpack(&files::packed(&current, 8), 1).unwrap().is_none());
        // Damage costs what comes behind it.
        let bytes = std::fs::read(&packed).unwrap();
        std::fs::write(&packed, &bytes[..bytes.len() / 2]).unwrap();
        let half = content(&unpack(&packed, u64::MAX).unwrap().unwrap());
        assert!(text.starts_with(&half) && half.len() < text.len());
        std::fs::write(&packed, "no gzip").unwrap();
        assert_eq!((content(&unpack(&packed, 9).unwrap().unwrap()), origin(&packed)), (Vec::new(), None));
    }

    #[test]
    fn only_one_packs_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let current = dir.path().join("ctr.log");
        std::fs::write(files::numbered(&current, 1), "text").unwrap();
        let other = File::create(files::part(&current, 1)).unwrap();
        assert!(lock::try_lock(&other, lock::Mode::Exclusive).unwrap());
        pack_older(&current).unwrap();
        assert!(files::numbered(&current, 1).exists() && !files::packed(&current, 1).exists());
        drop(other);
        pack_older(&current).unwrap();
        assert!(!files::numbered(&current, 1).exists() && files::packed(&current, 1).exists());
    }
}
