//! What every other module stands on: errors, files with their paths in the message, units, progress events, templates.
//!
//! Nothing here knows what a container is, prints, or reads the environment.

pub mod error;
pub mod fsx;
pub mod moment;
pub mod paths;
pub mod progress;
pub mod template;
pub mod units;

pub use error::{Doing, Error, Kind, Result};
