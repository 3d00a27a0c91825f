//! `runr images`, `runr image ls`: which images are in the store.

use super::super::args::image::ImagesArgs;
use super::super::output::listing::{self, Format};
use super::super::output::time;
use super::super::{Context, Exit, typed};
use crate::base::template::{add_fields, mark_map};
use crate::base::{Error, Result, units};
use crate::image::Reference;
use crate::ops::image_list::{self, Filter, names_fit};
use crate::store::{ImageSummary, Store};
use clap::ArgMatches;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

const NONE: &str = "<none>";
const TITLES: [(&str, &str); 10] = [
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("Id", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Created", "CREATED"),
    ("Size", "SIZE"),
    ("VirtualSize", "SIZE"),
];

/// `images`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: ImagesArgs = typed(matches)?;
    let store = Store::open(&context.config.root)?;
    let filters = args.filter.iter().map(|f| f.parse()).collect::<Result<Vec<Filter>>>()?;
    let images = image_list::list(&store, &filters)?;
    let mut lines: Vec<Line<'_>> = images.iter().flat_map(|image| lines_of(image, args.digests)).collect();
    if let Some(name) = &args.name {
        if name.contains(['*', '?']) {
            let fits = |l: &Line<'_>| format!("{}:{}", l.repository, l.tag).parse().is_ok_and(|n| names_fit(name, &n));
            lines.retain(fits);
        } else {
            let (repository, tag) = wanted(name)?;
            lines.retain(|l| l.repository == repository && tag.as_deref().is_none_or(|t| t == l.tag));
        }
    }
    sort(&mut lines, &args.sort)?;
    context.out.text(&print(&lines, &args)?)?;
    for image in images.iter().filter(|i| i.damaged.is_some()) {
        let why = image.damaged.as_deref().unwrap_or_default();
        context.out.warning(&format!("image `{}` is damaged: {why}", image.id.short()));
    }
    store.take_notes().iter().for_each(|note| context.out.warning(note));
    Ok(Exit::OK)
}

/// One line of the list: an image under one of its names.
struct Line<'a> {
    image: &'a ImageSummary,
    repository: String,
    tag: String,
    digest: String,
}

fn print(lines: &[Line<'_>], args: &ImagesArgs) -> Result<String> {
    let id = |image: &ImageSummary| if args.no_trunc { image.id.to_string() } else { image.id.short().to_owned() };
    if args.quiet && args.format.is_none() {
        return Ok(lines.iter().map(|l| id(l.image) + "\n").collect());
    }
    let now = Timestamp::now();
    let rows: Vec<Value> = lines.iter().map(|line| row(line, id(line.image), now)).collect();
    let default = if args.digests {
        "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
    } else {
        "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
    };
    listing::render(&rows, &TITLES, &Format::parse(args.format.as_deref(), default)?, !args.noheading)
}

fn row(line: &Line<'_>, id: String, now: Timestamp) -> Value {
    let created = line.image.created.as_deref().and_then(time::parse);
    let since = created.map_or_else(|| "N/A".to_owned(), |t| time::ago(t, now));
    let at = created.map_or_else(|| "N/A".to_owned(), time::local);
    let size = units::human_size(line.image.size);
    let mut row = json!({
        "Repository": line.repository, "Tag": line.tag, "Digest": line.digest, "ID": id, "CreatedSince": since,
        "CreatedAt": at, "Size": size, "VirtualSize": size, "SharedSize": "N/A", "UniqueSize": "N/A", "Containers": "N/A",
        // podman's spellings.
        "Id": id, "Created": since,
    });
    if let Value::Object(row) = &mut row {
        add_fields(row, podmans(line.image));
    }
    row
}

/// What podman's templates find beside that, and docker's JSON does not have.
fn podmans(image: &ImageSummary) -> Map<String, Value> {
    let texts = |names: &[Reference]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let tags = texts(&image.names);
    let mut labels: Map<String, Value> = image.labels.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
    mark_map(&mut labels);
    [
        ("Names", json!(tags)),
        ("RepoTags", json!(tags)),
        ("RepoDigests", json!(texts(&image.repo_digests))),
        ("Labels", Value::Object(labels)),
        ("Dangling", (image.names.is_empty() && image.foreign_names.is_empty()).into()),
        ("ReadOnly", false.into()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into_iter()
    .collect()
}

/// A line for each name with a tag; one without, when the image has none, or none for that repository.
fn lines_of(image: &ImageSummary, digests: bool) -> Vec<Line<'_>> {
    let digest_of = |name: &Reference| {
        let pinned = image.repo_digests.iter().find(|d| d.name() == name.name()).and_then(Reference::digest);
        pinned.map_or_else(|| NONE.to_owned(), ToString::to_string)
    };
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut add = |repository: String, tag: &str, digest: String| {
        lines.push(Line { image, repository, tag: tag.to_owned(), digest });
    };
    for name in &image.names {
        let digest = name.digest().map_or_else(|| digest_of(name), ToString::to_string);
        add(name.familiar_name(), name.tag().unwrap_or(NONE), digest);
    }
    for name in &image.foreign_names {
        add(name.clone(), NONE, NONE.to_owned());
    }
    if image.names.is_empty() && image.foreign_names.is_empty() {
        match image.repo_digests.first() {
            Some(pinned) if digests => add(pinned.familiar_name(), NONE, digest_of(pinned)),
            _ => add(NONE.to_owned(), NONE, NONE.to_owned()),
        }
    }
    lines
}

/// Repository and tag of each of an image's lines.
pub(super) fn repositories(image: &ImageSummary) -> Vec<(String, String)> {
    lines_of(image, false).into_iter().map(|line| (line.repository, line.tag)).collect()
}

/// The argument `REPOSITORY[:TAG]`: a tag that was not typed does not matter.
fn wanted(name: &str) -> Result<(String, Option<String>)> {
    let reference: Reference = name.parse()?;
    let tail = name.rsplit('/').next().unwrap_or(name);
    let tag = tail.contains(':').then(|| reference.tag().unwrap_or_default().to_owned());
    Ok((reference.familiar_name(), tag))
}

fn sort(lines: &mut [Line<'_>], key: &Option<String>) -> Result<()> {
    match key.as_deref() {
        // The store's own order is newest first.
        None | Some("created") => {}
        Some("repository") => lines.sort_by(|a, b| (&a.repository, &a.tag).cmp(&(&b.repository, &b.tag))),
        Some("tag") => lines.sort_by(|a, b| a.tag.cmp(&b.tag)),
        Some("id") => lines.sort_by(|a, b| a.image.id.cmp(&b.image.id)),
        Some("size") => lines.sort_by_key(|l| l.image.size),
        Some(other) => {
            return Err(
                Error::usage(format!("--sort: unknown key `{other}`")).hint("use created, repository, tag, id or size")
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_counts_only_when_it_was_typed() {
        assert_eq!(wanted("alpine").unwrap(), ("alpine".to_owned(), None));
        assert_eq!(wanted("localhost:5000/a:1").unwrap(), ("localhost:5000/a".to_owned(), Some("1".to_owned())));
        assert_eq!(wanted("localhost:5000/a").unwrap().1, None);
    }
}
