//! Small things that the image's /etc lacks, put into the container's root before anything is mounted over it: names for users
//! (`rootfs::accounts`), and /etc/mtab.

use super::plan::Plan;
use super::tree;
use crate::base::{Doing, Result};
use crate::rootfs::users;
use crate::sys::fs::open_in_root;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Does both.
pub(super) fn prepare(root: &OwnedFd, plan: &Plan) -> Result<()> {
    // `mount` and `df` of some images read it; podman makes it, too. Whatever stands there stays.
    let there = open_in_root(root, Path::new("/etc/mtab"), OFlag::O_PATH | OFlag::O_NOFOLLOW, Mode::empty());
    if there.is_err_and(|e| e.is_missing()) {
        // A folder of the user's (`--rootfs`) may hold an /etc that is somebody else's.
        drop(tree::symlink(root, "/proc/mounts", "/etc/mtab"));
    }
    let Some(accounts) = plan.accounts.as_ref().filter(|a| !a.is_empty()) else { return Ok(()) };
    let (passwd, group) = (users::read(root.as_fd(), PASSWD)?, users::read(root.as_fd(), GROUP)?);
    let (new_users, new_groups) = accounts.missing(&passwd, &group);
    append(root, PASSWD, &passwd, &new_users)?;
    append(root, GROUP, &group, &new_groups)
}

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// Adds lines to a file that was just read. An image without the file has no use for them.
fn append(root: &OwnedFd, path: &str, old: &str, lines: &str) -> Result<()> {
    if old.is_empty() || lines.is_empty() {
        return Ok(());
    }
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = match open_in_root(root, Path::new(path), flags, Mode::empty()) {
        // As above: the names are a convenience.
        Err(e) if matches!(e.errno(), Some(Errno::EACCES | Errno::EPERM | Errno::EROFS)) => return Ok(()),
        other => other?,
    };
    let separator = if old.ends_with('\n') { "" } else { "\n" };
    let text = format!("{separator}{lines}");
    nix::unistd::write(&file, text.as_bytes()).map(drop).doing(|| format!("add to the image's `{path}`"))
}
