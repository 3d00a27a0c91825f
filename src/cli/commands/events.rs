//! `runr events`: what happened and what happens.

use super::super::args::events::EventsArgs;
use super::super::output::filter::Filters;
use super::super::{Context, Exit, typed};
use crate::base::template::Template;
use crate::base::{Result, moment};
use crate::ops::events::{self, FILTERS, Query};
use crate::state::events::Event;
use crate::store::Store;
use clap::ArgMatches;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::os::fd::AsFd;

/// `events`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: EventsArgs = typed(matches)?;
    let filters = Filters::parse(&args.filter, &FILTERS)?;
    let now = Timestamp::now();
    let time = |text: &Option<String>| -> Result<Option<i64>> {
        let at = text.as_deref().map(|t| moment::parse(t, now)).transpose()?;
        Ok(at.map(|t| i64::try_from(t.as_nanosecond()).unwrap_or(i64::MAX)))
    };
    let query = Query { since: time(&args.since)?, until: time(&args.until)?, stream: args.stream };
    let printer = Printer::new(&args)?;
    let store = Store::open(&context.config.root)?;
    let stdout = std::io::stdout();
    let out = &mut context.out;
    events::run(&store, &query, Some(stdout.as_fd()), &mut |batch| {
        let mut text = String::new();
        for event in batch.iter().filter(|event| wanted(event, &filters)) {
            text.push_str(&printer.print(event)?);
        }
        if text.is_empty() { Ok(()) } else { out.text(&text) }
    })?;
    Ok(Exit::OK)
}

fn wanted(event: &Event, filters: &Filters) -> bool {
    let plain = FILTERS.iter().filter(|key| !key.starts_with("label"));
    // `event` and `status` are two words for one thing, so one of both is enough.
    let actions = || filters.values("event").chain(filters.values("status"));
    let action_fits = actions().next().is_none() || actions().any(|value| events::fits(event, "event", value));
    let others = plain.filter(|key| !matches!(**key, "event" | "status"));
    action_fits
        && others.into_iter().all(|key| filters.any(key, |value| events::fits(event, key, value)))
        && filters.labels(&event.attributes)
}

/// How an event is printed.
struct Printer {
    zone: TimeZone,
    truncate: bool,
    form: Form,
}

enum Form {
    Line,
    Json,
    Template(Template),
}

impl Printer {
    fn new(args: &EventsArgs) -> Result<Self> {
        let form = match args.format.as_deref() {
            None | Some("") => Form::Line,
            Some("json") => Form::Json,
            Some(text) => Form::Template(Template::parse(&text.replace("\\t", "\t").replace("\\n", "\n"))?),
        };
        Ok(Self { zone: TimeZone::system(), truncate: !args.no_trunc, form })
    }

    fn print(&self, event: &Event) -> Result<String> {
        let document = || events::document(event, &self.zone, self.truncate);
        match &self.form {
            Form::Line => Ok(events::line(event, &self.zone, self.truncate)? + "\n"),
            Form::Json => Ok(format!("{}\n", document()?)),
            Form::Template(template) => Ok(template.render(&document()?)? + "\n"),
        }
    }
}
