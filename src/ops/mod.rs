//! The use cases, shared by the command line and the API: each takes a store, options and somebody to report to, and returns
//! data. Nothing here prints, and nothing here knows how a command is spelled.

pub mod doctor;
pub mod info;
pub mod inspect;
