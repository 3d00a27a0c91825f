//! `runr attach`: the caller's streams become those of a container that runs, until it ends or the detach keys are typed.

use super::super::args::lifecycle::AttachArgs;
use super::super::parse::keys::detach_keys;
use super::super::terminal;
use super::super::{Context, Exit, typed};
use super::{select, start};
use crate::base::{Error, Result};
use crate::ops::lifecycle;
use crate::spec::options::Attach;
use crate::state::Status;
use crate::state::containers::Container;
use crate::store::Store;
use crate::supervise::client;
use crate::supervise::control::connect_to;
use crate::supervise::detach::DetachKeys;
use crate::supervise::protocol::Request;
use clap::ArgMatches;

/// `attach`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: AttachArgs = typed(matches)?;
    let keys = detach_keys(args.detach_keys.as_deref())?;
    let store = Store::open(&context.config.root)?;
    let word = match (args.container, args.latest) {
        (Some(word), false) => word,
        (None, true) => select::latest(&store)?,
        (Some(_), true) => return Err(Error::usage("attach: a name cannot be used together with --latest")),
        (None, false) => {
            return Err(Error::usage("attach: missing argument: CONTAINER").hint("see `runr attach --help`"));
        }
    };
    let (container, _) = lifecycle::running(&store, &word, "attach to")?;
    accompany(context, &store, &container, !args.no_stdin, args.sig_proxy, keys)
}

/// Connects to a container that runs, or starts one that is only initialized. `stdin` is given to a container that reads it at
/// all.
pub(super) fn accompany(
    context: &Context,
    store: &Store,
    container: &Container,
    stdin: bool,
    sig_proxy: bool,
    keys: DetachKeys,
) -> Result<Exit> {
    let ended = || Error::conflict("the container is not running any more");
    let channel = connect_to(&container.folder)?.ok_or_else(ended)?;
    let options = &container.record.options;
    let signals = client::catch_signals(sig_proxy)?;
    let streams = Attach { stdin, stdout: true, stderr: true };
    let wiring = terminal::wire(options.interactive, options.tty, sig_proxy, streams)?;
    let raw = wiring.raw_mode()?;
    let mut companion = wiring.companion;
    companion.detach = keys;
    client::attach(&channel, wiring.stdio, wiring.size)?;
    if container.state.status == Status::Initialized {
        let _ = channel.send(&Request::Start, &[])?;
    }
    let started = |pid, _| start::started(context, store, &container.record.id, options, pid);
    let end = client::accompany(&channel, &signals, companion, started);
    drop(raw);
    end.map(Exit::from)
}
