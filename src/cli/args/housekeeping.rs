//! Flags of the commands that show what takes room and make some.

use clap::Args;

/// `system df`.
#[derive(Debug, Args)]
pub(crate) struct DfArgs {
    /// Print by a Go template, as table TEMPLATE, or as json
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// Each image and container, and what else takes room: packed layers, layers with other owners
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// `container prune`.
#[derive(Debug, Args)]
pub(crate) struct ContainerPruneArgs {
    /// Only what fits: until, label, label!
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// `image prune`.
#[derive(Debug, Args)]
pub(crate) struct ImagePruneArgs {
    /// All images without a container, not only those without a name
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Accepted for scripts: there is no build cache
    #[arg(long)]
    pub(crate) build_cache: bool,
    /// Accepted for scripts: what was left by killed commands always goes
    #[arg(long)]
    pub(crate) external: bool,
    /// Only what fits: until, label, label!, dangling, reference
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// `system prune`.
#[derive(Debug, Args)]
pub(crate) struct SystemPruneArgs {
    /// All images without a container, not only those without a name
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Accepted for scripts: there is no build cache
    #[arg(long)]
    pub(crate) build: bool,
    /// Accepted for scripts: what was left by killed commands always goes
    #[arg(long)]
    pub(crate) external: bool,
    /// Only what fits: until, label, label!
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Also volumes that were made for a container and that none uses
    #[arg(long)]
    pub(crate) volumes: bool,
}

/// `system reset`.
#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// `system check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// With --repair: remove containers and images that cannot be repaired
    #[arg(short, long)]
    pub(crate) force: bool,
    /// How old what nothing refers to may be before it counts as damage
    #[arg(short, long, value_name = "TIME", default_value = "24h")]
    pub(crate) max: String,
    /// Do not read all blobs
    #[arg(short, long)]
    pub(crate) quick: bool,
    /// Repair what can be repaired
    #[arg(short, long)]
    pub(crate) repair: bool,
}

/// `container cleanup`.
#[derive(Debug, Args)]
pub(crate) struct CleanupArgs {
    /// All containers
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Only this exec session
    #[arg(long, value_name = "SESSION")]
    pub(crate) exec: Option<String>,
    /// The last one that was made
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Remove them as well
    #[arg(long)]
    pub(crate) rm: bool,
    /// Remove their images as well
    #[arg(long)]
    pub(crate) rmi: bool,
    /// Names or ids
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}
