//! `runr update`: other settings for containers that exist.

use super::super::args::health::HealthArgs;
use super::super::args::update::UpdateArgs;
use super::super::parse::{env, health, life, limits, process};
use super::super::{Context, Exit, typed};
use super::select;
use crate::base::{Error, Result};
use crate::ops::change::{self, Changes};
use crate::spec::health::HealthOptions;
use crate::store::Store;
use clap::ArgMatches;

/// `update`: prints each container as it was typed. What can be changed is, also when something else cannot.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: UpdateArgs = typed(matches)?;
    let (health, args) = (args.health, UpdateArgs { health: HealthArgs::default(), ..args });
    let changes = Changes { health: health::options(health, &context.config)?, ..changes(context, &args)? };
    if changes == Changes::default() {
        return Err(Error::usage("update: nothing to change: give at least one flag").hint("see `runr update --help`"));
    }
    let store = Store::open(&context.config.root)?;
    let words = match (args.latest, args.containers.is_empty()) {
        (true, true) => vec![select::latest(&store)?],
        (false, false) => args.containers,
        (true, false) => return Err(Error::usage("update: containers by name cannot be used together with --latest")),
        (false, true) => {
            return Err(Error::usage("update: missing argument: CONTAINER").hint("see `runr update --help`"));
        }
    };
    let mut failed: Option<Error> = None;
    for word in &words {
        match change::update(&store, word, &changes) {
            Ok(()) => context.out.line(word)?,
            Err(e) => {
                if let Some(earlier) = failed.replace(e) {
                    context.out.error(&earlier);
                }
            }
        }
    }
    failed.map_or(Ok(Exit::OK), Err)
}

fn changes(context: &Context, args: &UpdateArgs) -> Result<Changes> {
    let mut variables = Vec::new();
    for text in &args.env {
        variables.extend(env::variable(text, &context.config.env).map_err(|e| e.step("--env"))?);
    }
    let ulimits = args.ulimit.iter().map(|u| process::ulimit(u).map_err(|e| e.step("--ulimit")));
    Ok(Changes {
        restart: args.restart.as_deref().map(life::restart_policy).transpose()?,
        env: variables,
        unset_env: args.unsetenv.clone(),
        ulimits: ulimits.collect::<Result<_>>()?,
        health: HealthOptions::default(),
        limits: limits::limits(&args.limits, &args.counts)?,
    })
}
