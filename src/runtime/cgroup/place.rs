//! Where a container's cgroup is made: below the caller's own where that is delegated to this user, else in a scope of the user's
//! service manager when a limit or the session's end asks for one, else nowhere.
//!
//! cgroups(7), "no internal processes": controllers can be passed on only by a group without processes of its own. So below a
//! delegated group there are two, one for the container and a leaf for those who manage it:
//! ```text
//! runr-<id>.scope           made by systemd, or the group that the caller was started in
//! ├── runr-monitor          the monitor (and the waiting command)
//! └── runr-<id>             the container
//! ```

use super::usable::{self, DELEGATE, log_in};
use super::{Cgroup, apply, mount_root, own_folder};
use crate::base::{Error, Kind, Result};
use crate::runtime::systemd::{self, Scope};
use crate::spec::limits::{CgroupMode, CgroupOptions, Setting};
use crate::sys::xattr;
use nix::errno::Errno;
use nix::unistd::{AccessFlags, Pid, access};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The leaf of those who manage the container.
const LEAF: &str = "runr-monitor";

/// What a container's cgroup must be.
#[derive(Debug)]
pub struct Request<'a> {
    /// Tells it from others.
    pub name: &'a str,
    /// Where the user wants it.
    pub options: &'a CgroupOptions,
    /// The limits' files.
    pub settings: &'a [Setting],
    /// The container is to outlive its caller's session.
    pub detached: bool,
}

impl Cgroup {
    /// Makes the container's cgroup, with its limits; `None` where this user may make none and none is needed. The calling
    /// process may be moved into a cgroup beside it.
    ///
    /// Errors: `Unsupported` when something was asked for that needs a cgroup or a controller that can't be had; the kernel's about
    /// the limits' values.
    pub fn create(request: &Request<'_>) -> Result<Option<Self>> {
        let needed = controllers(request.settings);
        let Some(folder) = folder(request, &needed)? else { return Ok(None) };
        // One that was left by a monitor that was killed.
        drop(std::fs::remove_dir(&folder));
        match std::fs::create_dir(&folder) {
            Ok(()) => {}
            Err(_) if request.settings.is_empty() && request.options.parent.is_none() => return Ok(None),
            Err(e) => return Err(Error::from(e).step(format!("create cgroup `{}`", folder.display()))),
        }
        let cgroup = Self { folder };
        if let Err(e) = apply(cgroup.folder(), request.settings) {
            cgroup.remove();
            return Err(e);
        }
        Ok(Some(cgroup))
    }
}

/// The folder that the cgroup is to be made as; its parent passes the needed controllers on.
fn folder(request: &Request<'_>, needed: &[&str]) -> Result<Option<PathBuf>> {
    let CgroupOptions { parent, mode } = request.options;
    if *mode == CgroupMode::Disabled {
        return Ok(None);
    }
    let leaf = format!("runr-{}", request.name);
    let slice = parent.as_deref().filter(|p| p.ends_with(".slice"));
    if let Some(parent) = parent.as_deref().filter(|_| slice.is_none()) {
        return below_parent(parent, needed).map(|folder| Some(folder.join(leaf)));
    }
    let Some(own) = own_folder() else {
        return nothing(request, needed, "this machine has no cgroup v2, or none that can be seen here");
    };
    if slice.is_none()
        && let Some(found) = delegated(&own, needed, *mode)
    {
        // A session's scope ends with the session, also for root, who may write everywhere.
        if !(request.detached && is_session(&own)) {
            return Ok(Some(found.join(leaf)));
        }
    }
    let wanted = !needed.is_empty() || slice.is_some() || (request.detached && is_session(&own));
    if !wanted || matches!(mode, CgroupMode::NoConmon | CgroupMode::Split) {
        return nothing(request, needed, "the caller's own cgroup is not delegated to this user");
    }
    // The name is unique also for a container that is started again before its old scope is gone.
    let name = format!("runr-{}-{}.scope", request.name, std::process::id());
    match systemd::start(&Scope { name: &name, slice, pid: Pid::this() }) {
        Ok(()) => {}
        Err(e) if needed.is_empty() && slice.is_none() => {
            drop(e);
            return Ok(delegated(&own, needed, *mode).map(|found| found.join(leaf)));
        }
        Err(e) if needed.is_empty() || e.kind() != Kind::Unsupported => return Err(e.hint(log_in())),
        Err(_) => return Err(unavailable(needed)),
    }
    let scope = own_folder().ok_or_else(|| unavailable(needed))?;
    move_aside(&scope)?;
    pass_on_all(&scope);
    match missing(&scope, needed) {
        None => Ok(Some(scope.join(leaf))),
        Some(_) => Err(unavailable_of(&scope, needed)),
    }
}

/// No cgroup: an error when one is needed.
fn nothing(request: &Request<'_>, needed: &[&str], why: &str) -> Result<Option<PathBuf>> {
    let split = request.options.mode == CgroupMode::Split;
    if needed.is_empty() && request.settings.is_empty() && request.options.parent.is_none() && !split {
        return Ok(None);
    }
    if needed.is_empty() {
        return Err(Error::unsupported(format!("no cgroup for the container: {why}")).hint(log_in()));
    }
    Err(unavailable(needed))
}

fn unavailable(needed: &[&str]) -> Error {
    let first = usable::first_missing(needed);
    Error::unsupported(format!("the requested cgroup controller `{first}` is not available"))
        .hint(usable::advice(needed))
}

/// There is a group, and it lacks a controller.
fn unavailable_of(folder: &Path, needed: &[&str]) -> Error {
    let first = missing(folder, needed).unwrap_or("memory");
    Error::unsupported(format!("the requested cgroup controller `{first}` is not available")).hint(DELEGATE)
}

fn controllers(settings: &[Setting]) -> Vec<&str> {
    let mut list: Vec<&str> = settings.iter().map(|s| s.controller.as_str()).filter(|c| !c.is_empty()).collect();
    list.sort_unstable();
    list.dedup();
    list
}

/// `--cgroup-parent`: a path below the mount when it is absolute, else below the caller's delegated group. Made if missing.
fn below_parent(parent: &str, needed: &[&str]) -> Result<PathBuf> {
    let own = || own_folder().map(|own| delegated(&own, needed, CgroupMode::Enabled).unwrap_or(own));
    let base = if parent.starts_with('/') { mount_root() } else { own() };
    let base =
        base.ok_or_else(|| Error::unsupported("this machine has no cgroup v2, or none that can be seen here"))?;
    let folder = base.join(parent.trim_start_matches('/'));
    let refused = |e: std::io::Error| Error::from(e).step(format!("make cgroup `{}`", folder.display())).hint(log_in());
    std::fs::create_dir_all(&folder).map_err(refused)?;
    let missing_ones: Vec<&Path> = folder.strip_prefix(&base).into_iter().flat_map(Path::ancestors).collect();
    // From the top on: a group can pass on only what it has.
    for below in missing_ones.into_iter().rev() {
        let group = base.join(below);
        for controller in needed {
            let _ = pass_on(&group, controller);
        }
    }
    match missing(&folder, needed) {
        None => Ok(folder),
        Some(_) => Err(unavailable_of(&folder, needed)),
    }
}

/// The nearest group from `own` upwards that this user may manage and that passes the needed controllers on, or can be made to.
fn delegated(own: &Path, needed: &[&str], mode: CgroupMode) -> Option<PathBuf> {
    let may = |folder: &Path| access(&folder.join("cgroup.procs"), AccessFlags::W_OK).is_ok();
    if needed.is_empty() && mode != CgroupMode::Split {
        // Without controllers there is no such rule; the child ends with its parent at the latest.
        let own = if own.ends_with(LEAF) { own.parent()? } else { own };
        return may(own).then(|| own.to_owned());
    }
    let root = mount_root()?;
    let candidates: Vec<&Path> = own.ancestors().take_while(|a| a.starts_with(&root) && may(a)).collect();
    let candidates: Vec<&Path> = match mode {
        CgroupMode::Split => candidates.into_iter().take(1).collect(),
        _ => candidates.into_iter().filter(|folder| is_ours(folder, own)).collect(),
    };
    for folder in &candidates {
        needed.iter().for_each(|controller| drop(pass_on(folder, controller)));
        if missing(folder, needed).is_none() && !has_processes(folder) && mode != CgroupMode::Split {
            return Some(folder.to_path_buf());
        }
    }
    // Whoever is in the way is runr itself: nobody else is moved.
    if *candidates.first()? != own || mode == CgroupMode::NoConmon {
        return None;
    }
    if !only_runr(own) {
        return needed.is_empty().then(|| own.to_owned());
    }
    let offers = std::fs::read_to_string(own.join("cgroup.controllers")).ok()?;
    if !needed.iter().all(|n| offers.split_whitespace().any(|o| o == *n)) || move_aside(own).is_err() {
        return None;
    }
    pass_on_all(own);
    missing(own, needed).is_none().then(|| own.to_owned())
}

/// True for a group that no service manager looks after: one that it delegated, or one with no unit's name.
fn is_ours(folder: &Path, own: &Path) -> bool {
    let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let is_unit = [".slice", ".scope", ".service"].iter().any(|suffix| name.ends_with(suffix));
    let is_manager = name.starts_with("user@");
    if own.ends_with(LEAF) && own.parent() == Some(folder) {
        return true;
    }
    if !is_unit {
        return true;
    }
    let marked = |attribute: &[u8]| matches!(xattr::get_at(folder.as_os_str().as_bytes(), attribute), Ok(Some(value)) if value == b"1");
    !is_manager && (marked(b"user.delegate") || marked(b"trusted.delegate"))
}

fn is_session(own: &Path) -> bool {
    let name = own.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    name.starts_with("session-") && name.ends_with(".scope")
}

/// True when every process of the group executes what this one does.
fn only_runr(folder: &Path) -> bool {
    let exe = std::fs::read_link("/proc/self/exe").ok();
    let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    exe.is_some() && text.lines().all(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).ok() == exe)
}

/// Moves the group's processes, this one among them, into the leaf.
fn move_aside(folder: &Path) -> Result<()> {
    let leaf = folder.join(LEAF);
    match std::fs::create_dir(&leaf) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(Error::from(e).step(format!("create cgroup `{}`", leaf.display()))),
    }
    let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    for pid in text.lines() {
        match std::fs::write(leaf.join("cgroup.procs"), pid) {
            Ok(()) => {}
            // It has ended.
            Err(e) if e.raw_os_error() == Some(Errno::ESRCH as i32) => {}
            Err(e) => return Err(Error::from(e).step(format!("move process {pid} into `{}`", leaf.display()))),
        }
    }
    Ok(())
}

/// The first needed controller that children of this group would not have.
fn missing<'a>(folder: &Path, needed: &[&'a str]) -> Option<&'a str> {
    let text = std::fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
    needed.iter().find(|n| !text.split_whitespace().any(|have| have == **n)).copied()
}

fn pass_on(folder: &Path, controller: &str) -> std::io::Result<()> {
    if missing(folder, &[controller]).is_none() {
        return Ok(());
    }
    if has_processes(folder) {
        // The kernel would take cpu, cpuset and pids, and make the group one of threads: nothing could be put below it.
        return Err(Errno::EBUSY.into());
    }
    std::fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"))
}

/// True for a group that may have no children with controllers. The hierarchy's root, which has no `cgroup.type`, may.
fn has_processes(folder: &Path) -> bool {
    let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    folder.join("cgroup.type").exists() && !text.is_empty()
}

/// Passes on what there is, for limits that `update` may set.
fn pass_on_all(folder: &Path) {
    let text = std::fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
    text.split_whitespace().for_each(|controller| drop(pass_on(folder, controller)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_the_service_manager_are_left_alone() {
        let own = Path::new("/nonexistent/app.slice/x.scope/runr-monitor");
        for (folder, ours) in [
            ("/nonexistent/app.slice", false),
            ("/nonexistent/user@1000.service", false),
            ("/nonexistent/session-1.scope", false),
            ("/nonexistent/ci-job", true),
            ("/nonexistent/app.slice/x.scope", true),
        ] {
            assert_eq!(is_ours(Path::new(folder), own), ours, "{folder}");
        }
        assert!(is_session(Path::new("/sys/fs/cgroup/user.slice/user-1.slice/session-c2.scope")));
        assert!(!is_session(Path::new("/sys/fs/cgroup/x.scope")));
    }

    #[test]
    fn what_children_lack_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("cgroup.subtree_control"), "cpu memory\n").unwrap();
        assert_eq!(missing(dir.path(), &["cpu", "memory"]), None);
        assert_eq!(missing(dir.path(), &["memory", "pids"]), Some("pids"));
        std::fs::write(dir.path().join("cgroup.procs"), "7\n").unwrap();
        assert!(!has_processes(dir.path()), "the root");
        std::fs::write(dir.path().join("cgroup.type"), "domain\n").unwrap();
        assert!(has_processes(dir.path()));
        assert!(pass_on(dir.path(), "pids").is_err());
        assert!(pass_on(dir.path(), "cpu").is_ok(), "it is passed on already");
        let e = unavailable_of(dir.path(), &["pids"]);
        assert_eq!(e.to_string(), "the requested cgroup controller `pids` is not available");
    }
}
