//! Kernel keyrings (keyctl(2)).

use crate::base::Result;
use nix::errno::Errno;

/// Gives this process a new anonymous session keyring, so that the caller's keys are not the container's. A kernel or a
/// seccomp filter without keyctl has no keys to leak: no error then.
pub fn join_new_session() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;
    // SAFETY: a null name asks for an anonymous keyring; no memory is touched.
    let ret = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0) };
    match Errno::result(ret) {
        Err(Errno::ENOSYS | Errno::EPERM | Errno::EDQUOT) => Ok(()),
        other => Ok(other.map(drop)?),
    }
}
