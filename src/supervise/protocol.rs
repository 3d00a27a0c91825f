//! What a monitor and its clients say to each other: one JSON document per packet of a seqpacket socket, descriptors beside it.
//!
//! ```text
//! client ──connect──> containers/<id>/ctl
//!        <─ Hello ──  the protocol's version and runr's
//!        ── Attach ─> a request; stdin, stdout, stderr ride along as descriptors
//!        <─ Exited ─  its answer
//! ```
//! The command that started a container holds the other end of a socket pair instead, and is told of the start first.
//!
//! A container may be older or newer than the command that talks to it. So within one [`VERSION`] requests, answers and fields
//! are only ever added: unknown fields are ignored, an unknown request is answered with `Failed`, an unknown answer is an error
//! of the command's. A field that is new has a default that means what was so before it. `tests/it/protocol.rs` keeps a
//! recording of each version.

use crate::base::Error;
use crate::runtime::exec::ExecSpec;
use crate::spec::health::HealthOptions;
use crate::spec::limits::Limits;
use crate::spec::options::RestartPolicy;
use crate::sys::term::Size;
use serde::{Deserialize, Serialize};

/// The version of this protocol. It changes when a request or an answer changes its meaning.
pub const VERSION: u32 = 1;

/// From a client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// Send this signal to the process that this connection accompanies: the container's first, or its exec session's. No answer.
    Signal(i32),
    /// The client's terminal has this size now. No answer.
    Resize(Size),
    /// Send a signal to the container's first process; `Done` when it is sent.
    Kill {
        /// Its number.
        signal: i32,
    },
    /// End the container and don't start it again; `Exited` when all is over.
    Stop {
        /// Instead of the container's own stop signal.
        #[serde(default)]
        signal: Option<i32>,
        /// How long to wait before SIGKILL, instead of the container's own time; -1 is for ever.
        #[serde(default)]
        timeout_seconds: Option<i64>,
        /// Remove it as well, as `--rm` does.
        #[serde(default)]
        remove: bool,
    },
    /// End the container's process and start it again; `Started`.
    Restart {
        /// As in `Stop`.
        #[serde(default)]
        signal: Option<i32>,
        /// As in `Stop`.
        #[serde(default)]
        timeout_seconds: Option<i64>,
    },
    /// Let the process of a container that is only initialized execute its command; `Started`, also when it does already.
    Start,
    /// Freeze all processes; `Done`.
    Pause,
    /// Let them go on; `Done`.
    Unpause,
    /// `Exited` at the container's end, when no restart follows it.
    Wait,
    /// `Changed` after each change of `state.json`, and once at the beginning.
    Watch,
    /// Connect streams. The descriptors are, in this order, those of stdin, stdout and stderr that are asked for. `Exited` at the end.
    /// Closing the connection detaches.
    Attach {
        /// The first descriptor is read for the container.
        stdin: bool,
        /// `stdin` is relayed from a terminal: its end is nothing that the container is told.
        #[serde(default)]
        stdin_is_relayed: bool,
        /// The next one gets the output, or the terminal's.
        stdout: bool,
        /// The next one gets the errors.
        stderr: bool,
        /// Of the client's terminal.
        #[serde(default)]
        size: Option<Size>,
    },
    /// Run another command in the container, with descriptors as in `Attach`: `Started`, then `Exited`. Closing the connection ends
    /// the session unless it is detached.
    Exec(Box<ExecSpec>),
    /// The container, or the exec session of this connection, goes on without it: its streams are closed. No other answer.
    Detach,
    /// `Sessions`.
    Sessions,
    /// Run the health check now; `Health`.
    CheckHealth,
    /// Hand over the namespaces, for a container that shares them; `Namespaces`.
    Namespaces,
    /// Hand over the root, for a client that can't enter the container's user namespace; `Root`.
    Root {
        /// The root filesystem without what is mounted in it.
        #[serde(default)]
        alone: bool,
    },
    /// Use these from now on; `Done`.
    Update {
        /// The restart policy.
        #[serde(default)]
        restart: Option<RestartPolicy>,
        /// The health check.
        #[serde(default)]
        health: Option<Box<HealthOptions>>,
        /// All limits by cgroup controllers.
        #[serde(default)]
        limits: Option<Box<Limits>>,
    },
}

/// From the monitor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Report {
    /// The first word on a control socket.
    Hello {
        /// [`VERSION`].
        protocol: u32,
        /// Version of the executable that the monitor runs.
        runr: String,
    },
    /// The command executes; `notes` are for the user.
    Started {
        /// The process's pid, on the host.
        pid: i32,
        /// What had to be given up.
        notes: Vec<String>,
    },
    /// What was asked for could not be done, or the command could not be executed.
    Failed(Error),
    /// What was asked for is done.
    Done,
    /// `state.json` has changed.
    Changed,
    /// The descriptors beside this packet are namespaces of these kinds (`CLONE_NEW*`), the user namespace first.
    Namespaces {
        /// One for each.
        kinds: Vec<i32>,
    },
    /// The descriptor beside this packet is the container's root.
    Root,
    /// The ids of the exec sessions that live.
    Sessions {
        /// The oldest first.
        ids: Vec<String>,
    },
    /// The health check's result.
    Health {
        /// The check succeeded.
        healthy: bool,
    },
    /// Whoever read the attached streams has closed them.
    Detached,
    /// The container or session has ended, and all that must be true before the next command of a script is.
    Exited {
        /// Its status, or 128 + signal.
        code: i32,
    },
}
