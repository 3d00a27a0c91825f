//! What `pull` shows and prints: the id on stdout, everything else on stderr, bars on a terminal only.

use crate::support::{DockerRegistry, Entry, ImageBuilder, Layer, Sandbox, image::Compression, layer::Kind, pty::Pty};

fn image(name: &str) -> crate::support::Image {
    ImageBuilder::new().layer(&Layer::new().file("a", name)).layer(&Layer::new().file("b", name)).build()
}

#[test]
fn the_id_is_on_stdout_and_the_rest_on_stderr() {
    need!(userns, tool("docker-registry"));
    let (sandbox, registry) = (Sandbox::new(), DockerRegistry::start());
    let image = image("x");
    registry.push(&image, "team/app", "1");
    let name = registry.name("team/app:1");
    let output = sandbox.runr(["pull", &name]).output();
    assert_eq!(output.stdout, format!("sha256:{}\n", image.id()));
    let lines: Vec<&str> = output.stderr.lines().collect();
    assert_eq!(lines.first(), Some(&format!("pulling {name}").as_str()));
    for word in [": pulling, ", ": done"] {
        assert_eq!(lines.iter().filter(|l| l.contains(word)).count(), 2, "{}", output.stderr);
    }
    let again = sandbox.runr(["pull", "-q", &name]).output();
    assert_eq!((again.stdout.as_str(), again.stderr.as_str()), (format!("sha256:{}\n", image.id()).as_str(), ""));
    let known = sandbox.runr(["pull", "--policy", "missing", &name]).output();
    assert_eq!((known.stdout.as_str(), known.stderr.as_str()), (format!("sha256:{}\n", image.id()).as_str(), ""));
}

#[test]
fn a_terminal_gets_bars_that_go_away() {
    need!(userns, tool("docker-registry"), tool("setsid"));
    let (sandbox, registry) = (Sandbox::new(), DockerRegistry::start());
    let image = image("y");
    registry.push(&image, "app", "1");
    let mut pty = Pty::start(sandbox.runr(["pull", &registry.name("app:1")]).env("TERM", "xterm"));
    // What a program wrote last may still be on its way when it has ended.
    pty.expect(image.id());
    let code = pty.wait();
    let shown = pty.seen().to_owned();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("total  "), "{shown:?}");
    // The last thing that stays is the id, on a line that was cleared before.
    let last = shown.trim_end().rsplit('\n').next().unwrap();
    assert!(last.contains(image.id()), "{shown:?}");
}

#[test]
fn all_tags_and_several_names() {
    need!(userns, tool("docker-registry"));
    let (sandbox, registry) = (Sandbox::new(), DockerRegistry::start());
    let (one, two) = (image("1"), image("2"));
    registry.push(&one, "app", "1");
    registry.push(&two, "app", "2");
    let printed = sandbox.runr(["pull", "-q", "-a", &registry.name("app")]).output().ok();
    assert_eq!(printed, format!("sha256:{}\nsha256:{}\n", one.id(), two.id()));
    let tags = sandbox.line("images --sort tag --format {{.Tag}}").output().ok();
    assert_eq!(tags, "1\n2\n");
    let e = sandbox.runr(["pull", "-a", &registry.name("app:1")]).output().fails(125);
    assert_eq!(e, "runr: tag can't be used with --all-tags\n");
    // One that fails does not keep the others from coming.
    let output = sandbox.runr(["pull", "-q", &registry.name("nothing"), &registry.name("app:1")]).output();
    assert_eq!(output.stdout, format!("sha256:{}\n", one.id()));
    assert!(output.fails(125).starts_with("runr: "));
}

/// `umoci insert` ends a layer right behind the last file's data.
#[test]
fn a_layer_without_padding_at_its_end_is_whole() {
    need!(userns);
    let sandbox = Sandbox::new();
    let tar = Layer::new().entry(Entry::new("file", Kind::File(vec![b'x'; 700]))).tar();
    for (end, good) in [(512 + 700, true), (512 + 699, false), (512 + 701, false)] {
        let archive = sandbox.path("image.tar");
        let image = ImageBuilder::new().tar(tar[..end].to_vec(), Compression::Gzip).build();
        image.write_docker_archive(&archive, &["cut:latest"]);
        let output = sandbox.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output();
        assert_eq!(output.code() == 0, good, "{end}: {}", output.stderr);
    }
}
