//! Flags of `logs`.

use clap::Args;

/// Examples below its help.
const EXAMPLES: &str = "\
Examples:
  The last ten lines, and what comes until the container ends
    runr logs -f -n 10 web

  What it said on stderr in the last five minutes, with times
    runr logs -t --since 5m web 2>&1 >/dev/null

  Wait for a line
    runr logs -f db | grep -q 'ready for connections'";

/// `logs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LogsArgs {
    /// Wait for what is still to come, until the container ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Not what was written before: a duration such as 10m, a time, or seconds since 1970
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) since: Option<String>,
    /// Not what was written after; with --follow, end then
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) until: Option<String>,
    /// Only so many lines from the end, or all
    #[arg(short = 'n', long, value_name = "LINES", allow_hyphen_values = true)]
    pub(crate) tail: Option<String>,
    /// Begin each line with its time
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// Begin each line with the labels and variables that --log-opt chose
    #[arg(long)]
    pub(crate) details: bool,
    /// With several containers, begin each line with the container's name instead of its id
    #[arg(long)]
    pub(crate) names: bool,
    /// Give each container's lines a colour
    #[arg(long)]
    pub(crate) color: bool,
    /// The container that was made last
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Names or ids
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}
