//! What a container's process will do, from its record and the store: for the first start and for every later one, which may
//! come after a reboot, with a newer runr, and when the image has lost its name.
//!
//! The record is the only source of what was asked for, and it pins the image's layers. What depends on the machine (its
//! name, /etc/resolv.conf, the time zone's file) is looked up anew at each start.

use super::volumes::{self, Places};
use super::{accounts, devices, generated, joins, layers};
use crate::base::fsx;
use crate::base::progress::{Event, Progress};
use crate::base::{Doing, Error, Kind, Result};
use crate::image::Digest;
use crate::rootfs::accounts::Accounts;
use crate::rootfs::assemble::{self, Stack};
use crate::rootfs::flatten;
use crate::runtime::caps::CapSets;
use crate::runtime::cgroup;
use crate::runtime::plan::{Extras, Plan, Root};
use crate::spec::compose::{self, Composed, Facts};
use crate::spec::options::{ContainerOptions, MountKind};
use crate::state::containers::FRESH_UPPER;
use crate::state::record::ContainerRecord;
use crate::store::Store;
use crate::store::layers::derived;
use crate::store::lease::Lease;
use crate::userns::IdMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The part of a plan that needs no file of the container's: made before a container, so that one which can't be started is
/// not made.
#[derive(Debug)]
pub struct Draft {
    composed: Composed,
    facts: Facts,
    user: String,
    accounts: Option<Accounts>,
    devices: Vec<(PathBuf, String)>,
}

impl Draft {
    /// From the record; `folder` is where the container's files are or will be, `volumes` where its volumes are.
    ///
    /// Errors: `Usage` for options that contradict each other, the image or this machine.
    pub fn new(record: &ContainerRecord, folder: &Path, volumes: Places) -> Result<Self> {
        let options = &record.options;
        bind_sources(options)?;
        let facts = facts(record, folder, volumes)?;
        let composed = compose::compose(&record.execution, options, &facts)?;
        let user = user(options, composed.user.clone());
        let home = composed.spec.process().as_ref().map_or_else(|| "/".into(), |p| p.cwd().to_string_lossy());
        let accounts = accounts::accounts(options, &user, &home)?;
        let devices = devices::given(&options.devices)?;
        Ok(Self { facts, user, accounts, composed, devices })
    }

    /// Who the command runs as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The whole plan. Writes the files that are put over the image's into the container's folder.
    pub fn finish(
        self,
        store: &Store,
        record: &ContainerRecord,
        folder: &Path,
        stack: Option<Stack>,
        progress: &dyn Progress,
    ) -> Result<Plan> {
        let options = &record.options;
        let root = match (&record.rootfs, stack) {
            (Some(path), _) => Root::Dir(path.clone()),
            (None, Some(stack)) => image_root(store, stack, folder, &record.map, progress)?,
            (None, None) => return Err(Error::new(Kind::Bug, "an image without its layers")),
        };
        generated::write(folder, options, &self.facts, || generated::hosts_of(&root, &record.map))?;
        let extras = Extras {
            map: record.map.clone(),
            hides_user: options.hides_user(),
            root,
            staging: folder.join("root"),
            user: self.user,
            user_capabilities: CapSets::from_oci(&self.composed.user_capabilities),
            groups: options.groups.clone(),
            init: options.init && options.init_path.is_none(),
            devices: self.devices,
            accounts: self.accounts,
            joins: joins::joins(options),
        };
        Plan::new(&self.composed.spec, extras)
    }
}

/// The plan of a container that exists. Layers that are not there any more are unpacked again; call it before threads exist.
///
/// Errors: `NotFound` when a layer is gone and the store can't make it again; those of [`Draft`].
pub fn plan(store: &Store, record: &ContainerRecord, folder: &Path, progress: &dyn Progress) -> Result<Plan> {
    let draft = Draft::new(record, folder, volumes::places(store, &record.options)?)?;
    if joins::map(store, &record.options)?.is_some_and(|map| map != record.map) {
        return Err(Error::conflict("the namespaces to join map other ids than when the container was made"));
    }
    let stack = match &record.image {
        Some(image) => {
            let layers = layers::ensure_recorded(store, image, &record.map, progress)?;
            Some(assemble::stack(store, &layers, &record.map)?)
        }
        None => None,
    };
    draft.finish(store, record, folder, stack, progress)
}

/// Keeps an image's layers, and what is made of them, from being collected until a record names them.
pub(super) fn lease(store: &Store, diff_ids: &[Digest]) -> Result<Lease> {
    let derived: Vec<Digest> = derived(diff_ids).ids().collect();
    store.lease(diff_ids.iter().chain(&derived))
}

/// An overlay over the image's layers; where the file system or the kernel refuses that, a copy of what they show.
pub(super) fn image_root(
    store: &Store,
    stack: Stack,
    folder: &Path,
    map: &IdMap,
    progress: &dyn Progress,
) -> Result<Root> {
    let copy = folder.join(Root::COPY);
    let (upper, work) = (folder.join("upper"), folder.join("work"));
    // Later on the owner and mode of `/` are the container's own doing.
    let fresh = is_fresh(&upper)?;
    // Once a copy, always one: its changes are in it.
    if !copy.exists() && store.file_system(map)?.overlay_upper {
        let Stack { lowers, root_like } = stack;
        return Ok(Root::Overlay { lowers, upper, work, root_like: fresh.then_some(root_like) });
    }
    if !copy.exists() {
        progress.event(Event::Warning(Root::COPIED.to_owned()));
        let stack = if fresh { stack } else { stack.below(upper) };
        flatten::copy_stack(&stack, &copy, map)?;
    }
    Ok(Root::Dir(copy))
}

/// True for an upper folder that no container has used.
pub(super) fn is_fresh(upper: &Path) -> Result<bool> {
    let meta = upper.symlink_metadata().doing(|| format!("look at `{}`", upper.display()))?;
    Ok(meta.permissions().mode() & 0o7777 == FRESH_UPPER)
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

/// `-v` makes a missing folder, as docker does; `--mount` refuses.
fn bind_sources(options: &ContainerOptions) -> Result<()> {
    if let Some(init) = &options.init_path {
        let doing = || format!("--init-path: look at `{}`", init.display());
        if !init.metadata().doing(doing).map_err(|e| e.with_kind(Kind::Usage))?.is_file() {
            return Err(Error::usage(format!("--init-path: `{}` is no file", init.display())));
        }
    }
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

fn facts(record: &ContainerRecord, folder: &Path, volumes: Places) -> Result<Facts> {
    let options = &record.options;
    Ok(Facts {
        id: record.id.clone(),
        host_hostname: nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned(),
        generated: generated::files(folder, options),
        volumes,
        tty_group: record.map.host_gid(crate::spec::defaults::TTY_GID).is_some(),
        cgroup2: cgroup::has_cgroup2(),
        host_mqueue: Path::new("/dev/mqueue").is_dir(),
        last_capability: crate::sys::caps::last(),
        kernel: kernel_version(),
        seccomp: seccomp_profile(record)?,
        shared_hostname: generated::shared_hostname(folder, options),
        zone_file: options.tz.as_deref().map(zone_file).transpose()?,
    })
}

/// The label that podman reads with `--seccomp-policy image`.
const SECCOMP_LABEL: &str = "io.containers.seccomp.profile";

/// The text of the profile that the user names.
fn seccomp_profile(record: &ContainerRecord) -> Result<Option<String>> {
    match record.options.security.seccomp.as_deref() {
        None if record.options.seccomp_from_image => Ok(record.execution.labels.get(SECCOMP_LABEL).cloned()),
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
