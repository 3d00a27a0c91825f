//! What a power cut may have taken is made again. (`powercut` cuts the power of a real ext4; here each thing that a cut can do
//! is done on its own.)

use crate::store::{files_below, id_of, noise, settle};
use crate::support::{DockerRegistry, Image, ImageBuilder, Layer, Sandbox, base_layer};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub fn image(seed: u32, noise_bytes: usize) -> Image {
    ImageBuilder::new()
        .layer(&base_layer())
        .layer(&Layer::new().dir("data/", 0o755).file("data/noise", noise(seed, noise_bytes)))
        .layer(&Layer::new().file("data/file", "content\n"))
        .build()
}

fn layers(root: &Path) -> Vec<PathBuf> {
    let mut found = files_below(&root.join("layers"));
    found.retain(|p| p.file_name().is_some_and(|n| n == "layer.json"));
    found
}

fn change(layer: &Path, change: impl FnOnce(&mut Value)) {
    let mut json: Value = serde_json::from_slice(&std::fs::read(layer).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(layer, serde_json::to_vec(&json).unwrap()).unwrap();
}

#[test]
fn after_a_pull_everything_is_marked_as_being_on_disk() {
    need!(userns);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    settle(&sandbox);
    for layer in layers(&sandbox.store()) {
        let json: Value = serde_json::from_slice(&std::fs::read(&layer).unwrap()).unwrap();
        assert_eq!(json["synced"], true);
    }
    for blob in files_below(&sandbox.store().join("images/blobs")) {
        assert_eq!(std::fs::metadata(&blob).unwrap().permissions().mode() & 0o777, 0o444, "{}", blob.display());
    }
}

#[test]
fn nobody_waits_for_the_disk_and_no_stream_is_held_open() {
    need!(userns);
    let sandbox = Sandbox::new();
    let file = sandbox.path("x.tar");
    image(1, 10_000).write_docker_archive(&file, &["app:1"]);
    // The shell reads until every holder of the pipe is gone.
    let script = format!("id=$(runr pull -q docker-archive:{} 2>&1); echo \"$id\"", file.display());
    assert_eq!(sandbox.sh(&script).output().ok().trim(), id_of(&image(1, 10_000)));
}

#[test]
fn a_layer_of_an_earlier_boot_is_made_again_unless_it_is_known_to_be_on_disk() {
    need!(userns, overlay, shell, tool("docker-registry"));
    let registry = DockerRegistry::start();
    let name = registry.push(&image(2, 10_000), "app", "2");
    for (synced, boot, machine, again) in [
        (false, "earlier", "this", true),
        (true, "earlier", "this", false),
        (false, "this", "this", false),
        (false, "earlier", "another", false),
    ] {
        let sandbox = Sandbox::new();
        sandbox.runr(["run", "--rm", &name, "true"]).output().ok();
        settle(&sandbox);
        let changed = layers(&sandbox.store());
        for layer in &changed {
            change(layer, |json| {
                json["synced"] = synced.into();
                if boot != "this" {
                    json["origin"]["boot"] = boot.into();
                }
                if machine != "this" {
                    json["origin"]["machine"] = machine.into();
                }
            });
            // What a power cut does to a file: the name is there, the content is not.
            std::fs::write(layer.parent().unwrap().join("fs/data/file"), b"").ok();
        }
        let content = sandbox.runr(["run", "--rm", &name, "cat", "/data/file"]).output().ok();
        assert_eq!(content == "content\n", again, "synced {synced}, boot {boot}, machine {machine}: {content:?}");
    }
}

#[test]
fn a_blob_that_a_power_cut_emptied_is_fetched_again() {
    need!(userns, overlay, shell, tool("docker-registry"));
    let registry = DockerRegistry::start();
    let name = registry.push(&image(3, 10_000_000), "app", "3");
    let sandbox = Sandbox::new();
    sandbox.runr(["pull", "-q", &name]).output().ok();
    settle(&sandbox);
    for content in [&b""[..], &[0; 1000]] {
        for blob in files_below(&sandbox.store().join("images/blobs")) {
            if std::fs::metadata(&blob).unwrap().len() > 100_000 {
                std::fs::set_permissions(&blob, std::fs::Permissions::from_mode(0o644)).unwrap();
                std::fs::write(&blob, content).unwrap();
            }
        }
        for layer in layers(&sandbox.store()) {
            std::fs::write(&layer, b"").unwrap();
        }
        assert_eq!(sandbox.runr(["run", "--rm", &name, "cat", "/data/file"]).output().ok(), "content\n");
        settle(&sandbox);
    }
}
