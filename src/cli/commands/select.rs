//! Which containers a command means: named, read from `--cidfile`, or all that fit.

use super::super::Context;
use super::super::args::lifecycle::SelectArgs;
use super::super::output::filter::Filters;
use super::ps;
use crate::base::{Doing, Error, Result, fsx};
use crate::ops::container_list;
use crate::state::Entry;
use crate::state::containers::Container;
use crate::store::Store;

/// What the command line says of which containers are meant.
pub(super) struct Selection<'a> {
    /// The command's name, for errors.
    pub(super) command: &'a str,
    /// Names, ids or their beginnings, as typed.
    pub(super) containers: &'a [String],
    /// `--cidfile`: files with an id each.
    pub(super) cidfile: &'a [String],
    /// Pass over what is missing: a cidfile, the last container.
    pub(super) ignore: bool,
    /// `--all`.
    pub(super) all: bool,
    /// `--latest`; the last one that fits `--filter`.
    pub(super) latest: bool,
    /// `--filter`.
    pub(super) filter: &'a [String],
}

impl<'a> Selection<'a> {
    fn of(command: &'a str, args: &'a SelectArgs, filter: &'a [String], ignore: bool) -> Self {
        let SelectArgs { all, cidfile, latest, containers } = args;
        Self { command, containers, cidfile, ignore, all: *all, latest: *latest, filter }
    }

    /// The words, when containers are named; `None` when they are to be [chosen](Self::chosen).
    pub(super) fn named(&self, context: &Context) -> Result<Option<Vec<String>>> {
        let Self { command, .. } = self;
        let mut words = self.containers.to_vec();
        for file in self.cidfile {
            match fsx::read_to_string(&context.config.working_dir.join(file)) {
                Ok(text) => words.push(text.trim().to_owned()),
                Err(e) if e.is_missing() && self.ignore => {}
                Err(e) => return Err(e).doing(|| "--cidfile"),
            }
        }
        if !self.all && !self.latest && self.filter.is_empty() {
            if words.is_empty() && self.cidfile.is_empty() {
                let e = Error::usage(format!("{command}: missing argument: CONTAINER"));
                return Err(e.hint(format!("see `runr {command} --help`")));
            }
            return Ok(Some(words));
        }
        if !words.is_empty() {
            let with = "cannot be used together with --all, --filter or --latest";
            return Err(Error::usage(format!("{command}: containers by name {with}")));
        }
        Ok(None)
    }

    /// Those that `filters`, read from `self.filter`, leave of all that can be read, the youngest first; only that one with
    /// `--latest`.
    pub(super) fn chosen(&self, store: &Store, filters: &Filters) -> Result<Vec<Container>> {
        let mut chosen = ps::filtered(store, good(store)?, filters)?;
        if self.latest {
            chosen.truncate(1);
            if chosen.is_empty() && !self.ignore {
                return Err(no_container());
            }
        }
        Ok(chosen)
    }
}

/// The words to act on: as typed, or full ids. `fits` says which of all containers `--all` means; `filter` narrows them down;
/// `ignore` passes over a missing cidfile.
pub(super) fn words(
    context: &Context,
    store: &Store,
    command: &str,
    args: &SelectArgs,
    filter: &[String],
    ignore: bool,
    fits: impl Fn(&Container) -> bool,
) -> Result<Vec<String>> {
    let selection = Selection::of(command, args, filter, ignore);
    if let Some(words) = selection.named(context)? {
        return Ok(words);
    }
    let mut chosen = selection.chosen(store, &Filters::parse(filter, &ps::FILTERS)?)?;
    if !args.latest {
        chosen.retain(fits);
    }
    Ok(chosen.into_iter().map(|c| c.record.id).collect())
}

/// The last container that was made.
pub(super) fn latest(store: &Store) -> Result<String> {
    let newest = good(store)?.into_iter().next();
    newest.map(|c| c.record.id).ok_or_else(no_container)
}

/// What `--latest` says where there is none.
fn no_container() -> Error {
    Error::not_found("there is no container")
}

fn good(store: &Store) -> Result<Vec<Container>> {
    Ok(container_list::all(store)?.into_iter().filter_map(Entry::good).collect())
}

/// Does `act` to each word and prints the word; what fails is told, the last failure is the command's.
pub(super) fn each(
    context: &mut Context,
    words: &[String],
    mut act: impl FnMut(&mut Context, &str) -> Result<()>,
) -> Result<()> {
    let mut failed: Option<Error> = None;
    for word in words {
        match act(context, word) {
            Ok(()) => context.out.line(word)?,
            Err(e) => {
                if let Some(earlier) = failed.replace(e) {
                    context.out.error(&earlier);
                }
            }
        }
    }
    failed.map_or(Ok(()), Err)
}
