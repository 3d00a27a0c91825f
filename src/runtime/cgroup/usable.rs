//! What this machine's cgroups can do for this user, and the way to what they can't: one answer for `info`, `doctor` and for errors.

use super::{has_cgroup2, mount_root, own_folder};
use crate::runtime::systemd;
use nix::unistd::{AccessFlags, access};

/// To a group of one's own, where no service manager runs for this user.
const LOG_IN: &str = "log in through systemd (ssh, a console, machinectl), or let this user's service manager run without a login: loginctl enable-linger USER";
/// To a group of one's own.
const SCOPE: &str = "run it as: systemd-run --user --scope -p Delegate=yes runr …";
/// To controllers, where another hierarchy has them.
pub(super) const UNIFIED: &str =
    "this machine's controllers are cgroup v1's: boot with systemd.unified_cgroup_hierarchy=1";
/// To a controller that nobody here has.
pub(super) const TURNED_OFF: &str = "this machine does not offer it: the kernel has it turned off (boot with cgroup_enable=memory), or an outer container has it";
/// To controllers that others have.
pub(super) const DELEGATE: &str =
    "systemctl edit user@.service: under [Service] write Delegate=cpu cpuset io memory pids, then log in again";

/// Who makes the groups of containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The user's service manager.
    Manager,
    /// runr itself, below its own group.
    Own,
    /// Nobody.
    None,
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usable {
    /// The one hierarchy has all controllers. Without it (v1, and `hybrid` with a v2 that has none) there are no limits.
    pub unified: bool,
    /// Where groups come from.
    pub source: Source,
    /// What these can limit.
    pub controllers: Vec<String>,
}

impl Usable {
    /// Looks around.
    pub fn look() -> Self {
        let own = own_folder().filter(|dir| access(&dir.join("cgroup.procs"), AccessFlags::W_OK).is_ok());
        let (source, text) = match (super::manager_controllers(), own) {
            (Some(text), _) => (Source::Manager, text),
            (None, Some(own)) => {
                (Source::Own, std::fs::read_to_string(own.join("cgroup.controllers")).unwrap_or_default())
            }
            (None, None) => (Source::None, String::new()),
        };
        Self { unified: unified(), source, controllers: text.split_whitespace().map(str::to_owned).collect() }
    }

    /// True for a controller that limits can use.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }

    /// The way to a controller that is missing.
    pub fn advice(&self) -> &'static str {
        match self.source {
            _ if !self.unified => UNIFIED,
            Source::None => log_in(),
            Source::Manager | Source::Own => DELEGATE,
        }
    }
}

/// The way to a group of one's own: `systemd-run --user` asks the service manager, too.
pub fn log_in() -> &'static str {
    if systemd::is_reachable() { SCOPE } else { LOG_IN }
}

/// The way to `needed` where this user has no group that could pass them on.
pub(super) fn advice(needed: &[&str]) -> &'static str {
    if !unified() {
        return UNIFIED;
    }
    if absent(needed).is_none() { log_in() } else { TURNED_OFF }
}

/// The one of `needed` to name as missing: one that this machine lacks before one that this user lacks.
pub(super) fn first_missing<'a>(needed: &[&'a str]) -> &'a str {
    absent(needed).or(needed.first().copied()).unwrap_or("memory")
}

fn absent<'a>(needed: &[&'a str]) -> Option<&'a str> {
    let offered = mount_root().and_then(|root| std::fs::read_to_string(root.join("cgroup.controllers")).ok());
    let offered = offered.unwrap_or_default();
    needed.iter().find(|n| !offered.split_whitespace().any(|c| c == **n)).copied()
}

fn unified() -> bool {
    has_cgroup2() && !has_v1(&std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default())
}

/// True when a hierarchy of v1 has a controller that limits are made of (cgroups(7), "/proc files"): `4:memory:/`. systemd's own,
/// `1:name=systemd:/`, has none, and net_cls is only there.
fn has_v1(groups: &str) -> bool {
    let controllers = |line: &str| line.split(':').nth(1).map(str::to_owned).unwrap_or_default();
    groups.lines().map(controllers).any(|list| list.split(',').any(|c| matches!(c, "cpu" | "memory" | "pids")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_machine_is_known_by_its_controllers() {
        for (groups, v1) in [
            ("0::/user.slice\n", false),
            ("1:name=systemd:/\n0::/x\n", false),
            ("9:name=systemd:/\n4:memory:/a\n2:cpu,cpuacct:/\n0::/\n", true),
            ("2:cpu,cpuacct:/\n", true),
            ("1:net_cls:/\n0::/x\n", false),
            ("", false),
        ] {
            assert_eq!(has_v1(groups), v1, "{groups}");
        }
    }

    #[test]
    fn each_lack_has_its_own_way_out() {
        for (unified, source, way) in [
            (false, Source::Own, UNIFIED),
            (false, Source::None, UNIFIED),
            (true, Source::None, log_in()),
            (true, Source::Own, DELEGATE),
            (true, Source::Manager, DELEGATE),
        ] {
            assert_eq!(Usable { unified, source, controllers: Vec::new() }.advice(), way);
        }
    }
}
