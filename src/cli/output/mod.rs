//! Everything that reaches stdout and stderr goes through [`Output`]; tables, templates and times are made by the modules
//! below and handed over as text.
//!
//! A reader that went away (`runr images | head -1`) is not a failure: the write returns an error, which the top level
//! recognises by [`Output::reader_gone`] and turns into a quiet exit with status 0.

pub(crate) mod container;
pub(crate) mod document;
pub(crate) mod filter;
pub(crate) mod listing;
pub(crate) mod table;
pub(crate) mod time;

use crate::base::{Doing, Error, Result};
use nix::errno::Errno;
use std::io::{IsTerminal, Write};

/// The two streams of this process.
#[derive(Debug, Default)]
pub(crate) struct Output {
    reader_gone: bool,
    colour: bool,
    /// No warnings: `--log-level error`.
    pub(crate) errors_only: bool,
}

impl Output {
    /// `colour` allows colour where the stream is a terminal.
    pub(crate) fn new(colour: bool) -> Self {
        Self { reader_gone: false, colour, errors_only: false }
    }

    /// True when colour on stdout is welcome.
    pub(crate) fn colours_stdout(&self) -> bool {
        self.colour && std::io::stdout().is_terminal()
    }

    /// Writes one line to stdout.
    pub(crate) fn line(&mut self, text: &str) -> Result<()> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Writes text as it is to stdout.
    pub(crate) fn text(&mut self, text: &str) -> Result<()> {
        self.bytes(text.as_bytes())
    }

    /// Shows text that replaces what was shown before: on a terminal from its upper left corner on.
    pub(crate) fn screen(&mut self, text: &str) -> Result<()> {
        if !std::io::stdout().is_terminal() {
            return self.text(text);
        }
        // Home, then each line with what stood behind it cleared, then all below: no flicker, as a clear first would have.
        let lines = text.replace('\n', "\x1b[K\r\n");
        self.text(&format!("\x1b[H{lines}\x1b[J"))
    }

    /// Writes bytes as they are to stdout.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        self.written(written, "write to standard output")
    }

    /// Writes a container's bytes to stderr.
    pub(crate) fn error_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let written = std::io::stderr().lock().write_all(bytes);
        self.written(written, "write to standard error")
    }

    fn written(&mut self, result: std::io::Result<()>, step: &str) -> Result<()> {
        result.map_err(Error::from).doing(|| step).inspect_err(|e| {
            self.reader_gone |= e.errno() == Some(Errno::EPIPE);
        })
    }

    /// True once stdout's reader has closed it.
    pub(crate) fn reader_gone(&self) -> bool {
        self.reader_gone
    }

    /// Prints an error as `runr: …` with its hints on lines of their own.
    pub(crate) fn error(&self, error: &Error) {
        let (name, hint) = if self.colour && std::io::stderr().is_terminal() {
            ("\x1b[1;31mrunr:\x1b[0m", "\x1b[1mhint:\x1b[0m")
        } else {
            ("runr:", "hint:")
        };
        let mut text = format!("{name} {error}\n");
        for line in error.hints() {
            text.push_str(&format!("{hint} {line}\n"));
        }
        self.diagnostic(&text);
    }

    /// Prints one warning line.
    pub(crate) fn warning(&self, text: &str) {
        if !self.errors_only {
            self.diagnostic(&format!("runr: warning: {text}\n"));
        }
    }

    /// Tells a person something on stderr that no script waits for.
    pub(crate) fn note(&self, text: &str) {
        if !self.errors_only {
            self.diagnostic(&format!("{text}\n"));
        }
    }

    /// Writes to stderr. When that fails there is nobody left to tell.
    fn diagnostic(&self, text: &str) {
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}
