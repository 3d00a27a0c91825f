//! All exec sessions of a container: who asked for which, and what their clients are told.

use super::exec::{Event, Exec, Owner};
use super::marks::Marks;
use super::protocol::Report;
use super::requests::not_running;
use super::service::Service;
use crate::base::{Error, Result};
use crate::runtime::exec::ExecSpec;
use crate::state::events;
use crate::state::record::Status;
use nix::poll::PollFlags;
use nix::unistd::Pid;
use std::os::fd::{BorrowedFd, OwnedFd};

/// The most sessions at once.
const MOST: usize = 1000;

/// The sessions that live.
#[derive(Debug, Default)]
pub(super) struct Execs {
    all: Vec<Exec>,
    /// Children that ended while a session whose process is not known yet was on its way.
    unclaimed: Vec<(Pid, i32)>,
    marks: Marks,
}

impl Execs {
    /// What poll should wait for.
    pub(super) fn waits_for(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        self.all.iter().flat_map(Exec::waits_for)
    }

    /// When one has something to do that poll does not tell of.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = u64> {
        self.all.iter().flat_map(Exec::deadlines)
    }

    /// A child of the monitor's has ended.
    pub(super) fn reaped(&mut self, pid: Pid, code: i32) {
        if !self.all.iter_mut().any(|exec| exec.reaped(pid, code)) && self.all.iter().any(Exec::is_starting) {
            self.unclaimed.push((pid, code));
        }
    }

    /// Adds one.
    pub(super) fn push(&mut self, exec: Exec) -> Result<()> {
        if self.all.len() >= MOST {
            return Err(Error::conflict(format!("the container has {MOST} exec sessions already")));
        }
        self.all.push(exec);
        Ok(())
    }

    /// The session of the health check.
    pub(super) fn health(&mut self) -> Option<&mut Exec> {
        self.all.iter_mut().find(|exec| exec.owner == Owner::Health)
    }
}

impl Service {
    /// `exec`.
    pub(super) fn exec(&mut self, client: u64, spec: &ExecSpec, fds: Vec<OwnedFd>) -> Result<Option<Report>> {
        let owner = if spec.detach { Owner::Starter(client) } else { Owner::Client(client) };
        self.start_exec(spec, owner, fds)?;
        Ok(None)
    }

    /// Starts a session.
    pub(super) fn start_exec(&mut self, spec: &ExecSpec, owner: Owner, fds: Vec<OwnedFd>) -> Result<()> {
        if self.state.status == Status::Paused {
            return Err(Error::conflict("the container is paused").hint("let it go on: `runr unpause`"));
        }
        let first = self.running()?.prepared.pid;
        let Some(process) = &self.process else { return Err(not_running()) };
        let mark = self.execs.marks.next(first);
        let exec = Exec::start(&self.assignment.plan, process, spec, owner, mark, fds)?;
        self.execs.push(exec)
    }

    /// The session that a client accompanies.
    pub(super) fn exec_of(&self, client: u64) -> Option<&Exec> {
        self.execs.all.iter().find(|exec| exec.owner == Owner::Client(client))
    }

    /// A client's session goes on without it.
    pub(super) fn detach_exec(&mut self, client: u64) {
        for exec in self.execs.all.iter_mut().filter(|e| e.owner == Owner::Client(client)) {
            exec.owner = Owner::Nobody;
            exec.let_go();
        }
    }

    /// A client is gone without having said that its session is to go on.
    pub(super) fn abandon_exec(&mut self, client: u64) {
        for exec in &mut self.execs.all {
            match exec.owner {
                Owner::Client(id) if id == client => exec.abandon(),
                Owner::Starter(id) if id == client => exec.owner = Owner::Nobody,
                _ => {}
            }
        }
    }

    /// The ids of those that live.
    pub(super) fn exec_ids(&self) -> Report {
        let shown = self.execs.all.iter().filter(|exec| exec.owner != Owner::Health);
        Report::Sessions { ids: shown.map(|exec| exec.id.clone()).collect() }
    }

    /// Does what can be done for each session without waiting.
    pub(super) fn turn_execs(&mut self) {
        let mut index = 0;
        while let Some(exec) = self.execs.all.get_mut(index) {
            let Some(event) = exec.turn() else {
                index += 1;
                continue;
            };
            let owner = exec.owner;
            let over = match event {
                Event::Started(pid) => {
                    if let Owner::Starter(_) = owner {
                        exec.owner = Owner::Nobody;
                    }
                    let ended = self.execs.unclaimed.iter().position(|(ended, _)| ended.as_raw() == pid);
                    if let Some((pid, code)) = ended.map(|i| self.execs.unclaimed.swap_remove(i)) {
                        exec.reaped(pid, code);
                    }
                    self.note_exec(index, owner);
                    self.tell_owner(owner, &Report::Started { pid, notes: Vec::new() });
                    // Looked at again: it may have ended already.
                    continue;
                }
                Event::Failed(e) => Err(e),
                Event::Exited(code) => Ok(code),
            };
            let exec = self.execs.all.remove(index);
            self.exec_over(exec, owner, over);
        }
        if !self.execs.all.iter().any(Exec::is_starting) {
            self.execs.unclaimed.clear();
        }
    }

    fn exec_over(&mut self, exec: Exec, owner: Owner, over: Result<i32>) {
        if owner == Owner::Health {
            self.health_over(&exec.captured, over);
            return;
        }
        let report = match over {
            Ok(code) => {
                let event = events::Event::of(self.assignment.record(), "exec_died");
                let event = event.with("execID", &exec.id).with("exitCode", code);
                events::append(self.assignment.store.paths(), &event);
                Report::Exited { code }
            }
            Err(e) => Report::Failed(e),
        };
        drop(exec);
        self.tell_owner(owner, &report);
    }

    /// A session executes: an event, unless it is the health check's.
    fn note_exec(&self, index: usize, owner: Owner) {
        if let (Some(exec), false) = (self.execs.all.get(index), owner == Owner::Health) {
            let event = events::Event::of(self.assignment.record(), "exec").with("execID", &exec.id);
            events::append(self.assignment.store.paths(), &event);
        }
    }

    fn tell_owner(&mut self, owner: Owner, report: &Report) {
        if let Owner::Client(id) | Owner::Starter(id) = owner {
            self.tell(id, report);
        }
    }

    /// The container's process has ended, and with its pid namespace every session's. Where it shares the host's they are
    /// killed; nobody waits for a reader who doesn't read.
    pub(super) fn end_execs(&mut self) {
        self.end_health();
        self.turn_execs();
        for mut exec in std::mem::take(&mut self.execs.all) {
            exec.kill();
            let _ = exec.turn();
            let owner = exec.owner;
            let code = exec.code().unwrap_or(128 + libc::SIGKILL);
            self.exec_over(exec, owner, Ok(code));
        }
        self.execs.unclaimed.clear();
    }
}
