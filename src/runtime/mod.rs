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
mod sync;
mod tree;
pub mod seccomp {
    #![allow(missing_docs)]
    #[derive(Debug, Clone)]
    pub struct Program(pub Vec<u8>);
    pub fn compile(_: &oci_spec::runtime::LinuxSeccomp) -> crate::base::Result<Program> {
        Ok(Program(vec![]))
    }
    impl Program {
        pub fn install(&self) -> crate::base::Result<()> {
            Ok(())
        }
    }
}
