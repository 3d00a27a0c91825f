//! Every path below the data folder, in one place. Who may touch what is in the owning module's documentation.
//!
//! ```text
//! format.json                    version, feature flags, what the file system can do        (store)
//! images/                        an OCI image layout: oci-layout, index.json, blobs/sha256  (store)
//! layers/<diff id>/<map>/        {fs,layer.json}, an unpacked layer for one id map          (store)
//! containers/<id>/               config.json state.json lock ctl upper work root log …      (state, supervise)
//! names/<name>                   symlink to ../containers/<id>: the name's own lock         (state)
//! volumes/<name>/                volume.json _data lock, a volume                           (store)
//! events/                        what happened                                          (state)
//! tmp/                           whatever is not finished                                   (all)
//! ```

use std::path::{Path, PathBuf};

/// The data folder (`$XDG_DATA_HOME/runr`, `RUNR_ROOT`, `--root`) and the paths below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// Takes an absolute path; touches nothing.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The data folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Format version, feature flags and probe results.
    pub fn format(&self) -> PathBuf {
        self.root.join("format.json")
    }

    /// The OCI image layout.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// Unpacked layers.
    pub fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    /// Containers, one folder each.
    pub fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// Container names, one symlink each.
    pub fn names(&self) -> PathBuf {
        self.root.join("names")
    }

    /// Volumes, one folder each.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// The folder of the volume with this name.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.volumes().join(name)
    }

    /// What happened, for `events`.
    pub fn events(&self) -> PathBuf {
        self.root.join("events")
    }

    /// Everything unfinished.
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The folder of the container with this full id.
    pub fn container(&self, id: &str) -> PathBuf {
        self.containers().join(id)
    }
}
