//! Readiness for a service manager (sd_notify(3), `--sdnotify`): tells the socket named by the caller's `$NOTIFY_SOCKET`.
//!
//! The container never gets that socket: what it writes to is one of the monitor's own, and of what it says only `READY=1` is
//! passed on. A container could otherwise name another main process, or keep descriptors in the service manager.

use crate::base::{Doing, Result};
use crate::spec::options::SdNotify;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
use nix::sys::stat::Mode;
use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

/// Whom to tell, and who says when.
#[derive(Debug, Clone)]
pub struct Notify {
    /// `$NOTIFY_SOCKET`: a path, or `@` and an abstract name.
    pub address: OsString,
    /// Who says when.
    pub who: SdNotify,
}

/// The folder of the container's socket, in the container's folder.
pub fn folder(container: &Path) -> PathBuf {
    container.join("notify")
}

/// Where that folder stands in the container.
pub const TARGET: &str = "/run/notify";
const NAME: &str = "notify.sock";

/// The container's `$NOTIFY_SOCKET`.
pub fn inside() -> String {
    format!("{TARGET}/{NAME}")
}

impl Notify {
    /// Says that the service whose main process is `pid` is ready. A service manager that does not listen is its own problem.
    pub fn ready(&self, pid: u32) {
        self.send(&format!("MAINPID={pid}\nREADY=1\n"));
    }

    fn send(&self, text: &str) {
        let Ok(socket) = UnixDatagram::unbound() else { return };
        let _ = match self.address.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name).and_then(|a| socket.send_to_addr(text.as_bytes(), &a)),
            None => socket.send_to(text.as_bytes(), Path::new(&self.address)),
        };
    }
}

/// The monitor's ear for the container's own word.
#[derive(Debug)]
pub(super) struct Ear {
    socket: UnixDatagram,
    notify: Notify,
}

impl Ear {
    /// Makes the socket in the container's folder.
    pub(super) fn open(container: &Path, notify: Notify) -> Result<Self> {
        let path = folder(container).join(NAME);
        let doing = || format!("create socket `{}`", path.display());
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = nix::fcntl::open(&folder(container), flags, Mode::empty()).doing(doing)?;
        match nix::unistd::unlinkat(&dir, NAME, nix::unistd::UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(e) => return Err(e).doing(doing),
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let own = socket(AddressFamily::Unix, SockType::Datagram, flags, None).doing(doing)?;
        // A socket's name may have 107 bytes (unix(7)), so it goes by way of the folder's descriptor.
        let name = UnixAddr::new(format!("/proc/self/fd/{}/{NAME}", dir.as_raw_fd()).as_str()).doing(doing)?;
        bind(own.as_raw_fd(), &name).doing(doing)?;
        // Any user of the container may be the one that is ready; on the host the container's folder is closed to others.
        let mode = Mode::from_bits_truncate(0o777);
        nix::sys::stat::fchmodat(&dir, NAME, mode, nix::sys::stat::FchmodatFlags::FollowSymlink).doing(doing)?;
        Ok(Self { socket: own.into(), notify })
    }

    /// Reads what is there; true once the container was ready, after which nothing more is of interest.
    pub(super) fn listen(&self) -> bool {
        let mut buffer = [0u8; 4096];
        for _ in 0..64 {
            let Ok(n) = self.socket.recv(&mut buffer) else { return false };
            if buffer[..n].split(|b| *b == b'\n').any(|line| line == b"READY=1") {
                self.notify.ready(std::process::id());
                return true;
            }
        }
        false
    }
}

impl AsFd for Ear {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
