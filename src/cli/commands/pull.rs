//! `runr pull`: images into the store. Progress goes to stderr, the id of each image to stdout.

use super::super::args::image::PullArgs;
use super::super::parse::create;
use super::super::{Context, Exit, progress, source, typed};
use crate::base::progress::Progress;
use crate::base::{Error, Result};
use crate::image::Transport;
use crate::image::transport::parse_transport;
use crate::ops::obtain::{self, Obtain};
use crate::ops::pull::{self, Policy};
use crate::registry::Client;
use crate::store::Store;
use crate::sys::process::in_child;
use crate::userns;
use clap::ArgMatches;
use std::sync::Arc;

/// `pull`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: PullArgs = typed(matches)?;
    let store = Store::open(&context.config.root)?;
    let watcher = progress::choose(&context.config, args.quiet);
    let how = how(context, &args, &watcher)?;
    let mut failed = None;
    for name in names(&args, &how)? {
        match one(&store, &name, &how, watcher.as_ref()) {
            Ok(id) => context.out.line(&id)?,
            // The others may still come, as with docker and podman.
            Err(e) => {
                if let Some(earlier) = failed.replace(e) {
                    context.out.error(&earlier);
                }
            }
        }
    }
    failed.map_or(Ok(Exit::OK), Err)
}

/// The settings of the pull: `pull` asks the registry unless told otherwise.
fn how(context: &Context, args: &PullArgs, watcher: &Arc<dyn Progress>) -> Result<Obtain> {
    let policy = args.policy.as_deref().map_or(Ok(Policy::Always), str::parse).map_err(|e| e.step("--policy"))?;
    let platform = create::platform(&args.source)?;
    source::obtain(&context.config, &args.source, policy, platform, &userns::default_map()?, watcher)
}

/// What to pull: the arguments, or all tags of theirs.
fn names(args: &PullArgs, how: &Obtain) -> Result<Vec<String>> {
    if !args.all_tags {
        return Ok(args.images.clone());
    }
    let mut names = Vec::new();
    for text in &args.images {
        let Transport::Registry(reference) = parse_transport(text)? else {
            return Err(Error::usage(format!("--all-tags: `{text}` is not an image of a registry")));
        };
        if reference.digest().is_some() || text.rsplit('/').next().is_some_and(|tail| tail.contains(':')) {
            return Err(Error::usage("tag can't be used with --all-tags"));
        }
        // The client starts threads, and each pull forks: it does so in a process of its own.
        let mut tags: Vec<String> = in_child(|| Client::new(how.registry.clone())?.tags(&reference))?;
        // A registry may list them in any order.
        tags.sort();
        for tag in tags {
            names.push(reference.with_tag(&tag)?.to_string());
        }
    }
    Ok(names)
}

/// Pulls one image; its id.
fn one(store: &Store, name: &str, how: &Obtain, watcher: &dyn Progress) -> Result<String> {
    if let Some(known) = pull::resolve(store, name, how.policy).or_else(|e| match how.policy {
        Policy::Never => Err(e),
        // A transport is no name that the store could know.
        _ => Ok(None),
    })? && how.policy != Policy::Always
    {
        return Ok(store.load_image(&known)?.id.to_string());
    }
    in_child(|| {
        let pulled = obtain::pull(store, name, how, watcher);
        watcher.finish();
        Ok(pulled?.id.to_string())
    })
}
