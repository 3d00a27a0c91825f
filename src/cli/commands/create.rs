//! `runr create`: a new container that is not started; and the part of it that `run` shares.

use super::super::args::life::CreateCommandArgs;
use super::super::parse::create::{self, CreateRequest, Origin};
use super::super::parse::process;
use super::super::{Context, Exit, typed};
use super::super::{progress, source};
use crate::base::progress::Progress;
use crate::base::{Doing, Error, Kind, Result};
use crate::ops;
use crate::ops::create::{Base, Created};
use crate::spec::{ContainerOptions, ports};
use crate::store::{Image, Store};
use crate::userns::IdMap;
use clap::ArgMatches;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// `create`: prints the new container's id.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: CreateCommandArgs = typed(matches)?;
    let attach = process::attach(&args.attach)?;
    let mut request = create::request(args.create, &context.config)?;
    request.attached(attach, !args.attach.is_empty());
    let store = Store::open(&context.config.root)?;
    let made = make(context, &store, request)?;
    context.out.line(&made.created.container.record.id)?;
    Ok(Exit::OK)
}

/// A container that was just made for a command.
pub(super) struct Made {
    pub(super) created: Created,
    pub(super) options: ContainerOptions,
    /// Who watches the pull, and whatever else of it takes time.
    pub(super) watcher: Arc<dyn Progress>,
}

/// The container, ready to start, and what was asked of it.
pub(super) fn make(context: &Context, store: &Store, mut request: CreateRequest) -> Result<Made> {
    for word in &mut request.options.requires {
        *word = ops::containers::find(store, word).doing(|| "--requires")?.record.id;
    }
    ops::joins::pin(store, &mut request.options)?;
    ops::volumes_from::add(store, &mut request.options)?;
    let (options, attached) = (request.options.clone(), request.attached);
    let map = ops::idmap::for_options(store, &options)?;
    if let Some(path) = options.cidfile.as_ref().filter(|path| path.exists()) {
        return Err(Error::conflict(format!(
            "container id file found, make sure the other container isn't running or delete `{}`",
            path.display()
        )));
    }
    let watcher = progress::choose(&context.config, request.quiet);
    let replaced = options.name.as_deref().filter(|_| request.replace);
    let created = match &request.origin {
        Origin::Folder(folder) => {
            let is_folder = folder.metadata().doing(|| format!("--rootfs: look at `{}`", folder.display()))?.is_dir();
            if !is_folder {
                return Err(Error::usage(format!("--rootfs: `{}` is no folder", folder.display())));
            }
            replace(store, replaced)?;
            ops::create::create(store, &Base::Folder(folder), request.options, attached, &map, watcher.as_ref())?
        }
        Origin::Image(word) => {
            let image = image(context, store, word, &request, &map, &watcher)?;
            // Only now: without the image the old container is better than none.
            replace(store, replaced)?;
            ops::create::create(store, &Base::Image(&image, word), request.options, attached, &map, watcher.as_ref())?
        }
    };
    if let Some(warning) = ports::discarded(&options) {
        context.out.warning(&warning);
    }
    if let Some(path) = &options.cidfile {
        write_new(path, &created.container.record.id, false)?;
    }
    Ok(Made { created, options, watcher })
}

/// `--replace`: removes who has the name.
fn replace(store: &Store, name: Option<&str>) -> Result<()> {
    let Some(name) = name else { return Ok(()) };
    match ops::containers::remove(store, name, true) {
        Err(e) if e.kind() != Kind::NotFound => Err(e).doing(|| "--replace"),
        _ => Ok(()),
    }
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

/// Writes a file for the caller; one that is there is replaced, or refused.
pub(super) fn write_new(path: &Path, text: &str, replace: bool) -> Result<()> {
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
