//! `runr container cleanup`: for scripts that podman calls it from.

use super::super::args::housekeeping::CleanupArgs;
use super::super::{Context, Exit, typed};
use crate::base::{Error, Result};
use crate::ops::images::{self, RemoveOptions};
use crate::ops::{cleanup, container_list, containers};
use crate::state::{Containers, Entry};
use crate::store::Store;
use clap::ArgMatches;

/// `container cleanup`: what can be cleaned up is, also when something else cannot.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: CleanupArgs = typed(matches)?;
    let store = Store::open(&context.config.root)?;
    let words = words(&args, &store)?;
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

fn words(args: &CleanupArgs, store: &Store) -> Result<Vec<String>> {
    if !args.all && !args.latest {
        if args.containers.is_empty() {
            return Err(Error::usage("container cleanup: missing argument: CONTAINER")
                .hint("see `runr container cleanup --help`"));
        }
        return Ok(args.containers.clone());
    }
    if !args.containers.is_empty() {
        return Err(Error::usage(
            "container cleanup: containers by name cannot be used together with --all or --latest",
        ));
    }
    let mut found = Vec::new();
    for entry in container_list::all(store)? {
        match entry {
            Entry::Good(container) if args.latest => return Ok(vec![container.record.id]),
            // With --all those that run are left alone.
            Entry::Good(container) if !containers::is_running(&container) => found.push(container.record.id),
            _ => {}
        }
    }
    Ok(found)
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
