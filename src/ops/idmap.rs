//! The id map of a container: the user's default one, or what `--userns` and `--uidmap` ask for.

use super::joins;
use crate::base::{Error, Result};
use crate::spec::ContainerOptions;
use crate::store::Store;
use crate::userns::idmap::IdRange;
use crate::userns::{IdMap, default_map};
use nix::unistd::{getegid, geteuid};

/// The map for `options`.
///
/// Errors: `Usage` for a bad value, `Denied` when `keep-id` needs subordinate ids that the user does not have.
pub fn for_options(store: &Store, options: &ContainerOptions) -> Result<IdMap> {
    if let Some(shared) = joins::map(store, options)? {
        let own = options.userns.as_deref().filter(|m| !m.starts_with("container:") && !m.starts_with("ns:"));
        if let Some(mode) = own {
            return Err(Error::usage(format!(
                "conflicting options: `--userns {mode}` and namespaces of another user namespace"
            )));
        }
        return Ok(shared);
    }
    if !options.uidmap.is_empty() || !options.gidmap.is_empty() {
        return Err(Error::unsupported("`--uidmap` and `--gidmap` are not supported yet")
            .hint("`--userns keep-id:uid=…,gid=…` maps the user to another id"));
    }
    let default = default_map()?;
    match options.userns.as_deref() {
        None | Some("" | "host" | "private") => Ok(default),
        // Namespaces of this process's own user namespace: the container has one of its own below it.
        Some(mode) if mode.starts_with("ns:") => Ok(default),
        // A process in whose namespace the user does not exist cannot reach the user's own data folder, so the layers would
        // have to be passed to it from a namespace in between.
        Some("nomap") => Err(Error::unsupported("`--userns nomap` is not supported yet")
            .hint("`--userns keep-id:uid=65534,gid=65534` keeps the user as nobody")),
        Some(mode) => keep_id(mode, &default),
    }
}

/// `keep-id[:uid=N,gid=N]`: the user has the same id inside (or the one given); everybody else comes from the subordinate
/// ids.
fn keep_id(mode: &str, default: &IdMap) -> Result<IdMap> {
    let (uid, gid) = kept_ids(mode)?;
    let (own_uid, own_gid) = (geteuid().as_raw(), getegid().as_raw());
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
    let map = IdMap { uids: keep(&default.uids, own_uid, uid), gids: keep(&default.gids, own_gid, gid) };
    map.validate()?;
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
    fn the_kept_id_is_in_the_middle_and_nothing_overlaps() {
        let r = |inside, outside, count| IdRange { inside, outside, count };
        let default = [r(0, 1000, 1), r(1, 100_000, 65536)];
        let map = keep(&default, 1000, 1000);
        assert_eq!(map, [r(0, 100_000, 1000), r(1000, 1000, 1), r(1001, 101_000, 64536)]);
        IdMap { uids: map.clone(), gids: map }.validate().unwrap();
        assert_eq!(keep(&default, 1000, 0), [r(0, 1000, 1), r(1, 100_000, 65536)]);
    }
}
