//! Flags of `exec`.

use clap::Args;

/// Examples below the help of `exec`.
const EXAMPLES: &str = "\
Examples:
  A shell in a running container
    runr exec -it web sh

  A command as another user, with a variable more
    runr exec -u postgres -e PGDATABASE=shop db psql -c 'select 1'

  Data in, data out
    runr exec -i db psql < dump.sql
    runr exec web tar -C /var/log -c . | gzip > logs.tar.gz";

/// `exec`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExecArgs {
    /// Leave the command in the background and print its session's id
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Keys that leave the command to itself
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<String>,
    /// Set a variable; NAME alone takes the caller's value
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Read variables from a file of NAME=VALUE lines
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<String>,
    /// Keep the command's stdin connected
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// User to run as, name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Folder to start in
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// Give the command all capabilities
    #[arg(long)]
    pub(crate) privileged: bool,
    /// Pass on this many descriptors from 3 on
    #[arg(long, value_name = "N")]
    pub(crate) preserve_fds: Option<u32>,
    /// Pass on these descriptors
    #[arg(long, value_name = "FD", value_delimiter = ',')]
    pub(crate) preserve_fd: Vec<u32>,
    /// Accepted for scripts: runr keeps no database that a session could be left out of
    #[arg(long)]
    pub(crate) no_session: bool,
    /// The container whose id this file holds
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<String>,
    /// The last container that was made
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// The container, then the command
    // One list: flags behind the container belong to the command, and `--` there is a word like any other.
    #[arg(value_names = ["CONTAINER", "COMMAND"], trailing_var_arg = true, num_args = 1..)]
    pub(crate) words: Vec<String>,
}
