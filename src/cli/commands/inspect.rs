//! `runr inspect`, `runr image inspect`, `runr container inspect`: everything about objects, as docker's JSON.

use super::super::args::system::{ImageInspectArgs, InspectArgs};
use super::super::output::document;
use super::super::template::Template;
use super::super::{Context, Exit, typed};
use crate::base::{Error, Kind, Result};
use crate::ops::image_list;
use crate::store::Store;
use clap::ArgMatches;
use serde_json::Value;

/// `inspect`: containers first, then images, as docker looks.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: InspectArgs = typed(matches)?;
    inspect_all(context, args.format.as_deref(), &args.names, args.r#type.as_deref())
}

/// `image inspect`.
pub(crate) fn image(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: ImageInspectArgs = typed(matches)?;
    inspect_all(context, args.format.as_deref(), &args.names, Some("image"))
}

fn inspect_all(context: &mut Context, format: Option<&str>, names: &[String], wanted: Option<&str>) -> Result<Exit> {
    // A mistake in the template is one, whether or not the objects exist.
    let template = match format {
        None => None,
        Some("json") => Some(Template::parse("{{json .}}")?),
        Some(text) => Some(Template::parse(text)?),
    };
    let store = Store::open(&context.config.root)?;
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for name in names {
        match one(&store, name, wanted) {
            Ok(document) => found.push(document),
            Err(e) => missing.push(e),
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
    let Some(last) = missing.pop() else { return Ok(Exit::OK) };
    missing.iter().for_each(|e| context.out.error(e));
    Err(last)
}

fn one(store: &Store, name: &str, wanted: Option<&str>) -> Result<Value> {
    match wanted {
        None | Some("all" | "image") => {}
        Some(other) => return Err(Error::usage(format!("--type: unknown type `{other}`: use container or image"))),
    }
    match image_list::inspect(store, name) {
        Ok(document) => Ok(document),
        Err(e) if e.kind() == Kind::NotFound && wanted.is_none() => {
            Err(Error::not_found(format!("no such object: `{name}`")))
        }
        Err(e) => Err(e),
    }
}
