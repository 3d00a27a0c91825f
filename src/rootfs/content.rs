//! The first content of a volume: what the image has where the volume is mounted.

use super::assemble::raise_descriptor_limit;
use super::flatten::{copy_folder, open_dir};
use super::merged::{Found, MergedDir, kind};
use super::{copy, users};
use crate::base::{Doing, Result, fsx};
use crate::sys::xattr;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat};
use nix::unistd::{Gid, Uid, fchown};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a volume begins with.
#[derive(Debug)]
pub struct Content<'a> {
    /// The folders whose files the container sees, topmost first.
    pub lowers: &'a [PathBuf],
    /// Absolute, in the container.
    pub target: &'a str,
    /// The container's user, to whom the volume belongs when the image has nothing at the target.
    pub user: &'a str,
    /// With the image's files; otherwise only owner and mode of their folder.
    pub files: bool,
    /// No container has had it yet: then its owner and mode are the image's, too, where there are no files.
    pub fresh: bool,
}

/// True when the empty folder `data` is already what [`fill`] would make of it, which is most often so and needs no
/// user namespace to be seen: the image has nothing there, or an empty folder of its root's. `here` as for [`fill`].
pub fn is_filled(content: &Content<'_>, data: &Path, here: &dyn Fn(u32, u32) -> Option<(u32, u32)>) -> bool {
    let look = || -> Result<bool> {
        let there = nix::sys::stat::stat(data).doing(|| format!("look at `{}`", data.display()))?;
        let root = root(content)?;
        let (owner, mode) = match place(&root, content.target)? {
            Found::Dir(dir) => {
                let folder = &*dir.parts[0].fd;
                if content.files && !dir.names()?.is_empty() {
                    return Ok(false);
                }
                if !content.fresh {
                    return Ok(true);
                }
                if !xattr::list(folder)?.is_empty() {
                    return Ok(false);
                }
                let stat = fstat(folder).doing(|| "look at the image's folder")?;
                (Some((stat.st_uid, stat.st_gid)), stat.st_mode)
            }
            Found::Missing { .. } | Found::File { .. } if !content.fresh => return Ok(true),
            Found::Missing { .. } | Found::File { .. } => (owner(&root, content.user, here)?, PLAIN),
        };
        let same = |owner: (u32, u32)| owner == (there.st_uid, there.st_gid);
        Ok(owner.is_none_or(same) && mode & 0o7777 == there.st_mode & 0o7777)
    };
    // What can't be seen from here is seen from inside.
    look().unwrap_or(false)
}

/// Puts the content into the empty folder `data`, by making `new` beside it; it appears when it is whole. A folder in which there
/// is something stays as it is. `here` tells what an id of the container's is for the caller, who is root of a user namespace with
/// the layers' ids.
pub fn fill(
    content: &Content<'_>,
    new: &Path,
    data: &Path,
    here: &dyn Fn(u32, u32) -> Option<(u32, u32)>,
) -> Result<()> {
    let doing = || format!("list `{}`", data.display());
    if std::fs::read_dir(data).doing(doing)?.next().is_some() {
        return Ok(());
    }
    raise_descriptor_limit();
    let root = root(content)?;
    fsx::create_dir(new, 0o755)?;
    let name = super::merged::c_string(new.as_os_str().as_bytes())?;
    let to = open_dir(AT_FDCWD, &name).doing(|| format!("open `{}`", new.display()))?;
    match place(&root, content.target)? {
        Found::Dir(dir) if content.files => copy_folder(&dir, &to)?,
        Found::Dir(dir) => {
            let stat = fstat(&*dir.parts[0].fd).doing(|| "look at the image's folder")?;
            copy::metadata(&*dir.parts[0].fd, &stat, &to)?;
        }
        // Nothing, or a file, which the start of the container refuses.
        Found::Missing { .. } | Found::File { .. } => {
            fchmod(&to, Mode::from_bits_truncate(PLAIN)).doing(|| "set the mode of the volume")?;
            if let Some((uid, gid)) = owner(&root, content.user, here)? {
                fchown(&to, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                    .doing(|| "give the volume to the container's user")?;
            }
        }
    }
    fsx::rename(new, data)
}

/// Mode of a volume at a place where the image has nothing.
const PLAIN: u32 = 0o755;

fn root(content: &Content<'_>) -> Result<MergedDir> {
    let count = content.lowers.len();
    MergedDir::root(content.lowers.iter().enumerate().map(|(i, path)| (count - 1 - i, path, true)))
}

/// What the image has at the target. The root, to which a link may lead, is no place for a volume: the start refuses it.
fn place(root: &MergedDir, target: &str) -> Result<Found> {
    let found = root.follow(target.as_bytes())?;
    if let Found::Dir(dir) = &found {
        let file = |dir: &MergedDir| fstat(&*dir.parts[0].fd).map(|s| (s.st_dev, s.st_ino));
        if file(dir).doing(|| "look at the image's folder")? == file(root).doing(|| "look at the image's root")? {
            return Ok(Found::Missing { cut: true });
        }
    }
    Ok(found)
}

/// Whose such a volume is: nobody's in particular for a user that the image does not know, which the start will tell.
fn owner(root: &MergedDir, user: &str, here: &dyn Fn(u32, u32) -> Option<(u32, u32)>) -> Result<Option<(u32, u32)>> {
    let (passwd, group) = (text(root, b"etc/passwd")?, text(root, b"etc/group")?);
    Ok(users::resolve_in(&passwd, &group, user, &[]).ok().and_then(|user| here(user.uid, user.gid)))
}

/// A small regular file of the image; anything else is empty.
fn text(root: &MergedDir, name: &[u8]) -> Result<String> {
    let Found::File { part, name, stat } = root.follow(name)? else { return Ok(String::new()) };
    if kind(&stat) != SFlag::S_IFREG {
        return Ok(String::new());
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file: OwnedFd =
        openat(&*part.fd, name.as_c_str(), flags, Mode::empty()).doing(|| "open a file of the image")?;
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(users::MAX_FILE).read_to_end(&mut bytes).doing(|| "read a file of the image")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn a_volume_begins_as_the_images_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("low/srv/data/sub")).unwrap();
        fs::create_dir_all(path("top/srv/data")).unwrap();
        fs::write(path("low/srv/data/a"), "low").unwrap();
        fs::write(path("top/srv/data/b"), "top").unwrap();
        fs::set_permissions(path("top/srv/data"), fs::Permissions::from_mode(0o1770)).unwrap();
        symlink("/srv/data", path("low/link")).unwrap();
        // A link that would leave the image, if it were followed from outside.
        symlink("../../../../../../../../etc", path("low/out")).unwrap();
        let lowers = [path("top"), path("low")];
        let fill = |name: &str, target: &str, files: bool| {
            let (new, data) = (path(&format!("new.{name}")), path(name));
            fs::create_dir_all(&data).unwrap();
            let content = Content { lowers: &lowers, target, user: "", files, fresh: true };
            super::fill(&content, &new, &data, &|_, _| None).unwrap();
            assert!(!new.exists());
            let mut names: Vec<String> =
                fs::read_dir(&data).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            (names.join(" "), data.metadata().unwrap().mode() & 0o7777)
        };
        let is_filled = |name: &str, target: &str, files: bool| {
            let data = path(&format!("seen.{name}"));
            fs::create_dir_all(&data).unwrap();
            fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
            let content = Content { lowers: &lowers, target, user: "", files, fresh: true };
            super::is_filled(&content, &data, &|_, _| None)
        };
        fs::create_dir_all(path("low/empty")).unwrap();
        fs::set_permissions(path("low/empty"), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(is_filled("a", "/empty", true) && is_filled("b", "/none", true));
        assert!(!is_filled("c", "/srv/data", true), "files");
        assert!(!is_filled("d", "/srv/data", false), "another mode");
        assert_eq!(fill("one", "/srv/data", true), ("a b sub".to_owned(), 0o1770));
        assert_eq!(fill("two", "/link", true), ("a b sub".to_owned(), 0o1770));
        assert_eq!(fill("three", "/srv/data", false), (String::new(), 0o1770));
        symlink("/", path("low/up")).unwrap();
        assert_eq!(fill("up", "/up", true), (String::new(), 0o755));
        assert_eq!(fill("four", "/none", true), (String::new(), 0o755));
        assert_eq!(fill("five", "/out", true), (String::new(), 0o755));
        fs::create_dir(path("six")).unwrap();
        fs::write(path("six/mine"), "").unwrap();
        assert_eq!(fill("six", "/srv/data", true).0, "mine");
    }
}
