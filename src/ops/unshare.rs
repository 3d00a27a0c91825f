//! `unshare`: a command of this machine in the user namespace that containers get by default, as root there.

use crate::base::{Doing, Error, Kind, Result};
use crate::userns::{Worker, default_map};
use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::{Mode, umask};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Runs `args` (a program and its arguments) with the caller's streams and environment, in a mount namespace of its own too.
/// Returns its exit status, or 128 + signal. Call it before this process has threads.
///
/// Errors: `CommandNotFound`, `CommandNotExecutable`; those of making a user namespace.
///
/// `path` is where a program without a slash in its name is looked for.
pub fn run(args: &[String], path: &str) -> Result<i32> {
    let (program, rest) = args.split_first().ok_or_else(|| Error::usage("no command specified"))?;
    let program = find(program, path)?;
    let mask = umask(Mode::empty());
    umask(mask);
    let mut worker = Worker::spawn(&default_map()?, |mut socket| {
        let failure = enter(mask).and_then(|()| execute(&program, rest));
        let bytes = failure.err().and_then(|e| serde_json::to_vec(&e).ok()).unwrap_or_default();
        i32::from(socket.write_all(&bytes).is_err())
    })?;
    ignore_interrupts()?;
    // It is closed when the command executes.
    let mut failure = Vec::new();
    worker.socket.read_to_end(&mut failure).doing(|| "start the command")?;
    let status = worker.wait()?;
    if failure.is_empty() { Ok(status) } else { Err(serde_json::from_slice::<Error>(&failure)?) }
}

/// execvp(3) would take a folder of PATH that this user may not enter for a program that may not be executed.
fn find(program: &str, path: &str) -> Result<String> {
    if program.contains('/') {
        return Ok(program.to_owned());
    }
    let candidates = path.split(':').filter(|dir| !dir.is_empty()).map(|dir| format!("{dir}/{program}"));
    candidates
        .into_iter()
        .find(|file| std::path::Path::new(file).is_file())
        .ok_or_else(|| Error::from(Errno::ENOENT).with_kind(Kind::CommandNotFound).step(format!("execute `{program}`")))
}

fn enter(mask: Mode) -> Result<()> {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).doing(|| "unshare the mount tree")?;
    // Mounts of the machine arrive, its own stay inside.
    nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none).doing(|| "unshare the mount tree")?;
    // Its parent gets what ends a job; whoever kills the parent means the command.
    crate::sys::process::set_parent_death_signal(Signal::SIGTERM)?;
    umask(mask);
    Ok(())
}

/// Returns only to say why not.
fn execute(program: &str, args: &[String]) -> Result<()> {
    let e = Error::from(Command::new(program).args(args).exec());
    let kind = match e.errno() {
        Some(Errno::ENOENT | Errno::ENOTDIR) => Kind::CommandNotFound,
        _ => Kind::CommandNotExecutable,
    };
    Err(e.with_kind(kind).step(format!("execute `{program}`")))
}

/// A terminal sends them to the command as well, whose status is what counts.
fn ignore_interrupts() -> Result<()> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGINT);
    mask.add(Signal::SIGQUIT);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&mask), None).doing(|| "leave interrupts to the command")
}
