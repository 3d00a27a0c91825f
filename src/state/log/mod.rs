//! What containers wrote: how it lies on disk.
//!
//! ```text
//! containers/<id>/log/ctr.log      the file that is written now: made at the first output, not before
//!                     ctr.log.1    older ones after rotations, the lower number the older; numbers are never used again
//!                     ctr.log.1.gz such a one, packed (see `pack`)
//! ```
//! A log is a sequence of records, each one line of the file, so that a damaged or half-written record costs itself and
//! nothing else. Records are appended whole, by one process, the container's monitor; whoever reads takes what ends with a
//! newline and leaves the rest until it does.
//!
//! - `settings`: `--log-driver` and `--log-opt`, checked
//! - `tag`: what a tag's template may say
//! - `files`: rotation, and which file follows which
//! - `pack`: older files as gzip
//! - `stamp`: the time of records
//! - `k8s`, `json`: the two formats, both directions
//! - `journal`: the journal's socket and its entries
//! - `read`: from the oldest file to the newest, while they are written and changed; `backward`: the last lines
//! - `watch`: sleeping until there is more

mod backward;
pub mod files;
pub mod journal;
pub mod json;
pub mod k8s;
pub mod pack;
pub mod read;
pub mod settings;
pub mod stamp;
mod tag;
pub mod watch;

pub use read::{Next, Reader};
pub use settings::{Driver, Format, Settings};

use std::borrow::Cow;

/// Which of its two outputs a container wrote to. A container with a terminal has the first one only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Descriptor 1, or the terminal.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

impl Stream {
    /// Both, in the order of [`Stream::index`].
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// The word in records.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// 0 or 1, for tables.
    pub fn index(self) -> usize {
        self as usize
    }

    fn of_word(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.word().as_bytes() == word)
    }
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<'a> {
    /// Bytes of the container's, exactly: with the newline if it wrote one.
    Bytes(Cow<'a, [u8]>),
    /// A run of the container ended in the middle of a line.
    Unfinished,
    /// The log could not be written for a while: so many bytes of records are missing here.
    Lost(u64),
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// When runr read the bytes from the container: nanoseconds since 1970, UTC.
    pub time: i64,
    /// Where they came from.
    pub stream: Stream,
    /// What it says.
    pub content: Content<'a>,
}

impl Record<'_> {
    /// True when the next record of this stream begins a line.
    pub fn ends_line(&self) -> bool {
        match &self.content {
            Content::Bytes(bytes) => bytes.last() == Some(&b'\n'),
            Content::Unfinished | Content::Lost(_) => true,
        }
    }
}

#[cfg(test)]
mod tests;
