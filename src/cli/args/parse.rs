//! One command's words to its flags, by clap, made to read values the way docker's and podman's flag library does: a switch
//! takes `=true` and `=false`, a value may begin with a dash, the last of two equal flags counts. And clap's refusals put
//! into runr's words.

use super::{CommandEntry, known, refused};
use crate::base::{Error, Result, units};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;

/// What came of the words.
pub(crate) enum Parsed {
    /// The command's flags.
    Matches(ArgMatches),
    /// `--help` was among them.
    Help,
}

/// Parses `rest`, the words behind the command that was called as `path`.
pub(crate) fn parse(entry: &CommandEntry, path: &str, rest: Vec<OsString>) -> Result<Parsed> {
    let mut command = entry.command().no_binary_name(true).mut_args(as_docker_reads);
    match command.try_get_matches_from_mut(rest) {
        Ok(matches) => Ok(Parsed::Matches(matches)),
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp) => Ok(Parsed::Help),
        Err(e) => Err(translate(&e, path, &command)),
    }
}

/// Loosens one argument. The clap types themselves stay plain, so that help, man pages and completions do.
fn as_docker_reads(arg: Arg) -> Arg {
    match arg.get_action() {
        ArgAction::SetTrue => {
            let on = arg.get_default_values().first().is_some_and(|v| v == "true");
            arg.action(ArgAction::Set)
                .value_parser(go_bool)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .default_value(if on { "true" } else { "false" })
        }
        ArgAction::Set | ArgAction::Append if !arg.is_positional() && !arg.is_require_equals_set() => {
            arg.allow_hyphen_values(true)
        }
        _ => arg,
    }
}

/// [`units::parse_bool`] for clap.
pub(crate) fn go_bool(text: &str) -> std::result::Result<bool, String> {
    units::parse_bool(text).ok_or_else(|| "use true or false".to_owned())
}

fn translate(error: &clap::Error, path: &str, command: &Command) -> Error {
    let context = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(list)) => list.join(", "),
        _ => String::new(),
    };
    // clap shows an argument with its value name: `--name <NAME>`.
    let shown = context(ContextKind::InvalidArg);
    let flag = shown.split([' ', '=', '[']).next().unwrap_or_default();
    let value = context(ContextKind::InvalidValue);
    let see = format!("see `runr {path} --help`");
    match error.kind() {
        ErrorKind::UnknownArgument if flag.starts_with('-') => {
            if known::command(path).is_some_and(|c| c.has_flag(flag)) {
                return refused::refusal(path, flag);
            }
            let e = Error::usage(format!("{path}: unknown flag `{flag}`"));
            match context(ContextKind::SuggestedArg) {
                near if near.is_empty() => e.hint(see),
                near => e.hint(format!("did you mean `{near}`?")),
            }
        }
        ErrorKind::UnknownArgument => Error::usage(format!("{path}: unexpected argument `{shown}`")).hint(see),
        ErrorKind::InvalidValue if value.is_empty() => Error::usage(format!("{path}: flag `{flag}` needs a value")),
        ErrorKind::InvalidValue => Error::usage(format!(
            "{path}: invalid value `{value}` for `{flag}`: use one of {}",
            context(ContextKind::ValidValue)
        )),
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(|e| format!(": {e}")).unwrap_or_default();
            Error::usage(format!("{path}: invalid value `{value}` for `{flag}`{why}"))
        }
        ErrorKind::MissingRequiredArgument => {
            let usage = command.clone().render_usage().to_string();
            Error::usage(format!("{path}: missing argument: {shown}")).hint(format!(
                "{} {}",
                "usage:",
                usage.trim_start_matches("Usage: ").trim()
            ))
        }
        ErrorKind::ArgumentConflict => {
            Error::usage(format!("{path}: `{flag}` cannot be used together with `{}`", context(ContextKind::PriorArg)))
        }
        ErrorKind::InvalidUtf8 => Error::usage(format!("{path}: an argument is not valid UTF-8")),
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Error::usage(format!("{path}: {line}")).hint(see)
        }
    }
}
