//! `runr volume …`: folders with a name that outlive containers.

use super::super::args::volume::{
    VolumeCreateArgs, VolumeExistsArgs, VolumeInspectArgs, VolumeLsArgs, VolumePruneArgs, VolumeRmArgs,
};
use super::super::ask::confirm;
use super::super::output::filter::Filters;
use super::super::output::listing::{self, Format};
use super::super::output::{document, time};
use super::super::parse::mount::volume_driver;
use super::super::parse::names;
use super::super::{Context, Exit, typed};
use crate::base::template::{Template, mark_map};
use crate::base::{Error, Kind, Result, moment, units};
use crate::ops::volumes::{self, NewVolume, PrunedVolumes, Volume};
use crate::store::Store;
use crate::store::volumes::{VolumeEntry, VolumeRecord};
use clap::ArgMatches;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const TITLES: [(&str, &str); 8] = [
    ("Driver", "DRIVER"),
    ("Name", "VOLUME NAME"),
    ("Scope", "SCOPE"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
    ("CreatedAt", "CREATED AT"),
];

pub(crate) const FILTERS: [&str; 10] =
    ["name", "label", "label!", "dangling", "driver", "scope", "opt", "anonymous", "since", "until"];
pub(crate) const PRUNE_FILTERS: [&str; 7] = ["label", "label!", "name", "since", "until", "all", "anonymous"];

/// `volume create`: prints the name.
pub(crate) fn create(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: VolumeCreateArgs = typed(matches)?;
    volume_driver(&args.driver)?;
    let labels = args.label.iter().map(|text| names::label(text)).collect::<Result<_>>()?;
    let options = args.opt.iter().map(|text| option(text)).collect::<Result<_>>()?;
    let name = args.name.filter(|name| !name.is_empty());
    let store = Store::open(&context.config.root)?;
    let name = volumes::create(&store, NewVolume { name, labels, options, ignore: args.ignore })?;
    context.out.line(&name)?;
    Ok(Exit::OK)
}

fn option(text: &str) -> Result<(String, String)> {
    let (key, value) =
        text.split_once('=').ok_or_else(|| Error::usage(format!("invalid volume option `{text}`: use KEY=VALUE")))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// `volume ls`.
pub(crate) fn ls(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: VolumeLsArgs = typed(matches)?;
    let filters = Filters::parse(&args.filter, &FILTERS)?;
    let format = Format::parse(args.format.as_deref(), "{{.Driver}}\t{{.Name}}")?;
    let store = Store::open(&context.config.root)?;
    let volumes = chosen(volumes::list(&store)?, &filters)?;
    let text = if args.quiet {
        volumes.iter().map(|v| format!("{}\n", v.entry.name())).collect()
    } else {
        let rows: Vec<Value> = volumes.iter().map(row).collect();
        listing::render(&rows, &TITLES, &format, !args.noheading)?
    };
    context.out.text(&text)?;
    for volume in &volumes {
        if let VolumeEntry::Damaged { error, .. } = &volume.entry {
            context.out.warning(&error.to_string());
        }
    }
    Ok(Exit::OK)
}

/// docker's line, and what podman's has besides.
fn row(volume: &Volume) -> Value {
    let record = record(volume);
    let pairs = |map: &BTreeMap<String, String>| {
        map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    };
    json!({
        "Availability": "N/A", "Driver": "local", "Group": "N/A", "Labels": pairs(&record.labels), "Links": "N/A",
        "Mountpoint": volume.mountpoint, "Name": record.name, "Scope": "local", "Size": "N/A", "Status": "N/A",
        "Options": pairs(&record.options), "CreatedAt": record.created, "Anonymous": record.anonymous,
        "MountCount": volume.users.len(),
    })
}

/// What is known of it: of a damaged one no more than its name.
fn record(volume: &Volume) -> VolumeRecord {
    match &volume.entry {
        VolumeEntry::Good(record) => record.clone(),
        VolumeEntry::Damaged { name, .. } => VolumeRecord { created: String::new(), ..VolumeRecord::new(name) },
    }
}

fn chosen(volumes: Vec<Volume>, filters: &Filters) -> Result<Vec<Volume>> {
    let now = Timestamp::now();
    let times =
        |key: &'static str| filters.values(key).map(|text| moment::parse(text, now)).collect::<Result<Vec<_>>>();
    let (since, until) = (times("since")?, times("until")?);
    let patterns: Vec<regex_lite::Regex> = filters
        .values("name")
        .map(|text| regex_lite::Regex::new(text).map_err(|e| Error::usage(format!("filter name `{text}`: {e}"))))
        .collect::<Result<_>>()?;
    let flag = |key: &'static str, is: bool| -> Result<bool> {
        for wanted in filters.values(key) {
            let wanted = units::parse_bool(wanted)
                .ok_or_else(|| Error::usage(format!("filter {key}: `{wanted}` is neither true nor false")))?;
            if wanted != is {
                return Ok(false);
            }
        }
        Ok(true)
    };
    let mut left = Vec::new();
    for volume in volumes {
        let record = record(&volume);
        let created = time::parse(&record.created);
        let opt = |wanted: &str| match wanted.split_once('=') {
            Some((key, value)) => record.options.get(key).is_some_and(|v| v == value),
            None => record.options.contains_key(wanted),
        };
        let fits = (patterns.is_empty() || patterns.iter().any(|p| p.is_match(&record.name)))
            && filters.labels(&record.labels)
            && filters.any("driver", |driver| driver == "local")
            && filters.any("scope", |scope| scope == "local")
            && filters.any("opt", opt)
            && flag("dangling", volume.users.is_empty())?
            && flag("anonymous", record.anonymous)?
            && since.iter().all(|t| created.is_some_and(|c| c > *t))
            && until.iter().all(|t| created.is_some_and(|c| c < *t));
        if fits {
            left.push(volume);
        }
    }
    Ok(left)
}

/// `volume inspect`: what there is before what there is not, as docker does it.
pub(crate) fn inspect(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: VolumeInspectArgs = typed(matches)?;
    check_all("inspect", args.all, &args.volumes)?;
    let template =
        args.format.as_deref().filter(|text| !matches!(*text, "" | "json")).map(Template::parse).transpose()?;
    let store = Store::open(&context.config.root)?;
    let all = volumes::list(&store)?;
    let words = if args.all { all.iter().map(|v| v.entry.name().to_owned()).collect() } else { args.volumes };
    let (mut found, mut failed) = (Vec::new(), None);
    for word in &words {
        match volumes::find(&store, word).and_then(|name| one(&all, &name)) {
            Ok(document) => found.push(document),
            Err(e) => {
                if let Some(earlier) = failed.replace(e) {
                    context.out.error(&earlier);
                }
            }
        }
    }
    match template {
        Some(template) => {
            for mut document in found {
                for key in ["Labels", "Options"] {
                    if let Value::Object(map) = &mut document[key] {
                        mark_map(map);
                    }
                }
                context.out.line(&template.render(&document)?)?;
            }
        }
        None => context.out.text(&document::pretty(&Value::Array(found))?)?,
    }
    failed.map_or(Ok(Exit::OK), Err)
}

/// One volume of a list.
fn one(all: &[Volume], name: &str) -> Result<Value> {
    let volume = all.iter().find(|volume| volume.entry.name() == name);
    let volume = volume.ok_or_else(|| Error::not_found(format!("no such volume: {name}")))?;
    match &volume.entry {
        VolumeEntry::Good(record) => Ok(shown(volume, record)),
        VolumeEntry::Damaged { error, .. } => Err(error.clone()),
    }
}

/// docker's document, and what podman's has besides.
fn shown(volume: &Volume, record: &VolumeRecord) -> Value {
    json!({
        "CreatedAt": record.created, "Driver": "local", "Labels": record.labels, "Mountpoint": volume.mountpoint,
        "Name": record.name, "Options": record.options, "Scope": "local",
        "Anonymous": record.anonymous, "MountCount": volume.users.len(),
    })
}

/// The document of the volume of this very name, for `inspect`.
pub(super) fn document(store: &Store, name: &str) -> Result<Value> {
    one(&volumes::list(store)?, name)
}

/// `--all` and names are two wishes.
fn check_all(command: &str, all: bool, names: &[String]) -> Result<()> {
    if all && !names.is_empty() {
        return Err(Error::usage(format!("volume {command}: names cannot be used together with --all")));
    }
    Ok(())
}

/// `volume rm`: what can go goes, also when something else cannot.
pub(crate) fn rm(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: VolumeRmArgs = typed(matches)?;
    check_all("rm", args.all, &args.volumes)?;
    let store = Store::open(&context.config.root)?;
    let words = if args.all {
        let unused = volumes::list(&store)?.into_iter().filter(|v| v.users.is_empty());
        unused.map(|v| v.entry.name().to_owned()).collect()
    } else {
        args.volumes
    };
    let mut failed = None;
    for removed in volumes::remove(&store, &words)? {
        match removed {
            Ok(name) => context.out.line(&name)?,
            Err(e) if e.kind() == Kind::NotFound && (args.force || args.all) => {}
            Err(e) => {
                if let Some(earlier) = failed.replace(e) {
                    context.out.error(&earlier);
                }
            }
        }
    }
    failed.map_or(Ok(Exit::OK), Err)
}

/// `volume prune`.
pub(crate) fn prune(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: VolumePruneArgs = typed(matches)?;
    let filters = Filters::parse(&args.filter, &PRUNE_FILTERS)?;
    let all = args.all || filters.values("all").any(|text| units::parse_bool(text).unwrap_or(false));
    let warning = if all {
        "WARNING! This will remove all local volumes not used by at least one container."
    } else {
        "WARNING! This will remove anonymous local volumes not used by at least one container."
    };
    if !args.force && !confirm(context, "volume prune", warning)? {
        return Ok(Exit::OK);
    }
    let store = Store::open(&context.config.root)?;
    let pruned = prune_chosen(&store, all, &filters)?;
    let list = report(&pruned);
    context.out.text(&format!("{list}Total reclaimed space: {}\n", units::human_size(pruned.freed)))?;
    Ok(Exit::OK)
}

/// Removes the volumes that the filters mean and nobody uses: those without a name of their own, or all.
pub(super) fn prune_chosen(store: &Store, all: bool, filters: &Filters) -> Result<PrunedVolumes> {
    let mut chosen = chosen(volumes::list(store)?, filters)?;
    chosen.retain(|volume| volume.users.is_empty() && (all || record(volume).anonymous));
    volumes::prune(store, &chosen)
}

/// docker's report of what went.
pub(super) fn report(pruned: &PrunedVolumes) -> String {
    if pruned.names.is_empty() {
        return String::new();
    }
    format!("Deleted Volumes:\n{}\n\n", pruned.names.join("\n"))
}

/// `volume exists`: the answer is the exit status, 0 or 1.
pub(crate) fn exists(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: VolumeExistsArgs = typed(matches)?;
    let store = Store::open(&context.config.root)?;
    let exists = volumes::exists(&store, &args.volume);
    super::exists::answer(exists.then_some(()).ok_or_else(|| Error::not_found(String::new())))
}
