//! Flags of the commands about a container's files.

use clap::Args;
use std::ffi::OsString;

/// Examples below the help of `cp`.
const CP_EXAMPLES: &str = "\
Examples:
  A result out of a container, running or stopped
    runr cp build:/src/target/app ./app

  What is in a folder, not the folder itself
    runr cp ./site/. web:/usr/share/nginx/html

  As a tar archive, through a pipe
    runr cp web:/var/log - | tar t";

/// `cp`.
#[derive(Debug, Args)]
#[command(after_help = CP_EXAMPLES)]
pub(crate) struct CpArgs {
    /// Keep the owners of the files
    #[arg(short, long)]
    pub(crate) archive: bool,
    /// Copy what a symlink leads to, if it is the source
    #[arg(short = 'L', long)]
    pub(crate) follow_link: bool,
    /// Let directories replace files, and files replace directories
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Say nothing of what was copied
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Path, CONTAINER:PATH, or - for a tar archive on stdin
    #[arg(value_name = "SOURCE", required = true)]
    pub(crate) source: OsString,
    /// Path, CONTAINER:PATH, or - for a tar archive on stdout
    #[arg(value_name = "DESTINATION", required = true)]
    pub(crate) destination: OsString,
}
