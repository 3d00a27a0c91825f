//! Flags of the commands about a container's files.

use clap::Args;
use std::ffi::OsString;

/// Examples below the help of `cp`.
const CP_EXAMPLES: &str = "\
Examples:
  A result out of a container, running or stopped
    runr cp build:/src/target/app ./app

  What is in a folder, not the folder itself
    runr cp ./site/. web:/usr/share/nginx/html

  As a tar archive, through a pipe
    runr cp web:/var/log - | tar t";

/// `cp`.
#[derive(Debug, Args)]
#[command(after_help = CP_EXAMPLES)]
pub(crate) struct CpArgs {
    /// Keep the owners of the files
    #[arg(short, long)]
    pub(crate) archive: bool,
    /// Copy what a symlink leads to, if it is the source
    #[arg(short = 'L', long)]
    pub(crate) follow_link: bool,
    /// Let directories replace files, and files replace directories
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Say nothing of what was copied
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Path, CONTAINER:PATH, or - for a tar archive on stdin
    #[arg(value_name = "SOURCE", required = true)]
    pub(crate) source: OsString,
    /// Path, CONTAINER:PATH, or - for a tar archive on stdout
    #[arg(value_name = "DESTINATION", required = true)]
    pub(crate) destination: OsString,
}

/// `diff` and `container diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// Print as json
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// The last container that was made
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// What to look at; then what to compare it with, instead of what lies below it
    #[arg(value_name = "CONTAINER|IMAGE", num_args = 0..=2)]
    pub(crate) names: Vec<String>,
}

/// `image diff`.
#[derive(Debug, Args)]
pub(crate) struct ImageDiffArgs {
    /// Print as json
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// What to look at; then what to compare it with, instead of its lower layers
    #[arg(value_name = "IMAGE", num_args = 1..=2, required = true)]
    pub(crate) names: Vec<String>,
}

/// `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Write to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<OsString>,
    /// Name or id
    #[arg(value_name = "CONTAINER", required = true)]
    pub(crate) container: String,
}

/// Examples below the help of `commit`.
const COMMIT_EXAMPLES: &str = "\
Examples:
  What a container has become, as an image
    runr commit web web:patched

  With another command and a variable
    runr commit -c 'CMD [\"nginx\"]' -c 'ENV DEBUG=1' web web:debug";

/// `commit`.
#[derive(Debug, Args)]
#[command(after_help = COMMIT_EXAMPLES)]
pub(crate) struct CommitArgs {
    /// Who made the image
    #[arg(short, long, value_name = "NAME")]
    pub(crate) author: Option<String>,
    /// Change how the image is run: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub(crate) change: Vec<String>,
    /// Lay the fields of a JSON file over the image's config
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<String>,
    /// Format of the image: oci or docker
    #[arg(short, long, value_name = "FORMAT", default_value = "oci")]
    pub(crate) format: String,
    /// Write the image's id into a file
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<String>,
    /// Make the container's volumes volumes of the image
    #[arg(long)]
    pub(crate) include_volumes: bool,
    /// A comment in the image's history
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Freeze the container meanwhile (default, if that is possible; switch off with =false)
    #[arg(short, long, default_value = "true")]
    pub(crate) pause: bool,
    /// Say nothing but the id
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Put everything into one layer
    #[arg(short, long)]
    pub(crate) squash: bool,
    /// Name or id
    #[arg(value_name = "CONTAINER", required = true)]
    pub(crate) container: String,
    /// Name of the new image
    #[arg(value_name = "IMAGE")]
    pub(crate) image: Option<String>,
}

/// Examples below the help of `import`.
const IMPORT_EXAMPLES: &str = "\
Examples:
  What a container has become, as an image of one layer
    runr export web | runr import -c 'CMD [\"nginx\"]' - web:flat

  A distribution's root filesystem
    xz -dc rootfs.tar.xz | runr import - distribution";

/// `import`.
#[derive(Debug, Args)]
#[command(after_help = IMPORT_EXAMPLES)]
pub(crate) struct ImportArgs {
    /// Architecture of the image, if not this machine's
    #[arg(long, value_name = "ARCH")]
    pub(crate) arch: Option<String>,
    /// How the image is run: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub(crate) change: Vec<String>,
    /// A comment in the image's history
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Operating system of the image
    #[arg(long, value_name = "OS")]
    pub(crate) os: Option<String>,
    /// Platform of the image, such as linux/arm64
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<String>,
    /// Say nothing but the id
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// A tar archive, also one packed with gzip or zstd; - is stdin
    #[arg(value_name = "FILE", required = true)]
    pub(crate) archive: String,
    /// Name of the new image
    #[arg(value_name = "IMAGE")]
    pub(crate) image: Option<String>,
}

/// `mount`.
#[derive(Debug, Args)]
pub(crate) struct MountArgs {
    /// All containers
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Print the list as json
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// The last container that was made
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Full ids in the list
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Names or ids; without any, what is mounted is listed
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

/// `unmount`.
#[derive(Debug, Args)]
pub(crate) struct UnmountArgs {
    /// All containers that are mounted
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Also while somebody uses the files
    #[arg(short, long)]
    pub(crate) force: bool,
    /// The last container that was made
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Names or ids
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

/// `unshare`.
#[derive(Debug, Args)]
pub(crate) struct UnshareArgs {
    /// The command, instead of $SHELL
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    pub(crate) command: Vec<String>,
}
