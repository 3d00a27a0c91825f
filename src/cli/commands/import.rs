//! `runr import`: an image from the archive of a root filesystem.

use super::super::args::files::ImportArgs;
use super::super::{Context, Exit, typed};
use crate::base::{Doing, Error, Result};
use crate::image::{Platform, Reference};
use crate::ops::files::import::{self, ImportOptions};
use crate::store::Store;
use clap::ArgMatches;
use std::fs::File;

/// `import`: prints the image's id.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: ImportArgs = typed(matches)?;
    if args.archive.starts_with("http://") || args.archive.starts_with("https://") {
        let e = Error::unsupported("import: archives from the network: not supported yet");
        return Err(e.hint(format!("load it down first: `curl -L {} | runr import -`", args.archive)));
    }
    let name = args.image.as_deref().map(str::parse::<Reference>).transpose()?;
    if let Some(name) = name.as_ref().filter(|n| n.digest().is_some()) {
        return Err(Error::usage(format!("import: `{name}` has a digest, which nobody can choose")));
    }
    let options = ImportOptions {
        name,
        changes: args.change.clone(),
        message: args.message.clone().unwrap_or_else(|| format!("Imported from {}", args.archive)),
        platform: platform(&args)?,
    };
    let store = Store::open(&context.config.root)?;
    let step = |e: Error| e.step(format!("import `{}`", args.archive));
    let id = if args.archive == "-" {
        import::import(&store, std::io::stdin().lock(), options)
    } else {
        let path = context.config.working_dir.join(&args.archive);
        let file = File::open(&path).doing(|| format!("open `{}`", path.display()))?;
        import::import(&store, file, options)
    };
    context.out.line(&id.map_err(step)?.to_string())?;
    Ok(Exit::OK)
}

/// This machine's, but for what is said.
fn platform(args: &ImportArgs) -> Result<Platform> {
    let base = args.platform.as_deref().map(str::parse).transpose()?.unwrap_or_else(Platform::host);
    if args.arch.is_none() && args.os.is_none() {
        return Ok(base);
    }
    let os = args.os.as_deref().unwrap_or(&base.os);
    Ok(Platform::normalised(os, args.arch.as_deref().unwrap_or(&base.architecture), None))
}
