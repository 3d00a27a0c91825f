//! `--subuidname`, `--subgidname`: the ranges that /etc/subuid and /etc/subgid have for a name are the container's whole map. The
//! user is not in it, as with `--userns nomap`, only behind it for the sake of the user's files (`runtime::nested`).

use super::super::joins;
use super::{IdRange, in_order, user_of};
use crate::base::{Error, Kind, Result};
use crate::spec::ContainerOptions;
use crate::userns::subid::{ranges_of, subid_file, unshared, user_name};
use crate::userns::{IdMap, default_map};
use nix::unistd::geteuid;

/// The map of these names.
///
/// Errors: `Usage` beside other flags about ids, `NotFound` for a name without ranges, `Denied` for ranges of somebody else.
pub(super) fn map(options: &ContainerOptions, uids: &str, gids: &str) -> Result<IdMap> {
    let other = [
        (options.userns.is_some(), "--userns"),
        (!options.uidmap.is_empty(), "--uidmap"),
        (!options.gidmap.is_empty(), "--gidmap"),
        (!joins::joins(options).is_empty(), "namespaces of somebody else"),
    ];
    if let Some((_, what)) = other.into_iter().find(|(given, _)| *given) {
        return Err(Error::usage(format!("conflicting options: --subuidname, --subgidname and {what}")));
    }
    if unshared().is_some() {
        return Err(Error::unsupported("--subuidname, --subgidname: inside `runr unshare` a container has its ids"));
    }
    let default = default_map()?;
    let (own_uid, own_gid) = user_of(&default);
    let map = IdMap { uids: of(uids, false, own_uid)?, gids: of(gids, true, own_gid)? };
    map.validate()?;
    if geteuid().is_root() && map.within(&default).is_none() {
        return Err(Error::new(
            Kind::Denied,
            "--subuidname, --subgidname: the ranges are not all of this user namespace",
        ));
    }
    Ok(map)
}

/// The ranges of one name, and the user's own id behind them.
fn of(word: &str, groups: bool, own: u32) -> Result<Vec<IdRange>> {
    let (flag, file) = (if groups { "--subgidname" } else { "--subuidname" }, subid_file(groups));
    let ranges = ranges_of(word, groups);
    if ranges.is_empty() {
        return Err(Error::not_found(format!("{flag} `{word}`: `{file}` has no ids for that name"))
            .hint(format!("root adds some by a line of that file, such as {word}:100000:65536")));
    }
    let me = geteuid();
    if !me.is_root() && word != me.to_string() && word != user_name(me.as_raw()) {
        let text = format!("{flag} `{word}`: a user without privileges may map only its own ids of `{file}`");
        return Err(Error::new(Kind::Denied, text).hint(format!("your name is {}", user_name(me.as_raw()))));
    }
    if ranges.iter().any(|(first, count)| own.wrapping_sub(*first) < *count) {
        return Err(Error::unsupported(format!(
            "{flag} `{word}`: your own id {own} is among those that `{file}` has for it"
        ))
        .hint("such a range is mapped by --uidmap and --gidmap"));
    }
    Ok(in_order(ranges.into_iter().chain([(own, 1)])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_flags_about_ids_are_conflicts() {
        let with = |change: fn(&mut ContainerOptions)| {
            let mut options = ContainerOptions { subuid_name: Some("x".into()), ..ContainerOptions::default() };
            change(&mut options);
            map(&options, "x", "x").unwrap_err().to_string()
        };
        for (change, what) in [
            ((|o| o.userns = Some("host".into())) as fn(&mut ContainerOptions), "--userns"),
            (|o| o.uidmap = vec!["0:0:1".into()], "--uidmap"),
            (|o| o.gidmap = vec!["0:0:1".into()], "--gidmap"),
            (|o| o.network = Some("container:x".into()), "namespaces of somebody else"),
        ] {
            assert_eq!(with(change), format!("conflicting options: --subuidname, --subgidname and {what}"));
        }
    }

    #[test]
    fn ranges_follow_each_other_and_end_before_the_last_id() {
        let r = |inside, outside, count| IdRange { inside, outside, count };
        let map = in_order([(100_000, 1000), (300_000, 5), (1001, 1)].into_iter());
        assert_eq!(map, [r(0, 100_000, 1000), r(1000, 300_000, 5), r(1005, 1001, 1)]);
        assert_eq!(in_order([(5, u32::MAX), (1, 1)].into_iter()), [r(0, 5, u32::MAX)]);
    }
}
