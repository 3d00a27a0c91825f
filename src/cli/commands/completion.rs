//! `runr completion`, and what only scripts call: `__complete`, `__generate`.

use super::super::args::system::{CompleteArgs, CompletionArgs, GenerateArgs};
use super::super::complete::{self, SCRIPTS};
use super::super::{Context, Exit, docgen, typed};
use crate::base::{Error, Result};
use clap::ArgMatches;

/// `completion`: the shell's script.
pub(crate) fn script(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: CompletionArgs = typed(matches)?;
    let found = SCRIPTS.iter().find(|(shell, _, _)| *shell == args.shell);
    let Some((_, _, text)) = found else {
        return Err(Error::usage(format!("completion: unknown shell `{}`", args.shell)).hint("use bash, zsh or fish"));
    };
    context.out.text(text)?;
    Ok(Exit::OK)
}

/// `__complete`: one candidate per line, with a tab and its description.
pub(crate) fn complete(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: CompleteArgs = typed(matches)?;
    let candidates = complete::candidates(&args.words, &context.config);
    let lines: String = candidates
        .iter()
        .map(|c| if c.help.is_empty() { format!("{}\n", c.word) } else { format!("{}\t{}\n", c.word, c.help) })
        .collect();
    context.out.text(&lines)?;
    Ok(Exit::OK)
}

/// `__generate`: the project's `completions/` and `man/`.
pub(crate) fn generate(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: GenerateArgs = typed(matches)?;
    docgen::write(&context.config.working_dir.join(args.dir))?;
    Ok(Exit::OK)
}
