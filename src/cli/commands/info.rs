//! `runr info`, `runr system info`: this runr, its store and this machine.

use super::super::args::system::InfoArgs;
use super::super::output::document;
use super::super::{Context, Exit, typed};
use crate::base::template::{add_fields, with_fields};
use crate::base::{Result, units};
use crate::ops::info;
use crate::store::Store;
use clap::ArgMatches;
use serde_json::{Map, Value};

/// What `info` prints, as labels and places in the document.
const LINES: [(&str, &str); 14] = [
    ("Version", "/ServerVersion"),
    ("Root folder", "/DockerRootDir"),
    ("Images", "/Images"),
    ("Containers", "/Containers"),
    (" Running", "/ContainersRunning"),
    (" Stopped", "/ContainersStopped"),
    ("Storage", "/Driver"),
    ("Rootless", "/Host/Security/Rootless"),
    ("Cgroup version", "/CgroupVersion"),
    ("Cgroup driver", "/CgroupDriver"),
    ("Kernel", "/KernelVersion"),
    ("Operating system", "/OperatingSystem"),
    ("Architecture", "/Architecture"),
    ("CPUs", "/NCPU"),
];

/// `info`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: InfoArgs = typed(matches)?;
    let store = Store::open(&context.config.root)?;
    let found = info::info(&store)?;
    match &args.format {
        Some(format) => context.out.text(&document::formatted(&with_podmans(found), format)?)?,
        None => context.out.text(&plain(&found))?,
    }
    Ok(Exit::OK)
}

/// podman's parts of the document: its templates have Go's names, its JSON others.
fn with_podmans(mut document: Value) -> Value {
    let Value::Object(map) = &mut document else { return document };
    for part in ["Host", "Store", "Version"] {
        let Some(value) = map.remove(part) else { continue };
        map.insert(part.to_lowercase(), if part == "Version" { value.clone() } else { respelled(&value) });
        // What a template shows of it as JSON is podman's spelling, too.
        add_fields(map, Map::from_iter([(part.to_owned(), doubled(value, part != "Version"))]));
    }
    document
}

/// An object with podman's JSON names, in which a template finds Go's.
fn doubled(value: Value, respell: bool) -> Value {
    match value {
        Value::Object(map) if respell => {
            let shown = map.iter().map(|(key, value)| (json_name(key), respelled(value))).collect();
            with_fields(shown, map.into_iter().map(|(key, value)| (key, doubled(value, true))).collect())
        }
        Value::Array(list) => list.into_iter().map(|value| doubled(value, respell)).collect(),
        other => other,
    }
}

fn respelled(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| (json_name(key), respelled(value))).collect(),
        Value::Array(list) => list.iter().map(respelled).collect(),
        other => other.clone(),
    }
}

/// podman's name in JSON for a field of Go's.
fn json_name(field: &str) -> String {
    let odd = [
        ("AppArmorEnabled", "apparmorEnabled"),
        ("CgroupsVersion", "cgroupVersion"),
        ("ContainerID", "container_id"),
        ("GIDMap", "gidmap"),
        ("HostID", "host_id"),
        ("IDMappings", "idMappings"),
        ("OCIRuntime", "ociRuntime"),
        ("OS", "os"),
        ("CPUs", "cpus"),
        ("SECCOMPEnabled", "seccompEnabled"),
        ("SELinuxEnabled", "selinuxEnabled"),
        ("UIDMap", "uidmap"),
    ];
    if let Some((_, name)) = odd.iter().find(|(go, _)| *go == field) {
        return (*name).to_owned();
    }
    let mut letters = field.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn plain(found: &Value) -> String {
    let show = |place: &str| match found.pointer(place) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let mut text: String = LINES.iter().map(|(label, place)| format!("{label}: {}\n", show(place))).collect();
    let memory = found.pointer("/MemTotal").and_then(Value::as_u64).unwrap_or(0);
    text.push_str(&format!("Memory: {}\nName: {}\n", units::human_size(memory), show("/Name")));
    text
}
