//! A power cut right after a command: the store lies on an ext4 of its own, the image of that file system is copied while
//! the kernel still holds what was not written back, and the copy is what the next boot finds.

use crate::support::{DockerRegistry, Entry, Image, ImageBuilder, Layer, Run, Sandbox, base_layer, layer::Kind};
use std::path::{Path, PathBuf};

/// An ext4 in a file, mounted.
struct Disk<'a> {
    sandbox: &'a Sandbox,
    file: PathBuf,
    mount: PathBuf,
}

impl<'a> Disk<'a> {
    fn new(sandbox: &'a Sandbox) -> Self {
        let file = sandbox.path("disk.img");
        sandbox.command("truncate").args(["-s", "400M"]).arg(&file).output().ok();
        sandbox.command("mkfs.ext4").args(["-q", "-F"]).arg(&file).output().ok();
        Self::mounted(sandbox, file, "disk")
    }

    fn mounted(sandbox: &'a Sandbox, file: PathBuf, name: &str) -> Self {
        let mount = sandbox.path(name);
        std::fs::create_dir(&mount).unwrap();
        // The kernel would write back after some seconds; the test must not depend on how fast it is.
        sandbox.command("mount").args(["-o", "loop,commit=300"]).arg(&file).arg(&mount).output().ok();
        Self { sandbox, file, mount }
    }

    /// What a power cut would leave, as another disk.
    fn after_power_cut(&self) -> Self {
        let copy = self.sandbox.path("copy.img");
        self.sandbox.command("cp").args(["--sparse=always"]).arg(&self.file).arg(&copy).output().ok();
        Self::mounted(self.sandbox, copy, "copy")
    }

    fn root(&self) -> String {
        self.mount.join("store").display().to_string()
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        for _ in 0..50 {
            let done = self.sandbox.command("umount").arg(&self.mount).try_output();
            if done.is_ok_and(|o| o.status.success()) {
                return;
            }
            // The detached process that syncs is still there.
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        drop(self.sandbox.command("umount").arg("-l").arg(&self.mount).try_output());
    }
}

/// `runr` as it runs after a reboot: the kernel has another boot id.
fn next_boot(sandbox: &Sandbox, args: &[&str]) -> Run {
    let boot_id = sandbox.write("boot_id", "11111111-2222-4333-8444-555555555555\n");
    let script = format!("mount --bind {} /proc/sys/kernel/random/boot_id && exec runr \"$@\"", boot_id.display());
    sandbox.command("unshare").args(["--mount", "sh", "-c", &script, "sh"]).args(args)
}

/// Many small files and one big one, so that something is always still in memory.
fn image() -> Image {
    let mut layer = Layer::new().dir("data/", 0o755);
    for n in 0..300 {
        layer = layer.file(format!("data/f{n}"), format!("content of {n}\n").repeat(50));
    }
    layer = layer.entry(Entry::new("data/big", Kind::File(vec![b'x'; 8 << 20])));
    ImageBuilder::new().layer(&base_layer()).layer(&layer).build()
}

const SUM: &str = "cat /data/* | wc -c";

#[test]
fn an_image_that_was_just_pulled_is_whole_or_pulled_again() {
    need!(root, userns, shell, loop_device, tool("mkfs.ext4"), tool("unshare"), tool("docker-registry"));
    let sandbox = Sandbox::new();
    let registry = DockerRegistry::start();
    let name = registry.push(&image(), "big", "1");
    let disk = Disk::new(&sandbox);
    let expected = sandbox.runr(["--root", &disk.root(), "run", "--rm", &name, "sh", "-c", SUM]).output().ok();
    assert!(expected.trim().parse::<u64>().unwrap() > 8 << 20);
    let copy = disk.after_power_cut();
    // Whatever was lost, the next boot sees a whole image: kept, built again from its blob, or pulled again.
    let after = next_boot(&sandbox, &["--root", &copy.root(), "run", "--rm", &name, "sh", "-c", SUM]).output().ok();
    assert_eq!(after, expected);
}

#[test]
fn a_container_that_was_created_is_still_there() {
    need!(root, userns, shell, loop_device, tool("mkfs.ext4"), tool("unshare"), tool("docker-registry"));
    let sandbox = Sandbox::new();
    let registry = DockerRegistry::start();
    let name = registry.push(&image(), "big", "1");
    let disk = Disk::new(&sandbox);
    let root = disk.root();
    sandbox.runr(["--root", &root, "run", "--name", "ended", &name, "true"]).output().ok();
    let running = sandbox.runr(["--root", &root, "run", "--name", "running", &name, "sleep", "600"]).spawn();
    // From the moment that it shows as running, its record is on disk.
    for _ in 0..500 {
        let listed = sandbox.runr(["--root", &root, "ps", "-q", "--filter", "status=running"]).output().ok();
        if !listed.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let copy = disk.after_power_cut();
    let listed = next_boot(&sandbox, &["--root", &copy.root(), "ps", "-a", "--format", "{{.Names}} {{.State}}"]);
    let mut lines: Vec<String> = listed.output().ok().lines().map(str::to_owned).collect();
    lines.sort();
    // A pid of an earlier boot means nothing: that container has ended, whoever has its number now.
    assert_eq!(lines, ["ended exited", "running exited"]);
    for container in ["ended", "running"] {
        next_boot(&sandbox, &["--root", &copy.root(), "rm", "-f", container]).output().ok();
    }
    sandbox.runr(["--root", &root, "rm", "-f", "running"]).output().ok();
    assert_eq!(running.wait().code(), 137);
    assert!(Path::new(&root).join("format.json").exists());
}
