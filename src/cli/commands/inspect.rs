//! `runr inspect`, `runr image inspect`, `runr container inspect`: everything about objects, as docker's JSON.

use super::super::args::system::{ContainerInspectArgs, ImageInspectArgs, InspectArgs};
use super::super::output::document;
use super::super::template::Template;
use super::super::{Context, Exit, typed};
use crate::base::{Error, Kind, Result};
use crate::ops::{container_inspect, image_list};
use crate::store::Store;
use clap::ArgMatches;
use serde_json::Value;

/// What a name may stand for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Any,
    Container,
    Image,
}

/// `inspect`: containers first, then images, as docker looks.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: InspectArgs = typed(matches)?;
    let wanted = match args.r#type.as_deref() {
        None | Some("" | "all") => Wanted::Any,
        Some("container") => Wanted::Container,
        Some("image") => Wanted::Image,
        Some(other) => return Err(Error::usage(format!("--type: unknown type `{other}`: use container or image"))),
    };
    inspect_all(context, args.format.as_deref(), &args.names, wanted, args.size)
}

/// `image inspect`.
pub(crate) fn image(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: ImageInspectArgs = typed(matches)?;
    inspect_all(context, args.format.as_deref(), &args.names, Wanted::Image, false)
}

/// `container inspect`.
pub(crate) fn container(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: ContainerInspectArgs = typed(matches)?;
    inspect_all(context, args.format.as_deref(), &args.names, Wanted::Container, args.size)
}

fn inspect_all(
    context: &mut Context,
    format: Option<&str>,
    names: &[String],
    wanted: Wanted,
    size: bool,
) -> Result<Exit> {
    // A mistake in the template is one, whether or not the objects exist.
    let template = match format {
        None => None,
        Some("json") => Some(Template::parse("{{json .}}")?),
        Some(text) => Some(Template::parse(text)?),
    };
    let store = Store::open(&context.config.root)?;
    let mut found = Vec::new();
    let mut failed = Vec::new();
    for name in names {
        match one(&store, name, wanted, size) {
            Ok(document) => found.push(document),
            Err(e) => failed.push(e),
        }
    }
    // docker prints what there is before it says what there is not.
    match template {
        Some(template) => {
            for document in &found {
                context.out.line(&template.render(document)?)?;
            }
        }
        None => context.out.text(&document::pretty(&Value::Array(found))?)?,
    }
    let Some(last) = failed.pop() else { return Ok(Exit::OK) };
    failed.iter().for_each(|e| context.out.error(e));
    Err(last)
}

fn one(store: &Store, name: &str, wanted: Wanted, size: bool) -> Result<Value> {
    let missing = |e: &Error| wanted == Wanted::Any && matches!(e.kind(), Kind::NotFound | Kind::Usage);
    if wanted != Wanted::Image {
        match container_inspect::inspect(store, name, size) {
            Err(e) if missing(&e) => {}
            other => return other,
        }
    }
    match image_list::inspect(store, name) {
        Err(e) if missing(&e) => Err(Error::not_found(format!("no such object: `{name}`"))),
        other => other,
    }
}
