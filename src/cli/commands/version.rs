//! `runr version`, `runr --version`.

use super::super::args::system::VersionArgs;
use super::super::output::document;
use super::super::{Context, Exit, typed};
use crate::base::Result;
use crate::base::template::add_fields;
use crate::image::Platform;
use crate::ops::info;
use clap::ArgMatches;
use serde_json::Value;

/// The line of `--version`.
pub(crate) fn one_line() -> String {
    format!("runr version {}", env!("CARGO_PKG_VERSION"))
}

/// What a template finds: podman's has the client's fields at the top as well.
fn document() -> Value {
    let mut document = info::version();
    if let Some(Value::Object(client)) = document.get("Client").cloned()
        && let Value::Object(map) = &mut document
    {
        add_fields(map, client);
    }
    document
}

/// `version`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: VersionArgs = typed(matches)?;
    match &args.format {
        Some(format) => context.out.text(&document::formatted(&document(), format)?)?,
        None => context.out.text(&format!("{}\nOS/Arch: {}\n", one_line(), Platform::host()))?,
    }
    Ok(Exit::OK)
}
