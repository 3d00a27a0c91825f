//! Flags of the commands about volumes.

use clap::Args;

/// `volume create`.
#[derive(Debug, Args)]
pub(crate) struct VolumeCreateArgs {
    /// Only local: a folder of runr's, or of yours
    #[arg(short, long, value_name = "DRIVER", default_value = "local", hide_default_value = true)]
    pub(crate) driver: String,
    /// One that exists already is fine, whatever its options are
    #[arg(long)]
    pub(crate) ignore: bool,
    /// Metadata
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub(crate) label: Vec<String>,
    /// For a folder of yours: type=none, o=bind, device=PATH
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) opt: Vec<String>,
    /// Its name; without one it gets a random one
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// `volume ls`.
#[derive(Debug, Args)]
pub(crate) struct VolumeLsArgs {
    /// Only what fits: name, label, label!, dangling, driver, scope, opt, anonymous, since, until
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// Print by a Go template, as table TEMPLATE, or as json
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// Without the head line
    #[arg(short, long)]
    pub(crate) noheading: bool,
    /// Only names
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `volume inspect`.
#[derive(Debug, Args)]
pub(crate) struct VolumeInspectArgs {
    /// All volumes
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Print by a Go template, or json
    #[arg(short, long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// Names
    #[arg(value_name = "VOLUME", required_unless_present = "all")]
    pub(crate) volumes: Vec<String>,
}

/// `volume rm`.
#[derive(Debug, Args)]
pub(crate) struct VolumeRmArgs {
    /// All volumes that no container uses
    #[arg(short, long)]
    pub(crate) all: bool,
    /// One that does not exist is no error; one that a container uses stays
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Names
    #[arg(value_name = "VOLUME", required_unless_present = "all")]
    pub(crate) volumes: Vec<String>,
}

/// `volume prune`.
#[derive(Debug, Args)]
pub(crate) struct VolumePruneArgs {
    /// Also those with a name, not only those that were made for a container
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Only what fits: label, label!, name, since, until
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// `volume exists`.
#[derive(Debug, Args)]
pub(crate) struct VolumeExistsArgs {
    /// Its name
    #[arg(value_name = "VOLUME")]
    pub(crate) volume: String,
}
