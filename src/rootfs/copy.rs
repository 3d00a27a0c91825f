//! Copies single files with everything that a layer keeps of them: content with its holes, owner, mode, times, attributes.
//!
//! Attributes that steer the overlay stay behind: a copy is not opaque because its source is.

use crate::base::{Doing, Error, Result};
use crate::sys::{reflink, xattr};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, copy_file_range, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags, fchmod, futimens, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, Whence, fchown, fchownat, lseek, symlinkat};
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

/// Copies what `name` in `from` is (anything but a directory; `stat` is its own) to `to_name` in `to`, which must not exist.
pub(super) fn file(
    from: BorrowedFd<'_>,
    name: &CStr,
    stat: &FileStat,
    to: BorrowedFd<'_>,
    to_name: &CStr,
) -> Result<()> {
    let doing = || format!("copy `{}`", to_name.to_string_lossy());
    match super::merged::kind(stat) {
        SFlag::S_IFREG => regular(from, name, stat, to, to_name).doing(doing),
        SFlag::S_IFLNK => {
            let target = readlinkat(from, name).doing(doing)?;
            symlinkat(target.as_os_str(), to, to_name).doing(doing)?;
            by_name(stat, to, to_name).doing(doing)
        }
        kind => {
            mknodat(to, to_name, kind, Mode::from_bits_truncate(stat.st_mode & 0o7777), stat.st_rdev).doing(doing)?;
            by_name(stat, to, to_name).doing(doing)
        }
    }
}

fn owner(stat: &FileStat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
}

fn times(stat: &FileStat) -> (TimeSpec, TimeSpec) {
    (TimeSpec::new(stat.st_atime, stat.st_atime_nsec), TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec))
}

/// Owner and times of what has no descriptor.
fn by_name(stat: &FileStat, to: BorrowedFd<'_>, name: &CStr) -> nix::Result<()> {
    let (uid, gid) = owner(stat);
    fchownat(to, name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let (atime, mtime) = times(stat);
    utimensat(to, name, &atime, &mtime, UtimensatFlags::NoFollowSymlink)
}

fn regular(from: BorrowedFd<'_>, name: &CStr, stat: &FileStat, to: BorrowedFd<'_>, to_name: &CStr) -> Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let source = File::from(openat(from, name, flags, Mode::empty())?);
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let copy = File::from(openat(to, to_name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
    if reflink::clone_file(source.as_fd(), copy.as_fd()).is_err() {
        content(&source, &copy)?;
    }
    metadata(&source, stat, &copy)
}

/// Copies the pieces that have data; the holes stay holes.
fn content(source: &File, copy: &File) -> Result<()> {
    let size = source.metadata()?.len();
    let end = i64::try_from(size).map_err(|_| Error::from(Errno::EFBIG))?;
    let mut at = 0;
    while at < end {
        let start = match lseek(source, at, Whence::SeekData) {
            Ok(start) => start,
            Err(Errno::ENXIO) => break,
            Err(e) => return Err(e.into()),
        };
        at = lseek(source, start, Whence::SeekHole)?;
        piece(source, copy, start, at)?;
    }
    Ok(copy.set_len(size)?)
}

fn piece(source: &File, copy: &File, start: i64, end: i64) -> Result<()> {
    let (mut from, mut to) = (start, start);
    while from < end {
        let length = usize::try_from(end - from).unwrap_or(usize::MAX).min(1 << 30);
        match copy_file_range(source, Some(&mut from), copy, Some(&mut to), length) {
            Ok(0) => break,
            Ok(_) => {}
            Err(Errno::EXDEV | Errno::ENOSYS | Errno::EINVAL | Errno::EOPNOTSUPP) => {
                return by_hand(source, copy, from, end);
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Where the kernel will not copy between these two file systems.
fn by_hand(source: &File, copy: &File, start: i64, end: i64) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let (mut at, end) = (start.cast_unsigned(), end.cast_unsigned());
    while at < end {
        let want = usize::try_from(end - at).map_or(buffer.len(), |left| left.min(buffer.len()));
        let n = source.read_at(&mut buffer[..want], at)?;
        if n == 0 {
            break;
        }
        copy.write_all_at(&buffer[..n], at)?;
        at += n as u64;
    }
    Ok(())
}

/// Gives the open file or directory `to` the owner, mode, attributes and times of `from`.
pub(super) fn metadata(from: impl AsFd, stat: &FileStat, to: impl AsFd) -> Result<()> {
    let (uid, gid) = owner(stat);
    fchown(&to, uid, gid)?;
    fchmod(&to, Mode::from_bits_truncate(stat.st_mode & 0o7777))?;
    for name in xattr::list(&from)? {
        let kept = name == b"security.capability" || name.starts_with(b"system.posix_acl_");
        if (kept || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")))
            && let Some(value) = xattr::get(&from, &name)?
        {
            xattr::set(&to, &name, &value)?;
        }
    }
    let (atime, mtime) = times(stat);
    Ok(futimens(&to, &atime, &mtime)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn copies_keep_what_a_layer_keeps() {
        let dir = tempfile::tempdir().unwrap();
        let source = File::create(dir.path().join("a")).unwrap();
        source.write_all_at(b"start", 0).unwrap();
        source.write_all_at(b"end", 1 << 20).unwrap();
        source.set_len(3 << 20).unwrap();
        source.set_permissions(std::fs::Permissions::from_mode(0o4750)).unwrap();
        let attributes = xattr::set(&source, b"user.a", b"b").is_ok();
        if attributes {
            xattr::set(&source, b"user.overlay.opaque", b"y").unwrap();
        }
        std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
        let root = File::open(dir.path()).unwrap();
        for (from, to) in [(c"a", c"b"), (c"link", c"link2")] {
            let stat = nix::sys::stat::fstatat(&root, from, AtFlags::AT_SYMLINK_NOFOLLOW).unwrap();
            file(root.as_fd(), from, &stat, root.as_fd(), to).unwrap();
        }
        let meta = |name: &str| dir.path().join(name).symlink_metadata().unwrap();
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), std::fs::read(dir.path().join("b")).unwrap());
        assert_eq!((meta("b").mode(), meta("b").mtime_nsec()), (meta("a").mode(), meta("a").mtime_nsec()));
        assert!(meta("b").blocks() * 512 < 1 << 20, "the hole was filled");
        assert_eq!(meta("link2").mtime_nsec(), meta("link").mtime_nsec());
        assert_eq!(std::fs::read_link(dir.path().join("link2")).unwrap(), std::path::Path::new("nowhere"));
        if attributes {
            let copy = File::open(dir.path().join("b")).unwrap();
            assert_eq!(xattr::get(&copy, b"user.a").unwrap().unwrap(), b"b");
            assert_eq!(xattr::get(&copy, b"user.overlay.opaque").unwrap(), None);
        }
    }
}
