//! Tests of all kinds of archives: images are written by hand in each form and read back.

use super::*;
use crate::base::Kind;
use crate::image::manifest::{Document, OCI_LAYER_GZIP, OCI_MANIFEST};
use crate::image::{Descriptor, Digest, Manifest, parse_transport};
use std::io::Write;

fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (name, data) in files {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *data).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn config_for(layer: &[u8]) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({"os": "linux", "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(layer)]}}))
    .unwrap()
}

fn at(dir: &tempfile::TempDir, text: &str) -> Result<Opened> {
    let text = text.replace("DIR", dir.path().to_str().unwrap());
    open(&parse_transport(&text).unwrap(), dir.path())
}

/// Reads the image's manifest and verifies each of its blobs, from the start and from the middle.
fn check(opened: &Opened) -> Manifest {
    let raw = opened.source.root_manifest().unwrap();
    assert_eq!(raw.digest, Digest::of(&raw.bytes));
    let Document::Manifest(manifest) = Document::parse(&raw.bytes, &raw.media_type).unwrap() else { panic!() };
    for d in manifest.layers.iter().chain([&manifest.config]) {
        let mut bytes = Vec::new();
        opened.source.blob(d, 0).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!((Digest::of(&bytes), bytes.len() as u64), (d.digest.clone(), d.size));
        let mut tail = Vec::new();
        opened.source.blob(d, d.size / 2).unwrap().read_to_end(&mut tail).unwrap();
        assert_eq!(tail, bytes[bytes.len() / 2..]);
    }
    manifest
}

use std::io::Read;

#[test]
fn a_docker_archive_is_read_plain_packed_and_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let layer = tar_of(&[("hello", b"hi")]);
    let config = config_for(&layer);
    let list = br#"[{"Config":"c.json","RepoTags":["a:1","b:2"],"Layers":["x/layer.tar"]},
        {"Config":"c.json","RepoTags":null,"Layers":["gz"]}]"#;
    let packed = gzip(&layer);
    let archive = tar_of(&[("manifest.json", list), ("c.json", &config), ("x/layer.tar", &layer), ("gz", &packed)]);
    std::fs::write(dir.path().join("x.tar"), &archive).unwrap();
    std::fs::write(dir.path().join("x.tgz"), gzip(&archive)).unwrap();
    for text in ["docker-archive:DIR/x.tar:b:2", "docker-archive:DIR/x.tgz:@0"] {
        let opened = at(&dir, text).unwrap();
        let names: Vec<String> = opened.names.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["docker.io/library/a:1", "docker.io/library/b:2"]);
        assert_eq!(check(&opened).layers[0].digest, Digest::of(&layer));
    }
    assert_eq!(check(&at(&dir, "docker-archive:DIR/x.tar:@1").unwrap()).layers[0].media_type, OCI_LAYER_GZIP);
    for (text, kind) in [
        ("docker-archive:DIR/x.tar", Kind::Usage),
        ("docker-archive:DIR/x.tar:c:3", Kind::NotFound),
        ("docker-archive:DIR/x.tar:@2", Kind::NotFound),
        ("docker-archive:DIR/no.tar", Kind::NotFound),
        ("oci-archive:DIR/x.tar", Kind::Corrupt),
    ] {
        assert_eq!(at(&dir, text).unwrap_err().kind(), kind, "{text}");
    }
}

#[test]
fn names_in_a_hostile_docker_archive_reach_nothing_outside() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), b"{}").unwrap();
    let secret = dir.path().join("secret").display().to_string();
    for config in [secret.as_str(), "../secret", "", "manifest.json/../../x"] {
        let list = serde_json::json!([{"Config": config, "Layers": []}]).to_string();
        std::fs::write(dir.path().join("x.tar"), tar_of(&[("manifest.json", list.as_bytes())])).unwrap();
        assert_eq!(at(&dir, "docker-archive:DIR/x.tar").unwrap_err().kind(), Kind::Corrupt, "{config}");
    }
}

/// Writes an OCI layout with `entries` of (ref name, layer).
fn layout(entries: &[(Option<&str>, &[u8])]) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())];
    let mut manifests = Vec::new();
    for (name, layer) in entries {
        let mut put = |bytes: Vec<u8>, media: &str| {
            let d = Descriptor::new(media, Digest::of(&bytes), bytes.len() as u64);
            files.push((format!("blobs/sha256/{}", d.digest.hex()), bytes));
            d
        };
        let layer_descriptor = put(layer.to_vec(), "application/vnd.oci.image.layer.v1.tar");
        let config = put(config_for(layer), "application/vnd.oci.image.config.v1+json");
        let document = serde_json::json!({"schemaVersion": 2, "config": config, "layers": [layer_descriptor]});
        let mut d = put(serde_json::to_vec(&document).unwrap(), OCI_MANIFEST);
        if let Some(name) = name {
            d.annotations.insert("org.opencontainers.image.ref.name".to_owned(), (*name).to_owned());
        }
        manifests.push(d);
    }
    let index = serde_json::json!({"schemaVersion": 2, "manifests": manifests});
    files.push(("index.json".to_owned(), serde_json::to_vec(&index).unwrap()));
    files
}

fn write_layout(dir: &tempfile::TempDir, files: &[(String, Vec<u8>)]) {
    let refs: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
    std::fs::write(dir.path().join("x.tar"), tar_of(&refs)).unwrap();
    for (name, bytes) in files {
        let path = dir.path().join("layout").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

#[test]
fn an_oci_layout_is_read_from_a_folder_and_from_a_tar() {
    let dir = tempfile::tempdir().unwrap();
    write_layout(&dir, &layout(&[(Some("1"), b"layer one"), (Some("quay.io/a/b:2"), b"layer two")]));
    for kind in ["oci:DIR/layout", "oci-archive:DIR/x.tar"] {
        let one = at(&dir, &format!("{kind}:1")).unwrap();
        assert_eq!((check(&one).layers[0].size, one.names.len()), (9, 0));
        let two = at(&dir, &format!("{kind}:quay.io/a/b:2")).unwrap();
        assert_eq!((check(&two).layers.len(), two.names[0].to_string()), (1, "quay.io/a/b:2".to_owned()));
        assert_eq!(at(&dir, kind).unwrap_err().kind(), Kind::Usage);
    }
}

#[test]
fn damage_in_an_oci_layout_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = layout(&[(None, b"layer")]);
    // The manifest is the last blob: flip a bit in it.
    let at_manifest = files.len() - 2;
    files[at_manifest].1[3] ^= 1;
    write_layout(&dir, &files);
    let opened = at(&dir, "oci:DIR/layout").unwrap();
    assert!(opened.source.root_manifest().unwrap_err().to_string().contains("is not what its digest says"));
    let longer = Descriptor::new("", Digest::of(b"layer"), 6);
    assert!(opened.source.blob(&longer, 0).err().unwrap().to_string().contains("has 5 bytes"));
}

#[test]
fn skopeos_folder_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let files = layout(&[(None, b"layer")]);
    for (name, bytes) in &files {
        if let Some(hex) = name.strip_prefix("blobs/sha256/") {
            std::fs::write(dir.path().join(hex), bytes).unwrap();
        }
    }
    std::fs::write(dir.path().join("manifest.json"), &files[files.len() - 2].1).unwrap();
    assert_eq!(check(&at(&dir, "dir:DIR").unwrap()).layers[0].size, 5);
}

#[test]
fn the_built_in_image_is_a_whole_image_and_always_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let one = at(&dir, "builtin:hello").unwrap();
    let manifest = check(&one);
    assert_eq!(one.source.root_manifest().unwrap(), at(&dir, "builtin:hello").unwrap().source.root_manifest().unwrap());
    let mut archive = ::tar::Archive::new(one.source.blob(&manifest.layers[0], 0).unwrap());
    let entries: Vec<_> = archive.entries().unwrap().map(|e| e.unwrap().header().clone()).collect();
    let size = std::fs::metadata("/proc/self/exe").unwrap().len();
    assert_eq!((entries.len(), entries[0].size().unwrap(), entries[0].mode().unwrap()), (1, size, 0o755));
    assert_eq!(entries[0].path().unwrap().to_str(), Some("runr"));
}
