//! `runr rmi`: names and images go.

use super::super::args::image::RmiArgs;
use super::super::{Context, Exit, typed};
use crate::base::{Error, Kind, Result};
use crate::image::Reference;
use crate::ops;
use crate::ops::images::{self, RemoveOptions, Removed};
use crate::ops::{containers, image_list};
use crate::store::Store;
use clap::ArgMatches;

/// `rmi`: what can go goes, also when something else cannot.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: RmiArgs = typed(matches)?;
    let store = Store::open(&context.config.root)?;
    let names = if args.all { all(&store)? } else { args.images.clone() };
    let options = RemoveOptions { force: args.force };
    let users = || containers::image_users(&store);
    let mut failed: Option<Error> = None;
    for name in &names {
        let cleared = if args.force { clear(&store, name) } else { Ok(()) };
        match cleared.and_then(|()| images::remove(&store, name, options, &users)) {
            Ok(removed) => {
                for one in removed {
                    context.out.line(&match one {
                        Removed::Untagged(name) => format!("Untagged: {}", shown(&name)),
                        Removed::Deleted(id) => format!("Deleted: {id}"),
                    })?;
                }
            }
            // With --force a missing image is no failure, as with docker.
            Err(e) if e.kind() == Kind::NotFound && (args.ignore || args.force || args.all) => {}
            Err(e) => {
                if let Some(earlier) = failed.replace(e) {
                    context.out.error(&earlier);
                }
            }
        }
    }
    failed.map_or(Ok(Exit::OK), Err)
}

/// `--force`: the containers that use the image go first, as with podman.
fn clear(store: &Store, name: &str) -> Result<()> {
    let containers = images::in_the_way(store, name, &|| containers::image_users(store))?;
    let options = ops::remove::RemoveOptions { force: true, ..Default::default() };
    for removed in ops::remove::remove(store, &containers, options) {
        match removed {
            Err(e) if e.kind() != Kind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// As docker shows it: without `docker.io/library/`. Names that other tools wrote may be anything.
pub(super) fn shown(name: &str) -> String {
    name.parse().map_or_else(|_| name.to_owned(), |reference: Reference| image_list::familiar(&reference))
}

/// Every image by its id.
fn all(store: &Store) -> Result<Vec<String>> {
    Ok(store.images()?.into_iter().map(|image| image.id.to_string()).collect())
}
