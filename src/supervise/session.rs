//! The monitor's clients: one connection each, from the command in the foreground to a `wait` in a script.

use super::protocol::Report;
use crate::sys::channel::Channel;
use std::os::fd::{AsFd, BorrowedFd};

/// The session of the command that started the container.
pub(super) const OWNER: u64 = 0;

/// One client.
#[derive(Debug)]
pub(super) struct Session {
    /// Counted from [`OWNER`].
    pub(super) id: u64,
    channel: Channel,
    /// Told when the container's process executes.
    pub(super) wants_start: bool,
    /// Told of the container's end.
    pub(super) wants_end: bool,
    /// Told of every change.
    pub(super) watches: bool,
}

impl Session {
    /// A client that has not asked for anything yet.
    pub(super) fn new(id: u64, channel: Channel) -> Self {
        Self { id, channel, wants_start: false, wants_end: false, watches: false }
    }

    /// Sends an answer; false when the client is gone or doesn't read.
    pub(super) fn tell(&self, report: &Report) -> bool {
        self.channel.try_send(report)
    }

    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}
