//! `--log-opt tag=`: a Go template over what docker and podman let a tag say of its container. Where both have a field of one name
//! and mean different things by it (`.ID`), it is docker's.

use crate::base::Result;
use crate::base::template::Template;
use crate::state::containers::short;
use crate::state::record::ContainerRecord;
use serde_json::{Value, json};

/// Checks a template as far as that goes without a container.
pub(super) fn check(template: &str) -> Result<()> {
    Template::parse(template).map(drop)
}

/// The tag of a container.
///
/// Errors: `Usage` for a field that there is none of.
pub(super) fn render(template: &str, record: &ContainerRecord) -> Result<String> {
    if !template.contains("{{") {
        return Ok(template.to_owned());
    }
    Template::parse(template)?.render(&fields(record))
}

fn fields(record: &ContainerRecord) -> Value {
    let image = record.image.as_ref();
    let full = image.map_or_else(String::new, |i| i.id.to_string());
    let bare = full.split_once(':').map_or("", |(_, hex)| hex);
    let name = image.map_or("", |i| i.name.as_str());
    let mut labels = record.execution.labels.clone();
    labels.extend(record.options.labels.clone());
    let environment = [record.execution.env.as_slice(), &record.options.env].concat();
    let (program, arguments) = record.command.split_first().map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
    let host = nix::unistd::gethostname().unwrap_or_default();
    json!({
        "ID": short(&record.id),
        "FullID": record.id,
        "Name": record.name,
        "ImageID": short(bare),
        "ImageFullID": full,
        "ImageName": name,
        "DaemonName": "runr",
        "Hostname": host.to_string_lossy(),
        "Command": record.command.join(" "),
        // What else docker's template sees.
        "ContainerID": record.id,
        "ContainerName": format!("/{}", record.name),
        "ContainerEntrypoint": program,
        "ContainerArgs": arguments,
        "ContainerImageID": full,
        "ContainerImageName": name,
        "ContainerCreated": record.created,
        "ContainerEnv": environment,
        "ContainerLabels": labels,
        // podman's: those of `inspect` that do not change while it runs.
        "Created": record.created,
        "Path": program,
        "Args": arguments,
        "Image": bare,
        "ImageDigest": image.map_or_else(String::new, |i| i.manifest.to_string()),
        "Config": {"Env": environment, "Labels": labels, "Image": name, "Cmd": record.command},
    })
}
