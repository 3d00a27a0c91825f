//! Flags of the commands about containers. Values stay text here; `cli::parse` gives them meaning.

use super::health::CreateHealthArgs;
use super::image::SourceArgs;
use super::limits::{CgroupArgs, CountArgs, LimitArgs};
use clap::Args;

/// Examples below the help of `run`.
const RUN_EXAMPLES: &str = "\
Examples:
  A shell in Alpine, removed when it ends
    runr run --rm -it alpine sh

  Compile what is in the current folder, as yourself
    runr run --rm -v .:/src -w /src --userns keep-id rust cargo build

  A filter in a pipeline
    cat access.log | runr run --rm -i alpine sort | head

  A folder as the root file system, no image
    runr run --rm --rootfs ./rootfs /bin/sh

  Without any registry: the image that is part of runr
    runr run --rm builtin:hello";

/// `run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub(crate) struct RunArgs {
    /// Leave the container in the background and print its id
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Pass signals that runr gets on to the container (default; switch off with =false)
    #[arg(long, default_value = "true")]
    pub(crate) sig_proxy: bool,
    /// Keys that leave the container to itself
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<String>,
    /// Connect only these of stdin, stdout, stderr
    #[arg(short, long, value_name = "STREAM", value_delimiter = ',')]
    pub(crate) attach: Vec<String>,
    /// Remove the image, too, when the container ends, unless something else uses it; includes --rm
    #[arg(long)]
    pub(crate) rmi: bool,
    /// Add lines to the image's /etc/passwd and /etc/group for a user it does not know (default; switch off with =false)
    #[arg(long, default_value = "true")]
    pub(crate) passwd: bool,
    /// Pass this many further descriptors, from 3 on
    #[arg(long, value_name = "COUNT")]
    pub(crate) preserve_fds: Option<u32>,
    /// Pass these descriptors
    #[arg(long, value_name = "NUMBER", value_delimiter = ',')]
    pub(crate) preserve_fd: Vec<u32>,
    #[command(flatten)]
    pub(crate) create: CreateArgs,
}

/// What `run` and `create` share.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
    #[command(flatten)]
    pub(crate) files: FileArgs,
    #[command(flatten)]
    pub(crate) namespaces: NamespaceArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) security: SecurityArgs,
    #[command(flatten)]
    pub(crate) lifecycle: LifecycleArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) counts: CountArgs,
    #[command(flatten)]
    pub(crate) cgroup: CgroupArgs,
    #[command(flatten)]
    pub(crate) health: CreateHealthArgs,
    #[command(flatten)]
    pub(crate) image: ImageArgs,
    /// The image, then the command to run instead of the image's own
    // One list: flags behind the image belong to the command, and `--` there is a word like any other.
    #[arg(required = true, value_names = ["IMAGE", "COMMAND"], trailing_var_arg = true, num_args = 1..)]
    pub(crate) words: Vec<String>,
}

/// What the process is and how it is connected.
#[derive(Debug, Args)]
#[command(next_help_heading = "Process")]
pub(crate) struct ProcessArgs {
    /// Keep the container's stdin connected
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the container a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Set a variable; NAME alone takes the caller's value
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Read variables from a file of NAME=VALUE lines
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<String>,
    /// Pass the caller's whole environment on
    #[arg(long)]
    pub(crate) env_host: bool,
    /// Pass the caller's proxy variables on (default; switch off with =false)
    #[arg(long, default_value = "true")]
    pub(crate) http_proxy: bool,
    /// Take a variable of the image away
    #[arg(long, value_name = "NAME")]
    pub(crate) unsetenv: Vec<String>,
    /// Take all variables of the image away
    #[arg(long)]
    pub(crate) unsetenv_all: bool,
    /// Set a variable to a text in which $NAME is the image's value
    #[arg(long, value_name = "NAME=TEXT")]
    pub(crate) env_merge: Vec<String>,
    /// Folder to start in
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// User to run as, name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Additional groups of the user
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    pub(crate) group_add: Vec<String>,
    /// Line of /etc/passwd for a user that the image does not know: $USERNAME, $UID, $GID, $NAME, $HOME are replaced
    #[arg(long, value_name = "LINE")]
    pub(crate) passwd_entry: Option<String>,
    /// Line of /etc/group for its group: $GROUPNAME, $GID, $USERLIST are replaced
    #[arg(long, value_name = "LINE")]
    pub(crate) group_entry: Option<String>,
    /// Add a user of this machine to /etc/passwd
    #[arg(long, value_name = "USER", value_delimiter = ',')]
    pub(crate) hostuser: Vec<String>,
    /// Execution domain: LINUX or LINUX32
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) personality: Option<String>,
    /// Replace the image's entrypoint: a program, or a JSON list
    #[arg(long, value_name = "COMMAND")]
    pub(crate) entrypoint: Option<String>,
    /// Run runr's own init as process 1: it reaps children and passes signals on
    #[arg(long)]
    pub(crate) init: bool,
    /// With --init: this program of this machine instead of runr's own, such as catatonit
    #[arg(long, value_name = "FILE")]
    pub(crate) init_path: Option<String>,
    /// Limit a resource of the process, such as nofile=1024:2048
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub(crate) ulimit: Vec<String>,
    /// File mode creation mask, octal
    #[arg(long, value_name = "MASK")]
    pub(crate) umask: Option<String>,
    /// Time zone, such as Europe/Rome, or local
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
    /// How readily the kernel kills it when memory runs out, -1000 to 1000
    #[arg(long, value_name = "NUMBER")]
    pub(crate) oom_score_adj: Option<String>,
}

/// What the container sees as files and devices.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files and devices")]
pub(crate) struct FileArgs {
    /// Mount a file or folder of this machine, or a volume; TARGET alone is a volume that goes with the container
    #[arg(short, long, value_name = "[SOURCE:]TARGET[:OPTIONS]")]
    pub(crate) volume: Vec<String>,
    /// Only local: what makes volumes that do not exist
    #[arg(long, value_name = "DRIVER")]
    pub(crate) volume_driver: Option<String>,
    /// Mount what another container mounts
    #[arg(long, value_name = "CONTAINER[:ro|rw]", value_delimiter = ',')]
    pub(crate) volumes_from: Vec<String>,
    /// Mount by key and value: type=volume|bind|tmpfs|devpts,source=…,target=…
    #[arg(long, value_name = "KEY=VALUE,…")]
    pub(crate) mount: Vec<String>,
    /// Mount a folder in memory
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    pub(crate) tmpfs: Vec<String>,
    /// Make the root file system read-only
    #[arg(long)]
    pub(crate) read_only: bool,
    /// With --read-only: /run, /tmp and /var/tmp in memory (default; switch off with =false)
    #[arg(long, default_value = "true")]
    pub(crate) read_only_tmpfs: bool,
    /// Give a device of this machine, or all of a folder of them
    #[arg(long, value_name = "HOST[:CONTAINER[:rwm]]", value_delimiter = ',')]
    pub(crate) device: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "SIZE")]
    pub(crate) shm_size: Option<String>,
}

/// What the container shares with this machine or another container.
#[derive(Debug, Args)]
#[command(next_help_heading = "Namespaces")]
pub(crate) struct NamespaceArgs {
    /// Process namespace: private, host, container:ID, ns:PATH
    #[arg(long, value_name = "MODE")]
    pub(crate) pid: Option<String>,
    /// IPC namespace: private, shareable, none, host, container:ID, ns:PATH
    #[arg(long, value_name = "MODE")]
    pub(crate) ipc: Option<String>,
    /// Host name namespace: private, host, container:ID, ns:PATH
    #[arg(long, value_name = "MODE")]
    pub(crate) uts: Option<String>,
    /// Ids: host, keep-id[:uid=N,gid=N], nomap
    #[arg(long, value_name = "MODE")]
    pub(crate) userns: Option<String>,
    /// Cgroup namespace: private, host
    #[arg(long, value_name = "MODE")]
    pub(crate) cgroupns: Option<String>,
    /// Map users: first inside, first outside (0 is the caller, then the subordinate ids; @ID is an id of this machine), count
    #[arg(long, value_name = "INSIDE:OUTSIDE:COUNT", value_delimiter = ',')]
    pub(crate) uidmap: Vec<String>,
    /// Map groups, likewise
    #[arg(long, value_name = "INSIDE:OUTSIDE:COUNT", value_delimiter = ',')]
    pub(crate) gidmap: Vec<String>,
    /// Map this user's subordinate ids of /etc/subuid and no others: the container's root is the first of them
    #[arg(long, value_name = "NAME")]
    pub(crate) subuidname: Option<String>,
    /// Map the subordinate groups of this name in /etc/subgid (default: the name of --subuidname)
    #[arg(long, value_name = "NAME")]
    pub(crate) subgidname: Option<String>,
    /// Set a kernel setting of the container
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) sysctl: Vec<String>,
}

/// Names and the network.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArgs {
    /// Network: host, none, container:ID, ns:PATH
    #[arg(long, visible_alias = "net", value_name = "MODE")]
    pub(crate) network: Option<String>,
    /// Ports that the container listens on, for inspect, ps and the image that commit makes
    #[arg(long, value_name = "PORT[-PORT][/PROTOCOL]", value_delimiter = ',')]
    pub(crate) expose: Vec<String>,
    /// Publish ports: for now only accepted, and discarded with a warning, with --network host or none
    #[arg(short, long, value_name = "[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]")]
    pub(crate) publish: Vec<String>,
    /// Publish all ports that are exposed; likewise
    #[arg(short = 'P', long)]
    pub(crate) publish_all: bool,
    /// Host name of the container
    #[arg(short = 'h', long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Domain name of the container
    #[arg(long, value_name = "NAME")]
    pub(crate) domainname: Option<String>,
    // These five only have reasons for now why they cannot be, which depend on the network: `parse::addresses`.
    #[arg(long, hide = true)]
    pub(crate) ip: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) ip6: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) mac_address: Option<String>,
    #[arg(long, alias = "net-alias", hide = true)]
    pub(crate) network_alias: Vec<String>,
    #[arg(long, hide = true)]
    pub(crate) link: Vec<String>,
    /// Name server
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) dns: Vec<String>,
    /// Option line of resolv.conf
    #[arg(long, alias = "dns-opt", value_name = "OPTION", value_delimiter = ',')]
    pub(crate) dns_option: Vec<String>,
    /// Domain in which short names are searched
    #[arg(long, value_name = "DOMAIN", value_delimiter = ',')]
    pub(crate) dns_search: Vec<String>,
    /// Add a line to /etc/hosts; host-gateway as the address is this machine
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub(crate) add_host: Vec<String>,
    /// File that /etc/hosts begins with; image for the image's own, none for nothing but the container's own names
    #[arg(long, value_name = "FILE")]
    pub(crate) hosts_file: Option<String>,
    /// Leave the image's /etc/hosts as it is
    #[arg(long)]
    pub(crate) no_hosts: bool,
    /// Leave the image's /etc/hostname as it is
    #[arg(long)]
    pub(crate) no_hostname: bool,
}

/// What the process may do.
#[derive(Debug, Args)]
#[command(next_help_heading = "Security")]
pub(crate) struct SecurityArgs {
    /// Add a capability, or ALL
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) cap_add: Vec<String>,
    /// Drop a capability, or ALL
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) cap_drop: Vec<String>,
    /// Give every right that this user can give: all capabilities, no seccomp, no masked paths, this machine's devices
    #[arg(long)]
    pub(crate) privileged: bool,
    /// What systemd needs: true for a command that is systemd (default), always, or false
    #[arg(long, value_name = "WHEN")]
    pub(crate) systemd: Option<String>,
    /// Size of each of the tmpfs that systemd gets
    #[arg(long, value_name = "SIZE")]
    pub(crate) shm_size_systemd: Option<String>,
    /// Put /etc/hosts and the like below this folder, too
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    pub(crate) chrootdirs: Vec<String>,
    /// The volumes that the image names: anonymous (volumes that go with the container, default), tmpfs or ignore
    #[arg(long, value_name = "MODE")]
    pub(crate) image_volume: Option<String>,
    /// Where the seccomp profile comes from: default, or image for the image's label
    #[arg(long, value_name = "POLICY")]
    pub(crate) seccomp_policy: Option<String>,
    /// seccomp=FILE|unconfined, no-new-privileges, mask=PATH, unmask=PATH|ALL, proc-opts=OPTIONS
    #[arg(long, value_name = "OPTION")]
    pub(crate) security_opt: Vec<String>,
}

/// Name, labels, end.
#[derive(Debug, Args)]
#[command(next_help_heading = "Name and life")]
pub(crate) struct LifecycleArgs {
    /// Name the container
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Remove a container that has this name already
    #[arg(long)]
    pub(crate) replace: bool,
    /// Remove the container when it ends
    #[arg(long)]
    pub(crate) rm: bool,
    /// Start it again when it ends: no, on-failure[:TIMES], always, unless-stopped
    #[arg(long, value_name = "POLICY")]
    pub(crate) restart: Option<String>,
    /// Accepted for scripts when it is runr: there is no other runtime
    #[arg(long, value_name = "NAME")]
    pub(crate) runtime: Option<String>,
    /// Containers that are started before it
    #[arg(long, value_name = "CONTAINER", value_delimiter = ',')]
    pub(crate) requires: Vec<String>,
    /// Attach a label
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub(crate) label: Vec<String>,
    /// Read labels from a file
    #[arg(long, value_name = "FILE")]
    pub(crate) label_file: Vec<String>,
    /// Attach an annotation of the runtime specification
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) annotation: Vec<String>,
    /// Write the container's id into a new file
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<String>,
    /// Write the process's id into a file
    #[arg(long, value_name = "FILE")]
    pub(crate) pidfile: Option<String>,
    /// Write the id of the monitor's process into a file
    #[arg(long, value_name = "FILE")]
    pub(crate) conmon_pidfile: Option<String>,
    /// Who tells the service manager of $NOTIFY_SOCKET that it is ready: container, conmon, healthy, ignore
    #[arg(long, value_name = "WHO")]
    pub(crate) sdnotify: Option<String>,
    /// Signal that asks the process to end
    #[arg(long, value_name = "SIGNAL")]
    pub(crate) stop_signal: Option<String>,
    /// Seconds between that signal and the end by force
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub(crate) stop_timeout: Option<i64>,
    /// Seconds the container may run
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u32>,
    /// How output is kept: k8s-file, json-file, journald, none, passthrough
    #[arg(long, value_name = "DRIVER")]
    pub(crate) log_driver: Option<String>,
    /// Setting of the log driver: max-size, max-file, compress, path, tag, labels, env
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) log_opt: Vec<String>,
}

/// Where the root file system comes from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Image")]
pub(crate) struct ImageArgs {
    /// When to ask the registry: missing, always, newer, never
    #[arg(long, value_name = "WHEN")]
    pub(crate) pull: Option<String>,
    /// IMAGE is a folder to use as the root file system
    #[arg(long)]
    pub(crate) rootfs: bool,
    /// No progress on stderr
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
}

/// `rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// All containers; those that run only with --force
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Kill those that run; say nothing about those that do not exist
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Say nothing about containers that do not exist
    #[arg(short, long)]
    pub(crate) ignore: bool,
    /// Read ids from a file that --cidfile wrote
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Vec<String>,
    /// Only what fits, as for ps
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// The last one that was made
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Also the volumes that were made for them, unless other containers use them
    #[arg(short, long)]
    pub(crate) volumes: bool,
    /// Also the containers that depend on it
    #[arg(long)]
    pub(crate) depend: bool,
    /// With --force: send the stop signal and wait so many seconds before killing; -1 is for ever
    #[arg(short, long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub(crate) time: Option<i64>,
    /// Names or ids
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}
