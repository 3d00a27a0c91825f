//! `runr top`: the processes of a container.

use super::super::args::view::TopArgs;
use super::super::output::table::Table;
use super::super::{Context, Exit, typed};
use super::select;
use crate::base::{Error, Result};
use crate::ops::{containers, top};
use crate::store::Store;
use clap::ArgMatches;

/// `top`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: TopArgs = typed(matches)?;
    let store = Store::open(&context.config.root)?;
    let mut words = args.words;
    let name = if args.latest {
        select::latest(&store)?
    } else if words.is_empty() {
        return Err(Error::usage("top: missing argument: CONTAINER").hint("see `runr top --help`"));
    } else {
        words.remove(0)
    };
    top::check(&words)?;
    let container = containers::find(&store, &name)?;
    let processes = top::table(&container, &words)?;
    let mut table = Table::default();
    if let Some(head) = processes.head {
        table.row(head);
    }
    processes.rows.into_iter().for_each(|row| table.row(row));
    context.out.text(&table.render())?;
    Ok(Exit::OK)
}
