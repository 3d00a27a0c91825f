//! Signal dispositions and masks (signal(7), "Execution of signal handlers").

use crate::base::{Doing, Result};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use std::str::FromStr;

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

/// The names of the signals, without `SIG`.
pub fn names() -> impl Iterator<Item = &'static str> {
    Signal::iterator().map(|signal| signal.as_str().trim_start_matches("SIG"))
}

/// The number of a signal given by name, with or without `SIG`, in any case, or by number, as kill(1) and docker take it;
/// `RTMIN+3` and the like count from glibc's SIGRTMIN, 34. `None` for what is no signal.
pub fn number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str, sign: char| match rest {
        "" => Some(0),
        rest => rest.strip_prefix(sign)?.parse::<i32>().ok().filter(|n| (0..=30).contains(n)),
    };
    match name {
        "CLD" => Some(libc::SIGCHLD),
        "POLL" => Some(libc::SIGIO),
        _ if name.starts_with("RTMIN") => Some(34 + offset(&name[5..], '+')?),
        _ if name.starts_with("RTMAX") => Some(64 - offset(&name[5..], '-')?),
        _ => Signal::from_str(&format!("SIG{name}")).ok().map(|s| s as i32),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn signals_have_many_spellings() {
        for (text, number) in [
            ("TERM", Some(15)),
            ("SIGTERM", Some(15)),
            ("sigkill", Some(9)),
            ("9", Some(9)),
            ("RTMIN+3", Some(37)),
            ("SIGRTMAX-1", Some(63)),
            ("CLD", Some(17)),
            ("0", None),
            ("65", None),
            ("RTMIN+31", None),
            ("RTMIN-1", None),
            ("NOSUCH", None),
            ("", None),
        ] {
            assert_eq!(super::number(text), number, "{text}");
        }
    }
}
