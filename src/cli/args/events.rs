//! Flags of `events`.

use clap::Args;

/// Examples below the help.
const EXAMPLES: &str = "\
Examples:
  What happens from now on
    runr events

  What happened in the last hour to one container, as JSON
    runr events --since 1h --until 0s --filter container=web --format json

  Wait for the end of a container
    runr events --filter container=web --filter event=die | head -1";

/// `events`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EventsArgs {
    /// Only what fits: container, image, event, type, label, volume, network
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// Print by a Go template, or json
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// Print ids in full
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", value_parser = super::parse::go_bool)]
    pub(crate) no_trunc: bool,
    /// Not those before this time, or this long ago
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Wait for what is still to come
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", value_parser = super::parse::go_bool)]
    pub(crate) stream: bool,
    /// Not those after this time, or this long ago; then end
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}
