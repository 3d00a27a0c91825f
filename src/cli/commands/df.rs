//! `runr system df`: what takes how much room.

use super::super::args::housekeeping::DfArgs;
use super::super::output::container::{self, Facts};
use super::super::output::listing::{self, Format};
use super::super::output::{document, time};
use super::super::{Context, Exit, typed};
use super::images;
use crate::base::Result;
use crate::base::units::human_size;
use crate::ops::container_list::ImageSizes;
use crate::ops::usage::{self, ImageUsage, Usage};
use crate::ops::volumes::Volume;
use crate::store::Store;
use clap::ArgMatches;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::cell::LazyCell;

const TITLES: [(&str, &str); 6] = [
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Total", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];
const COLUMNS: &str = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";

/// `system df`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: DfArgs = typed(matches)?;
    let format = Format::parse(args.format.as_deref(), COLUMNS)?;
    let store = Store::open(&context.config.root)?;
    let usage = usage::usage(&store)?;
    let text = match (args.verbose, &args.format) {
        (false, _) => listing::render(&summary(&usage), &TITLES, &format, true)?,
        (true, Some(format)) => document::formatted(&details(&usage), format)?,
        (true, None) => verbose(&usage)?,
    };
    context.out.text(&text)?;
    Ok(Exit::OK)
}

/// docker's four lines. What only runr has is for those who ask for details: scripts add these up.
fn summary(usage: &Usage) -> Vec<Value> {
    let active = usage.images.iter().filter(|i| i.containers > 0).count();
    let written = |running: bool| -> u64 {
        let counted = usage.containers.iter().filter(|c| running || !c.container.state.status.is_alive());
        counted.map(|c| c.written).sum()
    };
    let alive = usage.containers.iter().filter(|c| c.container.state.status.is_alive()).count();
    vec![
        row("Images", usage.images.len(), active, usage.image_bytes, usage.image_reclaimable),
        row("Containers", usage.containers.len(), alive, written(true), written(false)),
        local_volumes(usage),
        row("Build Cache", 0, 0, 0, 0),
    ]
}

fn local_volumes(usage: &Usage) -> Value {
    let bytes =
        |unused: bool| usage.volumes.iter().filter(|(v, _)| !unused || v.users.is_empty()).map(|(_, size)| size).sum();
    let active = usage.volumes.iter().filter(|(v, _)| !v.users.is_empty()).count();
    row("Local Volumes", usage.volumes.len(), active, bytes(false), bytes(true))
}

fn row(kind: &str, total: usize, active: usize, size: u64, reclaimable: u64) -> Value {
    let share = match (reclaimable * 100).checked_div(size) {
        Some(percent) => format!("{} ({percent}%)", human_size(reclaimable)),
        None => human_size(reclaimable),
    };
    json!({
        "Type": kind, "TotalCount": total.to_string(), "Active": active.to_string(), "Size": human_size(size),
        "Reclaimable": share,
        // podman's.
        "Total": total, "RawSize": size, "RawReclaimable": reclaimable,
    })
}

fn image_rows(usage: &Usage, now: Timestamp) -> Vec<Value> {
    let rows_of = |image: &ImageUsage| {
        let created = image.image.created.as_deref().and_then(time::parse);
        let since = created.map_or_else(|| "N/A".to_owned(), |t| time::ago(t, now));
        let (shared, unique) = (human_size(image.shared), human_size(image.unique));
        let (id, size) = (image.image.id.short().to_owned(), human_size(image.image.size));
        let containers = image.containers.to_string();
        let names = images::repositories(&image.image);
        names.into_iter().map(move |(repository, tag)| {
            json!({
                "Repository": repository, "Tag": tag, "ID": id, "ImageID": id, "CreatedSince": since, "Created": since,
                "Size": size, "SharedSize": shared, "UniqueSize": unique, "Containers": containers,
            })
        })
    };
    usage.images.iter().flat_map(rows_of).collect()
}

fn container_rows(usage: &Usage, now: Timestamp) -> Vec<Value> {
    let facts =
        Facts { now, zone: LazyCell::new(jiff::tz::TimeZone::system), full: false, images: ImageSizes::default() };
    usage.containers.iter().map(|c| container::row(&c.container, &facts, Some(c.written))).collect()
}

fn volume_rows(usage: &Usage) -> Vec<Value> {
    let row = |(volume, size): &(Volume, u64)| {
        let links = volume.users.len().to_string();
        json!({ "Name": volume.entry.name(), "VolumeName": volume.entry.name(), "Links": links, "Size": human_size(*size) })
    };
    usage.volumes.iter().map(row).collect()
}

fn variant_rows(usage: &Usage) -> Vec<Value> {
    let row_of = |v: &usage::VariantUsage| {
        json!({
            "Map": v.key, "Layers": v.layers.to_string(), "Active": v.active.to_string(), "Size": human_size(v.bytes),
            "Reclaimable": human_size(v.reclaimable),
        })
    };
    usage.variants.iter().map(row_of).collect()
}

fn blob_row(usage: &Usage) -> Value {
    let blobs = usage.blobs;
    json!({
        "Count": blobs.count.to_string(), "Active": blobs.active.to_string(), "Size": human_size(blobs.bytes),
        "Reclaimable": human_size(blobs.reclaimable),
    })
}

/// `--verbose --format`: one document, as docker has it.
fn details(usage: &Usage) -> Value {
    let now = Timestamp::now();
    json!({
        "Images": image_rows(usage, now), "Containers": container_rows(usage, now), "Volumes": volume_rows(usage), "BuildCache": [],
        "LayerVariants": variant_rows(usage), "ImageBlobs": [blob_row(usage)],
    })
}

fn verbose(usage: &Usage) -> Result<String> {
    let now = Timestamp::now();
    let table = |head: &str, rows: &[Value], columns: &[(&str, &str)]| -> Result<String> {
        let template: Vec<String> = columns.iter().map(|(name, _)| format!("{{{{.{name}}}}}")).collect();
        let format = Format::parse(None, &template.join("\t"))?;
        Ok(format!("{head}\n\n{}", listing::render(rows, columns, &format, true)?))
    };
    let mut parts = vec![
        table(
            "Images space usage:",
            &image_rows(usage, now),
            &[
                ("Repository", "REPOSITORY"),
                ("Tag", "TAG"),
                ("ID", "IMAGE ID"),
                ("CreatedSince", "CREATED"),
                ("Size", "SIZE"),
                ("SharedSize", "SHARED SIZE"),
                ("UniqueSize", "UNIQUE SIZE"),
                ("Containers", "CONTAINERS"),
            ],
        )?,
        table(
            "Containers space usage:",
            &container_rows(usage, now),
            &[
                ("ID", "CONTAINER ID"),
                ("Image", "IMAGE"),
                ("Command", "COMMAND"),
                ("LocalVolumes", "LOCAL VOLUMES"),
                ("Size", "SIZE"),
                ("RunningFor", "CREATED"),
                ("Status", "STATUS"),
                ("Names", "NAMES"),
            ],
        )?,
        table(
            "Local Volumes space usage:",
            &volume_rows(usage),
            &[("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")],
        )?,
        "Build cache usage: 0B\n".to_owned(),
        table(
            "Image blobs (layers as they were downloaded) space usage:",
            &[blob_row(usage)],
            &[("Count", "BLOBS"), ("Active", "ACTIVE"), ("Size", "SIZE"), ("Reclaimable", "RECLAIMABLE")],
        )?,
    ];
    if !usage.variants.is_empty() {
        parts.push(table(
            "Layer variants space usage:",
            &variant_rows(usage),
            &[
                ("Map", "ID MAP"),
                ("Layers", "LAYERS"),
                ("Active", "ACTIVE"),
                ("Size", "SIZE"),
                ("Reclaimable", "RECLAIMABLE"),
            ],
        )?);
    }
    Ok(parts.join("\n"))
}
