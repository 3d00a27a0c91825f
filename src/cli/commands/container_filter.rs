//! `--filter` of the commands that choose containers (`ps`, `rm`, `start`, `stop`, …): docker's and podman's keys.

use super::super::output::container::{mount_source, network};
use super::super::output::filter::Filters;
use super::super::output::time;
use crate::base::{Error, Result, units};
use crate::image::ports::Ports;
use crate::image::{Digest, Reference};
use crate::ops::container_list::labels;
use crate::spec::options::RestartPolicy;
use crate::spec::ports::exposed;
use crate::state::containers::Container;
use crate::state::{Containers, Status};
use crate::store::Store;
use jiff::Timestamp;

/// The keys.
pub(crate) const FILTERS: [&str; 20] = [
    "id",
    "name",
    "label",
    "label!",
    "status",
    "exited",
    "ancestor",
    "before",
    "since",
    "network",
    "volume",
    "until",
    "health",
    "command",
    "restart-policy",
    "is-task",
    "pod",
    "publish",
    "expose",
    "isolation",
];

/// Keys whose values are words of ours.
pub(crate) const WORDS: [(&str, &[&str]); 3] = [
    ("status", &STATUSES),
    ("health", &["starting", "healthy", "unhealthy", "none"]),
    ("restart-policy", &["no", "always", "on-failure", "unless-stopped"]),
];

/// The values of `status`: docker's words, then podman's.
const STATUSES: [&str; 12] = [
    "created",
    "restarting",
    "running",
    "removing",
    "paused",
    "exited",
    "dead",
    "configured",
    "initialized",
    "stopped",
    "stopping",
    "unknown",
];

/// The containers that pass all filters, running or not, in their order.
///
/// Errors: `Usage` for a value that a key can't have; `NotFound` for the container of `before` or `since`.
pub(crate) fn filtered(store: &Store, all: Vec<Container>, filters: &Filters) -> Result<Vec<Container>> {
    if filters.is_empty() {
        return Ok(all);
    }
    let tests = Tests::prepare(store, filters)?;
    Ok(all.into_iter().filter(|c| tests.pass(c)).collect())
}

/// The filters with all that is the same for every container looked up once.
struct Tests<'a> {
    filters: &'a Filters,
    names: Vec<regex_lite::Regex>,
    ids: Vec<regex_lite::Regex>,
    exited: Vec<i32>,
    before: Vec<Option<Timestamp>>,
    since: Vec<Option<Timestamp>>,
    until: Vec<Timestamp>,
    ancestors: Vec<Ancestor<'a>>,
}

/// An image that containers may descend from.
struct Ancestor<'a> {
    word: &'a str,
    /// Its id and layers, when it is in the store.
    known: Option<(Digest, Vec<Digest>)>,
}

impl<'a> Tests<'a> {
    fn prepare(store: &Store, filters: &'a Filters) -> Result<Self> {
        check_words(filters)?;
        let containers = Containers::new(store.paths());
        let made = |key: &'static str| -> Result<Vec<Option<Timestamp>>> {
            filters.values(key).map(|word| Ok(time::parse(&containers.find(word)?.record.created))).collect()
        };
        let exited = filters
            .values("exited")
            .map(|code| code.parse().map_err(|_| invalid("exited", code, "use an exit status, such as exited=1")));
        let now = Timestamp::now();
        Ok(Self {
            filters,
            names: patterns(filters, "name"),
            ids: patterns(filters, "id"),
            exited: exited.collect::<Result<_>>()?,
            before: made("before")?,
            since: made("since")?,
            until: filters.values("until").map(|text| crate::base::moment::parse(text, now)).collect::<Result<_>>()?,
            ancestors: filters.values("ancestor").map(|word| Ancestor::find(store, word)).collect(),
        })
    }

    fn pass(&self, c: &Container) -> bool {
        let (record, state, filters) = (&c.record, &c.state, self.filters);
        let created = time::parse(&record.created);
        let given = |key: &'static str| filters.values(key).next().is_some();
        // docker matches its own form of the name, with a slash before it, and then without.
        let slashed = format!("/{}", record.name);
        let named = |p: &regex_lite::Regex| p.is_match(&slashed) || p.is_match(&record.name);
        (!given("name") || self.names.iter().any(named))
            && (!given("id") || self.ids.iter().any(|p| p.is_match(&record.id)))
            && filters.labels(&labels(c))
            && filters.any("status", |s| status_fits(s, state.status))
            && (self.exited.is_empty()
                || state.status == Status::Exited && self.exited.contains(&state.exit_code.unwrap_or(0)))
            && (self.ancestors.is_empty() || self.ancestors.iter().any(|a| a.fits(c)))
            && self.before.iter().all(|t| created < *t)
            && self.since.iter().all(|t| created > *t)
            && (self.until.is_empty() || self.until.iter().any(|t| created.is_some_and(|c| c < *t)))
            && filters.any("network", |wanted| wanted == network(c))
            && filters.any("volume", |path| {
                record.options.mounts.iter().any(|m| m.target == path || mount_source(&m.kind) == path)
            })
            && filters.any("command", |word| record.command.first().is_some_and(|first| first == word))
            && filters.any("health", |wanted| wanted == state.health.as_ref().map_or("none", |h| h.status.word()))
            && filters.any("restart-policy", |wanted| wanted == policy_word(record.options.restart))
            && filters.any("expose", |wanted| fits(wanted, &exposed(&record.execution, &record.options)))
            // As for docker: what was asked for, whether or not the network has ports to publish.
            && filters.any("publish", |wanted| fits(wanted, &record.options.published_ports()))
            // There are no services and no pods.
            && filters.any("is-task", |wanted| !units::parse_bool(wanted).unwrap_or(false))
            && filters.any("pod", |wanted| matches!(wanted, "" | "none"))
            && filters.any("isolation", |wanted| matches!(wanted, "" | "default"))
    }
}

impl<'a> Ancestor<'a> {
    fn find(store: &Store, word: &'a str) -> Self {
        let image = store.find_image(word).and_then(|entry| store.load_image(&entry));
        Self { word, known: image.ok().map(|i| (i.id.clone(), i.config.rootfs.diff_ids.clone())) }
    }

    /// The container's image is this one, or made on top of it: all its layers and some more.
    fn fits(&self, c: &Container) -> bool {
        let Some(image) = &c.record.image else { return false };
        match &self.known {
            Some((id, layers)) => {
                image.id == *id || image.layers.len() > layers.len() && image.layers.starts_with(layers)
            }
            None => {
                image.name == self.word
                    || self.word.len() >= 4 && image.id.hex().starts_with(self.word.trim_start_matches("sha256:"))
                    || same_name(&image.name, self.word)
            }
        }
    }
}

/// The regular expressions of a key. One that is none fits nothing, with docker and podman alike.
fn patterns(filters: &Filters, key: &str) -> Vec<regex_lite::Regex> {
    filters.values(key).filter_map(|text| regex_lite::Regex::new(text).ok()).collect()
}

/// Refuses values that a key can't have.
fn check_words(filters: &Filters) -> Result<()> {
    for (key, known) in WORDS {
        if let Some(value) = filters.values(key).find(|v| !known.contains(v)) {
            return Err(invalid(key, value, &format!("use one of {}", known.join(", "))));
        }
    }
    for value in filters.values("is-task") {
        units::parse_bool(value).ok_or_else(|| invalid("is-task", value, "use true or false"))?;
    }
    for key in ["publish", "expose"] {
        if let Some(value) = filters.values(key).find(|v| v.parse::<Ports>().is_err()) {
            return Err(invalid(key, value, "use PORT[/PROTOCOL] or FIRST-LAST[/PROTOCOL]"));
        }
    }
    Ok(())
}

fn invalid(key: &str, value: &str, hint: &str) -> Error {
    Error::usage(format!("invalid filter `{key}={value}`")).hint(hint)
}

/// One of the ports is among those of a filter, which was checked.
fn fits(wanted: &str, ports: &[Ports]) -> bool {
    wanted.parse::<Ports>().is_ok_and(|wanted| ports.iter().any(|port| port.meet(&wanted)))
}

fn status_fits(wanted: &str, status: Status) -> bool {
    wanted == status.word() || matches!((wanted, status), ("stopped", Status::Exited) | ("configured", Status::Created))
}

/// docker's word for a restart policy.
pub(crate) fn policy_word(policy: RestartPolicy) -> &'static str {
    match policy {
        RestartPolicy::No => "no",
        RestartPolicy::OnFailure(_) => "on-failure",
        RestartPolicy::Always => "always",
        RestartPolicy::UnlessStopped => "unless-stopped",
    }
}

fn same_name(a: &str, b: &str) -> bool {
    let parse = |text: &str| text.parse::<Reference>().ok();
    parse(a).zip(parse(b)).is_some_and(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_as_in_dockers_filter() {
        let fits = |pattern: &str, name: &str| {
            let filters = Filters::parse(&[format!("name={pattern}")], &FILTERS).unwrap();
            patterns(&filters, "name").iter().any(|p| p.is_match(&format!("/{name}")) || p.is_match(name))
        };
        for (pattern, name, expected) in [
            ("web", "my-web-1", true),
            ("^web$", "web", true),
            ("^/web$", "web", true),
            ("^web", "web-1", true),
            ("^web", "my-web", false),
            ("web$", "my-web", true),
            ("^web$", "web-1", false),
            ("^(web|db)-[0-9]+$", "db-12", true),
            ("^(web|db)-[0-9]+$", "db-x", false),
            ("w.b", "web", true),
            ("[", "web", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
        assert!(same_name("alpine", "docker.io/library/alpine:latest") && !same_name("alpine", "alpine:3"));
    }

    #[test]
    fn values_that_a_key_cannot_have_are_refused() {
        for (filter, good) in [
            ("status=running", true),
            ("status=stopped", true),
            ("status=asleep", false),
            ("health=none", true),
            ("health=fine", false),
            ("is-task=true", true),
            ("is-task=maybe", false),
            ("publish=80", true),
            ("publish=8000-8080/udp", true),
            ("expose=80/http", false),
            ("expose=9-8", false),
            ("restart-policy=always", true),
            ("restart-policy=never", false),
        ] {
            let filters = Filters::parse(&[filter.to_owned()], &FILTERS).unwrap();
            assert_eq!(check_words(&filters).is_ok(), good, "{filter}");
        }
        assert_eq!(invalid("status", "x", "h").to_string(), "invalid filter `status=x`");
    }
}
