//! The root filesystem of a container: which layers it is made of, whose files they are, and the files runr puts over it.

pub mod accounts;
pub mod assemble;
pub mod changes;
pub mod content;
mod copy;
pub mod etcfiles;
pub mod flatten;
mod merged;
pub mod users;
