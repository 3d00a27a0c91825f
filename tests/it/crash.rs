//! kill -9 at any moment of a pull: afterwards every command works, the next pull goes on, nothing is left behind.

use crate::store::{files_below, id_of, noise, settle};
use crate::support::{DockerRegistry, Image, ImageBuilder, Layer, Sandbox, base_layer};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

fn image() -> Image {
    ImageBuilder::new()
        .layer(&base_layer())
        .layer(&Layer::new().dir("data/", 0o755).file("data/a", noise(1, 3_000_000)))
        .layer(&Layer::new().dir("data/", 0o755).file("data/b", noise(2, 1_000_000)))
        .layer(&Layer::new().file("data/file", "content\n"))
        .build()
}

/// Starts a pull in a process group of its own.
fn start(sandbox: &Sandbox, name: &str) -> Child {
    let mut command = sandbox.runr(["pull", "-q", name]).into_command();
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Kills the pull with all its processes, or its first one only.
fn kill(child: &mut Child, all: bool) {
    let pid = i32::try_from(child.id()).unwrap();
    let target = nix::unistd::Pid::from_raw(if all { -pid } else { pid });
    // It may have ended on its own.
    let _ = nix::sys::signal::kill(target, nix::sys::signal::Signal::SIGKILL);
    child.wait().unwrap();
}

#[test]
fn a_pull_may_be_killed_at_any_moment() {
    need!(userns, overlay, shell, tool("docker-registry"));
    let rounds = crate::kill::rounds(60);
    let image = image();
    let registry = DockerRegistry::start();
    let name = registry.push(&image, "app", "1");
    let sandbox = Sandbox::new();
    // How long a whole pull takes on this machine, so that the kills fall everywhere in it.
    let begin = Instant::now();
    sandbox.runr(["pull", "-q", &name]).output().ok();
    let whole = begin.elapsed() + Duration::from_millis(5);
    sandbox.runr(["rmi", &name]).output().ok();
    let mut random = noise(99, 4 * 8 * rounds as usize).into_iter();
    let mut below = |limit: Duration| limit.mul_f64(f64::from(random.next().unwrap()) / 255.0);
    for round in 0..rounds {
        let mut first = start(&sandbox, &name);
        let mut second = (round % 3 == 0).then(|| start(&sandbox, &name));
        std::thread::sleep(below(whole));
        kill(&mut first, round % 2 == 0);
        if let Some(second) = &mut second {
            std::thread::sleep(below(whole / 4));
            kill(second, true);
        }
        let listed = sandbox.line("images -q --no-trunc").output().ok();
        assert!(listed.is_empty() || listed.trim() == id_of(&image), "round {round}: {listed}");
        if round % 10 == 9 {
            let content = sandbox.runr(["run", "--rm", &name, "cat", "/data/file"]).output().ok();
            assert_eq!(content, "content\n", "round {round}");
            sandbox.runr(["rmi", "-f", &name]).output().ok();
        }
    }
    settle(&sandbox);
    // Whoever lists sweeps; only what the next pull goes on with stays.
    sandbox.line("images").output().ok();
    settle(&sandbox);
    let unwanted: Vec<String> =
        sandbox.leftovers().into_iter().filter(|n| !n.starts_with("blob-") && !n.starts_with("trash-")).collect();
    assert_eq!(unwanted, Vec::<String>::new());
    assert_eq!(sandbox.runr(["pull", "-q", &name]).output().ok().trim(), id_of(&image));
    settle(&sandbox);
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
    sandbox.runr(["rmi", &name]).output().ok();
    for folder in ["images/blobs", "layers", "tmp"] {
        assert_eq!(files_below(&sandbox.store().join(folder)), Vec::<std::path::PathBuf>::new(), "{folder}");
    }
}
