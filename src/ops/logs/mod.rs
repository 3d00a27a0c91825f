//! `logs`: what containers wrote, from where to when, and what they write from now on.

mod journal;

use super::containers::gone;
use crate::base::{Error, Result};
use crate::state::Containers;
use crate::state::containers::Container;
use crate::state::log::watch::{Watch, Woken};
use crate::state::log::{Driver, Next, Reader, Record, Settings};
use crate::store::Store;
use crate::sys::lock;
use journal::JournalReader;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Which records are wanted. Times are nanoseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Query {
    /// Only so many lines from the end.
    pub last: Option<u64>,
    /// Not those before.
    pub since: Option<i64>,
    /// Not those after.
    pub until: Option<i64>,
    /// Go on until the containers have ended, or until `until`.
    pub follow: bool,
}

/// Where records go.
pub trait Sink {
    /// Takes one record of the log with this index.
    fn record(&mut self, log: usize, record: &Record<'_>) -> Result<()>;
    /// Nothing follows for a while.
    fn pause(&mut self) -> Result<()>;
}

/// The log of one container.
#[derive(Debug)]
pub struct Log {
    /// Whose.
    pub container: Container,
    /// How it is kept.
    pub settings: Settings,
    source: Source,
    /// The container's lock, only ever looked at.
    lock: Option<File>,
}

/// Where it lies.
#[derive(Debug)]
enum Source {
    Files(Box<Reader>),
    Journal(JournalReader),
}

/// After something happened, the next look comes this soon even if nothing else does: the kernel tells of a closed lock
/// file before it frees the lock.
const SOON: Duration = Duration::from_millis(10);

/// The logs of the containers that `words` name.
///
/// Errors: `NotFound` for any of them; `Unsupported` if one's driver keeps nothing.
pub fn open(store: &Store, words: &[String]) -> Result<Vec<Log>> {
    let containers = Containers::new(store.paths());
    let found: Vec<Container> = words.iter().map(|word| containers.find(word)).collect::<Result<_>>()?;
    found.into_iter().zip(words).map(|(container, word)| Log::open(container).map_err(|e| gone(e, word))).collect()
}

/// Gives what is wanted to `sink`, the logs one after the other, or with `follow` as it comes. `reader` is where it all goes:
/// when that has hung up, this ends.
pub fn run(mut logs: Vec<Log>, query: &Query, reader: Option<BorrowedFd<'_>>, sink: &mut dyn Sink) -> Result<()> {
    for log in &mut logs {
        if let Some(lines) = query.last {
            match &mut log.source {
                Source::Files(reader) => reader.seek_last(lines)?,
                Source::Journal(reader) => reader.seek_last(lines),
            }
        }
    }
    let mut watch = Watch::new();
    if query.follow {
        logs.iter().for_each(|log| watch.container(&log.container.folder));
    }
    let mut going: Vec<(usize, Log)> = logs.into_iter().enumerate().collect();
    let mut woken = Woken::Event;
    loop {
        let now = now();
        let mut still = Vec::new();
        for (index, mut log) in going {
            // In this order: what is written after the look is there when it is read.
            let goes_on = query.follow && log.is_running();
            if goes_on {
                match &mut log.source {
                    Source::Files(reader) => watch.log(reader),
                    Source::Journal(reader) => reader.follow()?,
                }
            }
            log.pass(index, query, sink)?;
            if goes_on {
                still.push((index, log));
            }
        }
        going = still;
        let left = query.until.map(|until| until.saturating_sub(now));
        sink.pause()?;
        if going.is_empty() || left.is_some_and(|left| left <= 0) {
            return Ok(());
        }
        let left = left.map(|left| Duration::from_nanos(left.unsigned_abs()));
        let soon = (woken == Woken::Event).then_some(SOON);
        let news: Vec<BorrowedFd<'_>> = going.iter().filter_map(|(_, log)| log.news()).collect();
        woken = watch.wait([left, soon].into_iter().flatten().min(), &news, reader)?;
        if woken == Woken::HungUp {
            return Ok(());
        }
    }
}

impl Log {
    fn open(container: Container) -> Result<Self> {
        let settings = Settings::of(&container.record.options)?;
        let name = &container.record.name;
        let files = match settings.driver {
            Driver::None | Driver::Passthrough => None,
            Driver::Journald => Some(Source::Journal(JournalReader::new(&container.record.id))),
            Driver::K8sFile | Driver::JsonFile | Driver::Local => {
                Reader::open(&settings, &container.folder)?.map(|reader| Source::Files(Box::new(reader)))
            }
        };
        let Some(source) = files else {
            let word = settings.driver.word();
            return Err(Error::unsupported(format!(
                "container `{name}` uses the log driver `{word}`, which keeps no output"
            )));
        };
        let lock = File::open(container.folder.join("lock")).ok();
        Ok(Self { container, settings, source, lock })
    }

    /// True until the container's monitor has ended, restarts in between included.
    fn is_running(&self) -> bool {
        // A damaged or removed folder has no lock: then nothing more is written either.
        self.lock.as_ref().is_some_and(|file| lock::is_locked(file).unwrap_or(false))
    }

    /// Readable when there is more; a log in files is watched otherwise.
    fn news(&self) -> Option<BorrowedFd<'_>> {
        match &self.source {
            Source::Files(_) => None,
            Source::Journal(reader) => reader.news(),
        }
    }

    /// Hands over what there is now.
    fn pass(&mut self, index: usize, query: &Query, sink: &mut dyn Sink) -> Result<()> {
        let mut give = |record: &Record<'_>| {
            let early = query.since.is_some_and(|since| record.time < since);
            let late = query.until.is_some_and(|until| record.time > until);
            if early || late { Ok(()) } else { sink.record(index, record) }
        };
        let reader = match &mut self.source {
            Source::Files(reader) => reader,
            Source::Journal(reader) => {
                reader.take_news();
                return reader.pass(&mut give);
            }
        };
        loop {
            match reader.read()? {
                Next::Record(record) => give(&record)?,
                Next::Damaged => {}
                Next::End => return Ok(()),
            }
        }
    }
}

fn now() -> i64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_REALTIME);
    now.map(|t| t.tv_sec() * 1_000_000_000 + t.tv_nsec()).unwrap_or(i64::MAX)
}
