//! `runr container exists`, `runr image exists`: for scripts; the answer is the exit status, 0 or 1.

use super::super::args::view::{ContainerExistsArgs, ImageExistsArgs};
use super::super::{Context, Exit, typed};
use crate::base::{Kind, Result};
use crate::state::Containers;
use crate::store::Store;
use clap::ArgMatches;

/// "It does not."
const NO: u8 = 1;

/// `container exists`.
pub(crate) fn container(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: ContainerExistsArgs = typed(matches)?;
    let store = Store::open(&context.config.root)?;
    // A damaged one exists: it can be named, and removed.
    answer(Containers::new(store.paths()).resolve(&args.container))
}

/// `image exists`.
pub(crate) fn image(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: ImageExistsArgs = typed(matches)?;
    let store = Store::open(&context.config.root)?;
    answer(store.find_image(&args.image))
}

pub(super) fn answer<T>(found: Result<T>) -> Result<Exit> {
    match found {
        Ok(_) => Ok(Exit::OK),
        // What cannot be a name names nothing.
        Err(e) if matches!(e.kind(), Kind::NotFound | Kind::Usage) => Ok(Exit::code(NO)),
        Err(e) => Err(e),
    }
}
