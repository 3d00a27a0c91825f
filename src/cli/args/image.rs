//! Flags of the commands about images.

use clap::Args;

/// Which platform's image, and how to talk to its registry.
#[derive(Debug, Default, Args)]
pub(crate) struct SourceArgs {
    /// Platform of the image, such as linux/arm64
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// CPU architecture of the image
    #[arg(long, value_name = "ARCH")]
    pub(crate) arch: Option<String>,
    /// Operating system of the image
    #[arg(long, value_name = "OS")]
    pub(crate) os: Option<String>,
    /// File with registry credentials
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<String>,
    /// Credentials for the registry
    #[arg(long, value_name = "USER[:PASSWORD]")]
    pub(crate) creds: Option<String>,
    /// Folder with certificates for the registry (ca.crt, client.cert, client.key)
    #[arg(long, value_name = "DIR")]
    pub(crate) cert_dir: Option<String>,
    /// Insist on https and a valid certificate
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = super::parse::go_bool)]
    pub(crate) tls_verify: Option<bool>,
    /// How often a request that failed is sent again (default: 3)
    #[arg(long, value_name = "COUNT")]
    pub(crate) retry: Option<u32>,
    /// How long to wait before each of them, such as 2s (default: half a second, then longer each time)
    #[arg(long, value_name = "TIME")]
    pub(crate) retry_delay: Option<String>,
}

/// `images`.
#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// Only images of this name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub(crate) name: Option<String>,
    /// Accepted for scripts: there are no intermediate images to show
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Show digests
    #[arg(long)]
    pub(crate) digests: bool,
    /// Only what fits: dangling, label, before, since, reference, until, id, containers, readonly, intermediate, manifest
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// Print by a Go template, as table TEMPLATE, or as json
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// Print ids and digests in full
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// No head line
    #[arg(short = 'n', long)]
    pub(crate) noheading: bool,
    /// Only ids
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Sort by created, repository, tag, id or size
    #[arg(long, value_name = "KEY")]
    pub(crate) sort: Option<String>,
}

/// Examples below the help of `pull`.
const PULL_EXAMPLES: &str = "\
Examples:
  From Docker Hub, from another registry, pinned to a digest
    runr pull alpine
    runr pull ghcr.io/owner/name:1.2
    runr pull alpine@sha256:…

  From a file or folder that another tool wrote
    runr pull docker-archive:image.tar
    runr pull oci:./layout:tag

  In a script: only the image's id
    id=$(runr pull -q alpine)";

/// `pull`.
#[derive(Debug, Args)]
#[command(after_help = PULL_EXAMPLES)]
pub(crate) struct PullArgs {
    /// Every tag of the repository
    #[arg(short, long)]
    pub(crate) all_tags: bool,
    /// Print only the image's id
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// When to ask the registry: missing, always, newer, never
    #[arg(long, value_name = "WHEN")]
    pub(crate) policy: Option<String>,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// What to pull
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}

/// `rmi`.
#[derive(Debug, Args)]
pub(crate) struct RmiArgs {
    /// All images
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Also the containers that use the image, and all of its names
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Say nothing about images that do not exist
    #[arg(short, long)]
    pub(crate) ignore: bool,
    /// Accepted for scripts: there are no parent images to keep
    #[arg(long)]
    pub(crate) no_prune: bool,
    /// Names or ids
    #[arg(value_name = "IMAGE", required_unless_present = "all")]
    pub(crate) images: Vec<String>,
}
