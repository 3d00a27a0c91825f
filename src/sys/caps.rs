//! Capabilities of this thread: capget(2), capset(2) and the prctl(2) calls around them. Sets are 64-bit masks, one bit
//! per capability number.
//!
//! Nothing here allocates unless it fails: it runs between clone and exec. The raw system calls act on the calling thread
//! only, so a process with threads must not use them for itself.

use crate::base::{Doing, Result};
use nix::errno::Errno;

/// The three sets that capset(2) changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps {
    /// In force now.
    pub effective: u64,
    /// May be made effective.
    pub permitted: u64,
    /// Kept by execve of a file with matching file capabilities.
    pub inheritable: u64,
}

/// `struct __user_cap_header_struct`; version 3 (Linux 2.6.26) has two data words of 32 bits each.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// `struct __user_cap_data_struct`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;

/// The sets of this thread.
pub fn get() -> Result<Caps> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: with version 3 the kernel reads the header and writes two data elements; both live on this stack.
    let ret = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    Errno::result(ret).doing(|| "read capabilities")?;
    let join = |word: fn(&Data) -> u32| u64::from(word(&data[1])) << 32 | u64::from(word(&data[0]));
    Ok(Caps {
        effective: join(|d| d.effective),
        permitted: join(|d| d.permitted),
        inheritable: join(|d| d.inheritable),
    })
}

/// Sets them. Ambient capabilities that are no longer both permitted and inheritable go with it.
pub fn set(caps: Caps) -> Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let word = |shift: u32| Data {
        effective: (caps.effective >> shift) as u32,
        permitted: (caps.permitted >> shift) as u32,
        inheritable: (caps.inheritable >> shift) as u32,
    };
    let data = [word(0), word(32)];
    // SAFETY: with version 3 the kernel reads the header and two data elements; both live on this stack.
    let ret = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) };
    Errno::result(ret).map(drop).doing(|| "set capabilities")
}

/// True if `number` is in the bounding set; `None` if this kernel has no such capability.
pub fn in_bounding(number: u8) -> Option<bool> {
    prctl(libc::PR_CAPBSET_READ, u64::from(number), 0).ok().map(|ret| ret == 1)
}

/// Takes `number` out of the bounding set, for good. Needs CAP_SETPCAP.
pub fn drop_bounding(number: u8) -> Result<()> {
    prctl(libc::PR_CAPBSET_DROP, u64::from(number), 0)
        .map(drop)
        .doing(|| format!("drop capability {number} from the bounding set"))
}

/// Makes `number`, which must be permitted and inheritable, survive the exec of an ordinary program. Linux 4.3.
pub fn raise_ambient(number: u8) -> Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, u64::from(number))
        .map(drop)
        .doing(|| format!("raise ambient capability {number}"))
}

/// Empties the ambient set. A kernel before 4.3 has none, which is not an error.
pub fn clear_ambient() -> Result<()> {
    match prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0) {
        Err(Errno::EINVAL) => Ok(()),
        other => other.map(drop).doing(|| "clear ambient capabilities"),
    }
}

/// True if `number` is in the ambient set.
pub fn in_ambient(number: u8) -> bool {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_IS_SET as u64, u64::from(number)) == Ok(1)
}

/// Whether the permitted set survives the next change from uid 0 to another (`PR_SET_KEEPCAPS`); execve resets it.
pub fn keep_over_setuid(keep: bool) -> Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, u64::from(keep), 0).map(drop).doing(|| "keep capabilities over a change of user")
}

/// The number of the kernel's last capability, found by asking it for each (no /proc needed).
pub fn last() -> u8 {
    (0..64).take_while(|n| in_bounding(*n).is_some()).last().unwrap_or(0)
}

fn prctl(option: i32, second: u64, third: u64) -> Result<i32, Errno> {
    // SAFETY: the options used in this file take integers only.
    Errno::result(unsafe { libc::prctl(option, second, third, 0u64, 0u64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_proc() {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|l| l.starts_with(name)).unwrap();
            u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap()
        };
        let caps = get().unwrap();
        assert_eq!((caps.effective, caps.permitted), (field("CapEff"), field("CapPrm")));
        assert_eq!(caps.inheritable, field("CapInh"));
        let bounding = (0..64).filter(|n| in_bounding(*n) == Some(true)).fold(0, |set, n| set | 1u64 << n);
        assert_eq!(bounding, field("CapBnd"));
        let known = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
        assert_eq!(known.trim(), last().to_string());
    }
}
