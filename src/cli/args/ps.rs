//! Flags of `ps`: which containers are listed, and in which form they are printed.

use clap::Args;

/// `ps`.
#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Also those that do not run
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Accepted for scripts: other tools' containers are not in this store
    #[arg(long)]
    pub(crate) external: bool,
    /// Only what fits: id, name (regular expressions), label, status, exited, ancestor, before, since, until, network, volume, health, restart-policy, command
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// Print by a Go template, as table TEMPLATE, or as a json list; '{{json .}}' is an object per line
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// Only the last ones that were made, running or not
    #[arg(short = 'n', long, value_name = "COUNT", allow_negative_numbers = true)]
    pub(crate) last: Option<i64>,
    /// Only the last one that was made, running or not
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Print ids and commands in full
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// No head line
    #[arg(long)]
    pub(crate) noheading: bool,
    /// The kernel's numbers of each container's namespaces
    #[arg(long, alias = "namespace")]
    pub(crate) ns: bool,
    /// Columns for pods
    #[arg(short, long)]
    pub(crate) pod: bool,
    /// Only ids
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Also how much each container wrote
    #[arg(short, long)]
    pub(crate) size: bool,
    /// Sort by command, created, id, image, names, runningfor, size or status
    #[arg(long, value_name = "KEY")]
    pub(crate) sort: Option<String>,
    /// Accepted for scripts: what is shown is always looked up anew
    #[arg(long)]
    pub(crate) sync: bool,
    /// Print again every so many seconds
    #[arg(short, long, value_name = "SECONDS")]
    pub(crate) watch: Option<u64>,
}
