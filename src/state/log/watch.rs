//! Sleeping until a log may have grown or its container may have ended, by inotify(7).
//!
//! What is watched is the container's folder (a monitor's end shows as its lock file being closed, however it ended) and
//! where the log's file is. Where the kernel has no more watches to give, the sleep is a short one.

use super::Reader;
use crate::base::{Doing, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

/// A sleep where changes cannot be watched.
const SHORT: Duration = Duration::from_millis(100);
/// The longest sleep: some file systems tell only of a part of what happens.
const LONG: Duration = Duration::from_secs(10);

/// Why a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Something happened.
    Event,
    /// The time was over.
    Time,
    /// The reader of the output has gone.
    HungUp,
}

/// Watches any number of logs.
#[derive(Debug)]
pub struct Watch {
    inotify: Option<Inotify>,
    blind: bool,
}

impl Watch {
    /// Watches nothing yet.
    pub fn new() -> Self {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok();
        Self { blind: inotify.is_none(), inotify }
    }

    /// Watches a container.
    pub fn container(&mut self, folder: &Path) {
        self.add(folder, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CLOSE_WRITE);
    }

    /// Watches a log where it is now. Called before each reading: what is written between the two is then noticed.
    pub fn log(&mut self, reader: &Reader) {
        let changes = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        let folder = reader.path().parent().unwrap_or(Path::new("/"));
        // The container's folder tells when the log's own folder comes to be.
        if folder.exists() {
            self.add(folder, changes);
        }
        if reader.path().exists() {
            self.add(reader.path(), AddWatchFlags::IN_MODIFY);
        }
    }

    fn add(&mut self, path: &Path, flags: AddWatchFlags) {
        let Some(inotify) = &self.inotify else { return };
        // Gone in between is fine: its folder is watched.
        self.blind |= matches!(inotify.add_watch(path, flags), Err(e) if e != Errno::ENOENT);
    }

    /// Sleeps until something happens, `others` have something to read, `reader` has hung up, or `limit` is over.
    pub fn wait(
        &self,
        limit: Option<Duration>,
        others: &[BorrowedFd<'_>],
        reader: Option<BorrowedFd<'_>>,
    ) -> Result<Woken> {
        let longest = if self.blind { SHORT } else { LONG };
        let limit = limit.map_or(longest, |l| l.min(longest));
        // Rounded up: a sleep that is too short is one turn too many.
        let milliseconds = limit.as_nanos().div_ceil(1_000_000).min(60_000) as u16;
        // Without events asked for, poll reports what ends the other side only.
        let mut fds: Vec<PollFd<'_>> = reader.map(|fd| PollFd::new(fd, PollFlags::empty())).into_iter().collect();
        fds.extend(self.inotify.as_ref().map(|i| PollFd::new(i.as_fd(), PollFlags::POLLIN)));
        fds.extend(others.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)));
        let woken = match poll(&mut fds, PollTimeout::from(milliseconds)) {
            Ok(0) => Woken::Time,
            Ok(_) | Err(Errno::EINTR) => Woken::Event,
            Err(e) => return Err(e).doing(|| "wait for the log"),
        };
        let gone = PollFlags::POLLERR | PollFlags::POLLNVAL;
        if reader.is_some() && fds[0].revents().is_some_and(|r| r.intersects(gone)) {
            return Ok(Woken::HungUp);
        }
        if let Some(inotify) = &self.inotify {
            while inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
        }
        Ok(woken)
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}
