//! The conversation between the parent (`launch`) and the container's process (`init`) until it executes its command.
//!
//! ```text
//! parent                                   child
//!   writes the id maps, joins the cgroup     waits
//!   Go::Mapped                      ->
//!                                            mounts, pivots, drops privileges
//!                                   <-       Said::Ready [pty master, …]
//!   writes state.json
//!   Go::Execute                     ->
//!                                            execve: the socket closes
//!                                   <-       or Said::Failed
//! ```
//! The child ends when the socket closes before `Execute`: a parent that dies leaves nothing running.

use crate::base::Error;
use serde::{Deserialize, Serialize};

/// From the parent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Go {
    /// Ids are mapped: become root and build the container.
    Mapped,
    /// The record is on disk: execute.
    Execute,
}

/// A descriptor from the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Handed {
    /// The master of the command's terminal.
    Terminal,
    /// runr's executable, read-only, where it needs protection (`own_exe`).
    OwnExe,
    /// A namespace of the container's, `CLONE_NEW*`.
    Namespace(i32),
}

/// From the child.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// All is set up; with a terminal its master comes along. The notes are said to the user once.
    Ready {
        /// What had to be given up.
        notes: Vec<String>,
        /// What the descriptors beside this message are, in their order.
        handed: Vec<Handed>,
    },
    /// From the joiner of a running container (`exec`): the command's process is there, its descriptor beside this message.
    Joined {
        /// Its pid as the monitor sees it.
        pid: i32,
    },
    /// It cannot be done.
    Failed(Error),
}
