//! Named files: of a folder, or of a tar file's table.

use super::section::Section;
use crate::base::{Doing, Error, Kind, Result};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Finds files by relative names that this program made from constants and digests.
pub(super) trait Files: Send + Sync {
    /// The file, or `None` if there is none of this name.
    fn find(&self, name: &str) -> Result<Option<Section>>;

    /// The file.
    ///
    /// Errors: `Corrupt` when it is missing.
    fn get(&self, name: &str) -> Result<Section> {
        self.find(name)?.ok_or_else(|| Error::corrupt(format!("`{name}` is missing in it")))
    }

    /// A document of at most `max` bytes.
    fn read(&self, name: &str, max: u64) -> Result<Vec<u8>> {
        self.get(name)?.read(max).doing(|| format!("read `{name}` in it"))
    }
}

/// The files of a folder. Symlinks in it are followed: the folder is the user's, and build tools link blobs.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl Files for Folder {
    fn find(&self, name: &str) -> Result<Option<Section>> {
        let path = self.path.join(name);
        // Without O_NONBLOCK a FIFO would stop us here.
        let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.doing(|| format!("open `{}`", path.display()))?,
        };
        let meta = file.metadata().doing(|| format!("look at `{}`", path.display()))?;
        if !meta.is_file() {
            return Err(Error::new(Kind::Corrupt, format!("`{}` is not a file", path.display())));
        }
        Ok(Some(Section::new(Arc::new(file), 0, meta.len())))
    }
}
