//! Whether what is started here ends when its user logs out: systemd-logind then stops the user's services and, if it is set up
//! so, kills the session's processes, unless the user is allowed to linger (loginctl(1), logind.conf(5)).

use crate::userns::subid::user_name;
use std::path::Path;

/// What to say then.
pub const WARNING: &str = "the container ends when you log out: `loginctl enable-linger` lets it stay";

/// True in a login session, or below the user's service manager, of a user who may not linger.
pub fn ends_with_session() -> bool {
    let cgroup = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let uid = nix::unistd::geteuid();
    !uid.is_root() && in_session(&cgroup) && !lingers(Path::new("/var/lib/systemd/linger"), uid.as_raw())
}

/// Reads `/proc/self/cgroup`: `…/user.slice/user-1000.slice/session-2.scope`, or a unit of `user@1000.service`.
fn in_session(cgroup: &str) -> bool {
    cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2)).any(|path| {
        let mut parts = path.split('/').skip_while(|part| *part != "user.slice").skip(2);
        parts.next().is_some_and(|part| {
            (part.starts_with("session-") && part.ends_with(".scope"))
                || (part.starts_with("user@") && part.ends_with(".service"))
        })
    })
}

fn lingers(folder: &Path, uid: u32) -> bool {
    folder.join(user_name(uid)).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_known_by_their_cgroup() {
        for (cgroup, inside) in [
            ("0::/user.slice/user-1000.slice/session-2.scope\n", true),
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope\n", true),
            ("12:pids:/user.slice/user-1000.slice/session-2.scope\n0::/\n", true),
            ("0::/system.slice/ssh.service\n", false),
            ("0::/user.slice/user-1000.slice\n", false),
            ("0::/\n", false),
            ("", false),
        ] {
            assert_eq!(in_session(cgroup), inside, "{cgroup}");
        }
    }

    #[test]
    fn whoever_lingers_has_a_file() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!lingers(dir.path(), 0));
        std::fs::write(dir.path().join(user_name(0)), "").unwrap();
        assert!(lingers(dir.path(), 0));
    }
}
