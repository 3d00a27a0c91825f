//! `runr run`: a new container, in the foreground or left in the background.

use super::super::args::container::RunArgs;
use super::super::parse::create;
use super::super::{Context, Exit, typed};
use crate::base::{Error, Result};
use clap::ArgMatches;

/// `run`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: RunArgs = typed(matches)?;
    let request = create::request(args.create, &context.config)?;
    Err(Error::unsupported(format!("run {:?}: not supported yet", request.origin)))
}
