//! podman with a store of its own in a sandbox, for the tests that compare with it.

use super::{Run, Sandbox, base_image};

/// podman and the sandbox it works in; dropping it takes away what podman would leave.
pub struct Podman<'a> {
    sandbox: &'a Sandbox,
}

impl<'a> Podman<'a> {
    /// podman with the base image under the name `busybox`; `None`, and it is said, where it does not work.
    pub fn start(sandbox: &'a Sandbox) -> Option<Self> {
        let podman = Self { sandbox };
        let archive = sandbox.path("podman-base.tar");
        base_image().write_docker_archive(&archive, &["busybox:latest"]);
        let loaded = podman.command(&["load", "-q", "-i", archive.to_str().unwrap()]).output();
        std::fs::remove_file(&archive).unwrap();
        if loaded.code() == 0 {
            return Some(podman);
        }
        eprintln!("skip: podman does not work here: {}", loaded.stderr);
        None
    }

    /// A podman command line.
    pub fn command(&self, args: &[&str]) -> Run {
        let flags = ["--runtime", "runc", "--cgroup-manager", "cgroupfs", "--root"];
        let command = self.sandbox.command("podman").args(flags).arg(self.sandbox.path("podman"));
        command.arg("--runroot").arg(self.sandbox.path("podman-run")).args(args)
    }

    /// Whether it can run a container here: crun and runc ask for more of a machine than loading an image does.
    pub fn runs(&self) -> bool {
        let ran = self.command(&["run", "--rm", "--network", "host", "busybox", "true"]).output();
        if ran.code() != 0 {
            eprintln!("skip: podman runs nothing here: {}", ran.stderr);
        }
        ran.code() == 0
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        // It leaves a process that keeps its namespaces alive; its pid stands in one of its folders.
        let script =
            "pid=$(find . -name pause.pid -exec cat {} +); podman unshare rm -rf podman podman-run; kill -9 $pid";
        drop(self.sandbox.sh(script).cwd(self.sandbox.dir()).output());
    }
}
