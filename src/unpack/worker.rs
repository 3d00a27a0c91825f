//! The unpack worker: a process that is root of the container's user namespace, with a thread for each layer.
//!
//! ```text
//! puller (host's namespaces, TLS, credentials)          worker (user namespace, no descriptors but these)
//!   begin   -- one byte + pipe, folder, answer socket -->  thread: own fs context, chroot into the folder
//!   write   -- compressed bytes through the pipe ------->  inflate, hash, write files
//!   finish  -- end of file ----------------------------->
//!           <------------------- Report or Error (JSON) -- on the answer socket, then closes it
//! ```
//! A job ends in three ways: `finish` reads the answer; the thread fails, closes the pipe, and the next `write` returns its
//! error; the job is dropped, the thread sees an early end and stops, and the drop waits for that, so that whoever dropped
//! it can remove the folder. The worker ends when its [`UnpackWorker`] is dropped or its process dies.

use super::job;
use super::limits::Limits;
use super::report::Report;
use crate::base::{Doing, Error, Kind, Result};
use crate::sys::fdpass::{receive_fds, send_fds};
use crate::sys::process::close_others;
use crate::userns::{IdMap, Worker};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

/// The largest size an unprivileged user may give a pipe by default (pipe(7), pipe-max-size).
const PIPE_BYTES: i32 = 1 << 20;
/// No answer is longer: the limits bound what a report can hold.
const MAX_ANSWER: u64 = 1 << 30;

/// The process that unpacks layers. Dropping it ends the process.
#[derive(Debug)]
pub struct UnpackWorker {
    worker: Option<Worker>,
}

impl UnpackWorker {
    /// Forks the worker. Call it before this process has threads.
    ///
    /// # Errors
    /// Those of making a user namespace with `map`.
    pub fn start(map: &IdMap, limits: Limits) -> Result<Self> {
        let inside = map.clone();
        let worker = Worker::spawn(map, move |socket| serve(&socket, inside, limits))?;
        Ok(Self { worker: Some(worker) })
    }

    /// Begins to unpack a layer into the empty folder `dest`. May be called from several threads.
    pub fn begin(&self, dest: &Path) -> Result<UnpackJob> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder =
            nix::fcntl::open(dest, flags, Mode::empty()).doing(|| format!("open folder `{}`", dest.display()))?;
        let (output, input) = nix::unistd::pipe2(OFlag::O_CLOEXEC).doing(|| "create pipe")?;
        // Only a matter of speed: a user who has many big pipes already gets a small one.
        let _ = fcntl(&input, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
        let (ours, theirs) = UnixStream::pair().doing(|| "create socket pair")?;
        let Some(worker) = &self.worker else { return Err(Error::new(Kind::Bug, "unpack worker has ended")) };
        send_fds(&worker.socket, b'j', &[output.as_fd(), folder.as_fd(), theirs.as_fd()])
            .doing(|| "begin to unpack a layer")?;
        Ok(UnpackJob { pipe: Some(File::from(input)), answer: Some(ours) })
    }
}

impl Drop for UnpackWorker {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            // Its status says nothing that the jobs' answers did not.
            drop(worker.wait());
        }
    }
}

/// A layer being unpacked: write the blob's bytes as they come (compressed or not), then [`UnpackJob::finish`].
#[derive(Debug)]
pub struct UnpackJob {
    pipe: Option<File>,
    answer: Option<UnixStream>,
}

impl UnpackJob {
    /// Ends the blob and waits for the result.
    ///
    /// # Errors
    /// `Corrupt` for damaged and hostile archives, `Denied` for passed limits, `Unsupported` for owners outside the map and
    /// unknown compressions, `Io` for what the file system refused.
    pub fn finish(mut self) -> Result<Report> {
        drop(self.pipe.take());
        self.result()
    }

    fn result(&mut self) -> Result<Report> {
        let ended = || Error::new(Kind::Io, "unpack worker ended unexpectedly");
        let answer = self.answer.take().ok_or_else(ended)?;
        let mut bytes = Vec::new();
        answer.take(MAX_ANSWER).read_to_end(&mut bytes).doing(|| "wait for the unpack worker")?;
        if bytes.is_empty() {
            return Err(ended());
        }
        serde_json::from_slice::<Result<Report>>(&bytes)?
    }

    /// Why the worker takes no more bytes.
    fn failure(&mut self) -> Error {
        drop(self.pipe.take());
        match self.result() {
            Err(e) => e,
            Ok(_) => Error::new(Kind::Bug, "unpack worker was done before the end of the layer"),
        }
    }
}

impl Write for UnpackJob {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let Some(pipe) = &mut self.pipe else { return Err(std::io::ErrorKind::BrokenPipe.into()) };
        match pipe.write(bytes) {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Err(self.failure().into()),
            other => other,
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for UnpackJob {
    fn drop(&mut self) {
        drop(self.pipe.take());
        if let Some(mut answer) = self.answer.take() {
            // The answer does not matter, the end of writing does.
            drop(std::io::copy(&mut answer, &mut std::io::sink()));
        }
    }
}

/// The worker's main thread: takes jobs until the other side closes, then ends the process with whatever still runs.
fn serve(socket: &UnixStream, map: IdMap, limits: Limits) -> i32 {
    // The parent's locks, pipes and network connections are not ours to keep.
    close_others(&[socket.as_raw_fd()]);
    // The report of a panic goes to the parent. The standard hook would look for debug information, in the layer's files.
    std::panic::set_hook(Box::new(|_| {}));
    let _ = nix::sys::prctl::set_no_new_privs();
    let rules = Arc::new((map, limits));
    while let Ok(Some((_, fds))) = receive_fds(socket) {
        let Ok([input, dest, answer]) = <[OwnedFd; 3]>::try_from(fds) else { return 1 };
        let rules = Arc::clone(&rules);
        let thread = std::thread::Builder::new().name("unpack".to_owned());
        if thread.spawn(move || answer_job(input, &dest, UnixStream::from(answer), &rules)).is_err() {
            // The job's descriptors are closed: its other side reads an end without an answer.
            continue;
        }
    }
    0
}

fn answer_job(input: OwnedFd, dest: &OwnedFd, mut answer: UnixStream, rules: &(IdMap, Limits)) {
    let work = std::panic::AssertUnwindSafe(|| job::run(dest, File::from(input), &rules.0, &rules.1));
    let result = std::panic::catch_unwind(work)
        .unwrap_or_else(|_| Err(Error::new(Kind::Bug, "unpacking a layer met a contradiction (panic)")));
    // `input` is closed by now: a writer that has more to give learns that nobody wants it.
    if let Ok(bytes) = serde_json::to_vec(&result) {
        // Nobody may be there to read it: the job was dropped.
        drop(answer.write_all(&bytes));
    }
}
