//! Flags of the commands that look at containers: `top`, `stats`, `port`, `container exists`, and `image exists`.

use clap::Args;

/// Examples below the help of `top`.
const TOP_EXAMPLES: &str = "\
Descriptors:
  args capamb capbnd capeff capinh capprm comm etime group groups hgroup hgroups hpgid hpid huser label
  nice pcpu pgid pid ppid rgroup rss ruser seccomp state stime time tty user vsz, or their codes of ps (%U)

Examples:
  runr top web
  runr top web pid hpid user args
  runr top web -eo pid,user,args
  runr top web aux";

/// `top`.
#[derive(Debug, Args)]
#[command(after_help = TOP_EXAMPLES)]
pub(crate) struct TopArgs {
    /// The last container that was made
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// A container, then descriptors of columns, or options of ps
    #[arg(value_names = ["CONTAINER", "COLUMN"], trailing_var_arg = true, num_args = 0..)]
    pub(crate) words: Vec<String>,
}

/// `stats`.
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// Also those that do not run
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Print by a Go template, as table TEMPLATE, or as a json list; '{{json .}}' is an object per line
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// Seconds between two looks
    #[arg(short, long, value_name = "SECONDS", default_value = "1")]
    pub(crate) interval: u64,
    /// The last container that was made
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Print below what was printed before, instead of in its place
    #[arg(long)]
    pub(crate) no_reset: bool,
    /// Look once
    #[arg(long)]
    pub(crate) no_stream: bool,
    /// Print ids in full
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Names or ids; all running ones without
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

/// `port`.
#[derive(Debug, Args)]
pub(crate) struct PortArgs {
    /// All containers
    #[arg(short, long)]
    pub(crate) all: bool,
    /// The last container that was made
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// A container, then a port of its own
    #[arg(value_names = ["CONTAINER", "PORT[/PROTOCOL]"], num_args = 0..=2)]
    pub(crate) words: Vec<String>,
}

/// `container exists`.
#[derive(Debug, Args)]
pub(crate) struct ContainerExistsArgs {
    /// Accepted for scripts: other tools' containers are not in this store
    #[arg(long)]
    pub(crate) external: bool,
    /// Its name or id
    #[arg(required = true, value_name = "CONTAINER")]
    pub(crate) container: String,
}

/// `image exists`.
#[derive(Debug, Args)]
pub(crate) struct ImageExistsArgs {
    /// Its name or id
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) image: String,
}
