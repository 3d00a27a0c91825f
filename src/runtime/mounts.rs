//! Builds the container's file tree: the root, the mounts of the plan, /dev, masked and read-only paths; then enters it.
//!
//! All happens while the host's tree is still there, through descriptors: a target is looked up once, below the root's
//! descriptor with `openat2(RESOLVE_IN_ROOT)`, and the mount is attached to that very descriptor. A symlink in an image,
//! also one that somebody swaps meanwhile, can lead to another place of the same root and nowhere else (CVE-2021-30465).

use super::mount_options::MountOptions;
use super::plan::{MountSource, MountStep, Plan};
use super::sources::Sources;
use super::tree;
use crate::base::{Doing, Error, Kind, Result};
use crate::rootfs::users::{self, User};
use crate::spec::defaults;
use crate::sys::fs::open_in_root;
use crate::sys::mount::{FsContext, attr, clone_tree, move_mount, pivot_root_here, set_attributes};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag};
use nix::mount::MsFlags;
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Builds everything and returns a descriptor of the container's root, and who the command is. `shm` is the /dev/shm of another container's. `notes` get what had to be given up.
pub(super) fn build(
    plan: &Plan,
    mut shm: Option<OwnedFd>,
    sources: &mut Sources,
    notes: &mut Vec<String>,
) -> Result<(OwnedFd, User)> {
    let none: Option<&str> = None;
    // Mounts of the host still arrive (an `rslave` bind needs that); none of ours ever leaves.
    nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none).doing(|| "unshare the mount tree")?;
    let root = mount_root(plan, sources, notes)?;
    super::accounts::prepare(&root, plan)?;
    for step in &plan.mounts {
        if step.target == "/dev/shm"
            && let Some(mount) = shm.take()
        {
            share_memory(&root, mount)?;
            continue;
        }
        mount_step(&root, step, &plan.process.user, sources, notes)
            .map_err(|e| e.step(format!("mount `{}`", step.target)))?;
        // A /dev of the user's (`-v /dev:/dev`) is as it is.
        if step.target == "/dev" && matches!(step.source, MountSource::Filesystem(_)) {
            fill_dev(&root)?;
        }
    }
    for (host, target) in &plan.devices {
        bind_device(&root, host, target)?;
    }
    write_sysctls(&root, plan)?;
    for path in &plan.read_only {
        make_read_only(&root, path).map_err(|e| e.step(format!("make `{path}` read-only")))?;
    }
    // Before the files that name users may be hidden, as with podman.
    let user = users::resolve(root.as_fd(), &plan.process.user, &plan.process.groups)?;
    mask(&root, &plan.masked)?;
    Ok((root, user))
}

/// Makes the container's root `/` and drops the host's tree.
pub(super) fn enter(root: &OwnedFd, plan: &Plan) -> Result<()> {
    nix::unistd::fchdir(root).doing(|| "enter the container's root")?;
    if plan.root_read_only {
        set_attributes(root, attr::RDONLY, 0, 0, false).doing(|| "make the container's root read-only")?;
    }
    pivot_root_here()?;
    nix::unistd::chdir("/").doing(|| "enter the container's root")
}

fn mount_root(plan: &Plan, sources: &mut Sources, notes: &mut Vec<String>) -> Result<OwnedFd> {
    let mount = sources.root(plan, notes)?;
    let staging = sources.staging(plan);
    move_mount(&mount, tree::open_path(staging)?)
        .doing(|| format!("mount the root filesystem at `{}`", staging.display()))?;
    Ok(mount)
}

/// Attaches another container's /dev/shm, with what it may have changed about its mount set right.
fn share_memory(root: &OwnedFd, mount: OwnedFd) -> Result<()> {
    set_attributes(&mount, attr::NOSUID | attr::NODEV | attr::NOEXEC, 0, libc::MS_PRIVATE, false)?;
    let target = tree::ensure_dir(root, "/dev/shm", true)?;
    move_mount(&mount, &target).doing(|| "share /dev/shm")
}

fn mount_step(
    root: &OwnedFd,
    step: &MountStep,
    user: &str,
    sources: &mut Sources,
    notes: &mut Vec<String>,
) -> Result<()> {
    match &step.source {
        MountSource::Bind(source) => {
            let mount = sources.tree(source, step.options.recursive)?;
            if step.options.give_away {
                give_away(root, &mount, user)?;
            }
            bind(root, source, mount, &step.target, &step.options)
        }
        MountSource::Filesystem(kind) => {
            // These three decide what the kernel shows; an image must not move them elsewhere with a link.
            let fixed = matches!(*kind, "proc" | "sysfs") || step.target == "/dev";
            let target = tree::ensure_dir(root, &step.target, fixed)?;
            // A root that is in use (`--rootfs /`) has its own at /proc.
            if step.target != "/proc" {
                check_place(root, &target, &step.target)?;
            }
            let mounted = filesystem(kind, &step.options, &step.target);
            match (mounted, *kind) {
                (Ok(mount), _) => {
                    move_mount(&mount, &target)?;
                    if step.options.copy_up {
                        tree::copy_up(&target, &mount)?;
                    }
                    if step.options.give_away {
                        give_away(root, &mount, user)?;
                    }
                    Ok(())
                }
                // Where the host's own /proc or /sys is partly hidden, the kernel refuses a complete new one ("mount too
                // revealing"): the host's, as far as it is visible, is better than none.
                (Err(e), "sysfs") if e.errno() == Some(Errno::EPERM) => bind_read_only(Path::new("/sys"), &target),
                // A hierarchy that this machine does not have, or does not give to a user namespace.
                (Err(_), "cgroup2") => Ok(()),
                (Err(e), "proc") if e.errno() == Some(Errno::EPERM) => {
                    notes.push("this machine hides parts of /proc, so the container sees the host's /proc".to_owned());
                    let mount = clone_tree(AT_FDCWD, Path::new("/proc"), true)?;
                    set_attributes(&mount, attr::NOSUID | attr::NODEV | attr::NOEXEC, 0, libc::MS_PRIVATE, true)?;
                    move_mount(&mount, &target)
                }
                (Err(e), _) => Err(e),
            }
        }
    }
}

/// Gives what is mounted, with all in it, to the container's user.
fn give_away(root: &OwnedFd, mount: &OwnedFd, user: &str) -> Result<()> {
    let user = users::resolve(root.as_fd(), user, &[])?;
    tree::give_away(mount, user.uid, user.gid)
}

/// Refuses a place that a link of the image's has led to where nothing may be mounted: into /proc, since what stands there
/// decides which limits of the container hold (CVE-2023-27561), and the root itself, since its first process would be below that
/// mount and whoever joins it above. The few files in /proc that may be covered are named as such and were checked by
/// `spec::validate`.
fn check_place(root: &OwnedFd, place: &OwnedFd, target: &str) -> Result<()> {
    if tree::is_same(root, place)? {
        return Err(Error::new(
            Kind::Denied,
            "a link in the image leads to its root, over which nothing may be mounted",
        ));
    }
    if !target.starts_with("/proc/") && tree::is_procfs(place)? {
        return Err(Error::new(Kind::Denied, "a link in the image leads into /proc, where nothing may be mounted"));
    }
    Ok(())
}

fn filesystem(kind: &'static str, options: &MountOptions, target: &str) -> Result<OwnedFd> {
    let context = FsContext::open(kind)?;
    context.string("source", if target == "/dev/shm" { "shm" } else { kind })?;
    for (key, value) in &options.data {
        match value {
            Some(value) => context.string(key, value)?,
            // Since Linux 4.7 every devpts mount is an instance of its own, and the word is not an option any more.
            None if key == "newinstance" => {}
            None => context.flag(key)?,
        }
    }
    context.mount(options.set)
}

/// The host's `path` and all below it, read-only: `mount_setattr` can do that recursively where a remount cannot.
fn bind_read_only(path: &Path, target: &OwnedFd) -> Result<()> {
    let mount = clone_tree(AT_FDCWD, path, true)?;
    let set = attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC;
    set_attributes(&mount, set, 0, libc::MS_PRIVATE, true)?;
    move_mount(&mount, target)
}

fn bind(root: &OwnedFd, source: &Path, mount: OwnedFd, target: &str, options: &MountOptions) -> Result<()> {
    let folder = tree::is_dir(&mount)?;
    let place = if folder { tree::ensure_dir(root, target, false)? } else { tree::ensure_file(root, target)? };
    check_place(root, &place, target)?;
    // Private unless asked for: a mount in the container must not appear on the host, nor the reverse.
    let propagation = if options.propagation == 0 { libc::MS_PRIVATE } else { options.propagation };
    let reach = options.propagation == 0 || options.recursive_propagation;
    set_attributes(&mount, 0, 0, propagation, reach)?;
    // Flags that the host set on a mount are locked in a user namespace; asking to clear one is EPERM, so nothing is cleared
    // that was not asked for.
    if options.set | options.clear != 0 {
        let recursive = options.recursive_read_only || (options.recursive && target_is_kernel_tree(source));
        set_attributes(&mount, options.set, options.clear, 0, recursive)?;
    }
    move_mount(&mount, &place)
}

/// /sys and /proc of the host hold many mounts of their own, and a read-only bind of them means all of it.
fn target_is_kernel_tree(source: &Path) -> bool {
    source == Path::new("/sys") || source == Path::new("/proc")
}

/// Device nodes and links of a new /dev. A user namespace cannot make nodes, so the host's are bound.
fn fill_dev(root: &OwnedFd) -> Result<()> {
    for (device, _, _) in defaults::DEVICES {
        bind_device(root, Path::new(device), device)?;
    }
    for (link, target) in defaults::DEV_LINKS {
        tree::symlink(root, target, link)?;
    }
    Ok(())
}

fn bind_device(root: &OwnedFd, host: &Path, target: &str) -> Result<()> {
    let mount = clone_tree(AT_FDCWD, host, false)?;
    let at = tree::ensure_file(root, target)?;
    check_place(root, &at, target)?;
    move_mount(&mount, &at).doing(|| format!("bind device `{}`", host.display()))
}

/// Puts the container's terminal at /dev/console, where programs look for one. The target is made here, in the new /dev,
/// so no link of an image is in the way (CVE-2025-52565).
pub(super) fn bind_console(root: &OwnedFd, slave: &OwnedFd, number: u32) -> Result<()> {
    let terminal = nix::sys::stat::fstat(slave).doing(|| "look at the terminal")?;
    let name = format!("/dev/pts/{number}");
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    let node = open_in_root(root, Path::new(&name), flags, Mode::empty())?;
    let same = nix::sys::stat::fstat(&node).doing(|| "look at the terminal")?;
    if same.st_rdev != terminal.st_rdev {
        return Err(Error::new(Kind::Denied, format!("`{name}` in the container is not its terminal")));
    }
    let mount = clone_tree(node.as_fd(), Path::new(""), false)?;
    let target = tree::ensure_file(root, "/dev/console")?;
    move_mount(&mount, &target).doing(|| "bind /dev/console")
}

/// Writes sysctls through a descriptor of the container's own procfs, which is checked to be one: an image cannot catch the
/// write with a file of its own (CVE-2025-52881).
fn write_sysctls(root: &OwnedFd, plan: &Plan) -> Result<()> {
    for (key, value) in &plan.sysctls {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        let file = open_in_root(root, Path::new(&path), OFlag::O_WRONLY | OFlag::O_NOFOLLOW, Mode::empty())
            .map_err(|e| e.step(format!("set sysctl `{key}`")))?;
        tree::require_procfs(&file).map_err(|e| e.step(format!("set sysctl `{key}`")))?;
        nix::unistd::write(&file, value.as_bytes()).doing(|| format!("set sysctl `{key}` to `{value}`"))?;
    }
    Ok(())
}

/// Binds a path over itself, read-only. A path that does not exist needs no protection.
fn make_read_only(root: &OwnedFd, path: &str) -> Result<()> {
    let Some(target) = tree::open_existing(root, path)? else { return Ok(()) };
    let mount = clone_tree(target.as_fd(), Path::new(""), true)?;
    set_attributes(&mount, attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC, 0, libc::MS_PRIVATE, true)?;
    move_mount(&mount, &target)
}

/// Hides folders behind one empty read-only tmpfs and files behind the host's /dev/null. The null device is checked to be
/// it: a container that shares /dev could have put something else there (CVE-2025-31133).
fn mask(root: &OwnedFd, paths: &[String]) -> Result<()> {
    let mut empty: Option<OwnedFd> = None;
    for path in paths {
        let mut hide = || -> Result<()> {
            let Some(target) = tree::open_existing(root, path)? else { return Ok(()) };
            if tree::is_dir(&target)? {
                let folder = match &empty {
                    Some(first) => clone_tree(first.as_fd(), Path::new(""), false)?,
                    None => empty_folder()?,
                };
                move_mount(&folder, &target)?;
                if empty.is_none() {
                    empty = Some(folder);
                }
                return Ok(());
            }
            let null = tree::open_path(Path::new("/dev/null"))?;
            tree::require_device(&null, 1, 3)?;
            let mount = clone_tree(null.as_fd(), Path::new(""), false)?;
            move_mount(&mount, &target)
        };
        hide().map_err(|e| e.step(format!("mask `{path}`")))?;
    }
    Ok(())
}

fn empty_folder() -> Result<OwnedFd> {
    let context = FsContext::open("tmpfs")?;
    context.string("mode", "0555")?;
    context.string("size", "0")?;
    context.string("nr_inodes", "1")?;
    context.mount(attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC)
}
