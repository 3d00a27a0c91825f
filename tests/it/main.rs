//! The integration tests: they drive the built `runr` as a user would, each in a sandbox of its own (`support`).
//!
//! One binary, so that it links once: a new file is registered here with `mod`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "test code: a panic is how a test fails, and no item here is part of an interface"
)]

#[macro_use]
mod support;

mod check;
mod cli;
mod commit;
mod conformance;
mod cp;
mod crash;
mod devices;
mod diff;
mod docs;
mod durability;
mod escape;
mod escape_exec;
mod events;
mod exec;
mod format;
mod full_disk;
mod health;
mod hostile;
mod housekeeping;
mod hub;
mod import;
mod initialized;
mod inspect;
mod interactive;
mod join;
mod kill;
mod life_flags;
mod lifecycle;
mod limits;
mod logs;
mod mount;
mod nomap;
mod nss;
mod others;
mod parallel;
mod parity;
mod ports;
mod powercut;
mod protocol;
mod ps;
mod pull;
mod pull_command;
mod readme;
mod records;
mod registry;
mod rules;
mod run;
mod sandboxes;
mod scripts;
mod stacking;
mod start;
mod store;
mod top;
mod unpack;
mod volume;
mod volume_content;
