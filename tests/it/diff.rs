//! `runr diff` and `runr export`: what changed, and all there is.

use crate::support::{ImageBuilder, Layer, Podman, Sandbox, base_layer};
use proptest::prelude::*;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox
}

/// What a container is made to do to its files.
const SCRIPT: &str = "echo x > /new; mkdir /dir; echo x > /dir/inside; echo more >> /etc/passwd; rm /etc/group; rm -r /home/user; \
    rm -r /var; mkdir /var; chmod 700 /tmp; touch /run/mine; mkdir -p /opt/a/b";

#[test]
fn changes_of_containers_and_images() {
    need!(userns, shell);
    let sandbox = sandbox();
    let shared = sandbox.path("shared");
    std::fs::create_dir(&shared).unwrap();
    let volume = format!("{}:/mnt/vol", shared.display());
    sandbox.runr(["run", "--network", "none", "--name", "same", "-v", &volume, "busybox", "true"]).output().ok();
    let diff = |args: &str| sandbox.line(&format!("diff {args}")).output().ok();
    assert_eq!(diff("same"), "A /mnt\n", "runr's own files and mounts are no changes");
    sandbox.runr(["run", "--network", "none", "--name", "c", "busybox", "sh", "-c", SCRIPT]).output().ok();
    let expected = "A /dir\nA /dir/inside\nC /etc\nD /etc/group\nC /etc/passwd\nC /home\nD /home/user\nA /new\nA /opt\nA /opt/a\n\
                    A /opt/a/b\nA /run/mine\nC /tmp\n";
    assert_eq!(diff("c"), expected);
    assert_eq!(sandbox.line("container diff c").output().ok(), expected);
    let json: serde_json::Value = serde_json::from_str(&diff("--format json c")).unwrap();
    assert_eq!(json["changed"], serde_json::json!(["/etc", "/etc/passwd", "/home", "/tmp"]));
    assert_eq!(json["deleted"], serde_json::json!(["/etc/group", "/home/user"]));
    assert_eq!(diff("--latest"), expected);
    // A running one, and one that was never started.
    sandbox.runr(["run", "-d", "--network", "none", "--name", "r", "busybox", "sh", "-c", "sleep 1000"]).output().ok();
    sandbox.line("create --network none --name n busybox true").output().ok();
    assert_eq!(diff("r") + &diff("n"), "");
    // Images: the last layer, and one against the other.
    sandbox.line("commit c changed").output().ok();
    // In an image the folders that runr made for its own files are folders like others.
    let expected = expected.replace("A /run/mine", "A /run\nA /run/mine");
    assert_eq!(diff("changed"), expected);
    assert_eq!(sandbox.line("image diff changed busybox").output().ok(), expected);
    assert!(diff("busybox changed").contains("A /etc/group\n"));
    assert_eq!(diff("changed c"), "");
    assert_eq!(diff("busybox").lines().next(), Some("A /bin"));
    for (args, message) in [
        ("none", "runr: no such container or image: none\n"),
        ("--format {{.}} c", "runr: diff: `--format` can only be json\n"),
        ("", "runr: diff: missing argument: CONTAINER or IMAGE\n"),
    ] {
        assert!(sandbox.line(&format!("diff {args}")).output().fails(125).starts_with(message), "{args}");
    }
    assert_eq!(sandbox.line("container diff busybox").output().fails(125), "runr: no such container: busybox\n");
    sandbox.line("rm -f same c r n").output().ok();
}

#[test]
fn changes_are_podmans() {
    need!(userns, overlay, shell, subids, not_root, tool("podman"), tool("runc"));
    let sandbox = sandbox();
    let Some(podman) = Podman::start(&sandbox) else { return };
    if !podman.runs() {
        return;
    }
    let command = ["run", "--network", "host", "--name", "c", "busybox", "sh", "-c", SCRIPT];
    podman.command(&command).output().ok();
    sandbox.runr(command).output().ok();
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(sandbox.line("diff c").output().ok()), sorted(podman.command(&["diff", "c"]).output().ok()));
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let ours = json(&sandbox.line("diff --format json c").output().ok());
    let theirs = json(&podman.command(&["diff", "--format", "json", "c"]).output().ok());
    for key in ["changed", "added", "deleted"] {
        assert_eq!(ours[key].as_array().map(Vec::len), theirs[key].as_array().map(Vec::len), "{key}");
    }
    sandbox.line("rm -f c").output().ok();
}

#[test]
fn an_export_is_the_whole_root() {
    need!(userns, shell);
    let sandbox = sandbox();
    let shared = sandbox.path("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::write(shared.join("hidden"), "").unwrap();
    let volume = format!("{}:/mnt", shared.display());
    let script = format!("{SCRIPT}; sleep 1000");
    let run = sandbox.runr(["run", "-d", "--network", "none", "--tmpfs", "/mem", "-v", &volume, "--name", "c"]);
    run.args(["busybox", "sh", "-c", &script]).output().ok();
    let names = |bytes: &[u8]| {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string());
        entries.collect::<Vec<_>>()
    };
    for _ in 0..1000 {
        if sandbox.runr(["cp", "c:/opt/a/b", "-"]).output().code() == 0 {
            break;
        }
    }
    let running = sandbox.line("export c").output().checked().bytes;
    let list = names(&running);
    for name in ["bin/", "bin/sh", "dir/inside", "etc/passwd", "mnt/", "mem/", "proc/"] {
        assert!(
            list.iter().any(|n| n == name || n.trim_end_matches('/') == name.trim_end_matches('/')),
            "{name}: {list:?}"
        );
    }
    for name in ["etc/group", "mnt/hidden", "home/user", "proc/self", "sys/kernel"] {
        assert!(!list.iter().any(|n| n.trim_end_matches('/') == name), "{name} is not the container's own");
    }
    sandbox.line("stop -t 0 c").output().ok();
    // To a file, which is there when it is whole.
    std::fs::write(sandbox.tmp().join("out.tar"), "old").unwrap();
    assert_eq!(sandbox.line("export -o out.tar c").cwd(sandbox.tmp()).output().ok(), "");
    assert_eq!(names(&std::fs::read(sandbox.tmp().join("out.tar")).unwrap()), list);
    let gone = sandbox.line("export -o out.tar none").cwd(sandbox.tmp()).output().fails(125);
    assert_eq!(gone, "runr: no such container: none\n");
    assert_eq!(std::fs::read_dir(sandbox.tmp()).unwrap().count(), 1, "nothing but the file");
    // As a file system of its own.
    let script =
        "mkdir root && runr export c | tar x -C root && runr run --rm --network none --rootfs root cat /dir/inside";
    assert_eq!(sandbox.sh(script).cwd(sandbox.tmp()).output().ok(), "x\n");
    assert_eq!(sandbox.sh("runr export c | head -c 100 | wc -c").output().ok().trim(), "100");
    let mut pty = crate::support::pty::Pty::start(sandbox.line("export c"));
    pty.expect("refusing to write an archive to a terminal");
    assert_eq!(pty.wait(), 125);
    sandbox.line("rm -f c").output().ok();
}

#[test]
fn an_export_says_what_the_file_system_could_not_be_told() {
    need!(userns);
    use crate::support::{Entry, layer::Kind};
    let sandbox = Sandbox::new();
    // With one id all files are its own, and nobody but the first namespace's root makes devices.
    let layer = Layer::new()
        .dir("w/", 0o755)
        .entry(Entry::new("w/file", Kind::File(b"x".to_vec())).owner(1000, 2000).mode(0o640))
        .entry(Entry::new("w/link", Kind::Symlink(b"file".to_vec())).owner(7, 8))
        .entry(Entry::new("w/null", Kind::CharDevice(1, 3)).mode(0o666))
        .entry(Entry::new("w/sub/", Kind::Dir).owner(33, 33).mode(0o2775));
    let archive = sandbox.path("image.tar");
    ImageBuilder::new().layer(&base_layer()).layer(&layer).build().write_docker_archive(&archive, &["owned:1"]);
    sandbox.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output().ok();
    sandbox.line("create --network none --name c owned:1 true").output().ok();
    assert_eq!(facts(&sandbox.line("export c").output().checked().bytes), facts(&layer.tar()));
    sandbox.line("commit --squash c squashed:1").output().ok();
    sandbox.line("create --network none --name d squashed:1 true").output().ok();
    assert_eq!(facts(&sandbox.line("export d").output().checked().bytes), facts(&layer.tar()));
    sandbox.line("rm c d").output().ok();
}

/// A tree as an archive, in the order in which it is packed: directories before what is in them, by name.
fn trees() -> impl Strategy<Value = Layer> {
    let name = "[a-zA-Z0-9._ é-]{1,12}|[a-z]{150}"
        .prop_filter("no name of runr's or of images", |n| n != "." && n != ".." && !n.starts_with(".wh."));
    let file = (name, 0u8..6, 0u32..0o10000, prop::collection::vec(any::<u8>(), 0..600), 0u64..70_000);
    prop::collection::btree_map("[a-d]{1,3}", prop::collection::vec(file, 0..5), 1..4).prop_map(|dirs| {
        let mut layer = Layer::new().dir("w/", 0o755);
        for (dir, mut files) in dirs {
            use crate::support::{Entry, layer::Kind};
            layer = layer.dir(format!("w/{dir}/"), 0o755);
            files.sort_by(|a, b| a.0.cmp(&b.0));
            files.dedup_by(|a, b| a.0 == b.0);
            for (name, kind, mode, content, id) in files {
                let path = format!("w/{dir}/{name}");
                let entry = match kind {
                    0 => Entry::new(format!("{path}/"), Kind::Dir).mode(mode | 0o700),
                    1 => Entry::new(&path, Kind::Symlink(format!("../{name}").into_bytes())),
                    2 => Entry::new(&path, Kind::Fifo).mode(mode & 0o777),
                    _ => Entry::new(&path, Kind::File(content)).mode(mode),
                };
                layer = layer.entry(entry.owner(id % 3, id % 60_000).mtime(1_600_000_000 + id));
            }
        }
        layer
    })
}

/// Everything that an archive says, in the order of names.
fn facts(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let mut list: Vec<String> = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        let header = entry.header();
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if path.starts_with("w/") && path != "w/" {
            list.push(format!(
                "{path} {} {:o} {}:{} {} {:?} {}",
                char::from(header.entry_type().as_byte()),
                header.mode().unwrap(),
                header.uid().unwrap(),
                header.gid().unwrap(),
                header.mtime().unwrap(),
                entry.link_name_bytes(),
                runr::image::Digest::of(&content),
            ));
        }
    }
    list.sort();
    list
}

#[test]
fn what_is_unpacked_and_packed_again_is_the_same() {
    need!(userns, subids);
    let sandbox = Sandbox::new();
    let config = ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(tree in trees())| {
        let archive = sandbox.path("image.tar");
        ImageBuilder::new().layer(&base_layer()).layer(&tree).build().write_docker_archive(&archive, &["tree:1"]);
        sandbox.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output().ok();
        sandbox.line("create --network none --name c tree:1 true").output().ok();
        let expected = facts(&tree.tar());
        prop_assert_eq!(&facts(&sandbox.line("export c").output().checked().bytes), &expected, "unpack, export");
        // Through a container's upper folder, a new layer, and another container.
        let copy = sandbox.sh("runr create --network none --name d busybox true && runr cp - d:/ < tree.tar && runr commit d again:1");
        sandbox.base_image();
        std::fs::write(sandbox.tmp().join("tree.tar"), tree.tar()).unwrap();
        copy.cwd(sandbox.tmp()).output().ok();
        sandbox.line("create --network none --name e again:1 true").output().ok();
        prop_assert_eq!(&facts(&sandbox.line("export e").output().checked().bytes), &expected, "cp, commit, unpack, export");
        sandbox.line("rm c d e").output().ok();
    });
}
