//! `runr info`, `runr system info`: this runr, its store and this machine.

use super::super::args::system::InfoArgs;
use super::super::output::document;
use super::super::{Context, Exit, typed};
use crate::base::{Result, units};
use crate::ops::info;
use crate::store::Store;
use clap::ArgMatches;
use serde_json::Value;

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
        Some(format) => context.out.text(&document::formatted(&found, format)?)?,
        None => context.out.text(&plain(&found))?,
    }
    Ok(Exit::OK)
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
