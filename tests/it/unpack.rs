//! Layers to directories: what real images contain, compared with what the archive says and with GNU tar.

use crate::support::layer::Kind;
use crate::support::{Entry, Layer, Output, Sandbox};
use runr::sys::xattr;
use runr::unpack::{Report, WhiteoutForm};
use runr::userns::IdMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Unpacks `blob` into a new folder of the sandbox, with more arguments of the hidden stage.
pub fn try_unpack(sandbox: &Sandbox, blob: &[u8], more: &[&str]) -> (PathBuf, Output) {
    let dest = (0..).map(|n| sandbox.path(format!("layer{n}"))).find(|p| !p.exists()).unwrap();
    std::fs::create_dir(&dest).unwrap();
    let out = sandbox.runr(["__unpack"]).args(more).arg(&dest).stdin(blob).output();
    (dest, out)
}

/// As [`try_unpack`], for what must succeed.
pub fn unpack(sandbox: &Sandbox, layer: &Layer) -> (PathBuf, Report) {
    unpack_blob(sandbox, &layer.tar(), &[])
}

fn unpack_blob(sandbox: &Sandbox, blob: &[u8], more: &[&str]) -> (PathBuf, Report) {
    let (dest, out) = try_unpack(sandbox, blob, more);
    (dest, serde_json::from_str(&out.ok()).unwrap())
}

/// Everything below a folder: (name, what `stat` says, symlink target or content).
pub fn list(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(at) = todo.pop() {
        for entry in std::fs::read_dir(&at).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                todo.push(entry.path());
            }
            found.push(entry.path().strip_prefix(dir).unwrap().to_string_lossy().into_owned());
        }
    }
    found.sort();
    found
}

fn meta(dir: &Path, name: &str) -> std::fs::Metadata {
    dir.join(name).symlink_metadata().unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn mode(dir: &Path, name: &str) -> u32 {
    meta(dir, name).mode() & 0o7777
}

fn is_whiteout(dir: &Path, name: &str) -> bool {
    let meta = meta(dir, name);
    meta.file_type().is_char_device() && meta.rdev() == 0
}

fn attribute(dir: &Path, name: &str, attribute: &str) -> Option<Vec<u8>> {
    xattr::get_at(dir.join(name).as_os_str().as_encoded_bytes(), attribute.as_bytes()).unwrap()
}

fn one_id() -> String {
    let map = IdMap::single(nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    serde_json::to_string(&map).unwrap()
}

#[test]
fn everything_an_image_holds() {
    need!(userns);
    let sandbox = Sandbox::new();
    let layer = Layer::new()
        .entry(Entry::new("./", Kind::Dir).mode(0o711).mtime(1_000_000_007))
        .entry(Entry::new("./bin/", Kind::Dir).mode(0o555).mtime(1_000_000_001))
        .entry(Entry::new("bin/su", Kind::File(b"set-id".to_vec())).mode(0o4711).mtime(1_000_000_002))
        .entry(Entry::new("bin/late", Kind::File(b"late".to_vec())).pax("mtime", "1000000003.25"))
        .hardlink("bin/su2", "bin/su")
        .symlink("bin/sh", "/bin/su")
        .hardlink("bin/sh2", "bin/sh")
        .entry(Entry::new("tmp", Kind::Dir).mode(0o1777))
        .entry(Entry::new("shared", Kind::Dir).mode(0o2775))
        .file("shared/file", "")
        .entry(Entry::new("pipe", Kind::Fifo).mode(0o600))
        .entry(Entry::new("null", Kind::CharDevice(1, 3)).mode(0o666))
        .entry(Entry::new("disk", Kind::BlockDevice(8, 1)).mode(0o660));
    let (dir, report) = unpack(&sandbox, &layer);
    assert_eq!(report.diff_id, runr::image::Digest::of(&layer.tar()));
    assert_eq!((report.entries, report.archive_size), (13, layer.tar().len() as u64));
    assert_eq!(report.size, 6 + 4 + 7);
    assert_eq!((report.implied_dirs.len(), report.warnings.len()), (0, 0));
    let modes = [".", "bin", "bin/su", "bin/su2", "tmp", "shared", "shared/file", "pipe", "null"];
    let found: Vec<String> = modes.iter().map(|name| format!("{name} {:o}", mode(&dir, name))).collect();
    let expected =
        [". 711", "bin 555", "bin/su 4711", "bin/su2 4711", "tmp 1777", "shared 2775", "shared/file 644", "pipe 600"];
    assert_eq!(found[..8], expected);
    assert_eq!(std::fs::read(dir.join("bin/late")).unwrap(), b"late");
    assert_eq!(std::fs::read_link(dir.join("bin/sh")).unwrap(), Path::new("/bin/su"));
    let inode = |name: &str| meta(&dir, name).ino();
    assert_eq!(inode("bin/su"), inode("bin/su2"));
    assert_eq!(inode("bin/sh"), inode("bin/sh2"));
    let time = |name: &str| (meta(&dir, name).mtime(), meta(&dir, name).mtime_nsec());
    assert_eq!(time("."), (1_000_000_007, 0));
    assert_eq!(time("bin"), (1_000_000_001, 0));
    assert_eq!(time("bin/su"), (1_000_000_002, 0));
    assert_eq!(time("bin/late"), (1_000_000_003, 250_000_000));
    assert_eq!(time("bin/sh"), (1_700_000_000, 0));
    assert!(meta(&dir, "pipe").file_type().is_fifo());
    let devices: Vec<_> = report.true_stats.iter().map(|t| (&t.path[..], t.kind, t.major, t.minor, t.mode)).collect();
    assert_eq!(devices, [("disk", 'b', 8, 1, 0o660), ("null", 'c', 1, 3, 0o666)]);
    assert!(meta(&dir, "null").is_file() && meta(&dir, "null").len() == 0);
}

#[test]
fn owners_and_capabilities_follow_the_map() {
    need!(userns, subids);
    let sandbox = Sandbox::new();
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let layer = Layer::new()
        .entry(Entry::new("home", Kind::Dir).mode(0o2755).owner(1000, 1000))
        .entry(Entry::new("home/mine", Kind::File(b"x".to_vec())).owner(1000, 1000).mode(0o6755))
        .entry(Entry::new("home/roots", Kind::File(b"x".to_vec())))
        .entry(Entry::new("home/link", Kind::Symlink(b"x".to_vec())).owner(33, 34))
        .entry(Entry::new("ping", Kind::File(b"x".to_vec())).xattr("security.capability", capability));
    let (dir, report) = unpack(&sandbox, &layer);
    let map = runr::userns::default_map().unwrap();
    let owner = |name: &str| (meta(&dir, name).uid(), meta(&dir, name).gid());
    let expected = |uid, gid| (map.host_uid(uid).unwrap(), map.host_gid(gid).unwrap());
    assert_eq!(owner("home"), expected(1000, 1000));
    assert_eq!(owner("home/mine"), expected(1000, 1000));
    assert_eq!(owner("home/roots"), expected(0, 0), "not the set-gid parent's group");
    assert_eq!(owner("home/link"), expected(33, 34));
    assert_eq!((mode(&dir, "home"), mode(&dir, "home/mine")), (0o2755, 0o6755));
    assert!(attribute(&dir, "ping", "security.capability").is_some());
    assert_eq!((report.true_stats, report.warnings), (vec![], vec![]));
}

#[test]
fn owners_outside_the_map_are_an_error_that_names_them() {
    need!(userns, subids);
    let sandbox = Sandbox::new();
    let me = nix::unistd::geteuid().as_raw();
    let map = if me == 0 {
        r#"{"uids":[{"inside":0,"outside":0,"count":10}],"gids":[{"inside":0,"outside":0,"count":10}]}"#.to_owned()
    } else {
        serde_json::to_string(&runr::userns::default_map().unwrap()).unwrap()
    };
    let layer = Layer::new().entry(Entry::new("big", Kind::File(vec![])).owner(0, 2_000_000_000));
    let (dir, out) = try_unpack(&sandbox, &layer.tar(), &["--map", &map]);
    let said = out.fails(125);
    assert!(said.starts_with("runr: entry `big`: gid 2000000000 is not in this user's id map\n"), "{said}");
    assert_eq!(list(&dir), [""; 0]);
}

#[test]
fn with_one_id_the_true_owners_are_remembered() {
    need!(userns);
    let sandbox = Sandbox::new();
    let layer = Layer::new()
        .entry(Entry::new("var", Kind::Dir).mode(0o2775).owner(0, 50))
        .entry(Entry::new("var/mail", Kind::File(b"x".to_vec())).mode(0o4750).owner(8, 12))
        .hardlink("var/mail2", "var/mail")
        .entry(Entry::new("var/link", Kind::Symlink(b"mail".to_vec())).owner(2_000_000_000, 5))
        .file("var/plain", "")
        .entry(Entry::new("var/gone", Kind::File(vec![])).owner(9, 9))
        .file("var/gone", "replaced");
    let (dir, report) = unpack_blob(&sandbox, &layer.tar(), &["--map", &one_id()]);
    let me = nix::unistd::geteuid().as_raw();
    assert!(["var", "var/mail", "var/link"].iter().all(|name| meta(&dir, name).uid() == me));
    assert_eq!((mode(&dir, "var/mail"), mode(&dir, "var")), (0o4750, 0o2775));
    let told: Vec<_> = report.true_stats.iter().map(|t| (&t.path[..], t.kind, t.uid, t.gid, t.mode)).collect();
    assert_eq!(
        told,
        [
            ("var", 'd', 0, 50, 0o2775),
            ("var/link", 'l', 2_000_000_000, 5, 0o777),
            ("var/mail", 'f', 8, 12, 0o4750),
            ("var/mail2", 'f', 8, 12, 0o4750),
        ]
    );
}

#[test]
fn whiteouts_become_overlays() {
    need!(userns);
    let sandbox = Sandbox::new();
    let layer = Layer::new()
        .whiteout("etc/gone")
        .file("etc/own", "first")
        .whiteout("etc/own")
        .whiteout("etc/later")
        .file("etc/later/inside", "x")
        .dir("opt", 0o755)
        .opaque("opt")
        .whiteout("opt/needless")
        .file("opt/kept", "x")
        .file(".wh..wh.aufs", "")
        .file(".wh..wh.orph/x", "")
        .file("f", "")
        .file("f/.wh.below-a-file", "");
    let (dir, report) = unpack(&sandbox, &layer);
    assert!(is_whiteout(&dir, "etc/gone"));
    assert_eq!(report.whiteouts, WhiteoutForm::Device);
    assert_eq!(std::fs::read(dir.join("etc/own")).unwrap(), b"first");
    assert_eq!(attribute(&dir, "etc/later", "user.overlay.opaque").unwrap(), b"y");
    assert_eq!(attribute(&dir, "opt", "user.overlay.opaque").unwrap(), b"y");
    assert_eq!(attribute(&dir, "etc", "user.overlay.opaque"), None);
    assert_eq!(list(&dir), ["etc", "etc/gone", "etc/later", "etc/later/inside", "etc/own", "f", "opt", "opt/kept"]);
    assert_eq!(report.implied_dirs, [".", "etc", "etc/later"]);
}

#[test]
fn implied_directories_are_those_nobody_named() {
    need!(userns);
    let sandbox = Sandbox::new();
    let layer = Layer::new()
        .file("a/b/c", "")
        .dir("a", 0o700)
        .whiteout("x/y/z")
        .symlink("link", "a/d")
        .file("link/e", "through a link to a directory that is not there yet")
        .file("gone/f", "")
        .file("gone", "now a file");
    let (dir, report) = unpack(&sandbox, &layer);
    assert_eq!(report.implied_dirs, [".", "a/b", "a/d", "x", "x/y"]);
    assert_eq!((mode(&dir, "a"), mode(&dir, "a/b")), (0o700, 0o755));
    assert!(dir.join("a/d/e").is_file());
}

#[test]
fn files_and_directories_replace_each_other() {
    need!(userns);
    let sandbox = Sandbox::new();
    let layer = Layer::new()
        .dir("a", 0o755)
        .file("a/x/y", "deep")
        .file("a", "now a file")
        .file("b", "a file")
        .dir("b", 0o700)
        .file("b/c", "inside")
        .symlink("s", "b")
        .dir("s", 0o711)
        .symlink("t", "b/c")
        .file("t", "own")
        .dir("d", 0o755)
        .file("d/kept", "")
        .dir("d", 0o700)
        .hardlink("h", "b/c")
        .file("h", "no longer a link");
    let (dir, report) = unpack(&sandbox, &layer);
    assert!(meta(&dir, "a").is_file() && meta(&dir, "s").is_dir() && meta(&dir, "t").is_file());
    assert_eq!((mode(&dir, "b"), mode(&dir, "s"), mode(&dir, "d")), (0o700, 0o711, 0o700));
    assert_eq!(std::fs::read(dir.join("b/c")).unwrap(), b"inside");
    assert!(dir.join("d/kept").exists() && !dir.join("s/c").exists());
    assert_eq!(
        report.size,
        ["deep", "now a file", "inside", "own", "no longer a link"].iter().map(|s| s.len() as u64).sum::<u64>()
    );
}

#[test]
fn hard_links_into_lower_layers_wait() {
    need!(userns);
    let sandbox = Sandbox::new();
    let layer = Layer::new()
        .hardlink("usr/bin/pending", "bin/lower")
        .hardlink("chain", "/usr/bin/pending")
        .hardlink("early", "./late")
        .file("late", "comes later")
        .hardlink("taken", "bin/lower")
        .file("taken", "by a file");
    let (dir, report) = unpack(&sandbox, &layer);
    let links: Vec<_> = report.pending_links.iter().map(|l| (&l.path[..], &l.target[..])).collect();
    assert_eq!(links, [("chain", "bin/lower"), ("usr/bin/pending", "bin/lower")]);
    assert_eq!(meta(&dir, "early").ino(), meta(&dir, "late").ino());
    assert_eq!(list(&dir), ["early", "late", "taken", "usr", "usr/bin"]);
}

#[test]
fn attributes_are_sorted_out() {
    need!(userns);
    let sandbox = Sandbox::new();
    let dangerous = ["user.overlay.opaque", "user.overlay.redirect", "user.overlay.whiteout", "trusted.overlay.opaque"];
    let others = ["user.containers.override_stat", "security.selinux", "security.ima", "trusted.x"];
    let mut dir_entry = Entry::new("dir", Kind::Dir).xattr("user.kept", "\0binary\n");
    for name in dangerous.iter().chain(&others) {
        dir_entry = dir_entry.xattr(name, "y");
    }
    let file = Entry::new("file", Kind::File(vec![])).pax("LIBARCHIVE.xattr.user.overlay%2Eopaque", "eQ");
    let (dir, report) = unpack(&sandbox, &Layer::new().entry(dir_entry).entry(file));
    let names = |name: &str| {
        let path = std::ffi::CString::new(dir.join(name).as_os_str().as_encoded_bytes()).unwrap();
        let mut names = xattr::list_at(&path).unwrap();
        names.retain(|n| n.starts_with(b"user.") || n.starts_with(b"trusted."));
        names
    };
    if names("dir").is_empty() {
        println!("skip: no user attributes here");
        return;
    }
    assert_eq!(names("dir"), [b"user.kept"]);
    assert_eq!(attribute(&dir, "dir", "user.kept").unwrap(), b"\0binary\n");
    assert!(names("file").is_empty());
    assert_eq!(report.warnings, [""; 0]);
}

#[test]
fn nothing_is_inherited_from_the_folder_around() {
    need!(userns, tool("setfacl"));
    let sandbox = Sandbox::new();
    let around = sandbox.path("around");
    std::fs::create_dir(&around).unwrap();
    std::fs::set_permissions(&around, std::fs::Permissions::from_mode(0o2755)).unwrap();
    let acl = sandbox.command("setfacl").args(["-d", "-m", "u:5:rwx,g::rwx"]).arg(&around).output();
    if acl.code() != 0 {
        println!("skip: no ACLs here");
        return;
    }
    let dest = around.join("layer");
    std::fs::create_dir(&dest).unwrap();
    let layer = Layer::new().dir("d", 0o700).file("d/f", "").file("g/h", "");
    sandbox.runr(["__unpack"]).arg(&dest).stdin(layer.tar()).output().ok();
    assert_eq!(
        (mode(&dest, "."), mode(&dest, "d"), mode(&dest, "d/f"), mode(&dest, "g")),
        (0o755, 0o700, 0o644, 0o755)
    );
    for name in [".", "d", "g", "g/h"] {
        assert_eq!(attribute(&dest, name, "system.posix_acl_access"), None);
    }
}

#[test]
fn every_compression_gives_the_same_layer() {
    need!(userns);
    let sandbox = Sandbox::new();
    let content: Vec<u8> = (0..300_000u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
    let mut tar = Layer::new().file("big", &content).tar();
    // Archivers pad, and what is behind the end belongs to the digest too.
    tar.extend([0; 20_000]);
    let (half, rest) = tar.split_at(tar.len() / 2);
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    let blobs =
        [tar.clone(), gzip(&tar), [gzip(half), gzip(rest)].concat(), zstd(&tar), [zstd(half), zstd(rest)].concat()];
    for blob in blobs {
        let (dir, report) = unpack_blob(&sandbox, &blob, &[]);
        assert_eq!((report.diff_id, report.size), (runr::image::Digest::of(&tar), content.len() as u64));
        assert!(std::fs::read(dir.join("big")).unwrap() == content);
    }
}

#[test]
fn sparse_files_of_every_format() {
    need!(userns, tool("tar"));
    let sandbox = Sandbox::new();
    let source = sandbox.path("source");
    std::fs::create_dir(&source).unwrap();
    let file = std::fs::File::create(source.join("holes")).unwrap();
    for i in 0..40u64 {
        std::os::unix::fs::FileExt::write_all_at(&file, format!("piece {i}").as_bytes(), i * 100_000).unwrap();
    }
    file.set_len(5_000_001).unwrap();
    std::fs::File::create(source.join("hole")).unwrap().set_len(3_000_000).unwrap();
    let content = std::fs::read(source.join("holes")).unwrap();
    for format in ["--format=gnu", "--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0"] {
        let pax = if format.contains("version") { "--format=pax" } else { "--no-acls" };
        let tar = sandbox
            .command("tar")
            .args(["--sparse", pax, format, "--owner=0", "--group=0", "-cf", "-", "-C"])
            .arg(&source)
            .args(["holes", "hole"])
            .output();
        assert!(tar.bytes.len() < 1_000_000, "{format} is not sparse");
        let (dir, report) = unpack_blob(&sandbox, &tar.bytes, &[]);
        tar.ok();
        assert!(std::fs::read(dir.join("holes")).unwrap() == content, "{format}");
        assert_eq!(meta(&dir, "hole").len(), 3_000_000);
        assert!(meta(&dir, "holes").blocks() * 512 < 2_000_000, "{format}: the holes are gone");
        assert_eq!(report.size, 8_000_001);
    }
}

#[test]
fn a_worker_outlives_a_failed_layer() {
    need!(userns);
    let sandbox = Sandbox::new();
    let (dir, out) = try_unpack(&sandbox, b"no tar at all", &[]);
    assert_eq!(out.fails(125), "runr: archive is truncated\n");
    assert_eq!(list(&dir), [""; 0]);
    // A dropped job: what is written so far is no layer, and the process ends.
    let layer = Layer::new().file("a", vec![1; 1 << 20]).tar();
    let (_, out) = try_unpack(&sandbox, &layer[..600_000], &[]);
    assert_eq!(out.fails(125), "runr: entry `a`: archive is truncated\n");
}

/// A node of a random tree.
#[derive(Debug, Clone)]
struct Node {
    kind: u8,
    parent: usize,
    mode: u32,
    size: usize,
    owner: (u32, u32),
    mtime: (i64, i64),
    attribute: bool,
}

fn nodes() -> impl proptest::strategy::Strategy<Value = Vec<Node>> {
    use proptest::prelude::*;
    let node = (0u8..8, any::<usize>(), 0u32..0o10000, 0usize..3000, (0u32..70, 0u32..70), any::<u32>(), any::<bool>());
    let node = node.prop_map(|(kind, parent, mode, size, owner, time, attribute)| {
        let mtime = (i64::from(time), i64::from(time % 1_000_000_000));
        Node { kind, parent, mode, size, owner, mtime, attribute }
    });
    proptest::collection::vec(node, 1..24)
}

/// Makes the tree; the test must be able to read it, so owners keep their rights.
fn make_tree(root: &Path, nodes: &[Node], as_root: bool) {
    let (mut dirs, mut files, mut made) = (vec![root.to_path_buf()], Vec::new(), Vec::new());
    for (i, node) in nodes.iter().enumerate() {
        let parent = dirs[node.parent % dirs.len()].clone();
        let long = if i % 7 == 6 { "n".repeat(150) } else { "n".to_owned() };
        let path = parent.join(format!("{long}{i}"));
        let body: Vec<u8> = (0..node.size).map(|b| (b * i) as u8).collect();
        match (node.kind, files.is_empty()) {
            (0..2, _) => {
                std::fs::create_dir(&path).unwrap();
                dirs.push(path.clone());
            }
            (2, _) => std::os::unix::fs::symlink(format!("../{}", "t".repeat(node.size % 200 + 1)), &path).unwrap(),
            (3, false) => {
                let target: &PathBuf = &files[node.parent % files.len()];
                std::fs::hard_link(target, &path).unwrap();
                continue;
            }
            (4, _) => nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            (5, _) => {
                // Sparse: a hole, then data.
                let file = std::fs::File::create(&path).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, &body, 1 << 17).unwrap();
            }
            _ => std::fs::write(&path, body).unwrap(),
        }
        if matches!(node.kind, 3 | 5..) {
            files.push(path.clone());
        }
        made.push((path, node));
    }
    for (path, node) in made.iter().rev() {
        let link = path.is_symlink();
        if as_root {
            std::os::unix::fs::lchown(path, Some(node.owner.0), Some(node.owner.1)).unwrap();
        }
        if node.attribute && !link && node.kind != 4 {
            let _ = xattr::set_at(path.as_os_str().as_encoded_bytes(), b"user.test", &node.size.to_le_bytes());
        }
        if !link {
            let mode = node.mode | if path.is_dir() { 0o700 } else { 0o600 };
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let time = nix::sys::time::TimeSpec::new(node.mtime.0, node.mtime.1);
        let flag = nix::sys::stat::UtimensatFlags::NoFollowSymlink;
        nix::sys::stat::utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, flag).unwrap();
    }
}

/// Everything about a tree that an archive carries, one line for each file.
fn describe(root: &Path) -> Vec<String> {
    let mut first_names = std::collections::HashMap::new();
    let mut lines = Vec::new();
    for name in list(root) {
        let path = root.join(&name);
        let meta = path.symlink_metadata().unwrap();
        let first = first_names.entry(meta.ino()).or_insert_with(|| name.clone()).clone();
        let content = if meta.is_file() {
            runr::image::Digest::of(&std::fs::read(&path).unwrap()).to_string()
        } else {
            String::new()
        };
        let target = std::fs::read_link(&path).unwrap_or_default();
        let attribute = attribute(root, &name, "user.test");
        let size = if meta.is_dir() { 0 } else { meta.len() };
        lines.push(format!(
            "{name} {:o} {}:{} {}.{} links {} of {first} size {size} {content} {target:?} {attribute:?}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            meta.mtime_nsec(),
            if meta.is_dir() { 0 } else { meta.nlink() },
        ));
    }
    lines
}

fn check_against_gnu_tar(nodes: &[Node], formats: &[&str]) {
    let sandbox = Sandbox::new();
    let as_root = nix::unistd::geteuid().is_root();
    let (source, theirs) = (sandbox.path("source"), sandbox.path("theirs"));
    std::fs::create_dir(&source).unwrap();
    make_tree(&source, nodes, as_root);
    let owners: &[&str] = if as_root { &["--numeric-owner"] } else { &["--owner=0", "--group=0"] };
    let archive = sandbox.path("tree.tar");
    let tar = sandbox.command("tar").args(owners).args(formats).args(["--xattrs", "--sparse", "-cf"]).arg(&archive);
    tar.arg("-C").arg(&source).arg(".").output().ok();
    std::fs::create_dir(&theirs).unwrap();
    let tar = sandbox.command("tar").args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"]).arg(&archive);
    tar.arg("-C").arg(&theirs).output().ok();
    let (ours, report) = unpack_blob(&sandbox, &std::fs::read(&archive).unwrap(), &[]);
    assert_eq!((report.warnings.len(), report.implied_dirs.len()), (0, 0));
    assert_eq!(describe(&ours), describe(&theirs));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 24, ..proptest::prelude::ProptestConfig::default() })]
    #[test]
    fn a_tree_unpacks_as_gnu_tar_unpacks_it(nodes in nodes()) {
        if crate::support::need::userns().is_err() || crate::support::need::tool("tar").is_err() {
            crate::support::need::skip("tar", "needs GNU tar and user namespaces");
            return Ok(());
        }
        check_against_gnu_tar(&nodes, &["--format=pax"]);
        let mut plain = nodes;
        plain.iter_mut().for_each(|node| node.attribute = false);
        check_against_gnu_tar(&plain, &["--format=gnu", "--no-xattrs"]);
    }
}
