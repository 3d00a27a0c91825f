//! The store through the commands that use it: images from every kind of place, names and ids, other tools reading the same
//! files, damage of every file, and pulls that meet.

use crate::support::{
    DockerRegistry, Entry, Image, ImageBuilder, Layer, Run, Sandbox, base_image, base_layer, image::Blob, layer::Kind,
};
use runr::image::Digest;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// An image whose layers are not tiny, one of them packed, with content that does not compress.
fn image(seed: u32) -> Image {
    ImageBuilder::new()
        .layer(&base_layer())
        .layer(&Layer::new().dir("data/", 0o755).file("data/noise", noise(seed, 900_000)))
        .layer(&Layer::new().file("data/seed", format!("{seed}\n")))
        .build()
}

/// Bytes that look random and are the same every time.
pub fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..len.div_ceil(8)).flat_map(|_| next()).take(len).collect()
}

/// An image's id as runr prints it.
pub fn id_of(image: &Image) -> String {
    format!("sha256:{}", image.id())
}

/// Waits until the background work of earlier commands is done: everything is marked as synced, nothing is in `tmp/`.
pub fn settle(sandbox: &Sandbox) {
    for _ in 0..500 {
        if crate::support::leaks::processes_of(sandbox.dir()).is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("a background process does not end");
}

pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

fn layer_files(sandbox: &Sandbox) -> Vec<PathBuf> {
    let mut found = files_below(&sandbox.store().join("layers"));
    found.retain(|p| p.file_name().is_some_and(|n| n == "layer.json"));
    found
}

fn blobs(sandbox: &Sandbox) -> Vec<PathBuf> {
    files_below(&sandbox.store().join("images/blobs"))
}

fn pull_archive(sandbox: &Sandbox, image: &Image, name: &str) -> String {
    let file = sandbox.path(format!("{}.tar", name.replace(['/', ':'], "_")));
    image.write_docker_archive(&file, &[name]);
    sandbox.runr(["pull", "-q", &format!("docker-archive:{}", file.display())]).output().ok().trim().to_owned()
}

#[test]
fn one_image_has_one_id_wherever_it_comes_from() {
    need!(userns, tool("docker-registry"));
    let sandbox = Sandbox::new();
    let image = image(1);
    let registry = DockerRegistry::start();
    let name = registry.push(&image, "app", "1");
    let at = |name: &str| sandbox.path(name).display().to_string();
    image.write_oci_layout(&sandbox.path("layout"), "v1");
    image.write_oci_archive(&sandbox.path("oci.tar"), "v1");
    image.write_docker_archive(&sandbox.path("docker.tar"), &["app:1"]);
    for place in [
        format!("oci:{}:v1", at("layout")),
        format!("oci-archive:{}", at("oci.tar")),
        format!("docker-archive:{}", at("docker.tar")),
        format!("docker-archive:{}:app:1", at("docker.tar")),
        name.clone(),
        format!("docker://{name}"),
    ] {
        assert_eq!(sandbox.runr(["pull", "-q", &place]).output().ok().trim(), id_of(&image), "{place}");
    }
    let all = sandbox.line("images -a -q --no-trunc").output().ok();
    assert!(all.lines().all(|id| id == id_of(&image)), "{all}");
    settle(&sandbox);
    // The layers are the same whatever their packing: one folder for each.
    assert_eq!(layer_files(&sandbox).len(), 3);
}

#[test]
fn other_tools_read_the_store_in_place() {
    need!(userns, tool("skopeo"));
    let sandbox = Sandbox::new();
    let image = image(2);
    pull_archive(&sandbox, &image, "quay.io/some/app:2");
    let place = format!("oci:{}:quay.io/some/app:2", sandbox.store().join("images").display());
    let config = sandbox.command("skopeo").args(["inspect", "--config", &place]).output().ok();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 3);
    let copy = sandbox.path("copy.tar");
    let target = format!("docker-archive:{}:app:2", copy.display());
    sandbox.command("skopeo").args(["--insecure-policy", "copy", "-q", &place, &target]).output().ok();
    let back = sandbox.runr(["pull", "-q", &format!("docker-archive:{}", copy.display())]).output().ok();
    assert_eq!(back.trim(), id_of(&image));
}

#[test]
fn images_that_other_tools_put_into_the_store_are_there() {
    need!(userns, tool("skopeo"));
    let sandbox = Sandbox::new();
    pull_archive(&sandbox, &image(1), "app:1");
    let file = sandbox.path("other.tar");
    image(7).write_docker_archive(&file, &["other:7"]);
    let store = format!("oci:{}:docker.io/library/other:7", sandbox.store().join("images").display());
    let source = format!("docker-archive:{}", file.display());
    sandbox.command("skopeo").args(["--insecure-policy", "copy", "-q", &source, &store]).output().ok();
    let listed = sandbox.runr(["images", "--format", "{{.Repository}}:{{.Tag}}"]).output().ok();
    let mut names: Vec<&str> = listed.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["app:1", "other:7"]);
    sandbox.line("rmi other:7").output().ok();
    assert_eq!(sandbox.runr(["images", "-q"]).output().ok().lines().count(), 1);
}

#[test]
fn removing_an_image_leaves_nothing_and_takes_nothing_from_others() {
    need!(userns);
    let sandbox = Sandbox::new();
    let (one, two) = (image(1), image(2));
    pull_archive(&sandbox, &one, "one:1");
    pull_archive(&sandbox, &two, "two:1");
    settle(&sandbox);
    // They share the lowest layer.
    assert_eq!((blobs(&sandbox).len(), layer_files(&sandbox).len()), (9, 5));
    let said = sandbox.line("rmi one:1").output().ok();
    assert!(said.contains("Untagged: ") && said.ends_with(&format!("Deleted: {}\n", id_of(&one))), "{said}");
    assert_eq!((blobs(&sandbox).len(), layer_files(&sandbox).len()), (5, 3));
    sandbox.runr(["rmi", &id_of(&two)]).output().ok();
    assert_eq!((blobs(&sandbox).len(), layer_files(&sandbox).len()), (0, 0));
    assert_eq!(files_below(&sandbox.store().join("layers")), Vec::<PathBuf>::new());
    assert!(sandbox.line("rmi two:1").output().fails(1).contains("no such image"));
}

#[test]
fn an_image_in_use_stays_until_forced_and_then_takes_its_containers_along() {
    need!(userns, overlay, shell);
    let sandbox = Sandbox::new();
    pull_archive(&sandbox, &image(3), "app:3");
    sandbox.line("run --name used app:3 true").output().ok();
    assert!(sandbox.line("rmi app:3").output().fails(2).contains("uses it"));
    sandbox.line("rmi -f app:3").output().ok();
    assert_eq!(sandbox.line("images -q").output().ok(), "");
    settle(&sandbox);
    assert_eq!(sandbox.line("ps -aq").output().ok(), "");
    assert_eq!(layer_files(&sandbox), Vec::<PathBuf>::new(), "nobody needs them any more");
}

#[test]
fn two_pulls_at_once_share_the_work() {
    need!(userns, tool("docker-registry"));
    let registry = DockerRegistry::start();
    let name = registry.push(&image(4), "app", "4");
    let sandbox = Sandbox::new();
    let pulls: Vec<_> = (0..4).map(|_| sandbox.runr(["pull", "-q", &name]).spawn()).collect();
    for pull in pulls {
        assert_eq!(pull.wait().ok().trim(), id_of(&image(4)));
    }
    settle(&sandbox);
    assert_eq!((blobs(&sandbox).len(), layer_files(&sandbox).len()), (5, 3));
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

#[test]
fn a_stopped_pull_stops_nobody_who_wants_something_else() {
    need!(userns, overlay, shell, tool("docker-registry"));
    let registry = DockerRegistry::start();
    // Random content: the transfer takes long enough to be stopped in its middle.
    let big = ImageBuilder::new().layer(&Layer::new().file("noise", noise(11, 40_000_000))).build();
    let name = registry.push(&big, "big", "1");
    let sandbox = Sandbox::new();
    let (one, two) = (image(1), image(2));
    pull_archive(&sandbox, &one, "one:1");
    let stopped = sandbox.runr(["pull", "-q", &name]).spawn();
    let tmp = sandbox.store().join("tmp");
    let is_under_way = || {
        let names = std::fs::read_dir(&tmp).into_iter().flatten().flatten();
        names.into_iter().any(|e| e.file_name().to_string_lossy().starts_with("blob-"))
    };
    while !is_under_way() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let pids = crate::support::leaks::processes_of(sandbox.dir());
    let signal_all = |signal| {
        for (pid, _) in &pids {
            let _may_have_ended = nix::sys::signal::kill(*pid, signal);
        }
    };
    signal_all(nix::sys::signal::Signal::SIGSTOP);
    sandbox.line("images").output().ok();
    pull_archive(&sandbox, &two, "two:1");
    sandbox.line("run --rm two:1 true").output().ok();
    sandbox.line("rmi one:1").output().ok();
    let waiting = sandbox.runr(["pull", &name]).spawn();
    std::thread::sleep(std::time::Duration::from_millis(3500));
    signal_all(nix::sys::signal::Signal::SIGCONT);
    assert_eq!(stopped.wait().ok().trim(), id_of(&big));
    let waited = waiting.wait();
    assert!(waited.stderr.contains("waiting for another pull that is bringing layer "), "{}", waited.stderr);
    // The process that brings it is the command's or its child.
    let for_whom = |pid: &nix::unistd::Pid| format!("is being brought by process {pid}, which is stopped: continue it");
    assert!(pids.iter().any(|(pid, _)| waited.stderr.contains(&for_whom(pid))), "{}", waited.stderr);
    assert_eq!(waited.ok().trim(), id_of(&big));
    settle(&sandbox);
}

#[test]
fn each_id_map_has_layers_of_its_own() {
    need!(userns, overlay, shell, subids, not_root);
    let sandbox = Sandbox::new();
    let layer = Layer::new().entry(Entry::new("owned", Kind::File(b"x".to_vec())).owner(7, 8));
    let image = ImageBuilder::new().layer(&base_layer()).layer(&layer).build();
    pull_archive(&sandbox, &image, "app:1");
    // In the namespace of either map the file has the owner that the archive gave it.
    for userns in ["host", "keep-id", "host"] {
        let owner =
            sandbox.runr(["run", "--rm", "--userns", userns, "-u", "0", "app:1", "stat", "-c", "%u:%g", "/owned"]);
        assert_eq!(owner.output().ok(), "7:8\n", "{userns}");
    }
    settle(&sandbox);
    assert_eq!(layer_files(&sandbox).len(), 4, "two layers for two maps");
    sandbox.line("rmi app:1").output().ok();
    assert_eq!(layer_files(&sandbox).len(), 0);
}

fn probes(store: &Path) -> Vec<serde_json::Value> {
    let format: serde_json::Value = serde_json::from_slice(&std::fs::read(store.join("format.json")).unwrap()).unwrap();
    format["file_systems"].as_array().unwrap().clone()
}

#[test]
fn the_file_system_is_tried_once_and_again_under_another_kernel() {
    need!(userns, overlay);
    let sandbox = Sandbox::new();
    // `doctor` says what it thinks of the machine by its exit status; here only what it keeps matters.
    let probe = || {
        let _verdict = sandbox.line("doctor").output().code();
    };
    probe();
    let first = probes(&sandbox.store());
    assert_eq!((first.len(), &first[0]["overlay_upper"]), (1, &true.into()), "{first:?}");
    let format = sandbox.store().join("format.json");
    let inode = || std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&format).unwrap());
    let before = inode();
    probe();
    assert_eq!(inode(), before, "known, so not written again");
    let old = std::fs::read_to_string(&format).unwrap();
    let kernel = first[0]["kernel"].as_str().unwrap();
    std::fs::write(&format, old.replace(kernel, "1.0")).unwrap();
    probe();
    assert_eq!(probes(&sandbox.store()).len(), 2);
}

#[test]
fn a_file_system_without_attributes_is_seen_to_be_one() {
    need!(root, userns);
    let sandbox = Sandbox::new();
    let disk = sandbox.path("disk");
    std::fs::create_dir(&disk).unwrap();
    sandbox.command("mount").args(["-t", "ramfs", "none"]).arg(&disk).output().ok();
    let root = disk.join("store");
    let _verdict = sandbox.runr(["--root", &root.display().to_string(), "doctor"]).output().code();
    let found = probes(&root);
    sandbox.command("umount").arg(&disk).output().ok();
    assert_eq!((&found[0]["user_xattrs"], &found[0]["reflink"]), (&false.into(), &false.into()), "{found:?}");
    assert_eq!(found[0]["whiteouts"], true);
}

/// Lays a partial download of the image's big layer into the store, as a killed pull leaves it.
fn lay_partial(sandbox: &Sandbox, blob: &Blob, content: &[u8]) {
    let tmp = sandbox.store().join("tmp");
    std::fs::write(tmp.join(format!("blob-sha256-{}", blob.digest.hex())), content).unwrap();
}

#[test]
fn a_pull_goes_on_with_what_an_earlier_one_left_and_survives_its_damage() {
    need!(userns, tool("docker-registry"));
    let image = image(5);
    let registry = DockerRegistry::start();
    let name = registry.push(&image, "app", "5");
    let big = image.blobs().max_by_key(|b| b.bytes.len()).unwrap().clone();
    let half = &big.bytes[..big.bytes.len() / 2];
    let mut damaged = half.to_vec();
    damaged[1000] ^= 1;
    let too_long = [&big.bytes[..], b"more"].concat();
    for content in [half, &damaged, &big.bytes, &too_long, b"", &[0; 4096]] {
        let sandbox = Sandbox::new();
        sandbox.line("images").output().ok();
        lay_partial(&sandbox, &big, content);
        assert_eq!(sandbox.runr(["pull", "-q", &name]).output().ok().trim(), id_of(&image));
        settle(&sandbox);
        assert_eq!(sandbox.leftovers(), Vec::<String>::new());
        for blob in image.blobs() {
            let path = sandbox.store().join("images/blobs/sha256").join(blob.digest.hex());
            if path.exists() {
                assert_eq!(std::fs::read(&path).unwrap(), blob.bytes);
            }
        }
    }
}

#[test]
fn a_blob_that_is_not_what_it_should_be_is_named_and_leaves_nothing() {
    need!(userns);
    let sandbox = Sandbox::new();
    let image = image(6);
    let layout = sandbox.path("layout");
    image.write_oci_layout(&layout, "v1");
    let big = image.blobs().max_by_key(|b| b.bytes.len()).unwrap().clone();
    let file = layout.join("blobs/sha256").join(big.digest.hex());
    let mut bytes = big.bytes.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&file, &bytes).unwrap();
    let place = format!("oci:{}:v1", layout.display());
    let said = sandbox.runr(["pull", "-q", &place]).output().fails(125);
    let actual = Digest::of(&bytes).to_string();
    assert!(said.contains(&big.digest.to_string()) && said.contains(&actual), "{said}");
    settle(&sandbox);
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
    assert_eq!(sandbox.line("images -q").output().ok(), "");
    std::fs::write(&file, &big.bytes).unwrap();
    assert_eq!(sandbox.runr(["pull", "-q", &place]).output().ok().trim(), id_of(&image));
}

#[test]
fn the_built_in_image_needs_nothing() {
    need!(userns);
    let sandbox = Sandbox::new();
    let id = sandbox.line("pull -q builtin:hello").output().ok();
    assert_eq!(sandbox.line("pull -q builtin:hello").output().ok(), id);
    assert_eq!(sandbox.line("images --format {{.Repository}}:{{.Tag}}").output().ok(), "localhost/hello:builtin\n");
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.line("images").output().ok();
    let format = sandbox.store().join("format.json");
    std::fs::write(&format, r#"{"version": 99}"#).unwrap();
    let said = sandbox.line("images").output().fails(125);
    assert!(said.contains("has format 99") && said.contains("--root"), "{said}");
    std::fs::remove_file(format).unwrap();
}

#[test]
fn another_users_store_is_refused() {
    need!(root);
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.store()).unwrap();
    std::os::unix::fs::chown(sandbox.store(), Some(12345), None).unwrap();
    let said = sandbox.line("images").output().fails(125);
    assert!(said.contains("belongs to user 12345"), "{said}");
}

/// What every command must be able to do whatever was damaged, given the registry.
fn works(sandbox: &Sandbox, name: &str, what: &str) {
    sandbox.line("images").output().ok();
    let said = sandbox.runr(["run", "--rm", name, "cat", "/data/seed"]).output();
    assert_eq!((said.code(), said.stdout.as_str()), (0, "8\n"), "{what}: {}", said.stderr);
    settle(sandbox);
    assert_eq!(sandbox.leftovers(), Vec::<String>::new(), "{what}");
}

fn overwrite(path: &Path, content: &[u8]) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(path, content).unwrap();
}

#[test]
fn damage_of_any_file_of_the_store_is_repaired_from_the_rest_or_the_registry() {
    need!(userns, overlay, shell, tool("docker-registry"));
    let registry = DockerRegistry::start();
    let name = registry.push(&image(8), "app", "8");
    let sandbox = Sandbox::new();
    works(&sandbox, &name, "at first");
    let images = sandbox.store().join("images");
    for file in [sandbox.store().join("format.json"), images.join("index.json"), images.join("runr-cache.json")] {
        for content in [&b""[..], b"{", b"null", b"\0\0\0\0"] {
            overwrite(&file, content);
            works(&sandbox, &name, &format!("{} is {content:?}", file.display()));
        }
        std::fs::remove_file(&file).unwrap();
        works(&sandbox, &name, &format!("{} is gone", file.display()));
    }
    for file in layer_files(&sandbox) {
        overwrite(&file, b"");
        works(&sandbox, &name, "layer.json is empty");
    }
    for file in blobs(&sandbox) {
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        overwrite(&file, &bytes);
        // Without the unpacked layers every blob is needed.
        for layer in layer_files(&sandbox) {
            std::fs::remove_file(layer).unwrap();
        }
        works(&sandbox, &name, &format!("{} has a flipped bit", file.display()));
        std::fs::remove_file(&file).unwrap();
        for layer in layer_files(&sandbox) {
            std::fs::remove_file(layer).unwrap();
        }
        works(&sandbox, &name, &format!("{} is gone", file.display()));
    }
}

#[test]
fn a_damaged_image_is_listed_as_such_and_can_be_removed() {
    need!(userns);
    let sandbox = Sandbox::new();
    pull_archive(&sandbox, &image(9), "broken:1");
    pull_archive(&sandbox, base_image(), "whole:1");
    settle(&sandbox);
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(sandbox.store().join("images/index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    std::fs::remove_file(sandbox.store().join("images/blobs/sha256").join(digest)).unwrap();
    let out = sandbox.runr(["images", "--format", "{{.Repository}}"]).output();
    assert_eq!(out.stdout.lines().count(), 2, "{}", out.stderr);
    sandbox.line("rmi broken:1").output().ok();
    assert_eq!(sandbox.runr(["images", "--format", "{{.Repository}}"]).output().ok(), "whole\n");
}

/// The command with a limit on the size of files, to see writing fail.
#[test]
fn a_file_that_cannot_grow_is_an_error_and_nothing_more() {
    need!(userns);
    let sandbox = Sandbox::new();
    let file = sandbox.path("x.tar");
    image(10).write_docker_archive(&file, &["app:10"]);
    let script = format!("ulimit -f 200; trap '' XFSZ; exec runr pull -q docker-archive:{}", file.display());
    let out: Run = sandbox.sh(&script);
    let said = out.output().fails(125);
    assert!(said.contains("EFBIG"), "{said}");
    settle(&sandbox);
    let pulled = sandbox.runr(["pull", "-q", &format!("docker-archive:{}", file.display())]).output().ok();
    assert_eq!(pulled.trim(), id_of(&image(10)));
}
