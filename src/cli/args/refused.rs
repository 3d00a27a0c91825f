//! Flags of docker and podman that runr has reasons not to have, or not to have yet: what is said instead of a bare "not
//! supported yet". Read only when something was not recognised.

use super::locate::not_yet;
use crate::base::{Error, Kind};

/// The answer to a known flag that runr does not have.
pub(crate) fn refusal(path: &str, flag: &str) -> Error {
    let what = format!("{path} {flag}");
    let never = |why: &str, way_out: &str| Error::unsupported(format!("{what}: {why}")).hint(way_out);
    let later = |why: &str, way_out: &str| {
        let yet = not_yet(&what).to_string();
        Error::new(Kind::Unsupported, format!("{yet}: {why}")).hint(way_out)
    };
    let command = path.strip_prefix("container ").unwrap_or(path);
    match (command, flag) {
        ("rm" | "remove", "--link") => never(
            "containers of runr have no links, which docker itself has replaced by networks",
            "to remove the container, name it without the flag",
        ),
        ("start", "--checkpoint" | "--checkpoint-dir") => later(
            "there are no checkpoints, which need CRIU",
            "without the flag the container's command starts from its beginning",
        ),
        ("run" | "create", "--storage-opt") => later(
            "to limit a container's size takes quotas of the file system",
            "a folder in memory can have a limit: --tmpfs DIR:size=100m; and --read-only leaves no other to write to",
        ),
        _ => not_yet(&what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_where_there_is_one() {
        for (path, flag, said, hints) in [
            ("run", "--gpus", "run --gpus: not supported yet", 0),
            ("container create", "--storage-opt", "container create --storage-opt: not supported yet: to limit a", 1),
            ("container rm", "--link", "container rm --link: containers of runr have no links", 1),
            ("run", "--link", "run --link: not supported yet", 0),
            ("start", "--checkpoint-dir", "start --checkpoint-dir: not supported yet: there are no checkpoints", 1),
        ] {
            let e = refusal(path, flag);
            assert!(e.to_string().starts_with(said), "{e}");
            assert_eq!((e.hints().len(), e.kind()), (hints, Kind::Unsupported), "{path} {flag}");
        }
    }
}
