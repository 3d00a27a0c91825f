//! Flags of `update`.

use super::health::HealthArgs;
use super::limits::{CountArgs, LimitArgs};
use clap::Args;

/// `update`.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Start it again when it ends: no, on-failure[:TIMES], always, unless-stopped
    #[arg(long, value_name = "POLICY")]
    pub(crate) restart: Option<String>,
    /// Set a variable, from the next start on; NAME alone takes the caller's value
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Take a variable away, from the next start on
    #[arg(long, value_name = "NAME")]
    pub(crate) unsetenv: Vec<String>,
    /// Limit a resource of the process, from the next start on
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub(crate) ulimit: Vec<String>,
    #[command(flatten)]
    pub(crate) health: HealthArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) counts: CountArgs,
    /// The last one that was made
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Names or ids
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}
