//! `runr container cleanup`: for scripts that podman calls it from.

use super::super::args::housekeeping::CleanupArgs;
use super::super::output::filter::Filters;
use super::super::{Context, Exit, typed};
use super::select::Selection;
use crate::base::{Error, Result};
use crate::ops::images::{self, RemoveOptions};
use crate::ops::{cleanup, containers};
use crate::state::Containers;
use crate::store::Store;
use clap::ArgMatches;

/// `container cleanup`: what can be cleaned up is, also when something else cannot.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: CleanupArgs = typed(matches)?;
    let store = Store::open(&context.config.root)?;
    let words = words(context, &args, &store)?;
    if args.exec.is_some() && words.len() != 1 {
        return Err(Error::usage("container cleanup: --exec needs exactly one container"));
    }
    let mut failed: Option<Error> = None;
    for word in &words {
        match one(&store, word, &args) {
            Ok(id) => context.out.line(&id)?,
            Err(e) => {
                if let Some(earlier) = failed.replace(e) {
                    context.out.error(&earlier);
                }
            }
        }
    }
    failed.map_or(Ok(Exit::OK), Err)
}

fn words(context: &Context, args: &CleanupArgs, store: &Store) -> Result<Vec<String>> {
    let CleanupArgs { containers: names, all, latest, .. } = args;
    let (command, all, latest) = ("container cleanup", *all, *latest);
    let selection = Selection { command, containers: names, cidfile: &[], ignore: false, all, latest, filter: &[] };
    if let Some(words) = selection.named(context)? {
        return Ok(words);
    }
    let mut chosen = selection.chosen(store, &Filters::default())?;
    // With --all those that run are left alone.
    chosen.retain(|container| latest || !containers::is_running(container));
    Ok(chosen.into_iter().map(|c| c.record.id).collect())
}

fn one(store: &Store, word: &str, args: &CleanupArgs) -> Result<String> {
    if args.exec.is_some() {
        // A session ends with the container, and while that runs its monitor looks after it.
        return Ok(Containers::new(store.paths()).find(word)?.record.id);
    }
    let image = Containers::new(store.paths()).find(word)?.record.image;
    let id = cleanup::cleanup(store, word)?;
    if args.rm {
        match containers::remove(store, &id, false) {
            Err(e) if e.kind() == crate::base::Kind::NotFound => {}
            other => drop(other?),
        }
    }
    if let (true, Some(image)) = (args.rmi, image) {
        let users = || containers::image_users(store);
        images::remove(store, &image.id.to_string(), RemoveOptions { force: false }, &users)?;
    }
    Ok(id)
}
