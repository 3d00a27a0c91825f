//! `runr diff`: what changed in a container's or an image's files.

use super::super::args::files::{DiffArgs, ImageDiffArgs};
use super::super::{Context, Exit, progress, typed};
use super::select;
use crate::base::{Error, Result};
use crate::ops::files::diff::{self, Subject};
use crate::rootfs::changes::{Change, ChangeKind};
use crate::store::Store;
use clap::ArgMatches;
use serde_json::{Map, Value};

/// `diff`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    any(context, typed(matches)?, Subject::Any)
}

/// `container diff`.
pub(crate) fn container(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    any(context, typed(matches)?, Subject::Container)
}

/// `image diff`.
pub(crate) fn image(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: ImageDiffArgs = typed(matches)?;
    let store = Store::open(&context.config.root)?;
    show(context, &store, Subject::Image, &args.names, args.format.as_deref())
}

fn any(context: &mut Context, args: DiffArgs, subject: Subject) -> Result<Exit> {
    let store = Store::open(&context.config.root)?;
    let names = match (args.latest, args.names.is_empty()) {
        (true, true) => vec![select::latest(&store)?],
        (true, false) => return Err(Error::usage("diff: --latest and a name cannot be used together")),
        (false, true) => {
            return Err(Error::usage("diff: missing argument: CONTAINER or IMAGE").hint("see `runr diff --help`"));
        }
        (false, false) => args.names,
    };
    show(context, &store, subject, &names, args.format.as_deref())
}

fn show(
    context: &mut Context,
    store: &Store,
    subject: Subject,
    names: &[String],
    format: Option<&str>,
) -> Result<Exit> {
    if !matches!(format, None | Some("" | "json")) {
        return Err(Error::usage("diff: `--format` can only be json"));
    }
    let watcher = progress::choose(&context.config, true);
    let changes = diff::diff(store, subject, &names[0], names.get(1).map(String::as_str), watcher.as_ref())?;
    let text = if format == Some("json") { json(&changes)? } else { lines(&changes) };
    context.out.bytes(&text)?;
    Ok(Exit::OK)
}

/// One line for each change, names as they are.
fn lines(changes: &[Change]) -> Vec<u8> {
    let mut text = Vec::new();
    for change in changes {
        let letter = match change.kind {
            ChangeKind::Added => b'A',
            ChangeKind::Changed => b'C',
            ChangeKind::Deleted => b'D',
        };
        text.extend_from_slice(&[letter, b' ']);
        text.extend_from_slice(&change.path);
        text.push(b'\n');
    }
    text
}

/// podman's document: a list for each kind that there is.
fn json(changes: &[Change]) -> Result<Vec<u8>> {
    let mut document = Map::new();
    for (key, kind) in
        [("changed", ChangeKind::Changed), ("added", ChangeKind::Added), ("deleted", ChangeKind::Deleted)]
    {
        let paths: Vec<Value> = changes
            .iter()
            .filter(|c| c.kind == kind)
            .map(|c| String::from_utf8_lossy(&c.path).into_owned().into())
            .collect();
        if !paths.is_empty() {
            document.insert(key.to_owned(), paths.into());
        }
    }
    let mut bytes = serde_json::to_vec(&document)?;
    bytes.push(b'\n');
    Ok(bytes)
}
