//! Which subordinate ids the user has: `/etc/subuid` and `/etc/subgid` by name and by number, else `getsubids` (shadow) for
//! accounts of a directory service. None, or no `newuidmap` to use them with, leaves a single id.

use super::idmap::{IdMap, IdRange};
use crate::base::Result;
use nix::unistd::{getegid, geteuid};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// linux/capability.h.
const CAP_SYS_ADMIN: u8 = 21;

/// The map that containers get unless asked otherwise: container root is the user, the subordinate ranges follow in order.
///
/// As root it is all of root's own ids, one to one: there the namespace gives isolation, not identity. Root inside `runr unshare`
/// gets the user's map, so that what is made there is the same outside.
pub fn default_map() -> Result<IdMap> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    if uid == 0 {
        return Ok(unshared().unwrap_or_else(own_map));
    }
    Ok(map_of_user(uid, gid))
}

fn map_of_user(uid: u32, gid: u32) -> IdMap {
    let Some((uids, gids)) = subordinate_ranges(uid) else { return IdMap::single(uid, gid) };
    if helper("newuidmap").is_none() || helper("newgidmap").is_none() {
        return IdMap::single(uid, gid);
    }
    let map = IdMap { uids: stack(uid, &uids), gids: stack(gid, &gids) };
    if map.validate().is_ok() { map } else { IdMap::single(uid, gid) }
}

/// The map of this process's own user namespace if it is root of one that `runr unshare` has made, or another program with the
/// same ids. A container that this process merely is in has another map, or not the right to make one.
pub fn unshared() -> Option<IdMap> {
    if !geteuid().is_root() {
        return None;
    }
    let own = own_ids().ok()?;
    let (uid, gid) = (own.host_uid(0)?, own.host_gid(0)?);
    let may = crate::sys::caps::get().is_ok_and(|caps| caps.effective & (1 << CAP_SYS_ADMIN) != 0);
    (uid != 0 && may && map_of_user(uid, gid).key() == own.key()).then_some(own)
}

/// A map in the ids that this process sees: inside `runr unshare` the user's ids have other numbers.
pub fn seen_from_here(map: &IdMap) -> IdMap {
    unshared().and_then(|own| map.within(&own)).unwrap_or_else(|| map.clone())
}

/// Ranges of ids as (first, count).
pub type Ranges = Vec<(u32, u32)>;

/// The user's subordinate uid and gid ranges; `None` unless there is at least one of each.
pub fn subordinate_ranges(uid: u32) -> Option<(Ranges, Ranges)> {
    let name = user_name(uid);
    let uids = ranges(Path::new(subid_file(false)), &name, Some(uid), false);
    let gids = ranges(Path::new(subid_file(true)), &name, Some(uid), true);
    (!uids.is_empty() && !gids.is_empty()).then_some((uids, gids))
}

/// The ranges of another account or one's own in `/etc/subuid`, or with `groups` in `/etc/subgid`; `word` is a name or a number.
pub fn ranges_of(word: &str, groups: bool) -> Ranges {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = word.parse().ok().or_else(|| passwd_uid(&passwd, word));
    let name = number.and_then(|uid| passwd_name(&passwd, uid)).unwrap_or(word);
    ranges(Path::new(subid_file(groups)), name, number, groups)
}

/// The file that says who has which subordinate ids.
pub fn subid_file(groups: bool) -> &'static str {
    if groups { "/etc/subgid" } else { "/etc/subuid" }
}

/// The user's name: `/etc/passwd`, else what `id -un` says (directory services), else the number.
pub fn user_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    if let Some(name) = passwd_name(&passwd, uid) {
        return name.to_owned();
    }
    let output =
        Command::new("id").args(["-un", "--", &uid.to_string()]).stdin(Stdio::null()).stderr(Stdio::null()).output();
    match output {
        Ok(out) if out.status.success() => String::from_utf8_lossy(&out.stdout).trim().to_owned(),
        _ => uid.to_string(),
    }
}

fn passwd_name(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

fn passwd_uid(passwd: &str, name: &str) -> Option<u32> {
    let mut lines = passwd.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?)
}

/// The full path of a set-id helper, searched in PATH and in the places where distributions put it.
pub fn helper(name: &str) -> Option<PathBuf> {
    // PATH of a cron job or a CI runner often lacks these.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .chain(usual)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

fn ranges(file: &Path, name: &str, uid: Option<u32>, groups: bool) -> Vec<(u32, u32)> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let found = parse_subid(&text, name, uid);
    if !found.is_empty() {
        return found;
    }
    // libsubid asks the source that nsswitch.conf names for `subid`. It is a separate, dynamic program: no NSS in ours.
    if !std::fs::read_to_string("/etc/nsswitch.conf")
        .unwrap_or_default()
        .lines()
        .any(|l| l.trim_start().starts_with("subid:"))
    {
        return Vec::new();
    }
    let mut command = Command::new("getsubids");
    if groups {
        command.arg("-g");
    }
    match command.arg(name).stdin(Stdio::null()).stderr(Stdio::null()).output() {
        Ok(out) if out.status.success() => parse_getsubids(&String::from_utf8_lossy(&out.stdout)),
        _ => Vec::new(),
    }
}

/// Lines `name-or-uid:first:count` (subuid(5)).
fn parse_subid(text: &str, name: &str, uid: Option<u32>) -> Vec<(u32, u32)> {
    let number = uid.map(|uid| uid.to_string());
    let parse = |line: &str| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        ((owner == name || Some(owner) == number.as_deref()) && count > 0).then_some((first, count))
    };
    let mut found: Vec<(u32, u32)> = text.lines().filter_map(parse).collect();
    let mut seen = std::collections::HashSet::new();
    found.retain(|r| seen.insert(*r));
    found
}

/// Lines `0: name first count` (getsubids(1)).
fn parse_getsubids(text: &str) -> Vec<(u32, u32)> {
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields[..] {
            [.., first, count] if fields.len() >= 4 => {
                Some((first.parse().ok()?, count.parse().ok().filter(|c| *c > 0)?))
            }
            _ => None,
        }
    };
    text.lines().filter_map(parse).collect()
}

/// Root first, then the ranges one after another.
fn stack(own: u32, ranges: &[(u32, u32)]) -> Vec<IdRange> {
    let mut map = vec![IdRange { inside: 0, outside: own, count: 1 }];
    let mut next: u32 = 1;
    for &(first, count) in ranges {
        // The inside ids end before the kernel's "no id", 2^32-1.
        let count = count.min(u32::MAX - 1 - next);
        if count > 0 {
            map.push(IdRange { inside: next, outside: first, count });
            next += count;
        }
    }
    map
}

/// The map of this process's own user namespace, in ids of the one above it: what a container's map was for who made it there.
///
/// Errors: `Io` when the kernel does not say.
pub fn own_ids() -> Result<IdMap> {
    let read = |file: &str| {
        let parse = |line: &str| {
            let mut fields = line.split_whitespace().map(str::parse::<u32>);
            let (inside, outside, count) = (fields.next()?.ok()?, fields.next()?.ok()?, fields.next()?.ok()?);
            Some(IdRange { inside, outside, count })
        };
        let text = crate::base::fsx::read_to_string(Path::new(file))?;
        Ok::<_, crate::base::Error>(text.lines().filter_map(parse).collect())
    };
    Ok(IdMap { uids: read("/proc/self/uid_map")?, gids: read("/proc/self/gid_map")? })
}

/// Root's map: every id this process's own namespace has, each to itself.
fn own_map() -> IdMap {
    let read = |file: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let parse = |line: &str| {
            let mut fields = line.split_whitespace().map(str::parse::<u32>);
            let (inside, _, count) = (fields.next()?.ok()?, fields.next()?, fields.next()?.ok()?);
            Some(IdRange { inside, outside: inside, count })
        };
        let ranges: Vec<IdRange> = text.lines().filter_map(parse).collect();
        if ranges.is_empty() { vec![IdRange { inside: 0, outside: 0, count: 1 }] } else { ranges }
    };
    IdMap { uids: read("/proc/self/uid_map"), gids: read("/proc/self/gid_map") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subid_files_are_read_by_name_and_number() {
        let text = "ana:100000:65536\n1001:300000:10\nbob:1:1\nana:bad\nana:5:0\n# c\nana:100000:65536\n";
        assert_eq!(parse_subid(text, "ana", Some(1001)), [(100_000, 65536), (300_000, 10)]);
        assert_eq!(parse_subid(text, "bob", None), [(1, 1)]);
        assert_eq!(parse_subid("", "ana", Some(1)), []);
        assert_eq!(parse_getsubids("0: ana 100000 65536\n1: ana 9 1\nError\n"), [(100_000, 65536), (9, 1)]);
        assert_eq!(passwd_name("root:x:0:0::/:/bin/sh\nana:x:1001:1::/:", 1001), Some("ana"));
        assert_eq!(passwd_uid("root:x:0:0::/:/bin/sh\nbad\nana:x:1001:1::/:", "ana"), Some(1001));
    }

    #[test]
    fn ranges_stack_behind_root() {
        let map = stack(1000, &[(100_000, 65536), (500_000, 10)]);
        assert_eq!(map[1], IdRange { inside: 1, outside: 100_000, count: 65536 });
        assert_eq!(map[2], IdRange { inside: 65537, outside: 500_000, count: 10 });
        IdMap { uids: map.clone(), gids: map }.validate().unwrap();
    }
}
