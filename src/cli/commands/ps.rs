//! `runr ps`: which containers there are.

use super::super::args::container::PsArgs;
use super::super::output::filter::Filters;
use super::super::output::listing::{self, Format};
use super::super::output::time;
use super::super::{Context, Exit, typed};
use crate::base::{Error, Result, units};
use crate::ops::container_list;
use crate::spec::options::MountKind;
use crate::state::containers::{Container, short};
use crate::state::{Containers, Entry, Status};
use crate::store::Store;
use clap::ArgMatches;
use jiff::Timestamp;
use serde_json::{Value, json};

pub(super) const FILTERS: [&str; 14] = [
    "id", "name", "label", "label!", "status", "exited", "ancestor", "before", "since", "network", "volume", "until",
    "health", "command",
];
const TITLES: [(&str, &str); 17] = [
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedSince", "CREATED"),
    ("RunningFor", "CREATED"),
    ("Created", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Names", "NAMES"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("Networks", "NETWORKS"),
    ("Pid", "PID"),
    ("ImageID", "IMAGE ID"),
];

/// `ps`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: PsArgs = typed(matches)?;
    let filters = Filters::parse(&args.filter, &FILTERS)?;
    let store = Store::open(&context.config.root)?;
    let mut good = Vec::new();
    let mut damaged = Vec::new();
    for entry in container_list::all(&store)? {
        match entry {
            Entry::Good(container) => good.push(*container),
            Entry::Damaged { id, error } => damaged.push((id, error)),
        }
    }
    let mut shown = selected(&store, good, &args, &filters)?;
    sort(&mut shown, args.sort.as_deref())?;
    if args.quiet && args.format.is_none() {
        let id = |id: &str| if args.no_trunc { id.to_owned() } else { short(id).to_owned() };
        let lines: String = shown.iter().map(|c| id(&c.record.id) + "\n").collect();
        context.out.text(&lines)?;
    } else {
        let now = Timestamp::now();
        let rows = shown.iter().map(|c| row(c, &args, now)).collect::<Result<Vec<_>>>()?;
        let mut default =
            "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}".to_owned();
        if args.size {
            default.push_str("\t{{.Size}}");
        }
        let format = Format::parse(args.format.as_deref(), &default)?;
        context.out.text(&listing::render(&rows, &TITLES, &format, !args.noheading)?)?;
    }
    for (id, error) in &damaged {
        context.out.warning(&format!("container `{}` is damaged and can only be removed: {error}", short(id)));
    }
    Ok(Exit::OK)
}

/// Which containers are meant: the running ones, unless something asks for more.
fn selected(store: &Store, all: Vec<Container>, args: &PsArgs, filters: &Filters) -> Result<Vec<Container>> {
    let mut shown = filtered(store, all, filters)?;
    let wants_all = args.all
        || args.latest
        || args.last.is_some_and(|n| n >= 0)
        || ["status", "exited"].iter().any(|key| filters.values(key).next().is_some());
    if !wants_all {
        shown.retain(|c| c.state.status.is_alive());
    }
    if args.latest {
        shown.truncate(1);
    } else if let Some(count) = args.last.and_then(|n| usize::try_from(n).ok()) {
        shown.truncate(count);
    }
    Ok(shown)
}

/// The containers that pass all filters, running or not.
pub(super) fn filtered(store: &Store, all: Vec<Container>, filters: &Filters) -> Result<Vec<Container>> {
    for value in filters.values("status") {
        if !["created", "running", "exited", "paused", "restarting", "removing", "dead", "stopped"].contains(&value) {
            return Err(Error::usage(format!("invalid filter `status={value}`"))
                .hint("use created, running, paused, restarting, removing, exited or dead"));
        }
    }
    let moment = |key: &'static str| -> Result<Vec<Option<Timestamp>>> {
        let containers = Containers::new(store.paths());
        filters.values(key).map(|word| Ok(time::parse(&containers.find(word)?.record.created))).collect()
    };
    let (before, since) = (moment("before")?, moment("since")?);
    let passes = |c: &Container| {
        let created = time::parse(&c.record.created);
        matches(c, filters) && before.iter().all(|t| created < *t) && since.iter().all(|t| created > *t)
    };
    Ok(all.into_iter().filter(passes).collect())
}

fn matches(c: &Container, filters: &Filters) -> bool {
    let (record, state) = (&c.record, &c.state);
    filters.any("id", |id| record.id.starts_with(id))
        && filters.any("name", |name| name_fits(name, &record.name))
        && filters.labels(&record.options.labels)
        && filters.any("status", |s| s == state.status.word() || (s == "stopped" && state.status == Status::Exited))
        && filters.any("exited", |code| {
            state.status == Status::Exited && state.exit_code.is_some_and(|c| code.parse() == Ok(c))
        })
        && filters.any("ancestor", |image| {
            record.image.as_ref().is_some_and(|i| {
                i.name == image
                    || i.id.hex().starts_with(image.trim_start_matches("sha256:"))
                    || same_name(&i.name, image)
            })
        })
        && filters.any("network", |network| network == network_of(c))
        && filters
            .any("volume", |path| record.options.mounts.iter().any(|m| m.target == path || source_of(&m.kind) == path))
        && filters.any("command", |word| record.command.first().is_some_and(|c| c == word))
        && filters.any("health", |health| health == "none")
}

/// docker takes a regular expression; what people write is a part of the name, or the whole between `^` and `$`, with or
/// without docker's leading `/`.
fn name_fits(pattern: &str, name: &str) -> bool {
    let (start, rest) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let (end, rest) = match rest.strip_suffix('$') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let word = rest.strip_prefix('/').unwrap_or(rest);
    match (start, end) {
        (true, true) => name == word,
        (true, false) => name.starts_with(word),
        (false, true) => name.ends_with(word),
        (false, false) => name.contains(word),
    }
}

fn same_name(a: &str, b: &str) -> bool {
    let parse = |text: &str| text.parse::<crate::image::Reference>().ok();
    parse(a).zip(parse(b)).is_some_and(|(a, b)| a == b)
}

fn network_of(c: &Container) -> &str {
    c.record.options.network.as_deref().unwrap_or("host")
}

fn source_of(kind: &MountKind) -> String {
    match kind {
        MountKind::Bind { source, .. } => source.to_string_lossy().into_owned(),
        MountKind::Volume { name } => name.clone(),
        MountKind::Tmpfs => String::new(),
    }
}

fn row(c: &Container, args: &PsArgs, now: Timestamp) -> Result<Value> {
    let (record, state) = (&c.record, &c.state);
    let created = time::parse(&record.created);
    let since = created.map_or_else(|| "N/A".to_owned(), |t| time::ago(t, now));
    let command = command_line(&record.command);
    let command = if args.no_trunc { command } else { ellipsis(&command, 20) };
    let id = if args.no_trunc { record.id.clone() } else { short(&record.id).to_owned() };
    let image = record.image.as_ref().map(|i| i.name.clone());
    let image = image.or_else(|| Some(record.rootfs.as_ref()?.to_string_lossy().into_owned())).unwrap_or_default();
    let labels: Vec<String> = record.options.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let mounts: Vec<String> =
        record.options.mounts.iter().map(|m| source_of(&m.kind)).filter(|s| !s.is_empty()).collect();
    let size = if args.size { units::human_size(container_list::written_bytes(c)?) } else { "0B".to_owned() };
    Ok(json!({
        "ID": id,
        "Image": image,
        "Command": Value::from(command).to_string(),
        "CreatedAt": created.map_or_else(|| "N/A".to_owned(), time::local),
        "RunningFor": since,
        "Ports": "",
        "State": state.status.word(),
        "Status": status(c, now),
        "Size": size,
        "Names": record.name,
        "Labels": labels.join(","),
        "LocalVolumes": "0",
        "Mounts": mounts.join(","),
        "Networks": network_of(c),
        "Platform": null,
        // podman's.
        "Created": since,
        "CreatedSince": since,
        "Pid": state.process.as_ref().map_or(0, |p| p.pid),
        "ImageID": record.image.as_ref().map_or_else(String::new, |i| i.id.short().to_owned()),
        "ExitCode": state.exit_code.unwrap_or(0),
    }))
}

/// `Up 5 minutes`, `Exited (0) 2 hours ago`, `Created`.
pub(super) fn status(c: &Container, now: Timestamp) -> String {
    let time_of = |text: &Option<String>| text.as_deref().and_then(time::parse);
    match c.state.status {
        Status::Created => "Created".to_owned(),
        Status::Running => match time_of(&c.state.started) {
            Some(at) => format!("Up {}", time::ago(at, now).trim_end_matches(" ago")),
            None => "Up".to_owned(),
        },
        Status::Paused => match time_of(&c.state.started) {
            Some(at) => format!("Up {} (Paused)", time::ago(at, now).trim_end_matches(" ago")),
            None => "Up (Paused)".to_owned(),
        },
        Status::Restarting => {
            let code = c.state.exit_code.unwrap_or(0);
            match time_of(&c.state.finished) {
                Some(at) => format!("Restarting ({code}) {}", time::ago(at, now)),
                None => format!("Restarting ({code})"),
            }
        }
        Status::Exited => {
            let code = c.state.exit_code.unwrap_or(0);
            match time_of(&c.state.finished) {
                Some(at) => format!("Exited ({code}) {}", time::ago(at, now)),
                None => format!("Exited ({code})"),
            }
        }
    }
}

/// docker puts arguments with spaces into quotes.
pub(super) fn command_line(words: &[String]) -> String {
    let quote = |w: &String| if w.contains(' ') { format!("'{w}'") } else { w.clone() };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

pub(super) fn ellipsis(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

fn sort(shown: &mut [Container], key: Option<&str>) -> Result<()> {
    let image = |c: &Container| c.record.image.as_ref().map(|i| i.name.clone());
    match key {
        // Newest first already.
        None => {}
        Some("created") => shown.reverse(),
        Some("id") => shown.sort_by(|a, b| a.record.id.cmp(&b.record.id)),
        Some("image") => shown.sort_by_key(image),
        Some("names") => shown.sort_by(|a, b| a.record.name.cmp(&b.record.name)),
        Some("command") => shown.sort_by(|a, b| a.record.command.cmp(&b.record.command)),
        Some("status") => shown.sort_by_key(|c| c.state.status.word()),
        Some("runningfor") => shown.sort_by(|a, b| a.state.started.cmp(&b.state.started)),
        Some(other) => {
            return Err(Error::usage(format!("--sort: unknown key `{other}`"))
                .hint("use command, created, id, image, names, runningfor or status"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_as_in_dockers_filter() {
        for (pattern, name, fits) in [
            ("web", "my-web-1", true),
            ("^web$", "web", true),
            ("^/web$", "web", true),
            ("^web", "web-1", true),
            ("^web", "my-web", false),
            ("web$", "my-web", true),
            ("^web$", "web-1", false),
        ] {
            assert_eq!(name_fits(pattern, name), fits, "{pattern} {name}");
        }
        assert!(same_name("alpine", "docker.io/library/alpine:latest") && !same_name("alpine", "alpine:3"));
        assert_eq!(ellipsis("sh -c 'a very long command'", 20), "sh -c 'a very long …");
    }
}
