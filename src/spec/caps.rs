//! Capabilities as data: names and numbers, the default set, and what `--cap-add`, `--cap-drop`, `--privileged` make of it.
//!
//! The arithmetic is docker's: `ALL` in either list, then single names; a name both dropped and added is added. No system
//! call is made here: what the kernel knows is passed in as its last capability number. `runtime::caps` applies the result.

use crate::base::{Error, Result};
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities, LinuxCapabilitiesBuilder};

/// Every capability of include/uapi/linux/capability.h (Linux 5.9 and later), at the index that is its number.
const ALL: [(&str, Capability); 41] = [
    ("CAP_CHOWN", Capability::Chown),
    ("CAP_DAC_OVERRIDE", Capability::DacOverride),
    ("CAP_DAC_READ_SEARCH", Capability::DacReadSearch),
    ("CAP_FOWNER", Capability::Fowner),
    ("CAP_FSETID", Capability::Fsetid),
    ("CAP_KILL", Capability::Kill),
    ("CAP_SETGID", Capability::Setgid),
    ("CAP_SETUID", Capability::Setuid),
    ("CAP_SETPCAP", Capability::Setpcap),
    ("CAP_LINUX_IMMUTABLE", Capability::LinuxImmutable),
    ("CAP_NET_BIND_SERVICE", Capability::NetBindService),
    ("CAP_NET_BROADCAST", Capability::NetBroadcast),
    ("CAP_NET_ADMIN", Capability::NetAdmin),
    ("CAP_NET_RAW", Capability::NetRaw),
    ("CAP_IPC_LOCK", Capability::IpcLock),
    ("CAP_IPC_OWNER", Capability::IpcOwner),
    ("CAP_SYS_MODULE", Capability::SysModule),
    ("CAP_SYS_RAWIO", Capability::SysRawio),
    ("CAP_SYS_CHROOT", Capability::SysChroot),
    ("CAP_SYS_PTRACE", Capability::SysPtrace),
    ("CAP_SYS_PACCT", Capability::SysPacct),
    ("CAP_SYS_ADMIN", Capability::SysAdmin),
    ("CAP_SYS_BOOT", Capability::SysBoot),
    ("CAP_SYS_NICE", Capability::SysNice),
    ("CAP_SYS_RESOURCE", Capability::SysResource),
    ("CAP_SYS_TIME", Capability::SysTime),
    ("CAP_SYS_TTY_CONFIG", Capability::SysTtyConfig),
    ("CAP_MKNOD", Capability::Mknod),
    ("CAP_LEASE", Capability::Lease),
    ("CAP_AUDIT_WRITE", Capability::AuditWrite),
    ("CAP_AUDIT_CONTROL", Capability::AuditControl),
    ("CAP_SETFCAP", Capability::Setfcap),
    ("CAP_MAC_OVERRIDE", Capability::MacOverride),
    ("CAP_MAC_ADMIN", Capability::MacAdmin),
    ("CAP_SYSLOG", Capability::Syslog),
    ("CAP_WAKE_ALARM", Capability::WakeAlarm),
    ("CAP_BLOCK_SUSPEND", Capability::BlockSuspend),
    ("CAP_AUDIT_READ", Capability::AuditRead),
    ("CAP_PERFMON", Capability::Perfmon),
    ("CAP_BPF", Capability::Bpf),
    ("CAP_CHECKPOINT_RESTORE", Capability::CheckpointRestore),
];

/// A set of capabilities, one bit per number, as the kernel keeps them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CapSet(u64);

impl CapSet {
    /// No capability.
    pub const EMPTY: Self = Self(0);

    /// What docker gives a container: enough to manage files and users of its own, nothing that reaches the kernel's
    /// configuration. chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw,
    /// sys_chroot, mknod, audit_write, setfcap.
    pub const DEFAULT: Self = Self(
        1 | 1 << 1
            | 1 << 3
            | 1 << 4
            | 1 << 5
            | 1 << 6
            | 1 << 7
            | 1 << 8
            | 1 << 10
            | 1 << 13
            | 1 << 18
            | 1 << 27
            | 1 << 29
            | 1 << 31,
    );

    /// Every capability with a number up to `last`, which is the kernel's own last one.
    pub fn all(last: u8) -> Self {
        let known = (ALL.len() - 1).min(usize::from(last));
        Self((1 << (known + 1)) - 1)
    }

    /// The set with these bits; bits without a name are dropped.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits & Self::all(u8::MAX).0)
    }

    /// One bit per capability number.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// True if there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True if `number` is in the set.
    pub fn contains(self, number: u8) -> bool {
        number < 64 && self.0 & 1 << number != 0
    }

    /// True if the capability called `name` (`CAP_CHOWN`) is in the set.
    pub fn contains_name(self, name: &str) -> bool {
        number(name).is_some_and(|n| self.contains(n))
    }

    /// Both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// This without `other`.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The numbers, ascending.
    pub fn numbers(self) -> impl Iterator<Item = u8> {
        (0..64).filter(move |n| self.contains(*n))
    }

    /// The names, in the order of their numbers.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.numbers().filter_map(|n| Some(ALL.get(usize::from(n))?.0))
    }

    /// As the OCI runtime spec's type.
    pub fn to_oci(self) -> Capabilities {
        self.numbers().filter_map(|n| Some(ALL.get(usize::from(n))?.1)).collect()
    }

    /// From the OCI runtime spec's type; absent is empty.
    pub fn from_oci(caps: Option<&Capabilities>) -> Self {
        let bit = |cap: &Capability| ALL.iter().position(|(_, c)| c == cap).map_or(0, |n| 1u64 << n);
        Self(caps.into_iter().flatten().fold(0, |bits, cap| bits | bit(cap)))
    }
}

/// The number of the capability called `name`: with or without `CAP_`, in any case, as docker's command line takes it.
pub fn number(name: &str) -> Option<u8> {
    let bare = name.get(..4).filter(|p| p.eq_ignore_ascii_case("CAP_")).map_or(name, |_| &name[4..]);
    ALL.iter().position(|(known, _)| known[4..].eq_ignore_ascii_case(bare)).and_then(|n| u8::try_from(n).ok())
}

/// What the command line asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `--cap-add`.
    pub add: &'a [String],
    /// `--cap-drop`.
    pub drop: &'a [String],
    /// `--privileged`: every capability; the two lists no longer matter.
    pub privileged: bool,
    /// The kernel's last capability number.
    pub last: u8,
    /// The user id that the container's first process has inside.
    pub uid: u32,
}

/// The five sets of the container's first process.
///
/// Root gets the bounding set as permitted and effective. Another user gets the bounding set only, as execve(2) would
/// leave it, and of it as ambient (hence permitted, effective and inheritable: the kernel ties them together) what was
/// asked for with `--cap-add`. Nothing else is ever inheritable: a set-uid or file-capability program would gain it
/// (CVE-2022-24769).
///
/// # Errors
/// `Usage` for a name that this kernel does not know.
pub fn sets(request: &Request<'_>) -> Result<LinuxCapabilities> {
    let (bounding, added) = arithmetic(request)?;
    let (permitted, ambient) = match request.uid {
        0 => (bounding, CapSet::EMPTY),
        _ => (added.intersection(bounding), added.intersection(bounding)),
    };
    LinuxCapabilitiesBuilder::default()
        .bounding(bounding.to_oci())
        .permitted(permitted.to_oci())
        .effective(permitted.to_oci())
        .inheritable(ambient.to_oci())
        .ambient(ambient.to_oci())
        .build()
        .map_err(|e| Error::new(crate::base::Kind::Bug, format!("build capability sets: {e}")))
}

/// The bounding set, and what was added to the default one by request.
fn arithmetic(request: &Request<'_>) -> Result<(CapSet, CapSet)> {
    let all = CapSet::all(request.last);
    let (add_all, add) = parse(request.add, all)?;
    let (drop_all, drop) = parse(request.drop, all)?;
    if request.privileged {
        return Ok((all, CapSet::EMPTY));
    }
    let base = CapSet::DEFAULT.intersection(all);
    Ok(match (add_all, drop_all) {
        (true, _) => (all.minus(drop), all.minus(drop)),
        (false, true) => (add, add),
        (false, false) => (base.minus(drop).union(add), add),
    })
}

/// Whether the list holds `ALL`, and the other names as a set.
fn parse(names: &[String], known: CapSet) -> Result<(bool, CapSet)> {
    let mut all = false;
    let mut set = 0;
    for name in names {
        match number(name) {
            _ if name.eq_ignore_ascii_case("ALL") || name.eq_ignore_ascii_case("CAP_ALL") => all = true,
            Some(n) if known.contains(n) => set |= 1u64 << n,
            Some(_) => return Err(Error::usage(format!("this kernel has no capability `{name}`"))),
            None => {
                return Err(Error::usage(format!("unknown capability `{name}`"))
                    .hint("the names are those of capabilities(7), for example `NET_ADMIN`, or `ALL`"));
            }
        }
    }
    Ok((all, CapSet(set)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|s| (*s).to_owned()).collect()
    }

    fn bounding(add: &[&str], drop: &[&str], privileged: bool) -> Vec<&'static str> {
        let request = Request { add: &strings(add), drop: &strings(drop), privileged, last: 40, uid: 0 };
        let sets = sets(&request).unwrap();
        CapSet::from_oci(sets.bounding().as_ref()).names().collect()
    }

    #[test]
    fn numbers_are_those_of_the_kernel_header() {
        for (name, want) in [("CAP_CHOWN", 0), ("NET_ADMIN", 12), ("cap_sys_admin", 21), ("setfcap", 31), ("BPF", 39)] {
            assert_eq!(number(name), Some(want), "{name}");
        }
        for bad in ["", "CAP_", "CAP_ALL", "CHOWN ", "CAP_CAP_CHOWN", "é"] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
        // The header of this machine, where it has one, names each with the same number.
        let header = std::fs::read_to_string("/usr/include/linux/capability.h").unwrap_or_default();
        for line in header.lines().filter(|l| l.starts_with("#define CAP_")) {
            let mut words = line.split_whitespace().skip(1);
            let (Some(name), Some(Ok(n))) = (words.next(), words.next().map(str::parse::<u8>)) else { continue };
            if !name.contains('(') && name != "CAP_LAST_CAP" {
                assert_eq!(number(name), Some(n), "{line}");
            }
        }
    }

    #[test]
    fn the_default_is_dockers_fourteen() {
        let names: Vec<_> = CapSet::DEFAULT.names().map(|n| &n[4..]).collect();
        assert_eq!(
            names.join(" "),
            "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD \
             AUDIT_WRITE SETFCAP"
        );
        assert_eq!(bounding(&[], &[], false).len(), 14);
    }

    #[test]
    fn adding_and_dropping_follow_docker() {
        assert_eq!(bounding(&["NET_ADMIN"], &[], false).len(), 15);
        assert_eq!(bounding(&[], &["CHOWN", "CAP_KILL"], false).len(), 12);
        assert_eq!(bounding(&[], &["all"], false), [""; 0]);
        assert_eq!(bounding(&["CHOWN"], &["ALL"], false), ["CAP_CHOWN"]);
        assert_eq!(bounding(&["ALL"], &["SYS_ADMIN"], false).len(), 40);
        assert_eq!(bounding(&["ALL"], &["ALL"], false).len(), 41);
        // Both: docker lets the addition win.
        assert!(bounding(&["CHOWN"], &["CHOWN"], false).contains(&"CAP_CHOWN"));
        assert_eq!(bounding(&[], &["ALL"], true).len(), 41);
    }

    #[test]
    fn unknown_names_are_refused() {
        let request = |last, names: &[String]| {
            sets(&Request { add: names, drop: &[], privileged: false, last, uid: 0 }).map(drop)
        };
        let error = request(40, &strings(&["SYS_ADMN"])).unwrap_err();
        assert_eq!(error.to_string(), "unknown capability `SYS_ADMN`");
        let error = request(37, &strings(&["BPF"])).unwrap_err();
        assert_eq!(error.to_string(), "this kernel has no capability `BPF`");
    }

    #[test]
    fn only_added_ones_become_ambient_and_only_for_another_user() {
        let sets_of = |add: &[&str], uid| {
            sets(&Request { add: &strings(add), drop: &[], privileged: false, last: 40, uid }).unwrap()
        };
        let names = |caps: &Option<Capabilities>| CapSet::from_oci(caps.as_ref()).names().collect::<Vec<_>>();
        let root = sets_of(&["NET_ADMIN"], 0);
        assert_eq!(names(root.permitted()).len(), 15);
        assert_eq!((names(root.ambient()).len(), names(root.inheritable()).len()), (0, 0));
        let user = sets_of(&["NET_ADMIN"], 1000);
        assert_eq!(names(user.bounding()).len(), 15);
        assert_eq!(names(user.ambient()), ["CAP_NET_ADMIN"]);
        assert_eq!(names(user.permitted()), ["CAP_NET_ADMIN"]);
        let plain = sets_of(&[], 1000);
        assert_eq!((names(plain.bounding()).len(), names(plain.effective()).len()), (14, 0));
    }

    #[test]
    fn oci_round_trip() {
        let set = CapSet::from_bits(0x1ff_ffff_ffff);
        assert_eq!(set, CapSet::all(200));
        assert_eq!(CapSet::from_oci(Some(&set.to_oci())), set);
        assert_eq!(CapSet::from_oci(None), CapSet::EMPTY);
    }
}
