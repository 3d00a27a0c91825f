//! `runr ps`: which containers there are.

pub(super) use super::super::args::ps::PsArgs;
pub(super) use super::container_filter::{FILTERS, filtered};

use super::super::output::container::{self, Facts, Shown};
use super::super::output::filter::Filters;
use super::super::output::listing::{self, Format};
use super::super::output::table::Table;
use super::super::output::{document, time};
use super::super::{Context, Exit, typed};
use crate::base::template::{add_fields, method, with_fields};
use crate::base::{Error, Result};
use crate::ops::container_list::{self, ImageSizes};
use crate::ops::processes;
use crate::state::Entry;
use crate::state::containers::{Container, short};
use crate::store::Store;
use clap::ArgMatches;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use std::cell::LazyCell;
use std::time::Duration;

const TITLES: [(&str, &str); 29] = [
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedHuman", "CREATED"),
    ("CreatedSince", "CREATED"),
    ("RunningFor", "CREATED"),
    ("Created", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Names", "NAMES"),
    ("Labels", "LABELS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Mounts", "MOUNTS"),
    ("Networks", "NETWORKS"),
    ("Pid", "PID"),
    ("ImageID", "IMAGE ID"),
    ("Pod", "POD ID"),
    ("PodName", "PODNAME"),
    ("IPAddresses", "IP ADDRESSES"),
    ("CGROUPNS", "CGROUPNS"),
    ("IPC", "IPC"),
    ("MNT", "MNT"),
    ("NET", "NET"),
    ("PIDNS", "PIDNS"),
    ("USERNS", "USERNS"),
    ("UTS", "UTS"),
];

/// The heads of the plain table.
const PLAIN: [&str; 7] = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"];

/// Column, name of the kernel's file, and key in podman's JSON of each namespace.
const NAMESPACES: [(&str, &str, &str); 7] = [
    ("CGROUPNS", "cgroup", "Cgroup"),
    ("IPC", "ipc", "Ipc"),
    ("MNT", "mnt", "Mnt"),
    ("NET", "net", "Net"),
    ("PIDNS", "pid", "Pidns"),
    ("USERNS", "user", "User"),
    ("UTS", "uts", "Uts"),
];

/// `ps`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: PsArgs = typed(matches)?;
    let filters = Filters::parse(&args.filter, &FILTERS)?;
    if args.latest && args.last.is_some_and(|n| n >= 0) {
        return Err(Error::usage("last and latest are mutually exclusive").hint("give `--last` or `--latest`"));
    }
    let plan = Plan::new(&args)?;
    let store = Store::open(&context.config.root)?;
    loop {
        let text = plan.print(&store, &args, &filters)?;
        let Some(seconds) = args.watch.filter(|s| *s > 0) else {
            context.out.text(&text.listed)?;
            text.warnings.iter().for_each(|line| context.out.warning(line));
            return Ok(Exit::OK);
        };
        context.out.screen(&text.listed)?;
        std::thread::sleep(Duration::from_secs(seconds));
    }
}

/// What is printed.
struct Printed {
    listed: String,
    warnings: Vec<String>,
}

/// How it is printed, decided before anything is read: a wrong template is wrong whatever there is to show.
enum Form {
    Ids,
    Json,
    /// The plain table. A thousand rows have no time for a template, and for fields that nobody can see.
    Table,
    Rows(Format),
}

struct Plan {
    form: Form,
    size: bool,
}

impl Plan {
    fn new(args: &PsArgs) -> Result<Self> {
        let given = args.format.as_deref();
        let has = |field: &str| given.is_some_and(|t| t.contains(field));
        let form = match given {
            Some("json") => Form::Json,
            None if args.quiet => Form::Ids,
            None if !args.ns && !args.pod => Form::Table,
            _ => Form::Rows(Format::parse(given, &default_template(args))?),
        };
        // docker looks at the sizes when a template names them.
        let size = args.size || has(".Size");
        Ok(Self { form, size: size || args.sort.as_deref() == Some("size") })
    }

    fn print(&self, store: &Store, args: &PsArgs, filters: &Filters) -> Result<Printed> {
        let (mut good, mut unread) = (Vec::new(), Vec::new());
        let entries =
            if wants_all(args, filters) { container_list::all(store)? } else { container_list::alive(store)? };
        for entry in entries {
            match entry {
                Entry::Good(container) => good.push(*container),
                Entry::Damaged { id, error } => unread.push(Unread::damaged(id, &error)),
                Entry::Newer { id, error } => unread.push(Unread::newer(id, &error)),
            }
        }
        let shown = selected(store, good, args, filters)?;
        let sizes = if self.size { container_list::written(&shown.iter().collect::<Vec<_>>())? } else { Vec::new() };
        let mut shown: Vec<(Container, Option<u64>)> = match self.size {
            true => shown.into_iter().zip(sizes.into_iter().map(Some)).collect(),
            false => shown.into_iter().map(|c| (c, None)).collect(),
        };
        sort(&mut shown, args.sort.as_deref())?;
        let images = if self.size { ImageSizes::load(store)? } else { ImageSizes::default() };
        let facts = Facts { now: Timestamp::now(), zone: LazyCell::new(TimeZone::system), full: args.no_trunc, images };
        // They are listed where all are, so that `rm $(runr ps -aq)` takes them along.
        let listed = if args.all && args.filter.is_empty() { &unread[..] } else { &[] };
        let listed = match &self.form {
            Form::Ids => {
                let ids =
                    shown.iter().map(|(c, _)| c.record.id.as_str()).chain(listed.iter().map(|unread| &*unread.id));
                ids.map(|id| if args.no_trunc { id } else { short(id) }.to_owned() + "\n").collect()
            }
            Form::Json => {
                let object = |(c, written): &(Container, Option<u64>)| {
                    let spaces = if args.ns { namespaces(c, |(_, _, key)| key) } else { Map::new() };
                    container::podman_object(c, &facts, written.filter(|_| args.size), spaces.into())
                };
                document::pretty(&shown.iter().map(object).collect())?
            }
            Form::Table => {
                let mut table = Table::default();
                if !args.noheading {
                    table.row(PLAIN.iter().copied().chain(args.size.then_some("SIZE")));
                }
                for (c, written) in &shown {
                    table.row(Shown::new(c, &facts, *written).cells(args.size));
                }
                for unread in listed {
                    let cells = unread.cells(store, args.no_trunc);
                    table.row(cells.into_iter().chain(args.size.then(String::new)));
                }
                table.render()
            }
            Form::Rows(format) => {
                let template = args.format.clone().unwrap_or_else(|| default_template(args));
                let row = |(c, written): &(Container, Option<u64>)| {
                    let mut row = container::row(c, &facts, *written);
                    if let Value::Object(map) = &mut row
                        && NAMESPACES.iter().any(|(column, ..)| template.contains(column))
                    {
                        add_fields(map, namespaces(c, |(column, _, _)| column));
                    }
                    row
                };
                let broken = listed.iter().map(|unread| unread.row(store, args.no_trunc));
                let rows: Vec<Value> = shown.iter().map(row).chain(broken).collect();
                listing::render(&rows, &TITLES, format, !args.noheading)?
            }
        };
        Ok(Printed { listed, warnings: unread.into_iter().map(|unread| unread.warning).collect() })
    }
}

fn default_template(args: &PsArgs) -> String {
    if args.ns {
        let columns = NAMESPACES.map(|(column, _, _)| format!("\t{{{{.{column}}}}}")).concat();
        return format!("{{{{.ID}}}}\t{{{{.Names}}}}\t{{{{.Pid}}}}{columns}");
    }
    let mut columns =
        "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}".to_owned();
    if args.pod {
        columns.push_str("\t{{.Pod}}\t{{.PodName}}");
    }
    if args.size {
        columns.push_str("\t{{.Size}}");
    }
    columns
}

/// The running ones are meant, unless something asks for more.
fn wants_all(args: &PsArgs, filters: &Filters) -> bool {
    args.all
        || args.latest
        || args.last.is_some_and(|n| n >= 0)
        || ["status", "exited"].iter().any(|key| filters.values(key).next().is_some())
}

/// Which of the containers are meant.
fn selected(store: &Store, all: Vec<Container>, args: &PsArgs, filters: &Filters) -> Result<Vec<Container>> {
    let mut shown = filtered(store, all, filters)?;
    if args.latest {
        shown.truncate(1);
    } else if let Some(count) = args.last.and_then(|n| usize::try_from(n).ok()) {
        shown.truncate(count);
    }
    Ok(shown)
}

/// The namespaces of a running container by the name that `key` picks; empty texts for one that does not run.
fn namespaces(
    c: &Container,
    key: impl Fn((&'static str, &'static str, &'static str)) -> &'static str,
) -> Map<String, Value> {
    let pid = container::pid(c);
    let number = |file| if pid == 0 { None } else { processes::namespace(pid, file) };
    NAMESPACES
        .iter()
        .map(|names| (key(*names).to_owned(), number(names.1).map_or_else(String::new, |n| n.to_string()).into()))
        .collect()
}

/// A container of which only the folder's name is known.
struct Unread {
    id: String,
    state: &'static str,
    status: &'static str,
    warning: String,
}

impl Unread {
    fn damaged(id: String, error: &Error) -> Self {
        let warning = format!("container `{}` is damaged and can only be removed: {error}", short(&id));
        // docker calls what can only be removed dead.
        Self { id, state: "dead", status: "Dead (damaged)", warning }
    }

    fn newer(id: String, error: &Error) -> Self {
        Self { id, state: "unknown", status: "Unknown (newer runr)", warning: error.to_string() }
    }

    fn shown_id(&self, full: bool) -> &str {
        if full { &self.id } else { short(&self.id) }
    }

    /// The cells of the plain table.
    fn cells(&self, store: &Store, full: bool) -> [String; 7] {
        let name = container_list::name_of_unreadable(store, &self.id).unwrap_or_default();
        [self.shown_id(full), "", "", "", self.status, "", &name].map(str::to_owned)
    }

    /// The row of a template.
    fn row(&self, store: &Store, full: bool) -> Value {
        let name = container_list::name_of_unreadable(store, &self.id).unwrap_or_default();
        let fields = TITLES.iter().map(|(field, _)| ((*field).to_owned(), Value::from("")));
        let mut row: Map<String, Value> = fields.collect();
        row.extend([
            ("ID".to_owned(), json!(self.shown_id(full))),
            ("Names".to_owned(), json!(name)),
            ("State".to_owned(), json!(self.state)),
            ("Status".to_owned(), json!(self.status)),
        ]);
        with_fields(row, Map::from_iter([("Label".to_owned(), method(Map::new()))]))
    }
}

fn sort(shown: &mut [(Container, Option<u64>)], key: Option<&str>) -> Result<()> {
    let started = |c: &Container| c.state.started.as_deref().and_then(time::parse);
    match key {
        // Newest first already.
        None => {}
        Some("created") => shown.reverse(),
        Some("id") => shown.sort_by(|(a, _), (b, _)| a.record.id.cmp(&b.record.id)),
        Some("image") => shown.sort_by_key(|(c, _)| container::image(c)),
        Some("names") => shown.sort_by(|(a, _), (b, _)| a.record.name.cmp(&b.record.name)),
        Some("command") => shown.sort_by(|(a, _), (b, _)| a.record.command.cmp(&b.record.command)),
        Some("status") => shown.sort_by_key(|(c, _)| c.state.status.word()),
        Some("runningfor") => shown.sort_by_key(|(c, _)| started(c)),
        Some("size") => shown.sort_by_key(|(_, written)| *written),
        Some(other) => {
            return Err(Error::usage(format!("--sort: unknown key `{other}`"))
                .hint("use command, created, id, image, names, runningfor, size or status"));
        }
    }
    Ok(())
}
