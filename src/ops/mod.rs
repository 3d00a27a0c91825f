//! The use cases: each is one function that the command line and the API call, with values in and values out. Nothing here
//! prints, and nothing here knows how a command is spelled.

mod accounts;
pub mod change;
pub mod check;
pub mod cleanup;
pub mod container_inspect;
pub mod container_list;
pub mod containers;
pub mod create;
pub mod doctor;
pub mod events;
pub mod exec;
pub mod files;
mod generated;
pub mod health;
pub mod idmap;
pub mod image_list;
pub mod images;
pub mod info;
pub mod joins;
pub mod layers;
pub mod lifecycle;
pub mod linger;
pub mod logs;
pub mod obtain;
pub mod plan;
pub mod processes;
pub mod prune;
pub mod pull;
pub mod remove;
pub mod reset;
pub mod start;
pub mod stats;
pub mod top;
pub mod unshare;
pub mod usage;
pub mod volumes_from;
