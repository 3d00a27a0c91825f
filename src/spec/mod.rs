//! What a container is, decided once and as data: image config + options -> OCI runtime spec. No I/O happens here.
//!
//! [`options`] is what was asked for (stored with the container); [`compose`] turns it, the image's config and facts about
//! this machine into an OCI runtime spec, the only input of `runtime`. Every default of a container is decided here.

pub mod caps;
pub mod compose;
pub mod defaults;
mod environment;
pub mod health;
pub mod limits;
pub mod options;
pub mod ports;
pub mod seccomp;
pub mod systemd;
pub mod validate;

pub use options::ContainerOptions;
