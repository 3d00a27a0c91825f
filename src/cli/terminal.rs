//! The caller's terminal: raw mode that is always undone, and the caller's streams made ready for a container.

use super::output::Output;
use crate::base::{Doing, Error, Result};
use crate::spec::options::Attach;
use crate::supervise::client::{Companion, Relay};
use crate::supervise::process::Stdio;
use crate::sys::term;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Raw mode until it is dropped: what is typed goes to the container byte for byte.
pub(super) struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    fn enter(terminal: BorrowedFd<'_>) -> Result<Self> {
        let terminal = terminal.try_clone_to_owned().doing(|| "copy terminal")?;
        let before = tcgetattr(&terminal).doing(|| "read terminal settings")?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&terminal, SetArg::TCSANOW, &raw).doing(|| "set terminal to raw mode")?;
        Ok(Self { terminal, before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // With TCSADRAIN, so that the container's last output is still shown raw.
        let _ = tcsetattr(&self.terminal, SetArg::TCSADRAIN, &self.before);
    }
}

/// The caller's streams as the monitor takes them, and what the command itself has to do meanwhile.
pub(super) struct Wiring {
    pub(super) stdio: Stdio,
    pub(super) companion: Companion,
    /// First size of the container's terminal.
    pub(super) size: Option<term::Size>,
    raw: bool,
}

/// Warns of a terminal for a command whose input is none, as podman does; docker refuses.
pub(super) fn check_input(out: &Output, interactive: bool, tty: bool) {
    if interactive && tty && !term::is_terminal(std::io::stdin().as_fd()) {
        out.warning(
            "the input device is not a TTY: -t makes the command believe it is, leave it out unless that is wanted",
        );
    }
}

/// Connects those of the caller's streams that `attach` names: files and pipes go to the monitor as they are, a terminal never
/// does; the command relays it.
pub(super) fn wire(interactive: bool, tty: bool, forward_signals: bool, attach: Attach) -> Result<Wiring> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut wiring = Wiring {
        stdio: Stdio { foreground: true, ..Stdio::default() },
        companion: Companion { forward_signals, ..Companion::default() },
        size: None,
        raw: false,
    };
    if interactive && attach.stdin {
        wiring.input(stdin.as_fd())?;
    }
    if attach.stdout {
        wiring.stdio.stdout = wiring.output(stdout.as_fd())?;
    }
    if tty {
        let terminal = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()].into_iter().find(|fd| term::is_terminal(fd));
        wiring.size = terminal.and_then(term::size);
        wiring.companion.terminal = terminal.map(|t| t.try_clone_to_owned()).transpose().doing(|| "copy terminal")?;
        wiring.raw = interactive && attach.stdin && term::is_terminal(stdin.as_fd());
    } else if attach.stderr {
        wiring.stdio.stderr = wiring.output(stderr.as_fd())?;
    }
    Ok(wiring)
}

impl Wiring {
    /// Sets the terminal to raw mode if the container's own terminal is connected to it. Called when nothing can fail any
    /// more before the container runs, so that error messages look as they should.
    pub(super) fn raw_mode(&self) -> Result<Option<RawMode>> {
        if self.raw { RawMode::enter(std::io::stdin().as_fd()).map(Some) } else { Ok(None) }
    }

    fn input(&mut self, stdin: BorrowedFd<'_>) -> Result<()> {
        let own = high_copy(stdin)?;
        if !term::is_terminal(stdin) {
            self.stdio.stdin = Some(own);
            return Ok(());
        }
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).doing(|| "create pipe")?;
        self.companion.relays.push(Relay { from: own, to: write, input: true });
        self.stdio.stdin = Some(read);
        self.stdio.stdin_is_relayed = true;
        Ok(())
    }

    fn output(&mut self, stream: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
        let own = high_copy(stream)?;
        if !term::is_terminal(stream) {
            return Ok(Some(own));
        }
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).doing(|| "create pipe")?;
        self.companion.relays.push(Relay { from: read, to: own, input: false });
        Ok(Some(write))
    }
}

/// A copy above the standard streams' numbers, which the monitor fills with /dev/null.
fn high_copy(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(10)).map_err(Error::from).doing(|| "copy a standard stream")?;
    Ok(crate::sys::process::adopt(number))
}
