//! Images as data: names, digests, manifests, configs, platforms. No I/O happens here.
//!
//! The JSON types are our own rather than oci-spec's: real registries serve Docker's schema 2 beside OCI, with fields OCI
//! does not have (`Healthcheck`, `Shell`), `null` where a list is meant, and a digest here must be safe as a file name.

pub mod change;
pub mod config;
pub mod digest;
pub mod manifest;
pub mod platform;
pub mod ports;
pub mod reference;
pub mod source;
pub mod transport;

pub use config::ImageConfig;
pub use digest::{Digest, Hasher};
pub use manifest::{Descriptor, Index, Manifest};
pub use platform::Platform;
pub use reference::Reference;
pub use source::ImageSource;
pub use transport::{Transport, parse_transport};
