//! One file per command: its flags to a call of `ops`, the answer to text.

pub(crate) mod attach;
pub(crate) mod check;
pub(crate) mod cleanup;
pub(crate) mod completion;
pub(crate) mod container_filter;
pub(crate) mod create;
pub(crate) mod df;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod help;
pub(crate) mod images;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod prune;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod rename;
pub(crate) mod reset;
pub(crate) mod rm;
pub(crate) mod rmi;
pub(crate) mod run;
mod select;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod version;
pub(crate) mod wait;
