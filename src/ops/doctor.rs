//! `doctor`: what this machine lets runr do, each answer found by trying where that is possible, with the fix beside every
//! "no". Every check stands alone: one that cannot even look says so and the next goes on.

use crate::runtime::cgroup::{Source, Usable};
use crate::store::Store;
use crate::sys::xattr;
use crate::userns::{self, IdMap, subid};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Containers run, but something is missing.
    Warn,
    /// Containers cannot run.
    Fail,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found.
    pub finding: String,
    /// What to do about it; empty when nothing needs doing.
    pub fix: Vec<String>,
}

impl Check {
    fn new(name: &'static str, verdict: Verdict, finding: impl Into<String>, fix: &[&str]) -> Self {
        Self { name, verdict, finding: finding.into(), fix: fix.iter().map(|f| (*f).to_owned()).collect() }
    }

    fn ok(name: &'static str, finding: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, finding, &[])
    }
}

/// Runs every check. Call it before threads exist: several fork.
pub fn examine(root: &Path) -> Vec<Check> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let mut checks = vec![user_namespaces(uid, gid)];
    let usable = checks[0].verdict != Verdict::Fail;
    checks.push(ids(uid, usable));
    checks.push(helpers());
    checks.extend(data_folder(root, usable));
    checks.push(cgroups());
    checks.push(tap());
    checks.push(seccomp());
    checks.extend(linger(uid));
    checks
}

/// A kernel setting as a number, if the kernel has it.
fn sysctl(name: &str) -> Option<i64> {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn user_namespaces(uid: u32, gid: u32) -> Check {
    const NAME: &str = "user namespaces";
    let tried = userns::run(&IdMap::single(uid, gid), || {
        // AppArmor on Ubuntu lets the namespace be made, then takes every capability in it: a mount shows.
        unshare(CloneFlags::CLONE_NEWNS)?;
        nix::mount::mount(
            None::<&str>,
            "/",
            None::<&str>,
            nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_SLAVE,
            None::<&str>,
        )?;
        Ok(nix::mount::mount(Some("tmpfs"), "/proc", Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>)?)
    });
    let error = match tried {
        Ok(()) => return Check::ok(NAME, "allowed, and one could be made"),
        Err(e) => e,
    };
    let finding = |why: &str| format!("{why} ({error})");
    if sysctl("kernel.apparmor_restrict_unprivileged_userns") == Some(1) {
        return Check::new(
            NAME,
            Verdict::Fail,
            finding("AppArmor forbids them to programs without a profile"),
            &[
                "for all programs: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
                "to keep it, put the line kernel.apparmor_restrict_unprivileged_userns=0 into /etc/sysctl.d/60-userns.conf",
            ],
        );
    }
    if sysctl("kernel.unprivileged_userns_clone") == Some(0) {
        return Check::new(
            NAME,
            Verdict::Fail,
            finding("switched off for users"),
            &[
                "sudo sysctl -w kernel.unprivileged_userns_clone=1",
                "to keep it, put the line kernel.unprivileged_userns_clone=1 into /etc/sysctl.d/60-userns.conf",
            ],
        );
    }
    if sysctl("user.max_user_namespaces").is_some_and(|n| n < 1) {
        return Check::new(
            NAME,
            Verdict::Fail,
            finding("their number is limited to none"),
            &[
                "sudo sysctl -w user.max_user_namespaces=15000",
                "to keep it, put the line user.max_user_namespaces=15000 into /etc/sysctl.d/60-userns.conf",
            ],
        );
    }
    Check::new(
        NAME,
        Verdict::Fail,
        finding("not possible here"),
        &[
            "inside another container, its seccomp or AppArmor policy forbids them: ask for one that allows unshare and mount",
        ],
    )
}

fn ids(uid: u32, usable: bool) -> Check {
    const NAME: &str = "ids";
    if uid == 0 {
        return Check::new(
            NAME,
            Verdict::Ok,
            "this is root: containers get root's own ids, which isolates less",
            &["run runr as a normal user"],
        );
    }
    let user = subid::user_name(uid);
    let Some((uids, gids)) = subid::subordinate_ranges(uid) else {
        let fix = format!("sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}");
        return Check::new(
            NAME,
            Verdict::Warn,
            format!(
                "user `{user}` has no range in /etc/subuid and /etc/subgid: containers have one id, other owners are emulated"
            ),
            &[&fix, "choose a range that no other user has in these files"],
        );
    };
    let count = |ranges: &[(u32, u32)]| ranges.iter().map(|(_, n)| u64::from(*n)).sum::<u64>();
    let (users, groups) = (count(&uids) + 1, count(&gids) + 1);
    match userns::default_map() {
        Ok(map) if map.is_single() => Check::new(
            NAME,
            Verdict::Warn,
            "ranges exist, but newuidmap and newgidmap don't: containers have one id",
            &[],
        ),
        Ok(map) if usable => match userns::run(&map, || Ok(())) {
            Ok(()) if users < 65536 || groups < 65536 => Check::new(
                NAME,
                Verdict::Warn,
                format!("{users} users and {groups} groups: images with higher ids won't unpack whole"),
                &["give the user a range of 65536 ids in /etc/subuid and /etc/subgid"],
            ),
            Ok(()) => Check::ok(NAME, format!("{users} users and {groups} groups can be mapped")),
            Err(e) => {
                let mut check = Check::new(NAME, Verdict::Fail, format!("the map is refused: {e}"), &[]);
                check.fix = e.hints().to_vec();
                check
            }
        },
        Ok(_) => Check::ok(NAME, format!("{users} users and {groups} groups are granted")),
        Err(e) => Check::new(NAME, Verdict::Fail, e.to_string(), &[]),
    }
}

fn helpers() -> Check {
    const NAME: &str = "newuidmap, newgidmap";
    const INSTALL: &str = "install the package uidmap (Debian, Ubuntu) or shadow-utils (Fedora, Arch)";
    let mut found = Vec::new();
    for name in ["newuidmap", "newgidmap"] {
        let Some(path) = subid::helper(name) else {
            return Check::new(
                NAME,
                Verdict::Warn,
                format!("{name} is not installed: containers have one id"),
                &[INSTALL],
            );
        };
        let setuid = std::fs::metadata(&path).is_ok_and(|m| m.permissions().mode() & 0o4000 != 0);
        let capable = File::open(&path).ok().and_then(|f| xattr::get(&f, b"security.capability").ok()?).is_some();
        if !setuid && !capable {
            let fix = format!("sudo chmod u+s {}", path.display());
            return Check::new(
                NAME,
                Verdict::Fail,
                format!("`{}` is neither setuid root nor has its file capability", path.display()),
                &[&fix],
            );
        }
        found.push(path.display().to_string());
    }
    Check::ok(NAME, found.join(", "))
}

/// The data folder's file system, and overlay on it.
fn data_folder(root: &Path, usable: bool) -> Vec<Check> {
    const NAME: &str = "data folder";
    let shown = root.display();
    let store = match Store::open(root) {
        Ok(store) => store,
        Err(e) => {
            let mut check = Check::new(NAME, Verdict::Fail, e.to_string(), &[]);
            check.fix = e.hints().to_vec();
            return vec![check];
        }
    };
    if !usable {
        return vec![Check::ok(NAME, format!("`{shown}`"))];
    }
    let probed = userns::default_map().and_then(|map| Ok((map.is_single(), store.file_system(&map)?)));
    let (single, found) = match probed {
        Ok(found) => found,
        Err(e) => return vec![Check::new(NAME, Verdict::Fail, format!("`{shown}` could not be tried: {e}"), &[])],
    };
    let mut lacks = Vec::new();
    if !single && !found.foreign_owners {
        lacks.push("files cannot belong to other ids");
    }
    if !found.user_xattrs {
        lacks.push("it has no user attributes");
    }
    let kind = file_system_name(found.magic);
    let other = "use a folder on a local disk: --root DIR or RUNR_ROOT";
    let folder = match lacks[..] {
        [] => {
            Check::ok(NAME, format!("`{shown}` on {kind}{}", if found.reflink { ", copies share blocks" } else { "" }))
        }
        _ => Check::new(NAME, Verdict::Warn, format!("`{shown}` on {kind}: {}", lacks.join(", ")), &[other]),
    };
    let overlay = if found.overlay_upper {
        Check::ok("overlay", "mounted in a user namespace, layers are shared")
    } else if found.overlay_lower {
        Check::new(
            "overlay",
            Verdict::Warn,
            format!("{kind} holds layers, but not what containers write: that goes elsewhere"),
            &[other],
        )
    } else {
        Check::new(
            "overlay",
            Verdict::Warn,
            "not possible here: every container copies its image",
            &[other, "overlay in user namespaces needs Linux 5.11 or later"],
        )
    };
    vec![folder, overlay]
}

/// Names of common file systems (statfs(2)).
fn file_system_name(magic: i64) -> String {
    // Magic numbers are 32 bits; the field's sign differs between architectures.
    match magic as u32 {
        0xef53 => "ext4".to_owned(),
        0x9123_683e => "btrfs".to_owned(),
        0x5846_5342 => "xfs".to_owned(),
        0x0102_1994 => "tmpfs".to_owned(),
        0x794c_7630 => "overlay".to_owned(),
        0x6969 => "NFS".to_owned(),
        0x2fc1_2fc1 => "zfs".to_owned(),
        0xf2f5_2010 => "f2fs".to_owned(),
        0x0bd0_0bd0 => "Lustre".to_owned(),
        0x6573_5546 => "FUSE".to_owned(),
        0xff53_4d42 | 0xfe53_4d42 => "SMB".to_owned(),
        0xca45_1a4e => "bcachefs".to_owned(),
        0x0102_1997 => "9p".to_owned(),
        other => format!("file system 0x{other:x}"),
    }
}

fn cgroups() -> Check {
    const NAME: &str = "cgroups";
    let usable = Usable::look();
    let how = match usable.source {
        _ if !usable.unified => "v1",
        Source::Manager => "v2, by the service manager",
        Source::Own => "v2, delegated",
        Source::None => "v2, not delegated to this session",
    };
    let missing: Vec<&str> = ["cpu", "memory", "pids"].into_iter().filter(|c| !usable.has(c)).collect();
    match missing.len() {
        0 => Check::ok(NAME, format!("{how}: {}", usable.controllers.join(" "))),
        3 => {
            let text = format!("{how}: no limits on memory, processes or CPUs");
            Check::new(NAME, Verdict::Warn, text, &[usable.advice()])
        }
        _ => Check::new(NAME, Verdict::Warn, format!("{how}, without {}", missing.join(", ")), &[usable.advice()]),
    }
}

fn tap() -> Check {
    const NAME: &str = "network devices";
    match OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => Check::ok(NAME, "/dev/net/tun can be opened"),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Check::new(
            NAME,
            Verdict::Warn,
            "/dev/net/tun does not exist: no network but the host's",
            &["sudo modprobe tun"],
        ),
        Err(e) => Check::new(
            NAME,
            Verdict::Warn,
            format!("/dev/net/tun cannot be opened ({e}): no network but the host's"),
            &["sudo chmod 666 /dev/net/tun"],
        ),
    }
}

fn seccomp() -> Check {
    const NAME: &str = "seccomp";
    match std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail") {
        Ok(actions) if actions.contains("errno") => Check::ok(NAME, "filters are available"),
        _ => Check::new(
            NAME,
            Verdict::Warn,
            "this kernel has no seccomp filters: containers run without one",
            &["use a kernel with CONFIG_SECCOMP_FILTER"],
        ),
    }
}

/// Whether containers in the background outlive the session; only systemd ends them with it.
fn linger(uid: u32) -> Option<Check> {
    const NAME: &str = "after logout";
    if uid == 0 || !Path::new("/run/systemd/system").exists() {
        return None;
    }
    let user = subid::user_name(uid);
    if Path::new("/var/lib/systemd/linger").join(&user).exists() {
        return Some(Check::ok(NAME, "containers in the background go on"));
    }
    let fix = format!("loginctl enable-linger {user}");
    Some(Check::new(NAME, Verdict::Warn, "containers in the background may end when this user logs out", &[&fix]))
}
