//! The program of `tests/probe`, which makes inside a container the system calls that no shell can make.

use super::command::Output;
use super::need::{Need, when};
use super::sandbox::Sandbox;
use std::path::PathBuf;

/// Where cargo put it: beside the folder of this test's executable.
pub fn path() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(2).unwrap().join("examples/probe")
}

/// It must have been built: `cargo test` does, `cargo test --test it` alone does not.
pub fn built() -> Need {
    when(path().is_file(), "`tests/probe` is not built: run `cargo test` or `cargo build --example probe`")
}

/// `runr run` of the base image with the probe in it as `/probe`: flags of runr's, then the probe's arguments.
pub fn run(sandbox: &Sandbox, flags: &str, arguments: &str) -> Output {
    let volume = format!("{}:/probe:ro", path().display());
    let base = sandbox.base_image();
    let run = sandbox.runr(["run", "--rm", "--network", "none", "--volume", &volume]);
    run.args(flags.split_whitespace()).args([base, "/probe"]).args(arguments.split_whitespace()).output()
}

/// What the probe answers, without the line's end.
#[track_caller]
pub fn answer(sandbox: &Sandbox, flags: &str, arguments: &str) -> String {
    run(sandbox, flags, arguments).ok().trim_end().to_owned()
}
