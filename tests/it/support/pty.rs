//! A program on a terminal of its own, and a person who types.

use super::command::Run;
use super::need::find_tool;
use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A program whose stdin, stdout and stderr are one terminal, its controlling one.
pub struct Pty {
    child: Child,
    master: File,
    /// Kept open, so that settings can be read after the program has ended.
    slave: File,
    bytes: Receiver<Vec<u8>>,
    seen: String,
    /// How much of `seen` earlier calls of `expect` have used up.
    used: usize,
}

impl Pty {
    /// Starts a command line on a terminal of 80 columns and 24 lines.
    pub fn start(run: Run) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        let (master, slave) = (File::from(pty.master), File::from(pty.slave));
        let original = run.into_command();
        // `setsid --ctty` gives the new session this terminal: doing so ourselves would take code between fork and exec.
        let mut command = Command::new(find_tool("setsid").expect("setsid of util-linux"));
        command.args(["--ctty", "--wait"]).arg(original.get_program()).args(original.get_args()).env_clear();
        for (name, value) in original.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        if let Some(dir) = original.get_current_dir() {
            command.current_dir(dir);
        }
        let child = command
            .stdin(Stdio::from(slave.try_clone().unwrap()))
            .stdout(Stdio::from(slave.try_clone().unwrap()))
            .stderr(Stdio::from(slave.try_clone().unwrap()))
            .spawn()
            .unwrap();
        let bytes = read_all(master.try_clone().unwrap());
        Self { child, master, slave, bytes, seen: String::new(), used: 0 }
    }

    /// Types.
    pub fn send(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until `text` appears behind what earlier calls have seen; returns what came before it.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(at) = self.seen[self.used..].find(text) {
                let before = self.seen[self.used..self.used + at].to_owned();
                self.used += at + text.len();
                return before;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.bytes.recv_timeout(left) {
                Ok(more) => self.seen.push_str(&String::from_utf8_lossy(&more)),
                Err(_) => panic!("`{text}` does not appear; the terminal shows: {:?}", self.seen),
            }
        }
    }

    /// Everything the terminal has shown so far.
    pub fn seen(&mut self) -> &str {
        while let Ok(more) = self.bytes.try_recv() {
            self.seen.push_str(&String::from_utf8_lossy(&more));
        }
        &self.seen
    }

    /// Changes the terminal's size, as dragging a window's corner does.
    pub fn resize(&self, columns: u16, lines: u16) {
        let done = Command::new("stty")
            .args(["cols", &columns.to_string(), "rows", &lines.to_string()])
            .stdin(Stdio::from(self.slave.try_clone().unwrap()))
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// The terminal's settings, to compare before and after.
    pub fn settings(&self) -> String {
        let out = Command::new("stty").arg("-a").stdin(Stdio::from(self.slave.try_clone().unwrap())).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    }

    /// Sends the session's first process a signal.
    pub fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for the end and returns the exit code.
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < deadline, "does not end; the terminal shows: {:?}", self.seen());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn read_all(mut master: File) -> Receiver<Vec<u8>> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        // EIO says that nobody has the terminal open any more.
        while let Ok(n @ 1..) = master.read(&mut buffer) {
            if send.send(buffer[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    receive
}
