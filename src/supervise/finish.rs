//! The end of a container, in the order that scripts rely on: with `--rm` its folder and name are gone *before* the exit code
//! is reported, so that the next line can use the name again; what takes time (deleting files, closing devices) comes after.

use super::monitor::{Assignment, Running, durability};
use super::protocol::Report;
use crate::base::{Error, Kind, Result, fsx};
use crate::runtime::cgroup::Cgroup;
use crate::state::Containers;
use crate::state::containers::write_state;
use crate::state::record::{ContainerState, Status};
use crate::sys::channel::Channel;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Now, as records keep it: RFC 3339, UTC, with nanoseconds.
pub(super) fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// The container ran and has ended. Returns the monitor's own exit status, which nobody looks at.
pub(super) fn ended(assignment: Assignment, running: Running, client: Option<Channel>, code: i32) -> i32 {
    let Running { prepared, cgroup, mut state, .. } = running;
    let removed = if assignment.container.record.options.remove {
        retire(&assignment).ok()
    } else {
        state.status = Status::Exited;
        state.process = None;
        state.cgroup = None;
        state.exit_code = Some(code);
        state.finished = Some(now());
        let _ = write_state(&assignment.container.folder, &state, durability(&assignment));
        None
    };
    // Free for the next start before the client can know of the end.
    drop(assignment.container.lock);
    if let Some(client) = client {
        drop(client.send(&Report::Exited { code }, &[]));
    }
    cgroup.iter().for_each(Cgroup::remove);
    if let Some(trash) = removed {
        delete(&trash, &prepared.user_namespace);
    }
    // Nobody waits for this process any more, so it is the one to tidy up after others.
    super::orphans::sweep(&assignment.store);
    0
}

/// The container's command could not be executed.
pub(super) fn failed(assignment: Assignment, client: Channel, error: Error) -> i32 {
    let code = match error.kind() {
        Kind::CommandNotFound => 127,
        Kind::CommandNotExecutable => 126,
        _ => 125,
    };
    let removed = if assignment.container.record.options.remove {
        retire(&assignment).ok()
    } else {
        let mut state = ContainerState::created();
        state.exit_code = Some(code);
        state.error = Some(error.to_string());
        let _ = write_state(&assignment.container.folder, &state, durability(&assignment));
        None
    };
    drop(assignment.container.lock);
    drop(client.send(&Report::Failed(error), &[]));
    if let Some(trash) = removed {
        // The namespace may never have come to be. Most often there is nothing that needs one, but an overlay that was
        // mounted leaves a folder of mode 0 behind.
        if fsx::remove_dir_all(&trash).is_err() {
            let _ = crate::userns::remove_tree(&assignment.container.record.map, &trash);
        }
    }
    0
}

/// Moves the container's folder to the trash and frees its name; returns where it is now.
fn retire(assignment: &Assignment) -> Result<PathBuf> {
    let record = &assignment.container.record;
    let trash = assignment.store.retire(&assignment.container.folder, &record.map)?;
    Containers::new(assignment.store.paths()).drop_name(&record.name, &record.id)?;
    Ok(trash)
}

/// Deletes a retired container: most often everything is the user's own; what belongs to subordinate ids is deleted inside
/// the container's user namespace, which its descriptor has kept alive.
fn delete(trash: &Path, user_namespace: &OwnedFd) {
    if fsx::remove_dir_all(trash).is_err() {
        let _ = crate::userns::enter::remove_tree_in(user_namespace, trash);
        drop(fsx::remove_dir_all(trash));
    }
}
