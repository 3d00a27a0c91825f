//! Flags of the commands about runr and this machine.

use clap::Args;
use std::ffi::OsString;

/// `version`.
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// Print by a Go template, or json
    #[arg(short, long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
}

/// `info`.
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// Print by a Go template, or json
    #[arg(short, long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
}

/// `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Print by a Go template, or json
    #[arg(short, long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// Only objects of this type: container, image or volume
    #[arg(long, value_name = "TYPE")]
    pub(crate) r#type: Option<String>,
    /// Also the size of a container's files
    #[arg(short, long)]
    pub(crate) size: bool,
    /// The last container that was made
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Names or ids
    #[arg(value_name = "NAME", required_unless_present = "latest")]
    pub(crate) names: Vec<String>,
}

/// `image inspect`.
#[derive(Debug, Args)]
pub(crate) struct ImageInspectArgs {
    /// Print by a Go template, or json
    #[arg(short, long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// Insist on this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) names: Vec<String>,
}

/// `container inspect`.
#[derive(Debug, Args)]
pub(crate) struct ContainerInspectArgs {
    /// Print by a Go template, or json
    #[arg(short, long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// Also the size of the container's files
    #[arg(short, long)]
    pub(crate) size: bool,
    /// The last container that was made
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Names or ids
    #[arg(value_name = "CONTAINER", required_unless_present = "latest")]
    pub(crate) names: Vec<String>,
}

/// Examples below the help of `completion`.
const COMPLETION_EXAMPLES: &str = "\
Examples:
  source <(runr completion bash)
  runr completion zsh >~/.zfunc/_runr
  runr completion fish >~/.config/fish/completions/runr.fish";

/// `completion`.
#[derive(Debug, Args)]
#[command(after_help = COMPLETION_EXAMPLES)]
pub(crate) struct CompletionArgs {
    /// bash, zsh or fish
    #[arg(required = true, value_name = "SHELL")]
    pub(crate) shell: String,
}

/// `__complete`.
#[derive(Debug, Args)]
pub(crate) struct CompleteArgs {
    /// The words behind the program's name, the last one unfinished
    #[arg(trailing_var_arg = true)]
    pub(crate) words: Vec<OsString>,
}

/// `__generate`.
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// The project's folder
    #[arg(required = true)]
    pub(crate) dir: String,
}
