//! A blob whose digest is known only when its last byte is: a layer made here. It is written to `tmp/blob-new.<unique>`, whose
//! lock its writer holds, and gets its name at the end.

use super::Store;
use super::lock::{Wait, open_locked};
use crate::base::{Doing, Error, Kind, Result, fsx};
use crate::image::digest::Algorithm;
use crate::image::{Descriptor, Digest, Hasher};
use std::fs::{File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// How names of such files begin.
pub(super) const PREFIX: &str = "blob-new";

/// Writes a blob. Dropped before [`FinishedBlob::commit`] nothing is left of it.
pub struct NewBlob {
    file: BufWriter<File>,
    hasher: Hasher,
    size: u64,
    partial: Partial,
}

/// A blob that is written but has no name yet.
#[derive(Debug)]
pub struct FinishedBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    file: File,
    store: Store,
    partial: Partial,
}

/// The file's name, until it is renamed.
#[derive(Debug)]
struct Partial(Option<PathBuf>);

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // What cannot be removed now is swept later.
            drop(fsx::remove_file(path));
        }
    }
}

impl Store {
    /// Begins a blob.
    pub fn new_blob(&self) -> Result<NewBlob> {
        self.check_writable()?;
        loop {
            let path = self.paths().tmp().join(fsx::unique_name(PREFIX));
            if let Some(file) = open_locked(&path, Wait::No)? {
                return Ok(NewBlob {
                    file: BufWriter::with_capacity(256 << 10, file),
                    hasher: Hasher::new(Algorithm::Sha256),
                    size: 0,
                    partial: Partial(Some(path)),
                });
            }
        }
    }
}

impl NewBlob {
    /// Ends the blob.
    pub fn finish(self, store: &Store) -> Result<FinishedBlob> {
        let file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error).doing(|| "write blob")?;
        Ok(FinishedBlob {
            digest: self.hasher.finish(),
            size: self.size,
            file,
            store: store.clone(),
            partial: self.partial,
        })
    }
}

impl Write for NewBlob {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl FinishedBlob {
    /// Makes it visible. The caller has leased its digest, as nothing refers to it yet.
    pub fn commit(mut self, media_type: &str) -> Result<Descriptor> {
        let descriptor = Descriptor::new(media_type, self.digest.clone(), self.size);
        if self.store.has_blob(&descriptor)? {
            return Ok(descriptor);
        }
        let Some(path) = self.partial.0.take() else { return Err(Error::new(Kind::Bug, "blob committed twice")) };
        self.file.set_permissions(Permissions::from_mode(0o644)).doing(|| "change mode of blob")?;
        let renamed = fsx::rename(&path, &self.store.blob_path(&self.digest));
        if renamed.is_err() {
            self.partial.0 = Some(path);
        }
        renamed.map(|()| descriptor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_gets_its_name_at_the_end_and_leaves_nothing_before() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let tmp = || std::fs::read_dir(store.paths().tmp()).unwrap().count();
        let before = tmp();
        let mut blob = store.new_blob().unwrap();
        blob.write_all(b"con").unwrap();
        blob.write_all(b"tent").unwrap();
        store.sweep(std::time::Duration::ZERO).unwrap();
        let finished = blob.finish(&store).unwrap();
        let descriptor = finished.commit("x/y").unwrap();
        assert_eq!((&descriptor.digest, descriptor.size), (&Digest::of(b"content"), 7));
        assert_eq!(store.read_blob(&descriptor.digest, 100).unwrap(), b"content");
        // The same again, one that is given up, and one whose writer was killed.
        let mut again = store.new_blob().unwrap();
        again.write_all(b"content").unwrap();
        again.finish(&store).unwrap().commit("x/y").unwrap();
        drop(store.new_blob().unwrap());
        assert_eq!(tmp(), before);
        std::fs::write(store.paths().tmp().join(fsx::unique_name(PREFIX)), "half").unwrap();
        store.sweep(crate::store::gc::KEEP_PARTIALS).unwrap();
        assert_eq!(tmp(), before);
    }
}
