//! `runr inspect`, `runr image inspect`, `runr container inspect`: everything about objects, as docker's JSON.

use super::super::args::system::{ContainerInspectArgs, ImageInspectArgs, InspectArgs};
use super::super::output::document;
use super::super::{Context, Exit, typed};
use super::{select, volume};
use crate::base::template::{Kind as Nil, Template, add_fields, mark_map, nil};
use crate::base::{Error, Kind, Result};
use crate::image::Platform;
use crate::ops::{container_inspect, image_list};
use crate::store::Store;
use clap::ArgMatches;
use serde_json::{Map, Value};

/// What is to be shown of which objects.
struct Query {
    format: Option<String>,
    names: Vec<String>,
    wanted: Wanted,
    /// With the size of a container's files.
    size: bool,
    /// The last container that was made, instead of names.
    latest: bool,
    /// What an image must be for.
    platform: Option<Platform>,
}

/// What a name may stand for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Any,
    Container,
    Image,
    Volume,
}

/// `inspect`: containers first, then images and volumes, as docker looks.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: InspectArgs = typed(matches)?;
    let wanted = match args.r#type.as_deref() {
        _ if args.latest => Wanted::Container,
        None | Some("" | "all") => Wanted::Any,
        Some("container") => Wanted::Container,
        Some("image") => Wanted::Image,
        Some("volume") => Wanted::Volume,
        Some(other) => {
            return Err(Error::usage(format!("--type: unknown type `{other}`: use container, image or volume")));
        }
    };
    let (format, names, size, latest) = (args.format, args.names, args.size, args.latest);
    inspect(context, Query { format, names, wanted, size, latest, platform: None })
}

/// `image inspect`.
pub(crate) fn image(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: ImageInspectArgs = typed(matches)?;
    let platform = args.platform.as_deref().map(str::parse).transpose()?;
    let (format, names) = (args.format, args.names);
    inspect(context, Query { format, names, wanted: Wanted::Image, size: false, latest: false, platform })
}

/// `container inspect`.
pub(crate) fn container(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: ContainerInspectArgs = typed(matches)?;
    let (format, names, size, latest) = (args.format, args.names, args.size, args.latest);
    inspect(context, Query { format, names, wanted: Wanted::Container, size, latest, platform: None })
}

fn inspect(context: &mut Context, query: Query) -> Result<Exit> {
    // A mistake in the template is one, whether or not the objects exist. `json` is what is printed without a template.
    let template =
        query.format.as_deref().filter(|text| !matches!(*text, "" | "json")).map(Template::parse).transpose()?;
    let store = Store::open(&context.config.root)?;
    let names = match (query.latest, query.names.is_empty()) {
        (true, true) => vec![select::latest(&store)?],
        (true, false) => return Err(Error::usage("inspect: names cannot be used together with --latest")),
        (false, _) => query.names.clone(),
    };
    let mut found = Vec::new();
    let mut failed = Vec::new();
    for name in &names {
        match one(&store, name, &query) {
            Ok(document) => found.push(document),
            Err(e) => failed.push(e),
        }
    }
    // docker prints what there is before it says what there is not.
    match template {
        Some(template) => {
            for mut document in found {
                show_unset(&mut document);
                context.out.line(&template.render(&document)?)?;
            }
        }
        None => context.out.text(&document::pretty(&Value::Array(found))?)?,
    }
    let Some(last) = failed.pop() else { return Ok(Exit::OK) };
    failed.iter().for_each(|e| context.out.error(e));
    Err(last)
}

fn one(store: &Store, name: &str, query: &Query) -> Result<Value> {
    let missing = |e: &Error| query.wanted == Wanted::Any && matches!(e.kind(), Kind::NotFound | Kind::Usage);
    if query.wanted == Wanted::Volume {
        return volume::document(store, name);
    }
    if query.wanted != Wanted::Image {
        match container_inspect::inspect(store, name, query.size) {
            Err(e) if query.wanted == Wanted::Any && e.kind() == Kind::NotFound => {}
            other => return other,
        }
    }
    let document = match image_list::inspect(store, name) {
        Err(e) if missing(&e) => match volume::document(store, name) {
            Err(e) if missing(&e) => return Err(Error::not_found(format!("no such object: `{name}`"))),
            other => other?,
        },
        other => other?,
    };
    match &query.platform {
        Some(platform) if !is_for(&document, platform) => {
            Err(Error::not_found(format!("image `{name}` is not for platform `{platform}`")))
        }
        _ => Ok(document),
    }
}

/// Gives a template the fields that docker's JSON leaves out when nobody set them, but which its templates find all the same:
/// `{{if .State.Health}}` asks whether there is a health check.
fn show_unset(document: &mut Value) {
    let unset = [
        ("", "SizeRw", nil(Nil::NilPointer)),
        ("", "SizeRootFs", nil(Nil::NilPointer)),
        ("/State", "Health", nil(Nil::NilPointer)),
        ("/State", "Healthcheck", nil(Nil::NilPointer)),
        ("/Config", "ExposedPorts", nil(Nil::NilMap)),
        ("/Config", "Healthcheck", nil(Nil::NilPointer)),
        ("/Config", "MacAddress", "".into()),
        ("/Config", "Shell", nil(Nil::NilList)),
        ("/Config", "StopSignal", "".into()),
        ("/HostConfig", "StorageOpt", nil(Nil::NilMap)),
    ];
    for (object, key, value) in unset {
        if let Some(Value::Object(map)) = document.pointer_mut(object)
            && !map.contains_key(key)
        {
            add_fields(map, Map::from_iter([(key.to_owned(), value)]));
        }
    }
    add_types(document);
    if let Some(Value::Object(map)) = document.pointer_mut("/HostConfig/LogConfig/Config") {
        mark_map(map);
    }
}

/// Lists of docker's that are null in its JSON when nobody set them, and `[]` in a template.
const LISTS: [&str; 18] = [
    "Aliases",
    "Binds",
    "CapAdd",
    "CapDrop",
    "Cmd",
    "DNSNames",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Entrypoint",
    "Env",
    "ExtraHosts",
    "GroupAdd",
    "Links",
    "OnBuild",
    "SecondaryIPAddresses",
    "SecondaryIPv6Addresses",
    "SecurityOpt",
    "VolumesFrom",
];

/// Maps of docker's, whose keys are anybody's.
const MAPS: [&str; 12] = [
    "Annotations",
    "Data",
    "DriverOpts",
    "ExposedPorts",
    "Labels",
    "Networks",
    "PortBindings",
    "Ports",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
];

/// Tells a template what is a list, a map or a pointer in docker's types where JSON has null for each.
fn add_types(value: &mut Value) {
    let Value::Object(map) = value else { return };
    for (key, value) in map.iter_mut() {
        let is_map = MAPS.contains(&key.as_str());
        match value {
            Value::Null if is_map => *value = nil(Nil::NilMap),
            Value::Null if LISTS.contains(&key.as_str()) => *value = nil(Nil::NilList),
            Value::Null => *value = nil(Nil::NilPointer),
            Value::Object(map) if is_map => {
                mark_map(map);
                // The other maps' values are anybody's, or have nothing to tell.
                if key == "Networks" {
                    map.values_mut().for_each(add_types);
                }
            }
            Value::Object(_) => add_types(value),
            _ => {}
        }
    }
}

fn is_for(document: &Value, platform: &Platform) -> bool {
    let variant = document["Variant"].as_str().unwrap_or_default();
    document["Os"] == platform.os.as_str()
        && document["Architecture"] == platform.architecture.as_str()
        && (variant.is_empty() || platform.variant.as_deref().is_none_or(|v| v == variant))
}
