//! `tests/scripts`: realistic shell scripts written for `docker`, run unchanged with runr and with podman; both must print the
//! same and end with the same status.

use crate::support::{Sandbox, command::Output};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Duration;

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(name)
}

/// Runs a script with `docker` being runr.
fn with_runr(name: &str) -> Output {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    symlink(crate::support::sandbox::binary(), sandbox.path("bin/docker")).unwrap();
    run(&sandbox, name)
}

/// Runs a script with `docker` being podman, with a storage of its own.
fn with_podman(name: &str) -> Output {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("base.tar");
    crate::support::base_image().write_docker_archive(&archive, &["busybox:latest"]);
    // runc, because crun refuses hybrid cgroups; files, because there may be no systemd.
    let conf = "[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n[containers]\nlog_driver = \"k8s-file\"\n";
    let conf = sandbox.write("config/containers.conf", conf);
    let wrapper = format!("#!/bin/sh\nCONTAINERS_CONF={} exec podman \"$@\"\n", conf.display());
    let wrapper = sandbox.write("bin/docker", wrapper);
    std::fs::set_permissions(wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    // podman gives a name without a registry to `localhost`; the scripts' is Docker Hub's.
    let load = "docker load -qi base.tar && docker tag localhost/busybox docker.io/library/busybox";
    sandbox.sh(&format!("{load} && docker rmi localhost/busybox")).cwd(sandbox.dir()).output().ok();
    let out = run(&sandbox, name);
    drop(sandbox.sh("docker rm -fa -t 0; docker system reset -f").output());
    out
}

fn run(sandbox: &Sandbox, name: &str) -> Output {
    let shell = if name.ends_with(".bash") { "bash" } else { "sh" };
    let run = sandbox.command(shell).arg(script(name)).env("IMAGE", "busybox");
    run.cwd(sandbox.dir()).limit(Duration::from_secs(120)).output()
}

/// With runr the script ends as it should; with podman it does the same.
#[track_caller]
fn same(name: &str, status: i32) {
    need!(userns, shell);
    if std::fs::read_to_string(script(name)).unwrap().contains(" -u ") {
        // It becomes another user.
        need!(subids);
    }
    let ours = with_runr(name);
    assert_eq!(ours.code(), status, "{name} with runr: {}\n{}", ours.stdout, ours.stderr);
    // podman as root may not set the limits that it wants to everywhere, and needs subordinate ids otherwise.
    need!(tool("podman"), tool("runc"), not_root, subids);
    let theirs = with_podman(name);
    assert_eq!(ours.stdout, theirs.stdout, "{name}; podman's errors: {}", theirs.stderr);
    assert_eq!(theirs.code(), status, "{name} with podman");
}

macro_rules! scripts {
    ($($test:ident $file:literal $status:literal;)*) => {
        $(#[test] fn $test() { same($file, $status); })*

        #[test]
        fn every_script_is_run() {
            let mut listed = vec![$($file.to_owned()),*];
            let folder = std::fs::read_dir(script("")).unwrap().flatten();
            let names = folder.map(|e| e.file_name().to_string_lossy().into_owned());
            let mut there: Vec<String> = names.filter(|n| n != "README.md").collect();
            (listed.sort(), there.sort());
            assert_eq!(listed, there);
        }
    };
}

scripts! {
    artefacts "artefacts.sh" 0;
    commit "commit.sh" 0;
    database "database.bash" 4;
    exit_codes "exit-codes.sh" 0;
    formats "formats.sh" 0;
    health "health.sh" 0;
    lifecycle "lifecycle.bash" 0;
    listing "listing.sh" 0;
    logs "logs.sh" 0;
    matrix "matrix.bash" 0;
    streams "streams.sh" 0;
    volumes "volumes.bash" 0;
}
