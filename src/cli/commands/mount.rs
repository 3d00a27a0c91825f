//! `runr mount`, `runr unmount`, `runr unshare`: a container's files as a folder, and the user namespace in which that works.

use super::super::args::files::{MountArgs, UnmountArgs, UnshareArgs};
use super::super::{Context, Exit, progress, typed};
use super::select;
use crate::base::{Error, Result};
use crate::ops::container_list;
use crate::ops::files::mount::{self, Mounted};
use crate::ops::unshare;
use crate::state::Entry;
use crate::state::containers::short;
use crate::store::Store;
use clap::ArgMatches;
use serde_json::json;

/// `mount`.
pub(crate) fn mount(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: MountArgs = typed(matches)?;
    if !matches!(args.format.as_deref(), None | Some("json")) {
        return Err(Error::usage("mount: `--format` can only be json"));
    }
    let store = Store::open(&context.config.root)?;
    let words = match (args.all, args.latest) {
        (true, _) => all(&store)?,
        (_, true) => vec![select::latest(&store)?],
        _ => args.containers.clone(),
    };
    let watcher = progress::choose(&context.config, true);
    if words.is_empty() && !args.all {
        let list = mount::mounted(&store)?;
        return show(context, &args, &list);
    }
    let list: Vec<Mounted> =
        words.iter().map(|word| mount::mount(&store, word, watcher.as_ref())).collect::<Result<_>>()?;
    match &list[..] {
        [one] if args.format.is_none() && !args.all => {
            context.out.line(&one.path.display().to_string())?;
            Ok(Exit::OK)
        }
        _ => show(context, &args, &list),
    }
}

fn all(store: &Store) -> Result<Vec<String>> {
    Ok(container_list::all(store)?.into_iter().filter_map(Entry::good).map(|c| c.record.id).collect())
}

fn show(context: &mut Context, args: &MountArgs, list: &[Mounted]) -> Result<Exit> {
    if args.format.is_some() {
        let document: Vec<_> = list
            .iter()
            .map(|m| json!({"id": m.id, "Names": [m.name], "mountpoint": m.path, "Repositories": [m.image]}))
            .collect();
        context.out.line(&serde_json::to_string(&document)?)?;
        return Ok(Exit::OK);
    }
    for mounted in list {
        let id = if args.no_trunc { &mounted.id } else { short(&mounted.id) };
        context.out.line(&format!("{id}  {}", mounted.path.display()))?;
    }
    Ok(Exit::OK)
}

/// `unmount`: what can be unmounted is, also when something else cannot.
pub(crate) fn unmount(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: UnmountArgs = typed(matches)?;
    let store = Store::open(&context.config.root)?;
    let words = match (args.all, args.latest) {
        (true, _) => mount::mounted(&store)?.into_iter().map(|m| m.id).collect(),
        (_, true) => vec![select::latest(&store)?],
        _ if args.containers.is_empty() => {
            return Err(Error::usage("unmount: missing argument: CONTAINER").hint("see `runr unmount --help`"));
        }
        _ => args.containers,
    };
    let mut failed: Option<Error> = None;
    for word in &words {
        match mount::unmount(&store, word, args.force) {
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

/// `unshare`.
pub(crate) fn unshare(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: UnshareArgs = typed(matches)?;
    let command = if args.command.is_empty() {
        let shell = context.config.env.get("SHELL").filter(|s| !s.is_empty());
        vec![shell.cloned().unwrap_or_else(|| "/bin/sh".to_owned())]
    } else {
        args.command
    };
    let path = context.config.env.get("PATH").map_or("", String::as_str);
    let status = unshare::run(&command, path)?;
    Ok(Exit::code(u8::try_from(status).unwrap_or(125)))
}
