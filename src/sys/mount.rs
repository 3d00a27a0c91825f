//! Mounts by descriptor: fsopen(2), fsconfig(2), fsmount(2), move_mount(2), open_tree(2) (Linux 5.2), mount_setattr(2)
//! (5.12), and the older calls where those are missing. A mount made here is attached only by `move_mount`, onto a
//! descriptor that the caller resolved, so no path of an image is walked twice.

use super::procfs;
use crate::base::{Doing, Error, Result, fsx};
use nix::errno::Errno;
use std::ffi::{CStr, CString, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Attributes of `mount_setattr` and `fsmount` (mount_setattr(2)).
pub mod attr {
    /// Read-only.
    pub const RDONLY: u64 = 0x1;
    /// Set-id bits and file capabilities have no effect.
    pub const NOSUID: u64 = 0x2;
    /// Device files have no effect.
    pub const NODEV: u64 = 0x4;
    /// Nothing can be executed.
    pub const NOEXEC: u64 = 0x8;
    /// The field of the access-time modes.
    pub const ATIME_MASK: u64 = 0x70;
    /// Access times are never written.
    pub const NOATIME: u64 = 0x10;
    /// Access times are always written.
    pub const STRICTATIME: u64 = 0x20;
    /// Access times of directories are never written.
    pub const NODIRATIME: u64 = 0x80;
    /// Symlinks are not followed (5.10).
    pub const NOSYMFOLLOW: u64 = 0x20_0000;
}

const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_SET_FD: u32 = 5;
const FSCONFIG_CMD_CREATE: u32 = 6;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;
const OPEN_TREE_CLONE: u32 = 1;
const AT_RECURSIVE: u32 = 0x8000;

fn fd_of(ret: libc::c_long) -> std::result::Result<OwnedFd, Errno> {
    // SAFETY: called only with the result of a system call that returns a new descriptor nobody else owns, or -1.
    Errno::result(ret).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

fn c_string(text: &[u8]) -> Result<CString> {
    CString::new(text).map_err(|_| Error::usage("a path or mount option contains a NUL byte"))
}

/// A filesystem being configured: a context of fsopen(2).
#[derive(Debug)]
pub struct FsContext {
    fd: OwnedFd,
    kind: &'static str,
}

impl FsContext {
    /// Begins a filesystem of type `kind`.
    pub fn open(kind: &'static str) -> Result<Self> {
        let name = c_string(kind.as_bytes())?;
        // SAFETY: `name` is NUL-terminated and lives through the call; 1 is FSOPEN_CLOEXEC.
        let ret = unsafe { libc::syscall(libc::SYS_fsopen, name.as_ptr(), 1) };
        Ok(Self { fd: fd_of(ret).doing(|| format!("open filesystem type `{kind}`"))?, kind })
    }

    fn config(
        &self,
        command: u32,
        key: Option<&CStr>,
        value: Option<&CStr>,
        aux: i32,
    ) -> std::result::Result<(), Errno> {
        let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: both strings are null or NUL-terminated and live through the call; `aux` is 0 or an open descriptor.
        let ret = unsafe {
            libc::syscall(libc::SYS_fsconfig, self.fd.as_raw_fd(), command, pointer(key), pointer(value), aux)
        };
        Errno::result(ret).map(drop)
    }

    /// Sets a flag option.
    pub fn flag(&self, key: &str) -> Result<()> {
        let name = c_string(key.as_bytes())?;
        self.config(FSCONFIG_SET_FLAG, Some(&name), None, 0).map_err(|e| self.error(e, &format!("set option `{key}`")))
    }

    /// Sets an option to a string.
    pub fn string(&self, key: &str, value: impl AsRef<[u8]>) -> Result<()> {
        let (name, text) = (c_string(key.as_bytes())?, c_string(value.as_ref())?);
        self.config(FSCONFIG_SET_STRING, Some(&name), Some(&text), 0)
            .map_err(|e| self.error(e, &format!("set option `{key}={}`", text.to_string_lossy())))
    }

    /// Sets an option to a descriptor; overlay takes its layers so since Linux 6.13 (EINVAL before).
    pub fn descriptor(&self, key: &str, value: impl AsFd) -> std::result::Result<(), Errno> {
        let name = CString::new(key).map_err(|_| Errno::EINVAL)?;
        self.config(FSCONFIG_SET_FD, Some(&name), None, value.as_fd().as_raw_fd())
    }

    /// Creates the filesystem and a mount of it with `attributes` (see [`attr`]) that is attached nowhere yet.
    pub fn mount(self, attributes: u64) -> Result<OwnedFd> {
        self.config(FSCONFIG_CMD_CREATE, None, None, 0).map_err(|e| self.error(e, "create"))?;
        // SAFETY: integers only; 1 is FSMOUNT_CLOEXEC.
        let ret = unsafe { libc::syscall(libc::SYS_fsmount, self.fd.as_raw_fd(), 1, attributes) };
        fd_of(ret).map_err(|e| self.error(e, "mount"))
    }

    /// The kernel explains a refusal in messages that are read from the context.
    fn error(&self, errno: Errno, doing: &str) -> Error {
        let mut said = Vec::new();
        let mut buffer = [0u8; 512];
        while let Ok(n @ 1..) = nix::unistd::read(&self.fd, &mut buffer) {
            let line = String::from_utf8_lossy(&buffer[..n]).trim().to_owned();
            // "e overlay: text": a level, and what failed.
            said.push(line.strip_prefix("e ").map(str::to_owned).unwrap_or(line));
        }
        let e = Error::from(errno).step(format!("{doing} of a `{}` filesystem", self.kind));
        if said.is_empty() { e } else { e.hint(format!("the kernel says: {}", said.join("; "))) }
    }
}

/// Attaches a detached mount over what `target` is open on.
pub fn move_mount(mount: impl AsFd, target: impl AsFd) -> Result<()> {
    let empty = c"";
    // SAFETY: two open descriptors and two empty NUL-terminated strings.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_fd().as_raw_fd(),
            empty.as_ptr(),
            target.as_fd().as_raw_fd(),
            empty.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
        )
    };
    Errno::result(ret).map(drop).doing(|| "attach mount")
}

/// A detached bind mount of `path` below `dir` (an absolute `path` ignores `dir`), with what is mounted below it if
/// `recursive`.
pub fn clone_tree(dir: BorrowedFd<'_>, path: &Path, recursive: bool) -> Result<OwnedFd> {
    use std::os::unix::ffi::OsStrExt;
    let name = c_string(path.as_os_str().as_bytes())?;
    let empty = if path.as_os_str().is_empty() { libc::AT_EMPTY_PATH as u32 } else { 0 };
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as u32 | empty | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: `name` is NUL-terminated and lives through the call; `dir` is open.
    let ret = unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), name.as_ptr(), flags) };
    fd_of(ret).doing(|| format!("bind `{}`", path.display()))
}

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Changes attributes and propagation (0, or `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`) of a mount, and of those below it if
/// `recursive`.
pub fn set_attributes(mount: impl AsFd, set: u64, clear: u64, propagation: u64, recursive: bool) -> Result<()> {
    let attributes = MountAttr { set, clear, propagation, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH as u32 | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the struct is the 32-byte first version of mount_attr and lives through the call; the path is empty and
    // NUL-terminated.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttr>(),
        )
    };
    Errno::result(ret).map(drop).doing(|| "set mount attributes")
}

/// pivot_root(2) with both arguments the current directory: the old root ends up on top of the new one and is detached by
/// the following `umount2(".", MNT_DETACH)`, so that no folder of the image is needed for it.
pub fn pivot_root_here() -> Result<()> {
    // SAFETY: two NUL-terminated strings.
    let ret = unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) };
    Errno::result(ret).map(drop).doing(|| "pivot to the container's root")?;
    nix::mount::umount2(".", nix::mount::MntFlags::MNT_DETACH).doing(|| "detach the old root")
}

/// True if something is mounted at this very path, by proc_pid_mountinfo(5).
pub fn is_mount_point(path: &Path) -> Result<bool> {
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e).doing(|| format!("look at `{}`", path.display())),
    };
    let list = fsx::read(Path::new("/proc/self/mountinfo"))?;
    Ok(mounts_at(&list, &real).next().is_some())
}

/// A process in another mount namespace that has an overlay whose folder of changes has a path that ends so. Those overlays that only
/// show files have none. Processes that this one can't see, since they are in no pid namespace below its own, are not found.
///
/// Where it is mounted says nothing: a process is told paths below its own root, which may be that very mount.
pub fn overlay_is_written_by(changes: &Path) -> Option<i32> {
    let mut seen: Vec<u64> = procfs::namespace(std::process::id() as i32, "mnt").into_iter().collect();
    procfs::pids().into_iter().find(|pid| {
        let namespace = procfs::namespace(*pid, "mnt");
        if namespace.is_some_and(|namespace| seen.contains(&namespace)) {
            return false;
        }
        // One that has just ended has no list any more; another one in the same namespace has.
        let Ok(list) = fsx::read(Path::new(&format!("/proc/{pid}/mountinfo"))) else { return false };
        seen.extend(namespace);
        list.split(|b| *b == b'\n').filter_map(upper_folder).any(|upper| upper.ends_with(changes))
    })
}

/// The folder of changes in a line of a mountinfo. The options of the filesystem come last; commas in their values are escaped.
fn upper_folder(line: &[u8]) -> Option<PathBuf> {
    let options = line.rsplit(|b| *b == b' ').next()?;
    let upper = options.split(|b| *b == b',').find_map(|option| option.strip_prefix(b"upperdir="))?;
    Some(OsString::from_vec(unescaped(upper)).into())
}

/// The lines of a mountinfo for what is mounted at this path.
fn mounts_at<'a>(list: &'a [u8], path: &'a Path) -> impl Iterator<Item = &'a [u8]> {
    list.split(|b| *b == b'\n').filter(|line| {
        let point = line.split(|b| *b == b' ').nth(4).unwrap_or_default();
        unescaped(point) == path.as_os_str().as_bytes()
    })
}

/// Space, tab, newline and backslash stand there as octal.
fn unescaped(point: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(point.len());
    let mut rest = point;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = (first == b'\\').then(|| tail.get(..3)).flatten();
        match octal.and_then(|o| u8::from_str_radix(std::str::from_utf8(o).ok()?, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[3..];
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_unescaped() {
        assert_eq!(unescaped(b"/a\\040b\\134c\\"), b"/a b\\c\\");
        assert!(is_mount_point(Path::new("/proc")).unwrap());
        assert!(!is_mount_point(Path::new("/proc/self")).unwrap());
        assert!(!is_mount_point(Path::new("/no/such/path")).unwrap());
    }

    #[test]
    fn the_folder_of_changes_is_found_wherever_the_overlay_is() {
        let line =
            |options: &str| upper_folder(format!("9 8 0:7 / / rw shared:1 - overlay overlay {options}").as_bytes());
        let upper =
            line(r"rw,lowerdir=/a:/b\040\054upperdir\075c,upperdir=/s\054\040t/id/upper,workdir=/w,userxattr").unwrap();
        assert_eq!(upper, Path::new("/s, t/id/upper"));
        assert!(upper.ends_with("id/upper") && !upper.ends_with("d/upper"));
        assert_eq!((line("ro,lowerdir=/a:/b"), upper_folder(b"")), (None, None));
    }
}
