//! `runr commit`: images from containers, with all that a layer can hold, as docker, podman and skopeo take them.

use crate::support::{Entry, ImageBuilder, Layer, Sandbox, base_layer, layer::Kind};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;

/// A sandbox with the base image in it.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox
}

/// Puts the base image with one more layer and config values into the sandbox.
fn image(sandbox: &Sandbox, name: &str, layer: &Layer, config: &[(&str, Value)]) {
    let mut builder = ImageBuilder::new().layer(&base_layer()).layer(layer);
    for (key, value) in config {
        builder = builder.config(key, value.clone());
    }
    let archive = sandbox.path("image.tar");
    builder.build().write_docker_archive(&archive, &[&format!("{name}:latest")]);
    sandbox.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output().ok();
    std::fs::remove_file(archive).unwrap();
}

fn run(sandbox: &Sandbox, name: &str, image: &str, script: &str) {
    sandbox.runr(["run", "--network", "none", "--name", name, image, "sh", "-c", script]).output().ok();
}

/// Commits with these flags; the new image's id.
#[track_caller]
fn commit(sandbox: &Sandbox, args: &[&str]) -> String {
    let id = sandbox.runr(["commit"]).args(args).output().ok().trim().to_owned();
    assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    id
}

fn inspect(sandbox: &Sandbox, name: &str) -> Value {
    let text = sandbox.runr(["image", "inspect", name]).output().ok();
    serde_json::from_str::<Value>(&text).unwrap()[0].clone()
}

fn blob(sandbox: &Sandbox, digest: &str) -> Vec<u8> {
    std::fs::read(sandbox.store().join("images/blobs").join(digest.replace(':', "/"))).unwrap()
}

fn document(sandbox: &Sandbox, digest: &str) -> Value {
    serde_json::from_slice(&blob(sandbox, digest)).unwrap()
}

/// The manifest of an image by its name.
fn manifest(sandbox: &Sandbox, name: &str) -> Value {
    let digest = sandbox.runr(["image", "inspect", "-f", "{{.Digest}}", name]).output().ok();
    document(sandbox, digest.trim())
}

/// The uncompressed last layer of an image.
fn last_layer(sandbox: &Sandbox, name: &str) -> Vec<u8> {
    let manifest = manifest(sandbox, name);
    let layer = manifest["layers"].as_array().unwrap().last().unwrap().clone();
    let packed = blob(sandbox, layer["digest"].as_str().unwrap());
    assert_eq!(packed.len() as u64, layer["size"].as_u64().unwrap());
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut plain).unwrap();
    let config = document(sandbox, manifest["config"]["digest"].as_str().unwrap());
    let diff_id = config["rootfs"]["diff_ids"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(runr::image::Digest::of(&plain).to_string(), diff_id.as_str().unwrap());
    plain
}

/// Name, type, mode, owner, size, link target and attributes of each entry.
pub fn listing(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let mut list = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let pax: BTreeMap<String, Vec<u8>> = entry
            .pax_extensions()
            .unwrap()
            .into_iter()
            .flatten()
            .map(|e| e.unwrap())
            .filter(|e| e.key().unwrap().starts_with("SCHILY.xattr."))
            .map(|e| (e.key().unwrap()["SCHILY.xattr.".len()..].to_owned(), e.value_bytes().to_vec()))
            .collect();
        let header = entry.header();
        list.push(format!(
            "{} {} {:o} {}:{} {} {}{}",
            String::from_utf8_lossy(&entry.path_bytes()),
            char::from(header.entry_type().as_byte()),
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            entry.size(),
            entry.link_name_bytes().map(|l| String::from_utf8_lossy(&l).into_owned()).unwrap_or_default(),
            pax.iter()
                .map(|(k, v)| format!(" {k}={}", String::from_utf8_lossy(v).escape_default()))
                .collect::<String>(),
        ));
    }
    list
}

/// A file capability, cap_net_raw+ep, as the kernel stores it (capabilities(7), version 2).
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn a_layer_holds_all_that_changed() {
    need!(userns, overlay, shell, subids);
    let sandbox = Sandbox::new();
    let lower = Layer::new()
        .dir("data/", 0o755)
        .file("data/gone", "x")
        .file("data/dir/inside", "x")
        .file("data/opaque/below", "x")
        .entry(
            Entry::new("data/ping", Kind::File(b"ping".to_vec())).mode(0o755).xattr("security.capability", CAPABILITY),
        )
        .entry(Entry::new("data/attr", Kind::File(b"attr".to_vec())).xattr("user.mine", "yes").owner(1000, 1000))
        .entry(Entry::new("data/null", Kind::CharDevice(1, 3)).mode(0o666));
    image(&sandbox, "lower", &lower, &[]);
    let script = "cd /data; rm gone; rm -r dir; rm -r opaque; mkdir opaque; touch opaque/new; touch ping attr; \
        echo set > setuid; chmod 6711 setuid; ln setuid hard; ln -s /nowhere soft; mkfifo pipe; chown -h 7:8 soft pipe; \
        mkdir -m 1777 sticky; echo x > \"$(printf 'new\\nline')\"; mkdir -p /run/secrets; echo > /etc/resolv.conf";
    run(&sandbox, "c", "lower", script);
    commit(&sandbox, &["c", "new"]);
    let tar = last_layer(&sandbox, "new");
    let capability = String::from_utf8_lossy(CAPABILITY).escape_default().to_string();
    let expected = [
        "data/ 5 755 0:0 0 ".to_owned(),
        "data/attr 0 644 1000:1000 4  user.mine=yes".to_owned(),
        "data/.wh.dir 0 0 0:0 0 ".to_owned(),
        "data/.wh.gone 0 0 0:0 0 ".to_owned(),
        "data/hard 0 6711 0:0 4 ".to_owned(),
        "data/new\nline 0 644 0:0 2 ".to_owned(),
        "data/opaque/ 5 755 0:0 0 ".to_owned(),
        "data/opaque/.wh..wh..opq 0 0 0:0 0 ".to_owned(),
        "data/opaque/new 0 644 0:0 0 ".to_owned(),
        format!("data/ping 0 755 0:0 4  security.capability={capability}"),
        "data/pipe 6 644 7:8 0 ".to_owned(),
        "data/setuid 1 6711 0:0 0 data/hard".to_owned(),
        "data/soft 2 777 7:8 0 /nowhere".to_owned(),
        "data/sticky/ 5 1777 0:0 0 ".to_owned(),
    ];
    let list: Vec<String> = listing(&tar).into_iter().filter(|line| line.starts_with("data")).collect();
    assert_eq!(list, expected);
    // Places of runr's own mounts are no changes.
    assert!(!listing(&tar).iter().any(|line| line.contains("resolv.conf") || line.contains(".containerenv")));
    // GNU tar reads the same.
    let names = |tar: &[u8]| sandbox.sh("tar tf - --quoting-style=literal").stdin(tar).output().ok();
    assert_eq!(names(&tar).lines().filter(|l| l.starts_with("data/")).count(), expected.len());
    // And so it is when it runs.
    let script = "cd /data; ls -A; ls opaque; stat -c '%a %u:%g %n' setuid pipe attr sticky; cat hard; readlink soft; test -p pipe";
    let out = sandbox.runr(["run", "--rm", "--network", "none", "new", "sh", "-c", script]).output().ok();
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines.contains(&"6711 0:0 setuid") && lines.contains(&"644 7:8 pipe") && lines.contains(&"644 1000:1000 attr")
    );
    assert!(!lines.contains(&"gone") && !lines.contains(&"dir") && !lines.contains(&"below") && lines.contains(&"set"));
    // The packed files of two commits are equal: nothing but the tree counts.
    commit(&sandbox, &["c", "again"]);
    assert!(last_layer(&sandbox, "again") == tar);
    // Unpacked and packed again, through another tool's eyes: the whole tree in one layer.
    commit(&sandbox, &["--squash", "c", "squashed"]);
    let whole = listing(&last_layer(&sandbox, "squashed"));
    let has = |line: &str| whole.iter().any(|l| l == line);
    assert!(has("data/null 3 666 0:0 0 "), "a device that this user cannot make is remembered: {whole:#?}");
    assert!(has(&expected[9]) && has(&expected[1]) && has("data/opaque/new 0 644 0:0 0 "));
    assert!(!whole.iter().any(|l| l.contains(".wh.")) && has("proc/ 5 555 0:0 0 "));
    assert_eq!(manifest(&sandbox, "squashed")["layers"].as_array().unwrap().len(), 1);
    sandbox.line("rm c").output().ok();
}

#[test]
fn the_config_is_the_containers_with_changes() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let config = [
        ("Env", json!(["PATH=/bin", "A=image", "B=image"])),
        ("Cmd", json!(["sh", "-c", "true"])),
        ("Labels", json!({"l": "image"})),
        ("User", json!("0")),
        ("OnBuild", json!(["RUN x"])),
        ("StopSignal", json!("SIGQUIT")),
    ];
    image(&sandbox, "base", &Layer::new().file("x", ""), &config);
    let create =
        sandbox.line("create --network none --name c -e A=run -l r=run --workdir /tmp --stop-signal USR1 base");
    create.args(["sh", "-c", "echo run"]).output().ok();
    commit(&sandbox, &["c", "plain"]);
    let plain = inspect(&sandbox, "plain");
    assert_eq!(plain["Config"]["Env"], json!(["PATH=/bin", "A=run", "B=image"]));
    assert_eq!(plain["Config"]["Cmd"], json!(["sh", "-c", "echo run"]));
    assert_eq!(plain["Config"]["Labels"], json!({"l": "image", "r": "run"}));
    assert_eq!(plain["Config"]["WorkingDir"], "/tmp");
    assert_eq!(plain["Config"]["StopSignal"], "USR1");
    assert_eq!(plain["Config"]["OnBuild"], Value::Null);
    assert_eq!(plain["RootFS"]["Layers"].as_array().unwrap().len(), 3);
    // Without a name it is dangling.
    let id = commit(&sandbox, &["-q", "c"]);
    assert_eq!(inspect(&sandbox, &id)["RepoTags"], json!([]));
    sandbox.line("rm c").output().ok();
}

#[test]
fn changes_are_applied_to_the_config() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    image(&sandbox, "base", &Layer::new().file("x", ""), &[("Env", json!(["PATH=/bin", "A=image"]))]);
    let create = sandbox.line("create --network none --name c -e A=run --workdir /tmp base");
    create.args(["sh", "-c", "echo run"]).output().ok();
    let changes = [
        "-a",
        "me <me@example.org>",
        "-m",
        "why not",
        "--change",
        "CMD [\"cat\", \"/etc/passwd\"]",
        "-c",
        "ENV C=$A D=\"x y\"",
        "-c",
        "EXPOSE 80/tcp 53/udp",
        "-c",
        "LABEL z=1",
        "-c",
        "USER 1000:1000",
        "-c",
        "VOLUME /v",
        "-c",
        "WORKDIR sub",
        "-c",
        "ENTRYPOINT [\"/bin/env\", \"--\"]",
        "-c",
        "STOPSIGNAL 9",
        "-c",
        "ONBUILD RUN y",
        "-c",
        "HEALTHCHECK --interval=5s CMD true",
        "-f",
        "docker",
        "--iidfile",
        "id",
        "c",
        "quay.io/who/changed:v1",
    ];
    let id = sandbox.runr(["commit"]).args(changes).cwd(sandbox.tmp()).output().ok();
    assert_eq!(std::fs::read_to_string(sandbox.tmp().join("id")).unwrap(), id.trim());
    let changed = inspect(&sandbox, "quay.io/who/changed:v1");
    assert_eq!(changed["Id"], id.trim());
    assert_eq!((&changed["Author"], &changed["Comment"]), (&json!("me <me@example.org>"), &json!("why not")));
    let config = &changed["Config"];
    assert_eq!(config["Cmd"], json!(["cat", "/etc/passwd"]));
    assert_eq!(config["Entrypoint"], json!(["/bin/env", "--"]));
    assert_eq!(config["Env"], json!(["PATH=/bin", "A=run", "C=run", "D=x y"]));
    assert_eq!(config["ExposedPorts"], json!({"53/udp": {}, "80/tcp": {}}));
    assert_eq!((&config["User"], &config["WorkingDir"]), (&json!("1000:1000"), &json!("/tmp/sub")));
    assert_eq!(config["Healthcheck"]["Test"], json!(["CMD-SHELL", "true"]));
    let manifest = manifest(&sandbox, "quay.io/who/changed:v1");
    assert_eq!(manifest["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    for layer in manifest["layers"].as_array().unwrap() {
        let media_type = layer["mediaType"].as_str().unwrap();
        assert!(media_type.starts_with("application/vnd.docker.image.rootfs.diff.tar"), "{media_type}");
    }
    let out = sandbox.line("run --rm --network none -u 0 quay.io/who/changed:v1").output().ok();
    assert!(out.starts_with("root:"), "{out}");
    sandbox.line("rm c").output().ok();
}

#[test]
fn refusals() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("create --network none --name c busybox true").output().ok();
    for (args, message) in [
        (&["none", "x"][..], "runr: no such container: none\n"),
        (&["c", "UPPER"], "runr: invalid reference format: `UPPER`\n"),
        (&["-c", "RUN x", "c", "x"], "runr: change `RUN x`: `RUN` cannot be used here\n"),
        (&["-f", "tar", "c", "x"], "runr: commit: invalid format `tar`: use oci or docker\n"),
        (&["--config", "/none.json", "c"], "runr: --config: read `/none.json`: No such file or directory (ENOENT)\n"),
    ] {
        let stderr = sandbox.runr(["commit"]).args(args).output().fails(125);
        assert!(stderr.starts_with(message), "{args:?}: {stderr}");
    }
    assert_eq!(sandbox.line("images -q").output().ok().lines().count(), 1, "nothing was made");
    sandbox.line("rm c").output().ok();
}

#[test]
fn a_running_container_is_committed_as_it_is() {
    need!(userns, shell);
    let sandbox = sandbox();
    let script = "i=0; while :; do i=$((i+1)); echo $i > /n; echo $i > /m; mkdir -p /d; rm -rf /d; done";
    sandbox.runr(["run", "-d", "--network", "none", "--name", "c", "busybox", "sh", "-c", script]).output().ok();
    for i in 0..5 {
        commit(&sandbox, &["c", &format!("snap:{i}")]);
    }
    // It goes on afterwards.
    let count = || sandbox.runr(["cp", "c:/n", "-"]).output().checked().bytes;
    let before = count();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_ne!(before, count());
    assert_eq!(sandbox.line("ps --format {{.State}}").output().ok().trim(), "running");
    let out = sandbox.line("run --rm --network none snap:4 cat /n").output();
    assert_eq!(out.stderr, "", "its layer is unpacked now, and nothing is fetched");
    out.ok();
    sandbox.line("rm -f c").output().ok();
}

#[test]
fn other_tools_take_it() {
    need!(userns, shell, tool("skopeo"));
    let sandbox = sandbox();
    run(&sandbox, "c", "busybox", "echo hi > /hi; rm -r /home/user");
    commit(&sandbox, &["c", "new:1"]);
    let layout = format!("oci:{}:docker.io/library/new:1", sandbox.store().join("images").display());
    let out = sandbox.path("out");
    let copy = |to: &str| {
        let flags = ["copy", "--insecure-policy"];
        sandbox.command("skopeo").args(flags).args([&layout[..], to]).output().ok()
    };
    copy(&format!("dir:{}", out.display()));
    copy(&format!("docker-archive:{}:back:1", sandbox.path("back.tar").display()));
    sandbox.runr(["pull", "-q", &format!("docker-archive:{}", sandbox.path("back.tar").display())]).output().ok();
    let out =
        sandbox.runr(["run", "--rm", "--network", "none", "back:1", "sh", "-c", "cat /hi; ls /home"]).output().ok();
    assert_eq!(out, "hi\n");
    sandbox.line("rm c").output().ok();
}

#[test]
fn an_image_that_is_gone_and_a_killed_commit() {
    need!(userns, shell);
    let sandbox = sandbox();
    run(&sandbox, "c", "busybox", "dd if=/dev/zero of=/big bs=1M count=100 2>/dev/null");
    for i in 0..10u64 {
        let commit = sandbox.line("commit c killed:1").spawn();
        std::thread::sleep(std::time::Duration::from_millis(5 + 20 * i));
        commit.signal(nix::sys::signal::Signal::SIGKILL);
        drop(commit.wait());
    }
    commit(&sandbox, &["c", "whole:1"]);
    sandbox.line("run --rm --network none whole:1 true").output().ok();
    sandbox.line("rm c").output().ok();
}
