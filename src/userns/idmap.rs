//! Id maps as data: ranges of user_namespaces(7), arithmetic on them, and their short name on disk.

use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};

/// `count` ids from `inside` on are `outside` and following outside the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdRange {
    /// First id in the namespace.
    pub inside: u32,
    /// First id in the parent namespace.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The user and group maps of one user namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdMap {
    /// Users.
    pub uids: Vec<IdRange>,
    /// Groups.
    pub gids: Vec<IdRange>,
}

impl IdMap {
    /// Container root is the user; there is no other id.
    pub fn single(uid: u32, gid: u32) -> Self {
        let one = |outside| vec![IdRange { inside: 0, outside, count: 1 }];
        Self { uids: one(uid), gids: one(gid) }
    }

    /// True when both maps hold one id only.
    pub fn is_single(&self) -> bool {
        let one = |ranges: &[IdRange]| ranges.len() == 1 && ranges[0].count == 1;
        one(&self.uids) && one(&self.gids)
    }

    /// The map's name in `layers/<diff id>/<map>`: `one` for a single id, else 16 hex digits that depend on where each inside
    /// id lies. Layers of one name are interchangeable, of two are not.
    pub fn key(&self) -> String {
        if self.is_single() {
            return "one".to_owned();
        }
        let mut text = String::new();
        for ranges in [&self.uids, &self.gids] {
            for r in normalised(ranges) {
                text.push_str(&format!("{}:{}:{},", r.inside, r.outside, r.count));
            }
            text.push(';');
        }
        crate::image::Digest::of(text.as_bytes()).hex()[..16].to_owned()
    }

    /// This map in the inside ids of another one; `None` if that has not all of them.
    pub fn within(&self, other: &Self) -> Option<Self> {
        let each = |ranges: &[IdRange], other: &[IdRange]| {
            ranges.iter().map(|r| within(*r, other)).collect::<Option<Vec<_>>>().map(|parts| parts.concat())
        };
        Some(Self { uids: each(&self.uids, &other.uids)?, gids: each(&self.gids, &other.gids)? })
    }

    /// The outside user id for an inside one.
    pub fn host_uid(&self, inside: u32) -> Option<u32> {
        outside(&self.uids, inside)
    }

    /// The outside group id for an inside one.
    pub fn host_gid(&self, inside: u32) -> Option<u32> {
        outside(&self.gids, inside)
    }

    /// The inside user id for an outside one.
    pub fn inside_uid(&self, outside: u32) -> Option<u32> {
        inside(&self.uids, outside)
    }

    /// The inside group id for an outside one.
    pub fn inside_gid(&self, outside: u32) -> Option<u32> {
        inside(&self.gids, outside)
    }

    /// Refuses overlapping, empty or overflowing ranges, which the kernel would refuse later with a bare EINVAL.
    pub fn validate(&self) -> Result<()> {
        for (what, ranges) in [("uid", &self.uids), ("gid", &self.gids)] {
            if ranges.is_empty() || ranges.len() > 340 {
                return Err(Error::usage(format!("{what} map has {} ranges; 1 to 340 are possible", ranges.len())));
            }
            for (i, r) in ranges.iter().enumerate() {
                let fits =
                    |start: u32| start.checked_add(r.count.saturating_sub(1)).is_some_and(|last| last != u32::MAX);
                if r.count == 0 || !fits(r.inside) || !fits(r.outside) {
                    return Err(Error::usage(format!("invalid {what} range {}:{}:{}", r.inside, r.outside, r.count)));
                }
                let meets = |a: u32, b: u32, n: u32| a < b.saturating_add(n) && b < a.saturating_add(r.count);
                if ranges[..i]
                    .iter()
                    .any(|o| meets(r.inside, o.inside, o.count) || meets(r.outside, o.outside, o.count))
                {
                    return Err(Error::usage(format!(
                        "{what} range {}:{}:{} overlaps another",
                        r.inside, r.outside, r.count
                    )));
                }
            }
        }
        Ok(())
    }
}

/// A range cut where the ranges of another map end, in the inside ids of those.
fn within(range: IdRange, other: &[IdRange]) -> Option<Vec<IdRange>> {
    let (mut parts, mut rest) = (Vec::new(), range);
    while rest.count > 0 {
        let found = other.iter().find(|o| rest.outside.checked_sub(o.outside).is_some_and(|at| at < o.count))?;
        let at = rest.outside - found.outside;
        let count = rest.count.min(found.count - at);
        parts.push(IdRange { inside: rest.inside, outside: found.inside.checked_add(at)?, count });
        rest.count -= count;
        rest.inside = rest.inside.wrapping_add(count);
        rest.outside = rest.outside.wrapping_add(count);
    }
    Some(parts)
}

fn outside(ranges: &[IdRange], inside: u32) -> Option<u32> {
    ranges.iter().find_map(|r| {
        let offset = inside.checked_sub(r.inside)?;
        (offset < r.count).then(|| r.outside.checked_add(offset)).flatten()
    })
}

fn inside(ranges: &[IdRange], outside: u32) -> Option<u32> {
    ranges.iter().find_map(|r| {
        let offset = outside.checked_sub(r.outside)?;
        (offset < r.count).then(|| r.inside.checked_add(offset)).flatten()
    })
}

/// Sorted, adjacent ranges joined: two spellings of one map are the same map.
fn normalised(ranges: &[IdRange]) -> Vec<IdRange> {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|r| r.inside);
    let mut joined: Vec<IdRange> = Vec::new();
    for r in sorted {
        match joined.last_mut() {
            Some(last)
                if last.inside.checked_add(last.count) == Some(r.inside)
                    && last.outside.checked_add(last.count) == Some(r.outside) =>
            {
                last.count = last.count.saturating_add(r.count);
            }
            _ => joined.push(r),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(inside: u32, outside: u32, count: u32) -> IdRange {
        IdRange { inside, outside, count }
    }

    #[test]
    fn two_spellings_have_one_key_and_two_maps_have_two() {
        let with = |uids: Vec<IdRange>| IdMap { uids, gids: vec![range(0, 1000, 1)] };
        let split = with(vec![range(11, 100_010, 10), range(0, 1000, 1), range(1, 100_000, 10)]);
        let joined = with(vec![range(0, 1000, 1), range(1, 100_000, 20)]);
        assert_eq!(split.key(), joined.key());
        assert_ne!(joined.key(), with(vec![range(0, 1000, 1), range(1, 200_000, 20)]).key());
        assert_eq!(IdMap::single(7, 8).key(), "one");
    }

    #[test]
    fn a_map_in_the_ids_of_another() {
        let own = IdMap { uids: vec![range(0, 1000, 1), range(1, 100_000, 65536)], gids: vec![range(0, 1000, 1)] };
        let same = own.within(&own).unwrap();
        assert_eq!(same.uids, [range(0, 0, 1), range(1, 1, 65536)]);
        // `keep-id`, and a range that crosses the end of one of the other's.
        let keep = vec![range(0, 100_000, 1000), range(1000, 1000, 1), range(1001, 101_000, 10)];
        let keep = IdMap { uids: keep, gids: vec![range(5, 1000, 1)] };
        let seen = keep.within(&own).unwrap();
        assert_eq!(seen.uids, [range(0, 1, 1000), range(1000, 0, 1), range(1001, 1001, 10)]);
        assert_eq!(seen.gids, [range(5, 0, 1)]);
        let parts = IdMap { uids: vec![range(0, 10, 5), range(5, 15, 5)], gids: vec![range(0, 1000, 1)] };
        let whole = IdMap { uids: vec![range(0, 12, 6)], gids: vec![range(0, 1000, 1)] };
        assert_eq!(whole.within(&parts).unwrap().uids, [range(0, 2, 3), range(3, 5, 3)]);
        assert_eq!(IdMap::single(7, 1000).within(&own), None);
    }

    #[test]
    fn arithmetic_and_refusals() {
        let map = IdMap { uids: vec![range(0, 1000, 1), range(1, 100_000, 65536)], gids: vec![range(0, 1000, 1)] };
        assert_eq!((map.host_uid(0), map.host_uid(33), map.host_uid(65537)), (Some(1000), Some(100_032), None));
        assert_eq!((map.inside_uid(1000), map.inside_uid(100_032), map.inside_uid(7)), (Some(0), Some(33), None));
        assert_eq!((map.inside_gid(1000), map.inside_gid(1001)), (Some(0), None));
        map.validate().unwrap();
        for bad in [vec![], vec![range(0, 0, 0)], vec![range(0, 1, 2), range(1, 9, 1)], vec![range(5, u32::MAX, 2)]] {
            assert!(IdMap { uids: bad, gids: vec![range(0, 0, 1)] }.validate().is_err());
        }
    }
}
