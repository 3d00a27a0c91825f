//! `runr system check`: what is damaged, and its repair.

use super::super::args::housekeeping::CheckArgs;
use super::super::{Context, Exit, typed};
use crate::base::{Error, Result, moment};
use crate::ops::check::{self, CheckOptions, Finding, Outcome};
use crate::store::Store;
use clap::ArgMatches;
use std::time::Duration;

/// Something is damaged and stays so.
const DAMAGED: u8 = 1;

/// `system check`: 0 when all is well or repaired, 1 when something stays damaged.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: CheckArgs = typed(matches)?;
    let max = moment::duration_nanos(&args.max).and_then(|nanos| u64::try_from(nanos).ok());
    let max =
        max.ok_or_else(|| Error::usage(format!("--max: invalid duration `{}`", args.max)).hint("such as `24h`"))?;
    let options = CheckOptions {
        quick: args.quick,
        repair: args.repair || args.force,
        force: args.force,
        max_age: Duration::from_nanos(max),
    };
    let store = Store::open(&context.config.root)?;
    let findings = check::check(&store, options)?;
    findings.iter().try_for_each(|finding| context.out.text(&shown(finding)))?;
    let left = findings.iter().filter(|f| !matches!(f.outcome, Outcome::Repaired(_))).count();
    match (findings.len(), left) {
        (0, _) => context.out.line("No damage found.")?,
        (all, 0) => context.out.line(&format!("{all} found, all repaired."))?,
        (all, left) if options.repair => context.out.line(&format!("{all} found, {left} not repaired."))?,
        (all, _) => {
            context.out.line(&format!("{all} found. `runr system check --repair` repairs what can be repaired."))?
        }
    }
    Ok(if left == 0 { Exit::OK } else { Exit::code(DAMAGED) })
}

fn shown(finding: &Finding) -> String {
    match &finding.outcome {
        Outcome::Found => format!("{}\n", finding.what),
        Outcome::Repaired(how) => format!("{}\n  repaired: {how}\n", finding.what),
        Outcome::Kept(why) => format!("{}\n  not repaired: {why}\n", finding.what),
    }
}
