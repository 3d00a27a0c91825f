//! JSON documents (`inspect`, `info`, `version`): whole, or through a template.

use crate::base::Result;
use crate::base::template::Template;
use serde_json::Value;

/// One document by `--format`: `json` for one line of JSON, else a template.
pub(crate) fn formatted(document: &Value, format: &str) -> Result<String> {
    let template = Template::parse(if format == "json" { "{{json .}}" } else { format })?;
    Ok(template.render(document)? + "\n")
}

/// Indented by four spaces, as docker's `inspect` prints.
pub(crate) fn pretty(document: &Value) -> Result<String> {
    let mut bytes = Vec::new();
    let style = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, style);
    serde::Serialize::serialize(document, &mut serializer)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned() + "\n")
}
