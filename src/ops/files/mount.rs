//! `mount`: a container's root filesystem as a folder of this machine, for as long as this mount namespace lives.
//!
//! That takes root of a user namespace with the container's ids: real root, or whoever is inside `runr unshare`. A running
//! container's files can be read there, a stopped one's also be changed.

use super::{is_root_of, layers_of};
use crate::base::progress::Progress;
use crate::base::{Doing, Error, Kind, Result, fsx};
use crate::ops::plan;
use crate::ops::start::{self, Taken};
use crate::rootfs::assemble::{self, Stack};
use crate::runtime::plan::Root;
use crate::runtime::view::{self, Access};
use crate::state::containers::{Container, short};
use crate::state::events::{self, Event};
use crate::state::{ContainerRecord, Containers, Entry};
use crate::store::Store;
use crate::store::trash::MOUNT;
use crate::sys::mount::{is_mount_point, overlay_is_written_by};
use nix::mount::{MntFlags, umount2};
use std::path::{Path, PathBuf};

/// A mounted container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Full id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The image, as the user called it.
    pub image: String,
    /// Where its files are.
    pub path: PathBuf,
}

fn place(container: &Container) -> PathBuf {
    container.folder.join(MOUNT)
}

fn describe(container: &Container) -> Mounted {
    Mounted {
        id: container.record.id.clone(),
        name: container.record.name.clone(),
        image: container.record.image.as_ref().map(|i| i.name.clone()).unwrap_or_default(),
        path: place(container),
    }
}

/// Mounts a container; one that is mounted already stays so.
///
/// Errors: `NotFound`; `Denied` outside a user namespace with the container's ids.
pub fn mount(store: &Store, word: &str, progress: &dyn Progress) -> Result<Mounted> {
    let container = Containers::new(store.paths()).find(word)?;
    let at = place(&container);
    if is_mount_point(&at)? {
        return Ok(describe(&container));
    }
    if !is_root_of(&container.record.map)? {
        let text =
            format!("container `{}` can only be mounted by root of its user namespace", short(&container.record.id));
        return Err(Error::new(Kind::Denied, text).hint("run it inside `runr unshare`"));
    }
    // Nobody starts or removes a stopped one until it is mounted, and nobody starts it while it is.
    let (access, _lock) = match start::take(store, word)? {
        Taken::Running(_) => (Access::Read, None),
        Taken::Stopped(new) => {
            refuse_mounted(&new.record, &new.folder)?;
            (Access::Write, Some(new))
        }
    };
    let root = root(store, &container, progress)?;
    fsx::ensure_dir(&at, 0o755)?;
    view::attach(&root, access, &at)?;
    events::append(store.paths(), &Event::of(&container.record, "mount"));
    Ok(describe(&container))
}

/// The root filesystem, as a start makes it; nothing is tried out here, where it may be forbidden.
fn root(store: &Store, container: &Container, progress: &dyn Progress) -> Result<Root> {
    let Container { record, folder, .. } = container;
    let copy = folder.join("copy");
    match &record.rootfs {
        Some(path) => return Ok(Root::Dir(path.clone())),
        None if copy.exists() => return Ok(Root::Dir(copy)),
        None => {}
    }
    let layers = layers_of(store, record, progress)?;
    let Stack { lowers, root_like } = assemble::stack(store, &layers, &record.map)?;
    let (upper, work) = (folder.join("upper"), folder.join("work"));
    let root_like = plan::is_fresh(&upper)?.then_some(root_like);
    Ok(Root::Overlay { lowers, upper, work, root_like })
}

/// Two mounts that write to one folder of changes are nothing that the kernel can make sense of: it lets both be, and says so in its
/// log alone. The caller holds the container's lock, and so does whoever mounts it.
///
/// No record is kept of mounts, since none would be right: they end with their namespace. The folder they need is the record,
/// and the mounts themselves are asked for when it is there.
///
/// Errors: `Conflict` for a container that is mounted, here or in the mount namespace of another process in sight.
pub(in crate::ops) fn refuse_mounted(record: &ContainerRecord, folder: &Path) -> Result<()> {
    // A folder of its own may have any number of mounts. Most often there is no folder to be a mount point, and no file to read.
    let at = folder.join(MOUNT);
    if record.rootfs.is_some() || !at.exists() {
        return Ok(());
    }
    let id = short(&record.id);
    if is_mount_point(&at)? {
        let text = format!("container `{id}` is mounted, and so could be changed by two at once");
        return Err(Error::conflict(text).hint(format!("unmount it first: `runr unmount {}`", record.name)));
    }
    // An id is nobody else's, and the store may be seen elsewhere in another mount namespace.
    if let Some(pid) = overlay_is_written_by(&Path::new(&record.id).join("upper")) {
        let text =
            format!("container `{id}` is mounted where process {pid} is, and so could be changed by two at once");
        let hint = format!("unmount it there with `runr unmount {}`, or end that process", record.name);
        return Err(Error::conflict(text).hint(hint));
    }
    // A namespace that no process is in loses it with the folder (Linux 3.18 on: `detach_mounts` in fs/namespace.c).
    drop(std::fs::remove_dir(&at));
    Ok(())
}

/// All containers that are mounted in this mount namespace.
pub fn mounted(store: &Store) -> Result<Vec<Mounted>> {
    let mut found = Vec::new();
    for entry in Containers::new(store.paths()).list()? {
        if let Entry::Good(container) = entry
            && is_mount_point(&place(&container))?
        {
            found.push(describe(&container));
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Unmounts a container; `force` also while somebody uses its files. Returns its id.
///
/// Errors: `NotFound`; `Conflict` when it is not mounted or in use.
pub fn unmount(store: &Store, word: &str, force: bool) -> Result<String> {
    let container = Containers::new(store.paths()).find(word)?;
    let at = place(&container);
    if !is_mount_point(&at)? {
        return Err(Error::conflict(format!("container `{word}` is not mounted")));
    }
    let flags = if force { MntFlags::MNT_DETACH } else { MntFlags::UMOUNT_NOFOLLOW };
    match umount2(&at, flags) {
        Err(nix::errno::Errno::EBUSY) => {
            return Err(Error::conflict(format!("container `{word}` is in use"))
                .hint(format!("`runr unmount -f {word}` takes its files away all the same")));
        }
        other => other.doing(|| format!("unmount `{}`", at.display()))?,
    }
    // Still a mount point in another mount namespace, perhaps.
    drop(std::fs::remove_dir(&at));
    events::append(store.paths(), &Event::of(&container.record, "unmount"));
    Ok(container.record.id)
}
