//! From a layer's blob to a directory, inside the user namespace whose ids the files get.
//!
//! [`UnpackWorker`] is the process, [`UnpackJob`] one layer, [`Report`] what came of it. Layers do not depend on one another:
//! all of an image unpack at once. What a layer needs from lower ones (hard links into them, the metadata of directories it
//! did not name) is in the report and made up for when they are stacked (`rootfs::assemble`).
//!
//! ```text
//! worker    the process and its protocol          job       one layer: enter its folder, loop over entries
//! stream    compression, diff id, limits          archive   tar headers; pax, sparse, number: what is in them
//! layer     what is remembered between entries    entry     one entry; name, metadata, whiteout: its parts
//! ```
//! [`pack`] is the way back. [`extract`] writes any archive into a tree that is there already (`runr cp`): no layer, no whiteouts.
//! [`compare`] tells whether what was unpacked still is what it was.

mod archive;
pub mod compare;
mod entry;
pub mod extract;
mod job;
mod layer;
mod limits;
mod metadata;
mod name;
mod number;
pub mod pack;
mod pax;
mod report;
mod sparse;
mod stream;
mod whiteout;
mod worker;

pub use limits::Limits;
pub use report::{Report, TrueStat, WhiteoutForm};
pub use worker::{UnpackJob, UnpackWorker};
