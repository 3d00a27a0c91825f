//! The end of a container, in the order that scripts rely on: with `--rm` its folder and name are gone *before* the exit code
//! is reported, so that the next line can use the name again; what takes time (deleting files, closing devices) comes after.

use super::monitor::Assignment;
use super::protocol::Report;
use super::service::Service;
use super::session::Session;
use super::volumes;
use crate::base::{Error, Kind, Result, units};
use crate::runtime::cgroup::Cgroup;
use crate::state::Containers;
use crate::state::record::Status;
use crate::store::trash;
use crate::sys::channel::Channel;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a monitor stays for a reader of the log of a container that is removed, and how often it looks.
const READER_NANOS: u64 = 10_000_000_000;
const READER_LOOK: Duration = Duration::from_millis(20);

/// Now, as records keep it: RFC 3339, UTC, with nanoseconds.
pub(super) fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// The exit status that an error of a start stands for.
pub(super) fn status_of(error: &Error) -> i32 {
    match error.kind() {
        Kind::CommandNotFound => 127,
        Kind::CommandNotExecutable => 126,
        _ => 125,
    }
}

/// The container ran and has ended. Returns the monitor's own exit status, which nobody looks at.
pub(super) fn ended(service: Service, code: i32) -> i32 {
    let Service { assignment, mut state, process, sessions, listener, stopping, mut log, .. } = service;
    // Whoever comes now finds nobody, and looks at the lock.
    drop(listener);
    assignment.event("died", &[("exitCode", &code)]);
    if stopping.is_some() {
        assignment.event("stop", &[]);
    }
    let removed = if assignment.record().options.remove {
        log.close(false);
        retire(&assignment).ok()
    } else {
        state.status = Status::Exited;
        state.process = None;
        state.monitor = None;
        state.cgroup = None;
        state.exit_code = Some(code);
        state.finished = Some(now());
        let _ = assignment.write_state(&state);
        None
    };
    let store = assignment.store.clone();
    let afterwards = assignment.afterwards.filter(|_| removed.is_some()).map(|f| (f, assignment.record().clone()));
    // Free for the next start before a client can know of the end.
    drop(assignment);
    for session in sessions.iter().filter(|s| s.wants_end) {
        session.tell(&Report::Exited { code });
    }
    drop(sessions);
    if let Some(removed) = &removed {
        volumes::delete(&removed.volumes);
    }
    if let Some(process) = &process {
        process.cgroup.iter().for_each(Cgroup::remove);
        if let Some(removed) = removed {
            delete(&removed.folder, process.prepared.file_namespace());
        }
    }
    log.close(true);
    if let Some((afterwards, record)) = afterwards {
        afterwards(&store, &record);
    }
    // Nobody waits for this process any more, so it is the one to tidy up after others.
    super::orphans::sweep(&store);
    0
}

/// The container's command could not be executed.
pub(super) fn failed(service: Service, error: Error) -> i32 {
    let Service { assignment, sessions, .. } = service;
    give_up(&assignment, error, |report| {
        sessions.iter().for_each(|s: &Session| {
            s.tell(report);
        });
    })
}

/// The monitor could not even begin to serve.
pub(super) fn unserved(assignment: &Assignment, client: &Channel, error: Error) -> i32 {
    give_up(assignment, error, |report| drop(client.send(report, &[])))
}

fn give_up(assignment: &Assignment, error: Error, tell: impl FnOnce(&Report)) -> i32 {
    let removed = if assignment.record().options.remove {
        retire(assignment).ok()
    } else {
        // One that ran before goes on to be one that ended.
        let former = &assignment.container.former;
        let mut state = former.next();
        if former.started.is_some() {
            state.status = Status::Exited;
            state.started.clone_from(&former.started);
            state.finished.clone_from(&former.finished);
        }
        state.exit_code = Some(status_of(&error));
        state.error = Some(error.to_string());
        let _ = assignment.write_state(&state);
        None
    };
    let _ = crate::sys::lock::unlock(&assignment.container.lock);
    tell(&Report::Failed(error));
    if let Some(removed) = removed {
        volumes::delete(&removed.volumes);
        // The namespace may never have come to be. Most often there is nothing that needs one.
        if trash::delete_own(&removed.folder).is_err() {
            let _ = crate::userns::remove_tree(&assignment.record().map, &removed.folder);
        }
    }
    0
}

/// Where what is removed lies in the trash.
struct Removed {
    /// The container's folder.
    folder: PathBuf,
    /// Its volumes' folders.
    volumes: Vec<PathBuf>,
}

/// Moves the container's folder to the trash, frees its name, and does the same to the volumes that go with it.
fn retire(assignment: &Assignment) -> Result<Removed> {
    let record = assignment.record();
    let trash = assignment.store.retire(&assignment.container.folder, &record.map)?;
    let all = Containers::new(assignment.store.paths());
    if !all.drop_name(&record.name, &record.id)? {
        // It was renamed meanwhile.
        all.drop_names_of(&record.id)?;
    }
    assignment.event("remove", &[]);
    // Volumes that can't go now are found by `volume prune`.
    let volumes = volumes::retire_anonymous(&assignment.store, &assignment.volumes).unwrap_or_default().trash;
    Ok(Removed { folder: trash, volumes })
}

/// Deletes a retired container: most often everything is the user's own; what belongs to subordinate ids is deleted inside
/// the container's user namespace, which its descriptor has kept alive. Nobody waits for this process any more, so a reader of
/// the log has time to come to its end.
fn delete(trash: &Path, user_namespace: &OwnedFd) {
    let begin = units::boot_nanos();
    while trash::is_read(trash) {
        if units::boot_nanos().saturating_sub(begin) > READER_NANOS {
            // Who reads on, such as a pager, keeps it from later commands, too, until it ends.
            return;
        }
        std::thread::sleep(READER_LOOK);
    }
    if trash::delete_own(trash).is_err() {
        let _ = crate::userns::enter::remove_tree_in(user_namespace, trash);
        drop(trash::delete_own(trash));
    }
}
