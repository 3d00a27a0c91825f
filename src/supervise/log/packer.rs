//! The process that packs the older files of a log, beside the monitor: that one must not keep its container waiting. There is
//! one at most; what it did not get to, the one after the next rotation packs.

use crate::state::log::pack;
use crate::sys::process::{Fork, close_others, exit_now, fork, pidfd_open, pidfd_signal, set_parent_death_signal};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The process, if there was one. The monitor reaps it like every other child.
#[derive(Debug, Default)]
pub(super) struct Packer(Option<OwnedFd>);

impl Packer {
    /// Starts one, unless the former is still at it. That it can't be started costs room, and no more.
    pub(super) fn start(&mut self, current: &Path) {
        if self.0.as_ref().is_some_and(|process| !has_ended(process, PollTimeout::ZERO)) {
            return;
        }
        self.0 = match fork() {
            Ok(Fork::Child) => {
                // A container whose monitor holds its lock no more has ended, whatever goes on here.
                close_others(&[]);
                let _ = set_parent_death_signal(Signal::SIGKILL);
                let packed = std::panic::catch_unwind(|| pack::pack_older(current).is_ok());
                exit_now(i32::from(!packed.unwrap_or(false)))
            }
            // It cannot have been reaped yet, so its number is its own.
            Ok(Fork::Parent(pid)) => pidfd_open(pid).ok(),
            Err(_) => None,
        };
    }

    /// Waits for its end, or brings it about.
    pub(super) fn end(&self, wait: bool) {
        let Some(process) = &self.0 else { return };
        if !wait {
            let _ = pidfd_signal(process.as_fd(), Signal::SIGKILL as i32);
        }
        has_ended(process, PollTimeout::NONE);
    }
}

fn has_ended(process: &OwnedFd, limit: PollTimeout) -> bool {
    let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    loop {
        match poll(&mut fds, limit) {
            Err(nix::errno::Errno::EINTR) => {}
            ended => return ended.is_ok_and(|n| n > 0),
        }
    }
}
