//! `runr healthcheck run`: the container's health check, now.

use super::super::args::health::HealthcheckRunArgs;
use super::super::{Context, Exit, typed};
use crate::base::Result;
use crate::ops;
use crate::store::Store;
use clap::ArgMatches;

/// `healthcheck run`: 0 when the check succeeds; 1, and the word, when it does not.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: HealthcheckRunArgs = typed(matches)?;
    let store = Store::open(&context.config.root)?;
    if ops::health::check(&store, &args.container)? {
        return Ok(Exit::OK);
    }
    context.out.line("unhealthy")?;
    Ok(Exit::code(1))
}
