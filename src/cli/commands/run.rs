//! `runr run`: a new container, in the foreground or left to itself.

use super::super::args::container::RunArgs;
use super::super::parse::create;
use super::super::parse::keys::detach_keys;
use super::super::parse::process;
use super::super::passed::passed;
use super::super::terminal::{self, Wiring};
use super::super::{Context, Exit, typed};
use super::create::{Made, make};
use super::start::{leave, notify, started};
use crate::base::{Error, Result};
use crate::ops;
use crate::ops::linger;
use crate::ops::start::Caller;
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
    if !args.attach.is_empty() && args.create.lifecycle.log_driver.as_deref() == Some("passthrough") {
        return Err(Error::usage("--attach and --log-driver passthrough cannot be used together"));
    }
    let keys = detach_keys(args.detach_keys.as_deref())?;
    let mut request = create::request(args.create, &context.config)?;
    request.options.accounts.off = !args.passwd;
    if !args.detach {
        request.attached(attach, !args.attach.is_empty());
    }
    if args.rmi {
        request.options.remove = true;
        request.options.remove_image = true;
    }
    let passed = passed(args.preserve_fds, &args.preserve_fd, request.options.init, &context.config)?;
    let store = Store::open(&context.config.root)?;
    let Made { created, options, watcher } = make(context, &store, request)?;
    let (id, notify) = (created.container.record.id.clone(), notify(context, &options));
    if args.detach {
        let caller = Caller {
            stdio: Stdio { passed: passed.descriptors, ..Stdio::default() },
            env: passed.env,
            notify,
            size: None,
            hold: false,
        };
        let channel = ops::start::first(&store, created, caller, watcher.as_ref())?;
        leave(context, &store, &id, &channel, &options)?;
        if linger::ends_with_session() {
            context.out.warning(linger::WARNING);
        }
        context.out.line(&id)?;
        return Ok(Exit::OK);
    }
    terminal::check_input(&context.out, options.interactive && attach.stdin, options.tty);
    let record = options.remove_image.then(|| created.container.record.clone());
    // Until here a signal simply ends the command, also in the middle of a pull; what is half made is swept.
    let signals = client::catch_signals(args.sig_proxy)?;
    let wiring = terminal::wire(options.interactive, options.tty, args.sig_proxy, attach)?;
    let raw = wiring.raw_mode()?;
    let Wiring { mut stdio, mut companion, size, .. } = wiring;
    companion.detach = keys;
    stdio.passed = passed.descriptors;
    let caller = Caller { stdio, size, env: passed.env, notify, hold: false };
    let channel = ops::start::first(&store, created, caller, watcher.as_ref())?;
    let mut warnings = Vec::new();
    let code = client::accompany(&channel, &signals, companion, |pid, notes| {
        warnings = notes;
        if !attach.stdout && !attach.stderr {
            // With nothing of it to be seen, docker and podman print what it is called.
            context.out.line(&id)?;
        }
        started(context, &store, &id, &options, pid)
    });
    drop(raw);
    for warning in warnings {
        context.out.warning(&warning);
    }
    // The monitor does so, too, but nobody waits for that one.
    if let Some(record) = record.filter(|_| matches!(code, Ok(client::End::Exited(_))))
        && let Err(e) = ops::images::remove_after(&store, &record)
    {
        context.out.warning(&format!("the image stays: {e}"));
    }
    code.map(Exit::from)
}
