//! What is on disk: content-addressed blobs, image names, unpacked layers, volumes; their locks, their commit, their garbage.
//!
//! Nothing is visible until it is complete: it is written under `tmp/`, then renamed. There is no global lock and no
//! database; whoever changes an object holds that object's lock (`lock`), readers hold none.
//!
//! # Names in `tmp/`
//! ```text
//! blob-<alg>-<hex>          a partial download, locked by its writer; kept for the next pull when the lock is free
//! blob-new.<unique>         a layer being made here, locked by its maker; swept when the lock is free
//! layer-<hex>-<map>.lock    locked by who builds the layer
//! layer-<hex>-<map>/        the layer being built {map.json,fs}
//! lease-<unique>            digests that a running command needs, locked by it: garbage collection leaves them alone
//! trash-<unique>/           {map.json,it}: to be deleted by whoever comes first
//! index.lock                held for one change of images/index.json
//! ```
//! # Order of locks
//! layer, then blob, then index. Who holds a blob's lock waits for nobody but the source of its bytes; the index lock is
//! held for one change only.
//!
//! # Power cuts
//! Blobs and layers are not synced while somebody waits. A blob of mode 0644 is not known to be on disk: it is hashed again
//! before it is used. A layer says in `layer.json` on which machine and in which boot it was made: an unsynced one of an
//! earlier boot of this machine is built again. `sync` makes them permanent in a detached process.

pub mod blobs;
mod cache;
pub mod gc;
pub mod images;
mod index;
pub mod layers;
mod layout;
pub mod lease;
pub mod lock;
pub mod new_blob;
pub mod probe;
pub mod sync;
pub mod trash;
pub mod usage;
pub mod volumes;

pub use blobs::{BlobSlot, BlobWriter};
pub use images::{Image, ImageEntry, ImageSummary, Provenance};
pub use layers::{Layer, LayerBuilder, LayerMeta, LayerSlot, PendingLink};
pub use lease::Lease;
pub use probe::FileSystem;

use crate::base::Result;
use crate::base::paths::Paths;
use crate::sys::machine::Origin;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The store below one data folder. Cheap to clone; all methods may be called from many threads and processes.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    paths: Paths,
    origin: Origin,
    format: layout::Format,
    /// What was repaired on the way, for the user to read.
    notes: Mutex<Vec<String>>,
}

impl Store {
    /// Opens the store below `root` (absolute), and lays it out first if there is none.
    ///
    /// Errors: `Denied` when the folder is another user's, `Unsupported` when a newer runr wrote it or its file system has no
    /// usable locks.
    pub fn open(root: &Path) -> Result<Self> {
        let paths = Paths::new(root);
        let mut notes = Vec::new();
        let format = layout::open(&paths, &mut notes)?;
        Ok(Self(Arc::new(Inner { paths, origin: Origin::here(), format, notes: Mutex::new(notes) })))
    }

    /// Where everything is.
    pub fn paths(&self) -> &Paths {
        &self.0.paths
    }

    /// This machine and boot, as written into new layers.
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// Takes the notes about what was found damaged and repaired since the last call: warnings for the user.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, text: String) {
        self.0.notes.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}
