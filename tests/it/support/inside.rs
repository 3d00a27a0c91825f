//! Tests that need rights which a user has only in a user namespace start this very executable there, for the same test.

use super::sandbox::Sandbox;

/// True where mounting is allowed: for root, and inside. Elsewhere it runs the test `name` (with its module) as root of a user
/// namespace with all of the user's ids, to its end. Needs `need!(userns, subids)`.
pub fn may_mount(name: &str) -> bool {
    if nix::unistd::geteuid().is_root() {
        return true;
    }
    let sandbox = Sandbox::new();
    let run = sandbox.command("unshare").args(["--user", "--map-root-user", "--map-auto", "--mount"]);
    let run = run.env("RUNR_TEST_BINARY", super::sandbox::binary());
    let out = run.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]).output();
    assert!(out.stdout.contains("1 passed"), "{}\n{}", out.stdout, out.stderr);
    out.ok();
    false
}
