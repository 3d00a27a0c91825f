//! Flags of the commands about runr and this machine.

use clap::Args;

/// `version`.
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// Print by a Go template, or json
    #[arg(short, long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
}
