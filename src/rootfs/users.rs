//! Users and groups of an image, from its own /etc/passwd and /etc/group, as docker resolves `user[:group]`.
//!
//! The files are hostile: they are opened by descriptor below the root, must be regular and small, and a line that is not
//! well-formed is passed over. The host's name service is never asked.

use crate::base::{Doing, Error, Kind, Result};
use crate::sys::fs::open_in_root;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, fstat, makedev};
use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// The largest passwd or group file that is read, in bytes.
pub(super) const MAX_FILE: u64 = 4 << 20;

/// Who a command runs as, in ids of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups, sorted, without doubles.
    pub groups: Vec<u32>,
    /// Home folder; `/` when the image does not say.
    pub home: String,
}

/// Resolves `user` (`name|uid[:name|gid]`, empty for root) and further `groups` in the image below `root`.
///
/// Errors: `NotFound` for a name that the image does not have, worded as docker words it.
pub fn resolve(root: BorrowedFd<'_>, user: &str, groups: &[String]) -> Result<User> {
    let passwd = read(root, "/etc/passwd")?;
    let group = read(root, "/etc/group")?;
    resolve_in(&passwd, &group, user, groups)
}

/// Names of users and groups by number, for showing them: the first entry of a number counts, and a file that can't be read has
/// none.
pub fn names(root: BorrowedFd<'_>) -> (BTreeMap<u32, String>, BTreeMap<u32, String>) {
    let (mut users, mut groups) = (BTreeMap::new(), BTreeMap::new());
    for entry in read(root, "/etc/passwd").unwrap_or_default().lines().filter_map(passwd_entry) {
        users.entry(entry.uid).or_insert_with(|| printable(entry.name));
    }
    for (name, gid, _) in read(root, "/etc/group").unwrap_or_default().lines().filter_map(group_entry) {
        groups.entry(gid).or_insert_with(|| printable(name));
    }
    (users, groups)
}

/// A name goes to the caller's terminal, which must not obey it.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Reads a small regular file below `root`; a missing one is empty, and so is one that is masked.
pub fn read(root: BorrowedFd<'_>, path: &str) -> Result<String> {
    // Non-blocking, so that a fifo in its place does not hang; it is refused below.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = match open_in_root(root, Path::new(path), flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(_) => return Ok(String::new()),
    };
    let stat = fstat(&file).doing(|| format!("look at the image's `{path}`"))?;
    let kind = stat.st_mode & SFlag::S_IFMT.bits();
    if kind == SFlag::S_IFCHR.bits() && stat.st_rdev == makedev(1, 3) {
        return Ok(String::new());
    }
    if kind != SFlag::S_IFREG.bits() {
        return Err(Error::new(Kind::Denied, format!("the image's `{path}` is not a regular file")));
    }
    let mut bytes = Vec::new();
    std::fs::File::from(file)
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .doing(|| format!("read the image's `{path}`"))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::new(Kind::Denied, format!("the image's `{path}` is larger than {MAX_FILE} bytes")));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A line of /etc/passwd.
pub(super) struct PasswdEntry<'a> {
    pub(super) name: &'a str,
    pub(super) uid: u32,
    pub(super) gid: u32,
    home: &'a str,
}

pub(super) fn passwd_entry(line: &str) -> Option<PasswdEntry<'_>> {
    let fields: Vec<&str> = line.split(':').collect();
    let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
    Some(PasswdEntry { name: fields[0], uid, gid, home: fields.get(5).copied().unwrap_or("") })
}

/// (name, gid, members)
pub(super) fn group_entry(line: &str) -> Option<(&str, u32, &str)> {
    let fields: Vec<&str> = line.split(':').collect();
    Some((fields[0], fields.get(2)?.parse().ok()?, fields.get(3).copied().unwrap_or("")))
}

/// An id that a user may ask for by number: `-1` and above 2^31 - 1 are refused as docker refuses them.
pub(super) fn number(text: &str) -> Option<u32> {
    text.parse::<u32>().ok().filter(|n| *n <= i32::MAX as u32)
}

pub(super) fn resolve_in(passwd: &str, group: &str, user: &str, extra: &[String]) -> Result<User> {
    let (user_word, group_word) = user.split_once(':').map_or((user, ""), |(u, g)| (u, g));
    let by_number = if user_word.is_empty() { Some(0) } else { number(user_word) };
    let entry = passwd
        .lines()
        .filter_map(passwd_entry)
        .find(|e| if user_word.is_empty() { e.uid == 0 } else { e.name == user_word || by_number == Some(e.uid) });
    let (uid, mut gid, home) = match (&entry, by_number) {
        (Some(e), _) => (e.uid, e.gid, e.home),
        (None, Some(uid)) => (uid, 0, ""),
        (None, None) => {
            return Err(Error::not_found(format!(
                "unable to find user {user_word}: no matching entries in passwd file"
            )));
        }
    };
    let mut groups = Vec::new();
    if group_word.is_empty() {
        if let Some(e) = &entry {
            let member = |members: &str| !e.name.is_empty() && members.split(',').any(|m| m.trim() == e.name);
            groups.extend(group.lines().filter_map(group_entry).filter(|g| member(g.2)).map(|g| g.1));
        }
    } else {
        gid = find_group(group, group_word)?;
    }
    for word in extra {
        groups.push(find_group(group, word)?);
    }
    groups.sort_unstable();
    groups.dedup();
    Ok(User { uid, gid, groups, home: if home.is_empty() { "/".to_owned() } else { home.to_owned() } })
}

fn find_group(group: &str, word: &str) -> Result<u32> {
    let by_number = number(word);
    let found = group.lines().filter_map(group_entry).find(|g| g.0 == word || by_number == Some(g.1)).map(|g| g.1);
    found
        .or(by_number)
        .ok_or_else(|| Error::not_found(format!("unable to find group {word}: no matching entries in group file")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nbad line\napp:x:1000:1001::/home/app:/bin/sh\n42:x:7:7::/x:\nnohome:x:9:9\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root,app\napp:x:1001:\nvideo:x:27:app\nbad\n";

    fn user(text: &str) -> User {
        resolve_in(PASSWD, GROUP, text, &[]).unwrap()
    }

    #[test]
    fn users_are_found_as_docker_finds_them() {
        let root = User { uid: 0, gid: 0, groups: vec![10], home: "/root".into() };
        assert_eq!(user(""), root);
        assert_eq!(user("root"), root);
        assert_eq!(user("0"), root);
        assert_eq!(user("app"), User { uid: 1000, gid: 1001, groups: vec![10, 27], home: "/home/app".into() });
        assert_eq!(user("1000"), user("app"));
        assert_eq!(user("app:wheel"), User { uid: 1000, gid: 10, groups: vec![], home: "/home/app".into() });
        assert_eq!(user("5000"), User { uid: 5000, gid: 0, groups: vec![], home: "/".into() });
        assert_eq!(user("5000:77"), User { uid: 5000, gid: 77, groups: vec![], home: "/".into() });
        // A name that looks like a number wins when it comes first.
        assert_eq!(user("42").uid, 7);
        assert_eq!(user("nohome").home, "/");
    }

    #[test]
    fn unknown_names_are_refused_in_dockers_words() {
        let e = resolve_in(PASSWD, GROUP, "nobody", &[]).unwrap_err();
        assert_eq!(e.to_string(), "unable to find user nobody: no matching entries in passwd file");
        let e = resolve_in(PASSWD, GROUP, "app:nogroup", &[]).unwrap_err();
        assert_eq!(e.to_string(), "unable to find group nogroup: no matching entries in group file");
        assert!(resolve_in(PASSWD, GROUP, "4294967295", &[]).is_err());
        assert!(resolve_in(PASSWD, GROUP, "-1", &[]).is_err());
    }

    #[test]
    fn further_groups_join() {
        let user = resolve_in(PASSWD, GROUP, "app:app", &["video".into(), "99".into(), "video".into()]).unwrap();
        assert_eq!(user.groups, [27, 99]);
    }

    proptest! {
        #[test]
        fn hostile_files_never_panic(passwd in "\\PC{0,200}", group in "[:,\\n0-9a-z]{0,200}", user in "\\PC{0,20}") {
            drop(resolve_in(&passwd, &group, &user, std::slice::from_ref(&user)));
        }
    }
}
