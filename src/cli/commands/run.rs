//! `runr run`: a new container, in the foreground or left to itself.

use super::super::args::container::RunArgs;
use super::super::parse::create::{self, CreateRequest, Origin};
use super::super::parse::process;
use super::super::terminal::{self, Wiring};
use super::super::{Context, Exit, typed};
use super::super::{progress, source};
use crate::base::progress::Progress;
use crate::base::{Doing, Error, Result};
use crate::ops;
use crate::ops::create::{Base, Created};
use crate::spec::ContainerOptions;
use crate::store::{Image, Store};
use crate::supervise::client;
use crate::supervise::process::Stdio;
use crate::userns::IdMap;
use clap::ArgMatches;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// `run`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: RunArgs = typed(matches)?;
    if args.detach && !args.attach.is_empty() {
        return Err(Error::usage("--attach and --detach cannot be used together"));
    }
    let attach = process::attach(&args.attach)?;
    let request = create::request(args.create, &context.config)?;
    let store = Store::open(&context.config.root)?;
    let (created, options) = make(context, &store, request)?;
    if args.detach {
        return leave(context, &store, created, &options);
    }
    // Until here a signal simply ends the command, also in the middle of a pull; what is half made is swept.
    let signals = client::catch_signals(args.sig_proxy)?;
    let wiring = terminal::wire(options.interactive, options.tty, args.sig_proxy, attach)?;
    let raw = wiring.raw_mode()?;
    let Wiring { stdio, companion, size, .. } = wiring;
    let channel = ops::run::start(&store, created, stdio, size, true)?;
    let mut warnings = Vec::new();
    let code = client::accompany(&channel, &signals, companion, |pid, notes| {
        warnings = notes;
        options.pidfile.as_deref().map_or(Ok(()), |path| write_new(path, &pid.to_string(), true))
    });
    drop(raw);
    for warning in warnings {
        context.out.warning(&warning);
    }
    code.map(|code| Exit::code(code as u8))
}

/// `--detach`: starts the container and prints its id. Its monitor goes on alone.
fn leave(context: &mut Context, store: &Store, created: Created, options: &ContainerOptions) -> Result<Exit> {
    let id = created.container.record.id.clone();
    let stdio = Stdio { keep_stdin_open: options.interactive, ..Stdio::default() };
    let channel = ops::run::start(store, created, stdio, None, false)?;
    let (pid, notes) = client::await_start(&channel)?;
    if let Some(path) = &options.pidfile {
        write_new(path, &pid.to_string(), true)?;
    }
    for note in notes {
        context.out.warning(&note);
    }
    context.out.line(&id)?;
    Ok(Exit::OK)
}

/// The container, ready to start, and what was asked of it.
fn make(context: &mut Context, store: &Store, request: CreateRequest) -> Result<(Created, ContainerOptions)> {
    let options = request.options.clone();
    let map = ops::idmap::for_options(&options)?;
    if let Some(path) = options.cidfile.as_ref().filter(|path| path.exists()) {
        return Err(Error::conflict(format!(
            "container id file found, make sure the other container isn't running or delete `{}`",
            path.display()
        )));
    }
    let watcher = progress::choose(&context.config, request.quiet);
    let created = match &request.origin {
        Origin::Folder(folder) => {
            ops::create::create(store, &Base::Folder(folder), request.options, &map, watcher.as_ref())?
        }
        Origin::Image(word) => {
            let image = image(context, store, word, &request, &map, &watcher)?;
            ops::create::create(store, &Base::Image(&image, word), request.options, &map, watcher.as_ref())?
        }
    };
    if let Some(path) = &options.cidfile {
        write_new(path, &created.container.record.id, false)?;
    }
    Ok((created, options))
}

fn image(
    context: &Context,
    store: &Store,
    word: &str,
    request: &CreateRequest,
    map: &IdMap,
    watcher: &Arc<dyn Progress>,
) -> Result<Image> {
    let how = source::obtain(&context.config, &request.source, request.pull, request.platform.clone(), map, watcher)?;
    ops::obtain::image(store, word, &how, watcher.as_ref())
}

fn write_new(path: &Path, text: &str, replace: bool) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    if replace {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .doing(|| format!("write `{}`", path.display()))
}
