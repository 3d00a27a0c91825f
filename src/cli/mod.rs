//! The command line: arguments to a [`Config`] and one command, the command to text and an exit status.
//!
//! The only module that prints or reads the environment; what a command does is `ops`' business.
//!
//! No thread may exist before the command runs: `run` forks its monitor first.

mod args;
mod ask;
mod commands;
mod complete;
pub mod config;
mod docgen;
pub mod exit;
mod output;
mod parse;
mod passed;
mod progress;
mod source;
mod terminal;
mod values;

pub use config::Config;
pub use exit::Exit;

use crate::base::{Error, Result};
use args::locate::{Located, locate};
use args::parse::Parsed;
use output::Output;
use std::ffi::OsString;
use std::process::ExitCode;

/// What every command gets.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) out: Output,
}

/// The whole program: `args` with the program's name first.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let mut out = Output::new(config::colour());
    let (name, result) = dispatch(args, &mut out);
    let exit = match result {
        Ok(exit) => exit,
        // `runr images | head -1`: whoever reads has what it wanted.
        Err(_) if out.reader_gone() => Exit::OK,
        Err(e) => {
            out.error(&e);
            exit::of(name, e.kind())
        }
    };
    exit.into()
}

/// Finds the command and runs it; the name is for the table of exit statuses.
fn dispatch(args: Vec<OsString>, out: &mut Output) -> (&'static str, Result<Exit>) {
    match locate(args.into_iter().skip(1).collect()) {
        Err(e) => ("", Err(e)),
        Ok((_, Located::Version)) => ("version", out.line(&commands::version::one_line()).map(|()| Exit::OK)),
        Ok((_, Located::Help(group))) => ("help", commands::help::overview(out, group).map(|()| Exit::OK)),
        Ok((globals, Located::Command { entry, path, rest })) => (entry.name(), call(entry, &path, rest, globals, out)),
    }
}

fn call(
    entry: &args::CommandEntry,
    path: &str,
    rest: Vec<OsString>,
    globals: config::Globals,
    out: &mut Output,
) -> Result<Exit> {
    match args::parse::parse(entry, path, rest)? {
        Parsed::Help => commands::help::command(out, entry).map(|()| Exit::OK),
        Parsed::Matches(matches) => {
            let mut context = Context { config: Config::load(globals)?, out: std::mem::take(out) };
            context.out.errors_only = context.config.verbosity == config::Verbosity::Error;
            let result = (entry.run)(&mut context, &matches);
            *out = context.out;
            result
        }
    }
}

/// clap's own reading of a value that it has already checked cannot fail; if it does, runr is at fault.
fn typed<A: clap::FromArgMatches>(matches: &clap::ArgMatches) -> Result<A> {
    A::from_arg_matches(matches).map_err(|e| Error::new(crate::base::Kind::Bug, e.to_string().trim().to_owned()))
}
