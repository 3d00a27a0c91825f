//! A question to the user, before something is deleted.

use super::Context;
use crate::base::{Doing, Error, Result};
use std::io::BufRead;

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
