//! OCI runtime spec -> plan -> process: the container's side of the work.

pub mod caps;
pub mod cgroup;
pub mod seccomp;
