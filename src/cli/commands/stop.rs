//! `runr stop`, `restart`, `kill`, `pause`, `unpause`.

use super::super::args::lifecycle::{KillArgs, PauseArgs, RestartArgs, StopArgs};
use super::super::{Context, Exit, typed};
use super::{select, start};
use crate::base::{Error, Kind, Result};
use crate::ops::lifecycle;
use crate::state::Status;
use crate::store::Store;
use crate::sys::signal;
use clap::ArgMatches;

fn number(text: &str) -> Result<i32> {
    signal::number(text).ok_or_else(|| Error::usage(format!("invalid signal: `{text}`")))
}

/// `stop`: all are asked to end, then each is waited for, so that many take no longer than one.
pub(crate) fn stop(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: StopArgs = typed(matches)?;
    let signal = args.signal.as_deref().map(number).transpose()?;
    let store = Store::open(&context.config.root)?;
    let alive = |c: &_| is_alive(c);
    let words = select::words(context, &store, "stop", &args.select, &args.filter, args.ignore, alive)?;
    let lenient = args.ignore || args.select.all || !args.filter.is_empty();
    let asked: Vec<_> = words.iter().map(|word| lifecycle::stop(&store, word, signal, args.timeout)).collect();
    let met = |e: &Error| lenient && e.kind() == Kind::NotFound;
    let (words, asked): (Vec<_>, Vec<_>) =
        words.into_iter().zip(asked).filter(|(_, asked)| !asked.as_ref().is_err_and(met)).unzip();
    let mut asked = asked.into_iter();
    select::each(context, &words, |_, _| asked.next().map_or(Ok(()), |ending| ending?.wait().map(drop)))?;
    Ok(Exit::OK)
}

fn is_alive(container: &crate::state::containers::Container) -> bool {
    container.state.status.is_alive()
}

/// `restart`: one that doesn't run is started.
pub(crate) fn restart(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let mut args: RestartArgs = typed(matches)?;
    let signal = args.signal.as_deref().map(number).transpose()?;
    let store = Store::open(&context.config.root)?;
    let (all, running) = (args.select.all, args.running);
    args.select.all |= running;
    let chosen = |c: &_| all || is_alive(c);
    let words = select::words(context, &store, "restart", &args.select, &args.filter, false, chosen)?;
    select::each(context, &words, |context, word| {
        let restarted = lifecycle::restart(&store, word, signal, args.timeout)?;
        if restarted { Ok(()) } else { start::background(context, &store, word) }
    })?;
    Ok(Exit::OK)
}

/// `kill`.
pub(crate) fn kill(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: KillArgs = typed(matches)?;
    let signal = number(&args.signal)?;
    let store = Store::open(&context.config.root)?;
    let words = select::words(context, &store, "kill", &args.select, &[], false, |c| c.state.status.is_running())?;
    select::each(context, &words, |_, word| lifecycle::kill(&store, word, signal))?;
    Ok(Exit::OK)
}

/// `pause`.
pub(crate) fn pause(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    freeze(context, matches, "pause", Status::Running, lifecycle::pause)
}

/// `unpause`.
pub(crate) fn unpause(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    freeze(context, matches, "unpause", Status::Paused, lifecycle::unpause)
}

fn freeze(
    context: &mut Context,
    matches: &ArgMatches,
    verb: &str,
    of: Status,
    act: fn(&Store, &str) -> Result<()>,
) -> Result<Exit> {
    let args: PauseArgs = typed(matches)?;
    let store = Store::open(&context.config.root)?;
    let words = select::words(context, &store, verb, &args.select, &args.filter, false, |c| c.state.status == of)?;
    select::each(context, &words, |_, word| act(&store, word))?;
    Ok(Exit::OK)
}
