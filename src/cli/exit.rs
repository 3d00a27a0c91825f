//! Exit statuses: the one table from what went wrong to what the shell sees.
//!
//! The container's own status passes through `run` untouched; 126 and 127 are "found but not executable" and "not found"
//! of the container's command; 128+n is signal n; 125 is every failure of runr itself. `rm` and `rmi` say 1 for a missing
//! object and 2 for one in use, as podman 4 and 5 do. clap's own 2 never gets out.

use crate::base::Kind;
use crate::supervise::client::End;
use std::process::ExitCode;

/// What a command hands to the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(u8);

impl Exit {
    /// Success.
    pub const OK: Self = Self(0);
    /// runr could not do it.
    pub const FAILED: Self = Self(125);

    /// A status as `wait` reports it: a container's own, or 128 + signal.
    pub fn code(status: u8) -> Self {
        Self(status)
    }

    /// The number.
    pub fn status(self) -> u8 {
        self.0
    }
}

impl From<End> for Exit {
    /// Whoever leaves a container to itself has done what it wanted.
    fn from(end: End) -> Self {
        match end {
            End::Exited(code) => Self(code as u8),
            End::Detached => Self::OK,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.0)
    }
}

/// The status of `command` (its canonical name, such as `run`) that failed with an error of `kind`.
pub fn of(command: &str, kind: Kind) -> Exit {
    Exit(match (command, kind) {
        (_, Kind::CommandNotFound) => 127,
        (_, Kind::CommandNotExecutable) => 126,
        ("rm" | "rmi" | "volume rm", Kind::NotFound) => 1,
        // podman 4 and 5 and docker say so; of a container's id podman says 125.
        ("rmi", Kind::Ambiguous) => 1,
        ("rm" | "rmi" | "volume rm", Kind::Conflict) => 2,
        // podman 4 and 5: the container is there and does not run.
        ("exec", Kind::Conflict) => 255,
        _ => 125,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        use Kind::*;
        for (command, kind, status) in [
            ("run", CommandNotFound, 127),
            ("run", CommandNotExecutable, 126),
            ("exec", CommandNotFound, 127),
            ("exec", Conflict, 255),
            ("exec", NotFound, 125),
            ("run", Usage, 125),
            ("run", NotFound, 125),
            ("run", Denied, 125),
            ("inspect", NotFound, 125),
            ("logs", NotFound, 125),
            ("rm", NotFound, 1),
            ("rm", Conflict, 2),
            ("rm", Usage, 125),
            ("rm", Io, 125),
            ("rmi", NotFound, 1),
            ("rmi", Ambiguous, 1),
            ("rm", Ambiguous, 125),
            ("exec", Ambiguous, 125),
            ("rmi", Conflict, 2),
            ("pull", Remote, 125),
            ("ps", Corrupt, 125),
            ("images", Bug, 125),
        ] {
            assert_eq!(of(command, kind).status(), status, "{command} {kind:?}");
        }
    }
}
