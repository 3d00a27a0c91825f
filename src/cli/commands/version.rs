//! `runr version`, `runr --version`.

use super::super::args::system::VersionArgs;
use super::super::output::document;
use super::super::{Context, Exit, typed};
use crate::base::Result;
use crate::image::Platform;
use crate::ops::info;
use clap::ArgMatches;

/// The line of `--version`.
pub(crate) fn one_line() -> String {
    format!("runr version {}", env!("CARGO_PKG_VERSION"))
}

/// `version`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: VersionArgs = typed(matches)?;
    match &args.format {
        Some(format) => context.out.text(&document::formatted(&info::version(), format)?)?,
        None => context.out.text(&format!("{}\nOS/Arch: {}\n", one_line(), Platform::host()))?,
    }
    Ok(Exit::OK)
}
