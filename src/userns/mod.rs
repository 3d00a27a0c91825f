//! User namespaces: which ids a user may map, and work done as "root" of such a namespace.
//!
//! Files in the store belong to the user's subordinate ids, so whoever unpacks, copies or deletes them must be inside a
//! namespace with the same map. [`run`] forks a child for that: a process with threads cannot enter one (EINVAL,
//! user_namespaces(7)), and the child needs its map written from outside, by `newuidmap` when it has several ranges.

pub mod enter;
pub mod idmap;
pub mod job;
pub mod subid;

pub use enter::{Worker, remove_tree, remove_trees, run};
pub use idmap::{IdMap, IdRange};
pub use job::{Job, Keep};
pub use subid::{default_map, seen_from_here};
