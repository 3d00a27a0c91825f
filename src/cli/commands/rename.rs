//! `runr rename`: another name for a container.

use super::super::args::life::RenameArgs;
use super::super::parse::names;
use super::super::{Context, Exit, typed};
use crate::base::Result;
use crate::ops;
use crate::store::Store;
use clap::ArgMatches;

/// `rename`: prints nothing, as docker and podman.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: RenameArgs = typed(matches)?;
    let name = names::container(args.name.trim_start_matches('/'))?;
    let store = Store::open(&context.config.root)?;
    ops::change::rename(&store, &args.container, &name)?;
    Ok(Exit::OK)
}
