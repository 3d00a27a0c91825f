//! One file of the tree, looked at: what it is, which attributes go with it, and whether it stands for a whiteout.

use crate::base::{Doing, Result};
use crate::sys::xattr;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::sys::statfs::{
    CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEVPTS_SUPER_MAGIC, FsType, PROC_SUPER_MAGIC, SYSFS_MAGIC, fstatfs,
};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// POSIX message queues; statfs(2).
const MQUEUE_MAGIC: FsType = FsType(0x1980_0202);

pub(super) type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// A file and, for those that have content, its descriptor.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) stat: FileStat,
    /// Of regular files and directories.
    pub(super) fd: Option<OwnedFd>,
}

/// The type bits of a file.
pub(super) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

impl Source {
    /// Looks at `name`; `None` if there is nothing (any more). A file that is another one each time it is looked at is an error.
    pub(super) fn look(parent: BorrowedFd<'_>, name: &CStr) -> Result<Option<Self>> {
        for _ in 0..16 {
            let stat = match fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::ENOENT) => return Ok(None),
                Err(e) => return Err(e).doing(|| "look at it"),
            };
            let folder = match kind(&stat) {
                SFlag::S_IFDIR => OFlag::O_DIRECTORY,
                SFlag::S_IFREG => OFlag::empty(),
                // Opening any other sort of file could wait for ever or do something.
                _ => return Ok(Some(Self { stat, fd: None })),
            };
            // Somebody may put a fifo or a terminal in its place between the look and this: it neither hangs nor takes over.
            let safe = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
            let fd = match openat(parent, name, OFlag::O_RDONLY | folder | safe, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::ENOENT | Errno::ELOOP | Errno::ENOTDIR | Errno::ENXIO) => continue,
                Err(e) => return Err(e).doing(|| "open it"),
            };
            let opened = fstat(&fd).doing(|| "look at it")?;
            if kind(&opened) == kind(&stat) {
                return Ok(Some(Self { stat: opened, fd: Some(fd) }));
            }
        }
        Err(Errno::EAGAIN).doing(|| "open it: it changes all the time")
    }

    /// The attributes that belong into an archive.
    pub(super) fn attributes(&self) -> Result<Attributes> {
        let Some(fd) = &self.fd else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for name in xattr::list(fd).doing(|| "list its attributes")? {
            if belongs(&name)
                && let Some(value) = xattr::get(fd, &name).doing(|| "read its attributes")?
            {
                found.push((name, value));
            }
        }
        found.sort();
        Ok(found)
    }

    /// It hides a lower layer's file in an overlay: a device 0:0, or an empty file with the attribute (kernel
    /// Documentation/filesystems/overlayfs).
    pub(super) fn is_whiteout(&self) -> Result<bool> {
        match kind(&self.stat) {
            SFlag::S_IFCHR => Ok(self.stat.st_rdev == 0),
            SFlag::S_IFREG if self.stat.st_size == 0 => self.has(b"user.overlay.whiteout", None),
            _ => Ok(false),
        }
    }

    /// It hides what lower layers have in it.
    pub(super) fn is_opaque(&self) -> Result<bool> {
        self.has(b"user.overlay.opaque", Some(b"y"))
    }

    fn has(&self, name: &[u8], wanted: Option<&[u8]>) -> Result<bool> {
        let Some(fd) = &self.fd else { return Ok(false) };
        let value = xattr::get(fd, name).doing(|| "read its attributes")?;
        Ok(value.is_some_and(|v| wanted.is_none_or(|w| v == w)))
    }
}

/// Never packed: what steers the overlay, faked owners, and what means something to this machine only.
fn belongs(name: &[u8]) -> bool {
    match name {
        b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => true,
        _ => {
            name.starts_with(b"user.") && !name.starts_with(b"user.overlay.") && !name.starts_with(b"user.containers.")
        }
    }
}

/// True for a directory of a file system that the kernel makes up: its files have no end, or no meaning elsewhere.
pub(super) fn is_made_up(dir: impl AsFd) -> bool {
    let known =
        [PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEVPTS_SUPER_MAGIC, MQUEUE_MAGIC];
    fstatfs(dir).is_ok_and(|fs| known.contains(&fs.filesystem_type()))
}
