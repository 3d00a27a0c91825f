//! Flags of the health check, and of `healthcheck run`.

use clap::Args;

/// What `run` and `create` take.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Health")]
pub(crate) struct CreateHealthArgs {
    #[command(flatten)]
    pub(crate) health: HealthArgs,
    /// Time between two checks in the start period
    #[arg(long, value_name = "DURATION")]
    pub(crate) health_start_interval: Option<String>,
}

/// What `update` takes as well.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Health")]
pub(crate) struct HealthArgs {
    /// How to see whether the container is well: a shell command, or a JSON list; none for no check
    #[arg(long, value_name = "COMMAND")]
    pub(crate) health_cmd: Option<String>,
    /// Time between two checks, such as 30s; disable for checks on request only
    #[arg(long, value_name = "DURATION")]
    pub(crate) health_interval: Option<String>,
    /// Time that one check may take
    #[arg(long, value_name = "DURATION")]
    pub(crate) health_timeout: Option<String>,
    /// Failures in a row that make the container unhealthy
    #[arg(long, value_name = "NUMBER")]
    pub(crate) health_retries: Option<u32>,
    /// Time after the start in which failures do not count
    #[arg(long, value_name = "DURATION")]
    pub(crate) health_start_period: Option<String>,
    /// What happens to an unhealthy container: none, kill, restart, stop
    #[arg(long, value_name = "ACTION")]
    pub(crate) health_on_failure: Option<String>,
    /// A check that must succeed before the health check begins
    #[arg(long, value_name = "COMMAND")]
    pub(crate) health_startup_cmd: Option<String>,
    /// Time between two of these
    #[arg(long, value_name = "DURATION")]
    pub(crate) health_startup_interval: Option<String>,
    /// Time that one of these may take
    #[arg(long, value_name = "DURATION")]
    pub(crate) health_startup_timeout: Option<String>,
    /// Failures that restart the container; 0 for never
    #[arg(long, value_name = "NUMBER")]
    pub(crate) health_startup_retries: Option<u32>,
    /// Successes that end the start-up
    #[arg(long, value_name = "NUMBER")]
    pub(crate) health_startup_success: Option<u32>,
    /// Where results go beside the container's state: local, a folder, events_logger
    #[arg(long, value_name = "WHERE")]
    pub(crate) health_log_destination: Option<String>,
    /// Results that are kept; 0 for all
    #[arg(long, value_name = "NUMBER")]
    pub(crate) health_max_log_count: Option<u32>,
    /// Bytes of output that are kept of each; 0 for all
    #[arg(long, value_name = "BYTES")]
    pub(crate) health_max_log_size: Option<u32>,
    /// No health check, whatever the image says
    #[arg(long)]
    pub(crate) no_healthcheck: bool,
}

/// `healthcheck run`.
#[derive(Debug, Args)]
pub(crate) struct HealthcheckRunArgs {
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
}
