//! Which users a container's /etc/passwd is to know beside the image's own.

use crate::base::{Error, Result};
use crate::rootfs::accounts::{Accounts, HostUser, find};
use crate::spec::options::ContainerOptions;
use crate::userns::subid::user_name;
use std::process::{Command, Stdio};

/// For a container whose command runs as `user` (`user[:group]`) in `home`; `None` with `--passwd=false`.
///
/// Errors: `NotFound` for a `--hostuser` that this machine does not have.
pub(super) fn accounts(options: &ContainerOptions, user: &str, home: &str) -> Result<Option<Accounts>> {
    if options.accounts.off {
        return Ok(None);
    }
    let kept = options.userns.as_deref().filter(|mode| mode.starts_with("keep-id"));
    Ok(Some(Accounts {
        user: user.to_owned(),
        home: home.to_owned(),
        kept: kept.map(kept_user).transpose()?,
        host_users: options.accounts.host_users.iter().map(|word| host_user(word)).collect::<Result<_>>()?,
        passwd_entry: options.accounts.passwd_entry.clone(),
        group_entry: options.accounts.group_entry.clone(),
    }))
}

/// The caller, with the ids that `--userns keep-id[:…]` gives it.
fn kept_user(mode: &str) -> Result<HostUser> {
    let (uid, gid) = super::idmap::kept_ids(mode)?;
    let own = nix::unistd::geteuid().as_raw();
    let comment = look_up(&own.to_string()).map(|u| u.comment).unwrap_or_default();
    Ok(HostUser { name: user_name(own), uid, gid, comment })
}

fn host_user(word: &str) -> Result<HostUser> {
    look_up(word).ok_or_else(|| Error::not_found(format!("`--hostuser {word}`: this machine has no such user")))
}

/// /etc/passwd, else directory services by way of getent(1): runr itself has no name service switch.
fn look_up(word: &str) -> Option<HostUser> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    find(&passwd, word).or_else(|| {
        let mut getent = Command::new("getent");
        getent.args(["passwd", "--", word]).stdin(Stdio::null()).stderr(Stdio::null());
        find(&String::from_utf8_lossy(&getent.output().ok()?.stdout), word)
    })
}
