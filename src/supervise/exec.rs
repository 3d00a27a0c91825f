//! Further commands in the container: each is a session with streams of its own, a child of the monitor like the container's
//! first process.
//!
//! ```text
//! Starting ──> Running ──> Ended, until what it wrote is delivered
//! ```
//! A session belongs to the client that asked for it: when that is gone (kill -9), the session's processes are killed, all
//! that came of it (`descendants`). A detached one belongs to nobody, a health check to the monitor.

use super::descendants;
use super::marks::Mark;
use super::output::{Lost, Output};
use super::process::{Process, give_input};
use super::stream::Input;
use crate::base::{Doing, Error, Result};
use crate::runtime::exec::{self, ExecSpec, Executing, Starting};
use crate::runtime::launch::Streams;
use crate::runtime::plan::Plan;
use crate::state::log::Stream;
use crate::sys::process::pidfd_signal;
use crate::sys::term::{self, Size};
use nix::fcntl::OFlag;
use nix::poll::PollFlags;
use nix::unistd::Pid;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Who is told of a session's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A client, by its number.
    Client(u64),
    /// A client, by its number, of the start only: the session is detached.
    Starter(u64),
    /// Nobody.
    Nobody,
    /// The health check: what it writes is kept.
    Health,
}

/// What a turn of the loop brought.
#[derive(Debug)]
pub(super) enum Event {
    /// It executes; the pid on the host.
    Started(i32),
    /// It could not be executed, and is over.
    Failed(Error),
    /// It is over, and what it wrote is delivered.
    Exited(i32),
}

#[derive(Debug)]
enum Stage {
    Starting(Starting),
    Running(Executing),
    Ended(i32),
}

/// One session.
#[derive(Debug)]
pub(super) struct Exec {
    /// 64 hex digits.
    pub(super) id: String,
    pub(super) owner: Owner,
    stage: Stage,
    outputs: [Output; 2],
    inputs: Vec<Input>,
    stdin_is_relayed: bool,
    /// A terminal's input, until there is a terminal.
    stdin: Option<OwnedFd>,
    /// What its processes are known by.
    mark: Mark,
    /// Its client is gone, or its time is up.
    doomed: bool,
    /// The beginning of what it wrote, for a health check.
    pub(super) captured: Vec<u8>,
    /// How much of that is kept, in bytes.
    pub(super) capture_limit: usize,
}

impl Exec {
    /// Sends a command into the container. `fds` are those that `spec` announces.
    pub(super) fn start(
        plan: &Plan,
        process: &Process,
        spec: &ExecSpec,
        owner: Owner,
        mark: Mark,
        fds: Vec<OwnedFd>,
    ) -> Result<Self> {
        spec.check()?;
        let mut fds = fds.into_iter();
        let mut take = |wanted: bool, what: &str| {
            let missing = || Error::usage(format!("{what} was announced and did not come"));
            wanted.then(|| fds.next().ok_or_else(missing)).transpose()
        };
        let stdin = take(spec.stdin, "stdin")?;
        let sinks = [take(spec.stdout, "stdout")?, take(spec.stderr, "stderr")?];
        let passed = spec.passed.iter().filter_map(|n| Some((*n, fds.next()?))).collect();
        let mut outputs = [Output::new(Stream::Stdout), Output::new(Stream::Stderr)];
        for (output, sink) in outputs.iter_mut().zip(sinks) {
            if let Some(sink) = sink {
                output.add(0, sink, true);
            }
        }
        let mut streams = Streams { passed, ..Streams::default() };
        let (mut inputs, mut waiting) = (Vec::new(), None);
        if spec.tty {
            waiting = stdin;
        } else {
            wire_outputs(&mut streams, &mut outputs, owner)?;
            if let Some(source) = stdin {
                let (given, input) = give_input(0, source)?;
                streams.stdin = Some(given);
                inputs.extend(input);
            }
        }
        let starting = exec::begin(plan, &process.prepared, process.cgroup.as_ref(), spec, mark.slack, streams)?;
        Ok(Self {
            id: spec.id.clone(),
            owner,
            stage: Stage::Starting(starting),
            outputs,
            inputs,
            stdin_is_relayed: spec.stdin_is_relayed,
            stdin: waiting,
            mark,
            doomed: false,
            captured: Vec::new(),
            capture_limit: 0,
        })
    }

    /// What poll should wait for.
    pub(super) fn waits_for(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let (starting, ended) = match &self.stage {
            Stage::Starting(starting) => (Some((starting.channel(), PollFlags::POLLIN)), false),
            Stage::Running(_) => (None, false),
            Stage::Ended(_) => (None, true),
        };
        let outputs = self.outputs.iter().flat_map(Output::waits_for);
        let outputs = outputs.filter(move |(_, flags)| !ended || flags.contains(PollFlags::POLLOUT));
        let inputs = self.inputs.iter().filter(move |_| !ended).filter_map(Input::waits_for);
        starting.into_iter().chain(outputs).chain(inputs)
    }

    /// When it has something to do that poll does not tell of.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = u64> {
        let ended = matches!(self.stage, Stage::Ended(_));
        self.inputs.iter().filter(move |_| !ended).filter_map(Input::deadline)
    }

    /// Does what can be done without waiting.
    pub(super) fn turn(&mut self) -> Option<Event> {
        let started = self.advance();
        self.pump(if matches!(self.stage, Stage::Ended(_)) { 256 } else { 32 });
        if started.is_some() {
            return started;
        }
        match self.stage {
            Stage::Ended(code) if !self.outputs.iter().any(Output::is_pending) => Some(Event::Exited(code)),
            _ => None,
        }
    }

    /// Goes on with a start.
    fn advance(&mut self) -> Option<Event> {
        let Stage::Starting(starting) = &mut self.stage else { return None };
        if !super::stream::is_readable(starting.channel()) {
            return None;
        }
        let result = starting.step();
        if self.doomed
            && let Some(pidfd) = starting.pidfd()
        {
            let _ = pidfd_signal(pidfd, libc::SIGKILL);
        }
        match result.and_then(|executing| executing.map(|e| self.connect(e)).transpose()) {
            Ok(None) => None,
            Ok(Some(mut executing)) => {
                if let Some(namespace) = executing.fence.take() {
                    self.mark.fence(namespace);
                }
                let pid = executing.pid.as_raw();
                self.stage = Stage::Running(executing);
                if self.doomed {
                    self.kill();
                }
                Some(Event::Started(pid))
            }
            Err(e) => Some(Event::Failed(e)),
        }
    }

    /// Connects its terminal, if it has one.
    fn connect(&mut self, executing: Executing) -> Result<Executing> {
        let Some(master) = &executing.terminal else { return Ok(executing) };
        self.outputs[0].begin(master.try_clone()?)?;
        if let Some(source) = self.stdin.take() {
            // End of transmission, Ctrl-D, for a file or pipe that has been read to its end. A person's terminal has none.
            let ending = (!self.stdin_is_relayed).then_some(4);
            self.inputs.push(Input::new(0, source, master.try_clone()?, ending));
        }
        Ok(executing)
    }

    fn pump(&mut self, pieces: usize) {
        let mut lost = Vec::new();
        let (captured, limit) = (&mut self.captured, self.capture_limit);
        let mut record = |_: Stream, bytes: &[u8]| {
            let room = limit.saturating_sub(captured.len()).min(bytes.len());
            captured.extend_from_slice(&bytes[..room]);
        };
        for output in &mut self.outputs {
            for _ in 0..pieces {
                if !output.step(&mut record, &mut lost) {
                    break;
                }
            }
            // `runr exec … yes | head -1` ends as it does without a container: what nobody reads is closed.
            if lost.drain(..).any(|l| matches!(l, Lost::Closed(_) | Lost::Slow(_))) {
                output.close_source();
            }
        }
        self.inputs.retain_mut(|input| input.pump(pieces));
    }

    /// A child of the monitor's has ended; true if it was this session's process.
    pub(super) fn reaped(&mut self, pid: Pid, code: i32) -> bool {
        match &self.stage {
            Stage::Running(executing) if executing.pid == pid => {
                self.stage = Stage::Ended(code);
                self.inputs.clear();
                true
            }
            _ => false,
        }
    }

    /// The exit status, once its process has ended.
    pub(super) fn code(&self) -> Option<i32> {
        match &self.stage {
            Stage::Ended(code) => Some(*code),
            _ => None,
        }
    }

    /// True until it executes.
    pub(super) fn is_starting(&self) -> bool {
        matches!(self.stage, Stage::Starting(_))
    }

    /// Sends a signal to its process.
    pub(super) fn signal(&self, number: i32) {
        if let Stage::Running(executing) = &self.stage {
            let _ = pidfd_signal(executing.pidfd.as_fd(), number);
        }
    }

    /// Its terminal has this size now.
    pub(super) fn resize(&self, size: Size) {
        if let Stage::Running(Executing { terminal: Some(master), .. }) = &self.stage {
            let _ = term::set_size(master, size);
        }
    }

    /// Its client is gone: nobody reads or writes, and its processes are to end.
    pub(super) fn abandon(&mut self) {
        self.owner = Owner::Nobody;
        self.let_go();
        self.kill();
    }

    /// Its client leaves it to itself.
    pub(super) fn let_go(&mut self) {
        self.outputs.iter_mut().for_each(|o| o.remove(0));
        self.inputs.clear();
        self.stdin = None;
    }

    /// Kills its processes.
    pub(super) fn kill(&mut self) {
        self.doomed = true;
        match &self.stage {
            Stage::Starting(starting) => {
                if let Some(pidfd) = starting.pidfd() {
                    let _ = pidfd_signal(pidfd, libc::SIGKILL);
                }
            }
            Stage::Running(executing) => {
                descendants::kill_all(executing.pid, &self.mark);
                let _ = pidfd_signal(executing.pidfd.as_fd(), libc::SIGKILL);
            }
            Stage::Ended(_) => {}
        }
    }
}

/// Pipes for what it writes.
fn wire_outputs(streams: &mut Streams, outputs: &mut [Output; 2], owner: Owner) -> Result<()> {
    let [stdout, stderr] = outputs;
    for (output, end) in [(stdout, &mut streams.stdout), (stderr, &mut streams.stderr)] {
        if output.has_readers() || owner == Owner::Health {
            let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).doing(|| "create pipe")?;
            output.begin(read)?;
            *end = Some(write);
        }
    }
    Ok(())
}
