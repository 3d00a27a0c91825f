//! What a long operation tells whoever watches it. The operation emits events; only `cli` draws them.

/// One thing that happened during a pull, an unpack or a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A layer's transfer begins; `total` is its compressed size in bytes.
    LayerStarted {
        /// The blob's digest, `sha256:…`.
        digest: String,
        /// Compressed bytes to come, those of an earlier try included.
        total: u64,
    },
    /// `done` of the layer's bytes have passed.
    LayerProgress {
        /// The blob's digest.
        digest: String,
        /// Compressed bytes so far.
        done: u64,
    },
    /// The layer is in the store already.
    LayerExists {
        /// The blob's digest.
        digest: String,
    },
    /// The layer is verified, unpacked and in the store.
    LayerDone {
        /// The blob's digest.
        digest: String,
    },
    /// A layer whose blob is in the store is unpacked, for a container that is about to start; `total` as above.
    UnpackStarted {
        /// The blob's digest.
        digest: String,
        /// Its bytes.
        total: u64,
    },
    /// It is unpacked.
    UnpackDone {
        /// The blob's digest.
        digest: String,
    },
    /// Something worth a line in a log: "trying to pull docker.io/library/alpine:latest".
    Note(String),
    /// Something the user should know: said once, on stderr, also with `--quiet`.
    Warning(String),
}

/// Receives events, from any thread.
pub trait Progress: Send + Sync {
    /// Takes one event; must not block for long and cannot fail.
    fn event(&self, event: Event);

    /// No more events come from this process. Whoever reports from a child process calls it there: what the child drew,
    /// only the child can take away.
    fn finish(&self) {}
}

/// Drops every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event) {}
}
