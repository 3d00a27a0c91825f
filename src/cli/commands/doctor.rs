//! `runr doctor`: what this machine lets runr do, and how to change what it does not.

use super::super::args::system::DoctorArgs;
use super::super::output::document;
use super::super::{Context, Exit, typed};
use crate::base::Result;
use crate::ops::doctor::{self, Check, Verdict};
use clap::ArgMatches;

/// `doctor`: status 1 when containers cannot run here.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: DoctorArgs = typed(matches)?;
    let checks = doctor::examine(&context.config.root);
    if args.json {
        context.out.text(&document::pretty(&serde_json::to_value(&checks)?)?)?;
    } else {
        let colour = context.out.colours_stdout();
        let text: String = checks.iter().map(|c| lines(c, colour)).collect();
        context.out.text(&text)?;
    }
    let failed = checks.iter().any(|c| c.verdict == Verdict::Fail);
    Ok(if failed { Exit::code(1) } else { Exit::OK })
}

fn lines(check: &Check, colour: bool) -> String {
    let (word, code) = match check.verdict {
        Verdict::Ok => ("ok  ", "32"),
        Verdict::Warn => ("warn", "33"),
        Verdict::Fail => ("FAIL", "31"),
    };
    let word = if colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() };
    let mut text = format!("{word}  {}: {}\n", check.name, check.finding);
    for fix in &check.fix {
        text.push_str(&format!("      fix: {fix}\n"));
    }
    text
}
