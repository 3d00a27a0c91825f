//! The log of a container in the system's journal, read by journalctl(1).

use crate::base::{Doing, Error, Result};
use crate::state::log::{Record, journal};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStdout, Command, Stdio};

/// One log, from the entry after the last one read.
#[derive(Debug)]
pub(super) struct JournalReader {
    /// The field and value that all entries of the container have.
    entries: String,
    /// The last entry read.
    cursor: Option<String>,
    /// Only so many entries from the end, the first time.
    last: Option<u64>,
    follower: Option<Follower>,
    /// It ended before its time: from then on the log is looked at now and then.
    deaf: bool,
}

/// A `journalctl --follow` that only tells when there is something new.
#[derive(Debug)]
struct Follower {
    child: Child,
    stdout: ChildStdout,
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl JournalReader {
    pub(super) fn new(id: &str) -> Self {
        Self { entries: format!("CONTAINER_ID_FULL={id}"), cursor: None, last: None, follower: None, deaf: false }
    }

    /// Begins with the last `entries` entries; a line may have several.
    pub(super) fn seek_last(&mut self, entries: u64) {
        self.last = Some(entries);
    }

    /// Hands over what there is now.
    pub(super) fn pass(&mut self, give: &mut dyn FnMut(&Record<'_>) -> Result<()>) -> Result<()> {
        let mut command = self.command();
        command.args(["--output=json", "--all"]);
        match (&self.cursor, self.last) {
            (Some(cursor), _) => command.arg(format!("--after-cursor={cursor}")),
            (None, Some(entries)) => command.arg(format!("--lines={entries}")),
            (None, None) => &mut command,
        };
        let mut child = spawn(&mut command)?;
        let Some(stdout) = child.stdout.take() else { return Ok(()) };
        let mut lines = BufReader::new(stdout);
        let mut line = Vec::new();
        let given = loop {
            line.clear();
            match lines.read_until(b'\n', &mut line).doing(|| "read what `journalctl` says") {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(e) => break Err(e),
            }
            let Some((cursor, record)) = journal::decode(&line) else { continue };
            self.cursor = Some(cursor);
            if let Err(e) = give(&record) {
                break Err(e);
            }
        };
        // Somebody who has heard enough: the child learns of it by the closed pipe.
        drop(lines);
        let status = child.wait().doing(|| "wait for `journalctl`")?;
        given?;
        // 1 is "no entries" for some versions.
        if status.success() || status.code() == Some(1) {
            Ok(())
        } else {
            Err(Error::unsupported(format!("read the journal: `journalctl` failed ({status})")))
        }
    }

    /// Starts to wait for more.
    pub(super) fn follow(&mut self) -> Result<()> {
        if self.follower.is_some() || self.deaf {
            return Ok(());
        }
        let mut child =
            spawn(self.command().args(["--output=cat", "--output-fields=PRIORITY", "--follow", "--lines=0"]))?;
        if let Some(stdout) = child.stdout.take() {
            fcntl(&stdout, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).doing(|| "watch the journal")?;
            self.follower = Some(Follower { child, stdout });
        }
        Ok(())
    }

    /// Readable when there is more.
    pub(super) fn news(&self) -> Option<BorrowedFd<'_>> {
        self.follower.as_ref().map(|f| f.stdout.as_fd())
    }

    /// Takes the news off the pipe; called before they are looked at.
    pub(super) fn take_news(&mut self) {
        let mut buffer = [0; 4096];
        let Some(follower) = &self.follower else { return };
        let end = loop {
            match nix::unistd::read(&follower.stdout, &mut buffer) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(_) => break false,
            }
        };
        if end {
            (self.follower, self.deaf) = (None, true);
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("journalctl");
        command.args(["--quiet", "--no-pager", &self.entries]);
        command
    }
}

fn spawn(command: &mut Command) -> Result<Child> {
    match command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn() {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Err(Error::unsupported("read the journal: there is no `journalctl` in PATH")
                .hint("install systemd's tools"))
        }
        other => other.doing(|| "start `journalctl`"),
    }
}
