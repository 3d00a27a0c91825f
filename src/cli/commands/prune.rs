//! `runr container prune`, `runr image prune`, `runr system prune`: what nobody uses goes.

use super::super::args::housekeeping::{ContainerPruneArgs, ImagePruneArgs, SystemPruneArgs};
use super::super::ask::confirm;
use super::super::output::filter::Filters;
use super::super::{Context, Exit, typed};
use super::{container_filter, rmi, volume};
use crate::base::{Error, Result, units};
use crate::ops::container_list;
use crate::ops::image_list::{self, Filter};
use crate::ops::images::Removed;
use crate::ops::prune::{self, PrunedContainers};
use crate::ops::volumes::PrunedVolumes;
use crate::state::Entry;
use crate::state::containers::Container;
use crate::store::{ImageSummary, Store};
use clap::ArgMatches;

/// What containers can be chosen by.
const CONTAINER_FILTERS: [&str; 3] = ["until", "label", "label!"];

/// `container prune`.
pub(crate) fn containers(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: ContainerPruneArgs = typed(matches)?;
    let filters = Filters::parse(&args.filter, &CONTAINER_FILTERS)?;
    let warning = "WARNING! This will remove all stopped containers.";
    if !args.force && !confirm(context, "container prune", warning)? {
        return Ok(Exit::OK);
    }
    let store = Store::open(&context.config.root)?;
    let pruned = prune::containers(&store, chosen(&store, &filters)?)?;
    report(context, &pruned, &PrunedVolumes::default(), &[], pruned.freed)
}

/// `image prune`.
pub(crate) fn images(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: ImagePruneArgs = typed(matches)?;
    let filters = image_filters(&args.filter)?;
    let warning = if args.all {
        "WARNING! This will remove all images without at least one container associated to them."
    } else {
        "WARNING! This will remove all dangling images."
    };
    if !args.force && !confirm(context, "image prune", warning)? {
        return Ok(Exit::OK);
    }
    let store = Store::open(&context.config.root)?;
    let pruned = prune::images(&store, takes_all(args.all, &filters), &|image| wanted(image, &filters))?;
    report(context, &PrunedContainers::default(), &PrunedVolumes::default(), &pruned.removed, pruned.freed)
}

/// `system prune`.
pub(crate) fn system(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: SystemPruneArgs = typed(matches)?;
    let filters = Filters::parse(&args.filter, &CONTAINER_FILTERS)?;
    let of_images = image_filters(&args.filter)?;
    let images =
        if args.all { "all images without at least one container associated to them" } else { "all dangling images" };
    let volumes = if args.volumes { "  - all anonymous volumes not used by at least one container\n" } else { "" };
    let warning = format!(
        "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n\
         {volumes}  - {images}\n  - unused build cache\n"
    );
    if !args.force && !confirm(context, "system prune", &warning)? {
        return Ok(Exit::OK);
    }
    let store = Store::open(&context.config.root)?;
    let containers = prune::containers(&store, chosen(&store, &filters)?)?;
    let images = prune::images(&store, takes_all(args.all, &of_images), &|image| wanted(image, &of_images))?;
    let volumes = if args.volumes { volume::prune_chosen(&store, false, &filters)? } else { PrunedVolumes::default() };
    let freed = containers.freed + images.freed + volumes.freed;
    report(context, &containers, &volumes, &images.removed, freed)
}

/// Containers by filter; of one that can't be read nothing is known, so it is not among them.
fn chosen(store: &Store, filters: &Filters) -> Result<Vec<Container>> {
    let good = container_list::all(store)?.into_iter().filter_map(Entry::good);
    container_filter::filtered(store, good.collect(), filters)
}

fn image_filters(given: &[String]) -> Result<Vec<Filter>> {
    let filters = given.iter().map(|text| text.parse()).collect::<Result<Vec<Filter>>>()?;
    for filter in &filters {
        if matches!(filter, Filter::Before(_) | Filter::Since(_) | Filter::Id(_)) {
            return Err(Error::usage("prune: this filter needs `runr images`")
                .hint("filters of this command: until, label, label!, dangling, reference"));
        }
    }
    Ok(filters)
}

/// `--filter dangling=false` means all images, as with docker.
fn takes_all(all: bool, filters: &[Filter]) -> bool {
    all || filters.contains(&Filter::Dangling(false))
}

fn wanted(image: &ImageSummary, filters: &[Filter]) -> bool {
    filters.iter().all(|filter| match filter {
        Filter::Dangling(false) => true,
        Filter::Reference(pattern) => image.names.iter().any(|name| image_list::names_fit(pattern, name)),
        // What is in use is not offered.
        Filter::Used(used) => !used,
        filter => image_list::passes(image, filter, None),
    })
}

/// docker's report.
fn report(
    context: &mut Context,
    containers: &PrunedContainers,
    volumes: &PrunedVolumes,
    images: &[Removed],
    freed: u64,
) -> Result<Exit> {
    let mut text = String::new();
    if !containers.ids.is_empty() {
        text.push_str(&format!("Deleted Containers:\n{}\n\n", containers.ids.join("\n")));
    }
    text.push_str(&volume::report(volumes));
    if !images.is_empty() {
        let lines: Vec<String> = images
            .iter()
            .map(|one| match one {
                Removed::Untagged(name) => format!("untagged: {}", rmi::shown(name)),
                Removed::Deleted(id) => format!("deleted: {id}"),
            })
            .collect();
        text.push_str(&format!("Deleted Images:\n{}\n\n", lines.join("\n")));
    }
    text.push_str(&format!("Total reclaimed space: {}\n", units::human_size(freed)));
    context.out.text(&text)?;
    Ok(Exit::OK)
}
