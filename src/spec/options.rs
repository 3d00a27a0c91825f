//! What a user can ask of a container, parsed and checked, before an image or the machine is looked at. Stored in the
//! container's `config.json`; new fields need `serde(default)`, so that a newer runr reads an older one's records. An older one
//! refuses a field that it does not know: see `state::format`.

use super::health::HealthOptions;
use super::limits::{CgroupOptions, Limits};
use super::ports::Published;
use crate::image::ports::Ports;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Options of `run` and `create` that outlive the command line. Unset options are `None` or empty: the image or
/// `spec::compose` decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContainerOptions {
    /// `--name`, else a generated one.
    pub name: Option<String>,
    /// Arguments behind the image: replace the image's `Cmd`.
    pub command: Vec<String>,
    /// `--entrypoint`: `Some([])` for an empty one, which clears the image's.
    pub entrypoint: Option<Vec<String>>,
    /// Final `NAME=value` pairs from `--env`, `--env-file`, `--env-host`, `--http-proxy`, in order; later ones win. A name
    /// without a value was resolved or dropped by the CLI.
    pub env: Vec<String>,
    /// `--unsetenv`.
    pub unset_env: Vec<String>,
    /// `--unsetenv-all`: nothing of the image's environment.
    pub unset_env_all: bool,
    /// `--workdir`.
    pub workdir: Option<String>,
    /// `--user`: `name|uid[:name|gid]`.
    pub user: Option<String>,
    /// `--group-add`: names or numbers.
    pub groups: Vec<String>,
    /// `--tty`.
    pub tty: bool,
    /// `--interactive`.
    pub interactive: bool,
    /// `--init`: runr's own init is PID 1, unless there is an `init_path`.
    pub init: bool,
    /// `--init-path`: this program of the machine is PID 1 instead.
    pub init_path: Option<PathBuf>,
    /// `--systemd`.
    pub systemd: super::systemd::Systemd,
    /// `--shm-size-systemd`: bytes of each of the tmpfs that systemd gets; 0 is no limit of its own.
    pub shm_size_systemd: u64,
    /// `--chrootdirs`: what is put over the image's files is there below these folders, too.
    pub chroot_dirs: Vec<String>,
    /// `--image-volume`.
    pub image_volume: super::systemd::ImageVolume,
    /// `--hostname`.
    pub hostname: Option<String>,
    /// `--domainname`.
    pub domainname: Option<String>,
    /// `--volume`, `--mount`, `--tmpfs`, in order.
    pub mounts: Vec<Mount>,
    /// `--volumes-from`, as given; what it brought is in `mounts`.
    pub volumes_from: Vec<String>,
    /// `--seccomp-policy image`: the profile comes from the image's label, if it has one.
    pub seccomp_from_image: bool,
    /// `--read-only`.
    pub read_only: bool,
    /// `--read-only-tmpfs=false` turns off the tmpfs on /run, /tmp, /var/tmp that `--read-only` brings.
    pub no_read_only_tmpfs: bool,
    /// `--cap-add`, upper case with `CAP_`, or `ALL`.
    pub cap_add: Vec<String>,
    /// `--cap-drop`, likewise.
    pub cap_drop: Vec<String>,
    /// `--privileged`.
    pub privileged: bool,
    /// `--security-opt`.
    pub security: SecurityOptions,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// `--shm-size` in bytes.
    pub shm_size: Option<u64>,
    /// `--network`: `host`, `none`, `container:ID`, `ns:PATH`; `None` is the default.
    pub network: Option<String>,
    /// `--expose`.
    pub expose: Vec<Ports>,
    /// `--publish`.
    pub publish: Vec<Published>,
    /// `--publish-all`.
    pub publish_all: bool,
    /// `--pid`: `host`, `private`, `container:ID`, `ns:PATH`.
    pub pid: Option<String>,
    /// `--ipc`: `host`, `private`, `shareable`, `none`, `container:ID`, `ns:PATH`.
    pub ipc: Option<String>,
    /// `--uts`: `host`, `private`, `container:ID`, `ns:PATH`.
    pub uts: Option<String>,
    /// `--cgroupns`: `host`, `private`.
    pub cgroupns: Option<String>,
    /// `--userns`: `host`, `keep-id[:uid=,gid=]`, `nomap`, `auto`.
    pub userns: Option<String>,
    /// `--uidmap`, `--gidmap`: `inside:outside[:count]`.
    pub uidmap: Vec<String>,
    /// See `uidmap`.
    pub gidmap: Vec<String>,
    /// `--subuidname`: whose ranges of /etc/subuid are the map.
    pub subuid_name: Option<String>,
    /// `--subgidname`: the same of /etc/subgid.
    pub subgid_name: Option<String>,
    /// `--sysctl`.
    pub sysctls: BTreeMap<String, String>,
    /// `--device`: `host[:container[:permissions]]`.
    pub devices: Vec<Device>,
    /// `--dns`.
    pub dns: Vec<String>,
    /// `--dns-search`.
    pub dns_search: Vec<String>,
    /// `--dns-option`.
    pub dns_options: Vec<String>,
    /// `--add-host`: `name:address` or `name:host-gateway`.
    pub add_hosts: Vec<String>,
    /// `--hosts-file`: what /etc/hosts begins with, instead of the default.
    pub hosts_file: Option<HostsBase>,
    /// `--no-hosts`.
    pub no_hosts: bool,
    /// `--no-hostname`.
    pub no_hostname: bool,
    /// `--label`, `--label-file`.
    pub labels: BTreeMap<String, String>,
    /// `--annotation`.
    pub annotations: BTreeMap<String, String>,
    /// `--stop-signal`: a name without `SIG`, or a number.
    pub stop_signal: Option<String>,
    /// `--stop-timeout` in seconds.
    pub stop_timeout: Option<u32>,
    /// `--timeout` in seconds: the container is killed after it; 0 is never.
    pub timeout: u32,
    /// `--umask`.
    pub umask: Option<u32>,
    /// `--tz`: a zone name, or `local`.
    pub tz: Option<String>,
    /// `--oom-score-adj`.
    pub oom_score_adj: Option<i32>,
    /// `--rm`.
    pub remove: bool,
    /// `--pidfile`.
    pub pidfile: Option<PathBuf>,
    /// `--cidfile`, kept for inspect.
    pub cidfile: Option<PathBuf>,
    /// `--log-driver`.
    pub log_driver: Option<String>,
    /// `--log-opt`.
    pub log_options: BTreeMap<String, String>,
    /// `--restart`.
    pub restart: RestartPolicy,
    /// `--requires`: full ids of the containers that are started before this one.
    pub requires: Vec<String>,
    /// `--rmi`: the image goes with the container.
    pub remove_image: bool,
    /// `--conmon-pidfile`: gets the monitor's pid.
    pub conmon_pidfile: Option<PathBuf>,
    /// `--sdnotify`.
    pub sdnotify: SdNotify,
    /// `--env-merge`: `NAME=text`, in which `$NAME` is the image's value.
    pub env_merge: Vec<String>,
    /// `--personality`.
    pub personality: Option<Personality>,
    /// `--passwd` and what belongs to it.
    pub accounts: AccountOptions,
    /// `--health-*`.
    pub health: HealthOptions,
    /// `--memory`, `--cpus` and so on.
    pub limits: Limits,
    /// `--cgroup-parent`, `--cgroups`.
    pub cgroup: CgroupOptions,
}

impl ContainerOptions {
    /// The volumes that are mounted, each with whether it goes with the container and where it is.
    pub fn volumes(&self) -> impl Iterator<Item = (&str, bool, &Mount)> {
        self.mounts.iter().filter_map(|mount| match &mount.kind {
            MountKind::Volume { name, anonymous } => Some((name.as_str(), *anonymous, mount)),
            MountKind::Bind { .. } | MountKind::Tmpfs | MountKind::Devpts => None,
        })
    }

    /// True when the user does not exist in the container (`--userns nomap`, `--subuidname`).
    pub fn hides_user(&self) -> bool {
        self.userns.as_deref() == Some("nomap") || self.named_ids().is_some()
    }

    /// The names of `--subuidname` and `--subgidname`; one stands for both.
    pub fn named_ids(&self) -> Option<(&str, &str)> {
        let (uids, gids) = (self.subuid_name.as_deref(), self.subgid_name.as_deref());
        uids.or(gids).zip(gids.or(uids))
    }

    /// The container's side of `publish`.
    pub fn published_ports(&self) -> Vec<Ports> {
        self.publish.iter().map(|p| p.container).collect()
    }
}

/// `--attach`: streams of a caller's that are connected to a container's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attach {
    /// Its standard input.
    pub stdin: bool,
    /// Its standard output.
    pub stdout: bool,
    /// Its standard error.
    pub stderr: bool,
}

/// `--restart`: what the monitor does when the container's process ends by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Nothing.
    #[default]
    No,
    /// Starts it again unless its status was 0, at most this often; 0 is without limit.
    OnFailure(u32),
    /// Starts it again.
    Always,
    /// The same, but not at the next boot if somebody stopped it.
    UnlessStopped,
}

/// `--sdnotify`: who tells the service manager behind `$NOTIFY_SOCKET` that the service is ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SdNotify {
    /// The container's own command, by `sd_notify`.
    #[default]
    Container,
    /// runr, once the command executes.
    Conmon,
    /// runr, once the health check succeeds.
    Healthy,
    /// Nobody.
    Ignore,
}

/// `--hosts-file`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostsBase {
    /// Nothing but the container's own names.
    None,
    /// The one that the container's root has.
    Image,
    /// A file of this machine.
    File(PathBuf),
}

/// `--personality`: the execution domain of personality(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Personality {
    /// The machine's own.
    Linux,
    /// `uname -m` says i686 on x86-64.
    Linux32,
}

/// What is added to the image's /etc/passwd and /etc/group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountOptions {
    /// `--passwd=false`: nothing.
    pub off: bool,
    /// `--passwd-entry`: the line for a user that the image does not know.
    pub passwd_entry: Option<String>,
    /// `--group-entry`: the line for its group.
    pub group_entry: Option<String>,
    /// `--hostuser`: names or numbers of this machine's users.
    pub host_users: Vec<String>,
}

/// One mount, from whichever flag it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// What is mounted.
    pub kind: MountKind,
    /// Absolute, normalised path in the container.
    pub target: String,
    /// `ro`.
    pub read_only: bool,
    /// Further mount options as given: `Z`, `U`, `exec`, `rslave`, `size=…` …
    pub options: Vec<String>,
}

/// What a [`Mount`] mounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum MountKind {
    /// A file or folder of the host, absolute.
    Bind {
        /// Where on the host.
        source: PathBuf,
        /// `-v` creates a missing source as a folder (docker); `--mount type=bind` refuses.
        create: bool,
    },
    /// A named volume; empty for an anonymous one.
    Volume {
        /// The volume's name.
        name: String,
        /// It had none: it goes with the container.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        anonymous: bool,
    },
    /// Memory.
    Tmpfs,
    /// Pseudo-terminals.
    Devpts,
}

/// `--security-opt`, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityOptions {
    /// `seccomp=unconfined` or `seccomp=FILE` (absolute).
    pub seccomp: Option<String>,
    /// `no-new-privileges`.
    pub no_new_privileges: bool,
    /// `mask=PATH[:PATH]`: more masked paths.
    pub mask: Vec<String>,
    /// `unmask=ALL|PATH[:PATH]`.
    pub unmask: Vec<String>,
    /// `proc-opts=OPTION[,OPTION]`: further mount options of /proc.
    pub proc_options: Vec<String>,
    /// `label=…`, `apparmor=…`, `systempaths=unconfined`: kept for inspect, `systempaths` acts like `unmask=ALL`.
    pub other: Vec<String>,
}

/// `--ulimit name=soft[:hard]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ulimit {
    /// `nofile`, `nproc` … or `host` for the caller's own.
    pub name: String,
    /// -1 is unlimited.
    pub soft: i64,
    /// -1 is unlimited.
    pub hard: i64,
}

/// `--device`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// On the host.
    pub host: PathBuf,
    /// In the container.
    pub container: String,
    /// Of `rwm`.
    pub permissions: String,
}
