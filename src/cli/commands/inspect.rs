//! `runr inspect`, `runr image inspect`, `runr container inspect`: everything about objects, as docker's JSON.

use super::super::args::system::InspectArgs;
use super::super::output::document;
use super::super::template::Template;
use super::super::{Context, Exit, typed};
use crate::base::{Error, Kind, Result};
use crate::ops::inspect;
use crate::store::Store;
use clap::ArgMatches;
use serde_json::Value;

/// `inspect`: containers first, then images, as docker looks.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: InspectArgs = typed(matches)?;
    let wanted = args.r#type.clone();
    inspect_all(context, &args, wanted.as_deref())
}

/// `image inspect`.
pub(crate) fn image(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: InspectArgs = typed(matches)?;
    inspect_all(context, &args, Some("image"))
}

fn inspect_all(context: &mut Context, args: &InspectArgs, wanted: Option<&str>) -> Result<Exit> {
    // A mistake in the template is one, whether or not the objects exist.
    let template = match args.format.as_deref() {
        None => None,
        Some("json") => Some(Template::parse("{{json .}}")?),
        Some(text) => Some(Template::parse(text)?),
    };
    let store = Store::open(&context.config.root)?;
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for name in &args.names {
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
    match store.find_image(name).and_then(|entry| store.load_image(&entry)) {
        Ok(image) => Ok(inspect::image(&image)),
        Err(e) if e.kind() == Kind::NotFound && wanted.is_none() => {
            Err(Error::not_found(format!("no such object: `{name}`")))
        }
        Err(e) => Err(e),
    }
}
