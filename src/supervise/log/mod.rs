//! The writer of a container's log, called by its monitor with whatever it has read from the container.
//!
//! It never fails: output goes to whoever is attached whether or not it can be logged. What a full disk or a busy journal
//! does not take is dropped and counted, and the log says so once it can be written again. Nothing is made on disk before
//! the first byte of output.

mod file;
mod journal;
mod packer;

use crate::base::Result;
use crate::state::log::journal::SOCKET;
use crate::state::log::stamp::Stamper;
use crate::state::log::{Driver, Settings, Stream};
use crate::state::record::ContainerRecord;
use file::FileLog;
use journal::JournalLog;
use std::path::Path;

/// The log of one container.
#[derive(Debug)]
pub struct Log {
    sink: Sink,
    stamper: Stamper,
}

#[derive(Debug)]
enum Sink {
    Nowhere,
    File(Box<FileLog>),
    Journal(Box<JournalLog>),
}

impl Log {
    /// The log of a container with this record and folder. Touches nothing.
    ///
    /// Errors: `Usage` for options that were never valid.
    pub fn open(record: &ContainerRecord, folder: &Path) -> Result<Self> {
        let settings = Settings::of(&record.options)?;
        let sink = match settings.driver {
            Driver::None | Driver::Passthrough => Sink::Nowhere,
            Driver::Journald => Sink::Journal(Box::new(JournalLog::new(record, &settings, SOCKET.into()))),
            Driver::K8sFile | Driver::JsonFile | Driver::Local => {
                FileLog::new(&settings, record, folder).map_or(Sink::Nowhere, |log| Sink::File(Box::new(log)))
            }
        };
        Ok(Self { sink, stamper: Stamper::default() })
    }

    /// A log that keeps nothing.
    pub fn off() -> Self {
        Self { sink: Sink::Nowhere, stamper: Stamper::default() }
    }

    /// True when nothing is kept, so that output without a reader need not even be read.
    pub fn is_off(&self) -> bool {
        matches!(self.sink, Sink::Nowhere)
    }

    /// Appends what was read from the container just now. Bytes may end anywhere in a line or a character.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match &mut self.sink {
            Sink::Nowhere => {}
            Sink::File(log) => log.write(self.stamper.now(), stream, bytes),
            Sink::Journal(log) => log.write(stream, bytes),
        }
    }

    /// The container has ended for good: what is still done for the log is waited for if it is kept, else ended.
    pub fn close(&mut self, keep: bool) {
        if let Sink::File(log) = &mut self.sink {
            log.close(keep);
        }
    }

    /// A run of the container has ended: lines that it left unfinished are closed. The log can be written again.
    pub fn end_run(&mut self) {
        match &mut self.sink {
            // Each entry of the journal stands by itself.
            Sink::Nowhere | Sink::Journal(_) => {}
            Sink::File(log) => log.end_run(self.stamper.now()),
        }
    }
}

#[cfg(test)]
mod tests;
