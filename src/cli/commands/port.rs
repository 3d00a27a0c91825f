//! `runr port`: which ports of containers are published. Containers have this machine's network or none, where docker and
//! podman publish nothing either, and what is said is what docker says of such containers.

use super::super::args::view::PortArgs;
use super::super::{Context, Exit, typed};
use super::select;
use crate::base::{Error, Result};
use crate::image::ports::Ports;
use crate::ops::containers;
use crate::store::Store;
use clap::ArgMatches;

/// `port`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: PortArgs = typed(matches)?;
    let store = Store::open(&context.config.root)?;
    let mut words = args.words.into_iter();
    let name = match (args.all, args.latest) {
        (true, false) if words.len() == 0 => return Ok(Exit::OK),
        (true, _) => return Err(Error::usage("port: --all cannot be used together with a container")),
        (false, true) => select::latest(&store)?,
        (false, false) => words.next().ok_or_else(|| {
            Error::usage("port: missing argument: CONTAINER").hint("give a container, --latest or --all")
        })?,
    };
    let container = containers::find(&store, &name)?;
    let Some(port) = words.next() else { return Ok(Exit::OK) };
    let port: Ports = port.parse().map_err(|e: Error| e.hint("use PORT, PORT/tcp, PORT/udp or PORT/sctp"))?;
    Err(Error::not_found(format!("no public port `{port}` published for `{}`", container.record.name)))
}
