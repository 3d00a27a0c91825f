//! The one error type of the crate.
//!
//! An error is a kind (which picks the exit status, see `cli::exit`), a list of steps from the innermost outwards, the
//! errno if there was one, and hints. It prints as one line, `outer step: inner step: OS text (ERRNO)`, with hints on
//! lines of their own. Each function adds only what its caller cannot know; whoever returns an error does not log it.
//!
//! It is plain data, so that a child process can send it to its parent (`Serialize`).

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The result of everything that can fail in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure it is. Callers match on this, never on text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The command line or an option value is wrong.
    Usage,
    /// An object of runr's (image, container, volume, network) does not exist.
    NotFound,
    /// The beginning of an id that fits several objects.
    Ambiguous,
    /// A name is taken, or the object is in the wrong state.
    Conflict,
    /// The system or a registry said no.
    Denied,
    /// runr, the kernel or this machine cannot do it.
    Unsupported,
    /// A registry or the way to it failed.
    Remote,
    /// Data is damaged or not what its digest says.
    Corrupt,
    /// The operating system refused an operation.
    Io,
    /// The program to execute in the container does not exist: exit status 127.
    CommandNotFound,
    /// The program to execute in the container cannot be executed: exit status 126.
    CommandNotExecutable,
    /// runr contradicts itself.
    Bug,
}

/// An error: see the module documentation for its parts.
#[derive(Clone, Serialize, Deserialize)]
pub struct Error(Box<Parts>);

#[derive(Clone, Serialize, Deserialize)]
struct Parts {
    kind: Kind,
    /// Innermost first.
    steps: Vec<String>,
    errno: Option<i32>,
    hints: Vec<String>,
}

impl Error {
    /// An error of `kind` whose innermost text is `text`: lower case, no final period, objects in backticks.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self(Box::new(Parts { kind, steps: vec![text.into()], errno: None, hints: Vec::new() }))
    }

    /// A wrong command line or option value.
    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(Kind::Usage, text)
    }

    /// An object of runr's that does not exist.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, text)
    }

    /// A taken name or a wrong state.
    pub fn conflict(text: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, text)
    }

    /// Something runr, the kernel or the machine cannot do.
    pub fn unsupported(text: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, text)
    }

    /// A registry, or the way to it, failed.
    pub fn remote(text: impl Into<String>) -> Self {
        Self::new(Kind::Remote, text)
    }

    /// Damaged data.
    pub fn corrupt(text: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt, text)
    }

    /// A refusal of the operating system, by its number (`errno(3)`).
    pub fn os(errno: i32) -> Self {
        Self(Box::new(Parts { kind: Kind::Io, steps: Vec::new(), errno: Some(errno), hints: Vec::new() }))
    }

    /// Adds the step during which this error came up; the new step is printed before the old ones.
    #[must_use]
    pub fn step(mut self, text: impl Into<String>) -> Self {
        self.0.steps.push(text.into());
        self
    }

    /// Adds one thing the reader can do. It must follow from a check just made, not from a guess.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        self.0.hints.push(text.into());
        self
    }

    /// Replaces the kind.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The error number of the operating system, if it was one of its refusals.
    pub fn errno(&self) -> Option<Errno> {
        self.0.errno.map(Errno::from_raw)
    }

    /// The hints, first given first.
    pub fn hints(&self) -> &[String] {
        &self.0.hints
    }

    /// True when the operating system said `ENOENT`.
    pub fn is_missing(&self) -> bool {
        self.errno() == Some(Errno::ENOENT)
    }

    /// True when the disk, or the user's share of it, is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self.errno(), Some(Errno::ENOSPC | Errno::EDQUOT))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for step in self.0.steps.iter().rev() {
            if !first {
                f.write_str(": ")?;
            }
            first = false;
            // A message is one line whatever a file name or a registry put into it.
            for c in step.chars() {
                if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
            }
        }
        if let Some(errno) = self.errno() {
            if !first {
                f.write_str(": ")?;
            }
            write!(f, "{} ({errno:?})", errno.desc())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        for hint in &self.0.hints {
            write!(f, " (hint: {hint})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        // An `Error` that travelled through a `Read` or `Write` comes out as it went in.
        if e.get_ref().is_some_and(|inner| inner.is::<Self>()) {
            return match e.into_inner().map(|inner| inner.downcast::<Self>()) {
                Some(Ok(inner)) => *inner,
                _ => Self::new(Kind::Bug, "an error lost its cause"),
            };
        }
        match e.raw_os_error() {
            Some(errno) => Self::os(errno),
            None => Self::new(Kind::Io, e.to_string()),
        }
    }
}

impl From<Error> for std::io::Error {
    fn from(e: Error) -> Self {
        std::io::Error::other(e)
    }
}

impl From<Errno> for Error {
    fn from(e: Errno) -> Self {
        Self::os(e as i32)
    }
}

impl From<serde_json::Error> for Error {
    fn from(e: serde_json::Error) -> Self {
        Self::corrupt(format!("invalid JSON: {e}"))
    }
}

/// Words the step during which a call failed, at the place where its object is known.
pub trait Doing<T> {
    /// Adds `text()` as a step if this is an error.
    fn doing<S: Into<String>>(self, text: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<Error>> Doing<T> for std::result::Result<T, E> {
    fn doing<S: Into<String>>(self, text: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|e| e.into().step(text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_steps_outside_in_with_the_os_text_last() {
        let e = Error::from(std::io::Error::from_raw_os_error(libc::ENOENT)).step("open `/x`").step("read config");
        assert_eq!(e.to_string(), "read config: open `/x`: No such file or directory (ENOENT)");
        assert!(e.is_missing());
    }

    #[test]
    fn survives_a_trip_through_io_error_and_json() {
        let e = Error::corrupt("layer `sha256:00`: digest differs").hint("pull again");
        let back = Error::from(std::io::Error::from(e.clone()));
        assert_eq!((back.kind(), back.to_string()), (Kind::Corrupt, e.to_string()));
        let json = serde_json::to_string(&e).unwrap();
        assert_eq!(serde_json::from_str::<Error>(&json).unwrap().hints(), ["pull again"]);
    }

    #[test]
    fn stays_one_line_whatever_the_object_is_called() {
        assert_eq!(Error::usage("bad name `a\nb\u{1b}[31m`").to_string(), "bad name `a\\nb\\u{1b}[31m`");
    }
}
