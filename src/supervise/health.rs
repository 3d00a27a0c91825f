//! The health check: when it runs, and what its results mean. It is an exec session that belongs to the monitor.
//!
//! As docker has it, the first check comes one interval after the start, the next one interval after the end of the last;
//! failures in the start period don't count until the first success. A start-up check, podman's, comes before all that.

use super::exec::{Exec, Owner};
use super::finish;
use super::protocol::Report;
use super::service::Service;
use crate::base::fsx::{self, Durability};
use crate::base::{Error, Result, units};
use crate::runtime::exec::ExecSpec;
use crate::spec::health::{HealthCheck, LogDestination, OnFailure, Probe, Startup};
use crate::state::Containers;
use crate::state::containers::write_state;
use crate::state::events::{self, Event};
use crate::state::record::{Health, HealthProbe, HealthStatus, Status};

/// What "all" means for the number of results that are kept, and for the bytes of each.
const MOST_RESULTS: usize = 1000;
const MOST_BYTES: usize = 1 << 20;

/// The check of one container.
#[derive(Debug, Default)]
pub(super) struct Checks {
    check: Option<HealthCheck>,
    /// While the start-up check is under way: its successes and failures.
    startup: Option<(u32, u32)>,
    /// When the container's process began, on the boot clock.
    began: u64,
    /// When the next check is due, on the boot clock.
    next: Option<u64>,
    running: Option<Running>,
}

/// A check that is under way.
#[derive(Debug)]
struct Running {
    start: String,
    /// When its time is up, on the boot clock; `None` once it is.
    deadline: Option<u64>,
    /// Clients that asked for the result.
    waiters: Vec<u64>,
}

impl Checks {
    fn begin(check: Option<HealthCheck>) -> Self {
        let startup = check.as_ref().and_then(|c| c.startup.as_ref()).map(|_| (0, 0));
        let mut checks = Self { check, startup, began: units::boot_nanos(), next: None, running: None };
        checks.schedule(HealthStatus::Starting);
        checks
    }

    /// The next moment at which something is to be done.
    pub(super) fn deadline(&self) -> Option<u64> {
        match &self.running {
            Some(running) => running.deadline,
            None => self.next,
        }
    }

    /// The start-up check while it is under way.
    fn starting_up(&self) -> Option<&Startup> {
        self.startup.and_then(|_| self.check.as_ref()?.startup.as_ref())
    }

    fn probe(&self) -> Option<&Probe> {
        self.starting_up().map(|s| &s.probe).or(self.check.as_ref().map(|c| &c.probe))
    }

    fn in_start_period(&self, status: HealthStatus) -> bool {
        let since = units::boot_nanos().saturating_sub(self.began);
        status == HealthStatus::Starting && self.check.as_ref().is_some_and(|c| since < c.start_period)
    }

    fn schedule(&mut self, status: HealthStatus) {
        let own = self.probe().map_or(0, |p| p.interval);
        let early = self.startup.is_none() && own > 0 && self.in_start_period(status);
        let interval = if early { self.check.as_ref().map_or(own, |c| c.start_interval) } else { own };
        self.next = (interval > 0).then(|| units::boot_nanos().saturating_add(interval));
    }
}

impl Service {
    /// A run of the container's process begins.
    pub(super) fn begin_health(&mut self) {
        let record = self.assignment.record();
        let check = HealthCheck::new(&record.options.health, record.execution.healthcheck.as_ref());
        self.state.health = check.is_some().then(Health::default);
        self.checks = Checks::begin(check);
    }

    /// The options have changed: what the check has found so far stays.
    pub(super) fn update_health(&mut self) {
        let record = self.assignment.record();
        let check = HealthCheck::new(&record.options.health, record.execution.healthcheck.as_ref());
        match (&check, &mut self.state.health) {
            (None, health) => *health = None,
            (Some(_), health) => drop(health.get_or_insert_default()),
        }
        if check.as_ref().and_then(|c| c.startup.as_ref()).is_none() {
            self.checks.startup = None;
        }
        self.checks.check = check;
        self.checks.schedule(self.health_status());
        self.save();
    }

    fn health_status(&self) -> HealthStatus {
        self.state.health.as_ref().map(|h| h.status).unwrap_or_default()
    }

    /// `healthcheck run`: one that is under way is waited for.
    pub(super) fn check_health(&mut self, client: u64) -> Result<Option<Report>> {
        self.running()?;
        if self.checks.check.is_none() {
            return Err(Error::conflict("the container has no health check"));
        }
        if self.checks.running.is_none() {
            self.start_check();
        }
        // One that could not even start is over by now.
        match &mut self.checks.running {
            Some(running) => {
                running.waiters.push(client);
                Ok(None)
            }
            None => Ok(Some(Report::Health { healthy: false })),
        }
    }

    /// Begins a check that is due, ends one that takes too long.
    pub(super) fn turn_health(&mut self) {
        let now = units::boot_nanos();
        if self.checks.deadline().is_none_or(|at| now < at) {
            return;
        }
        if let Some(running) = &mut self.checks.running {
            running.deadline = None;
            self.execs.health().into_iter().for_each(Exec::kill);
            return;
        }
        if self.state.status == Status::Running && self.process.is_some() && self.stopping.is_none() {
            self.start_check();
        } else {
            self.checks.schedule(self.health_status());
        }
    }

    fn start_check(&mut self) {
        let Some(probe) = self.checks.probe().cloned() else { return };
        let now = units::boot_nanos();
        let deadline = Some(now.saturating_add(probe.timeout));
        self.checks.running = Some(Running { start: finish::now(), deadline, waiters: Vec::new() });
        let spec = ExecSpec { id: Containers::new_id().unwrap_or_default(), args: probe.args, ..ExecSpec::default() };
        let limit = self.checks.check.as_ref().map_or(0, |c| c.max_log_size as usize);
        match self.start_exec(&spec, Owner::Health, Vec::new()) {
            Ok(()) => {
                if let Some(exec) = self.execs.health() {
                    exec.capture_limit = if limit == 0 { MOST_BYTES } else { limit };
                }
            }
            Err(e) => self.health_over(&[], Err(e)),
        }
    }

    /// The session of a check is over.
    pub(super) fn health_over(&mut self, output: &[u8], result: Result<i32>) {
        let Some(running) = self.checks.running.take() else { return };
        let output = String::from_utf8_lossy(output).into_owned();
        let (exit_code, output) = match result {
            // It was killed for it.
            _ if running.deadline.is_none() => {
                let timeout = self.checks.probe().map_or(0, |p| p.timeout);
                (-1, format!("Health check exceeded timeout ({})", units::go_duration(timeout)))
            }
            Ok(code) => (code, output),
            Err(e) => (-1, e.to_string()),
        };
        let result = HealthProbe { start: running.start, end: finish::now(), exit_code, output };
        let (before, was_starting_up) = (self.health_status(), self.checks.startup.is_some());
        let action = self.judge(result);
        let after = self.health_status();
        let healthy = exit_code == 0;
        let _ = write_state(&self.assignment.container.folder, &self.state, Durability::Cached);
        self.changed();
        self.note_health(before != after);
        for client in running.waiters {
            self.tell(client, &Report::Health { healthy });
        }
        self.checks.schedule(after);
        if was_starting_up && self.checks.startup.is_none() {
            // The check proper follows at once.
            self.checks.next = Some(0);
        }
        self.act(action);
    }

    /// What a result means; returns what is to be done about it.
    fn judge(&mut self, result: HealthProbe) -> OnFailure {
        let healthy = result.exit_code == 0;
        let status = self.health_status();
        let counts = !self.checks.in_start_period(status);
        let Some(check) = &self.checks.check else { return OnFailure::None };
        let health = self.state.health.get_or_insert_default();
        health.log.push(result);
        let most = if check.max_log_count == 0 { MOST_RESULTS } else { check.max_log_count as usize };
        let excess = health.log.len().saturating_sub(most);
        health.log.drain(..excess);
        if let (Some((successes, failures)), Some(startup)) = (&mut self.checks.startup, &check.startup) {
            if healthy {
                *successes += 1;
                if *successes >= startup.success {
                    self.checks.startup = None;
                }
            } else {
                *failures += 1;
                if startup.retries > 0 && *failures >= startup.retries {
                    return OnFailure::Restart;
                }
            }
            return OnFailure::None;
        }
        if healthy {
            health.failing_streak = 0;
            health.status = HealthStatus::Healthy;
        } else if counts {
            health.failing_streak += 1;
            if health.failing_streak >= check.retries && health.status != HealthStatus::Unhealthy {
                health.status = HealthStatus::Unhealthy;
                return check.on_failure;
            }
        }
        OnFailure::None
    }

    /// Tells of a result elsewhere: in the events when the verdict is another, in the file that was asked for.
    fn note_health(&self, changed: bool) {
        let (Some(check), Some(health)) = (&self.checks.check, &self.state.health) else { return };
        let record = self.assignment.record();
        let paths = self.assignment.store.paths();
        let event = Event::of(record, "health_status").health(health.status.word());
        match &check.log_destination {
            LogDestination::Events => {
                let last = health.log.last().map(|r| r.output.clone()).unwrap_or_default();
                events::append(paths, &event.with("healthLog", last));
            }
            _ if changed => events::append(paths, &event),
            _ => {}
        }
        if let LogDestination::Folder(folder) = &check.log_destination
            && let Ok(bytes) = serde_json::to_vec(&health.document())
        {
            let path = folder.join(format!("{}-healthcheck.log", record.id));
            drop(fsx::write_atomic(&path, &bytes, Durability::Cached));
        }
    }

    fn act(&mut self, action: OnFailure) {
        // Whatever fails here shows in what the container does next.
        match action {
            OnFailure::None => {}
            OnFailure::Kill => self.process.iter().for_each(super::process::Process::kill),
            OnFailure::Restart => drop(self.end(None, None, true)),
            OnFailure::Stop => {
                self.state.stopped_by_user = true;
                drop(self.end(None, None, false));
            }
        }
    }

    /// The container's process has ended: a check under way means nothing any more.
    pub(super) fn end_health(&mut self) {
        self.checks.running = None;
        self.checks.next = None;
    }
}
