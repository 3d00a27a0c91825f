//! A container from an image (or a folder) and options: its folder on disk and the plan of its process.

use super::layers;
use crate::base::fsx::{self, Durability};
use crate::base::progress::{Event, Progress};
use crate::base::{Doing, Error, Kind, Result};
use crate::image::Digest;
use crate::image::config::Execution;
use crate::rootfs::assemble::{self, Stack};
use crate::rootfs::etcfiles::{self, Hosts, Resolv};
use crate::rootfs::flatten;
use crate::runtime::caps::CapSets;
use crate::runtime::cgroup;
use crate::runtime::plan::{Extras, Plan, Root};
use crate::spec::compose::{self, Facts};
use crate::spec::options::{ContainerOptions, MountKind};
use crate::state::record::{ContainerRecord, ImageUse, VERSION};
use crate::state::{Containers, NewContainer};
use crate::store::layers::derived;
use crate::store::lease::Lease;
use crate::store::{Image, Store};
use crate::unpack::Limits;
use crate::userns::IdMap;
use std::path::{Path, PathBuf};

/// What the container's root is made from.
#[derive(Debug)]
pub enum Base<'a> {
    /// An image in the store, and the word the user called it by.
    Image(&'a Image, &'a str),
    /// A folder of the host.
    Folder(&'a Path),
}

/// A container that is ready to be started.
#[derive(Debug)]
pub struct Created {
    /// On disk, locked.
    pub container: NewContainer,
    /// What its process will do.
    pub plan: Plan,
}

/// Makes a container.
pub fn create(
    store: &Store,
    base: &Base<'_>,
    options: ContainerOptions,
    map: &IdMap,
    progress: &dyn Progress,
) -> Result<Created> {
    let plain = Execution::default();
    let image = match base {
        Base::Image(image, _) => &image.config.config,
        Base::Folder(_) => &plain,
    };
    let command = compose::command(image, &options)?;
    bind_sources(&options)?;
    // Until the record is written nothing tells `rmi` that the layers are needed.
    let _lease = match base {
        Base::Image(image, _) => Some(lease(store, &image.config.rootfs.diff_ids)?),
        Base::Folder(_) => None,
    };
    let stack = match base {
        Base::Image(image, _) => {
            let layers = layers::ensure(store, image, map, Limits::default(), progress)?;
            Some(assemble::stack(store, &layers, map)?)
        }
        Base::Folder(_) => None,
    };
    let record = record(base, &options, command, map)?;
    // A record that goes with its container need not survive a power cut.
    let durability = if options.remove { Durability::Cached } else { Durability::Synced };
    let folder = store.paths().container(&record.id);
    let facts = facts(&record.id, &options, map, &folder)?;
    let container = Containers::new(store.paths())
        .create(record, durability, |making, _| write_generated(making, &options, &facts))?;
    let composed = compose::compose(image, &options, &facts)?;
    let root = match (base, stack) {
        (Base::Folder(path), _) => Root::Dir(path.to_path_buf()),
        (Base::Image(..), Some(stack)) => image_root(store, stack, &folder, map, progress)?,
        (Base::Image(..), None) => return Err(Error::new(Kind::Bug, "an image without its layers")),
    };
    let devices = options.devices.iter().map(|d| (d.host.clone(), d.container.clone())).collect();
    let extras = Extras {
        map: map.clone(),
        root,
        staging: folder.join("root"),
        user: user(&options, composed.user.clone()),
        user_capabilities: CapSets::from_oci(&composed.user_capabilities),
        groups: options.groups.clone(),
        init: options.init,
        devices,
    };
    Ok(Created { container, plan: Plan::new(&composed.spec, extras)? })
}

/// Leases an image's layers and what is made of them.
fn lease(store: &Store, diff_ids: &[Digest]) -> Result<Lease> {
    let derived: Vec<Digest> = derived(diff_ids).ids().collect();
    store.lease(diff_ids.iter().chain(&derived))
}

/// An overlay over the image's layers; where the file system or the kernel refuses that, a copy of what they show.
fn image_root(store: &Store, stack: Stack, folder: &Path, map: &IdMap, progress: &dyn Progress) -> Result<Root> {
    if store.file_system(map)?.overlay_upper {
        let Stack { lowers, root_like } = stack;
        let (upper, work) = (folder.join("upper"), folder.join("work"));
        return Ok(Root::Overlay { lowers, upper, work, root_like: Some(root_like) });
    }
    let warning = "overlay is refused here, so the container gets a copy of the image's files";
    progress.event(Event::Warning(warning.to_owned()));
    let copy = folder.join("copy");
    fsx::create_dir(&copy, 0o755)?;
    flatten::copy_stack(&stack, &copy, map)?;
    Ok(Root::Dir(copy))
}

/// With `--userns keep-id` the command runs as the kept user unless `--user` says otherwise, whatever the image says: that
/// is what the mode is for (podman).
fn user(options: &ContainerOptions, composed: String) -> String {
    let kept = options.userns.as_deref().filter(|mode| options.user.is_none() && mode.starts_with("keep-id"));
    match kept.map(super::idmap::kept_ids) {
        Some(Ok((uid, gid))) => format!("{uid}:{gid}"),
        _ => composed,
    }
}

fn record(base: &Base<'_>, options: &ContainerOptions, command: Vec<String>, map: &IdMap) -> Result<ContainerRecord> {
    let (image, rootfs) = match base {
        Base::Image(image, typed) => {
            let used = ImageUse {
                name: (*typed).to_owned(),
                id: image.id.clone(),
                manifest: image.entry.manifest.digest.clone(),
                layers: image.config.rootfs.diff_ids.clone(),
            };
            (Some(used), None)
        }
        Base::Folder(path) => (None, Some(path.to_path_buf())),
    };
    let image_signal = match base {
        Base::Image(image, _) => image.config.config.stop_signal.clone(),
        Base::Folder(_) => None,
    };
    Ok(ContainerRecord {
        version: VERSION,
        id: Containers::new_id()?,
        name: options.name.clone().unwrap_or_default(),
        created: jiff::Timestamp::now().to_string(),
        image,
        rootfs,
        command,
        options: options.clone(),
        map: map.clone(),
        stop_signal: options.stop_signal.clone().or(image_signal),
    })
}

/// `-v` makes a missing folder, as docker does; `--mount` refuses.
fn bind_sources(options: &ContainerOptions) -> Result<()> {
    for mount in &options.mounts {
        let MountKind::Bind { source, create } = &mount.kind else { continue };
        match source.symlink_metadata() {
            Ok(_) => {}
            Err(e) if *create && e.kind() == std::io::ErrorKind::NotFound => fsx::ensure_dir_all(source, 0o755)?,
            Err(e) => {
                let missing = e.kind() == std::io::ErrorKind::NotFound;
                let e = Error::from(e).step(format!("bind source path `{}`", source.display()));
                return Err(if missing { e.with_kind(Kind::Usage) } else { e });
            }
        }
    }
    Ok(())
}

/// Files that are put over the image's, written before the container appears.
const HOSTS: &str = "hosts";
const HOSTNAME: &str = "hostname";
const RESOLV_CONF: &str = "resolv.conf";
const CONTAINERENV: &str = "containerenv";

fn facts(id: &str, options: &ContainerOptions, map: &IdMap, folder: &Path) -> Result<Facts> {
    let mut generated = vec![
        (folder.join(RESOLV_CONF), "/etc/resolv.conf".to_owned()),
        (folder.join(CONTAINERENV), "/run/.containerenv".to_owned()),
    ];
    if !options.no_hosts {
        generated.push((folder.join(HOSTS), "/etc/hosts".to_owned()));
    }
    if !options.no_hostname {
        generated.push((folder.join(HOSTNAME), "/etc/hostname".to_owned()));
    }
    let taken = |target: &str| options.mounts.iter().any(|m| m.target == target);
    generated.retain(|(_, target)| !taken(target));
    Ok(Facts {
        id: id.to_owned(),
        host_hostname: nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned(),
        generated,
        volumes: Default::default(),
        tty_group: map.host_gid(crate::spec::defaults::TTY_GID).is_some(),
        cgroup2: cgroup::has_cgroup2(),
        host_mqueue: Path::new("/dev/mqueue").is_dir(),
        last_capability: crate::sys::caps::last(),
        kernel: kernel_version(),
        seccomp: seccomp_profile(options)?,
        zone_file: options.tz.as_deref().map(zone_file).transpose()?,
    })
}

/// The text of the profile that the user names.
fn seccomp_profile(options: &ContainerOptions) -> Result<Option<String>> {
    match options.security.seccomp.as_deref() {
        None | Some("unconfined") => Ok(None),
        Some(file) => fsx::read_to_string(Path::new(file)).map(Some),
    }
}

fn kernel_version() -> (u32, u32) {
    let release = nix::sys::utsname::uname().map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default();
    crate::spec::seccomp::kernel_version(&release).unwrap_or((0, 0))
}

fn zone_file(zone: &str) -> Result<PathBuf> {
    if zone == "local" {
        return Ok(PathBuf::from("/etc/localtime"));
    }
    let path = Path::new("/usr/share/zoneinfo").join(zone);
    let inside = !zone.starts_with('/') && !zone.split('/').any(|part| part == "..");
    if inside && path.is_file() { Ok(path) } else { Err(Error::usage(format!("`--tz {zone}`: unknown time zone"))) }
}

fn write_generated(making: &Path, options: &ContainerOptions, facts: &Facts) -> Result<()> {
    let write = |name: &str, text: &str| {
        let path = making.join(name);
        std::fs::write(&path, text).doing(|| format!("write `{}`", path.display()))
    };
    let host_network = !compose::own_network(options);
    let host_hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let hostname = compose::hostname(options, facts).unwrap_or_default();
    let hosts = etcfiles::hosts(&Hosts {
        host_file: host_network.then_some(host_hosts.as_str()),
        hostname: &hostname,
        added: &options.add_hosts,
        host_gateway: host_network.then_some("127.0.0.1"),
    })?;
    write(HOSTS, &hosts)?;
    write(HOSTNAME, &format!("{hostname}\n"))?;
    let resolv = etcfiles::resolv_conf(&Resolv {
        host_file: &std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
        servers: &options.dns,
        search: &options.dns_search,
        options: &options.dns_options,
        host_network,
    })?;
    write(RESOLV_CONF, &resolv)?;
    write(CONTAINERENV, "engine=\"runr\"\nrootless=1\n")
}
