//! A full disk stops nothing but what needs room: pulls and starts fail with one line and leave nothing, containers that run
//! go on, what is there can be used, and what is not wanted can go.
//!
//! The disk is a small tmpfs.

use crate::durability::image;
use crate::store::{files_below, settle};
use crate::support::{Image, Run, Sandbox, inside::may_mount};
use std::path::PathBuf;

/// A file system of a few megabytes with a store, for one test.
struct SmallDisk {
    sandbox: Sandbox,
    path: PathBuf,
}

impl SmallDisk {
    /// With the image `small:1`, whose `/data/file` says `content`.
    fn new(size: &str) -> Self {
        let sandbox = Sandbox::new();
        let path = sandbox.path("disk");
        std::fs::create_dir(&path).unwrap();
        let option = format!("size={size}");
        sandbox.command("mount").args(["-t", "tmpfs", "-o", &option, "none"]).arg(&path).output().ok();
        let disk = Self { sandbox, path };
        let small = disk.archive("small", &image(4, 1000));
        disk.runr(&["pull", "-q", &small]).output().ok();
        disk.works();
        disk
    }

    fn archive(&self, name: &str, image: &Image) -> String {
        let file = self.sandbox.path(format!("{name}.tar"));
        image.write_docker_archive(&file, &[&format!("{name}:1")]);
        format!("docker-archive:{}", file.display())
    }

    fn root(&self) -> PathBuf {
        self.path.join("store")
    }

    fn runr(&self, args: &[&str]) -> Run {
        let root = self.root().display().to_string();
        self.sandbox.runr(["--root", &root]).args(args)
    }

    /// Takes the last byte, until it is removed.
    fn fill(&self) -> PathBuf {
        let filler = self.path.join("filler");
        self.sandbox.sh(&format!("cat /dev/zero > {}", filler.display())).output().fails(1);
        filler
    }

    /// Nothing is left of what failed.
    #[track_caller]
    fn is_clean(&self) {
        settle(&self.sandbox);
        assert_eq!(files_below(&self.root().join("tmp")), Vec::<PathBuf>::new());
    }

    /// What is there can be looked at and used.
    #[track_caller]
    fn works(&self) {
        self.lists();
        assert_eq!(self.runr(&["run", "--rm", "small:1", "cat", "/data/file"]).output().ok(), "content\n");
        self.is_clean();
    }

    #[track_caller]
    fn lists(&self) {
        assert_eq!(self.runr(&["images", "--format", "{{.Repository}}"]).output().ok(), "small\n");
        self.runr(&["ps", "-a"]).output().ok();
        self.runr(&["info"]).output().ok();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.sandbox.command("umount").arg("-l").arg(&self.path).try_output());
    }
}

#[test]
fn it_ends_a_pull_and_nothing_else() {
    need!(userns, subids, overlay, shell);
    if !may_mount("full_disk::it_ends_a_pull_and_nothing_else") {
        return;
    }
    let disk = SmallDisk::new("24m");
    let large = disk.archive("large", &image(5, 30 << 20));
    for _ in 0..3 {
        let said = disk.runr(&["pull", "-q", &large]).output().fails(125);
        assert!(said.contains("ENOSPC"), "{said}");
        disk.is_clean();
    }
    disk.works();
    let said = disk.runr(&["run", "--rm", &large, "true"]).output().fails(125);
    assert!(said.contains("ENOSPC"), "{said}");
    disk.is_clean();
    disk.works();

    // Full to the last byte: what is no longer wanted can go all the same.
    let filler = disk.fill();
    disk.lists();
    disk.runr(&["rmi", "small:1"]).output().ok();
    assert_eq!(disk.runr(&["images", "-q"]).output().ok(), "");
    std::fs::remove_file(&filler).unwrap();
    disk.is_clean();
    disk.runr(&["pull", "-q", &disk.archive("small", &image(4, 1000))]).output().ok();
    disk.works();
}

#[test]
fn it_ends_a_start_and_the_next_one_works() {
    need!(userns, subids, overlay, shell);
    if !may_mount("full_disk::it_ends_a_start_and_the_next_one_works") {
        return;
    }
    let disk = SmallDisk::new("24m");
    for args in
        [&["run", "--rm"][..], &["run", "--name", "c"], &["run", "-d", "--name", "c"], &["create", "--name", "c"]]
    {
        let filler = disk.fill();
        let said = disk.runr(args).args(["small:1", "true"]).output().fails(125);
        assert!(said.starts_with("runr: ") && said.contains("ENOSPC"), "{args:?}: {said}");
        disk.lists();
        assert_eq!(disk.runr(&["ps", "-a", "-q"]).output().ok(), "", "{args:?}");
        std::fs::remove_file(&filler).unwrap();
        disk.works();
    }
    // The name is free.
    disk.runr(&["run", "--rm", "--name", "c", "small:1", "true"]).output().ok();
}

/// Fills the disk from inside, which the container notices and nobody else.
#[test]
fn a_container_that_fills_it_runs_to_its_end_and_can_go() {
    need!(userns, subids, overlay, shell);
    if !may_mount("full_disk::a_container_that_fills_it_runs_to_its_end_and_can_go") {
        return;
    }
    let disk = SmallDisk::new("24m");
    let script = "cat /dev/zero >/fill; echo full; seq 100000; exit 7";
    for args in [&["run", "--rm"][..], &["run", "--name", "c"]] {
        let out = disk.runr(args).args(["small:1", "sh", "-c", script]).output();
        assert_eq!((out.stdout.lines().count(), out.stdout.ends_with("100000\n")), (100_001, true), "{args:?}");
        out.exits(7);
        settle(&disk.sandbox);
        disk.lists();
    }
    assert_eq!(
        disk.runr(&["ps", "-a", "--format", "{{.Names}} {{.State}} {{.ExitCode}}"]).output().ok(),
        "c exited 7\n"
    );
    disk.runr(&["rm", "c"]).output().ok();
    disk.works();
    // One fills it while another one runs, and is removed in the middle of it.
    let script = "sleep 2; cat /data/file";
    let reader = disk.runr(&["run", "--rm", "small:1", "sh", "-c", script]).spawn();
    while disk.runr(&["ps", "-q"]).output().ok().is_empty() {}
    let script = "cat /dev/zero >/fill; sleep 1000";
    let writer = disk.runr(&["run", "--name", "c", "small:1", "sh", "-c", script]).spawn();
    assert_eq!(reader.wait().ok(), "content\n");
    disk.runr(&["rm", "-f", "c"]).output().ok();
    writer.wait().exits(137);
    disk.works();
}
