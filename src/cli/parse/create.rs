//! The flags of `run` and `create`, all together, to [`ContainerOptions`].

use super::super::args::container::{
    CreateArgs, FileArgs, LifecycleArgs, NamespaceArgs, NetworkArgs, ProcessArgs, SecurityArgs,
};
use super::super::args::image::SourceArgs;
use super::super::config::{Config, clean};
use super::{addresses, env, health, host, key_value, life, limits, mount, names, namespace, ports, process, security};
use crate::base::{Error, Result, fsx, units};
use crate::image::Platform;
use crate::ops::pull::Policy;
use crate::spec::options::{AccountOptions, Attach, ContainerOptions, HostsBase, RestartPolicy, SdNotify};
use crate::spec::systemd::{ImageVolume, Systemd};
use crate::state::log::{Driver, Settings};
use crate::supervise::process::Stdio;
use std::path::PathBuf;

/// What the container's root file system is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An image by name, id or transport.
    Image(String),
    /// A folder, absolute (`--rootfs`).
    Folder(PathBuf),
}

/// What `run` and `create` ask for.
#[derive(Debug)]
pub(crate) struct CreateRequest {
    /// Image or folder.
    pub(crate) origin: Origin,
    /// Options that are stored with the container.
    pub(crate) options: ContainerOptions,
    /// Which streams the caller connects, for inspect.
    pub(crate) attached: Attach,
    /// `--replace`.
    pub(crate) replace: bool,
    /// `--pull`.
    pub(crate) pull: Policy,
    /// `--platform`, or `--os` and `--arch`.
    pub(crate) platform: Option<Platform>,
    /// `--quiet`.
    pub(crate) quiet: bool,
    /// How to reach the registry.
    pub(crate) source: SourceArgs,
}

impl CreateRequest {
    /// Notes which streams the caller connects. Unless it was `explicit` about them, its input only with `--interactive`.
    pub(crate) fn attached(&mut self, attach: Attach, explicit: bool) {
        self.attached = Attach { stdin: attach.stdin && (explicit || self.options.interactive), ..attach };
    }
}

/// Checks and converts everything; reads the files that `--env-file` and `--label-file` name.
pub(crate) fn request(args: CreateArgs, config: &Config) -> Result<CreateRequest> {
    let mut words = args.words.into_iter();
    let image = words.next().unwrap_or_default();
    let mut options = ContainerOptions { command: words.collect(), ..ContainerOptions::default() };
    process_options(args.process, config, &mut options)?;
    file_options(args.files, config, &mut options)?;
    namespace_options(args.namespaces, &mut options)?;
    network_options(args.network, config, &mut options)?;
    security_options(args.security, config, &mut options)?;
    let replace = args.lifecycle.replace;
    lifecycle_options(args.lifecycle, config, &mut options)?;
    options.health = health::all(args.health, config)?;
    options.limits = limits::limits(&args.limits, &args.counts)?;
    options.cgroup = limits::cgroup(&args.cgroup, &mut options.limits)?;
    options.limits.check()?;
    if replace && options.name.is_none() {
        return Err(Error::usage("--replace needs --name: there is nothing to replace"));
    }
    let origin =
        if args.image.rootfs { Origin::Folder(clean(&config.working_dir.join(&image))) } else { Origin::Image(image) };
    Ok(CreateRequest {
        origin,
        options,
        attached: Attach::default(),
        replace,
        pull: args.image.pull.as_deref().map_or(Ok(Policy::Missing), pull_policy)?,
        platform: platform(&args.image.source)?,
        quiet: args.image.quiet,
        source: args.image.source,
    })
}

/// Adds the flag's name in front of what is wrong with its value.
fn flag<T>(name: &str, result: Result<T>) -> Result<T> {
    result.map_err(|e| e.step(format!("--{name}")))
}

fn each<T>(name: &str, values: &[String], parse: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    values.iter().map(|v| flag(name, parse(v))).collect()
}

fn process_options(args: ProcessArgs, config: &Config, options: &mut ContainerOptions) -> Result<()> {
    options.interactive = args.interactive;
    options.tty = args.tty;
    options.env = environment(&args, config)?;
    options.env_merge = each("env-merge", &args.env_merge, life::env_merge)?;
    options.unset_env = args.unsetenv;
    options.unset_env_all = args.unsetenv_all;
    options.workdir = args.workdir.as_deref().map(|w| flag("workdir", process::workdir(w))).transpose()?;
    options.user = args.user;
    options.groups = args.group_add;
    options.entrypoint = args.entrypoint.as_deref().map(process::entrypoint);
    options.init = args.init;
    options.init_path = args.init_path.filter(|p| !p.is_empty()).map(|p| clean(&config.working_dir.join(p)));
    if options.init_path.is_some() && !options.init {
        return Err(Error::usage("--init-path needs --init: without it no init runs"));
    }
    options.personality = args.personality.as_deref().map(|p| flag("personality", life::personality(p))).transpose()?;
    options.accounts = AccountOptions {
        off: false,
        passwd_entry: args.passwd_entry.map(|line| flag("passwd-entry", life::account_line(line))).transpose()?,
        group_entry: args.group_entry.map(|line| flag("group-entry", life::account_line(line))).transpose()?,
        host_users: args.hostuser,
    };
    options.ulimits = each("ulimit", &args.ulimit, process::ulimit)?;
    options.umask = args.umask.as_deref().map(|m| flag("umask", process::umask(m))).transpose()?;
    options.tz = args.tz;
    options.oom_score_adj =
        args.oom_score_adj.as_deref().map(|s| flag("oom-score-adj", process::oom_score_adj(s))).transpose()?;
    Ok(())
}

/// Later ones win: the caller's own, proxies, files, then single variables.
fn environment(args: &ProcessArgs, config: &Config) -> Result<Vec<String>> {
    let mut variables = Vec::new();
    if args.env_host {
        variables.extend(env::host(&config.env));
    } else if args.http_proxy {
        variables.extend(env::proxies(&config.env));
    }
    for file in &args.env_file {
        let bytes = flag("env-file", fsx::read(&config.working_dir.join(file)))?;
        variables.extend(flag("env-file", env::file(file, &bytes, &config.env))?);
    }
    for variable in &args.env {
        variables.extend(flag("env", env::variable(variable, &config.env))?);
    }
    Ok(variables)
}

fn file_options(args: FileArgs, config: &Config, options: &mut ContainerOptions) -> Result<()> {
    let dir = &config.working_dir;
    let mut mounts = each("volume", &args.volume, |v| mount::volume(v, dir, &config.home))?;
    mounts.extend(each("mount", &args.mount, |m| mount::mount(m, dir))?);
    mounts.extend(each("tmpfs", &args.tmpfs, mount::tmpfs)?);
    for (i, mount) in mounts.iter().enumerate() {
        if mounts[..i].iter().any(|m| m.target == mount.target) {
            return Err(Error::usage(format!("duplicate mount point: `{}`", mount.target)));
        }
    }
    if let Some(driver) = &args.volume_driver {
        flag("volume-driver", mount::volume_driver(driver))?;
    }
    mounts.iter().try_for_each(|m| mount::check_gift(m, &config.home))?;
    options.mounts = mounts;
    options.volumes_from = args.volumes_from;
    options.read_only = args.read_only;
    options.no_read_only_tmpfs = !args.read_only_tmpfs;
    options.devices = each("device", &args.device, mount::device)?;
    options.shm_size = args.shm_size.as_deref().map(|s| flag("shm-size", units::parse_bytes(s))).transpose()?;
    Ok(())
}

fn namespace_options(args: NamespaceArgs, options: &mut ContainerOptions) -> Result<()> {
    let mode = |flag: &str, value: Option<String>, words: &[&str]| {
        value.filter(|v| !v.is_empty()).map(|v| namespace::mode(flag, &v, words)).transpose()
    };
    options.pid = mode("pid", args.pid, &["private", "host"])?;
    options.ipc = mode("ipc", args.ipc, &["private", "shareable", "none", "host"])?;
    options.uts = mode("uts", args.uts, &["private", "host"])?;
    options.cgroupns = mode("cgroupns", args.cgroupns, &["private", "host"])?;
    options.userns = args.userns.filter(|v| !v.is_empty()).map(|v| namespace::user(&v)).transpose()?;
    options.uidmap = args.uidmap.iter().map(|m| namespace::id_map("uidmap", m)).collect::<Result<_>>()?;
    options.gidmap = args.gidmap.iter().map(|m| namespace::id_map("gidmap", m)).collect::<Result<_>>()?;
    let name = |value: Option<String>| value.filter(|name| !name.is_empty());
    (options.subuid_name, options.subgid_name) = (name(args.subuidname), name(args.subgidname));
    options.sysctls = each("sysctl", &args.sysctl, process::sysctl)?.into_iter().collect();
    Ok(())
}

fn network_options(args: NetworkArgs, config: &Config, options: &mut ContainerOptions) -> Result<()> {
    // docker's and podman's words for the network that a container gets without the flag.
    let network = args.network.as_deref().filter(|n| !matches!(*n, "" | "default"));
    options.network = network.map(namespace::network).transpose()?;
    addresses::refuse(&args, options.network.as_deref())?;
    options.expose = each("expose", &args.expose, str::parse)?;
    options.publish = each("publish", &args.publish, ports::publish)?.concat();
    options.publish_all = args.publish_all;
    crate::spec::ports::check(options)?;
    options.hostname = args.hostname.as_deref().map(|h| flag("hostname", names::host(h))).transpose()?;
    options.domainname = args.domainname;
    options.dns = each("dns", &args.dns, host::name_server)?;
    options.dns_options = args.dns_option;
    options.dns_search = each("dns-search", &args.dns_search, host::search_domain)?;
    options.add_hosts = each("add-host", &args.add_host, host::add_host)?.concat();
    options.hosts_file = match args.hosts_file.as_deref() {
        None => None,
        Some("none") => Some(HostsBase::None),
        Some("image") => Some(HostsBase::Image),
        Some(file) => Some(HostsBase::File(clean(&config.working_dir.join(file)))),
    };
    options.no_hosts = args.no_hosts;
    if options.no_hosts && options.hosts_file.is_some() {
        return Err(Error::usage("--no-hosts and --hosts-file cannot be used together"));
    }
    options.no_hostname = args.no_hostname;
    if options.no_hosts && !options.add_hosts.is_empty() {
        return Err(Error::usage("--no-hosts and --add-host cannot be used together"));
    }
    Ok(())
}

fn security_options(args: SecurityArgs, config: &Config, options: &mut ContainerOptions) -> Result<()> {
    options.cap_add = each("cap-add", &args.cap_add, security::capability)?;
    options.cap_drop = each("cap-drop", &args.cap_drop, security::capability)?;
    options.privileged = args.privileged;
    options.systemd = systemd(args.systemd.as_deref())?;
    let systemd_size = args.shm_size_systemd.as_deref().map(|s| flag("shm-size-systemd", units::parse_bytes(s)));
    options.shm_size_systemd = systemd_size.transpose()?.unwrap_or_default();
    options.chroot_dirs = each("chrootdirs", &args.chrootdirs, |p| mount::target_path(p).map_err(Error::usage))?;
    options.image_volume = image_volume(args.image_volume.as_deref())?;
    options.seccomp_from_image = match args.seccomp_policy.as_deref() {
        None | Some("default") => false,
        Some("image") => true,
        Some(other) => {
            return Err(Error::usage(format!("--seccomp-policy: unknown policy `{other}`: use default or image")));
        }
    };
    options.security = flag("security-opt", security::options(&args.security_opt, &config.working_dir))?;
    Ok(())
}

fn lifecycle_options(args: LifecycleArgs, config: &Config, options: &mut ContainerOptions) -> Result<()> {
    let path = |p: String| clean(&config.working_dir.join(p));
    // An empty name is none, as for docker: `--name "$NAME"`.
    options.name =
        args.name.as_deref().filter(|n| !n.is_empty()).map(|n| flag("name", names::container(n))).transpose()?;
    options.remove = args.rm;
    options.restart = args.restart.as_deref().map_or(Ok(RestartPolicy::No), life::restart_policy)?;
    if options.remove && options.restart != RestartPolicy::No {
        return Err(Error::usage("--restart and --rm cannot be used together"));
    }
    args.runtime.as_deref().map_or(Ok(()), life::runtime)?;
    options.requires = args.requires;
    options.sdnotify = args.sdnotify.as_deref().map_or(Ok(SdNotify::default()), life::sdnotify)?;
    options.conmon_pidfile = args.conmon_pidfile.map(path);
    for file in &args.label_file {
        let bytes = flag("label-file", fsx::read(&config.working_dir.join(file)))?;
        options.labels.extend(flag("label-file", env::labels(file, &bytes))?);
    }
    options.labels.extend(each("label", &args.label, names::label)?);
    options.annotations.extend(each("annotation", &args.annotation, key_value)?);
    options.cidfile = args.cidfile.map(path);
    options.pidfile = args.pidfile.map(path);
    options.stop_signal = args.stop_signal.as_deref().map(|s| flag("stop-signal", process::signal(s))).transpose()?;
    // A negative timeout is docker's word for "wait for ever".
    options.stop_timeout = args.stop_timeout.map(|s| u32::try_from(s).unwrap_or(u32::MAX));
    options.timeout = args.timeout.unwrap_or_default();
    log_options(args.log_driver, &args.log_opt, config, options)?;
    Ok(())
}

/// `--log-driver` and `--log-opt`: what the monitor will read is checked here, before anything is made.
fn log_options(
    driver: Option<String>,
    given: &[String],
    config: &Config,
    options: &mut ContainerOptions,
) -> Result<()> {
    options.log_driver = driver.filter(|d| !d.is_empty());
    options.log_options = each("log-opt", given, key_value)?.into_iter().collect();
    if let Some(path) = options.log_options.get_mut("path") {
        *path = clean(&config.working_dir.join(&*path)).to_string_lossy().into_owned();
    }
    let settings = Settings::of(options)?;
    if settings.driver == Driver::Passthrough {
        if options.tty {
            return Err(Error::usage("--log-driver passthrough and --tty cannot be used together"));
        }
        Stdio::default().direct()?;
    }
    settings.check_place()
}

/// `--pull`.
pub(crate) fn pull_policy(text: &str) -> Result<Policy> {
    match text {
        "missing" | "ifnotpresent" | "false" => Ok(Policy::Missing),
        "always" | "true" => Ok(Policy::Always),
        "newer" => Ok(Policy::Newer),
        "never" => Ok(Policy::Never),
        _ => Err(Error::usage(format!("--pull: unknown policy `{text}`: use missing, always, newer or never"))),
    }
}

/// `--platform`, or `--os` and `--arch`, which cannot be mixed.
pub(crate) fn platform(args: &SourceArgs) -> Result<Option<Platform>> {
    match (&args.platform, &args.os, &args.arch) {
        (None, None, None) => Ok(None),
        (Some(text), None, None) => flag("platform", text.parse()).map(Some),
        (None, os, arch) => {
            let host = Platform::host();
            let os = os.as_deref().unwrap_or(&host.os);
            let arch = arch.as_deref().unwrap_or(&host.architecture);
            flag("arch", format!("{os}/{arch}").parse()).map(Some)
        }
        _ => Err(Error::usage("--platform cannot be used together with --os or --arch")),
    }
}

fn systemd(given: Option<&str>) -> Result<Systemd> {
    Ok(match given {
        None => Systemd::Auto,
        Some("always") => Systemd::On,
        Some(word) => match units::parse_bool(word) {
            Some(true) => Systemd::Auto,
            Some(false) => Systemd::Off,
            None => {
                return Err(Error::usage(format!("--systemd: invalid value `{word}`: use true, false or always")));
            }
        },
    })
}

fn image_volume(given: Option<&str>) -> Result<ImageVolume> {
    match given {
        Some("ignore") => Ok(ImageVolume::Ignore),
        Some("tmpfs") => Ok(ImageVolume::Tmpfs),
        None => Ok(ImageVolume::default()),
        Some("anonymous" | "bind") => Ok(ImageVolume::Anonymous),
        Some(word) => {
            Err(Error::usage(format!("--image-volume: invalid value `{word}`: use anonymous, ignore or tmpfs")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::args;
    use super::super::super::args::container::RunArgs;
    use super::super::super::args::parse::{Parsed, parse};
    use super::super::super::config::Globals;
    use super::*;

    fn parsed(line: &str) -> Result<(bool, bool, CreateRequest)> {
        let words = line.split(' ').map(std::ffi::OsString::from).collect();
        let Parsed::Matches(matches) = parse(args::find("run").unwrap(), "run", words)? else { panic!("help") };
        let args: RunArgs = super::super::super::typed(&matches)?;
        let mut config = Config::load(Globals { root: Some("/r".into()), ..Globals::default() })?;
        config.env = [("HOME".to_owned(), "/h".to_owned()), ("http_proxy".to_owned(), "p".to_owned())].into();
        config.working_dir = "/here".into();
        Ok((args.detach, args.sig_proxy, request(args.create, &config)?))
    }

    fn options(line: &str) -> ContainerOptions {
        parsed(line).unwrap().2.options
    }

    #[test]
    fn words_behind_the_image_belong_to_the_command() {
        let request = parsed("--rm -it alpine sh -c -- --rm -x").unwrap().2;
        assert_eq!(request.origin, Origin::Image("alpine".into()));
        assert_eq!(request.options.command, ["sh", "-c", "--", "--rm", "-x"]);
        assert!(request.options.remove && request.options.interactive && request.options.tty);
        assert_eq!(options("alpine -- ls").command, ["--", "ls"]);
        assert_eq!(options("-- alpine ls").command, ["ls"]);
        assert_eq!(options("alpine --help").command, ["--help"]);
    }

    #[test]
    fn values_in_all_of_dockers_forms() {
        let o = options("--http-proxy=false -eA=b -e C=d --env=E=f=g -e HOME -e NOT_SET x");
        assert_eq!(o.env, ["A=b", "C=d", "E=f=g", "HOME=/h"]);
        assert_eq!(options("x").env, ["http_proxy=p"]);
        assert_eq!(options("-e=A=b --http-proxy=0 x").env, ["A=b"]);
        assert_eq!(options("--workdir /a -w /b x").workdir.as_deref(), Some("/b"));
        assert_eq!(options("--entrypoint -x x").entrypoint.unwrap(), ["-x"]);
        assert_eq!(options("--oom-score-adj -5 x").oom_score_adj, Some(-5));
        assert_eq!(options("--stop-timeout -1 x").stop_timeout, Some(u32::MAX));
        assert_eq!(options("--cap-add net_admin,sys_time --cap-add=chown x").cap_add.len(), 3);
        let o = options("--rm=false -i=true -t=0 --read-only=1 x");
        assert!(!o.remove && o.interactive && !o.tty && o.read_only);
        let o = options("-ti --rm --rm x");
        assert!(o.remove && o.interactive && o.tty);
        assert_eq!(options("-h web -u 1:2 --net none x").hostname.as_deref(), Some("web"));
        assert_eq!((options("--network= x").network, options("--net default x").network), (None, None));
        let (detach, proxy, _) = parsed("-d --sig-proxy=false x").unwrap();
        assert!(detach && !proxy);
        assert!(parsed("x").unwrap().1);
    }

    #[test]
    fn where_the_root_comes_from() {
        assert_eq!(parsed("--rootfs ./r sh").unwrap().2.origin, Origin::Folder("/here/r".into()));
        let r = parsed("--pull=always --platform linux/arm/v7 x").unwrap().2;
        assert_eq!((r.pull, r.platform.unwrap().to_string().as_str()), (Policy::Always, "linux/arm/v7"));
        assert_eq!(parsed("--arch arm64 x").unwrap().2.platform.unwrap().to_string(), "linux/arm64");
        assert!(parsed("--arch arm64 --platform linux/amd64 x").is_err());
        assert_eq!(parsed("--tls-verify=false x").unwrap().2.source.tls_verify, Some(false));
        assert_eq!(parsed("--tls-verify x").unwrap().2.source.tls_verify, Some(true));
    }

    #[test]
    fn mistakes_name_the_flag_and_the_value() {
        for (line, message) in [
            (
                "--name -x x",
                "--name: invalid container name `-x`: use letters, digits, `_`, `.` and `-`, beginning with a letter or digit",
            ),
            ("-w rel x", "--workdir: invalid working directory `rel`: it must be an absolute path"),
            (
                "-v da/ta:/x x",
                "--volume: invalid volume `da/ta:/x`: `da/ta` is no volume name; a path begins with `/` or `./`",
            ),
            ("--volume-driver nfs -v data:/x x", "--volume-driver: volume driver `nfs`: there are no plugins"),
            ("-v /a:/x -v /b:/x/ x", "duplicate mount point: `/x`"),
            ("--network bridge x", "--network bridge: not supported yet: there is no private network yet"),
            ("--cap-add shiny x", "--cap-add: unknown capability `shiny`"),
            ("--env-file /nonexistent x", "--env-file: read `/nonexistent`: No such file or directory (ENOENT)"),
            ("--pull sometimes x", "--pull: unknown policy `sometimes`: use missing, always, newer or never"),
            ("--log-driver syslog x", "invalid log driver `syslog`"),
            ("--log-opt shiny=1 x", "invalid log option `shiny`"),
            ("--log-opt max-size=big x", "log option `max-size`: invalid size `big`: use a number with k, m or g"),
            (
                "--log-opt path=/nonexistent/x.log x",
                "log option `path`: look at `/nonexistent`: No such file or directory (ENOENT)",
            ),
            ("--shm-size big x", "--shm-size: invalid size `big`: use a number with b, k, m or g, such as `64m`"),
        ] {
            assert_eq!(parsed(line).unwrap_err().to_string(), message, "{line}");
        }
    }
}
