//! Signal dispositions and masks (signal(7), "Execution of signal handlers").

use crate::base::{Doing, Result};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

/// Every disposition to its default, and nothing blocked: what a program expects to find at execve. Rust's start-up ignores
/// SIGPIPE, `nohup` SIGHUP, and ignored signals survive an execve.
pub fn reset_all() -> Result<()> {
    for number in 1..=64 {
        // SAFETY: SIG_DFL is a valid disposition for every signal; the call refuses SIGKILL, SIGSTOP and the two that glibc
        // keeps for itself (EINVAL), which is fine.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).doing(|| "unblock signals")
}

/// Ignores SIGPIPE in this process: a write to a closed pipe is then an error (EPIPE).
pub fn ignore_sigpipe() {
    // SAFETY: SIG_IGN is a valid disposition.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}
