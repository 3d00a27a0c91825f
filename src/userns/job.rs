//! Work done by a child process in other namespaces than this one's, beside what this process does meanwhile: its result or its
//! error comes back as data.

use super::enter::{Worker, become_root_of};
use super::idmap::IdMap;
use crate::base::{Doing, Error, Kind, Result};
use crate::sys::process::{close_others, set_parent_death_signal};
use nix::sys::signal::Signal;
use serde::{Serialize, de::DeserializeOwned};
use std::io::{Read, Write};
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;

/// A child process at work. It ends with its parent; dropped without [`Job::wait`] it goes on unseen.
#[derive(Debug)]
pub struct Job<T> {
    worker: Worker,
    result: PhantomData<fn() -> T>,
}

/// Which descriptors a job keeps: all others but the standard streams are closed in it, so that a pipe's end is seen.
#[derive(Debug, Clone, Copy)]
pub struct Keep<'a>(pub &'a [BorrowedFd<'a>]);

impl<T: Serialize + DeserializeOwned> Job<T> {
    /// Starts `work` as root of a new user namespace with `map`. Call it before this process has threads.
    pub fn in_new(map: &IdMap, keep: Keep<'_>, work: impl FnOnce() -> Result<T>) -> Result<Self> {
        let keep = keep.numbers();
        let worker = Worker::spawn(map, |socket| answer(socket, &keep, work))?;
        Ok(Self { worker, result: PhantomData })
    }

    /// Starts `work` as root of an existing user namespace, and in `mount`, a mount namespace that belongs to it, if there is one.
    /// Call it before this process has threads.
    pub fn in_existing(
        user: BorrowedFd<'_>,
        mount: Option<BorrowedFd<'_>>,
        keep: Keep<'_>,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<Self> {
        let mut keep = keep.numbers();
        keep.extend([Some(user), mount].into_iter().flatten().map(|fd| fd.as_raw_fd()));
        let worker = Worker::fork(|socket| {
            answer(socket, &keep, || {
                // Whoever is root there may see this process, with `--pid host`: it is not to be traced, nor its executable
                // opened (CVE-2019-5736, CVE-2016-9962).
                nix::sys::prctl::set_dumpable(false).doing(|| "close this process to debuggers")?;
                become_root_of(user, mount).doing(|| "enter the container's namespaces")?;
                end_with_parent();
                work()
            })
        })?;
        Ok(Self { worker, result: PhantomData })
    }

    /// Waits for the result.
    pub fn wait(mut self) -> Result<T> {
        let mut bytes = Vec::new();
        self.worker.socket.read_to_end(&mut bytes).doing(|| "wait for worker in the user namespace")?;
        let status = self.worker.wait()?;
        if bytes.is_empty() {
            let text = format!("worker in the user namespace ended with status {status} and no answer");
            return Err(Error::new(if status > 128 { Kind::Io } else { Kind::Bug }, text));
        }
        serde_json::from_slice::<Result<T>>(&bytes)?
    }
}

impl Keep<'_> {
    fn numbers(self) -> Vec<RawFd> {
        self.0.iter().map(AsRawFd::as_raw_fd).collect()
    }
}

/// In the child: does the work, and says what came of it.
fn answer<T: Serialize>(mut socket: UnixStream, keep: &[RawFd], work: impl FnOnce() -> Result<T>) -> i32 {
    let mut kept = keep.to_vec();
    kept.push(socket.as_raw_fd());
    close_others(&kept);
    // The standard hook would look for debug information in files that may be the container's.
    std::panic::set_hook(Box::new(|_| {}));
    end_with_parent();
    let result: Result<T> = work();
    let sent = serde_json::to_vec(&result)
        .map_err(Error::from)
        .and_then(|bytes| socket.write_all(&bytes).map_err(Error::from));
    i32::from(sent.is_err())
}

/// Every change of credentials takes it back. If it fails, the parent's end shows in the job's pipes.
fn end_with_parent() {
    let _ = set_parent_death_signal(Signal::SIGKILL);
}
