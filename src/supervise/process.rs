//! One run of a container's process: its streams, its cgroup, its start and its end. A container that is started again by its
//! restart policy has one after another, with one monitor.

use super::output::Output;
use super::stream::Input;
use crate::base::{Doing, Error, Result, units};
use crate::runtime::cgroup::{Cgroup, OomWatch};
use crate::runtime::joining::Joined;
use crate::runtime::launch::{Prepared, Streams, prepare};
use crate::runtime::plan::Plan;
use crate::sys::process::{copy_inherited, pidfd_signal};
use crate::sys::term::{self, Size};
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, SFlag, fstat, makedev};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::Path;

/// The caller's side of the container's streams. None of these is a terminal: the command relays one through pipes.
#[derive(Debug, Default)]
pub struct Stdio {
    /// What the container reads; `None` is nothing (/dev/null).
    pub stdin: Option<OwnedFd>,
    /// The command stays with the container and is told of its end.
    pub foreground: bool,
    /// `stdin` is a pipe that the command fills from a terminal.
    pub stdin_is_relayed: bool,
    /// Where its output goes, or its terminal's; `None` is nowhere.
    pub stdout: Option<OwnedFd>,
    /// Where its errors go.
    pub stderr: Option<OwnedFd>,
    /// The three above are the caller's own, which the container gets as they are, at each of its runs.
    pub direct: bool,
    /// What else it gets, each under its number, from 3 on.
    pub passed: Vec<(RawFd, OwnedFd)>,
    /// There is a restart policy, so each run gets these, not only the first.
    pub runs_again: bool,
}

impl Stdio {
    /// The same with this process's own streams, for the log driver `passthrough`.
    ///
    /// Errors: `Usage` when one is a terminal: a container could type into it (TIOCSTI).
    pub fn direct(self) -> Result<Self> {
        // Above the numbers that the monitor fills with /dev/null.
        let [stdin, stdout, stderr] = [0, 1, 2].map(|number| copy_inherited(number, 10).map(Some));
        let stdio = Self { stdin: stdin?, stdout: stdout?, stderr: stderr?, direct: true, ..self };
        let all = [&stdio.stdin, &stdio.stdout, &stdio.stderr];
        if all.into_iter().flatten().any(term::is_terminal) {
            return Err(Error::usage("the log driver `passthrough` cannot be used on a terminal")
                .hint("redirect stdin, stdout and stderr"));
        }
        Ok(stdio)
    }
}

/// A process that is set up, or runs.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) prepared: Prepared,
    pub(super) cgroup: Option<Cgroup>,
    /// Where its cgroup has the memory controller.
    pub(super) oom: Option<OomWatch>,
    /// The writing end of its stdin, when clients write to it through the monitor.
    pub(super) stdin: Option<OwnedFd>,
    /// Nanoseconds of the boot clock at its start.
    pub(super) began: u64,
    /// When it is killed (`--timeout`), on the same clock.
    pub(super) deadline: Option<u64>,
}

/// Makes the process up to the moment before it executes. What it writes goes to `outputs` from then on. With `keep_stdin` attached
/// clients may write to it although there is no input yet (`-d -i`).
pub(super) fn make(
    plan: &Plan,
    cgroup: Option<Cgroup>,
    stdio: &mut Stdio,
    keep_stdin: bool,
    outputs: &mut [Output; 2],
    size: Option<Size>,
    joined: &Joined,
) -> Result<(Process, Option<Input>)> {
    let oom = cgroup.as_ref().and_then(OomWatch::open);
    let (given, stdin, mut input) = wire(plan, stdio, keep_stdin, outputs)?;
    let prepared = match prepare(plan, given, cgroup.as_ref(), joined) {
        Ok(prepared) => prepared,
        Err(e) => {
            cgroup.iter().for_each(Cgroup::remove);
            return Err(e);
        }
    };
    if let Some(master) = &prepared.terminal {
        outputs[0].begin(master.try_clone()?)?;
        if let Some(size) = size {
            term::set_size(master, size)?;
        }
        if let Some(source) = stdio.stdin.take() {
            input = Some(Input::new(0, source, master.try_clone()?, ending(stdio.stdin_is_relayed)));
        }
    }
    Ok((Process { prepared, cgroup, oom, stdin, began: units::boot_nanos(), deadline: None }, input))
}

/// End of transmission, Ctrl-D, for a file or pipe that has been read to its end. A person's terminal has none.
fn ending(relayed: bool) -> Option<u8> {
    (!relayed).then_some(4)
}

/// What is passed on. Where no further run needs it the monitor lets go of it: who reads a pipe's other end sees its end.
fn passed(stdio: &mut Stdio) -> Result<Vec<(RawFd, OwnedFd)>> {
    if !stdio.runs_again {
        return Ok(std::mem::take(&mut stdio.passed));
    }
    stdio.passed.iter().map(|(number, fd)| Ok((*number, fd.try_clone().doing(|| "copy descriptor")?))).collect()
}

/// The container's ends of its streams; the monitor's go to `outputs`.
fn wire(
    plan: &Plan,
    stdio: &mut Stdio,
    keep_stdin: bool,
    outputs: &mut [Output; 2],
) -> Result<(Streams, Option<OwnedFd>, Option<Input>)> {
    let mut streams = Streams { passed: passed(stdio)?, ..Streams::default() };
    if plan.process.terminal {
        return Ok((streams, None, None));
    }
    if stdio.direct {
        let copy = |fd: &Option<OwnedFd>| fd.as_ref().map(OwnedFd::try_clone).transpose().doing(|| "copy a stream");
        streams.stdin = copy(&stdio.stdin)?;
        streams.stdout = copy(&stdio.stdout)?;
        streams.stderr = copy(&stdio.stderr)?;
        return Ok((streams, None, None));
    }
    let [stdout, stderr] = outputs;
    for (output, end) in [(stdout, &mut streams.stdout), (stderr, &mut streams.stderr)] {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).doing(|| "create pipe")?;
        output.begin(read)?;
        *end = Some(write);
    }
    let (mut own, mut input) = (None, None);
    if let Some(source) = stdio.stdin.take() {
        let (given, relayed) = give_input(0, source)?;
        (streams.stdin, input) = (Some(given), relayed);
    }
    if streams.stdin.is_none() && keep_stdin {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).doing(|| "create pipe")?;
        streams.stdin = Some(read);
        own = Some(write);
    }
    Ok((streams, own, input))
}

/// The container's end of a client's input. A pipe or socket is given as it is, so that the command takes from it what it
/// wants and no more. Anything else goes through a pipe of the monitor's: from the descriptor of a file the container's root,
/// who may own that file, could open it again, and write it.
pub(super) fn give_input(session: u64, source: OwnedFd) -> Result<(OwnedFd, Option<Input>)> {
    let is_file = |s: FileStat| {
        let kind = SFlag::from_bits_truncate(s.st_mode) & SFlag::S_IFMT;
        let null = kind == SFlag::S_IFCHR && s.st_rdev == makedev(1, 3);
        kind != SFlag::S_IFIFO && kind != SFlag::S_IFSOCK && !null
    };
    if !fstat(&source).is_ok_and(is_file) {
        return Ok((source, None));
    }
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).doing(|| "create pipe")?;
    Ok((read, Some(Input::new(session, source, write, None))))
}

impl Process {
    /// Sends a signal to its first process.
    pub(super) fn signal(&self, signal: i32) -> Result<()> {
        pidfd_signal(self.prepared.pidfd.as_fd(), signal)
    }

    /// Kills everything. A frozen process dies as well.
    pub(super) fn kill(&self) {
        let _ = self.signal(libc::SIGKILL);
        self.cgroup.iter().for_each(Cgroup::kill);
    }

    /// Where a client's input goes: the terminal, or the pipe that is kept open for it.
    pub(super) fn input(&self, session: u64, source: OwnedFd, relayed: bool) -> Result<Option<Input>> {
        if let Some(master) = &self.prepared.terminal {
            return Ok(Some(Input::new(session, source, master.try_clone()?, ending(relayed))));
        }
        let Some(pipe) = &self.stdin else { return Ok(None) };
        Ok(Some(Input::new(session, source, pipe.try_clone()?, None)))
    }

    /// The cgroup's folder.
    pub(super) fn cgroup_folder(&self) -> Option<&Path> {
        self.cgroup.as_ref().map(Cgroup::folder)
    }
}
