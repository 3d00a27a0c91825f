//! Containers on disk: who they are, what they were asked to be, and how they are now.
//!
//! ```text
//! containers/<id>/config.json   ContainerRecord: written once, before the folder appears
//!                 state.json    ContainerState: replaced at every change
//!                 lock          held by the container's monitor while it lives: "running" is "the lock is held"
//!                 log           what it wrote, see `log`
//!                 upper work    overlay's; root is where it is attached
//! names/<name>                  symlink to ../containers/<id>
//! tmp/container-<id>/           a container being made, locked by its maker
//! ```
//! A record that cannot be read is an [`Entry::Damaged`]: shown, removable, and nobody else's problem. One of a newer runr is an
//! [`Entry::Newer`]: shown, and kept.

pub mod containers;
pub mod events;
pub mod format;
mod listing;
pub mod log;
pub mod names;
pub mod record;
mod uses;

pub use containers::{Containers, Entry, NewContainer};
pub use record::{ContainerRecord, ContainerState, ImageUse, Status};
pub use uses::{VolumeUsers, volume_users};
