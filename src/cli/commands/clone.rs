//! `runr container clone`: another container with the settings of one that exists.

use super::super::args::life::CloneArgs;
use super::super::args::limits::CountArgs;
use super::super::parse::{limits, names};
use super::super::{Context, Exit, progress, source, typed};
use super::start;
use crate::base::{Error, Result};
use crate::ops;
use crate::ops::create::Base;
use crate::ops::pull::Policy;
use crate::store::Store;
use clap::ArgMatches;

/// `container clone`: prints the new container's id.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: CloneArgs = typed(matches)?;
    if args.force && !args.destroy {
        return Err(Error::usage("--force needs --destroy: it is about the container that is removed"));
    }
    let mut words = args.words.into_iter();
    let word = words.next().unwrap_or_default();
    let (name, image) = (args.name.or(words.next()), words.next());
    if let Some(unexpected) = words.next() {
        return Err(Error::usage(format!("container clone: unexpected argument `{unexpected}`")));
    }
    let name = name.map(|n| names::container(&n)).transpose()?;
    let store = Store::open(&context.config.root)?;
    let from = ops::containers::find(&store, &word)?;
    let mut options = from.record.options.clone();
    options.name = Some(match name {
        Some(name) => name,
        None => ops::create::clone_name(&store, &from.record.name)?,
    });
    // These are files of the other one.
    (options.cidfile, options.pidfile, options.conmon_pidfile) = (None, None, None);
    options.limits.update(&limits::limits(&args.limits, &CountArgs::default())?);
    options.limits.check()?;
    let attached = from.state.attached;
    let (map, watcher) = (from.record.map.clone(), progress::choose(&context.config, false));
    let created = match &image {
        Some(word) => {
            let how = source::obtain(&context.config, &args.source, Policy::Missing, None, &map, &watcher)?;
            let image = ops::obtain::image(&store, word, &how, watcher.as_ref())?;
            ops::create::create(&store, &Base::Image(&image, word), options, attached, &map, watcher.as_ref())?
        }
        None => ops::create::create(&store, &Base::Record(&from.record), options, attached, &map, watcher.as_ref())?,
    };
    let id = created.container.record.id.clone();
    // Its lock is free from here on.
    drop(created);
    if args.destroy {
        ops::containers::remove(&store, &from.record.id, args.force)?;
    }
    if args.run {
        start::background(context, &store, &id)?;
    }
    context.out.line(&id)?;
    Ok(Exit::OK)
}
