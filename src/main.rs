//! The `runr` executable: see the library.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    match runr::stage::dispatch(&args) {
        None => runr::cli::main(args),
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(e)) => {
            // A closed stderr leaves nothing to tell and nobody to tell it to.
            drop(writeln!(std::io::stderr(), "runr: {e}"));
            ExitCode::from(125)
        }
    }
}
