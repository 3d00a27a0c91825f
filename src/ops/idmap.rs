//! The id map of a container: the user's default one, or what `--userns` and `--uidmap` ask for.

mod named;

use super::joins;
use crate::base::{Error, Result};
use crate::spec::ContainerOptions;
use crate::store::Store;
use crate::userns::idmap::IdRange;
use crate::userns::{IdMap, default_map};
use nix::unistd::{getegid, geteuid};

/// The map for `options`.
///
/// Errors: `Usage` for a bad value, `NotFound` for a name without subordinate ids, `Denied` when `keep-id` needs subordinate ids that the user does not have.
pub fn for_options(store: &Store, options: &ContainerOptions) -> Result<IdMap> {
    if let Some((uids, gids)) = options.named_ids() {
        return named::map(options, uids, gids);
    }
    if let Some(shared) = joins::map(store, options)? {
        let own = options.userns.as_deref().filter(|m| !m.starts_with("container:") && !m.starts_with("ns:"));
        if let Some(mode) = own {
            return Err(Error::usage(format!(
                "conflicting options: `--userns {mode}` and namespaces of another user namespace"
            )));
        }
        return Ok(shared);
    }
    let default = default_map()?;
    if !options.uidmap.is_empty() || !options.gidmap.is_empty() {
        if let Some(mode) = &options.userns {
            return Err(Error::usage(format!(
                "conflicting options: `--userns {mode}` cannot be used together with --uidmap and --gidmap"
            )));
        }
        return by_ranges(&default, &options.uidmap, &options.gidmap);
    }
    match options.userns.as_deref() {
        None | Some("" | "host" | "private") => Ok(default),
        // Namespaces of this process's own user namespace: the container has one of its own below it.
        Some(mode) if mode.starts_with("ns:") => Ok(default),
        Some("nomap") if !joins::joins(options).is_empty() => {
            Err(Error::usage("conflicting options: `--userns nomap` and namespaces of somebody else"))
        }
        Some("nomap") => without_user(&default),
        Some(mode) => keep_id(mode, &default),
    }
}

/// The user, whom a default map has as 0: inside `runr unshare` this process sees another number.
fn user_of(default: &IdMap) -> (u32, u32) {
    let own = || (geteuid().as_raw(), getegid().as_raw());
    default.host_uid(0).zip(default.host_gid(0)).unwrap_or_else(own)
}

/// `keep-id[:uid=N,gid=N]`: the user has the same id inside (or the one given); everybody else comes from the subordinate
/// ids.
fn keep_id(mode: &str, default: &IdMap) -> Result<IdMap> {
    let (uid, gid) = kept_ids(mode)?;
    let (own_uid, own_gid) = user_of(default);
    if default.is_single() {
        if (uid, gid) == (0, 0) {
            return Ok(default.clone());
        }
        return Err(Error::new(
            crate::base::Kind::Denied,
            "`--userns keep-id` needs subordinate ids, and this user has none",
        )
        .hint("`runr doctor` tells how to get them"));
    }
    if geteuid().is_root() && (uid, gid) != (0, 0) {
        return Err(Error::unsupported(format!("`--userns {mode}`: root has its own ids in a container anyway"))
            .hint("`keep-id` is for users without privileges; `--user` chooses whom the command runs as"));
    }
    let map = IdMap { uids: keep(&default.uids, own_uid, uid), gids: keep(&default.gids, own_gid, gid) };
    map.validate()?;
    Ok(map)
}

/// `nomap`: the subordinate ids from 0 on. The user's own id comes after them, only for the sake of the user's files: the
/// container's own namespace leaves it out (`runtime::nested`).
fn without_user(default: &IdMap) -> Result<IdMap> {
    if geteuid().is_root() {
        return Err(Error::unsupported("`--userns nomap` is for users without privileges")
            .hint("root gives a container the ids of a name in /etc/subuid by --subuidname NAME"));
    }
    if default.is_single() {
        return Err(Error::new(
            crate::base::Kind::Denied,
            "`--userns nomap` needs subordinate ids, and this user has none",
        )
        .hint("`runr doctor` tells how to get them"));
    }
    let after =
        |ranges: &[IdRange]| in_order(ranges.iter().skip(1).chain(ranges.first()).map(|r| (r.outside, r.count)));
    let map = IdMap { uids: after(&default.uids), gids: after(&default.gids) };
    map.validate()?;
    Ok(map)
}

/// One range after another, from id 0 of the container on.
fn in_order(ranges: impl Iterator<Item = (u32, u32)>) -> Vec<IdRange> {
    let mut inside = 0_u32;
    let place = |(outside, count): (u32, u32)| {
        // The kernel's last id is none.
        let count = count.min(u32::MAX - inside);
        let range = IdRange { inside, outside, count };
        inside += count;
        range
    };
    ranges.map(place).filter(|range| range.count > 0).collect()
}

/// Why a map without the user is refused: a process in whose namespace the user does not exist cannot reach the user's own data
/// folder, so the layers would have to be passed to it from a namespace in between.
fn unmapped(what: &str) -> Error {
    Error::unsupported(format!(
        "`{what}`: a container must have this user's own id in its map: without it nothing in the container could reach \
         the layers below the user's data folder"
    ))
    .hint("`--userns keep-id:uid=65534,gid=65534` keeps the user as nobody")
}

/// `--uidmap`, `--gidmap`: ranges `INSIDE:FROM[:COUNT]`, where FROM counts in the user's default map (0 is the user, 1 and
/// following are the subordinate ids, as podman has it), or on the host with an `@` before it. Of one alone the other one is a
/// copy.
fn by_ranges(default: &IdMap, uidmap: &[String], gidmap: &[String]) -> Result<IdMap> {
    let (uidmap, gidmap) = match (uidmap, gidmap) {
        (uids, []) => (uids, uids),
        ([], gids) => (gids, gids),
        both => both,
    };
    let map =
        IdMap { uids: translate("uidmap", &default.uids, uidmap)?, gids: translate("gidmap", &default.gids, gidmap)? };
    map.validate()?;
    if map.host_uid(0).is_none() || map.host_gid(0).is_none() {
        return Err(Error::unsupported("--uidmap, --gidmap: id 0 of the container must be mapped")
            .hint("what sets a container up is its root"));
    }
    let has = |ranges: &[IdRange], own: u32| ranges.iter().any(|r| own.wrapping_sub(r.outside) < r.count);
    let (own_uid, own_gid) = user_of(default);
    if !has(&map.uids, own_uid) || !has(&map.gids, own_gid) {
        return Err(unmapped("--uidmap, --gidmap"));
    }
    Ok(map)
}

fn translate(flag: &str, default: &[IdRange], texts: &[String]) -> Result<Vec<IdRange>> {
    let mut map = Vec::new();
    for text in texts {
        let bad = |why: &str| Error::usage(format!("--{flag}: `{text}`: {why}"));
        let mut parts = text.split(':');
        let mut next = || parts.next().unwrap_or("1");
        let (inside, from, count) = (next(), next(), next());
        let number = |t: &str| t.parse::<u32>().map_err(|_| bad("use INSIDE:OUTSIDE:COUNT"));
        let (mut inside, mut left) = (number(inside)?, number(count)?);
        if inside.checked_add(left).is_none() {
            return Err(bad("there are no such ids"));
        }
        let on_host = from.strip_prefix('@');
        let mut at = number(on_host.unwrap_or(from))?;
        while left > 0 {
            // The default range that holds the next id, and where in it.
            let start = |r: &IdRange| if on_host.is_some() { r.outside } else { r.inside };
            let found = default.iter().find(|r| at.checked_sub(start(r)).is_some_and(|offset| offset < r.count));
            let range = found.ok_or_else(|| {
                bad(&format!("id {at} is not one of this user's")).hint("`runr info` shows which ids this user may map")
            })?;
            let offset = at - start(range);
            let count = left.min(range.count - offset);
            map.push(IdRange { inside, outside: range.outside + offset, count });
            (inside, at, left) = (inside + count, at.saturating_add(count), left - count);
        }
    }
    Ok(map)
}

/// The user and group that `keep-id[:uid=N,gid=N]` keeps, as ids of the container.
pub fn kept_ids(mode: &str) -> Result<(u32, u32)> {
    let bad = || Error::usage(format!("invalid `--userns {mode}`: use keep-id or keep-id:uid=N,gid=N"));
    let (mut uid, mut gid) = (geteuid().as_raw(), getegid().as_raw());
    let Some(values) = mode.strip_prefix("keep-id") else { return Err(bad()) };
    for value in values.trim_start_matches(':').split(',').filter(|v| !v.is_empty()) {
        match value.split_once('=') {
            Some(("uid", n)) => uid = n.parse().map_err(|_| bad())?,
            Some(("gid", n)) => gid = n.parse().map_err(|_| bad())?,
            _ => return Err(bad()),
        }
    }
    Ok((uid, gid))
}

/// `wanted` inside is the user outside; the ids below and above it come from the subordinate ranges, in order.
fn keep(default: &[IdRange], own: u32, wanted: u32) -> Vec<IdRange> {
    let mut pool: Vec<(u32, u32)> = default.iter().skip(1).map(|r| (r.outside, r.count)).collect();
    pool.reverse();
    let mut map = Vec::new();
    let mut take = |from: u32, mut count: u32, map: &mut Vec<IdRange>| {
        let mut inside = from;
        while count > 0 {
            let Some((outside, available)) = pool.pop() else { return };
            let n = available.min(count);
            map.push(IdRange { inside, outside, count: n });
            if available > n {
                pool.push((outside + n, available - n));
            }
            inside = inside.saturating_add(n);
            count -= n;
        }
    };
    take(0, wanted, &mut map);
    map.push(IdRange { inside: wanted, outside: own, count: 1 });
    take(wanted.saturating_add(1), u32::MAX - 1 - wanted, &mut map);
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_count_in_the_default_map() {
        let r = |inside, outside, count| IdRange { inside, outside, count };
        let default = [r(0, 1000, 1), r(1, 100_000, 1000), r(1001, 500_000, 1000)];
        let map =
            |texts: &[&str]| translate("uidmap", &default, &texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(map(&["0:0:1", "1:1"]).unwrap(), [r(0, 1000, 1), r(1, 100_000, 1)]);
        assert_eq!(map(&["0:1:1000", "1000:0:1"]).unwrap(), [r(0, 100_000, 1000), r(1000, 1000, 1)]);
        // Across the border of two ranges, which need not be neighbours on the host.
        assert_eq!(map(&["5:0:1003"]).unwrap(), [r(5, 1000, 1), r(6, 100_000, 1000), r(1006, 500_000, 2)]);
        assert_eq!(map(&["0:@1000:1", "1:@500010:5"]).unwrap(), [r(0, 1000, 1), r(1, 500_010, 5)]);
        for bad in ["0:2001:1", "0:2000:2", "0:@1001:1", "4294967295:0:2", "0:0:4294967295"] {
            assert!(map(&[bad]).is_err(), "{bad}");
        }
        assert_eq!(
            map(&["0:2001:1"]).unwrap_err().to_string(),
            "--uidmap: `0:2001:1`: id 2001 is not one of this user's"
        );
    }

    #[test]
    fn the_kept_id_is_in_the_middle_and_nothing_overlaps() {
        let r = |inside, outside, count| IdRange { inside, outside, count };
        let default = [r(0, 1000, 1), r(1, 100_000, 65536)];
        let map = keep(&default, 1000, 1000);
        assert_eq!(map, [r(0, 100_000, 1000), r(1000, 1000, 1), r(1001, 101_000, 64536)]);
        IdMap { uids: map.clone(), gids: map }.validate().unwrap();
        assert_eq!(keep(&default, 1000, 0), [r(0, 1000, 1), r(1, 100_000, 65536)]);
    }
}
