//! Network interfaces by ioctl (netdevice(7)).

use crate::base::{Doing, Result};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::os::fd::AsRawFd;

/// Brings the loopback interface of this network namespace up; the kernel gives it its addresses.
pub fn loopback_up() -> Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .doing(|| "open a socket for the loopback interface")?;
    let mut name = [0 as libc::c_char; libc::IFNAMSIZ];
    name[0] = b'l' as libc::c_char;
    name[1] = b'o' as libc::c_char;
    let mut request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: libc::IFF_UP as libc::c_short },
    };
    // SAFETY: the request reads an ifreq with a NUL-terminated name, which lives through the call.
    let ret = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut request) };
    Errno::result(ret).map(drop).doing(|| "bring the loopback interface up")
}
