//! `runr wait`: prints the exit status of each container once it has ended, or once another condition holds.

use super::super::args::lifecycle::WaitArgs;
use super::super::{Context, Exit, typed};
use super::select;
use crate::base::{Error, Kind, Result};
use crate::ops::lifecycle::{self, Condition};
use crate::state::Status;
use crate::store::Store;
use clap::ArgMatches;

/// `wait`. With a condition that holds before or while a container runs there is no status; -1 is printed, as podman does.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: WaitArgs = typed(matches)?;
    let conditions = conditions(&args.condition)?;
    let store = Store::open(&context.config.root)?;
    let words = match (args.latest, args.containers.is_empty()) {
        (true, true) => vec![select::latest(&store)?],
        (true, false) => return Err(Error::usage("wait: containers by name cannot be used together with --latest")),
        (false, true) => return Err(Error::usage("wait: missing argument: CONTAINER").hint("see `runr wait --help`")),
        (false, false) => args.containers,
    };
    if args.exit_first_match && words.len() > 1 {
        let code = lifecycle::wait_any(&store, &words, &conditions)?;
        context.out.line(&code.unwrap_or(-1).to_string())?;
        return Ok(Exit::OK);
    }
    let mut failed: Option<Error> = None;
    for word in &words {
        match lifecycle::wait(&store, word, &conditions) {
            Ok(code) => context.out.line(&code.unwrap_or(-1).to_string())?,
            Err(e) if args.ignore && e.kind() == Kind::NotFound => context.out.line("-1")?,
            Err(e) => {
                if let Some(earlier) = failed.replace(e) {
                    context.out.error(&earlier);
                }
            }
        }
    }
    failed.map_or(Ok(Exit::OK), Err)
}

fn conditions(given: &[String]) -> Result<Vec<Condition>> {
    if given.is_empty() {
        return Ok(vec![Condition::NotRunning]);
    }
    let parse = |text: &String| {
        Ok(match text.as_str() {
            "not-running" | "stopped" | "exited" => Condition::NotRunning,
            "next-exit" => Condition::NextExit,
            "removed" | "removing" => Condition::Removed,
            "created" | "configured" => Condition::Is(Status::Created),
            "initialized" => Condition::Is(Status::Initialized),
            "running" => Condition::Is(Status::Running),
            "paused" => Condition::Is(Status::Paused),
            "stopping" => Condition::Is(Status::Exited),
            "healthy" => Condition::Healthy,
            "unhealthy" => Condition::Unhealthy,
            _ => {
                return Err(Error::usage(format!("invalid condition `{text}`")).hint(
                    "use not-running, next-exit, removed, created, running, paused, exited, stopped, healthy or unhealthy",
                ));
            }
        })
    };
    given.iter().map(parse).collect()
}
