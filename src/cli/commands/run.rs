//! `runr run`: a new container, in the foreground or left to itself.

use super::super::args::container::RunArgs;
use super::super::parse::create;
use super::super::parse::process;
use super::super::terminal::{self, Wiring};
use super::super::{Context, Exit, typed};
use super::create::{Made, make};
use super::start::{leave, write_pidfiles};
use crate::base::{Error, Result};
use crate::ops;
use crate::store::Store;
use crate::supervise::client;
use crate::supervise::process::Stdio;
use clap::ArgMatches;

/// `run`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: RunArgs = typed(matches)?;
    if args.detach && !args.attach.is_empty() {
        return Err(Error::usage("--attach and --detach cannot be used together"));
    }
    let attach = process::attach(&args.attach)?;
    let request = create::request(args.create, &context.config)?;
    let store = Store::open(&context.config.root)?;
    let Made { created, options, watcher } = make(context, &store, request)?;
    if args.detach {
        let id = created.container.record.id.clone();
        let channel = ops::start::first(&store, created, Stdio::default(), None, watcher.as_ref())?;
        leave(context, &channel, &options)?;
        context.out.line(&id)?;
        return Ok(Exit::OK);
    }
    // Until here a signal simply ends the command, also in the middle of a pull; what is half made is swept.
    let signals = client::catch_signals(args.sig_proxy)?;
    let wiring = terminal::wire(options.interactive, options.tty, args.sig_proxy, attach)?;
    let raw = wiring.raw_mode()?;
    let Wiring { stdio, companion, size, .. } = wiring;
    let channel = ops::start::first(&store, created, stdio, size, watcher.as_ref())?;
    let mut warnings = Vec::new();
    let code = client::accompany(&channel, &signals, companion, |pid, notes| {
        warnings = notes;
        write_pidfiles(&options, pid)
    });
    drop(raw);
    for warning in warnings {
        context.out.warning(&warning);
    }
    code.map(|code| Exit::code(code as u8))
}
