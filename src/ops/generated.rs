//! The files of runr's that are put over the image's: /etc/hosts, /etc/hostname, /etc/resolv.conf, /run/.containerenv. They
//! stand in the container's folder and are written at each start: the machine's name servers may be others by then, and a
//! power cut may have emptied them.

use crate::base::fsx::{self, Durability};
use crate::base::{Doing, Result};
use crate::rootfs::etcfiles::{self, Hosts, Resolv};
use crate::rootfs::users;
use crate::runtime::plan::Root;
use crate::runtime::view::{self, Access};
use crate::spec::compose::{self, Facts};
use crate::spec::options::{ContainerOptions, HostsBase};
use crate::userns::{IdMap, Job, Keep};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

const HOSTS: &str = "hosts";
const HOSTNAME: &str = "hostname";
const RESOLV_CONF: &str = "resolv.conf";
const CONTAINERENV: &str = "containerenv";

/// The folder of the container whose network this one shares: its files are this one's, too.
fn network_folder(folder: &Path, options: &ContainerOptions) -> Option<PathBuf> {
    let id = options.network.as_deref()?.strip_prefix("container:")?;
    Some(folder.with_file_name(id))
}

/// The host name of the container whose network or UTS namespace this one shares.
pub(super) fn shared_hostname(folder: &Path, options: &ContainerOptions) -> Option<String> {
    let of = |mode: &Option<String>| mode.as_deref()?.strip_prefix("container:").map(|id| folder.with_file_name(id));
    let other = of(&options.uts).or_else(|| of(&options.network))?;
    let text = std::fs::read_to_string(other.join(HOSTNAME)).ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Which of them the container gets: (file of the container's folder, path in the container).
pub(super) fn files(folder: &Path, options: &ContainerOptions) -> Vec<(PathBuf, String)> {
    let network = network_folder(folder, options);
    let shared = |name: &str| network.iter().map(|n| n.join(name)).find(|file| file.exists());
    let own = |name: &str| shared(name).unwrap_or_else(|| folder.join(name));
    let mut files = vec![
        (own(RESOLV_CONF), "/etc/resolv.conf".to_owned()),
        (folder.join(CONTAINERENV), "/run/.containerenv".to_owned()),
    ];
    if !options.no_hosts {
        files.push((own(HOSTS), "/etc/hosts".to_owned()));
    }
    if !options.no_hostname {
        files.push((folder.join(HOSTNAME), "/etc/hostname".to_owned()));
    }
    let taken = |target: &str| options.mounts.iter().any(|m| m.target == target);
    files.retain(|(_, target)| !taken(target));
    files
}

/// The /etc/hosts of a container's root, as the image or an earlier run left it; empty if there is none. It is read by a child
/// process in a user namespace of the container's map: this one's rights on the host are not for a stranger's paths.
///
/// Errors: `Denied` for what is no small regular file.
pub(super) fn hosts_of(root: &Root, map: &IdMap) -> Result<String> {
    let read = || users::read(view::root(root, Access::Read)?.as_fd(), "/etc/hosts");
    Job::in_new(map, Keep(&[]), read)?.wait()
}

/// Writes all of them; `of_image` finds what the container's root has as /etc/hosts.
pub(super) fn write(
    folder: &Path,
    options: &ContainerOptions,
    facts: &Facts,
    of_image: impl FnOnce() -> Result<String>,
) -> Result<()> {
    let host_network = !compose::own_network(options);
    let base = match &options.hosts_file {
        Some(HostsBase::None) => Some(with_localhost(String::new())),
        Some(HostsBase::Image) => Some(with_localhost(of_image().doing(|| "--hosts-file")?)),
        Some(HostsBase::File(file)) => Some(with_localhost(fsx::read_to_string(file).doing(|| "--hosts-file")?)),
        None if host_network => Some(std::fs::read_to_string("/etc/hosts").unwrap_or_default()),
        None => None,
    };
    let hostname = compose::hostname(options, facts).unwrap_or_default();
    let hosts = etcfiles::hosts(&Hosts {
        host_file: base.as_deref(),
        hostname: &hostname,
        added: &options.add_hosts,
        host_gateway: host_network.then_some("127.0.0.1"),
    })?;
    let resolv = etcfiles::resolv_conf(&Resolv {
        host_file: &std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
        servers: &options.dns,
        search: &options.dns_search,
        options: &options.dns_options,
        host_network,
    })?;
    put(&folder.join(HOSTS), &hosts)?;
    put(&folder.join(HOSTNAME), &format!("{hostname}\n"))?;
    put(&folder.join(RESOLV_CONF), &resolv)?;
    put(&folder.join(CONTAINERENV), "engine=\"runr\"\nrootless=1\n")
}

/// Programs rely on that name, whatever the user's own base of /etc/hosts leaves out.
fn with_localhost(mut text: String) -> String {
    if text.lines().any(|l| l.split('#').next().unwrap_or("").split_whitespace().skip(1).any(|n| n == "localhost")) {
        return text;
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text + "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
}

/// A new file, or one in the old one's place: a former run may have given that to another owner, or taken its mode away.
fn put(path: &Path, text: &str) -> Result<()> {
    match std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).doing(|| format!("write `{}`", path.display())),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            fsx::write_atomic(path, text.as_bytes(), Durability::Cached)
        }
        Err(e) => Err(e).doing(|| format!("write `{}`", path.display())),
    }
}
