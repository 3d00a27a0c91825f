//! Leases: what a running command needs but nothing on disk refers to yet. A pull takes one before it looks which blobs are
//! there, a start before it reads the image; garbage collection leaves leased objects alone. A lease ends with its process,
//! however that ends.

use super::lock::{Wait, open_locked};
use super::{Store, trash};
use crate::base::{Doing, Result, fsx};
use crate::image::Digest;
use crate::sys::lock::is_locked;
use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

pub(super) const PREFIX: &str = "lease-";

/// Keeps blobs and layers (by diff id) from being collected while it lives.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    _file: File,
}

impl Store {
    /// Leases these digests: blobs, and layers by their diff ids. Waits for a garbage collection that is under way.
    pub fn lease<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) -> Result<Lease> {
        let text: String = digests.into_iter().map(|d| format!("{d}\n")).collect();
        let path = self.paths().tmp().join(fsx::unique_name(PREFIX));
        let _lock = self.lock_index()?;
        let mut file = loop {
            if let Some(file) = open_locked(&path, Wait::Yes)? {
                break file;
            }
        };
        file.write_all(text.as_bytes()).doing(|| format!("write `{}`", path.display()))?;
        Ok(Lease { path, _file: file })
    }

    /// All that live leases name. Called with the index locked, so that no lease comes meanwhile.
    pub(super) fn leased(&self) -> Result<HashSet<Digest>> {
        let mut found = HashSet::new();
        for path in trash::entries(&self.paths().tmp())? {
            if !path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(PREFIX)) {
                continue;
            }
            let file = match fsx::open(&path) {
                Err(e) if e.is_missing() => continue,
                other => other?,
            };
            if is_locked(&file)? {
                let text = fsx::read_optional(&path)?.unwrap_or_default();
                found.extend(String::from_utf8_lossy(&text).lines().filter_map(|l| l.parse::<Digest>().ok()));
            }
        }
        Ok(found)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(fsx::remove_file(&self.path));
    }
}
