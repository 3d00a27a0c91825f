//! runr, a rootless, daemonless container runner: pulls OCI images straight from registries, unpacks them into directories
//! that the user owns, and runs them in user namespaces.
//!
//! # How data flows
//! ```text
//! cli -> ops -> image -> registry | archive -> store -> unpack -> rootfs -> spec -> runtime -> supervise -> state
//! ```
//! A module may name only modules of lower lines in this list (kept by `tests/it/rules.rs`):
//! ```text
//! stage · cli · ops · supervise · runtime · rootfs · registry archive unpack · store state · spec · resolver · userns · image · sys · base
//! ```
//! See `docs/architecture.md` for the processes and for every decision with the test that keeps it.

pub mod archive;
pub mod base;
pub mod cli;
pub mod image;
pub mod ops;
pub mod registry;
pub mod resolver;
pub mod rootfs;
pub mod runtime;
pub mod spec;
pub mod stage;
pub mod state;
pub mod store;
pub mod supervise;
pub mod sys;
pub mod unpack;
pub mod userns;
