//! OCI runtime spec -> plan -> process.
//!
//! [`plan`] resolves a spec into typed steps, [`launch`] clones the process and talks to it, `init` is that process until it
//! executes the command. The parent must be single-threaded.

mod accounts;
pub mod caps;
pub mod cgroup;
pub mod command;
mod descriptors;
pub mod exec;
mod init;
pub mod joining;
pub mod launch;
mod layered;
pub mod mount_options;
mod mounts;
mod namespaces;
mod nested;
mod own_exe;
mod pid1;
pub mod plan;
mod process;
pub mod seccomp;
mod sources;
mod sync;
mod systemd;
mod terminal;
mod tree;
pub mod view;
