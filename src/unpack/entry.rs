//! Writes one entry of an archive into the layer: what is in its way is replaced, its last component is never followed.
//!
//! The usual case of a file is four system calls: open, write, set times, close. Owner, mode bits beyond `0777` and
//! attributes cost one more each, when the archive has them.

use super::archive::{Archive, Entry, EntryKind};
use super::layer::{DirFinish, Layer, is_dir, lstat};
use super::metadata::{default_acl, set_xattrs, time};
use super::name;
use super::whiteout::{Meaning, meaning};
use crate::base::{Doing, Error, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, fchmod, futimens, mkdirat, mknodat, utimensat};
use nix::unistd::{fchown, fchownat, linkat, symlinkat};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// Writes `entry`, whose data is next in `archive`.
pub(super) fn write(layer: &mut Layer, entry: &Entry, archive: &mut Archive) -> Result<()> {
    let name = name::clean(&entry.name, layer.limits)?;
    match meaning(&name)? {
        Meaning::Nothing => return Ok(()),
        Meaning::Whiteout(hidden) => {
            layer.remember(&hidden)?;
            layer.whiteouts.hidden.insert(hidden);
            return Ok(());
        }
        Meaning::Opaque(dir) => {
            layer.remember(&dir)?;
            layer.whiteouts.opaque.insert(dir);
            return Ok(());
        }
        Meaning::Entry => {}
    }
    if name.is_empty() && entry.kind != EntryKind::Directory {
        return Err(Error::corrupt("the layer's root can't be anything but a directory"));
    }
    match entry.kind {
        EntryKind::Directory => directory(layer, &name, entry)?,
        EntryKind::File => file(layer, &name, entry, Some(archive))?,
        EntryKind::HardLink => return hard_link(layer, &name, entry),
        EntryKind::Symlink => symlink(layer, &name, entry)?,
        EntryKind::Fifo => fifo(layer, &name, entry)?,
        // An unprivileged user namespace may not make devices: an empty file stands there, and the truth beside the layer.
        EntryKind::CharDevice | EntryKind::BlockDevice => file(layer, &name, entry, None)?,
    }
    let truth = layer.owners.to_remember(&name, entry);
    layer.remember_true_stat(&name, truth)
}

fn mode(bits: u32) -> Mode {
    Mode::from_bits_truncate(bits)
}

fn file(layer: &mut Layer, name: &[u8], entry: &Entry, archive: Option<&mut Archive>) -> Result<()> {
    let owner = layer.owners.to_set(entry)?;
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    let fd = layer.create(name, || openat(AT_FDCWD, name, flags, mode(entry.mode & 0o777)))?;
    let mut file = File::from(fd);
    if let Some(archive) = archive {
        layer.count(entry.size)?;
        content(&mut file, entry, archive)?;
    }
    set_owner_and_mode(&file, owner, entry)?;
    if !entry.xattrs.is_empty() {
        set_xattrs(&file, entry, &mut layer.warnings);
    }
    let when = time(entry.mtime);
    futimens(&file, &when, &when).doing(|| "set its times")
}

/// Writes the data that is next in `archive`, with its holes.
pub(super) fn content(file: &mut File, entry: &Entry, archive: &mut Archive) -> Result<()> {
    let doing = || "write it";
    let Some(map) = &entry.sparse else {
        return archive.data(|piece| file.write_all(piece).doing(doing));
    };
    let mut segments = map.segments.iter();
    let (mut at, mut left) = (0, 0);
    archive.data(|mut piece| {
        while !piece.is_empty() {
            if left == 0 {
                // The map's pieces add up to the data: see `SparseMap::new`.
                let segment = segments.next().ok_or_else(|| Error::corrupt("sparse map is too short"))?;
                (at, left) = (segment.offset, segment.length);
            }
            let n = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
            file.write_all_at(&piece[..n], at).doing(doing)?;
            piece = &piece[n..];
            at += n as u64;
            left -= n as u64;
        }
        Ok(())
    })?;
    file.set_len(map.size).doing(doing)
}

/// chown(2) and write(2) clear set-id bits and file capabilities, so the order is: data, owner, mode, attributes.
fn set_owner_and_mode(file: impl AsFd, owner: Option<(u32, u32)>, entry: &Entry) -> Result<()> {
    if let Some((uid, gid)) = owner {
        fchown(&file, Some(uid.into()), Some(gid.into())).doing(|| "set its owner")?;
    }
    if entry.mode & 0o7000 != 0 {
        fchmod(&file, mode(entry.mode)).doing(|| "set its mode")?;
    }
    Ok(())
}

fn directory(layer: &mut Layer, name: &[u8], entry: &Entry) -> Result<()> {
    let owner = layer.owners.to_set(entry)?;
    let mut exists = false;
    if name.is_empty() {
        exists = true;
    } else {
        // Made without set-gid: what is written into it must not inherit its group.
        let make = || match mkdirat(AT_FDCWD, name, mode(entry.mode & 0o1777)) {
            Err(Errno::EEXIST) if lstat(name).is_ok_and(|stat| is_dir(&stat)) => {
                exists = true;
                Ok(())
            }
            other => other,
        };
        layer.create(name, make)?;
    }
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let open = || -> Result<OwnedFd> { openat(AT_FDCWD, name::path(name), flags, Mode::empty()).doing(|| "open it") };
    if exists {
        let (uid, gid) = owner.unwrap_or((0, 0));
        fchown(open()?, Some(uid.into()), Some(gid.into())).doing(|| "set its owner")?;
    } else if let Some((uid, gid)) = owner {
        fchownat(AT_FDCWD, name, Some(uid.into()), Some(gid.into()), AtFlags::AT_SYMLINK_NOFOLLOW)
            .doing(|| "set its owner")?;
    }
    if !entry.xattrs.is_empty() {
        set_xattrs(open()?, entry, &mut layer.warnings);
    }
    let finish = DirFinish {
        mtime: entry.mtime,
        mode: (exists || entry.mode & 0o6000 != 0).then_some(entry.mode),
        default_acl: default_acl(entry).map(<[u8]>::to_vec),
    };
    layer.finish_dir_later(name, finish)
}

/// The owner and the times of what has no descriptor.
fn set_by_name(name: &[u8], owner: Option<(u32, u32)>, entry: &Entry) -> Result<()> {
    if let Some((uid, gid)) = owner {
        fchownat(AT_FDCWD, name, Some(uid.into()), Some(gid.into()), AtFlags::AT_SYMLINK_NOFOLLOW)
            .doing(|| "set its owner")?;
    }
    let when = time(entry.mtime);
    utimensat(AT_FDCWD, name, &when, &when, UtimensatFlags::NoFollowSymlink).doing(|| "set its times")
}

fn symlink(layer: &mut Layer, name: &[u8], entry: &Entry) -> Result<()> {
    let target = &entry.link[..];
    let refuse = |why: String| Err(Error::corrupt(format!("symlink {why}")));
    if target.is_empty() {
        return refuse("without a target".to_owned());
    }
    if target.contains(&0) {
        return refuse("whose target contains a NUL byte".to_owned());
    }
    if target.len() > layer.limits.max_name {
        return refuse(format!(
            "with a target of {} bytes; at most {} are possible",
            target.len(),
            layer.limits.max_name
        ));
    }
    let owner = layer.owners.to_set(entry)?;
    // Wherever it points: it means something inside the container only, and this thread's root is the layer.
    layer.create(name, || symlinkat(target, AT_FDCWD, name))?;
    layer.count(target.len() as u64)?;
    set_by_name(name, owner, entry)
}

fn fifo(layer: &mut Layer, name: &[u8], entry: &Entry) -> Result<()> {
    let owner = layer.owners.to_set(entry)?;
    layer.create(name, || mknodat(AT_FDCWD, name, SFlag::S_IFIFO, mode(entry.mode & 0o777), 0))?;
    set_by_name(name, owner, entry)?;
    if entry.mode & 0o7000 != 0 {
        let flags = nix::sys::stat::FchmodatFlags::FollowSymlink;
        nix::sys::stat::fchmodat(AT_FDCWD, name, mode(entry.mode), flags).doing(|| "set its mode")?;
    }
    Ok(())
}

/// A hard link gets no metadata of its own, as with GNU tar: it is the file that the archive described before.
fn hard_link(layer: &mut Layer, name: &[u8], entry: &Entry) -> Result<()> {
    let target = name::clean(&entry.link, layer.limits).map_err(|e| e.step("hard link"))?;
    if target.is_empty() {
        return Err(Error::corrupt("hard link to the layer's root"));
    }
    let missing = |name: &[u8]| matches!(lstat(name), Err(Errno::ENOENT | Errno::ENOTDIR));
    if target == name {
        return if missing(name) { Err(Error::corrupt("hard link to itself")) } else { Ok(()) };
    }
    if target.len() > name.len() && target.starts_with(name) && target[name.len()] == b'/' {
        return Err(Error::corrupt(format!("hard link to `{}` inside itself", name::show(&target))));
    }
    let doing = || format!("link it to `{}`", name::show(&target));
    for _ in 0..4 {
        match linkat(AT_FDCWD, &target[..], AT_FDCWD, name, AtFlags::empty()) {
            Ok(()) => return layer.share_true_stat(&target, name),
            Err(Errno::EEXIST) => {
                if same_file(name, &target) {
                    return Ok(());
                }
                layer.clear(name)?;
            }
            Err(Errno::ENOENT | Errno::ENOTDIR) if missing(&target) => {
                layer.clear(name)?;
                layer.make_parents(name)?;
                return layer.link_later(name, &target);
            }
            Err(Errno::ENOENT) => layer.make_parents(name)?,
            Err(Errno::ENOTDIR) => return Err(Error::corrupt("a parent of it is not a directory")),
            Err(Errno::EPERM) if lstat(&target).is_ok_and(|stat| is_dir(&stat)) => {
                return Err(Error::corrupt(format!("hard link to the directory `{}`", name::show(&target))));
            }
            Err(e) => return Err(e).doing(doing),
        }
    }
    Err(Errno::EEXIST).doing(doing)
}

fn same_file(a: &[u8], b: &[u8]) -> bool {
    match (lstat(a), lstat(b)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    }
}
