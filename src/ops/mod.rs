//! The use cases, shared by every front: what a user can ask of runr, each one function over the parts below.

pub mod create;
pub mod idmap;
pub mod layers;
pub mod run;
