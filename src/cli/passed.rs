//! Descriptors of the caller's that a container gets under their own numbers: `--preserve-fds`, `--preserve-fd`, and what a
//! service manager hands over for socket activation (sd_listen_fds(3)).

use super::config::Config;
use crate::base::{Error, Result};
use crate::runtime::exec::MAX_PASSED;
use crate::sys::process::copy_inherited;
use std::os::fd::{OwnedFd, RawFd};

/// What is passed on, as copies out of the way of the numbers, and variables that tell the command of it.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    pub(crate) descriptors: Vec<(RawFd, OwnedFd)>,
    pub(crate) env: Vec<String>,
}

/// The descriptors that the flags ask for; without flags, those of `$LISTEN_FDS` if they are meant for this process. `init` is
/// true when the command is not process 1.
pub(crate) fn passed(count: Option<u32>, list: &[u32], init: bool, config: &Config) -> Result<Passed> {
    let activated = if count.is_none() && list.is_empty() { listening(config, std::process::id()) } else { 0 };
    let count = if activated > 0 { Some(activated) } else { count };
    let mut env = Vec::new();
    if activated > 0 {
        env.push(format!("LISTEN_FDS={activated}"));
        env.push(format!("LISTEN_PID={}", if init { 2 } else { 1 }));
        env.extend(config.env.get("LISTEN_FDNAMES").map(|names| format!("LISTEN_FDNAMES={names}")));
    }
    Ok(Passed { descriptors: asked_for(count, list)?, env })
}

/// `count` descriptors from 3 on, or those in the list.
pub(crate) fn asked_for(count: Option<u32>, list: &[u32]) -> Result<Vec<(RawFd, OwnedFd)>> {
    if count.is_some() && !list.is_empty() {
        return Err(Error::usage("--preserve-fds and --preserve-fd cannot be used together"));
    }
    let mut numbers: Vec<u32> = match count {
        Some(count) => (3..3u32.saturating_add(count.min(MAX_PASSED as u32))).collect(),
        None => list.to_vec(),
    };
    numbers.sort_unstable();
    numbers.dedup();
    let copy = |number: u32| {
        let number = i32::try_from(number).ok().filter(|n| (3..=MAX_PASSED).contains(n));
        let number = number.ok_or_else(|| {
            Error::usage(format!("descriptors that can be passed on have numbers from 3 to {MAX_PASSED}"))
        })?;
        let fd = copy_inherited(number, MAX_PASSED + 1)
            .map_err(|_| Error::usage(format!("file descriptor {number} is not open, so it cannot be passed on")))?;
        Ok((number, fd))
    };
    numbers.into_iter().map(copy).collect()
}

/// How many descriptors this process was started with on purpose.
fn listening(config: &Config, pid: u32) -> u32 {
    let number = |name: &str| config.env.get(name).and_then(|v| v.parse::<u32>().ok());
    let most = MAX_PASSED as u32 - 2;
    number("LISTEN_FDS").filter(|n| *n <= most && number("LISTEN_PID") == Some(pid)).unwrap_or(0)
}
