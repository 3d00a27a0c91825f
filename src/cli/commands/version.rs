//! `runr version`, `runr --version`.

use super::super::args::system::VersionArgs;
use super::super::{Context, Exit, typed};
use crate::base::Result;
use clap::ArgMatches;

/// The line of `--version`.
pub(crate) fn one_line() -> String {
    format!("runr version {}", env!("CARGO_PKG_VERSION"))
}

/// `version`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let _args: VersionArgs = typed(matches)?;
    context.out.line(&one_line())?;
    Ok(Exit::OK)
}
