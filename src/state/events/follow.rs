//! Reading events from the first one that is kept to the last one that is written, across files that are put aside
//! meanwhile.
//!
//! A writer that opened a file before it was put aside may still write to it afterwards, so the file before the last one is
//! looked at as well.

use super::Event;
use super::log::{CURRENT, aside};
use crate::base::paths::Paths;
use crate::base::{Doing, Result, fsx};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

/// A line that is longer than this is damage and not kept in memory.
const MAX_DAMAGE: usize = 64 << 10;
/// How long a sleep is where the kernel tells nothing about changes that another machine makes (NFS).
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Reads events in the order in which they were written.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    tails: VecDeque<Tail>,
    changes: Option<Inotify>,
}

/// A file and how far it was read.
#[derive(Debug)]
struct Tail {
    file: File,
    inode: u64,
    /// A line whose end is not there yet.
    rest: Vec<u8>,
}

impl Follower {
    /// Starts before the first event that may be younger than `since` (nanoseconds since 1970), or with those that are still
    /// to come.
    pub fn open(paths: &Paths, since: Option<i64>) -> Result<Self> {
        let folder = paths.events();
        fsx::ensure_dir(&folder, 0o700)?;
        // Watched first: what comes after this is noticed.
        let changes = watch(&folder);
        let mut follower = Self { folder, tails: VecDeque::new(), changes };
        match since {
            Some(since) => follower.open_missed(Some(since))?,
            None => {
                // Between a rotation and the next event there is no current file.
                let last = match Tail::open(&follower.folder.join(CURRENT))? {
                    Some(tail) => Some(tail),
                    None => aside(&follower.folder)?.pop().map(|(_, path)| Tail::open(&path)).transpose()?.flatten(),
                };
                if let Some(mut tail) = last {
                    tail.file.seek(SeekFrom::End(0))?;
                    follower.tails.push_back(tail);
                }
            }
        }
        Ok(follower)
    }

    /// The events that were written since the last call.
    pub fn read(&mut self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        loop {
            for tail in &mut self.tails {
                tail.read(&mut events)?;
            }
            let before = self.tails.len();
            self.open_missed(None)?;
            if self.tails.len() == before {
                break;
            }
        }
        while self.tails.len() > 2 {
            self.tails.pop_front();
        }
        Ok(events)
    }

    /// Sleeps until there may be something to read, for `limit` at most; returns early when `other` reports that its other
    /// end is gone, and then says true.
    pub fn wait(&self, limit: Option<Duration>, other: Option<BorrowedFd<'_>>) -> Result<bool> {
        let limit = limit.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP);
        // One more than was asked for: rounding down would turn the last millisecond into a busy loop.
        let timeout = PollTimeout::try_from(limit.as_millis() as i32 + 1).unwrap_or(PollTimeout::MAX);
        let mut fds = Vec::new();
        // Hang-ups and errors are reported unasked.
        fds.extend(other.map(|fd| PollFd::new(fd, PollFlags::empty())));
        fds.extend(self.changes.as_ref().map(|i| PollFd::new(i.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e).doing(|| "wait for events"),
        }
        let gone = other.is_some() && fds.first().and_then(PollFd::any).unwrap_or(false);
        if let Some(changes) = &self.changes {
            while changes.read_events().is_ok_and(|e| !e.is_empty()) {}
        }
        Ok(gone)
    }

    /// Opens the files that came after the last one known, the current one included.
    fn open_missed(&mut self, since: Option<i64>) -> Result<()> {
        // The current one first: whatever lies between it and the last one known has been put aside by now.
        let current = Tail::open(&self.folder.join(CURRENT))?;
        let known = self.tails.back().map(|t| t.inode);
        if current.as_ref().map(|t| t.inode) == known {
            return Ok(());
        }
        let mut between = Vec::new();
        for (_, path) in aside(&self.folder)? {
            let Some(tail) = Tail::open(&path)? else { continue };
            if Some(tail.inode) == known {
                between.clear();
                continue;
            }
            if current.as_ref().is_some_and(|c| c.inode == tail.inode) {
                // Put aside since it was opened; the next look finds its successor.
                break;
            }
            let too_old = since.is_some_and(|since| tail.file.metadata().is_ok_and(|m| modified(&m) < since));
            if !too_old {
                between.push(tail);
            }
        }
        if current.is_none() && known.is_some() && between.is_empty() {
            return Ok(());
        }
        self.tails.extend(between);
        self.tails.extend(current);
        Ok(())
    }
}

fn modified(meta: &std::fs::Metadata) -> i64 {
    meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec())
}

/// Without inotify (its instances are limited per user) a look every second does.
fn watch(folder: &std::path::Path) -> Option<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?;
    let changes = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
    inotify.add_watch(folder, changes).ok()?;
    Some(inotify)
}

impl Tail {
    fn open(path: &std::path::Path) -> Result<Option<Self>> {
        match fsx::open(path) {
            Ok(file) => {
                let inode = file.metadata()?.ino();
                Ok(Some(Self { file, inode, rest: Vec::new() }))
            }
            Err(e) if e.is_missing() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Reads to the end of the file as it is now.
    fn read(&mut self, events: &mut Vec<Event>) -> Result<()> {
        let mut buffer = [0; 64 << 10];
        loop {
            let n = self.file.read(&mut buffer).doing(|| "read events")?;
            if n == 0 {
                return Ok(());
            }
            self.take(&buffer[..n], events);
        }
    }

    fn take(&mut self, bytes: &[u8], events: &mut Vec<Event>) {
        let mut pieces = bytes.split(|b| *b == b'\n');
        let mut piece = pieces.next();
        while let Some(text) = piece {
            piece = pieces.next();
            if self.rest.len() + text.len() > MAX_DAMAGE {
                self.rest.clear();
                self.rest.push(b'?');
            } else {
                self.rest.extend_from_slice(text);
            }
            if piece.is_some() {
                events.extend(parse(&self.rest));
                self.rest.clear();
            }
        }
    }
}

/// A power cut may leave zeros where a line was to be.
fn parse(line: &[u8]) -> Option<Event> {
    let start = line.iter().position(|b| *b != 0)?;
    serde_json::from_slice(&line[start..]).ok()
}

#[cfg(test)]
mod tests {
    use super::super::log::try_append;
    use super::super::{Topic, append};
    use super::*;
    use std::io::Write;

    fn event(n: usize) -> Event {
        Event::new(Topic::Container, "start", n.to_string(), "web")
    }

    fn ids(events: &[Event]) -> Vec<usize> {
        events.iter().map(|e| e.id.parse().unwrap()).collect()
    }

    fn setup() -> (tempfile::TempDir, Paths) {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        (dir, paths)
    }

    #[test]
    fn earlier_events_are_read_and_new_ones_followed() {
        let (_dir, paths) = setup();
        append(&paths, &event(1));
        let mut all = Follower::open(&paths, Some(0)).unwrap();
        let mut new = Follower::open(&paths, None).unwrap();
        assert_eq!(ids(&all.read().unwrap()), [1]);
        append(&paths, &event(2));
        assert_eq!(ids(&all.read().unwrap()), [2]);
        assert_eq!(ids(&new.read().unwrap()), [2]);
        assert_eq!(new.read().unwrap(), []);
        // Right after a rotation.
        try_append(&paths.events(), &event(3), 1).unwrap();
        let mut late = Follower::open(&paths, None).unwrap();
        append(&paths, &event(4));
        assert_eq!(ids(&late.read().unwrap()), [4]);
    }

    #[test]
    fn a_follower_misses_nothing_when_files_are_put_aside() {
        let (_dir, paths) = setup();
        let mut follower = Follower::open(&paths, None).unwrap();
        let (mut seen, mut written) = (Vec::new(), 0);
        // Several rotations between two looks, and looks between two rotations.
        for burst in [1, 7, 1, 1, 3, 9, 2, 8, 1, 1, 1, 1] {
            for _ in 0..burst {
                try_append(&paths.events(), &event(written), 250).unwrap();
                written += 1;
            }
            seen.extend(ids(&follower.read().unwrap()));
        }
        assert_eq!(seen, (0..written).collect::<Vec<_>>());
    }

    #[test]
    fn a_late_writer_is_heard() {
        let (_dir, paths) = setup();
        append(&paths, &event(1));
        let mut late = std::fs::OpenOptions::new().append(true).open(paths.events().join(CURRENT)).unwrap();
        let mut follower = Follower::open(&paths, Some(0)).unwrap();
        try_append(&paths.events(), &event(2), 1).unwrap();
        append(&paths, &event(3));
        assert_eq!(ids(&follower.read().unwrap()), [1, 2, 3]);
        late.write_all(format!("{}\n", serde_json::to_string(&event(4)).unwrap()).as_bytes()).unwrap();
        append(&paths, &event(5));
        assert_eq!(ids(&follower.read().unwrap()), [4, 5]);
    }

    #[test]
    fn damage_is_skipped() {
        let (_dir, paths) = setup();
        append(&paths, &event(1));
        let damaged: [&[u8]; 4] = [b"{\"time\":1,\"ty", b"\0\0\0\0", b"\xff\xfe\n", &[b'x'; 200_000]];
        for (n, bytes) in damaged.iter().enumerate() {
            let mut file = std::fs::OpenOptions::new().append(true).open(paths.events().join(CURRENT)).unwrap();
            file.write_all(bytes).unwrap();
            append(&paths, &event(n + 2));
        }
        let mut follower = Follower::open(&paths, Some(0)).unwrap();
        assert_eq!(ids(&follower.read().unwrap()), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn writers_at_once_lose_nothing() {
        let (_dir, paths) = setup();
        let mut follower = Follower::open(&paths, None).unwrap();
        let mut seen = Vec::new();
        std::thread::scope(|s| {
            let writers: Vec<_> = (0..4usize)
                .map(|w| {
                    let folder = paths.events();
                    s.spawn(move || (0..100).for_each(|n| try_append(&folder, &event(w * 100 + n), 20_000).unwrap()))
                })
                .collect();
            while !writers.iter().all(|w| w.is_finished()) {
                seen.extend(ids(&follower.read().unwrap()));
                follower.wait(Some(Duration::from_millis(5)), None).unwrap();
            }
        });
        seen.extend(ids(&follower.read().unwrap()));
        seen.sort_unstable();
        assert_eq!(seen, (0..400).collect::<Vec<_>>());
    }
}
