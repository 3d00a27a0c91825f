//! Completion of a command line that is being typed: the shells' scripts (`scripts/`) hand over the words and get candidates
//! back, so that names of images and containers are those of the moment and flags those of this very executable.

use super::args::{COMMANDS, CommandEntry, GROUPS, find};
use super::config::Config;
use super::values;
use crate::ops::{container_list, image_list};
use crate::state::{Entry, Status};
use crate::store::Store;
use clap::{Arg, ArgAction, Command};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use std::ffi::OsString;

/// The scripts, by shell: name of the shell, of the file in `completions/`, and text.
pub(super) const SCRIPTS: [(&str, &str, &str); 3] = [
    ("bash", "runr.bash", include_str!("scripts/runr.bash")),
    ("zsh", "_runr", include_str!("scripts/_runr")),
    ("fish", "runr.fish", include_str!("scripts/runr.fish")),
];

/// Flags before the command, and whether a value follows.
const GLOBAL_FLAGS: [(&str, bool); 6] = [
    ("--root", true),
    ("--config", true),
    ("--log-level", true),
    ("--debug", false),
    ("--version", false),
    ("--help", false),
];

/// A word to offer, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) word: String,
    pub(super) help: String,
}

/// Candidates for the last of `words`, which stand behind the program's name.
pub(super) fn candidates(words: &[OsString], config: &Config) -> Vec<Candidate> {
    let text: Vec<String> = words.iter().map(|w| w.to_string_lossy().into_owned()).collect();
    let Some((current, before)) = text.split_last() else { return Vec::new() };
    let mut at = 0;
    while let Some(word) = before.get(at).filter(|w| w.starts_with('-')) {
        let takes_value = GLOBAL_FLAGS.iter().any(|(flag, value)| *value && flag == word) || word == "-l";
        at += 1 + usize::from(takes_value);
    }
    if at > before.len() {
        // The value of a global flag: a folder or a level.
        return if before.last().is_some_and(|w| w == "--log-level" || w == "-l") {
            fitting(current, ["debug", "info", "warn", "error"].map(|l| (l, "")))
        } else {
            Vec::new()
        };
    }
    let command: Vec<&str> = before[at..].iter().map(String::as_str).collect();
    match command[..] {
        [] if current.starts_with('-') => fitting(current, GLOBAL_FLAGS.map(|(flag, _)| (flag, ""))),
        [] => fitting(current, top_level()),
        // `help image rm` is `image rm --help`.
        ["help"] => fitting(current, top_level()),
        ["help", group] if GROUPS.iter().any(|(g, _)| *g == group) => fitting(current, members(group)),
        [group] if GROUPS.iter().any(|(g, _)| *g == group) => fitting(current, members(group)),
        [first, ..] => {
            let two = command.get(1).map(|second| format!("{first} {second}"));
            let found = two.and_then(|two| find(&two)).map(|entry| (entry, 2));
            let found = found.or_else(|| find(first).map(|entry| (entry, 1)));
            found.map(|(entry, length)| arguments(entry, &words[at + length..], config)).unwrap_or_default()
        }
    }
}

fn fitting<'a>(current: &str, all: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Candidate> {
    let fits = all.into_iter().filter(|(word, _)| word.starts_with(current));
    fits.map(|(word, help)| Candidate { word: word.to_owned(), help: help.to_owned() }).collect()
}

fn top_level() -> Vec<(&'static str, &'static str)> {
    let single = COMMANDS.iter().filter(|c| c.listed && !c.name().contains(' ')).map(|c| (c.name(), c.about));
    single.chain(GROUPS.iter().copied()).chain([("help", "Show the help of a command")]).collect()
}

fn members(group: &str) -> Vec<(&'static str, &'static str)> {
    COMMANDS
        .iter()
        .filter(|c| c.listed)
        .filter_map(|c| Some((c.paths.iter().find_map(|p| p.strip_prefix(group)?.strip_prefix(' '))?, c.about)))
        .collect()
}

/// Flags, values and arguments of one command; `rest` ends with the current word.
fn arguments(entry: &'static CommandEntry, rest: &[OsString], config: &Config) -> Vec<Candidate> {
    let command = entry.command();
    let before = &rest[..rest.len().saturating_sub(1)];
    let positionals = positionals(&command, before);
    let one_only = command.get_positionals().any(Arg::is_trailing_var_arg_set);
    // Behind the image of `run` everything is the container's own business.
    if one_only && positionals > 0 {
        return Vec::new();
    }
    let current = rest.last().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let mut command = command.mut_args(|arg| offer(arg, entry.name(), &current, config));
    let words: Vec<OsString> = std::iter::once(entry.name().into()).chain(rest.iter().cloned()).collect();
    let index = words.len() - 1;
    let found = clap_complete::engine::complete(&mut command, words, index, None).unwrap_or_default();
    // Flags only to who has begun one: among names they would stand in the way of the one name that fits.
    let asks_for_flags = rest.last().is_some_and(|word| word.as_encoded_bytes().starts_with(b"-"));
    found
        .iter()
        .filter(|c| !c.is_hide_set())
        .filter(|c| asks_for_flags || !c.get_value().as_encoded_bytes().starts_with(b"-"))
        .map(|c| Candidate {
            word: c.get_value().to_string_lossy().into_owned(),
            help: c
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned(),
        })
        .collect()
}

/// How many words are neither flags nor values of flags.
fn positionals(command: &Command, words: &[OsString]) -> usize {
    let takes_value = |word: &str| {
        command.get_arguments().any(|arg| {
            let named = match word.strip_prefix("--") {
                Some(long) => {
                    arg.get_long() == Some(long) || arg.get_all_aliases().is_some_and(|all| all.contains(&long))
                }
                // Of several letters only the last can wait for a value.
                None => arg.get_short().is_some() && arg.get_short() == word.chars().last(),
            };
            named && matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) && !arg.is_require_equals_set()
        })
    };
    let mut count = 0;
    let mut words = words.iter().map(|w| w.to_string_lossy());
    while let Some(word) = words.next() {
        if !word.starts_with('-') || word == "-" {
            count += 1;
        } else if takes_value(&word) {
            words.next();
        }
    }
    count
}

/// Teaches one argument what may stand in its place.
fn offer(arg: Arg, command: &'static str, current: &str, config: &Config) -> Arg {
    if let Some(words) = values::of(arg.get_id().as_str(), command, current) {
        return arg.add(ArgValueCandidates::new(move || words.iter().map(CompletionCandidate::new).collect()));
    }
    if !arg.is_positional() {
        return arg;
    }
    let root = config.root.clone();
    arg.add(ArgValueCandidates::new(move || {
        // Whoever types must not see an error, and an empty list is the truth about a store that cannot be read.
        let Ok(store) = Store::open(&root) else { return Vec::new() };
        let mut names = Vec::new();
        if let Some(fits) = containers_for(command) {
            names.extend(containers(&store, fits));
        }
        if command == "cp" {
            // A path in it follows.
            names.iter_mut().for_each(|name| name.push(':'));
        }
        if matches!(
            command,
            "run" | "create" | "pull" | "rmi" | "images" | "inspect" | "image inspect" | "image exists" | "image diff"
        ) {
            names.extend(images(&store));
        }
        if matches!(command, "inspect" | "volume inspect" | "volume rm" | "volume exists") {
            let volumes = store.volumes().unwrap_or_default();
            names.extend(volumes.iter().map(|volume| volume.name().to_owned()));
        }
        names.into_iter().map(CompletionCandidate::new).collect()
    }))
}

fn images(store: &Store) -> Vec<String> {
    let images = store.images().unwrap_or_default();
    images.iter().flat_map(|image| &image.names).map(image_list::familiar).collect()
}

/// Which containers a command can do something with.
fn containers_for(command: &str) -> Option<fn(Status) -> bool> {
    Some(match command {
        "stop" | "kill" | "exec" | "attach" | "top" | "stats" | "healthcheck run" => Status::is_alive,
        "pause" => |status| status == Status::Running,
        "unpause" => |status| status == Status::Paused,
        "start" => |status| !status.is_running(),
        "container init" => |status| !status.is_alive(),
        "rm" | "inspect" | "container inspect" | "container exists" | "container clone" | "port" | "logs" | "wait"
        | "restart" | "rename" | "update" | "cp" | "commit" | "diff" | "container diff" | "export" | "mount"
        | "unmount" | "container cleanup" => |_| true,
        _ => return None,
    })
}

fn containers(store: &Store, fits: fn(Status) -> bool) -> Vec<String> {
    let entries = container_list::all(store).unwrap_or_default();
    let name = |entry| match entry {
        Entry::Good(container) => fits(container.state.status).then(|| container.record.name.clone()),
        // What is damaged can be removed.
        Entry::Damaged { id, .. } => fits(Status::Exited).then_some(id),
        Entry::Newer { .. } => None,
    };
    entries.into_iter().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::Globals;

    fn offered(line: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::load(Globals { root: Some(dir.path().into()), ..Globals::default() }).unwrap();
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        candidates(&words, &config).into_iter().map(|c| c.word).collect()
    }

    #[test]
    fn containers_are_offered_where_they_fit() {
        let fits = |command: &str, status: Status| containers_for(command).is_some_and(|fits| fits(status));
        for (command, running, paused, exited) in [
            ("stop", true, true, false),
            ("start", false, false, true),
            ("pause", true, false, false),
            ("unpause", false, true, false),
            ("logs", true, true, true),
            ("pull", false, false, false),
        ] {
            let offered = [Status::Running, Status::Paused, Status::Exited].map(|status| fits(command, status));
            assert_eq!(offered, [running, paused, exited], "{command}");
        }
    }

    #[test]
    fn candidates_follow_the_command_line() {
        for (line, expected) in [
            ("ru", &["run"][..]),
            ("--ro", &["--root"]),
            ("--root /x ru", &["run"]),
            ("--log-level=debug ru", &["run"]),
            ("--log-level de", &["debug"]),
            ("image l", &["ls"]),
            ("container ru", &["run"]),
            ("run --entry", &["--entrypoint"]),
            ("container run --entry", &["--entrypoint"]),
            ("run --pull al", &["always"]),
            ("run --pull=al", &["--pull=always"]),
            ("run -e A=b --network ho", &["host"]),
            ("run alpine --entry", &[]),
            ("run --rm -it alpine --entry", &[]),
            ("run -e A=b -w /x --entry", &["--entrypoint"]),
            ("nonsense x", &[]),
            ("help im", &["images", "import", "image"]),
            ("help image l", &["ls"]),
            ("completion z", &["zsh"]),
            ("run --restart on", &["on-failure", "on-failure:"]),
            ("run --cap-add NET_B", &["NET_BIND_SERVICE", "NET_BROADCAST"]),
            ("run --cap-drop AL", &["ALL"]),
            ("run --security-opt proc", &["proc-opts="]),
            ("kill -s TS", &["TSTP"]),
            ("stop --signal=USR", &["--signal=USR1", "--signal=USR2"]),
            ("ps --filter he", &["health="]),
            ("ps --filter health=un", &["health=unhealthy"]),
            ("ps -f status=pa", &["status=paused"]),
            ("ps --filter=health=un", &["--filter=health=unhealthy"]),
            ("images --filter dang", &["dangling="]),
            ("images --filter dangling=t", &["dangling=true"]),
            ("events --filter typ", &["type="]),
            ("events --filter type=v", &["type=volume"]),
            ("volume ls --filter anonymous=", &["anonymous=true", "anonymous=false"]),
            ("volume prune --filter all=t", &["all=true"]),
            ("container prune --filter st", &[]),
            ("wait --condition he", &["healthy"]),
        ] {
            assert_eq!(offered(line), expected, "{line}");
        }
        assert!(offered("").contains(&"run".to_owned()) && offered("").contains(&"image".to_owned()));
        assert!(offered("run --").len() > 50);
    }
}
