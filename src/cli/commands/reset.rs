//! `runr system reset`: back to nothing.

use super::super::args::housekeeping::ResetArgs;
use super::super::ask::confirm;
use super::super::{Context, Exit, typed};
use crate::base::Result;
use crate::ops::reset;
use crate::store::Store;
use clap::ArgMatches;

/// `system reset`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: ResetArgs = typed(matches)?;
    let root = context.config.root.clone();
    // Where there is no store there is nothing to reset, and none must be made of somebody's folder.
    if !root.join("format.json").exists() && !root.join("containers").is_dir() {
        return Ok(Exit::OK);
    }
    let warning = format!(
        "WARNING! This will remove:\n  - all containers, also those that run\n  - all images\n  - everything else that runr \
         keeps below `{}`\n",
        root.display()
    );
    if !args.force && !confirm(context, "system reset", &warning)? {
        return Ok(Exit::OK);
    }
    let left = reset::reset(&Store::open(&root)?)?;
    for path in left.foreign {
        context.out.warning(&format!("`{}` is not runr's and was kept", path.display()));
    }
    Ok(Exit::OK)
}
