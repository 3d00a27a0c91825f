//! The monitor: one process per container, from before its start until after its end.
//!
//! ```text
//! runr run ──fork──> monitor ──clone3──> the container's process
//!    │                 │  holds the container's lock; its streams; a descriptor of its user namespace
//!    └── client ───────┘  packets of `protocol`: signals and sizes in, start and end out
//! ```
//! The monitor is in the host's user and network namespaces, in a session of its own, and single-threaded for life: only so
//! can it clone the container with ordinary code and enter its namespaces later. It waits in poll(2), not epoll, because
//! what it is given as an output may be a regular file, which epoll refuses.
//!
//! - `monitor`: forks it, starts the container
//! - `service`: waits for the container, its streams and its clients; `requests`: what clients ask for; `session`: a client
//! - `process`: one run of the container's process; `restart`: whether another follows
//! - `exec`: further commands in the container; `sessions`: those that run; `descendants`: what came of one, which its `marks` tell
//! - `health`: the health check, a session of the monitor's own
//! - `output`, `stream`: carry what is written and read, without ever blocking the monitor
//! - `log`: keeps what is written, by the container's log driver
//! - `finish`: records the end and cleans up; `orphans`: does so for monitors that were killed
//! - `volumes`: those that go with a container
//! - `control`, `protocol`: how commands reach a monitor, and the words
//! - `detach`: the keys that leave a container to itself
//! - `client`: the side of a command that accompanies a container: passes signals and a terminal's bytes on

pub mod client;
pub mod control;
mod descendants;
pub mod detach;
mod exec;
mod finish;
mod health;
mod joins;
pub mod log;
mod marks;
pub mod monitor;
pub mod notify;
pub mod orphans;
mod output;
pub mod process;
pub mod protocol;
mod requests;
mod restart;
mod service;
mod session;
mod sessions;
mod stream;
pub mod volumes;
