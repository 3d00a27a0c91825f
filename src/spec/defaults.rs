//! What every container has unless told otherwise: mounts, devices, masked and read-only paths, environment. Data only.
//!
//! The values are docker's and podman's, which agree except where a comment says so; `spec::caps` and
//! `spec::seccomp` hold the other two defaults.

use oci_spec::runtime::{LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType, Mount, MountBuilder};

/// Size of /dev/shm in bytes without `--shm-size`.
pub const SHM_SIZE: u64 = 64 << 20;

/// `PATH` where the image sets none.
pub const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `TERM` with `--tty`.
pub const TERM: &str = "TERM=xterm";

/// How a program finds out that it is in a container (systemd's convention, and podman's).
pub const CONTAINER: &str = "container=oci";

/// Seconds between the stop signal and SIGKILL.
pub const STOP_TIMEOUT_SECONDS: u32 = 10;

/// The group that owns terminals in /dev/pts, `tty` of every distribution.
pub const TTY_GID: u32 = 5;

/// Paths that show or change the host and whose content no program in a container needs: hidden by an empty file or an
/// empty directory. Those that the kernel does not have are passed over.
pub const MASKED_PATHS: [&str; 13] = [
    "/proc/acpi",
    // Which sound hardware there is, and through it the host's identity.
    "/proc/asound",
    // Timing of single interrupts tells keystrokes.
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    // Power readings are a side channel (CVE-2020-8694).
    "/sys/devices/virtual/powercap",
    "/sys/fs/selinux",
];

/// Paths that stay readable but can't be written, though root inside owns some of them.
pub const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Symbolic links that runr makes in the new /dev: link, target.
pub const DEV_LINKS: [(&str, &str); 6] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    // The kernel looks for the pts mount beside the node it was opened through, so a link serves every devpts instance.
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/core", "/proc/kcore"),
];

/// Device nodes: path, major, minor. The numbers are fixed by Documentation/admin-guide/devices.txt. /dev/ptmx, the
/// seventh device, is a link into the container's own devpts ([`DEV_LINKS`]); /dev/console is bound with a terminal only.
pub const DEVICES: [(&str, i64, i64); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Facts about this container that its default mounts depend on.
#[derive(Debug, Clone, Copy)]
pub struct MountFacts {
    /// Size of /dev/shm in bytes.
    pub shm_size: u64,
    /// The container has its own pid namespace: only then may /proc be mounted anew, else the host's is bound.
    pub own_pid: bool,
    /// The container has its own network namespace: only then may sysfs be mounted anew, else the host's is bound.
    pub own_network: bool,
    /// The container has its own IPC namespace, hence its own message queues and /dev/shm.
    pub own_ipc: bool,
    /// The host has /dev/mqueue, to be shared with a container without its own IPC namespace.
    pub host_mqueue: bool,
    /// The host has a cgroup2 hierarchy.
    pub cgroup2: bool,
    /// Group 5 is mapped, so that terminals can belong to it; with one id they belong to root.
    pub tty_group: bool,
    /// `--privileged`: /sys and the cgroup tree are writable.
    pub privileged: bool,
    /// The cgroup tree is writable: systemd makes groups of its own.
    pub cgroup_writable: bool,
}

/// The default mounts in the order in which they are made; options are the fstab words of the OCI runtime spec.
pub fn mounts(facts: &MountFacts) -> Vec<Mount> {
    let ro = if facts.privileged { "rw" } else { "ro" };
    let pts_group = format!("gid={TTY_GID}");
    let shm_size = format!("size={}", facts.shm_size);
    let mut pts = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    if facts.tty_group {
        pts.push(&pts_group);
    }
    let mut list = vec![
        // A new proc shows processes of the pid namespace of who mounts it; the kernel refuses it to a user namespace
        // that does not own that one.
        match facts.own_pid {
            true => mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
            false => mount("/proc", "bind", "/proc", &["rbind", "nosuid", "noexec", "nodev"]),
        },
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &pts),
        match facts.own_network {
            true => mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", ro]),
            false => mount("/sys", "bind", "/sys", &["rbind", "nosuid", "noexec", "nodev", ro]),
        },
    ];
    if facts.cgroup2 {
        let ro = if facts.cgroup_writable { "rw" } else { ro };
        list.push(mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", ro]));
    }
    if facts.own_ipc {
        list.push(mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
        list.push(mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &shm_size]));
    } else {
        if facts.host_mqueue {
            list.push(mount("/dev/mqueue", "bind", "/dev/mqueue", &["rbind", "nosuid", "noexec", "nodev"]));
        }
        list.push(mount("/dev/shm", "bind", "/dev/shm", &["rbind", "nosuid", "noexec", "nodev"]));
    }
    list
}

/// [`DEVICES`] as the OCI runtime spec's type: mode 0666, owned by root.
pub fn devices() -> Vec<LinuxDevice> {
    DEVICES
        .iter()
        .filter_map(|(path, major, minor)| {
            LinuxDeviceBuilder::default()
                .path(*path)
                .typ(LinuxDeviceType::C)
                .major(*major)
                .minor(*minor)
                .file_mode(0o666u32)
                .uid(0u32)
                .gid(0u32)
                .build()
                .ok()
        })
        .collect()
}

/// One mount as the OCI runtime spec's type.
fn mount(target: &str, typ: &str, source: &str, options: &[&str]) -> Mount {
    let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
    #[expect(clippy::expect_used, reason = "the builder only fails on half an id map, and none is set")]
    MountBuilder::default().destination(target).typ(typ).source(source).options(options).build().expect("no id map")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: MountFacts = MountFacts {
        shm_size: SHM_SIZE,
        own_pid: true,
        own_network: true,
        own_ipc: true,
        host_mqueue: true,
        cgroup2: true,
        tty_group: true,
        privileged: false,
        cgroup_writable: false,
    };

    fn line(mounts: &[Mount], target: &str) -> String {
        let found: Vec<_> = mounts.iter().filter(|m| m.destination().as_os_str() == target).collect();
        assert_eq!(found.len(), 1, "{target}");
        format!("{} {}", found[0].typ().as_deref().unwrap(), found[0].options().as_deref().unwrap().join(","))
    }

    #[test]
    fn a_parent_is_mounted_before_its_children() {
        let list = mounts(&FACTS);
        for (i, child) in list.iter().enumerate() {
            for later in &list[i + 1..] {
                assert!(!child.destination().starts_with(later.destination()), "{child:?} is hidden by {later:?}");
            }
        }
        assert_eq!(list.len(), 7);
    }

    #[test]
    fn facts_change_what_they_should() {
        let list = mounts(&FACTS);
        assert_eq!(line(&list, "/proc"), "proc nosuid,noexec,nodev");
        assert_eq!(line(&list, "/sys"), "sysfs nosuid,noexec,nodev,ro");
        assert_eq!(line(&list, "/dev/shm"), "tmpfs nosuid,noexec,nodev,mode=1777,size=67108864");
        assert!(line(&list, "/dev/pts").ends_with("mode=0620,gid=5"));
        let list = mounts(&MountFacts {
            own_pid: false,
            own_network: false,
            own_ipc: false,
            cgroup2: false,
            tty_group: false,
            privileged: true,
            ..FACTS
        });
        assert_eq!(line(&list, "/proc"), "bind rbind,nosuid,noexec,nodev");
        assert_eq!(line(&list, "/sys"), "bind rbind,nosuid,noexec,nodev,rw");
        assert_eq!(line(&list, "/dev/shm"), "bind rbind,nosuid,noexec,nodev");
        assert!(line(&list, "/dev/pts").ends_with("mode=0620"));
        assert_eq!(list.len(), 6);
        assert_eq!(mounts(&MountFacts { own_ipc: false, host_mqueue: false, ..FACTS }).len(), 6);
    }

    #[test]
    fn devices_are_all_there() {
        assert_eq!(devices().len(), DEVICES.len());
    }
}
