//! `runr rm`: containers go.

use super::super::args::container::RmArgs;
use super::super::output::filter::Filters;
use super::super::{Context, Exit, typed};
use super::ps;
use super::select::Selection;
use crate::base::{Error, Kind, Result};
use crate::ops::container_list;
use crate::ops::remove::{self, RemoveOptions};
use crate::state::{Containers, Entry};
use crate::store::Store;
use clap::ArgMatches;

/// `rm`: what can go goes, also when something else cannot.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: RmArgs = typed(matches)?;
    let store = Store::open(&context.config.root)?;
    if args.time.is_some() && !args.force {
        return Err(Error::usage("rm: --time needs --force"));
    }
    let mut words = words(context, &args, &store)?;
    if args.depend {
        words = with_dependants(&store, words)?;
    }
    // A container that went away by itself since it was listed is what was wanted.
    let lenient = args.force || args.ignore || args.all || args.latest || args.depend || !args.filter.is_empty();
    let options = RemoveOptions { force: args.force, stop_seconds: args.time, volumes: args.volumes };
    let mut failed: Option<Error> = None;
    for (word, removed) in words.iter().zip(remove::remove(&store, &words, options)) {
        match removed {
            Ok(_) => context.out.line(word)?,
            Err(e) if lenient && e.kind() == Kind::NotFound => {}
            Err(e) => {
                if let Some(earlier) = failed.replace(e) {
                    context.out.error(&earlier);
                }
            }
        }
    }
    failed.map_or(Ok(Exit::OK), Err)
}

/// Whoever depends on them goes first.
fn with_dependants(store: &Store, words: Vec<String>) -> Result<Vec<String>> {
    let all = Containers::new(store.paths());
    let ids: Vec<String> = words.iter().filter_map(|word| all.resolve(word).ok()).collect();
    let mut list = remove::dependants(store, &ids)?;
    list.extend(words);
    Ok(list)
}

/// What to remove, as typed or by full id.
fn words(context: &Context, args: &RmArgs, store: &Store) -> Result<Vec<String>> {
    let RmArgs { containers, cidfile, all, latest, filter, .. } = args;
    let (ignore, all, latest) = (args.ignore || args.force, *all, *latest);
    let selection = Selection { command: "rm", containers, cidfile, ignore, all, latest, filter };
    if let Some(words) = selection.named(context)? {
        return Ok(words);
    }
    let chosen = selection.chosen(store, &Filters::parse(filter, &ps::FILTERS)?)?;
    let mut words: Vec<String> = chosen.into_iter().map(|c| c.record.id).collect();
    if all && filter.is_empty() {
        // Nothing is known of one that can't be read, so only `--all` means it.
        words.extend(container_list::all(store)?.into_iter().filter_map(|entry| match entry {
            Entry::Damaged { id, .. } | Entry::Newer { id, .. } => Some(id),
            Entry::Good(_) => None,
        }));
    }
    Ok(words)
}
