//! Every rule about options that can fail before the first system call.

use super::options::{ContainerOptions, Mount, MountKind};
use crate::base::{Error, Result};
use std::path::{Component, Path};

/// Checks options on their own and against each other.
pub fn options(o: &ContainerOptions) -> Result<()> {
    modes(o)?;
    if let Some(name) = &o.hostname {
        hostname(name)?;
    }
    for mount in &o.mounts {
        target(&mount.target)?;
        mount_words(mount)?;
        if below_proc(&mount.target)
            && !matches!(mount.kind, MountKind::Bind { .. } if PROC_FILES.contains(&mount.target.as_str()))
        {
            return Err(Error::usage(format!("mount at `{}`: nothing may be mounted inside /proc", mount.target))
                .hint("what a container sees there decides which of its limits hold"));
        }
    }
    if let Some(device) = o.devices.iter().find(|device| below_proc(&device.container)) {
        return Err(Error::usage(format!("device at `{}`: nothing may be mounted inside /proc", device.container)));
    }
    for folder in &o.chroot_dirs {
        target(folder)?;
        if below_proc(folder) {
            return Err(Error::usage(format!("--chrootdirs `{folder}`: nothing may be mounted inside /proc")));
        }
    }
    if !o.security.proc_options.is_empty() && o.pid.as_deref() == Some("host") {
        return Err(Error::usage("--security-opt proc-opts cannot be used together with --pid host")
            .hint("that /proc is the machine's own mount"));
    }
    sysctls(o)
}

/// Words of mounts that mean something and can't be had: what they ask for must not be left out silently.
fn mount_words(mount: &Mount) -> Result<()> {
    for word in &mount.options {
        let (why, way_out) = match word.split('=').next().unwrap_or_default() {
            "O" => ("changes that are thrown away at the end", "mount it with `ro`, or a copy of it"),
            "idmap" => {
                ("other owners in the container than outside", "use --userns keep-id, or give the files away with `U`")
            }
            _ => continue,
        };
        return Err(Error::unsupported(format!(
            "mount at `{}`: option `{word}`: not supported yet: {why}",
            mount.target
        ))
        .hint(way_out));
    }
    Ok(())
}

/// Files of /proc that say how large the machine is; lxcfs and its like put their own over them.
const PROC_FILES: [&str; 9] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
];

fn below_proc(target: &str) -> bool {
    Path::new(target).starts_with("/proc")
}

/// Mount targets are absolute and have no `..`; `/` itself is the root filesystem.
fn target(path: &str) -> Result<()> {
    let whole = Path::new(path);
    if !whole.is_absolute() {
        return Err(Error::usage(format!("invalid mount path: `{path}`: mount path must be absolute")));
    }
    if whole.components().any(|c| c == Component::ParentDir) || path.contains('\0') {
        return Err(Error::usage(format!("invalid mount path: `{path}` contains `..`")));
    }
    if whole.components().count() < 2 {
        return Err(Error::usage("invalid mount path: the destination can't be `/`"));
    }
    Ok(())
}

fn hostname(name: &str) -> Result<()> {
    let label = |l: &str| !l.is_empty() && l.len() <= 63 && !l.starts_with('-') && !l.ends_with('-');
    let characters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if !name.is_empty() && name.len() <= 64 && characters && name.split('.').all(label) {
        Ok(())
    } else {
        Err(Error::usage(format!("invalid hostname `{name}`: up to 64 letters, digits, `-` and `.`")))
    }
}

fn modes(o: &ContainerOptions) -> Result<()> {
    let check = |flag: &str, value: &Option<String>, known: &[&str]| -> Result<()> {
        let Some(value) = value else { return Ok(()) };
        let word = value.split(':').next().unwrap_or("");
        if known.contains(&word) || matches!(word, "container" | "ns") {
            return Ok(());
        }
        if matches!(word, "bridge" | "slirp4netns" | "pasta" | "auto" | "pod") {
            return Err(Error::unsupported(format!("`--{flag} {value}` is not supported yet")));
        }
        Err(Error::usage(format!("invalid `--{flag} {value}`: use {}", known.join(" or "))))
    };
    let joins = |n: &str| n.starts_with("container:") || n.starts_with("ns:");
    if let Some(network) = o.network.as_ref().filter(|n| !matches!(n.as_str(), "host" | "none") && !joins(n)) {
        return Err(Error::unsupported(format!("`--network {network}` is not supported yet"))
            .hint("this version has the networks host and none"));
    }
    check("pid", &o.pid, &["host", "private"])?;
    check("ipc", &o.ipc, &["host", "private", "shareable", "none"])?;
    check("uts", &o.uts, &["host", "private"])?;
    check("cgroupns", &o.cgroupns, &["host", "private"])?;
    check("userns", &o.userns, &["host", "keep-id", "nomap", "private"])?;
    if o.hostname.is_some() && o.uts.as_deref() == Some("host") {
        return Err(Error::usage("conflicting options: hostname and the UTS mode"));
    }
    shared_network(o)?;
    super::ports::check(o)
}

/// Who shares another container's network has its name and its files.
fn shared_network(o: &ContainerOptions) -> Result<()> {
    let joined = |mode: &Option<String>| mode.as_deref().is_some_and(|m| m.starts_with("container:"));
    if joined(&o.uts) && o.hostname.is_some() {
        return Err(Error::usage("conflicting options: hostname and the UTS mode"));
    }
    if !joined(&o.network) {
        return Ok(());
    }
    let dns = !o.dns.is_empty() || !o.dns_search.is_empty() || !o.dns_options.is_empty();
    for (given, what) in
        [(o.hostname.is_some(), "hostname"), (dns, "dns"), (!o.add_hosts.is_empty(), "custom host-to-IP mapping")]
    {
        if given {
            return Err(Error::usage(format!("conflicting options: {what} and the network mode")));
        }
    }
    Ok(())
}

/// Only sysctls of a namespace that the container has: any other would be the host's.
fn sysctls(o: &ContainerOptions) -> Result<()> {
    for key in o.sysctls.keys() {
        let plain = !key.is_empty()
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b))
            && !key.contains("..");
        let ipc = key.starts_with("kernel.msg")
            || key.starts_with("kernel.shm")
            || key == "kernel.sem"
            || key.starts_with("fs.mqueue.");
        let own_ipc = o.ipc.as_deref() != Some("host");
        let own_net = super::compose::own_network(o);
        let allowed = (ipc && own_ipc) || (key.starts_with("net.") && own_net);
        if !plain || !(ipc || key.starts_with("net.")) {
            return Err(Error::usage(format!(
                "sysctl `{key}` is not in a separate kernel namespace, so it cannot be set for a container"
            )));
        }
        if !allowed {
            return Err(Error::usage(format!("sysctl `{key}` is the host's: the container shares that namespace"))
                .hint(if ipc { "leave out `--ipc host`" } else { "use `--network none`" }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::options::Mount;

    fn mount(target: &str) -> ContainerOptions {
        let kind = MountKind::Bind { source: "/x".into(), create: false };
        let mount = Mount { kind, target: target.into(), read_only: false, options: vec![] };
        ContainerOptions { mounts: vec![mount], ..ContainerOptions::default() }
    }

    #[test]
    fn mount_targets_are_checked() {
        for good in ["/a", "/proc/cpuinfo", "/processes"] {
            options(&mount(good)).unwrap();
        }
        for bad in ["a", "/", "/a/../b", "/proc", "/proc/sys", "/proc/self/exe"] {
            assert!(options(&mount(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn sysctls_of_the_host_are_refused() {
        let with = |key: &str, network: &str| ContainerOptions {
            sysctls: [(key.to_owned(), "1".to_owned())].into(),
            network: Some(network.into()),
            ..ContainerOptions::default()
        };
        options(&with("kernel.shmmax", "host")).unwrap();
        options(&with("net.ipv4.ip_forward", "none")).unwrap();
        for (key, network) in
            [("net.ipv4.ip_forward", "host"), ("kernel.panic", "none"), ("net../x", "none"), ("", "none")]
        {
            assert!(options(&with(key, network)).is_err(), "{key}");
        }
    }

    #[test]
    fn modes_and_names_are_checked() {
        let mut o = ContainerOptions { hostname: Some("a b".into()), ..ContainerOptions::default() };
        assert!(options(&o).is_err());
        o.hostname = Some("web-1.example".into());
        options(&o).unwrap();
        o.network = Some("bridge".into());
        assert_eq!(options(&o).unwrap_err().kind(), crate::base::Kind::Unsupported);
        o.network = Some("container:x".into());
        assert!(options(&o).is_err(), "the name is the other one's");
        o.hostname = None;
        options(&o).unwrap();
        o.pid = Some("nonsense".into());
        assert_eq!(options(&o).unwrap_err().kind(), crate::base::Kind::Usage);
    }
}
