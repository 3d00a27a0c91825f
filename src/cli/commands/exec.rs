//! `runr exec`: a further command in a running container.

use super::super::args::exec::ExecArgs;
use super::super::parse::keys::detach_keys;
use super::super::parse::{env, process};
use super::super::passed::asked_for;
use super::super::terminal::{self, Wiring};
use super::super::{Context, Exit, typed};
use super::select;
use crate::base::{Error, Result, fsx};
use crate::ops;
use crate::runtime::exec::ExecSpec;
use crate::spec::options::Attach;
use crate::store::Store;
use crate::supervise::client;
use clap::ArgMatches;
use std::os::fd::{AsFd, BorrowedFd};

/// `exec`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let mut args: ExecArgs = typed(matches)?;
    // Before anything else is opened: what is open now is the caller's.
    let passed = asked_for(args.preserve_fds, &args.preserve_fd)?;
    let store = Store::open(&context.config.root)?;
    let word = container(context, &mut args, &store)?;
    let keys = detach_keys(args.detach_keys.as_deref())?;
    let mut spec = spec(context, &args)?;
    let channel = ops::exec::connect(&store, &word)?;
    let step = |e: Error| e.step(format!("exec in `{word}`"));
    let streams = Attach { stdin: args.interactive, stdout: true, stderr: true };
    spec.passed = passed.iter().map(|(number, _)| *number).collect();
    if spec.detach {
        let fds: Vec<BorrowedFd<'_>> = passed.iter().map(|(_, fd)| fd.as_fd()).collect();
        ops::exec::send(&channel, &spec, &fds).map_err(step)?;
        client::await_start(&channel).map_err(step)?;
        context.out.line(&spec.id)?;
        return Ok(Exit::OK);
    }
    terminal::check_input(&context.out, args.interactive, args.tty);
    let signals = client::catch_signals(false)?;
    let wiring = terminal::wire(args.interactive, args.tty, false, streams)?;
    let raw = wiring.raw_mode()?;
    let Wiring { stdio, mut companion, size, .. } = wiring;
    companion.detach = keys;
    spec.size = size;
    spec.stdin_is_relayed = stdio.stdin_is_relayed;
    (spec.stdin, spec.stdout, spec.stderr) = (stdio.stdin.is_some(), stdio.stdout.is_some(), stdio.stderr.is_some());
    let streams = [&stdio.stdin, &stdio.stdout, &stdio.stderr].into_iter().flatten();
    let fds: Vec<BorrowedFd<'_>> = streams.chain(passed.iter().map(|(_, fd)| fd)).map(AsFd::as_fd).collect();
    ops::exec::send(&channel, &spec, &fds).map_err(step)?;
    drop(fds);
    // Who reads and writes now is the container alone: a pipe ends when it ends.
    drop((stdio, passed));
    let end = client::accompany(&channel, &signals, companion, |_, _| Ok(()));
    drop(raw);
    end.map(Exit::from).map_err(step)
}

/// The container, as typed, taken out of the words; the rest is the command.
fn container(context: &Context, args: &mut ExecArgs, store: &Store) -> Result<String> {
    let word = match (&args.cidfile, args.latest) {
        (Some(_), true) => return Err(Error::usage("exec: --cidfile and --latest cannot be used together")),
        (Some(file), false) => {
            let path = context.config.working_dir.join(file);
            let text = fsx::read_to_string(&path).map_err(|e| e.step("--cidfile"))?;
            text.lines().next().unwrap_or_default().trim().to_owned()
        }
        (None, true) => select::latest(store)?,
        (None, false) if args.words.is_empty() => {
            return Err(Error::usage("exec requires the name or id of a container or the --latest flag")
                .hint("see `runr exec --help`"));
        }
        (None, false) => args.words.remove(0),
    };
    if args.words.is_empty() {
        return Err(Error::usage("exec: no command specified").hint(format!("for a shell: `runr exec -it {word} sh`")));
    }
    Ok(word)
}

fn spec(context: &Context, args: &ExecArgs) -> Result<ExecSpec> {
    let config = &context.config;
    let mut variables = Vec::new();
    for file in &args.env_file {
        let bytes = fsx::read(&config.working_dir.join(file)).map_err(|e| e.step("--env-file"))?;
        variables.extend(env::file(file, &bytes, &config.env).map_err(|e| e.step("--env-file"))?);
    }
    for variable in &args.env {
        variables.extend(env::variable(variable, &config.env).map_err(|e| e.step("--env"))?);
    }
    let workdir = args.workdir.as_deref().map(process::workdir).transpose().map_err(|e| e.step("--workdir"))?;
    Ok(ExecSpec {
        id: ops::exec::new_id()?,
        args: args.words.clone(),
        env: variables,
        cwd: workdir,
        user: args.user.clone().filter(|user| !user.is_empty()),
        tty: args.tty,
        privileged: args.privileged,
        detach: args.detach,
        ..ExecSpec::default()
    })
}
