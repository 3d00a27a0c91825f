//! `runr rm`: containers go.

use super::super::args::container::RmArgs;
use super::super::output::filter::Filters;
use super::super::{Context, Exit, typed};
use super::ps;
use crate::base::{Doing, Error, Kind, Result, fsx};
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
    let options = RemoveOptions { force: args.force, stop_seconds: args.time };
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
    let mut words = args.containers.clone();
    for file in &args.cidfile {
        match fsx::read_to_string(&context.config.working_dir.join(file)) {
            Ok(text) => words.push(text.trim().to_owned()),
            Err(e) if e.is_missing() && (args.ignore || args.force) => {}
            Err(e) => return Err(e).doing(|| "--cidfile"),
        }
    }
    let selects = args.all || args.latest || !args.filter.is_empty();
    if !selects {
        if words.is_empty() && args.cidfile.is_empty() {
            return Err(Error::usage("rm: missing argument: CONTAINER").hint("see `runr rm --help`"));
        }
        return Ok(words);
    }
    if !words.is_empty() {
        return Err(Error::usage("rm: containers by name cannot be used together with --all, --filter or --latest"));
    }
    let filters = Filters::parse(&args.filter, &ps::FILTERS)?;
    let mut good = Vec::new();
    for entry in container_list::all(store)? {
        match entry {
            Entry::Good(container) => good.push(*container),
            // Nothing is known of a damaged one, so only `--all` means it.
            Entry::Damaged { id, .. } if args.all && args.filter.is_empty() => words.push(id),
            Entry::Damaged { .. } => {}
        }
    }
    let mut chosen = ps::filtered(store, good, &filters)?;
    if args.latest {
        chosen.truncate(1);
    }
    words.extend(chosen.into_iter().map(|c| c.record.id));
    Ok(words)
}
