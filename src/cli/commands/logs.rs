//! `runr logs`: what containers wrote, each stream to the same stream of the caller's.

use super::super::args::logs::LogsArgs;
use super::super::output::Output;
use super::super::{Context, Exit, typed};
use super::select;
use crate::base::template::query_escape;
use crate::base::{Error, Result, moment};
use crate::ops::logs::{self, Query, Sink};
use crate::state::containers::short;
use crate::state::log::stamp::Stamper;
use crate::state::log::{Content, Record, Stream};
use crate::store::Store;
use clap::ArgMatches;
use jiff::Timestamp;
use std::os::fd::AsFd;

/// `logs`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: LogsArgs = typed(matches)?;
    let query = query(&args)?;
    if args.latest && !args.containers.is_empty() {
        return Err(Error::usage("logs: --latest and containers cannot be used together"));
    }
    if !args.latest && args.containers.is_empty() {
        return Err(Error::usage("logs: specify at least one container name or id").hint("see `runr logs --help`"));
    }
    let store = Store::open(&context.config.root)?;
    let words = if args.latest { vec![select::latest(&store)?] } else { args.containers.clone() };
    let logs = logs::open(&store, &words)?;
    let prefixes = logs.iter().map(|log| Prefix::new(log, &args, logs.len() > 1)).collect();
    let mut printer = Printer::new(&mut context.out, prefixes, args.timestamps, args.color);
    let stdout = std::io::stdout();
    logs::run(logs, &query, Some(stdout.as_fd()), &mut printer)?;
    printer.finish()?;
    Ok(Exit::OK)
}

fn query(args: &LogsArgs) -> Result<Query> {
    let now = Timestamp::now();
    let time = |flag: &str, text: &Option<String>| -> Result<Option<i64>> {
        let at = text.as_deref().map(|t| moment::parse(t, now)).transpose().map_err(|e| e.step(flag))?;
        Ok(at.map(|t| i64::try_from(t.as_nanosecond()).unwrap_or(i64::MAX)))
    };
    Ok(Query {
        last: args.tail.as_deref().map_or(Ok(None), tail)?,
        since: time("--since", &args.since)?,
        until: time("--until", &args.until)?,
        follow: args.follow,
    })
}

/// A number of lines; `all` and a negative number are all of them.
fn tail(text: &str) -> Result<Option<u64>> {
    match (text, text.parse::<i64>()) {
        ("all", _) => Ok(None),
        (_, Ok(lines)) => Ok(u64::try_from(lines).ok()),
        _ => Err(Error::usage(format!("--tail: invalid number of lines `{text}`: use a number or all"))),
    }
}

/// What a container's lines begin and end with.
struct Prefix {
    name: String,
    who: String,
    details: Option<String>,
}

impl Prefix {
    fn new(log: &logs::Log, args: &LogsArgs, several: bool) -> Self {
        let record = &log.container.record;
        let word = if args.names { record.name.as_str() } else { short(&record.id) };
        let details = args.details.then(|| {
            let attributes = log.settings.attributes(record);
            let pairs =
                attributes.iter().map(|(name, value)| format!("{}={}", query_escape(name), query_escape(value)));
            pairs.collect::<Vec<_>>().join(",") + " "
        });
        Self { name: record.name.clone(), who: if several { format!("{word} ") } else { String::new() }, details }
    }
}

/// Colours of containers, in their order: podman's.
const COLOURS: [&str; 7] = ["37", "31", "33", "34", "35", "36", "32"];
/// Output is collected up to this size.
const ENOUGH: usize = 64 * 1024;

/// Writes records as they come, each stream's bytes exactly, with prefixes where a line begins.
struct Printer<'a> {
    out: &'a mut Output,
    prefixes: Vec<Prefix>,
    /// For each container and stream, whether a line is open.
    open: Vec<[bool; 2]>,
    timestamps: bool,
    colour: bool,
    stamper: Stamper,
    buffer: Vec<u8>,
    /// Where the buffer's content goes.
    stream: Stream,
}

impl<'a> Printer<'a> {
    fn new(out: &'a mut Output, prefixes: Vec<Prefix>, timestamps: bool, colour: bool) -> Self {
        let open = vec![[false; 2]; prefixes.len()];
        let (stamper, buffer) = (Stamper::default(), Vec::with_capacity(ENOUGH));
        Self { out, prefixes, open, timestamps, colour, stamper, buffer, stream: Stream::Stdout }
    }

    fn is_plain(&self) -> bool {
        !self.timestamps && !self.colour && self.prefixes.iter().all(|p| p.who.is_empty() && p.details.is_none())
    }

    fn begin_line(&mut self, log: usize, time: i64) {
        let Some(prefix) = self.prefixes.get(log) else { return };
        if self.colour {
            self.buffer.extend_from_slice(format!("\x1b[{}m", COLOURS[log % COLOURS.len()]).as_bytes());
        }
        self.buffer.extend_from_slice(prefix.who.as_bytes());
        if self.timestamps {
            self.buffer.extend_from_slice(self.stamper.text(time));
            self.buffer.push(b' ');
        }
        self.buffer.extend_from_slice(prefix.details.as_deref().unwrap_or_default().as_bytes());
    }

    /// Ends the lines of others on this stream, so that no line has parts of two containers.
    fn end_others(&mut self, log: usize, stream: Stream) {
        for (_, open) in self.open.iter_mut().enumerate().filter(|(other, _)| *other != log) {
            if std::mem::take(&mut open[stream.index()]) {
                self.buffer.extend_from_slice(if self.colour { b"\x1b[0m\n" } else { b"\n" });
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        match self.stream {
            Stream::Stdout => self.out.bytes(&self.buffer)?,
            Stream::Stderr => self.out.error_bytes(&self.buffer)?,
        }
        self.buffer.clear();
        Ok(())
    }

    /// Ends what is coloured and has no end of its own.
    fn finish(mut self) -> Result<()> {
        let colour = self.colour;
        for stream in Stream::ALL.into_iter().filter(|_| colour) {
            if self.open.iter().any(|streams| streams[stream.index()]) {
                self.turn_to(stream)?;
                self.buffer.extend_from_slice(b"\x1b[0m");
            }
        }
        self.flush()
    }

    fn turn_to(&mut self, stream: Stream) -> Result<()> {
        if self.stream != stream {
            self.flush()?;
            self.stream = stream;
        }
        Ok(())
    }
}

impl Sink for Printer<'_> {
    fn record(&mut self, log: usize, record: &Record<'_>) -> Result<()> {
        let bytes = match &record.content {
            Content::Bytes(bytes) => bytes,
            // The next line begins where this one stopped, as it did for whoever watched.
            Content::Unfinished => return Ok(()),
            Content::Lost(bytes) => {
                self.flush()?;
                let name = self.prefixes.get(log).map_or("", |p| p.name.as_str());
                self.out.warning(&format!(
                    "the log of `{name}` could not be written for a while: {bytes} bytes of it are missing here"
                ));
                return Ok(());
            }
        };
        self.turn_to(record.stream)?;
        if self.is_plain() {
            self.buffer.extend_from_slice(bytes);
        } else {
            self.end_others(log, record.stream);
            let was_open = std::mem::replace(&mut self.open[log][record.stream.index()], !record.ends_line());
            if !was_open {
                self.begin_line(log, record.time);
            }
            match bytes.strip_suffix(b"\n").filter(|_| self.colour) {
                Some(text) => {
                    self.buffer.extend_from_slice(text);
                    self.buffer.extend_from_slice(b"\x1b[0m\n");
                }
                None => self.buffer.extend_from_slice(bytes),
            }
        }
        if self.buffer.len() >= ENOUGH { self.flush() } else { Ok(()) }
    }

    fn pause(&mut self) -> Result<()> {
        self.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_docker_and_podman_do() {
        for (text, lines) in [("all", None), ("-1", None), ("0", Some(0)), ("10", Some(10))] {
            assert_eq!(tail(text).unwrap(), lines);
        }
        assert_eq!(tail("few").unwrap_err().to_string(), "--tail: invalid number of lines `few`: use a number or all");
    }

    #[test]
    fn details_are_escaped_as_in_go() {
        assert_eq!(query_escape("a b=c,d/é~"), "a+b%3Dc%2Cd%2F%C3%A9~");
    }
}
