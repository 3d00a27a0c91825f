//! Reads the words up to the command: global flags, then the command's name of one or two words.

use super::super::config::{Globals, Verbosity};
use super::{COMMANDS, CommandEntry, GROUPS, find, known, refused};
use crate::base::{Error, Result};
use std::ffi::{OsStr, OsString};

/// What the command line asks for.
pub(crate) enum Located {
    /// A command; its words as typed, and the words behind it.
    Command {
        /// The command.
        entry: &'static CommandEntry,
        /// `container run` when it was called so.
        path: String,
        /// Everything behind the command's name.
        rest: Vec<OsString>,
    },
    /// `--help`, of runr itself or of a group of commands.
    Help(Option<&'static str>),
    /// `--version`.
    Version,
}

/// Splits `args`, which begin behind the program's name.
pub(crate) fn locate(args: Vec<OsString>) -> Result<(Globals, Located)> {
    let mut globals = Globals::default();
    let mut words = args.into_iter().peekable();
    while let Some(word) = words.next_if(|w| w.as_encoded_bytes().starts_with(b"-")) {
        match global(&word, &mut globals, || words.next())? {
            // As docker: `runr --help run` is `runr run --help`; what is no command there has no help of its own.
            Some(Located::Help(None)) => {
                let words: Vec<OsString> = words.chain(["--help".into()]).collect();
                return Ok((globals, command(words).unwrap_or(Located::Help(None))));
            }
            Some(found) => return Ok((globals, found)),
            None => continue,
        }
    }
    let rest: Vec<OsString> = words.collect();
    Ok((globals, command(rest)?))
}

/// Takes one global flag; `next` yields the word behind it.
fn global(word: &OsStr, globals: &mut Globals, mut next: impl FnMut() -> Option<OsString>) -> Result<Option<Located>> {
    let text = word.to_str().ok_or_else(|| Error::usage(format!("unknown flag `{}`", word.to_string_lossy())))?;
    let (name, inline) = match text.split_once('=') {
        Some((name, value)) if name.starts_with("--") => (name, Some(OsString::from(value))),
        _ => (text, None),
    };
    let mut value =
        || inline.clone().or_else(&mut next).ok_or_else(|| Error::usage(format!("flag `{name}` needs a value")));
    match name {
        "--help" | "-h" => return Ok(Some(Located::Help(None))),
        "--version" | "-v" => return Ok(Some(Located::Version)),
        "--root" => globals.root = Some(value()?),
        "--config" => globals.docker_config = Some(value()?),
        "--log-level" | "-l" => globals.verbosity = verbosity(&value()?)?,
        "--debug" | "-D" => globals.verbosity = Verbosity::Info,
        _ => {
            return Err(Error::usage(format!("unknown flag `{name}`"))
                .hint("flags of a command stand behind the command; see `runr --help` for those before it"));
        }
    }
    Ok(None)
}

fn verbosity(value: &OsStr) -> Result<Verbosity> {
    Ok(match value.to_str().unwrap_or_default().to_ascii_lowercase().as_str() {
        "trace" | "debug" | "info" => Verbosity::Info,
        "warn" | "warning" => Verbosity::Warn,
        "error" | "fatal" | "panic" => Verbosity::Error,
        other => {
            return Err(Error::usage(format!("invalid log level `{other}`"))
                .hint("use one of trace, debug, info, warn, error, fatal, panic"));
        }
    })
}

/// Finds the command that `words` begin with.
fn command(mut words: Vec<OsString>) -> Result<Located> {
    let text = |i: usize| words.get(i).and_then(|w| w.to_str()).unwrap_or_default();
    if text(0) == "help" {
        // `runr help run` is `runr run --help`.
        words.remove(0);
        words.push("--help".into());
        return command(words);
    }
    if words.is_empty() || matches!(text(0), "--help" | "-h") {
        return Ok(Located::Help(None));
    }
    let (one, two) = (text(0).to_owned(), format!("{} {}", text(0), text(1)));
    for (path, length) in [(&two, 2), (&one, 1)] {
        if let Some(entry) = find(path) {
            return Ok(Located::Command { entry, path: path.clone(), rest: words.split_off(length) });
        }
    }
    if let Some((group, _)) = GROUPS.iter().find(|(g, _)| *g == one)
        && (words.len() == 1 || text(1).starts_with('-'))
    {
        return Ok(Located::Help(Some(group)));
    }
    if let Some(known) = known::command(&two) {
        return Err(refused::command(known.path));
    }
    // A group without one of its commands is `volume`, not `volume frobnicate`.
    if known::command(&one).is_some() && !known::commands().any(|c| c.path.starts_with(&format!("{one} "))) {
        return Err(refused::command(&one));
    }
    let is_group = known::command(&one).is_some() && words.len() > 1 && !text(1).starts_with('-');
    if known::command(&one).is_some() && !is_group {
        return Err(refused::command(&one));
    }
    Err(unknown(if is_group { &two } else { &one }))
}

/// What is said about everything that docker or podman has and runr does not have yet.
pub(crate) fn not_yet(what: &str) -> Error {
    Error::unsupported(format!("{what}: not supported yet"))
}

fn unknown(path: &str) -> Error {
    let e = Error::usage(format!("unknown command `{path}`"));
    let listed = COMMANDS.iter().filter(|c| c.listed).flat_map(|c| c.paths).copied();
    // In a group its name is right already and says nothing about how near the rest is.
    let group = path.split_once(' ').map(|(group, _)| group).filter(|g| GROUPS.iter().any(|(known, _)| known == g));
    let prefix = group.map(|g| format!("{g} ")).unwrap_or_default();
    let word = path.strip_prefix(&prefix).unwrap_or(path);
    match nearest(word, listed.filter_map(|c| c.strip_prefix(&prefix))) {
        Some(near) => e.hint(format!("did you mean `runr {prefix}{near}`?")),
        None => e.hint(format!("see `runr {prefix}--help`")),
    }
}

/// The candidate that `word` is most likely a mistyping of.
fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = candidates.map(|c| (distance(word, c), c)).min_by_key(|(d, _)| *d)?;
    (near.0 <= 1 + word.chars().count() / 4).then_some(near.1)
}

/// How many letters must be changed, added, dropped or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                changed.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1)
            };
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                table[i][j] = table[i][j].min(table[i - 2][j - 2] + 1);
            }
        }
    }
    table[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').filter(|w| !w.is_empty()).map(OsString::from).collect()
    }

    fn found(text: &str) -> (Globals, String) {
        let (globals, located) = locate(words(text)).unwrap();
        let shown = match located {
            Located::Command { entry, path, rest } => format!("{} as {path} with {rest:?}", entry.name()),
            Located::Help(group) => format!("help {}", group.unwrap_or("-")),
            Located::Version => "version flag".to_owned(),
        };
        (globals, shown)
    }

    #[test]
    fn commands_are_found_behind_global_flags() {
        assert_eq!(found("run -it a").1, r#"run as run with ["-it", "a"]"#);
        assert_eq!(found("container run --root x").1, r#"run as container run with ["--root", "x"]"#);
        assert_eq!(found("help run").1, r#"run as run with ["--help"]"#);
        assert_eq!(found("--help image rm").1, r#"rmi as image rm with ["--help"]"#);
        for (text, shown) in [
            ("", "help -"),
            ("-h", "help -"),
            ("image", "help image"),
            ("image --help", "help image"),
            ("--help image", "help image"),
            ("--help frobnicate", "help -"),
            ("--help", "help -"),
            ("-v", "version flag"),
        ] {
            assert_eq!(found(text).1, shown, "{text}");
        }
        let (globals, _) = found("--root /r --log-level=debug --config d version");
        assert_eq!((globals.root.unwrap(), globals.verbosity), (OsString::from("/r"), Verbosity::Info));
    }

    #[test]
    fn what_is_not_built_is_told_from_what_does_not_exist() {
        for (text, message, hint) in [
            ("manifest rm x", "manifest rm: not supported yet", None),
            ("manifest", "manifest: not supported yet", None),
            ("build x", "build: not supported yet", None),
            ("volume frobnicate", "unknown command `volume frobnicate`", Some("see `runr volume --help`")),
            ("rnu x", "unknown command `rnu`", Some("did you mean `runr run`?")),
            ("container foo", "unknown command `container foo`", Some("see `runr container --help`")),
            ("container strat x", "unknown command `container strat`", Some("did you mean `runr container start`?")),
            ("versio", "unknown command `versio`", Some("did you mean `runr version`?")),
            ("--nonsense run", "unknown flag `--nonsense`", None),
            ("--root", "flag `--root` needs a value", None),
            ("--log-level loud run", "invalid log level `loud`", None),
        ] {
            let e = locate(words(text)).err().unwrap();
            assert_eq!(e.to_string(), message, "{text}");
            if let Some(hint) = hint {
                assert_eq!(e.hints(), [hint], "{text}");
            }
        }
    }
}
