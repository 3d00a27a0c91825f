//! Files below a container's root, by descriptor: what `mounts` and `process` need to look up, create and check.

use crate::base::{Doing, Error, Kind, Result};
use crate::sys::fs::open_in_root;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::{Gid, Uid};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// Opens a path of the host as a place only (`O_PATH`).
pub(super) fn open_path(path: &Path) -> Result<OwnedFd> {
    nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
        .doing(|| format!("open `{}`", path.display()))
}

/// Gives a new upper folder what the image says of its root: overlay shows the uppermost folder's owner, mode and time.
pub(super) fn copy_root_metadata(top: &Path, upper: &Path) -> Result<()> {
    let from = nix::sys::stat::stat(top).doing(|| format!("look at layer `{}`", top.display()))?;
    let folder = nix::fcntl::open(upper, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let folder = folder.doing(|| format!("open `{}`", upper.display()))?;
    let set = || {
        let now = fstat(&folder)?;
        if (now.st_uid, now.st_gid) != (from.st_uid, from.st_gid) {
            let (uid, gid) = (nix::unistd::Uid::from_raw(from.st_uid), nix::unistd::Gid::from_raw(from.st_gid));
            nix::unistd::fchown(&folder, Some(uid), Some(gid))?;
        }
        if now.st_mode & 0o7777 != from.st_mode & 0o7777 {
            nix::sys::stat::fchmod(&folder, Mode::from_bits_truncate(from.st_mode & 0o7777))?;
        }
        let time = nix::sys::time::TimeSpec::new(from.st_mtime, from.st_mtime_nsec);
        nix::sys::stat::futimens(&folder, &time, &time)
    };
    set().doing(|| format!("set owner and mode of `{}`", upper.display()))
}

/// Opens a path in the root as a place; `None` if there is nothing.
pub(super) fn open_existing(root: &OwnedFd, path: &str) -> Result<Option<OwnedFd>> {
    match open_in_root(root, Path::new(path), OFlag::O_PATH, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(e) if matches!(e.errno(), Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Opens a folder in the root, creating it and its missing parents with mode 0755. With `no_link` a symlink at its end is
/// refused.
pub(super) fn ensure_dir(root: &OwnedFd, path: &str, no_link: bool) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | if no_link { OFlag::O_NOFOLLOW } else { OFlag::empty() };
    match open_in_root(root, Path::new(path), flags, Mode::empty()) {
        Ok(fd) => return Ok(fd),
        Err(e) if e.is_missing() => {}
        Err(e) if no_link && matches!(e.errno(), Some(Errno::ENOTDIR | Errno::ELOOP)) => {
            return Err(e.with_kind(Kind::Denied).hint(format!("`{path}` in the image must be an ordinary folder")));
        }
        Err(e) => return Err(e),
    }
    let mut so_far = PathBuf::from("/");
    let mut parent = open_in_root(root, &so_far, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty())?;
    for component in Path::new(path).components() {
        let Component::Normal(name) = component else {
            if component == Component::ParentDir {
                return Err(Error::usage(format!("`{path}` contains `..`")));
            }
            continue;
        };
        so_far.push(name);
        parent = match open_in_root(root, &so_far, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()) {
            Ok(fd) => fd,
            Err(e) if e.is_missing() => {
                match mkdirat(&parent, name, Mode::from_bits_truncate(0o755)) {
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(e) => {
                        return Err(e)
                            .doing(|| format!("create folder `{}` in the container's root", so_far.display()));
                    }
                }
                open_in_root(root, &so_far, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty())?
            }
            Err(e) => return Err(e),
        };
    }
    Ok(parent)
}

/// Opens a file in the root as a place, creating an empty one where there is none.
pub(super) fn ensure_file(root: &OwnedFd, path: &str) -> Result<OwnedFd> {
    match open_in_root(root, Path::new(path), OFlag::O_PATH, Mode::empty()) {
        Err(e) if e.is_missing() => {}
        other => return other,
    }
    let whole = Path::new(path);
    let name = whole.file_name().ok_or_else(|| Error::usage(format!("`{path}` names no file")))?;
    let parent = ensure_dir(root, &whole.parent().unwrap_or(Path::new("/")).display().to_string(), false)?;
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_WRONLY;
    match openat(&parent, name, flags, Mode::from_bits_truncate(0o644)) {
        Ok(_) | Err(Errno::EEXIST) => {}
        Err(e) => return Err(e).doing(|| format!("create file `{path}` in the container's root")),
    }
    openat(&parent, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
        .doing(|| format!("open `{path}` in the container's root"))
}

/// Makes a symlink; what is there already stays.
pub(super) fn symlink(root: &OwnedFd, target: &str, link: &str) -> Result<()> {
    let whole = Path::new(link);
    let name = whole.file_name().ok_or_else(|| Error::usage(format!("`{link}` names no file")))?;
    let parent = ensure_dir(root, &whole.parent().unwrap_or(Path::new("/")).display().to_string(), false)?;
    match nix::unistd::symlinkat(target, &parent, name) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(e) => Err(e).doing(|| format!("create link `{link}` in the container's root")),
    }
}

/// True if the descriptor is a folder.
pub(super) fn is_dir(fd: impl AsFd) -> Result<bool> {
    let stat = fstat(fd).doing(|| "look at a mount target")?;
    Ok(stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits())
}

/// True if both are one file.
pub(super) fn is_same(a: impl AsFd, b: impl AsFd) -> Result<bool> {
    let (a, b) = (fstat(a), fstat(b));
    let (a, b) = (a.doing(|| "look at a mount target")?, b.doing(|| "look at a mount target")?);
    Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
}

/// True if the descriptor is on a procfs.
pub(super) fn is_procfs(fd: impl AsFd) -> Result<bool> {
    let kind = fstatfs(fd).doing(|| "look at the filesystem of a file in the container's root")?.filesystem_type();
    Ok(kind == PROC_SUPER_MAGIC)
}

/// An error unless the descriptor is on a procfs.
pub(super) fn require_procfs(fd: impl AsFd) -> Result<()> {
    if is_procfs(fd)? {
        Ok(())
    } else {
        Err(Error::new(Kind::Denied, "the container's /proc is not the kernel's: the image put something in its place"))
    }
}

/// An error unless the descriptor is this character device.
pub(super) fn require_device(fd: impl AsFd, major: u64, minor: u64) -> Result<()> {
    let stat = fstat(fd).doing(|| "look at a device")?;
    let is_char = stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFCHR.bits();
    if is_char && stat.st_rdev == nix::sys::stat::makedev(major, minor) {
        Ok(())
    } else {
        Err(Error::new(Kind::Denied, format!("the host's device {major}:{minor} is not what it should be")))
    }
}

/// Gives a mounted file, or a folder with all in it, to an id of the container. Links are given away, not followed.
pub(super) fn give_away(mount: &OwnedFd, uid: u32, gid: u32) -> Result<()> {
    let owner = (Uid::from_raw(uid), Gid::from_raw(gid));
    give_one(mount.as_fd(), c"", AtFlags::AT_EMPTY_PATH, owner).doing(|| "give it to the container's user")?;
    if is_dir(mount)? { give_contents(mount.as_fd(), c".", owner, 0) } else { Ok(()) }
}

/// Only what is somebody else's: a second start has nothing to do.
fn give_one(dir: BorrowedFd<'_>, name: &CStr, flags: AtFlags, (uid, gid): (Uid, Gid)) -> nix::Result<FileStat> {
    let flags = flags | AtFlags::AT_SYMLINK_NOFOLLOW;
    let stat = fstatat(dir, name, flags)?;
    if (stat.st_uid, stat.st_gid) != (uid.as_raw(), gid.as_raw()) {
        nix::unistd::fchownat(dir, name, Some(uid), Some(gid), flags)?;
    }
    Ok(stat)
}

fn give_contents(parent: BorrowedFd<'_>, name: &CStr, owner: (Uid, Gid), depth: usize) -> Result<()> {
    if depth > 512 {
        return Err(Error::unsupported("its folders are nested more than 512 deep"));
    }
    let doing = || format!("give `{}` to the container's user", name.to_string_lossy());
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let folder = openat(parent, name, flags, Mode::empty()).doing(doing)?;
    let mut list = nix::dir::Dir::from_fd(folder.try_clone()?).doing(doing)?;
    for entry in list.iter() {
        let entry = entry.doing(doing)?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = give_one(folder.as_fd(), name, AtFlags::empty(), owner)
            .doing(|| format!("give `{}` to the container's user", name.to_string_lossy()))?;
        if stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits() {
            give_contents(folder.as_fd(), name, owner, depth + 1)?;
        }
    }
    Ok(())
}

/// Copies what `below` (a folder that is about to be hidden) holds into the new tmpfs mounted over it.
pub(super) fn copy_up(below: &OwnedFd, mount: &OwnedFd) -> Result<()> {
    copy_folder(below, mount, 0)
}

fn copy_folder(from: &OwnedFd, to: &OwnedFd, depth: usize) -> Result<()> {
    if depth > 64 {
        return Err(Error::usage("the folder below the tmpfs is too deep to be copied"));
    }
    let mut dir =
        nix::dir::Dir::openat(from, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .doing(|| "list the folder below a tmpfs")?;
    for entry in dir.iter() {
        let entry = entry.doing(|| "list the folder below a tmpfs")?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        copy_entry(from, to, name, depth)
            .map_err(|e| e.step(format!("copy `{}` into the tmpfs", name.to_string_lossy())))?;
    }
    Ok(())
}

fn copy_entry(from: &OwnedFd, to: &OwnedFd, name: &std::ffi::CStr, depth: usize) -> Result<()> {
    let stat = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_bits_truncate(stat.st_mode & 0o7777);
    let owner = (Some(nix::unistd::Uid::from_raw(stat.st_uid)), Some(nix::unistd::Gid::from_raw(stat.st_gid)));
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFDIR => {
            mkdirat(to, name, Mode::S_IRWXU)?;
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let (source, copy) = (openat(from, name, flags, Mode::empty())?, openat(to, name, flags, Mode::empty())?);
            copy_folder(&source, &copy, depth + 1)?;
            nix::unistd::fchown(&copy, owner.0, owner.1)?;
            nix::sys::stat::fchmod(&copy, mode)?;
        }
        SFlag::S_IFREG => {
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let mut source = std::fs::File::from(openat(from, name, flags, Mode::empty())?);
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            let mut copy = std::fs::File::from(openat(to, name, flags, Mode::S_IRWXU)?);
            std::io::copy(&mut source, &mut copy)?;
            nix::unistd::fchown(&copy, owner.0, owner.1)?;
            nix::sys::stat::fchmod(&copy, mode)?;
        }
        SFlag::S_IFLNK => {
            let target = nix::fcntl::readlinkat(from, name)?;
            nix::unistd::symlinkat(target.as_os_str(), to, name)?;
            nix::unistd::fchownat(to, name, owner.0, owner.1, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        }
        // Fifos, sockets and device placeholders have no content to start from.
        _ => {}
    }
    Ok(())
}
