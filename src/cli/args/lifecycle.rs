//! Flags of the commands that end, freeze, wait for and connect to running containers.

use clap::Args;

/// Which containers a command means, beside those it names.
#[derive(Debug, Args)]
pub(crate) struct SelectArgs {
    /// All containers that it can be done to
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Read a name or id from a file
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Vec<String>,
    /// The last one that was made
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Names or ids
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

/// `stop`.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// Only what fits, as for ps
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// No error for a container that does not exist
    #[arg(short, long)]
    pub(crate) ignore: bool,
    /// Send this signal instead of the container's own
    #[arg(short, long, value_name = "SIGNAL")]
    pub(crate) signal: Option<String>,
    /// Seconds until the container is killed; -1 waits for ever
    #[arg(short, long, value_name = "SECONDS", alias = "time", allow_negative_numbers = true)]
    pub(crate) timeout: Option<i64>,
}

/// `restart`.
#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// Only what fits, as for ps
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// All that run
    #[arg(long)]
    pub(crate) running: bool,
    /// Send this signal instead of the container's own
    #[arg(short, long, value_name = "SIGNAL")]
    pub(crate) signal: Option<String>,
    /// Seconds until the container is killed; -1 waits for ever
    #[arg(short, long, value_name = "SECONDS", alias = "time", allow_negative_numbers = true)]
    pub(crate) timeout: Option<i64>,
}

/// `kill`.
#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// The signal, by name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    pub(crate) signal: String,
}

/// `pause` and `unpause`.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// Only what fits, as for ps
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
}

/// `wait`.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Wait for this: not-running, next-exit, removed, created, running, paused, exited, stopped, healthy, unhealthy
    #[arg(long, value_name = "CONDITION", value_delimiter = ',')]
    pub(crate) condition: Vec<String>,
    /// Return at the first container for which it holds
    #[arg(long)]
    pub(crate) exit_first_match: bool,
    /// No error for a container that does not exist
    #[arg(long)]
    pub(crate) ignore: bool,
    /// Accepted for scripts: runr is told, it does not poll
    #[arg(short, long, value_name = "DURATION")]
    pub(crate) interval: Option<String>,
    /// The last one that was made
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Names or ids
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

/// `attach`.
#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// Keys that leave the container to itself
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<String>,
    /// The last one that was made
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Do not connect stdin
    #[arg(long)]
    pub(crate) no_stdin: bool,
    /// Pass signals that runr gets on to the container (default; switch off with =false)
    #[arg(long, default_value = "true")]
    pub(crate) sig_proxy: bool,
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: Option<String>,
}
