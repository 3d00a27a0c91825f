//! `runr commit`: an image from a container.

use super::super::args::files::CommitArgs;
use super::super::{Context, Exit, progress, typed};
use crate::base::{Doing, Error, Result, fsx};
use crate::image::Reference;
use crate::ops::files::commit::{self, CommitOptions, Pause};
use crate::ops::files::config::Format;
use crate::store::Store;
use clap::ArgMatches;
use clap::parser::ValueSource;

/// `commit`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: CommitArgs = typed(matches)?;
    let name = args.image.as_deref().map(str::parse::<Reference>).transpose()?;
    if let Some(name) = name.as_ref().filter(|n| n.digest().is_some()) {
        return Err(Error::usage(format!("commit: `{name}` has a digest, which nobody can choose")));
    }
    let asked = matches.value_source("pause") == Some(ValueSource::CommandLine);
    let options = CommitOptions {
        name,
        author: args.author.filter(|a| !a.is_empty()),
        message: args.message.filter(|m| !m.is_empty()),
        changes: args.change,
        config: match &args.config {
            Some(file) => Some(fsx::read_to_string(&context.config.working_dir.join(file)).doing(|| "--config")?),
            None => None,
        },
        pause: match (args.pause, asked) {
            (false, _) => Pause::No,
            (true, true) => Pause::Yes,
            (true, false) => Pause::IfPossible,
        },
        format: match args.format.as_str() {
            "oci" => Format::Oci,
            "docker" => Format::Docker,
            other => return Err(Error::usage(format!("commit: invalid format `{other}`: use oci or docker"))),
        },
        include_volumes: args.include_volumes,
        squash: args.squash,
    };
    let store = Store::open(&context.config.root)?;
    let watcher = progress::choose(&context.config, true);
    let id = commit::commit(&store, &args.container, &options, watcher.as_ref())?;
    if let Some(file) = &args.iidfile {
        let path = context.config.working_dir.join(file);
        std::fs::write(&path, id.to_string()).doing(|| format!("write `{}`", path.display()))?;
    }
    context.out.line(&id.to_string())?;
    Ok(Exit::OK)
}
