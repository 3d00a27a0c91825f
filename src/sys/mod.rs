//! Thin safe wrappers over system calls: the only `unsafe` in the tree.
//!
//! This module takes descriptors, flags, paths and numbers; it knows no container words. What nix wraps well is used from
//! nix directly, elsewhere too; here is what it lacks. Each fallback for an older kernel names the kernel.

#![expect(unsafe_code, reason = "the one module for it; every block gives its SAFETY reason")]

pub mod caps;
pub mod channel;
pub mod fdpass;
pub mod fs;
pub mod keyring;
pub mod lock;
pub mod machine;
pub mod mount;
pub mod namespace;
pub mod net;
pub mod nss;
pub mod process;
pub mod procfs;
pub mod random;
pub mod reflink;
pub mod seccomp;
pub mod signal;
pub mod term;
pub mod tree;
pub mod xattr;
