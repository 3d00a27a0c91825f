//! What docker and podman have and runr has reasons not to have, or not to have yet: what is said instead of a bare "not
//! supported yet". Read only when something was not recognised.

use super::locate::not_yet;
use crate::base::{Error, Kind};

/// "Not supported yet" with what is missing, and what does the same without it.
fn later(what: &str, why: &str, way_out: &str) -> Error {
    Error::new(Kind::Unsupported, format!("{}: {why}", not_yet(what))).hint(way_out)
}

/// What has a reason that no version will change.
fn never(what: &str, why: &str, way_out: &str) -> Error {
    Error::unsupported(format!("{what}: {why}")).hint(way_out)
}

const NO_PODS: (&str, &str) = (
    "there are no pods",
    "containers can share what those of a pod do: --network container:NAME --ipc container:NAME --uts container:NAME",
);

const NO_SECRETS: (&str, &str) =
    ("there is no store of secrets", "mount a file where the container looks for it: -v FILE:/run/secrets/NAME:ro");

/// The answer to a known command that runr does not have.
pub(crate) fn command(path: &str) -> Error {
    let later = |(why, way_out)| later(path, why, way_out);
    match path {
        "image mount" | "image unmount" => later((
            "the layers of an image are put together for a container only",
            "make one of it: runr create --name NAME IMAGE, then runr mount NAME, runr unmount NAME and runr rm NAME",
        )),
        _ => match path.split(' ').next().unwrap_or_default() {
            "network" => later((
                "there are no networks that could be made yet",
                "a container has this machine's network, none (--network none) or another one's (--network container:NAME)",
            )),
            "pod" => later(NO_PODS),
            "secret" => later(NO_SECRETS),
            _ => not_yet(path),
        },
    }
}

/// The answer to a known flag that runr does not have.
pub(crate) fn refusal(path: &str, flag: &str) -> Error {
    let what = format!("{path} {flag}");
    let never = |why, way_out| never(&what, why, way_out);
    let later = |(why, way_out)| later(&what, why, way_out);
    let command = ["container ", "image "].iter().find_map(|group| path.strip_prefix(group)).unwrap_or(path);
    match (command, flag) {
        ("rm" | "remove", "--link") => never(
            "containers of runr have no links, which docker itself has replaced by networks",
            "to remove the container, name it without the flag",
        ),
        ("start", "--checkpoint" | "--checkpoint-dir") => later((
            "there are no checkpoints, which need CRIU",
            "without the flag the container's command starts from its beginning",
        )),
        ("run" | "create", "--storage-opt") => later((
            "to limit a container's size takes quotas of the file system",
            "a folder in memory can have a limit: --tmpfs DIR:size=100m; and --read-only leaves no other to write to",
        )),
        ("run" | "create" | "clone", "--pod" | "--pod-id-file") => later(NO_PODS),
        ("create", "--init-ctr") => later((
            "there are no pods whose containers could wait for it",
            "run it to its end before the others are started: runr run --rm IMAGE COMMAND",
        )),
        ("run" | "create", "--secret") => later(NO_SECRETS),
        ("run" | "create", "--gpus") => later((
            "it takes the hook of a vendor, and runr starts no programs of others",
            "give the device's files: --device /dev/dri, or --device /dev/nvidia0 and so on, and the driver's libraries by -v",
        )),
        ("unshare", "--rootless-netns") => later((
            "there is no private network yet that containers share",
            "without the flag the command has this machine's network, as containers have",
        )),
        ("rmi" | "rm" | "remove", "--platform") => later((
            "of an image for several platforms one is kept under a name",
            "leave the flag out: runr image inspect -f {{.Architecture}} IMAGE tells which one it is",
        )),
        ("images" | "ls" | "list", "--history") => later((
            "the names that an image had are not kept with it",
            "runr events --filter type=image --since 24h --until 0s tells when it was given and lost one",
        )),
        ("images" | "ls" | "list", "--tree") => later((
            "of an image for several platforms one is kept, so there are no branches to show",
            "runr images lists every image, runr image inspect shows its platform and layers",
        )),
        _ => not_yet(&what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_where_there_is_one() {
        for (path, flag, said, hints) in [
            ("run", "--anything", "run --anything: not supported yet", 0),
            (
                "container create",
                "--gpus",
                "container create --gpus: not supported yet: it takes the hook of a vendor",
                1,
            ),
            ("container clone", "--pod", "container clone --pod: not supported yet: there are no pods", 1),
            ("image rm", "--platform", "image rm --platform: not supported yet: of an image for several platforms", 1),
            ("container create", "--storage-opt", "container create --storage-opt: not supported yet: to limit a", 1),
            ("container rm", "--link", "container rm --link: containers of runr have no links", 1),
            ("start", "--checkpoint-dir", "start --checkpoint-dir: not supported yet: there are no checkpoints", 1),
        ] {
            let e = refusal(path, flag);
            assert!(e.to_string().starts_with(said), "{e}");
            assert_eq!((e.hints().len(), e.kind()), (hints, Kind::Unsupported), "{path} {flag}");
        }
    }

    #[test]
    fn commands_have_reasons_too() {
        for (path, said, hints) in [
            ("build", "build: not supported yet", 0),
            ("image mount", "image mount: not supported yet: the layers of an image are put together", 1),
            ("pod", "pod: not supported yet: there are no pods", 1),
            ("pod create", "pod create: not supported yet: there are no pods", 1),
            ("secret ls", "secret ls: not supported yet: there is no store of secrets", 1),
            ("network create", "network create: not supported yet: there are no networks", 1),
        ] {
            let e = command(path);
            assert!(e.to_string().starts_with(said), "{e}");
            assert_eq!((e.hints().len(), e.kind()), (hints, Kind::Unsupported), "{path}");
        }
    }
}
