//! `runr stats`: what containers use, once or as a table that is kept up to date.

use super::super::args::view::StatsArgs;
use super::super::output::document;
use super::super::output::listing::{self, Format};
use super::super::{Context, Exit, typed};
use super::select;
use crate::base::template::with_fields;
use crate::base::units::{binary_size, go_duration, human_size};
use crate::base::{Error, Result};
use crate::ops::processes::Snapshot;
use crate::ops::stats::Sample;
use crate::ops::{container_list, containers};
use crate::state::Entry;
use crate::state::containers::{Container, short};
use crate::store::Store;
use clap::ArgMatches;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::time::Duration;

const DEFAULT: &str =
    "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";
const TITLES: [(&str, &str); 17] = [
    ("ID", "CONTAINER ID"),
    ("ContainerID", "CONTAINER ID"),
    ("Container", "CONTAINER"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("CPU", "CPU %"),
    ("AvgCPU", "AVG CPU %"),
    ("CPUNano", "CPU TIME"),
    ("UpTime", "CPU TIME"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemUsageBytes", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
    ("PIDS", "PIDS"),
    ("MemLimit", "MEM LIMIT"),
];

/// Between the two looks of `--no-stream`: as long as docker's.
const ONE_LOOK: Duration = Duration::from_secs(1);

/// `stats`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: StatsArgs = typed(matches)?;
    let format = match args.format.as_deref() {
        Some("json") => None,
        given => Some(Format::parse(given, DEFAULT)?),
    };
    if !args.containers.is_empty() && (args.all || args.latest) {
        return Err(Error::usage("stats: containers by name cannot be used together with --all or --latest"));
    }
    let store = Store::open(&context.config.root)?;
    let names = if args.latest { vec![select::latest(&store)?] } else { args.containers.clone() };
    let mut before = samples(&looked_at(&store, &names, args.all)?);
    if args.no_stream && before.is_empty() {
        // Nothing to wait for.
    } else if args.no_stream {
        std::thread::sleep(ONE_LOOK);
    } else {
        // The first table is there at once, with shares since each container's start.
        before.clear();
    }
    loop {
        let shown = looked_at(&store, &names, args.all)?;
        let now = samples(&shown);
        let text = print(&shown, &now, &before, format.as_ref(), &args)?;
        if args.no_stream {
            context.out.text(&text)?;
            return Ok(Exit::OK);
        }
        if args.no_reset {
            context.out.text(&text)?
        } else {
            context.out.screen(&text)?
        }
        before = now;
        std::thread::sleep(Duration::from_secs(args.interval.max(1)));
    }
}

/// A container, and what it was called on the command line.
type Named = (String, Container);

fn looked_at(store: &Store, names: &[String], all: bool) -> Result<Vec<Named>> {
    if !names.is_empty() {
        return names.iter().map(|name| Ok((name.clone(), containers::find(store, name)?))).collect();
    }
    let entries = if all { container_list::all(store)? } else { container_list::alive(store)? };
    let good = entries.into_iter().filter_map(Entry::good);
    Ok(good.map(|container| (short(&container.record.id).to_owned(), container)).collect())
}

/// Samples by container id.
fn samples(shown: &[Named]) -> HashMap<String, Sample> {
    let snapshot = if shown.is_empty() { Snapshot::default() } else { Snapshot::take() };
    shown.iter().map(|(_, c)| (c.record.id.clone(), Sample::take(c, &snapshot))).collect()
}

fn print(
    shown: &[Named],
    now: &HashMap<String, Sample>,
    before: &HashMap<String, Sample>,
    format: Option<&Format>,
    args: &StatsArgs,
) -> Result<String> {
    let of = |(word, c): &Named| {
        let sample = now.get(&c.record.id).cloned().unwrap_or_default();
        let cpu = sample.cpu_percent(before.get(&c.record.id));
        let id = if args.no_trunc { c.record.id.as_str() } else { short(&c.record.id) };
        (word.clone(), c.record.name.clone(), id.to_owned(), cpu, sample)
    };
    let all = shown.iter().map(of);
    match format {
        Some(format) => {
            let rows: Vec<Value> =
                all.map(|(word, name, id, cpu, sample)| row(&word, &name, &id, cpu, &sample)).collect();
            listing::render(&rows, &TITLES, format, true)
        }
        None => {
            document::pretty(&all.map(|(_, name, id, cpu, sample)| podman_object(&name, &id, cpu, &sample)).collect())
        }
    }
}

fn percent(value: f64) -> String {
    format!("{value:.2}%")
}

fn memory(sample: &Sample) -> String {
    format!("{} / {}", binary_size(sample.memory), binary_size(sample.memory_limit))
}

fn bytes((first, second): (u64, u64)) -> String {
    format!("{} / {}", human_size(first), human_size(second))
}

/// docker's fields, and podman's names beside them.
fn row(word: &str, name: &str, id: &str, cpu: f64, sample: &Sample) -> Value {
    let shown = json!({
        "BlockIO": bytes(sample.storage),
        "CPUPerc": percent(cpu),
        "Container": word,
        "ID": id,
        "MemPerc": percent(sample.memory_percent()),
        "MemUsage": memory(sample),
        "Name": name,
        "NetIO": bytes(sample.network),
        "PIDs": sample.tasks.to_string(),
    });
    let also = json!({
        "AvgCPU": percent(sample.average_percent()),
        "BlockInput": sample.storage.0,
        "BlockOutput": sample.storage.1,
        "CPU": percent(cpu),
        "CPUNano": sample.cpu,
        "ContainerID": id,
        "Duration": sample.age,
        "MemLimit": sample.memory_limit,
        "MemUsageBytes": memory(sample),
        "NetInput": sample.network.0,
        "NetOutput": sample.network.1,
        "PIDS": sample.tasks,
        "SystemNano": sample.at,
        "UpTime": go_duration(sample.cpu),
    });
    let object = |value: Value| if let Value::Object(map) = value { map } else { Map::new() };
    with_fields(object(shown), object(also))
}

/// The object that `podman stats --format json` has for a container.
fn podman_object(name: &str, id: &str, cpu: f64, sample: &Sample) -> Value {
    json!({
        "id": id,
        "name": name,
        "cpu_time": go_duration(sample.cpu),
        "cpu_percent": percent(cpu),
        "avg_cpu": percent(sample.average_percent()),
        "mem_usage": memory(sample),
        "mem_percent": percent(sample.memory_percent()),
        "net_io": bytes(sample.network),
        "block_io": bytes(sample.storage),
        "pids": sample.tasks.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::template::Template;

    #[test]
    fn rows_have_the_fields_of_both() {
        let sample = Sample {
            cpu: 31_500_000,
            age: 63_000_000,
            memory: 1_810_890,
            memory_limit: 2_095_944_040,
            network: (916, 0),
            storage: (147_000, 0),
            tasks: 9,
            ..Sample::default()
        };
        let row = row("web", "web", "0123456789ab", 0.284, &sample);
        for (template, text) in [
            ("{{.Container}} {{.ID}} {{.CPUPerc}} {{.PIDs}}", "web 0123456789ab 0.28% 9"),
            ("{{.MemUsage}} {{.MemPerc}}", "1.727MiB / 1.952GiB 0.09%"),
            ("{{.NetIO}} {{.BlockIO}}", "916B / 0B 147kB / 0B"),
            ("{{.AvgCPU}} {{.UpTime}} {{.PIDS}}", "50.00% 31.5ms 9"),
            (
                "{{json .}}",
                r#"{"BlockIO":"147kB / 0B","CPUPerc":"0.28%","Container":"web","ID":"0123456789ab","MemPerc":"0.09%","MemUsage":"1.727MiB / 1.952GiB","Name":"web","NetIO":"916B / 0B","PIDs":"9"}"#,
            ),
        ] {
            assert_eq!(Template::parse(template).unwrap().render(&row).unwrap(), text, "{template}");
        }
    }
}
