//! `runr start`: stopped containers run again, in the background or, one, attached.

use super::super::args::life::{InitArgs, StartArgs};
use super::super::output::filter::Filters;
use super::super::parse::keys::detach_keys;
use super::super::terminal::{self, Wiring};
use super::super::{Context, Exit, progress, typed};
use super::attach;
use super::create::write_new;
use super::ps;
use super::select::{self, Selection};
use crate::base::{Error, Result};
use crate::ops::start::{self, Caller, Taken};
use crate::spec::ContainerOptions;
use crate::spec::options::{Attach, RestartPolicy, SdNotify};
use crate::state::containers::Container;
use crate::state::{Containers, NewContainer};
use crate::store::Store;
use crate::supervise::client;
use crate::supervise::notify::Notify;
use crate::sys::channel::Channel;
use clap::ArgMatches;

/// `start`: prints each name as it was typed, also of a container that runs already. What can start starts, also when
/// something else cannot.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: StartArgs = typed(matches)?;
    let attach = args.attach || args.interactive;
    if args.sig_proxy.is_some() && !attach {
        return Err(Error::usage("--sig-proxy cannot be used without --attach"));
    }
    let store = Store::open(&context.config.root)?;
    let words = words(context, &args, &store)?;
    if attach {
        let [word] = words.as_slice() else {
            return Err(Error::usage("only one container can be started and attached to at once"));
        };
        return attached(context, &store, word, &args);
    }
    select::each(context, &words, |context, word| background(context, &store, word))?;
    Ok(Exit::OK)
}

/// What to start, as typed or by full id.
fn words(context: &Context, args: &StartArgs, store: &Store) -> Result<Vec<String>> {
    let StartArgs { containers, all, latest, filter, .. } = args;
    let (all, latest) = (*all, *latest);
    let selection = Selection { command: "start", containers, cidfile: &[], ignore: false, all, latest, filter };
    if let Some(words) = selection.named(context)? {
        return Ok(words);
    }
    let mut keys = ps::FILTERS.to_vec();
    keys.extend(["restart-policy", "should-start-on-boot"]);
    keys.sort_unstable();
    keys.dedup();
    let filters = Filters::parse(filter, &keys)?;
    let mut chosen = selection.chosen(store, &filters)?;
    chosen.retain(|c| {
        filters.any("restart-policy", |policy| policy == policy_word(c.record.options.restart))
            && filters.any("should-start-on-boot", |wanted| wanted == starts_on_boot(c).to_string())
    });
    // The oldest first: what others were made to use.
    chosen.reverse();
    match chosen.is_empty() && latest {
        true => Err(Error::not_found("there is no container")),
        false => Ok(chosen.into_iter().map(|c| c.record.id).collect()),
    }
}

fn policy_word(policy: RestartPolicy) -> &'static str {
    match policy {
        RestartPolicy::No => "no",
        RestartPolicy::OnFailure(_) => "on-failure",
        RestartPolicy::Always => "always",
        RestartPolicy::UnlessStopped => "unless-stopped",
    }
}

/// docker's rule for the time after a boot: of those that were started before, `always` starts, and `unless-stopped` unless
/// somebody had stopped it.
fn starts_on_boot(container: &Container) -> bool {
    let meant = match container.record.options.restart {
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped => !container.state.stopped_by_user,
        RestartPolicy::No | RestartPolicy::OnFailure(_) => false,
    };
    meant && container.state.started.is_some()
}

/// `container init`: prints each name as it was typed.
pub(crate) fn initialize(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: InitArgs = typed(matches)?;
    let store = Store::open(&context.config.root)?;
    let fits = |c: &Container| !c.state.status.is_alive();
    let words = select::words(context, &store, "container init", &args.into_select(), &[], false, fits)?;
    select::each(context, &words, |context, word| {
        let watcher = progress::choose(&context.config, false);
        let container = Containers::new(store.paths()).find(word)?;
        let caller = Caller { notify: notify(context, &container.record.options), ..Caller::default() };
        start::initialize(&store, word, caller, watcher.as_ref())
    })?;
    Ok(Exit::OK)
}

/// Starts one container and leaves it to itself.
pub(super) fn background(context: &mut Context, store: &Store, word: &str) -> Result<()> {
    let container = match start::take(store, word)? {
        Taken::Stopped(container) => container,
        Taken::Running(container) => {
            let Some(channel) = start::release(&container)? else { return Ok(()) };
            return leave(context, store, &container.record.id, &channel, &container.record.options);
        }
    };
    let (id, options) = (container.record.id.clone(), container.record.options.clone());
    let watcher = progress::choose(&context.config, false);
    let caller = Caller { notify: notify(context, &options), ..Caller::default() };
    let channel = start::again(store, *container, caller, watcher.as_ref())?;
    leave(context, store, &id, &channel, &options)
}

/// Waits until a container that is left to itself executes its command. Its monitor goes on alone.
pub(super) fn leave(
    context: &mut Context,
    store: &Store,
    id: &str,
    channel: &Channel,
    options: &ContainerOptions,
) -> Result<()> {
    let (pid, notes) = client::await_start(channel)?;
    started(context, store, id, options, pid)?;
    for note in notes {
        context.out.warning(&note);
    }
    Ok(())
}

/// Starts one container and accompanies it.
fn attached(context: &mut Context, store: &Store, word: &str, args: &StartArgs) -> Result<Exit> {
    let keys = detach_keys(args.detach_keys.as_deref())?;
    let container: NewContainer = match start::take(store, word)? {
        Taken::Stopped(container) => *container,
        // docker and podman connect to it then.
        Taken::Running(container) => {
            let sig_proxy = args.sig_proxy.unwrap_or(true);
            return attach::accompany(context, store, &container, args.interactive, sig_proxy, keys);
        }
    };
    let (id, options) = (container.record.id.clone(), container.record.options.clone());
    let sig_proxy = args.sig_proxy.unwrap_or(true);
    let watcher = progress::choose(&context.config, false);
    let signals = client::catch_signals(sig_proxy)?;
    let streams = Attach { stdin: args.interactive, stdout: true, stderr: true };
    let wiring = terminal::wire(args.interactive && options.interactive, options.tty, sig_proxy, streams)?;
    let raw = wiring.raw_mode()?;
    let Wiring { stdio, mut companion, size, .. } = wiring;
    companion.detach = keys;
    let caller = Caller { stdio, size, notify: notify(context, &options), ..Caller::default() };
    let channel = start::again(store, container, caller, watcher.as_ref())?;
    let mut warnings = Vec::new();
    let code = client::accompany(&channel, &signals, companion, |pid, notes| {
        warnings = notes;
        started(context, store, &id, &options, pid)
    });
    drop(raw);
    for warning in warnings {
        context.out.warning(&warning);
    }
    code.map(Exit::from)
}

/// The caller's service manager, if there is one that is to be told.
pub(super) fn notify(context: &Context, options: &ContainerOptions) -> Option<Notify> {
    let address = context.config.env.get("NOTIFY_SOCKET").filter(|a| !a.is_empty())?;
    (options.sdnotify != SdNotify::Ignore).then(|| Notify { address: address.into(), who: options.sdnotify })
}

/// What is due once the command executes: `--pidfile`, `--conmon-pidfile`, `--sdnotify conmon`.
pub(super) fn started(context: &Context, store: &Store, id: &str, options: &ContainerOptions, pid: i32) -> Result<()> {
    if let Some(path) = &options.pidfile {
        write_new(path, &pid.to_string(), true)?;
    }
    let notify = notify(context, options).filter(|n| n.who == SdNotify::Conmon);
    if options.conmon_pidfile.is_none() && notify.is_none() {
        return Ok(());
    }
    let Some(monitor) = Containers::new(store.paths()).load(id)?.state.monitor else { return Ok(()) };
    if let Some(path) = &options.conmon_pidfile {
        write_new(path, &monitor.pid.to_string(), true)?;
    }
    if let Some(notify) = notify {
        notify.ready(monitor.pid as u32);
    }
    Ok(())
}
