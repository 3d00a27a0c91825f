//! Seccomp: an OCI runtime spec's rules -> a classic BPF program for seccomp(2).
//!
//! ```text
//! LinuxSeccomp --rules--> per architecture: number -> outcome, as ranges --emit--> binary search --> sock_filter[]
//! ```
//! Every architecture of the profile becomes one map from the whole 32-bit range of call numbers to what happens
//! ([`rules`]); equal neighbours are one range, so some 470 calls come down to about a hundred ranges, found by binary
//! search ([`emit`]). The kernel finds calls that are always allowed by itself and skips the program for them (its action
//! cache, Linux 5.11): loads, jumps and returns are all it must understand for that.
//!
//! Where rules overlap, the outcome is libseccomp's and runc's, so that a profile means the same here:
//! - a rule whose action is the default action says nothing;
//! - a rule without conditions beats all with conditions; of two without, the first counts;
//! - of rules with conditions, the first that matches counts;
//! - two conditions on one argument are alternatives (runc), conditions on different arguments must all hold;
//! - calls newer than the newest one that the profile names fail with ENOSYS, not with the default action (unless that
//!   lets them pass), so that programs fall back to older calls;
//! - an architecture that the profile does not name kills the process.

mod emit;
#[cfg(target_arch = "x86_64")]
mod ready_x86_64;
mod rules;
mod table;
#[cfg(test)]
mod tests;

use crate::base::{Error, Result};
use crate::spec::caps::CapSet;
use crate::spec::seccomp::{Facts, default_profile};
use crate::sys;
use libc::sock_filter;
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompFilterFlag};
use std::fmt;

/// The kernel takes no longer program (BPF_MAXINSNS).
const MAX_INSTRUCTIONS: usize = 4096;

/// A compiled filter, ready for the kernel.
#[derive(Clone)]
pub struct Program {
    /// For `struct sock_fprog`.
    instructions: Vec<sock_filter>,
    /// `SECCOMP_FILTER_FLAG_*`.
    flags: u32,
}

impl Program {
    /// Installs it for the calling thread and what it executes, for good. Needs CAP_SYS_ADMIN in the user namespace or
    /// no_new_privs. Allocates nothing unless it fails.
    pub fn install(&self) -> Result<()> {
        sys::seccomp::install(&self.instructions, self.flags)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({} instructions, flags {:#x})", self.instructions.len(), self.flags)
    }
}

/// Compiles a profile. Names that an architecture does not have are passed over, as every runtime does: profiles list
/// calls of all architectures. A profile that lets everything pass makes a program too; no profile is the caller's case.
///
/// # Errors
/// `Usage` for what no filter can express (an argument index beyond 5, an errno beyond 4095), `Unsupported` for user
/// notification and for programs longer than the kernel takes.
pub fn compile(profile: &LinuxSeccomp) -> Result<Program> {
    let flags = flags(profile)?;
    let instructions = match ready_made(profile) {
        Some(instructions) => instructions,
        None => compile_anew(profile)?,
    };
    Ok(Program { instructions, flags })
}

/// The default policy with the default capabilities is what nearly every container has. Its program is kept in
/// `ready_x86_64.rs`: a first compilation costs 0.3 ms of cold code and tables, recognising the profile a tenth of that.
#[cfg(target_arch = "x86_64")]
fn ready_made(profile: &LinuxSeccomp) -> Option<Vec<sock_filter>> {
    let default = default_profile(&Facts { caps: CapSet::DEFAULT, kernel: READY_KERNEL });
    (*profile == default).then(|| ready_x86_64::PROGRAM.iter().map(|packed| unpack(*packed)).collect())
}

/// No other architecture has one yet.
#[cfg(not(target_arch = "x86_64"))]
fn ready_made(_: &LinuxSeccomp) -> Option<Vec<sock_filter>> {
    None
}

/// From this kernel on the default policy is the same.
#[cfg(target_arch = "x86_64")]
const READY_KERNEL: (u32, u32) = (4, 8);

/// An instruction out of one number: code, jt, jf, k, from the highest bits down.
#[cfg(target_arch = "x86_64")]
fn unpack(packed: u64) -> sock_filter {
    sock_filter { code: (packed >> 48) as u16, jt: (packed >> 40) as u8, jf: (packed >> 32) as u8, k: packed as u32 }
}

fn compile_anew(profile: &LinuxSeccomp) -> Result<Vec<sock_filter>> {
    let program = emit::program(&rules::sections(profile)?);
    if program.len() > MAX_INSTRUCTIONS {
        return Err(Error::unsupported(format!(
            "the seccomp profile makes {} instructions, the kernel takes {MAX_INSTRUCTIONS}",
            program.len()
        )));
    }
    Ok(program)
}

/// The profile's flags; without any, the one that runc sets: leave speculative store bypass alone, whose mitigation costs
/// much and which kernels since 5.16 no longer tie to seccomp. `TSYNC` is meaningless for a single-threaded process.
fn flags(profile: &LinuxSeccomp) -> Result<u32> {
    let Some(flags) = profile.flags() else { return Ok(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32) };
    flags.iter().try_fold(0, |bits, flag| {
        Ok(bits
            | match flag {
                LinuxSeccompFilterFlag::SeccompFilterFlagLog => libc::SECCOMP_FILTER_FLAG_LOG as u32,
                LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32,
                LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
                LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => {
                    return Err(Error::unsupported("seccomp user notification is not supported yet"));
                }
            })
    })
}
