//! Content by digest: `images/blobs/<alg>/<hex>`, the blobs of an OCI image layout.
//!
//! A blob is written to `tmp/blob-<alg>-<hex>`, whose lock its writer holds, and renamed when size and digest are right.
//! What an interrupted writer leaves there the next one goes on with. Mode 0444 says that a blob is known to be on disk;
//! 0644 that it may have been lost in a power cut since, so that it is hashed before it is used (see `sync`).

use super::Store;
use super::lock::{Wait, open_locked};
use crate::base::{Doing, Error, Kind, Result, fsx};
use crate::image::manifest::MAX_MANIFEST_BYTES;
use crate::image::{Descriptor, Digest, Hasher};
use std::fs::{File, Metadata, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The mode of a blob that is known to be on disk.
const SYNCED_MODE: u32 = 0o444;
/// The mode of a blob that only the page cache may have.
const UNSYNCED_MODE: u32 = 0o644;
/// How much is read and hashed at a time.
const CHUNK: usize = 256 << 10;

/// What [`Store::blob_writer`] found.
#[derive(Debug)]
pub enum BlobSlot {
    /// The blob is there, whole.
    Present,
    /// It has to be written; nobody else can meanwhile.
    Write(Box<BlobWriter>),
}

/// Writes one blob, and holds its lock. Dropped without [`BlobWriter::commit`], it leaves what was written for the next try.
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    descriptor: Descriptor,
    path: PathBuf,
    file: File,
    hasher: HasherState,
    /// Bytes hashed and at their place.
    done: u64,
    /// Bytes of an earlier try, not hashed yet.
    partial: u64,
    /// The path is no longer this writer's: renamed or removed.
    gone: bool,
}

struct HasherState(Hasher);

impl std::fmt::Debug for HasherState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

impl Store {
    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.paths().images().join("blobs").join(digest.algorithm_name()).join(digest.hex())
    }

    pub(super) fn partial_path(&self, digest: &Digest) -> PathBuf {
        self.paths().tmp().join(format!("blob-{}-{}", digest.algorithm_name(), digest.hex()))
    }

    /// True when the blob is there and can be relied on. Small blobs, and those not known to be on disk, are hashed; one that
    /// is damaged is removed.
    ///
    /// Errors: `Corrupt` when the blob is whole but not of the descriptor's size: then the descriptor is wrong.
    pub fn has_blob(&self, descriptor: &Descriptor) -> Result<bool> {
        let digest = &descriptor.digest;
        let path = self.blob_path(digest);
        let Some(meta) = metadata(&path)? else { return Ok(false) };
        let trusted = meta.is_file()
            && meta.len() == descriptor.size
            && meta.len() > MAX_MANIFEST_BYTES
            && meta.permissions().mode() & 0o222 == 0;
        if trusted {
            return Ok(true);
        }
        if !meta.is_file() || hash_file(fsx::open(&path)?, digest, &path)? != *digest {
            self.remove_blob(digest)?;
            self.note(format!("blob `{digest}` was damaged; removed"));
            return Ok(false);
        }
        if meta.len() != descriptor.size {
            return Err(Error::corrupt(format!(
                "blob `{digest}` has {} bytes, its descriptor says {}",
                meta.len(),
                descriptor.size
            )));
        }
        Ok(true)
    }

    /// Reads and hashes a whole blob: the digest that it really has.
    pub(super) fn hash_blob(&self, digest: &Digest) -> Result<Digest> {
        let path = self.blob_path(digest);
        hash_file(fsx::open(&path)?, digest, &path)
    }

    /// Reads a whole blob of at most `max` bytes and verifies it.
    ///
    /// Errors: `NotFound` when it is not there, `Corrupt` when it is larger than `max` or not what its digest says.
    pub fn read_blob(&self, digest: &Digest, max: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(4096);
        self.open_blob(digest)?
            .take(max.saturating_add(1))
            .read_to_end(&mut bytes)
            .doing(|| format!("read blob `{digest}`"))?;
        if bytes.len() as u64 > max {
            return Err(Error::corrupt(format!("blob `{digest}` is larger than {max} bytes")));
        }
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(&bytes);
        let actual = hasher.finish();
        if actual == *digest { Ok(bytes) } else { Err(damaged(digest, &actual)) }
    }

    /// Opens a blob. Its reader verifies it.
    ///
    /// Errors: `NotFound` when it is not there.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.blob_path(digest);
        fsx::open(&path).map_err(|e| if e.is_missing() { missing(digest) } else { e })
    }

    /// Stores a small blob at once and on disk: it survives a power cut.
    pub fn put_blob(&self, bytes: &[u8], media_type: &str) -> Result<Descriptor> {
        let descriptor = Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64);
        self.put_blob_as(bytes, &descriptor)?;
        Ok(descriptor)
    }

    /// [`Store::put_blob`] under a digest that is known, of either algorithm.
    pub fn put_blob_as(&self, bytes: &[u8], descriptor: &Descriptor) -> Result<()> {
        if let BlobSlot::Write(mut writer) = self.blob_writer(descriptor)? {
            writer.discard_partial()?;
            writer.write_all(bytes).doing(|| format!("write blob `{}`", descriptor.digest))?;
            writer.file.sync_all().doing(|| format!("sync blob `{}`", descriptor.digest))?;
            writer.finish(SYNCED_MODE)?;
        }
        Ok(())
    }

    /// True while somebody else writes the blob, so that [`Store::blob_writer`] would wait.
    pub fn is_blob_busy(&self, digest: &Digest) -> Result<bool> {
        super::lock::is_held(&self.partial_path(digest))
    }

    /// The place for a blob that is to come: waits while another process or thread writes it.
    pub fn blob_writer(&self, descriptor: &Descriptor) -> Result<BlobSlot> {
        self.check_writable()?;
        if self.has_blob(descriptor)? {
            return Ok(BlobSlot::Present);
        }
        let path = self.partial_path(&descriptor.digest);
        let file = loop {
            if let Some(file) = open_locked(&path, Wait::Yes)? {
                break file;
            }
        };
        // Whoever had the lock may have finished it; what it committed it had verified.
        if metadata(&self.blob_path(&descriptor.digest))?.is_some_and(|m| m.len() == descriptor.size) {
            fsx::remove_file(&path)?;
            return Ok(BlobSlot::Present);
        }
        let partial = file.metadata().doing(|| format!("look at `{}`", path.display()))?.len();
        let mut writer = BlobWriter {
            store: self.clone(),
            descriptor: descriptor.clone(),
            path,
            file,
            hasher: HasherState(Hasher::new(descriptor.digest.algorithm())),
            done: 0,
            partial,
            gone: false,
        };
        if partial > descriptor.size {
            writer.discard_partial()?;
        }
        Ok(BlobSlot::Write(Box::new(writer)))
    }

    /// Removes a blob; a missing one is not an error.
    pub fn remove_blob(&self, digest: &Digest) -> Result<()> {
        fsx::remove_file(&self.blob_path(digest))
    }

    /// True when the blob is there but not known to be on disk.
    pub(super) fn is_unsynced_blob(&self, digest: &Digest) -> Result<bool> {
        Ok(metadata(&self.blob_path(digest))?.is_some_and(|m| m.permissions().mode() & 0o222 != 0))
    }

    /// Records that a blob is on disk.
    pub(super) fn mark_blob_synced(&self, digest: &Digest) -> Result<()> {
        let path = self.blob_path(digest);
        std::fs::set_permissions(&path, Permissions::from_mode(SYNCED_MODE))
            .doing(|| format!("change mode of `{}`", path.display()))
    }
}

impl BlobWriter {
    /// The descriptor that the bytes must fit.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// How many bytes of an earlier try are there: transfer the rest only.
    pub fn partial_len(&self) -> u64 {
        self.partial
    }

    /// Reads and hashes what an earlier try left and gives it to `sink`, piece by piece. Writing then goes on behind it.
    pub fn replay(&mut self, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let name = || format!("read `{}`", self.path.display());
        self.file.seek(SeekFrom::Start(0)).doing(name)?;
        let mut buffer = vec![0; CHUNK];
        while self.partial > 0 {
            let want = usize::try_from(self.partial).unwrap_or(CHUNK).min(CHUNK);
            let n = self.file.read(&mut buffer[..want]).doing(name)?;
            if n == 0 {
                return Err(Error::corrupt(format!("`{}` became shorter", self.path.display())));
            }
            self.hasher.0.update(&buffer[..n]);
            self.done += n as u64;
            self.partial -= n as u64;
            sink(&buffer[..n])?;
        }
        Ok(())
    }

    /// Forgets everything written so far, and what an earlier try left.
    pub fn discard_partial(&mut self) -> Result<()> {
        let name = || format!("truncate `{}`", self.path.display());
        self.file.set_len(0).doing(name)?;
        self.file.seek(SeekFrom::Start(0)).doing(name)?;
        self.hasher = HasherState(Hasher::new(self.descriptor.digest.algorithm()));
        self.done = 0;
        self.partial = 0;
        Ok(())
    }

    /// Verifies size and digest and makes the blob visible.
    ///
    /// Errors: `Corrupt` on a wrong digest, and then nothing is left of it; too few bytes are left for the next try.
    pub fn commit(self) -> Result<()> {
        self.finish(UNSYNCED_MODE)
    }

    fn finish(mut self, mode: u32) -> Result<()> {
        if self.partial > 0 {
            self.replay(|_| Ok(()))?;
        }
        let Descriptor { digest, size, .. } = &self.descriptor;
        if self.done != *size {
            return Err(Error::new(Kind::Remote, format!("blob `{digest}` ended after {} of {size} bytes", self.done)));
        }
        let actual = self.hasher.0.clone().finish();
        if actual != *digest {
            self.gone = true;
            fsx::remove_file(&self.path)?;
            return Err(Error::corrupt(format!("blob `{digest}` is not what its digest says: it is `{actual}`")));
        }
        let set_mode = |mode: u32| {
            let set = self.file.set_permissions(Permissions::from_mode(mode));
            set.doing(|| format!("change mode of blob `{digest}`"))
        };
        set_mode(UNSYNCED_MODE)?;
        let target = self.store.blob_path(digest);
        let renamed = match fsx::rename(&self.path, &target) {
            Err(e) if e.is_missing() => {
                // The first blob of this algorithm.
                fsx::ensure_dir_all(target.parent().unwrap_or_else(|| Path::new(".")), 0o755)?;
                fsx::rename(&self.path, &target)
            }
            other => other,
        };
        self.gone = renamed.is_ok();
        renamed?;
        // Not before: others open the file at its old place for writing, to wait for its lock.
        if mode == UNSYNCED_MODE { Ok(()) } else { set_mode(mode) }
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.partial > 0 {
            self.replay(|_| Ok(()))?;
        }
        if self.done + bytes.len() as u64 > self.descriptor.size {
            let Descriptor { digest, size, .. } = &self.descriptor;
            let e = Error::corrupt(format!("blob `{digest}` is longer than its {size} bytes"));
            // Its first bytes cannot be right either.
            self.discard_partial()?;
            return Err(e.into());
        }
        match self.file.write(bytes) {
            Ok(n) => {
                self.hasher.0.update(&bytes[..n]);
                self.done += n as u64;
                Ok(n)
            }
            Err(e) => {
                let e = Error::from(e);
                if e.is_disk_full() {
                    // A full disk is not left full.
                    drop(self.discard_partial());
                }
                Err(e.step(format!("write `{}`", self.path.display())).into())
            }
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        // An empty file is nothing to go on with. It is removed while its lock is held.
        if !self.gone && self.done + self.partial == 0 {
            drop(fsx::remove_file(&self.path));
        }
    }
}

fn metadata(path: &Path) -> Result<Option<Metadata>> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).doing(|| format!("look at `{}`", path.display())),
    }
}

fn hash_file(mut file: File, digest: &Digest, path: &Path) -> Result<Digest> {
    let mut hasher = Hasher::new(digest.algorithm());
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer).doing(|| format!("read `{}`", path.display()))? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

fn missing(digest: &Digest) -> Error {
    Error::not_found(format!("blob `{digest}` is not in the store"))
}

fn damaged(digest: &Digest, actual: &Digest) -> Error {
    Error::corrupt(format!("blob `{digest}` in the store is damaged: its digest is `{actual}`"))
        .hint("pull the image again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    fn descriptor(bytes: &[u8]) -> Descriptor {
        serde_json::from_value(serde_json::json!({"digest": Digest::of(bytes), "size": bytes.len()})).unwrap()
    }

    fn writer(store: &Store, d: &Descriptor) -> BlobWriter {
        match store.blob_writer(d).unwrap() {
            BlobSlot::Write(writer) => *writer,
            BlobSlot::Present => panic!("present"),
        }
    }

    fn tmp_count(store: &Store) -> usize {
        std::fs::read_dir(store.paths().tmp()).unwrap().count()
    }

    #[test]
    fn an_interrupted_blob_goes_on_where_it_stopped() {
        let (_dir, store) = store();
        let bytes: Vec<u8> = (0..700_000u32).map(|i| i as u8).collect();
        let d = descriptor(&bytes);
        let mut first = writer(&store, &d);
        first.write_all(&bytes[..400_000]).unwrap();
        drop(first);
        assert!(!store.has_blob(&d).unwrap());
        let mut second = writer(&store, &d);
        assert_eq!(second.partial_len(), 400_000);
        let mut seen = Vec::new();
        second
            .replay(|b| {
                seen.extend_from_slice(b);
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, &bytes[..400_000]);
        second.write_all(&bytes[400_000..]).unwrap();
        second.commit().unwrap();
        assert!(store.has_blob(&d).unwrap() && matches!(store.blob_writer(&d).unwrap(), BlobSlot::Present));
        assert_eq!(store.read_blob(&d.digest, 1 << 20).unwrap(), bytes);
        assert_eq!(tmp_count(&store), 0);
    }

    #[test]
    fn a_wrong_digest_or_length_is_refused_and_named() {
        let (_dir, store) = store();
        let d = descriptor(b"right");
        let mut wrong = writer(&store, &d);
        wrong.write_all(b"wrong").unwrap();
        let e = wrong.commit().unwrap_err();
        assert_eq!(e.kind(), Kind::Corrupt);
        assert!(
            e.to_string().contains(&d.digest.to_string()) && e.to_string().contains(&Digest::of(b"wrong").to_string())
        );
        let mut long = writer(&store, &d);
        assert!(long.write_all(b"right and more").unwrap_err().to_string().contains("longer than its 5 bytes"));
        drop(long);
        let mut short = writer(&store, &d);
        short.write_all(b"ri").unwrap();
        assert_eq!(short.commit().unwrap_err().to_string(), format!("blob `{}` ended after 2 of 5 bytes", d.digest));
        let mut rest = writer(&store, &d);
        assert_eq!(rest.partial_len(), 2);
        rest.write_all(b"ght").unwrap();
        rest.commit().unwrap();
        assert_eq!(tmp_count(&store), 0);
    }

    #[test]
    fn damage_in_the_store_is_found_and_removed() {
        let (_dir, store) = store();
        let d = store.put_blob(b"{}", "x").unwrap();
        let path = store.blob_path(&d.digest);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        std::fs::write(&path, b"{]").unwrap();
        assert_eq!(store.read_blob(&d.digest, 10).unwrap_err().kind(), Kind::Corrupt);
        assert!(!store.has_blob(&d).unwrap() && !path.exists());
        store.put_blob(b"{}", "x").unwrap();
        let lying = Descriptor { size: 3, ..d.clone() };
        assert_eq!(store.has_blob(&lying).unwrap_err().kind(), Kind::Corrupt);
        assert!(store.has_blob(&d).unwrap(), "a lying descriptor removes nothing");
        assert_eq!(store.read_blob(&d.digest, 1).unwrap_err().kind(), Kind::Corrupt);
        assert_eq!(store.read_blob(&Digest::of(b"no"), 1).unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn an_unsynced_blob_lost_in_a_power_cut_is_written_again() {
        let (_dir, store) = store();
        let bytes = vec![7u8; 5 << 20];
        let d = descriptor(&bytes);
        let mut w = writer(&store, &d);
        w.write_all(&bytes).unwrap();
        w.commit().unwrap();
        // What ext4 shows after a power cut without fsync: the name, no content.
        std::fs::write(store.blob_path(&d.digest), b"").unwrap();
        let mut w = writer(&store, &d);
        w.write_all(&bytes).unwrap();
        w.commit().unwrap();
        store.mark_blob_synced(&d.digest).unwrap();
        assert!(store.has_blob(&d).unwrap());
    }

    #[test]
    fn writers_of_one_blob_share_the_work() {
        let (_dir, store) = store();
        let bytes = vec![3u8; 100_000];
        let d = descriptor(&bytes);
        let written = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| {
                    if let BlobSlot::Write(mut w) = store.blob_writer(&d).unwrap() {
                        written.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        w.write_all(&bytes).unwrap();
                        w.commit().unwrap();
                    }
                });
            }
        });
        assert_eq!((written.into_inner(), tmp_count(&store)), (1, 0));
    }
}
