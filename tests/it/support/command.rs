//! Running a program to its end with a time limit, and judging what it said.

use std::ffi::OsStr;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A command line to be run. Its stdin is empty unless given.
pub struct Run {
    command: Command,
    stdin: Option<Vec<u8>>,
    limit: Duration,
}

impl Run {
    /// A program with this process's environment; see `Sandbox::runr` for the usual way.
    pub fn new(program: &OsStr) -> Self {
        Self { command: Command::new(program), stdin: None, limit: Duration::from_secs(120) }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.command.args(args);
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes a variable.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Starts from an empty environment.
    pub fn env_clear(mut self) -> Self {
        self.command.env_clear();
        self
    }

    /// Sets the working folder.
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// What the program reads.
    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stdin = Some(bytes.as_ref().to_vec());
        self
    }

    /// Ends the program as failed after this long (120 s unless set).
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The command itself, for what this type lacks.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs it to its end; panics when it can't be started or doesn't end.
    pub fn output(self) -> Output {
        self.try_output().unwrap_or_else(|e| panic!("{e}"))
    }

    /// As [`Run::output`], with the failure to run as a text.
    pub fn try_output(self) -> Result<Output, String> {
        self.start()?.finish()
    }

    /// Starts it; the caller goes on beside it.
    pub fn spawn(self) -> Running {
        self.start().unwrap_or_else(|e| panic!("{e}"))
    }

    fn start(mut self) -> Result<Running, String> {
        let line = format!("{:?}", self.command);
        let stdin = if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        self.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.spawn_soon().map_err(|e| format!("start {line}: {e}"))?;
        if let (Some(bytes), Some(mut pipe)) = (self.stdin, child.stdin.take()) {
            // A program that does not read is no failure of the test: EPIPE is dropped.
            std::thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        Ok(Running { line, child, stdout, stderr, deadline: Instant::now() + self.limit })
    }

    /// An executable that this test has just written may still be open for writing in a child that another test forked
    /// meanwhile and that has not executed its own program yet.
    fn spawn_soon(&mut self) -> std::io::Result<Child> {
        let begin = Instant::now();
        loop {
            match self.command.spawn() {
                Err(e) if e.kind() == ErrorKind::ExecutableFileBusy && begin.elapsed() < Duration::from_secs(10) => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                other => return other,
            }
        }
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        drop(pipe.read_to_end(&mut bytes));
        drop(send.send(bytes));
    });
    receive
}

/// A started program.
pub struct Running {
    line: String,
    child: Child,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
    deadline: Instant,
}

impl Running {
    /// Its pid.
    pub fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(self.pid(), signal).unwrap();
    }

    /// True until it has ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub fn wait(self) -> Output {
        self.finish().unwrap_or_else(|e| panic!("{e}"))
    }

    fn finish(mut self) -> Result<Output, String> {
        let mut pause = Duration::from_micros(200);
        let status = loop {
            if let Some(status) = self.child.try_wait().map_err(|e| e.to_string())? {
                break status;
            }
            if Instant::now() > self.deadline {
                drop(self.child.kill());
                drop(self.child.wait());
                let tail = self.stderr.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
                return Err(format!("does not end: {}\nstderr: {}", self.line, String::from_utf8_lossy(&tail)));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        };
        let take = |stream: &Receiver<Vec<u8>>, name: &str| {
            // Somebody who outlives the program must not hold its streams: `id=$(runr run -d …)` would hang.
            stream
                .recv_timeout(Duration::from_secs(20))
                .map_err(|_| format!("ended ({status}), but somebody holds its {name} open: {}", self.line))
        };
        let stdout = take(&self.stdout, "stdout")?;
        let stderr = take(&self.stderr, "stderr")?;
        Ok(Output {
            line: self.line,
            status,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            bytes: stdout,
        })
    }
}

/// What a program left. To be judged by one of its methods.
#[derive(Debug)]
#[must_use = "check how it ended: `.ok()` or `.fails(code)`"]
pub struct Output {
    line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its stdout as text.
    pub stdout: String,
    /// Its stderr as text.
    pub stderr: String,
    /// Its stdout, byte for byte.
    pub bytes: Vec<u8>,
}

impl Output {
    /// The exit code; 128+n when it was killed by signal n itself.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Fails the test unless it succeeded; returns what it wrote to stdout.
    #[track_caller]
    pub fn ok(self) -> String {
        self.exits(0)
    }

    /// Fails the test unless it succeeded; for what is not text.
    #[track_caller]
    pub fn checked(self) -> Self {
        self.check(0);
        self
    }

    /// Fails the test unless it ended with `code`; returns what it wrote to stdout.
    #[track_caller]
    pub fn exits(self, code: i32) -> String {
        self.check(code);
        self.stdout
    }

    /// Fails the test unless it ended with `code`; returns what it wrote to stderr.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_ne!(code, 0);
        self.check(code);
        self.stderr
    }

    #[track_caller]
    fn check(&self, code: i32) {
        assert_eq!(
            self.code(),
            code,
            "{}\nended with {}\nstdout: {}\nstderr: {}",
            self.line,
            self.status,
            self.stdout,
            self.stderr
        );
    }

    /// Stdout, stderr and exit code in one text, for snapshots.
    pub fn snapshot(&self) -> String {
        format!("exit: {}\n--- stdout\n{}--- stderr\n{}", self.code(), self.stdout, self.stderr)
    }
}
