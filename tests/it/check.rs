//! `system check`: every kind of damage is injected, found, told by the exit status, and repaired; then all commands work.

use crate::store::{files_below, settle};
use crate::support::Sandbox;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const CLEAN: &str = "No damage found.\n";

/// A sandbox with an image and the container `c` that was made of it.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox.line("create --name c busybox true").output().ok();
    settle(&sandbox);
    assert_eq!(sandbox.line("system check").output().ok(), CLEAN);
    sandbox
}

fn container(sandbox: &Sandbox) -> PathBuf {
    let mut folders = std::fs::read_dir(sandbox.store().join("containers")).unwrap();
    folders.next().unwrap().unwrap().path()
}

fn blobs(sandbox: &Sandbox) -> Vec<PathBuf> {
    let mut blobs = files_below(&sandbox.store().join("images/blobs"));
    blobs.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
    blobs
}

/// The largest blob: a layer.
fn layer_blob(sandbox: &Sandbox) -> PathBuf {
    blobs(sandbox).pop().unwrap()
}

fn layer_json(sandbox: &Sandbox) -> PathBuf {
    let files = files_below(&sandbox.store().join("layers"));
    files.into_iter().find(|p| p.file_name().is_some_and(|n| n == "layer.json")).unwrap()
}

/// Overwrites a file as a power cut or a bad disk does, whatever its mode.
fn overwrite(path: &Path, bytes: &[u8]) {
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Looks without touching, looks and repairs, looks again.
#[track_caller]
fn found_and_repaired(sandbox: &Sandbox, what: &str) {
    let out = sandbox.line("system check").output();
    assert_eq!(out.code(), 1, "{what}: {}{}", out.stdout, out.stderr);
    assert!(out.stdout.contains(what), "`{what}` in:\n{}", out.stdout);
    let out = sandbox.line("system check --repair").output();
    assert_eq!(out.code(), 0, "{what}: {}{}", out.stdout, out.stderr);
    assert!(out.stdout.contains("\n  repaired: "), "{}", out.stdout);
    assert_eq!(sandbox.line("system check").output().ok(), CLEAN, "{what}");
}

/// After all damage and repair: the usual commands do their work.
#[track_caller]
fn everything_works(sandbox: &Sandbox) {
    sandbox.base_image();
    for line in ["images", "ps -a", "system df", "run --rm busybox true", "start -a c", "rm c", "rmi busybox"] {
        let out = sandbox.line(line).output();
        assert_eq!((out.code(), out.stderr.as_str()), (0, ""), "{line}");
    }
    assert_eq!(sandbox.line("system check").output().ok(), CLEAN);
}

fn damaged(way: &str, mut bytes: Vec<u8>) -> Vec<u8> {
    let middle = bytes.len() / 2;
    match way {
        "truncated" => bytes.truncate(middle),
        "flipped" => bytes[middle] ^= 1,
        _ => bytes.clear(),
    }
    bytes
}

#[test]
fn damaged_blobs() {
    need!(userns, shell);
    let sandbox = sandbox();
    for way in ["truncated", "flipped", "emptied"] {
        for at in 0..blobs(&sandbox).len() {
            let blob = blobs(&sandbox)[at].clone();
            overwrite(&blob, &damaged(way, std::fs::read(&blob).unwrap()));
            let name = blob.file_name().unwrap().to_string_lossy().into_owned();
            let out = sandbox.line("system check").output();
            assert_eq!(out.code(), 1, "{way} {at}");
            assert!(out.stdout.contains(&format!("blob `sha256:{name}` ")), "{way} {at}: {}", out.stdout);
            if way == "emptied" {
                assert_eq!(sandbox.line("system check --quick").output().code(), 1, "no blob has to be read for that");
            }
            // A container stands on this image, so the image is not taken away; it can be brought back.
            let out = sandbox.line("system check --repair").output();
            assert!(out.stdout.contains("brings it back"), "{way} {at}: {}", out.stdout);
            assert!(!blob.exists(), "{way} {at}");
            sandbox.base_image();
            settle(&sandbox);
            assert_eq!(sandbox.line("system check").output().ok(), CLEAN, "{way} {at}");
        }
    }
    everything_works(&sandbox);
}

#[test]
fn an_image_that_nobody_can_use_goes() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("rm c").output().ok();
    std::fs::remove_file(&blobs(&sandbox)[0]).unwrap();
    found_and_repaired(&sandbox, "image `docker.io/library/busybox:latest` is damaged: ");
    assert_eq!(sandbox.line("images -q").output().ok(), "");
    sandbox.base_image();
    // Neither packed nor unpacked.
    std::fs::remove_file(layer_blob(&sandbox)).unwrap();
    std::fs::remove_file(layer_json(&sandbox)).unwrap();
    let out = sandbox.line("system check").output();
    assert!(out.stdout.contains("is missing\n") && out.stdout.contains("`layer.json`"), "{}", out.stdout);
    let out = sandbox.line("system check --repair --force").output();
    assert_eq!(out.code(), 0, "{}", out.stdout);
    assert_eq!(sandbox.line("system check").output().ok(), CLEAN);
    sandbox.base_image();
    sandbox.line("create --name c busybox true").output().ok();
    everything_works(&sandbox);
}

#[test]
fn changed_files_of_layers_are_found_and_made_again() {
    need!(userns, shell);
    let sandbox = sandbox();
    let fs = layer_json(&sandbox).with_file_name("fs");
    // The image's files are the user's own, by whatever map.
    let file = files_below(&fs).into_iter().find(|p| std::fs::metadata(p).is_ok_and(|m| m.len() > 0)).unwrap();
    let (was, modified) = (std::fs::read(&file).unwrap(), std::fs::metadata(&file).unwrap().modified().unwrap());
    // One bit, as a bad disk does: size and time stay.
    let mut bytes = was.clone();
    *bytes.last_mut().unwrap() ^= 1;
    overwrite(&file, &bytes);
    std::fs::File::open(&file).unwrap().set_modified(modified).unwrap();
    assert_eq!(sandbox.line("system check --quick").output().ok(), CLEAN, "no file is read for that");
    found_and_repaired(&sandbox, "has another content");
    sandbox.line("run --rm busybox true").output().ok();
    assert!(std::fs::read(&file).unwrap() == was);
    std::fs::remove_file(&file).unwrap();
    found_and_repaired(&sandbox, "is missing");
    everything_works(&sandbox);
}

#[test]
fn layers_are_made_again_from_their_blobs() {
    need!(userns, shell);
    let sandbox = sandbox();
    let json = layer_json(&sandbox);
    let good = std::fs::read_to_string(&json).unwrap();
    let earlier = good.replace("\"synced\":true", "\"synced\":false");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let earlier = earlier.replace(boot.trim(), "00000000-0000-0000-0000-000000000000");
    for (content, what) in [
        ("", "its `layer.json` is missing or damaged"),
        (&good[..good.len() / 2], "its `layer.json` is missing or damaged"),
        (earlier.as_str(), "it is not known to have survived the last power cut"),
    ] {
        std::fs::write(&json, content).unwrap();
        found_and_repaired(&sandbox, what);
        assert!(!json.exists());
        sandbox.line("start -a c").output().ok();
        assert!(json.exists());
        settle(&sandbox);
    }
    let fs = json.parent().unwrap().join("fs");
    sandbox.remove_tree(&fs);
    found_and_repaired(&sandbox, "its files are missing");
    sandbox.line("start -a c").output().ok();
    // Without its blob a layer that is damaged is kept: what is in it may be all there is.
    std::fs::write(&json, "").unwrap();
    std::fs::remove_file(layer_blob(&sandbox)).unwrap();
    let out = sandbox.line("system check --repair").output();
    assert_eq!(out.code(), 1);
    assert!(out.stdout.contains("\n  not repaired: what it was made from is not here"), "{}", out.stdout);
    assert!(out.stdout.contains("container `c`: layers of its image are lost: "), "{}", out.stdout);
    assert!(fs.exists());
    let out = sandbox.line("system check --repair --force").output();
    assert_eq!(out.code(), 0, "{}", out.stdout);
    assert_eq!(sandbox.line("ps -aq").output().ok(), "");
    assert_eq!(sandbox.line("system check").output().ok(), CLEAN);
}

#[test]
fn a_layer_that_a_running_container_stands_on_stays() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("run -d --name up busybox sleep 1000").output().ok();
    let json = layer_json(&sandbox);
    std::fs::write(&json, "").unwrap();
    let out = sandbox.line("system check --repair").output();
    assert_eq!(out.code(), 1);
    assert!(out.stdout.contains("\n  not repaired: a container that runs may use it"), "{}", out.stdout);
    assert!(json.exists());
    sandbox.line("rm -f up").output().ok();
    found_and_repaired(&sandbox, "`layer.json`");
    everything_works(&sandbox);
}

#[test]
fn records_of_containers() {
    need!(userns, shell);
    let sandbox = sandbox();
    let folder = container(&sandbox);
    for damage in ["", "{\"version\":1,", "null"] {
        std::fs::write(folder.join("state.json"), damage).unwrap();
        found_and_repaired(&sandbox, "container `c`: its state is damaged: ");
        assert_eq!(sandbox.line("ps -a --format {{.State}}").output().ok(), "exited\n");
        sandbox.line("start -a c").output().ok();
    }
    for sub in ["upper", "work", "root"] {
        sandbox.remove_tree(&folder.join(sub));
        found_and_repaired(&sandbox, &format!("container `c`: `{sub}` is missing"));
        sandbox.line("start -a c").output().ok();
    }
    // What a container wrote is not thrown away unasked.
    std::fs::write(folder.join("config.json"), "").unwrap();
    let out = sandbox.line("system check --repair").output();
    assert_eq!(out.code(), 1);
    assert!(out.stdout.contains("its record is damaged: "), "{}", out.stdout);
    assert!(out.stdout.contains("\n  not repaired: what it wrote is below `"), "{}", out.stdout);
    assert!(folder.exists());
    sandbox.line("system check --repair --force").output().ok();
    assert!(!folder.exists());
    assert_eq!(sandbox.line("system check").output().ok(), CLEAN);
    sandbox.line("create --name c busybox true").output().ok();
    everything_works(&sandbox);
}

#[test]
fn names() {
    need!(userns, shell);
    let sandbox = sandbox();
    let names = sandbox.store().join("names");
    let id = container(&sandbox).file_name().unwrap().to_string_lossy().into_owned();
    let nobody = "f".repeat(64);
    std::os::unix::fs::symlink(format!("../containers/{nobody}"), names.join("nobody")).unwrap();
    found_and_repaired(&sandbox, "name `nobody` stands for container `ffffffffffff`, which does not exist");
    std::os::unix::fs::symlink(format!("../containers/{id}"), names.join("second")).unwrap();
    found_and_repaired(&sandbox, &format!("name `second` stands for container `{}`, whose name is `c`", &id[..12]));
    std::fs::write(names.join("file"), "").unwrap();
    found_and_repaired(&sandbox, "/names/file` is no name");
    std::fs::remove_file(names.join("c")).unwrap();
    found_and_repaired(&sandbox, &format!("container `{}` cannot be called by its name `c`", &id[..12]));
    everything_works(&sandbox);
}

#[test]
fn indexes() {
    need!(userns, shell);
    let sandbox = sandbox();
    for damage in ["", "{", "\0\0\0\0"] {
        for file in ["format.json", "images/index.json", "images/runr-cache.json"] {
            std::fs::write(sandbox.store().join(file), damage).unwrap();
            let out = sandbox.line("system check").output();
            assert_eq!(out.code(), 0, "{file}: {}{}", out.stdout, out.stderr);
            assert_eq!(sandbox.line("system check").output().ok(), CLEAN, "{file}");
            assert_eq!(sandbox.line("images --format {{.Repository}}").output().ok(), "busybox\n", "{file}");
        }
    }
    everything_works(&sandbox);
}

#[test]
fn leftovers_and_garbage() {
    need!(userns, shell);
    let sandbox = sandbox();
    let tmp = sandbox.store().join("tmp");
    std::fs::create_dir_all(tmp.join("layer-dead-one/fs/x")).unwrap();
    found_and_repaired(&sandbox, "/tmp/layer-dead-one` was left by a command that was killed");
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
    let stray = sandbox.store().join("images/blobs/sha256").join(
        // The digest of "stray".
        "c24f4be90b21b8bd0d3cbd2e4a18fdd2bd1e3a5bd17e1f4b5b6a5fb4a4f5e3d2",
    );
    std::fs::write(&stray, "stray").unwrap();
    // Whoever just works here may be about to refer to it.
    let out = sandbox.line("system check --quick").output();
    assert_eq!(out.ok(), CLEAN);
    let out = sandbox.line("system check --quick --max 0s").output();
    assert_eq!(out.code(), 1);
    assert!(out.stdout.contains("1 blobs and layers (5B) that nothing refers to\n"), "{}", out.stdout);
    sandbox.line("system check --quick --max 0s --repair").output().ok();
    assert!(!stray.exists());
    assert_eq!(sandbox.line("system check --max soon").output().code(), 125);
    everything_works(&sandbox);
}
