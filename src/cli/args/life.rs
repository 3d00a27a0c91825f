//! Flags of the commands that make, start and change containers, beside those that `run` shares with `create`.

use super::container::CreateArgs;
use super::image::SourceArgs;
use super::limits::LimitArgs;
use clap::Args;

/// Examples below the help of `create`.
const CREATE_EXAMPLES: &str = "\
Examples:
  Make it now, start it later, see what it says
    runr create --name job alpine date
    runr start -a job";

/// `create`.
#[derive(Debug, Args)]
#[command(after_help = CREATE_EXAMPLES)]
pub(crate) struct CreateCommandArgs {
    /// Accepted for scripts: `start` says which streams are connected
    #[arg(short, long, value_name = "STREAM", value_delimiter = ',')]
    pub(crate) attach: Vec<String>,
    #[command(flatten)]
    pub(crate) create: CreateArgs,
}

/// `start`.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// All containers
    #[arg(long)]
    pub(crate) all: bool,
    /// Connect to the container's output, pass signals on, return its exit status
    #[arg(short, long)]
    pub(crate) attach: bool,
    /// Keys that leave an attached container to itself
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<String>,
    /// Only what fits, as for ps
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// Connect to the container's stdin as well
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// The last one that was made
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Pass signals that runr gets on to the attached container (default; switch off with =false)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::parse::go_bool)]
    pub(crate) sig_proxy: Option<bool>,
    /// Names or ids
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

/// `container init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// All containers that have no process
    #[arg(short, long)]
    pub(crate) all: bool,
    /// The last one that was made
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Names or ids
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

impl InitArgs {
    /// As the commands have it that act on several containers.
    pub(crate) fn into_select(self) -> super::lifecycle::SelectArgs {
        let Self { all, latest, containers } = self;
        super::lifecycle::SelectArgs { all, latest, containers, cidfile: Vec::new() }
    }
}

/// `rename`.
#[derive(Debug, Args)]
pub(crate) struct RenameArgs {
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
    /// The new name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// `container clone`.
#[derive(Debug, Args)]
pub(crate) struct CloneArgs {
    /// Remove the container that is cloned
    #[arg(long)]
    pub(crate) destroy: bool,
    /// With --destroy: also when it runs
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Name of the new container
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Start the new container
    #[arg(long)]
    pub(crate) run: bool,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[arg(skip)]
    pub(crate) source: SourceArgs,
    /// The container, then a name and an image for the new one
    #[arg(required = true, value_names = ["CONTAINER", "NAME", "IMAGE"], num_args = 1..)]
    pub(crate) words: Vec<String>,
}
