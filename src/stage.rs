//! Hidden modes of the executable, entered before any thread exists and before the command line is looked at by `cli`.
//!
//! A stage is not for users: it has no help, no aliases, and its arguments may change with every version.
//!
//! ```text
//! __exec PROGRAM [ARG…]    the last step of a container's start (`runtime::command`)
//! __hello           what the image `builtin:hello` runs
//! __rmtree PATH…    removes trees that hold files of the user's subordinate ids (the tests, and by hand after a mishap)
//! __unpack [--map JSON] [--limits JSON] DIR    unpacks the layer on stdin into DIR, prints the report (the tests)
//! ```

use crate::base::{Doing, Error, Result};
use crate::{unpack, userns};
use std::ffi::OsString;
use std::path::Path;

/// Runs the stage that the arguments (the program's name first) ask for; `None` when they ask for none.
pub fn dispatch(args: &[OsString]) -> Option<Result<()>> {
    match args.get(1)?.to_str()? {
        "__exec" => Some(exec(args[2..].to_vec())),
        "__hello" => Some(hello()),
        "__rmtree" => Some(remove_trees(&args[2..])),
        "__unpack" => Some(unpack_stdin(&args[2..])),
        _ => None,
    }
}

/// Becomes the container's command; its monitor knows already why if it cannot.
fn exec(args: Vec<OsString>) -> Result<()> {
    crate::sys::process::exit_now(crate::runtime::command::resume(args))
}

/// The greeting of the built-in image, printed in a container: whoever reads it has seen the machine run one.
fn hello() -> Result<()> {
    let user = nix::unistd::getuid();
    let text = format!(
        "Hello from a container.\n\n\
        runr unpacked this image, made of its own executable, and ran it in namespaces of its own:\n\
        this process is number {} there, user {user}, and no other process is in sight.\n\n\
        Next, an image from a registry:\n    runr run --rm -it alpine sh\n",
        std::process::id(),
    );
    std::io::Write::write_all(&mut std::io::stdout().lock(), text.as_bytes()).doing(|| "write to standard output")
}

fn remove_trees(paths: &[OsString]) -> Result<()> {
    if paths.is_empty() {
        return Err(Error::usage("`__rmtree` needs a path"));
    }
    let map = userns::default_map()?;
    paths.iter().try_for_each(|path| userns::remove_tree(&map, Path::new(path)))
}

fn unpack_stdin(args: &[OsString]) -> Result<()> {
    let (mut map, mut limits, mut dest) = (userns::default_map()?, unpack::Limits::default(), None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().map(|v| v.to_string_lossy()).ok_or_else(|| Error::usage("missing value"));
        match arg.to_str() {
            Some("--map") => map = serde_json::from_str(&value()?)?,
            Some("--limits") => limits = serde_json::from_str(&value()?)?,
            _ => dest = Some(Path::new(arg)),
        }
    }
    let dest = dest.ok_or_else(|| Error::usage("`__unpack` needs a folder"))?;
    let worker = unpack::UnpackWorker::start(&map, limits)?;
    let mut job = worker.begin(dest)?;
    std::io::copy(&mut std::io::stdin().lock(), &mut job)?;
    serde_json::to_writer(std::io::stdout().lock(), &job.finish()?)?;
    Ok(())
}
