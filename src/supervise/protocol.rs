//! What the monitor and its client say to each other, one JSON document per packet.

use crate::base::Error;
use crate::sys::term::Size;
use serde::{Deserialize, Serialize};

/// From the client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// Send this signal to the container's first process.
    Signal(i32),
    /// The client's terminal has this size now.
    Resize(Size),
}

/// From the monitor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Report {
    /// The command executes; `notes` are for the user.
    Started {
        /// The first process's pid, on the host.
        pid: i32,
        /// What had to be given up.
        notes: Vec<String>,
    },
    /// The command could not be executed.
    Failed(Error),
    /// The container has ended, and all that must be true before the next command of a script is.
    Exited {
        /// Its status, or 128 + signal.
        code: i32,
    },
}
