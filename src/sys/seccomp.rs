//! Seccomp: seccomp(2) with a ready filter program.

use crate::base::{Doing, Result};
use libc::{sock_filter, sock_fprog};
use nix::errno::Errno;

/// Installs `program` for the calling thread and everything it executes, for good. `flags` are `SECCOMP_FILTER_FLAG_*`.
///
/// Needs CAP_SYS_ADMIN in this thread's user namespace or no_new_privs. Allocates nothing unless it fails.
pub fn install(program: &[sock_filter], flags: u32) -> Result<()> {
    let result = match set(program, flags) {
        // The flags only tune logging and mitigations; a kernel that does not know one (LOG: 4.14, SPEC_ALLOW: 4.17) still
        // takes the filter.
        Err(Errno::EINVAL) if flags != 0 => set(program, 0),
        other => other,
    };
    result.doing(|| "install the seccomp filter")
}

fn set(program: &[sock_filter], flags: u32) -> std::result::Result<(), Errno> {
    // A length beyond the kernel's own limit of 4096 is refused by it, as long as it is not cut to 16 bits here.
    let len = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let fprog = sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: `fprog` and the `len` instructions it points to live until the call returns; the kernel copies and only reads
    // them, so the cast to a mutable pointer, which the C type wants, writes nowhere.
    let ret = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const fprog) };
    Errno::result(ret).map(drop)
}
