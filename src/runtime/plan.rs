//! What a container's process will do before it executes its command, as data: an OCI runtime spec with its words resolved
//! into typed steps. No I/O happens here, so every refusal that can be known from the spec alone comes before the first
//! system call, and tests need no privilege.

use super::mount_options::{self, MountOptions};
use crate::base::{Error, Result};
use crate::rootfs::accounts::Accounts;
use crate::userns::IdMap;
use oci_spec::runtime::{LinuxNamespaceType, LinuxPersonalityDomain, PosixRlimitType, Spec};
use std::path::PathBuf;

/// Where the container's root filesystem comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// An overlay of unpacked layers.
    Overlay {
        /// Layers, topmost first, absolute.
        lowers: Vec<PathBuf>,
        /// Where changes go.
        upper: PathBuf,
        /// Overlay's work folder, on upper's file system.
        work: PathBuf,
        /// When `upper` was just made: the layer whose root's owner, mode and time it gets.
        root_like: Option<PathBuf>,
    },
    /// A folder as it is (`--rootfs`, or the copy made where overlay is refused).
    Dir(PathBuf),
}

impl Root {
    /// The folder beside an overlay's `upper` with the copy that stands in for the overlay.
    pub const COPY: &str = "copy";
    /// What the user is told then.
    pub const COPIED: &str = "overlay is refused here, so the container gets a copy of the image's files";
}

/// A namespace that is not made but shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// `CLONE_NEW*`.
    pub kind: i32,
    /// Whose it is.
    pub from: JoinFrom,
}

/// Where a shared namespace comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinFrom {
    /// A container, by its full id.
    Container(String),
    /// A file of nsfs, such as `/proc/<pid>/ns/net`.
    Path(PathBuf),
}

/// One mount below the container's root, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountStep {
    /// What is mounted.
    pub source: MountSource,
    /// Absolute path in the container.
    pub target: String,
    /// Flags, propagation and filesystem options.
    pub options: MountOptions,
}

/// What a mount step mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A new filesystem of this type.
    Filesystem(&'static str),
    /// A file or folder of the host.
    Bind(PathBuf),
}

/// The command and all that is set on its process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessPlan {
    /// True when it gets a pseudo-terminal.
    pub terminal: bool,
    /// Program and arguments, at least one.
    pub args: Vec<String>,
    /// `NAME=value`; HOME is added from the image's passwd when missing.
    pub env: Vec<String>,
    /// Where it starts; created when missing, as docker does.
    pub cwd: String,
    /// `user[:group]` as names or numbers, resolved in the container's root.
    pub user: String,
    /// Supplementary groups, names or numbers.
    pub groups: Vec<String>,
    /// File mode creation mask.
    pub umask: u32,
    /// (resource, soft, hard) for setrlimit(2).
    pub rlimits: Vec<(u32, u64, u64)>,
    /// Capability sets of the process if it is root.
    pub capabilities: super::caps::CapSets,
    /// Capability sets if it is another user: known only once the image's passwd is read.
    pub user_capabilities: super::caps::CapSets,
    /// `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privileges: bool,
    /// `/proc/self/oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// Argument of personality(2).
    pub personality: Option<u64>,
    /// True when runr's init is PID 1 and the command its child.
    pub init: bool,
}

/// See the module documentation.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `CLONE_NEW*` that the process has for itself, or shares by `joins`.
    pub namespaces: u64,
    /// Which of these are shared with others.
    pub joins: Vec<Join>,
    /// Ids of the user namespace.
    pub map: IdMap,
    /// The user's own id, which `map` has for the sake of the user's files, is left out of the container.
    pub hides_user: bool,
    /// The root filesystem.
    pub root: Root,
    /// The root filesystem is mounted read-only in the end.
    pub root_read_only: bool,
    /// Where the root is attached while the host's tree is still visible: an empty folder of the container's.
    pub staging: PathBuf,
    /// Mounts in order.
    pub mounts: Vec<MountStep>,
    /// Host device nodes bound into the container: (host path, path in the container).
    pub devices: Vec<(PathBuf, String)>,
    /// Paths hidden behind an empty read-only folder or /dev/null.
    pub masked: Vec<String>,
    /// Paths made read-only.
    pub read_only: Vec<String>,
    /// Host name of a new UTS namespace.
    pub hostname: Option<String>,
    /// NIS domain name of a new UTS namespace.
    pub domainname: Option<String>,
    /// `kernel.msgmax` = `65536` and so on.
    pub sysctls: Vec<(String, String)>,
    /// The command.
    pub process: ProcessPlan,
    /// Users and groups that the image's files are to know.
    pub accounts: Option<Accounts>,
    /// The compiled system call filter.
    pub seccomp: Option<super::seccomp::Program>,
}

/// What a plan needs beside the OCI spec, because the spec has no words for it.
#[derive(Debug, Clone)]
pub struct Extras {
    /// Ids of the user namespace.
    pub map: IdMap,
    /// See [`Plan::hides_user`].
    pub hides_user: bool,
    /// The root filesystem.
    pub root: Root,
    /// See [`Plan::staging`].
    pub staging: PathBuf,
    /// `user[:group]`, names allowed.
    pub user: String,
    /// The capability sets if that user is not root.
    pub user_capabilities: super::caps::CapSets,
    /// Groups by name or number (`--group-add`).
    pub groups: Vec<String>,
    /// `--init`.
    pub init: bool,
    /// `--device`: (host path, path in the container).
    pub devices: Vec<(PathBuf, String)>,
    /// Users and groups that the image's files are to know.
    pub accounts: Option<Accounts>,
    /// See [`Plan::joins`].
    pub joins: Vec<Join>,
}

impl Plan {
    /// Resolves `spec`.
    ///
    /// Errors: `Usage` for a value that no kernel would take, `Unsupported` for what runr does not do.
    pub fn new(spec: &Spec, extras: Extras) -> Result<Self> {
        let linux = spec.linux().clone().unwrap_or_default();
        let process = process_plan(spec, &extras)?;
        let mounts = spec.mounts().iter().flatten().map(mount_step).collect::<Result<Vec<_>>>()?;
        let sysctls = linux.sysctl().iter().flatten().map(|(k, v)| (k.clone(), v.clone()));
        let seccomp = linux.seccomp().as_ref().map(super::seccomp::compile).transpose()?;
        Ok(Self {
            namespaces: namespaces(spec)?,
            joins: extras.joins,
            map: extras.map,
            hides_user: extras.hides_user,
            root: extras.root,
            root_read_only: spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false),
            staging: extras.staging,
            mounts,
            devices: extras.devices,
            masked: linux.masked_paths().clone().unwrap_or_default(),
            read_only: linux.readonly_paths().clone().unwrap_or_default(),
            hostname: spec.hostname().clone(),
            domainname: spec.domainname().clone(),
            sysctls: sysctls.collect(),
            process,
            accounts: extras.accounts,
            seccomp,
        })
    }

    /// True when the container's process is in a namespace of this kind (`CLONE_NEW*`) that is not the host's.
    pub fn has(&self, flag: i32) -> bool {
        self.namespaces & flag as u64 != 0
    }
}

fn namespaces(spec: &Spec) -> Result<u64> {
    let mut flags = 0;
    for namespace in spec.linux().iter().flat_map(|l| l.namespaces().iter().flatten()) {
        let flag = match namespace.typ() {
            LinuxNamespaceType::Mount => libc::CLONE_NEWNS,
            LinuxNamespaceType::Cgroup => libc::CLONE_NEWCGROUP,
            LinuxNamespaceType::Uts => libc::CLONE_NEWUTS,
            LinuxNamespaceType::Ipc => libc::CLONE_NEWIPC,
            LinuxNamespaceType::User => libc::CLONE_NEWUSER,
            LinuxNamespaceType::Pid => libc::CLONE_NEWPID,
            LinuxNamespaceType::Network => libc::CLONE_NEWNET,
            LinuxNamespaceType::Time => libc::CLONE_NEWTIME,
        };
        if let Some(path) = namespace.path() {
            return Err(Error::unsupported(format!("joining the namespace `{}` is not supported yet", path.display())));
        }
        flags |= flag as u64;
    }
    Ok(flags)
}

fn mount_step(mount: &oci_spec::runtime::Mount) -> Result<MountStep> {
    let target = mount.destination().display().to_string();
    let words = mount.options().clone().unwrap_or_default();
    let options = mount_options::parse(&words).map_err(|e| e.step(format!("mount at `{target}`")))?;
    let kind = mount.typ().as_deref().unwrap_or("bind");
    let source = if options.bind || kind == "bind" {
        let source =
            mount.source().clone().ok_or_else(|| Error::usage(format!("mount at `{target}` has no source")))?;
        MountSource::Bind(source)
    } else {
        let kinds = ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup2", "cgroup"];
        let found = kinds.into_iter().find(|k| *k == kind);
        let kind = found.ok_or_else(|| Error::unsupported(format!("mount type `{kind}` at `{target}`")))?;
        MountSource::Filesystem(if kind == "cgroup" { "cgroup2" } else { kind })
    };
    Ok(MountStep { source, target, options })
}

fn process_plan(spec: &Spec, extras: &Extras) -> Result<ProcessPlan> {
    let process = spec.process().as_ref().ok_or_else(|| Error::usage("the spec has no process"))?;
    let args = process.args().clone().unwrap_or_default();
    if args.is_empty() {
        return Err(Error::usage("no command specified: the image names none, so give one after the image"));
    }
    let limits = process.rlimits().iter().flatten();
    let capabilities = process.capabilities().as_ref().map(super::caps::CapSets::from_oci).unwrap_or_default();
    Ok(ProcessPlan {
        terminal: process.terminal().unwrap_or(false),
        args,
        env: process.env().clone().unwrap_or_default(),
        cwd: process.cwd().display().to_string(),
        user: extras.user.clone(),
        groups: extras.groups.clone(),
        umask: process.user().umask().unwrap_or(0o022),
        rlimits: limits.map(|l| (resource(l.typ()), l.soft(), l.hard())).collect(),
        capabilities,
        user_capabilities: extras.user_capabilities,
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        oom_score_adj: process.oom_score_adj(),
        personality: spec.linux().as_ref().and_then(|l| l.personality().as_ref()).map(personality),
        init: extras.init,
    })
}

/// `PER_LINUX` and `PER_LINUX32` of <sys/personality.h>.
fn personality(personality: &oci_spec::runtime::LinuxPersonality) -> u64 {
    match personality.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    }
}

/// The numbers of getrlimit(2).
fn resource(kind: PosixRlimitType) -> u32 {
    match kind {
        PosixRlimitType::RlimitCpu => libc::RLIMIT_CPU,
        PosixRlimitType::RlimitFsize => libc::RLIMIT_FSIZE,
        PosixRlimitType::RlimitData => libc::RLIMIT_DATA,
        PosixRlimitType::RlimitStack => libc::RLIMIT_STACK,
        PosixRlimitType::RlimitCore => libc::RLIMIT_CORE,
        PosixRlimitType::RlimitRss => libc::RLIMIT_RSS,
        PosixRlimitType::RlimitNproc => libc::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => libc::RLIMIT_NOFILE,
        PosixRlimitType::RlimitMemlock => libc::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitAs => libc::RLIMIT_AS,
        PosixRlimitType::RlimitLocks => libc::RLIMIT_LOCKS,
        PosixRlimitType::RlimitSigpending => libc::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        PosixRlimitType::RlimitNice => libc::RLIMIT_NICE,
        PosixRlimitType::RlimitRtprio => libc::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitRttime => libc::RLIMIT_RTTIME,
    }
}
