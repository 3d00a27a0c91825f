//! `runr port`: which ports of containers are published. Containers have this machine's network or none, so nothing is
//! published by anybody, and what is said is what docker says of such containers.

use super::super::args::view::PortArgs;
use super::super::{Context, Exit, typed};
use super::select;
use crate::base::{Error, Result};
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
    let port = checked(&port)?;
    Err(Error::not_found(format!("no public port `{port}` published for `{}`", container.record.name)))
}

/// A port with its protocol.
fn checked(text: &str) -> Result<String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    match number.parse::<u16>() {
        Ok(1..) if matches!(protocol, "tcp" | "udp" | "sctp") => Ok(format!("{number}/{protocol}")),
        _ => Err(Error::usage(format!("invalid port `{text}`")).hint("use PORT, PORT/tcp, PORT/udp or PORT/sctp")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        assert_eq!((checked("80").unwrap(), checked("53/udp").unwrap()), ("80/tcp".into(), "53/udp".into()));
        for bad in ["", "0", "80/http", "x", "70000", "80/"] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }
}
