//! Image config + options + facts about this machine -> OCI runtime spec. Pure: the same input gives the same spec.

use super::caps::{self, Request};
use super::defaults::{self, MountFacts};
use super::environment::environment;
use super::options::{ContainerOptions, Mount, MountKind, Personality, Ulimit};
use super::systemd::{self, Systemd};
use super::validate;
use crate::base::{Error, Result};
use crate::image::config::Execution;
use oci_spec::runtime::{
    LinuxBuilder, LinuxCapabilities, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxSeccomp, MountBuilder,
    PosixRlimit, PosixRlimitBuilder, PosixRlimitType, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};
use std::collections::HashMap;
use std::path::PathBuf;

/// What about this machine and this container the spec depends on.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The full container id.
    pub id: String,
    /// The host's own name, used where the UTS namespace is the host's.
    pub host_hostname: String,
    /// Files of the container's folder put over the image's: (host path, path in the container).
    pub generated: Vec<(PathBuf, String)>,
    /// Folders of named and anonymous volumes, by the mount's target.
    pub volumes: HashMap<String, PathBuf>,
    /// Group 5 is mapped.
    pub tty_group: bool,
    /// The host has a cgroup2 hierarchy.
    pub cgroup2: bool,
    /// The host has /dev/mqueue.
    pub host_mqueue: bool,
    /// The kernel's last capability number.
    pub last_capability: u8,
    /// Major and minor number of the running kernel.
    pub kernel: (u32, u32),
    /// The text of the file that `--security-opt seccomp=FILE` names; `None` for the default profile.
    pub seccomp: Option<String>,
    /// The host name of a container whose network or UTS namespace is shared.
    pub shared_hostname: Option<String>,
    /// The zone file of `--tz`.
    pub zone_file: Option<PathBuf>,
}

/// A spec, and what it has no words for.
#[derive(Debug, Clone)]
pub struct Composed {
    /// For a process that is root inside.
    pub spec: Spec,
    /// The capability sets if the user turns out not to be root: names are resolved in the container.
    pub user_capabilities: LinuxCapabilities,
    /// `user[:group]`, empty for root.
    pub user: String,
}

/// Makes the spec.
///
/// Errors: `Usage` for options that contradict each other or the image.
pub fn compose(image: &Execution, options: &ContainerOptions, facts: &Facts) -> Result<Composed> {
    validate::options(options)?;
    let request = |uid| Request {
        add: &options.cap_add,
        drop: &options.cap_drop,
        privileged: options.privileged,
        last: facts.last_capability,
        uid,
    };
    let capabilities = caps::sets(&request(0))?;
    let user = options.user.clone().unwrap_or_else(|| image.user.clone());
    let mut env = environment(image, options, hostname(options, facts).as_deref());
    if options.systemd == Systemd::On {
        // Its machine id, unless the image has one (systemd's container interface).
        env.push(format!("container_uuid={}", facts.id.get(..32).unwrap_or_default()));
    }
    let process = ProcessBuilder::default()
        .terminal(options.tty)
        .user(UserBuilder::default().uid(0u32).gid(0u32).umask(options.umask.unwrap_or(0o022)).build().map_err(bug)?)
        .args(with_init(command(image, options)?, options))
        .env(env)
        .cwd(workdir(image, options)?)
        .capabilities(capabilities.clone())
        .rlimits(options.ulimits.iter().filter(|u| u.name != "host").map(rlimit).collect::<Result<Vec<_>>>()?)
        .no_new_privileges(options.security.no_new_privileges);
    let process = match options.oom_score_adj {
        Some(score) => process.oom_score_adj(score),
        None => process,
    };
    let unmask = |path: &&str| !unmasked(options, path);
    let privileged = options.privileged;
    let hidden = |paths: &[&str]| -> Vec<String> {
        if privileged { Vec::new() } else { paths.iter().filter(|p| unmask(p)).map(|p| (*p).to_owned()).collect() }
    };
    let mut masked = hidden(&defaults::MASKED_PATHS);
    masked.extend(options.security.mask.iter().cloned());
    let linux = LinuxBuilder::default()
        .namespaces(namespaces(options)?)
        .masked_paths(masked)
        .readonly_paths(hidden(&defaults::READONLY_PATHS))
        .sysctl(options.sysctls.clone().into_iter().collect::<HashMap<_, _>>());
    let linux = match seccomp(options, facts, &capabilities)? {
        Some(profile) => linux.seccomp(profile),
        None => linux,
    };
    let linux = match options.personality {
        Some(domain) => linux.personality(personality(domain)?),
        None => linux,
    };
    let spec = SpecBuilder::default()
        .version("1.2.0")
        .process(process.build().map_err(bug)?)
        .root(RootBuilder::default().path("rootfs").readonly(options.read_only).build().map_err(bug)?)
        .mounts(mounts(options, facts)?)
        .annotations(options.annotations.clone().into_iter().collect::<HashMap<_, _>>())
        .linux(linux.build().map_err(bug)?);
    let spec = match hostname(options, facts) {
        Some(name) if own_uts(options) => spec.hostname(name),
        _ => spec,
    };
    let spec = match &options.domainname {
        Some(name) => spec.domainname(name.clone()),
        None => spec,
    };
    Ok(Composed { spec: spec.build().map_err(bug)?, user_capabilities: caps::sets(&request(1))?, user })
}

/// The builders fail on half an id map or an empty field, which is never passed to them.
fn bug(e: oci_spec::OciSpecError) -> Error {
    Error::new(crate::base::Kind::Bug, format!("compose runtime spec: {e}"))
}

/// Where a container has the program of `--init-path`, as with podman.
const INIT: &str = "/run/podman-init";

/// The command of a container that has an init of the user's: it is started as podman starts one.
fn with_init(command: Vec<String>, options: &ContainerOptions) -> Vec<String> {
    match options.init_path {
        Some(_) => [INIT, "--"].map(str::to_owned).into_iter().chain(command).collect(),
        None => command,
    }
}

/// Entrypoint and arguments as docker combines them: an entrypoint from the command line discards the image's arguments.
pub fn command(image: &Execution, options: &ContainerOptions) -> Result<Vec<String>> {
    let mut args = match &options.entrypoint {
        Some(own) => own.clone(),
        None => image.entrypoint.clone().unwrap_or_default(),
    };
    if !options.command.is_empty() {
        args.extend(options.command.iter().cloned());
    } else if options.entrypoint.is_none() {
        args.extend(image.cmd.clone().unwrap_or_default());
    }
    if args.is_empty() {
        return Err(Error::usage("no command specified").hint("the image names no command: give one after the image"));
    }
    Ok(args)
}

fn workdir(image: &Execution, options: &ContainerOptions) -> Result<String> {
    let dir = options.workdir.clone().unwrap_or_else(|| image.working_dir.clone());
    match dir.as_str() {
        "" => Ok("/".to_owned()),
        absolute if absolute.starts_with('/') => Ok(dir),
        // An image's relative folder is below the root; the user's is a mistake.
        _ if options.workdir.is_none() => Ok(format!("/{dir}")),
        _ => Err(Error::usage(format!("the working directory `{dir}` is invalid, it needs to be an absolute path"))),
    }
}

/// The container's host name: its short id unless it is given or the host's.
pub fn hostname(options: &ContainerOptions, facts: &Facts) -> Option<String> {
    if let Some(name) = &options.hostname {
        return Some(name.clone());
    }
    if let Some(name) = &facts.shared_hostname {
        return Some(name.clone());
    }
    // `--network host` asks for the host's identity on the network, in docker and podman.
    if !own_uts(options) || options.network.as_deref() == Some("host") {
        return Some(facts.host_hostname.clone());
    }
    facts.id.get(..12).map(str::to_owned)
}

fn is_host(mode: &Option<String>) -> bool {
    mode.as_deref() == Some("host")
}

fn own_uts(options: &ContainerOptions) -> bool {
    !is_host(&options.uts)
}

/// True for a namespace that is another container's, or at a path.
fn is_joined(mode: &Option<String>) -> bool {
    mode.as_deref().is_some_and(|m| m.starts_with("container:") || m.starts_with("ns:"))
}

/// True when the container has a network of its own. The host's is the default until runr has more to offer.
pub fn own_network(options: &ContainerOptions) -> bool {
    options.network.as_deref() == Some("none")
}

fn namespaces(options: &ContainerOptions) -> Result<Vec<oci_spec::runtime::LinuxNamespace>> {
    let own = |mode: &Option<String>| !is_host(mode);
    let kinds = [
        (LinuxNamespaceType::User, true),
        (LinuxNamespaceType::Mount, true),
        (LinuxNamespaceType::Pid, own(&options.pid)),
        (LinuxNamespaceType::Ipc, own(&options.ipc)),
        (LinuxNamespaceType::Uts, own_uts(options)),
        (LinuxNamespaceType::Network, own_network(options) || is_joined(&options.network)),
        (LinuxNamespaceType::Cgroup, own(&options.cgroupns)),
    ];
    let wanted = kinds.into_iter().filter(|(_, own)| *own);
    wanted.map(|(kind, _)| LinuxNamespaceBuilder::default().typ(kind).build().map_err(bug)).collect()
}

fn seccomp(
    options: &ContainerOptions,
    facts: &Facts,
    capabilities: &LinuxCapabilities,
) -> Result<Option<LinuxSeccomp>> {
    if options.privileged || options.security.seccomp.as_deref() == Some("unconfined") {
        return Ok(None);
    }
    let known =
        super::seccomp::Facts { caps: caps::CapSet::from_oci(capabilities.bounding().as_ref()), kernel: facts.kernel };
    match &facts.seccomp {
        Some(json) => super::seccomp::load(json, &known).map(Some),
        None => Ok(Some(super::seccomp::default_profile(&known))),
    }
}

fn personality(domain: Personality) -> Result<oci_spec::runtime::LinuxPersonality> {
    use oci_spec::runtime::{LinuxPersonalityBuilder, LinuxPersonalityDomain};
    let domain = match domain {
        Personality::Linux => LinuxPersonalityDomain::PerLinux,
        Personality::Linux32 => LinuxPersonalityDomain::PerLinux32,
    };
    LinuxPersonalityBuilder::default().domain(domain).build().map_err(bug)
}

/// `unmask=ALL`, `unmask=/proc/kcore`, `systempaths=unconfined`.
fn unmasked(options: &ContainerOptions, path: &str) -> bool {
    let all = options.security.other.iter().any(|o| o == "systempaths=unconfined");
    all || options.security.unmask.iter().any(|u| {
        u.eq_ignore_ascii_case("all") || u == path || u.strip_suffix("/*").is_some_and(|p| path.starts_with(p))
    })
}

fn mounts(options: &ContainerOptions, facts: &Facts) -> Result<Vec<oci_spec::runtime::Mount>> {
    let mut list = defaults::mounts(&MountFacts {
        shm_size: options.shm_size.unwrap_or(defaults::SHM_SIZE),
        own_pid: !is_host(&options.pid),
        own_network: own_network(options) || is_joined(&options.network),
        own_ipc: !is_host(&options.ipc),
        host_mqueue: facts.host_mqueue,
        cgroup2: facts.cgroup2,
        tty_group: facts.tty_group,
        privileged: options.privileged,
        cgroup_writable: options.systemd == Systemd::On,
    });
    for mount in list.iter_mut().filter(|m| m.destination().as_os_str() == "/proc") {
        let words = mount.options().iter().flatten().chain(&options.security.proc_options).cloned().collect();
        mount.set_options(Some(words));
    }
    let mut own: Vec<oci_spec::runtime::Mount> = Vec::new();
    for (source, target) in &facts.generated {
        for folder in std::iter::once("").chain(options.chroot_dirs.iter().map(String::as_str)) {
            own.push(raw_mount(&format!("{folder}{target}"), "bind", Some(source.clone()), &["bind", "rprivate"])?);
        }
    }
    if let Some(zone) = &facts.zone_file {
        own.push(raw_mount("/etc/localtime", "bind", Some(zone.clone()), &["bind", "rprivate", "ro"])?);
    }
    if let Some(init) = &options.init_path {
        own.push(raw_mount(INIT, "bind", Some(init.clone()), &["bind", "rprivate", "ro", "nosuid", "nodev"])?);
    }
    if options.read_only && !options.no_read_only_tmpfs {
        for target in ["/run", "/tmp", "/var/tmp"] {
            own.push(raw_mount(target, "tmpfs", None, &["rw", "nosuid", "nodev", "tmpcopyup"])?);
        }
    }
    if options.systemd == Systemd::On {
        for (target, mode) in systemd::TMPFS {
            let size = format!("size={}", options.shm_size_systemd);
            let mut words = vec!["rw", "nosuid", "nodev", "tmpcopyup", mode];
            words.extend((options.shm_size_systemd > 0).then_some(size.as_str()));
            own.push(raw_mount(target, "tmpfs", None, &words)?);
        }
    }
    for mount in &options.mounts {
        own.push(user_mount(mount, facts)?);
    }
    // A mount of the user's at a default one's place takes that place; of two at one place the later one counts.
    let mut kept: Vec<oci_spec::runtime::Mount> = Vec::new();
    for mount in own {
        list.retain(|m| m.destination() != mount.destination());
        kept.retain(|m| m.destination() != mount.destination());
        kept.push(mount);
    }
    // A parent before what is mounted in it; otherwise in the order given.
    kept.sort_by_key(|m| m.destination().components().count());
    list.extend(kept);
    Ok(list)
}

fn raw_mount(target: &str, kind: &str, source: Option<PathBuf>, words: &[&str]) -> Result<oci_spec::runtime::Mount> {
    let options: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
    let source = source.unwrap_or_else(|| PathBuf::from(kind));
    MountBuilder::default().destination(target).typ(kind).source(source).options(options).build().map_err(bug)
}

fn user_mount(mount: &Mount, facts: &Facts) -> Result<oci_spec::runtime::Mount> {
    let given: Vec<&str> = mount.options.iter().map(String::as_str).collect();
    let access = if mount.read_only { "ro" } else { "rw" };
    match &mount.kind {
        MountKind::Tmpfs => {
            // docker's and podman's defaults; a word given by the user that contradicts one comes later and wins.
            let mut words = vec!["nosuid", "nodev", "noexec", "tmpcopyup", access];
            if !given.iter().any(|w| w.starts_with("mode=")) {
                words.push("mode=1777");
            }
            words.extend(given);
            raw_mount(&mount.target, "tmpfs", None, &words)
        }
        MountKind::Devpts => {
            let mut words = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", access];
            words.extend(given);
            raw_mount(&mount.target, "devpts", None, &words)
        }
        MountKind::Bind { source, .. } => {
            let mut words = vec!["rbind"];
            // `bind` asks for this mount alone, without what is mounted below it.
            if given.contains(&"bind") || given.contains(&"bind-nonrecursive") {
                words = vec!["bind"];
            }
            words.push(access);
            words.extend(given.into_iter().filter(|w| !matches!(*w, "bind" | "rbind" | "bind-nonrecursive")));
            raw_mount(&mount.target, "bind", Some(source.clone()), &words)
        }
        MountKind::Volume { name, .. } => {
            let source = facts.volumes.get(&mount.target).cloned();
            let source =
                source.ok_or_else(|| Error::new(crate::base::Kind::Bug, format!("volume `{name}` has no folder")))?;
            let mut words = vec!["rbind", access];
            words.extend(given);
            raw_mount(&mount.target, "bind", Some(source), &words)
        }
    }
}

fn rlimit(ulimit: &Ulimit) -> Result<PosixRlimit> {
    use PosixRlimitType as T;
    let kind = match ulimit.name.to_ascii_lowercase().trim_start_matches("rlimit_") {
        "core" => T::RlimitCore,
        "cpu" => T::RlimitCpu,
        "data" => T::RlimitData,
        "fsize" => T::RlimitFsize,
        "locks" => T::RlimitLocks,
        "memlock" => T::RlimitMemlock,
        "msgqueue" => T::RlimitMsgqueue,
        "nice" => T::RlimitNice,
        "nofile" => T::RlimitNofile,
        "nproc" => T::RlimitNproc,
        "rss" => T::RlimitRss,
        "rtprio" => T::RlimitRtprio,
        "rttime" => T::RlimitRttime,
        "sigpending" => T::RlimitSigpending,
        "stack" => T::RlimitStack,
        "as" => T::RlimitAs,
        other => return Err(Error::usage(format!("invalid ulimit type: `{other}`"))),
    };
    // -1 is "no limit" in docker and RLIM_INFINITY in the kernel.
    let (soft, hard) = (ulimit.soft as u64, ulimit.hard as u64);
    if soft > hard {
        return Err(Error::usage(format!(
            "ulimit `{}`: soft limit {} is above the hard limit {}",
            ulimit.name, ulimit.soft, ulimit.hard
        )));
    }
    PosixRlimitBuilder::default().typ(kind).soft(soft).hard(hard).build().map_err(bug)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Execution {
        Execution {
            env: vec!["PATH=/img".into(), "A=1".into()],
            entrypoint: Some(vec!["/entry".into()]),
            cmd: Some(vec!["arg".into()]),
            working_dir: "/srv".into(),
            user: "app".into(),
            ..Execution::default()
        }
    }

    fn facts() -> Facts {
        Facts {
            id: "0123456789abcdef".repeat(4),
            host_hostname: "host".into(),
            last_capability: 40,
            ..Facts::default()
        }
    }

    fn options() -> ContainerOptions {
        ContainerOptions::default()
    }

    #[test]
    fn entrypoint_and_command_combine_as_in_docker() {
        let run = |entrypoint: Option<Vec<&str>>, cmd: &[&str]| {
            let owned = |v: &[&str]| v.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
            command(
                &image(),
                &ContainerOptions { entrypoint: entrypoint.map(|e| owned(&e)), command: owned(cmd), ..options() },
            )
        };
        assert_eq!(run(None, &[]).unwrap(), ["/entry", "arg"]);
        assert_eq!(run(None, &["x"]).unwrap(), ["/entry", "x"]);
        assert_eq!(run(Some(vec!["sh"]), &[]).unwrap(), ["sh"]);
        assert_eq!(run(Some(vec![]), &["x"]).unwrap(), ["x"]);
        assert!(run(Some(vec![]), &[]).is_err());
    }

    #[test]
    fn a_mount_of_the_users_replaces_a_default_one_and_parents_come_first() {
        let tmpfs =
            |target: &str| Mount { kind: MountKind::Tmpfs, target: target.into(), read_only: false, options: vec![] };
        let own = ContainerOptions { mounts: vec![tmpfs("/a/b/c"), tmpfs("/a"), tmpfs("/dev/shm")], ..options() };
        let list = mounts(&own, &facts()).unwrap();
        let targets: Vec<String> = list.iter().map(|m| m.destination().display().to_string()).collect();
        assert_eq!(targets.iter().filter(|t| *t == "/dev/shm").count(), 1);
        assert_eq!(&targets[targets.len() - 3..], ["/a", "/dev/shm", "/a/b/c"]);
    }

    #[test]
    fn namespaces_follow_the_options() {
        let kinds = |o: &ContainerOptions| namespaces(o).unwrap().iter().map(|n| n.typ()).collect::<Vec<_>>();
        assert!(!kinds(&options()).contains(&LinuxNamespaceType::Network));
        let none = ContainerOptions { network: Some("none".into()), pid: Some("host".into()), ..options() };
        assert!(kinds(&none).contains(&LinuxNamespaceType::Network));
        assert!(!kinds(&none).contains(&LinuxNamespaceType::Pid));
    }
}
