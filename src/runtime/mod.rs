//! OCI runtime spec -> plan -> process.
//!
//! [`plan`] resolves a spec into typed steps, [`launch`] clones the process and talks to it, `init` is that process until it
//! executes the command. The parent must be single-threaded.

pub mod caps;
pub mod cgroup;
mod init;
pub mod launch;
pub mod mount_options;
mod mounts;
mod pid1;
pub mod plan;
mod process;
pub mod seccomp;
mod sync;
mod tree;
