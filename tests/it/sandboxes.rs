//! The tools of the tests are tested too: a sandbox that sees no leak, or an image that tar can't read, would let
//! everything pass.

use crate::support::{DockerRegistry, Entry, ImageBuilder, Layer, Sandbox, base_layer, layer::Kind, leaks, pty::Pty};
use std::process::Command;

#[test]
fn a_command_has_only_the_sandboxs_environment() {
    let sandbox = Sandbox::new();
    let seen = sandbox.sh("env | cut -d= -f1 | sort | tr '\\n' ' '; echo; echo $HOME").output().ok();
    let dir = sandbox.dir().display().to_string();
    let (names, home) = seen.trim().split_once('\n').unwrap();
    for name in names.split_whitespace() {
        assert!(
            ["HOME", "LANG", "OLDPWD", "PATH", "PWD", "SHLVL", "TMPDIR", "TZ", "USER", "_"].contains(&name)
                || name.starts_with("XDG_"),
            "{name}"
        );
    }
    assert_eq!(home, format!("{dir}/home"));
}

#[test]
fn a_process_left_behind_is_found_and_ended() {
    let sandbox = Sandbox::new();
    sandbox.sh("sleep 600 >/dev/null 2>&1 &").output().ok();
    let left = leaks::wait_gone(sandbox.dir(), false);
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].contains("sleep"), "{left:?}");
    assert!(leaks::processes_of(sandbox.dir()).is_empty());
}

#[test]
fn a_written_layer_is_a_tar() {
    need!(tool("tar"));
    let sandbox = Sandbox::new();
    let long = format!("dir/{}", "n".repeat(150));
    let layer = Layer::new()
        .dir("dir/", 0o1777)
        .file(&long, "long")
        .entry(Entry::new("dir/owned", Kind::File(b"x".to_vec())).owner(1000, 3_000_000_000).xattr("user.a", "b"))
        .symlink("link", "dir/owned")
        .hardlink("hard", "dir/owned")
        .whiteout("gone/file")
        .opaque("gone");
    let file = sandbox.write("l.tar", layer.tar());
    let listed = sandbox.command("tar").args(["--numeric-owner", "-tvf"]).arg(file).output().ok();
    for part in [
        "drwxrwxrwt 0/0",
        &long,
        "1000/3000000000",
        "link -> dir/owned",
        "hard link to dir/owned",
        "gone/.wh.file",
        "gone/.wh..wh..opq",
    ] {
        assert!(listed.contains(part), "`{part}` in:\n{listed}");
    }
}

#[test]
fn a_written_image_is_one_that_others_read() {
    need!(tool("skopeo"), tool("docker-registry"));
    let sandbox = Sandbox::new();
    let image = ImageBuilder::new()
        .layer(&base_layer())
        .layer_as(&Layer::new().file("b", "2"), crate::support::Compression::Zstd)
        .build();
    image.write_oci_layout(&sandbox.path("layout"), "t");
    image.write_oci_archive(&sandbox.path("a.tar"), "t");
    image.write_docker_archive(&sandbox.path("d.tar"), &["x:1"]);
    let registry = DockerRegistry::start();
    let name = registry.push(&image, "some/app", "1");
    for source in [
        format!("oci:{}:t", sandbox.path("layout").display()),
        format!("oci-archive:{}:t", sandbox.path("a.tar").display()),
        format!("docker-archive:{}", sandbox.path("d.tar").display()),
        format!("docker://{name}"),
    ] {
        let target = sandbox.path(format!("out{}", source.len()));
        // Copying reads every blob and verifies it.
        let copy =
            sandbox.command("skopeo").args(["copy", "-q", "--insecure-policy", "--src-tls-verify=false", &source]);
        copy.arg(format!("dir:{}", target.display())).output().ok();
    }
}

#[test]
fn a_terminal_shows_what_is_typed() {
    need!(tool("setsid"), tool("stty"));
    let sandbox = Sandbox::new();
    let mut pty = Pty::start(sandbox.sh("stty size; read line; echo got $line; exit 7"));
    pty.expect("24 80");
    pty.send("hello\n");
    pty.expect("got hello");
    assert_eq!(pty.wait(), 7);
}

#[test]
fn the_executable_is_there() {
    let out = Command::new(crate::support::sandbox::binary()).arg("__rmtree").output().unwrap();
    assert_eq!(out.status.code(), Some(125));
}
