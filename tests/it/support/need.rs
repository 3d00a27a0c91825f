//! What a test needs from the machine. A missing need skips the test and says so; with `RUNR_TEST_MUST_RUN=1` a skip is a
//! failure, unless the need stands in `RUNR_TEST_EXPECT_SKIP` (names separated by commas: a user without subordinate ids
//! can't have `subids`).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Skips the test unless the machine has all that is listed: `need!(userns, subids, tool("skopeo"))`. Each word is a
/// function of `support::need`.
macro_rules! need {
    ($($name:ident $(($($arg:expr),*))?),+ $(,)?) => {
        $(
            if let Err(reason) = $crate::support::need::$name($($($arg),*)?) {
                $crate::support::need::skip(stringify!($name), &reason);
                return;
            }
        )+
    };
}

/// Reports a skip, or fails where skips are not expected.
pub fn skip(need: &str, reason: &str) {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    let expected = std::env::var("RUNR_TEST_EXPECT_SKIP").unwrap_or_default();
    let must_run = std::env::var("RUNR_TEST_MUST_RUN").is_ok_and(|v| v == "1");
    assert!(
        !must_run || expected.split(',').any(|e| e.trim() == need),
        "skip: {test}: {reason} (RUNR_TEST_MUST_RUN is set and `{need}` is not in RUNR_TEST_EXPECT_SKIP)"
    );
    // Past the capture of the test harness, so that a run shows what it did not test.
    let line = format!("skip: {test}: {reason}\n");
    drop(std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()));
}

/// The outcome of a check: an error is the reason for the skip.
pub type Need = Result<(), String>;

pub(super) fn when(condition: bool, reason: impl Into<String>) -> Need {
    if condition { Ok(()) } else { Err(reason.into()) }
}

/// A program of the system, searched in PATH and the `sbin` folders.
pub fn find_tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|d| d.join(name)).find(|f| f.is_file())
}

/// A program must be installed.
pub fn tool(name: &str) -> Need {
    when(find_tool(name).is_some(), format!("`{name}` is not installed"))
}

fn succeeds(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// User namespaces must be permitted.
pub fn userns() -> Need {
    static FOUND: OnceLock<bool> = OnceLock::new();
    when(
        *FOUND.get_or_init(|| succeeds("unshare", &["--user", "--map-root-user", "--mount", "true"])),
        "user namespaces are not permitted",
    )
}

/// The kernel must have time namespaces (Linux 5.6), and permit them.
pub fn time_namespaces() -> Need {
    static FOUND: OnceLock<bool> = OnceLock::new();
    when(
        *FOUND.get_or_init(|| succeeds("unshare", &["--user", "--map-root-user", "--time", "--fork", "true"])),
        "time namespaces are not permitted",
    )
}

/// Overlay mounts in a user namespace must work in the folder of the sandboxes.
pub fn overlay() -> Need {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let probe = || {
        let dir = super::sandbox::unique_dir();
        for d in ["l", "u", "w", "m"] {
            std::fs::create_dir_all(dir.join(d)).unwrap();
        }
        let d = dir.display();
        let script = format!("mount -t overlay overlay -o userxattr,lowerdir={d}/l,upperdir={d}/u,workdir={d}/w {d}/m");
        let ok = succeeds("unshare", &["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
        // The kernel leaves a directory of mode 0 in `work`.
        succeeds("chmod", &["-R", "u+rwx", dir.to_str().unwrap()]);
        drop(std::fs::remove_dir_all(&dir));
        ok
    };
    when(*FOUND.get_or_init(probe), "overlay is not permitted in user namespaces here")
}

/// `tests/probe` must have been built.
pub fn probe() -> Need {
    super::probe::built()
}

/// The tests must run as root.
pub fn root() -> Need {
    when(nix::unistd::geteuid().is_root(), "not root")
}

/// The tests must not run as root.
pub fn not_root() -> Need {
    when(!nix::unistd::geteuid().is_root(), "is root")
}

/// Container ids beyond one: root has them all, others need subordinate ranges and `newuidmap`.
pub fn subids() -> Need {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let uid = nix::unistd::geteuid().as_raw();
    when(runr::userns::subid::subordinate_ranges(uid).is_some(), "this user has no subordinate ids")?;
    tool("newuidmap")?;
    tool("newgidmap")
}

/// The user must have a single id only.
pub fn one_id() -> Need {
    when(subids().is_err(), "this user has subordinate ids")
}

/// An interface besides loopback must be up.
pub fn network() -> Need {
    let up = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten().any(|e| {
        e.file_name() != "lo" && std::fs::read_to_string(e.path().join("operstate")).is_ok_and(|s| s.trim() == "up")
    });
    when(up, "no network interface is up")
}

/// `/dev/net/tun` must be open to this user.
pub fn tun() -> Need {
    when(
        std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun").is_ok(),
        "`/dev/net/tun` is not accessible",
    )
}

/// Files can be mounted as disks.
pub fn loop_device() -> Need {
    static FOUND: OnceLock<bool> = OnceLock::new();
    when(*FOUND.get_or_init(|| succeeds("losetup", &["--find"])), "there are no loop devices")
}

/// A cgroup v2 folder must be delegated to this user.
pub fn cgroup() -> Need {
    when(cgroup_folder().is_some(), "no delegated cgroup v2 folder")
}

/// The cgroup v2 folder of this process, if it may make folders in it.
pub fn cgroup_folder() -> Option<PathBuf> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|l| l.strip_prefix("0::"))?.trim_start_matches('/').to_owned();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let root = mounts.lines().find(|l| l.contains(" - cgroup2 "))?.split(' ').nth(4)?.to_owned();
    let folder = Path::new(&root).join(path);
    let writable = nix::unistd::access(&folder, nix::unistd::AccessFlags::W_OK).is_ok();
    writable.then_some(folder)
}

/// The base image must have a shell: it has unless the machine has neither busybox nor `ldd`.
pub fn shell() -> Need {
    super::base::shell()
}

/// A tar of the real Alpine must be there (`RUNR_TEST_ALPINE_TAR`, made by `.ci/run`).
pub fn alpine() -> Need {
    file_from("RUNR_TEST_ALPINE_TAR").map(drop)
}

/// A tar of a Debian must be there (`RUNR_TEST_DEBIAN_TAR`, made by `.ci/run`).
pub fn debian() -> Need {
    file_from("RUNR_TEST_DEBIAN_TAR").map(drop)
}

/// The file that an environment variable names.
pub fn file_from(variable: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os(variable).map(PathBuf::from).ok_or(format!("`{variable}` is not set"))?;
    if path.is_file() { Ok(path) } else { Err(format!("`{variable}` names no file: `{}`", path.display())) }
}
