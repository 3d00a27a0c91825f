//! What one layer may cost. Real images stay far below all of these; an archive made to hurt does not.

use serde::{Deserialize, Serialize};

/// Bounds for one layer. A layer that passes one is refused with an error that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of the uncompressed archive, and bytes of all files it makes (holes of sparse files included).
    pub max_bytes: u64,
    /// Entries, those without a file of their own (whiteouts) included.
    pub max_entries: u64,
    /// Bytes of one name. More than 4095 the kernel does not take.
    pub max_name: usize,
    /// Components of one name.
    pub max_depth: usize,
    /// Bytes of all names the unpacker must remember until the end of the layer.
    pub max_remembered: usize,
    /// Uncompressed bytes for each compressed one, looked at once `ratio_from` uncompressed bytes have come.
    pub max_ratio: u64,
    /// See `max_ratio`: small layers of zeros are common and harmless.
    pub ratio_from: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 512 << 30,
            max_entries: 5_000_000,
            max_name: 4095,
            max_depth: 512,
            max_remembered: 256 << 20,
            max_ratio: 250,
            ratio_from: 4 << 30,
        }
    }
}
