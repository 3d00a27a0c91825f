//! Hidden modes of the executable, entered before any thread exists and before the command line is looked at by `cli`.
//!
//! A stage is not for users: it has no help, no aliases, and its arguments may change with every version.
//!
//! ```text
//! __rmtree PATH…    removes trees that hold files of the user's subordinate ids (the tests, and by hand after a mishap)
//! ```

use crate::base::{Error, Result};
use crate::userns;
use std::ffi::OsString;
use std::path::Path;

/// Runs the stage that the arguments (the program's name first) ask for; `None` when they ask for none.
pub fn dispatch(args: &[OsString]) -> Option<Result<()>> {
    match args.get(1)?.to_str()? {
        "__rmtree" => Some(remove_trees(&args[2..])),
        _ => None,
    }
}

fn remove_trees(paths: &[OsString]) -> Result<()> {
    if paths.is_empty() {
        return Err(Error::usage("`__rmtree` needs a path"));
    }
    let map = userns::default_map()?;
    paths.iter().try_for_each(|path| userns::remove_tree(&map, Path::new(path)))
}
