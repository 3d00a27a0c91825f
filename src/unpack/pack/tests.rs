//! Trees packed and read back.

use super::*;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

fn pack(dir: &Path, options: &PackOptions) -> (Vec<u8>, Packed) {
    let root = fs::File::open(dir).unwrap();
    let mut packer = Packer::new(Vec::new(), options);
    packer.contents(root.as_fd(), b"", false).unwrap();
    packer.finish().unwrap()
}

/// Name, type, link target and size of each entry, as the `tar` crate reads them.
fn listing(bytes: &[u8]) -> Vec<(String, char, String, u64)> {
    let mut archive = tar::Archive::new(bytes);
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let link = entry.link_name_bytes().map(|l| String::from_utf8_lossy(&l).into_owned()).unwrap_or_default();
            (name, char::from(entry.header().entry_type().as_byte()), link, entry.size())
        })
        .collect()
}

fn entry(name: &str, kind: char, link: &str, size: u64) -> (String, char, String, u64) {
    (name.to_owned(), kind, link.to_owned(), size)
}

#[test]
fn entries_are_sorted_and_links_found() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("b/deep")).unwrap();
    fs::write(at("b/file"), "12345").unwrap();
    fs::hard_link(at("b/file"), at("a-link")).unwrap();
    symlink("/etc/passwd", at("z")).unwrap();
    nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let long = "n".repeat(200);
    fs::write(at(&long), "x".repeat(600)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let options = PackOptions::default();
    let (bytes, packed) = pack(dir.path(), &options);
    assert_eq!(
        listing(&bytes),
        [
            entry("a-link", '0', "", 5),
            entry("b/", '5', "", 0),
            entry("b/deep/", '5', "", 0),
            entry("b/file", '1', "a-link", 0),
            entry(&long, '0', "", 600),
            entry("pipe", '6', "", 0),
            entry("z", '2', "/etc/passwd", 0),
        ]
    );
    assert_eq!(packed, Packed { entries: 7, size: 605, left_out: 1 });
    assert_eq!(pack(dir.path(), &options).0, bytes, "the same tree makes the same bytes");
}

#[test]
fn empty_places_are_left_out_and_filled_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for folder in ["etc", "run", "dev"] {
        fs::create_dir(at(folder)).unwrap();
    }
    fs::write(at("etc/hosts"), "").unwrap();
    fs::write(at("etc/hostname"), "mine").unwrap();
    fs::write(at("run/x"), "").unwrap();
    let names = ["etc/hosts", "etc/hostname", "run", "dev"].map(|n| n.as_bytes().to_vec());
    let options = PackOptions { placeholders: names.into_iter().collect(), ..PackOptions::default() };
    let names: Vec<String> = listing(&pack(dir.path(), &options).0).into_iter().map(|e| e.0).collect();
    assert_eq!(names, ["etc/", "etc/hostname", "run/", "run/x"]);
}

#[test]
fn attribute_whiteouts_become_those_of_images() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("d/new")).unwrap();
    fs::write(at("d/gone"), "").unwrap();
    let set = |name: &str, key: &[u8], value: &[u8]| {
        crate::sys::xattr::set(fs::File::open(at(name)).unwrap(), key, value).is_ok()
    };
    if !set("d/gone", b"user.overlay.whiteout", b"y") {
        println!("skip: attribute_whiteouts_become_those_of_images: no user xattrs in the temp folder");
        return;
    }
    assert!(set("d/new", b"user.overlay.opaque", b"y") && set("d", b"user.overlay.opaque", b"x"));
    assert!(set("d/new", b"user.kept", b"1"));
    let list = |whiteouts: bool| -> Vec<String> {
        let options = PackOptions { whiteouts, ..PackOptions::default() };
        listing(&pack(dir.path(), &options).0).into_iter().map(|e| e.0).collect()
    };
    assert_eq!(list(true), ["d/", "d/.wh.gone", "d/new/", "d/new/.wh..wh..opq"]);
    assert_eq!(list(false), ["d/", "d/gone", "d/new/"]);
    let text = String::from_utf8_lossy(&pack(dir.path(), &PackOptions::default()).0).into_owned();
    assert!(text.contains("SCHILY.xattr.user.kept=1\n") && !text.contains("user.overlay"));
}

#[test]
fn a_single_file_under_another_name() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "abc").unwrap();
    fs::set_permissions(dir.path().join("f"), fs::Permissions::from_mode(0o4711)).unwrap();
    let root = fs::File::open(dir.path()).unwrap();
    let options = PackOptions { nanoseconds: true, ..PackOptions::default() };
    let mut packer = Packer::new(Vec::new(), &options);
    assert!(packer.tree(root.as_fd(), c"f", b"g").unwrap());
    assert!(!packer.tree(root.as_fd(), c"nothing", b"h").unwrap());
    let (bytes, _) = packer.finish().unwrap();
    assert_eq!(listing(&bytes), [entry("g", '0', "", 3)]);
    let mut archive = tar::Archive::new(&bytes[..]);
    let mode = archive.entries().unwrap().next().unwrap().unwrap().header().mode().unwrap();
    assert_eq!(mode, 0o4711);
}
