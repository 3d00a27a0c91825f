//! `runr export`: a container's files as a tar archive.

use super::super::args::files::ExportArgs;
use super::super::{Context, Exit, progress, typed};
use crate::base::{Doing, Error, Result, fsx};
use crate::ops::files::export;
use crate::store::Store;
use clap::ArgMatches;
use std::fs::{File, OpenOptions};
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// `export`.
pub(crate) fn run(context: &mut Context, matches: &ArgMatches) -> Result<Exit> {
    let args: ExportArgs = typed(matches)?;
    let store = Store::open(&context.config.root)?;
    let watcher = progress::choose(&context.config, true);
    let export = |output: &OwnedFd| export::export(&store, &args.container, output, watcher.as_ref());
    let Some(path) = args.output.as_ref().map(|file| context.config.working_dir.join(file)) else {
        if std::io::stdout().is_terminal() {
            return Err(Error::usage("refusing to write an archive to a terminal")
                .hint("give a file with `-o`, or redirect the output"));
        }
        let stdout = std::io::stdout().as_fd().try_clone_to_owned().doing(|| "copy descriptor")?;
        return match export(&stdout) {
            // Whoever reads has what it wanted.
            Err(e) if e.errno() == Some(nix::errno::Errno::EPIPE) => Ok(Exit::OK),
            other => other.map(|()| Exit::OK),
        };
    };
    to_file(&path, export).map(|()| Exit::OK)
}

/// Under its name when it is whole: a file that was there stays until then.
fn to_file(path: &Path, export: impl FnOnce(&OwnedFd) -> Result<()>) -> Result<()> {
    if std::fs::metadata(path).is_ok_and(|m| !m.is_file()) {
        let file = OpenOptions::new().write(true).open(path).doing(|| format!("open `{}`", path.display()))?;
        return export(&file.into());
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let temporary = folder.join(fsx::unique_name(".export"));
    let file: OwnedFd = File::create_new(&temporary).doing(|| format!("create `{}`", path.display()))?.into();
    let done = export(&file).and_then(|()| fsx::rename(&temporary, path));
    if done.is_err() {
        // The first error is the one to report.
        drop(fsx::remove_file(&temporary));
    }
    done
}
