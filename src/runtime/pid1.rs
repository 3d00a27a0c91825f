//! `--init`: PID 1 of the container is this small init, the command its child.
//!
//! PID 1 gets every orphan of its pid namespace and no signal it has no handler for; programs that were not written for that
//! leave zombies and ignore SIGTERM. This one passes signals on, reaps, and ends with its child's status. It has the
//! command's own user, capabilities and system call filter, and is not dumpable.

use crate::base::{Doing, Result};
use crate::sys::process::{Fork, exit_now, fork};
use crate::sys::signal;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::ffi::{CStr, CString};

/// What `ps` in the container calls it.
const NAME: &CStr = c"runr-init";

/// Returns in the child, which goes on to execute the command. The parent stays here as init and never returns.
pub(super) fn fork_command(terminal: bool, args: &[CString]) -> Result<()> {
    // Blocked before the fork, so that no signal is lost between it and the first sigwait.
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), None).doing(|| "block signals")?;
    match fork()? {
        Fork::Child => {
            // Its own process group, in the terminal's foreground: Ctrl-C reaches the command once, not twice.
            nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0)).doing(|| "start process group")?;
            if terminal {
                // SIGTTOU is blocked here, so a process outside the foreground group may do this.
                let _ = nix::unistd::tcsetpgrp(std::io::stdin(), nix::unistd::getpid());
            }
            signal::reset_all()
        }
        Fork::Parent(command) => {
            // The streams and the channel to the monitor belong to the command.
            crate::sys::process::close_from(0);
            // As podman's shows itself; docker's, too.
            let words: Vec<&[u8]> =
                [NAME, c"--"].into_iter().chain(args.iter().map(CString::as_c_str)).map(CStr::to_bytes).collect();
            crate::sys::process::set_command_line(&words);
            let _ = nix::sys::prctl::set_name(NAME);
            exit_now(serve(command))
        }
    }
}

fn serve(command: Pid) -> i32 {
    let all = SigSet::all();
    loop {
        match all.wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(status) = reap(command) {
                    return status;
                }
            }
            // A process that stopped or wants the terminal is the shell's business, not init's.
            Ok(Signal::SIGTTIN | Signal::SIGTTOU | Signal::SIGTSTP) => {}
            Ok(other) => {
                let _ = nix::sys::signal::kill(command, other);
            }
            Err(_) => {}
        }
    }
}

/// Reaps all that ended; the command's status if it is among them.
fn reap(command: Pid) -> Option<i32> {
    let mut status = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == command => status = Some(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == command => status = Some(128 + signal as i32),
            Ok(WaitStatus::StillAlive) | Err(_) => return status,
            Ok(_) => {}
        }
    }
}
