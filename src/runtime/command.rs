//! The last steps: wait for the monitor's word, become PID 1 if asked to, search the program, execute it.
//!
//! They run in the process that built the container. Where runr's own file needs protection (see `own_exe`), the search and
//! the last execve run in a new image of runr, executed from a read-only mount; then everything is handed over by number and
//! by argument. PID 1 with `--init` stays in the old image: its memory belongs to the host's user namespace, so not even
//! CAP_SYS_PTRACE in the container opens it.
//!
//! ```text
//! argv       runr __exec CHANNEL PROGRAM [ARG…]    CHANNEL is the descriptor of the channel to the monitor
//! environ    the command's
//! ```

use super::pid1;
use super::sync::{Go, Said};
use crate::base::{Error, Kind, Result};
use crate::sys::channel::Channel;
use crate::sys::process as sysproc;
use crate::sys::signal;
use nix::errno::Errno;
use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// A process with all its attributes set, one execve away from being the command.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) args: Vec<CString>,
    pub(super) env: Vec<CString>,
    /// `PATH` of the command's environment.
    pub(super) search_path: String,
    pub(super) init: bool,
    pub(super) terminal: bool,
    /// runr's executable, read-only, when the rest is to run from it.
    pub(super) own_exe: Option<OwnedFd>,
}

/// Texts for execve(2).
pub(super) fn c_strings(texts: &[String], what: &str) -> Result<Vec<CString>> {
    let convert =
        |text: &String| CString::new(text.as_str()).map_err(|_| Error::usage(format!("{what} contains a NUL byte")));
    texts.iter().map(convert).collect()
}

/// Tells why the command cannot be executed, and the status for it.
pub(super) fn report(channel: &Channel, e: Error) -> i32 {
    let status = match e.kind() {
        Kind::CommandNotFound => 127,
        Kind::CommandNotExecutable => 126,
        _ => 125,
    };
    drop(channel.send(&Said::Failed(e), &[]));
    status
}

/// The parent's next word; its death is the end of this process.
pub(super) fn await_go(channel: &Channel) -> Result<()> {
    match channel.receive::<Go>()? {
        Some(_) => Ok(()),
        None => Err(Error::new(Kind::Io, "the monitor ended while the container was set up")),
    }
}

/// Where a command is looked for that has no `PATH`.
pub(super) const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The stage `__exec`: goes on where [`Command::hand_over`] left off, in a fresh image of this program. Returns the exit status of a
/// failure.
pub fn resume(args: Vec<OsString>) -> i32 {
    let mut args = args.into_iter();
    let number = args.next().and_then(|word| word.to_str()?.parse::<RawFd>().ok()).filter(|fd| *fd >= 3);
    let Some(number) = number else { return 125 };
    let channel = Channel::from_fd(sysproc::adopt(number));
    let result = sysproc::set_cloexec(number, true).and_then(|()| {
        // A new image is dumpable and has Rust's signal settings. It could not be closed from its first instruction on: an execve
        // forgets what was set before (`begin_new_exec` in fs/exec.c) unless the caller may not read the file, and root in the
        // container may read any file that its user owns. Whoever attaches in this moment is root of the container and gets
        // hold of a process that has the command's own user, capabilities and filter, of this image, which is read-only, and
        // of the channel, on which nothing but a failure is heard any more.
        nix::sys::prctl::set_dumpable(false)?;
        signal::reset_all()?;
        let words = args.map(OsStringExt::into_vec);
        let c_string =
            |bytes| CString::new(bytes).map_err(|_| Error::new(Kind::Bug, "an argument contains a NUL byte"));
        let args: Vec<CString> = words.map(c_string).collect::<Result<_>>()?;
        let search_path = std::env::var("PATH").unwrap_or_else(|_| SEARCH_PATH.to_owned());
        let pair = |(name, value): (OsString, OsString)| {
            let mut bytes = name.into_vec();
            bytes.push(b'=');
            bytes.extend(value.into_vec());
            c_string(bytes)
        };
        let env: Vec<CString> = std::env::vars_os().map(pair).collect::<Result<_>>()?;
        Err(Command { args, env, search_path, init: false, terminal: false, own_exe: None }.execute())
    });
    match result {
        Ok(()) => 0,
        Err(e) => report(&channel, e),
    }
}

impl Command {
    /// Executes the command once the monitor says so; returns only to say why not.
    pub(super) fn run(self, channel: &Channel) -> Error {
        let ready = await_go(channel)
            .and_then(|()| if self.init { pid1::fork_command(self.terminal, &self.args) } else { Ok(()) });
        match (ready, &self.own_exe) {
            (Err(e), _) => e,
            (Ok(()), None) => self.execute(),
            (Ok(()), Some(exe)) => self.hand_over(exe, channel),
        }
    }

    /// Goes on in [`resume`].
    fn hand_over(&self, exe: &OwnedFd, channel: &Channel) -> Error {
        let number = channel.as_fd().as_raw_fd();
        let word = CString::new(number.to_string()).unwrap_or_default();
        let mut args = vec![c"runr".to_owned(), c"__exec".to_owned(), word];
        args.extend(self.args.iter().cloned());
        if let Err(e) = sysproc::set_cloexec(number, false) {
            return e;
        }
        Error::from(sysproc::execute_descriptor(exe, &args, &self.env)).step("execute runr from its read-only mount")
    }

    /// Executes the command; returns only to say why not, as the shell's 126 and 127 tell them apart.
    fn execute(&self) -> Error {
        let program = self.args.first().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
        if program.is_empty() {
            return not_found(&program, "the command is empty");
        }
        if program.contains('/') {
            let errno = self.try_path(&program);
            return explain(&program, errno);
        }
        let mut denied = None;
        for folder in self.search_path.split(':') {
            let path = format!("{}/{program}", if folder.is_empty() { "." } else { folder });
            match self.try_path(&path) {
                Errno::ENOENT | Errno::ENOTDIR if !Path::new(&path).exists() => {}
                // execvp(3) goes on after EACCES and reports it when nothing else is found.
                Errno::EACCES => denied = Some(path),
                other => return explain(&path, other),
            }
        }
        match denied {
            Some(path) => explain(&path, Errno::EACCES),
            None => not_found(&program, "executable file not found in $PATH"),
        }
    }

    fn try_path(&self, path: &str) -> Errno {
        match CString::new(path) {
            Ok(c_path) => sysproc::execute(&c_path, &self.args, &self.env),
            Err(_) => Errno::EINVAL,
        }
    }
}

fn explain(path: &str, errno: Errno) -> Error {
    let denied = |text: &str| Error::new(Kind::CommandNotExecutable, text).step(format!("execute `{path}`"));
    match errno {
        Errno::ENOENT | Errno::ENOTDIR if Path::new(path).exists() => not_found(
            path,
            "its interpreter does not exist (ENOENT)",
        )
        .hint(
            "the program was built for another C library than the image has, or its `#!` line names a missing program",
        ),
        Errno::ENOENT | Errno::ENOTDIR => not_found(path, "no such file or directory (ENOENT)"),
        Errno::EACCES if Path::new(path).is_dir() => denied("is a directory: permission denied (EACCES)"),
        Errno::EACCES => denied("permission denied (EACCES)"),
        Errno::ENOEXEC => denied("exec format error (ENOEXEC)")
            .hint("the file is for another architecture, or a script without a `#!` line"),
        other => Error::from(other).with_kind(Kind::CommandNotExecutable).step(format!("execute `{path}`")),
    }
}

fn not_found(path: &str, why: &str) -> Error {
    Error::new(Kind::CommandNotFound, why).step(format!("execute `{path}`"))
}
