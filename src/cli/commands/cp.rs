//! `runr cp`: files into and out of containers.

use super::super::args::files::CpArgs;
use super::super::progress;
use super::super::{Context, Exit, typed};
use crate::base::units::human_size;
use crate::base::{Error, Result};
use crate::ops::files::cp::{self, CopyOptions, Side};
use crate::store::Store;
use clap::ArgMatches;
use std::io::IsTerminal;

/// `cp`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: CpArgs = typed(matches)?;
    let (from, to) = (cp::side(&args.source)?, cp::side(&args.destination)?);
    let terminal = std::io::stdout().is_terminal();
    if to == Side::Stream && terminal {
        return Err(Error::usage("refusing to write an archive to a terminal").hint("redirect it to a file or a pipe"));
    }
    let store = Store::open(&context.config.root)?;
    let options = CopyOptions { archive: args.archive, follow: args.follow_link, overwrite: args.overwrite };
    let watcher = progress::choose(&context.config, true);
    let done = match cp::cp(&store, &from, &to, options, &context.config.working_dir, watcher.as_ref()) {
        // Whoever reads has what it wanted.
        Err(e) if to == Side::Stream && e.errno() == Some(nix::errno::Errno::EPIPE) => return Ok(Exit::OK),
        other => other?,
    };
    // docker says it to people only.
    if terminal && !args.quiet && to != Side::Stream {
        let destination = args.destination.to_string_lossy();
        context.out.note(&format!("Successfully copied {} to {destination}", human_size(done.bytes)));
    }
    Ok(Exit::OK)
}
