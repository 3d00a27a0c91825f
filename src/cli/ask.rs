//! Questions to the user: before something is deleted, and for a password.

use super::Context;
use crate::base::{Doing, Error, Result};
use crate::sys::term;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use std::io::{BufRead, Read, Write};

/// Prints `text` and a question, and reads the answer, from a terminal or from whatever stdin is (`yes | runr …`).
///
/// Errors: `Usage` when stdin ends without an answer.
pub(crate) fn confirm(context: &mut Context, command: &str, text: &str) -> Result<bool> {
    context.out.text(&format!("{text}\nAre you sure you want to continue? [y/N] "))?;
    let mut answer = String::new();
    // One line of a bounded length: whatever stdin is, it does not fill the memory.
    let mut stdin = std::io::Read::take(std::io::stdin().lock(), 4096);
    if stdin.read_line(&mut answer).doing(|| "read the answer")? == 0 {
        context.out.line("")?;
        return Err(Error::usage(format!("{command}: nobody answered, so nothing was removed"))
            .hint("in a script say `--force`"));
    }
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Asks for the password of `user` on the terminal, which does not show it.
///
/// Errors: `Usage` without a terminal, and when it is not answered.
pub(crate) fn password(user: &str) -> Result<String> {
    let stdin = std::io::stdin();
    let missing = || Error::usage(format!("--creds: the password of `{user}` is missing"));
    if !term::is_terminal(&stdin) {
        return Err(missing().hint("use `--creds USER:PASSWORD`; on a terminal runr asks for the password"));
    }
    let before = tcgetattr(&stdin).doing(|| "read terminal settings")?;
    let mut silent = before.clone();
    // Byte by byte and without signals: Ctrl-C must not leave a terminal that shows nothing.
    silent.local_flags &= !(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
    let mut stderr = std::io::stderr();
    tcsetattr(&stdin, SetArg::TCSAFLUSH, &silent).doing(|| "change terminal settings")?;
    let _ = stderr.write_all(b"Password: ");
    let answer = typed_line(stdin.lock().bytes());
    tcsetattr(&stdin, SetArg::TCSAFLUSH, &before).doing(|| "restore terminal settings")?;
    let _ = stderr.write_all(b"\n");
    answer.filter(|text| !text.is_empty()).ok_or_else(missing)
}

/// What is typed up to the end of the line; `None` when it is given up (Ctrl-C, Ctrl-D).
fn typed_line(bytes: impl Iterator<Item = std::io::Result<u8>>) -> Option<String> {
    let mut line = Vec::new();
    for byte in bytes.map_while(std::result::Result::ok) {
        match byte {
            b'\n' | b'\r' => return String::from_utf8(line).ok(),
            0x03 | 0x04 => return None,
            0x08 | 0x7f => drop(line.pop()),
            0x15 => line.clear(),
            other => line.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_line_can_be_corrected() {
        for (typed, line) in [
            ("pw\n", Some("pw")),
            ("px\u{7f}w\r", Some("pw")),
            ("x\u{15}pw\nrest", Some("pw")),
            ("\n", Some("")),
            ("pw", None),
            ("pw\u{3}\n", None),
        ] {
            assert_eq!(typed_line(typed.bytes().map(Ok)).as_deref(), line, "{typed:?}");
        }
    }
}
