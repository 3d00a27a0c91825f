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
//! - `monitor`: forks it, starts the container, serves until the end, records and cleans up
//! - `stream`: carries what the container writes to where it goes, without ever blocking the monitor
//! - `log`: keeps what the container writes
//! - `client`: the foreground side: passes signals and a terminal's bytes on, returns the exit status

pub mod client;
mod finish;
pub mod log;
pub mod monitor;
pub mod orphans;
pub mod protocol;
mod stream;
