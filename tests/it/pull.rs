//! `pull` from registries through the executable: what is asked, and what a registry that misbehaves comes to.

use crate::support::pty::Pty;
use crate::support::registry::{Auth, Faulty, Options, Registry};
use crate::support::{Compression, DockerRegistry, Image, ImageBuilder, Layer, Sandbox, base_layer, image};

fn small(content: &str) -> Image {
    ImageBuilder::new().layer(&Layer::new().file("file", content)).build()
}

#[test]
fn the_platform_is_chosen_from_a_list() {
    need!(userns, tool("docker-registry"));
    let (sandbox, registry) = (Sandbox::new(), DockerRegistry::start());
    let own = small("own");
    let other = ImageBuilder::new().layer(&Layer::new().file("file", "other")).architecture("s390x").build();
    for image in [&own, &other] {
        registry.push(image, "app", image.architecture.as_str());
    }
    image::push_manifest(registry.address(), "app", "both", &Image::index(&[&other, &own]));
    let name = registry.name("app:both");
    let pull = |flags: &[&str]| sandbox.runr(["pull", "-q"]).args(flags).arg(&name).output();
    assert_eq!(pull(&[]).ok().trim(), format!("sha256:{}", own.id()));
    assert_eq!(pull(&["--platform", "linux/s390x"]).ok().trim(), format!("sha256:{}", other.id()));
    let said = pull(&["--platform", "linux/riscv64"]).fails(125);
    assert!(said.contains("riscv64"), "{said}");
}

#[test]
fn a_second_pull_asks_for_the_manifest_only() {
    need!(userns);
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    let image = ImageBuilder::new().layer_as(&Layer::new().file("file", "x"), Compression::Zstd).build();
    let name = registry.add(&image, "app", "1");
    sandbox.runr(["pull", "-q", &name]).output().ok();
    registry.requests();
    sandbox.runr(["pull", "-q", &name]).output().ok();
    let asked: Vec<String> = registry.requests().iter().map(|r| r.route().to_owned()).collect();
    assert!(asked.iter().all(|route| route.contains("/manifests/")) && asked.len() <= 2, "{asked:?}");
}

#[test]
fn what_goes_wrong_is_one_clear_line() {
    need!(userns);
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    let image = small("x");
    registry.add(&image, "app", "1");
    let schema1 = r#"{"schemaVersion":1,"name":"app","tag":"old","fsLayers":[]}"#;
    let blob = |kind: &str, text: String| image::Blob::new(kind, text.into_bytes());
    registry.add_manifest(
        "app",
        "old",
        &blob("application/vnd.docker.distribution.manifest.v1+prettyjws", schema1.into()),
    );
    let strange = String::from_utf8(image.manifest.bytes.clone()).unwrap().replace(".tar+gzip", ".tar+shiny");
    registry.add_manifest("app", "strange", &blob(&image.manifest.media_type, strange));
    let locked = Registry::with(Options { auth: Auth::Basic("ana", "pw"), ..Options::default() });
    locked.add(&image, "app", "1");
    let refused = {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("{}/app:1", closed.local_addr().unwrap())
    };
    for (name, words) in [
        (refused, "refused"),
        (registry.name("none:1"), "MANIFEST_UNKNOWN"),
        (locked.name("app:1"), "401"),
        (registry.name("app:old"), "schema"),
        (registry.name("app:strange"), "shiny"),
    ] {
        let output = sandbox.runr(["pull", "-q", "--retry", "0", &name]).output();
        assert_eq!(output.stdout, "", "{name}");
        let said = output.fails(125);
        let first = said.lines().next().unwrap();
        assert!(first.starts_with("runr: ") && first.contains(words), "{name}: {said}");
        assert!(said.lines().skip(1).all(|line| line.starts_with("hint: ")), "{said}");
    }
    let whole = sandbox.runr(["pull", "-q", &registry.name("app:1")]).output().ok();
    assert_eq!(whole.trim(), format!("sha256:{}", image.id()));
}

/// Each fault through the executable: one line that tells it, no image, no process, nothing in `tmp/` but what the next pull
/// goes on with; and the next pull, when the registry is well again, brings the whole image.
#[test]
fn whatever_a_registry_does_the_next_pull_works() {
    need!(userns);
    let image = ImageBuilder::new()
        .layer(&Layer::new().file("one", crate::store::noise(1, 300_000)))
        .layer(&Layer::new().file("two", "2"))
        .build();
    let (layer, manifest, config) = (&image.layers[0], &image.manifest, &image.config);
    for (what, fault, words) in [
        (layer, Faulty::Status(500, None), "answers 500"),
        (layer, Faulty::Status(429, Some(0)), "limits requests: 429"),
        (layer, Faulty::Status(404, None), "404"),
        (layer, Faulty::WrongBytes, "is not what its digest says"),
        (layer, Faulty::CutAfter(100_000), "after 100000 of"),
        (layer, Faulty::Length(-5), "bytes"),
        (layer, Faulty::Length(5), "bytes"),
        (layer, Faulty::Chunked { less: 0, more: 3 }, "bytes"),
        (layer, Faulty::Chunked { less: 3, more: 0 }, "bytes"),
        (config, Faulty::WrongBytes, "is not what its digest says"),
        (config, Faulty::CutAfter(3), "config"),
        (manifest, Faulty::WrongBytes, "instead of"),
        (manifest, Faulty::CutAfter(10), "end of file before message length reached"),
        (manifest, Faulty::Status(503, None), "answers 503"),
    ] {
        fails_then_works(&image, &what.digest, &fault, words);
    }
}

/// Apart from the others, because it takes as long as the silence that is put up with.
#[test]
fn a_registry_that_stalls_is_given_up_and_the_next_pull_works() {
    need!(userns);
    let image = ImageBuilder::new().layer(&Layer::new().file("one", crate::store::noise(1, 300_000))).build();
    fails_then_works(&image, &image.layers[0].digest, &Faulty::StallAfter(100_000), "nothing came for 30 s");
}

fn fails_then_works(image: &Image, what: &runr::image::Digest, fault: &Faulty, words: &str) {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    let name = registry.add(image, "app", "1");
    registry.fail(what, 20, fault.clone());
    let pinned = registry.name(&format!("app@{}", image.manifest.digest));
    let said = sandbox.runr(["pull", "-q", "--retry", "0", &pinned]).output().fails(125);
    assert!(said.starts_with("runr: ") && said.contains(words), "{fault:?}: {said}");
    crate::store::settle(&sandbox);
    assert_eq!(sandbox.line("images -q").output().ok(), "", "{fault:?}");
    let mut left = sandbox.leftovers();
    left.retain(|file| !file.starts_with("blob-"));
    assert_eq!(left, Vec::<String>::new(), "{fault:?}");
    registry.heal();
    assert_eq!(sandbox.runr(["pull", "-q", &name]).output().ok().trim(), format!("sha256:{}", image.id()));
    crate::store::settle(&sandbox);
    assert_eq!(sandbox.leftovers(), Vec::<String>::new(), "{fault:?}");
}

#[test]
fn waits_are_said_and_survived() {
    need!(userns);
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    let image = small("y");
    let name = registry.add(&image, "app", "1");
    registry.fail("1", 1, Faulty::Status(429, Some(0)));
    registry.fail(&image.layers[0].digest, 1, Faulty::CutAfter(10));
    let output = sandbox.runr(["pull", "--retry-delay", "0", &name]).output();
    assert!(output.stderr.contains("trying again in ") && output.stderr.contains("429"), "{}", output.stderr);
    assert_eq!(output.ok(), format!("sha256:{}\n", image.id()));
}

/// `run` and `create` pull as `pull` does: as often again as they are told, with waits of the length that they are told.
#[test]
fn a_run_tries_again_as_often_as_it_is_told() {
    need!(userns);
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    let name = registry.add(&small("r"), "app", "1");
    let create = |flags: &[&str]| sandbox.runr(["create"]).args(flags).args([&name, "x"]).output();
    registry.fail("1", usize::MAX, Faulty::Status(503, None));
    for (flags, tries) in [(&["--retry", "0"][..], 1), (&["--retry=2", "--retry-delay=1ms"], 3)] {
        let before = registry.requests().len();
        let said = create(flags).fails(125);
        let asked = registry.requests()[before..].iter().filter(|r| r.path.contains("/manifests/1")).count();
        assert_eq!(asked, tries, "{flags:?}: {said}");
    }
    registry.heal();
    registry.fail("1", 2, Faulty::Status(503, None));
    let output = create(&["--retry-delay", "200ms"]);
    // Each of the same length: no doubling, no chance.
    assert_eq!(output.stderr.matches("trying again in 0.2 s").count(), 2, "{}", output.stderr);
    output.ok();
    for command in ["run", "create", "pull"] {
        let said = sandbox.runr([command, "--retry-delay", "soon", &name]).output().fails(125);
        assert!(said.starts_with("runr: --retry-delay: invalid span `soon`: use one such as 2s"), "{said}");
    }
}

#[test]
fn passwords_come_from_flags_and_files() {
    need!(userns);
    let sandbox = Sandbox::new();
    let registry = Registry::with(Options { auth: Auth::Basic("ana", "pw"), ..Options::default() });
    let name = registry.add(&small("z"), "app", "1");
    let config = format!(r#"{{"auths":{{"{}":{{"auth":"YW5hOnB3"}}}}}}"#, registry.address());
    let pull = |flags: &[&str]| sandbox.runr(["pull", "-q"]).args(flags).arg(&name).output();
    pull(&[]).fails(125);
    pull(&["--creds", "ana:wrong"]).fails(125);
    pull(&["--creds", "ana:pw"]).ok();
    assert_eq!(
        pull(&["--creds", ":pw"]).fails(125),
        "runr: --creds: the user is missing\nhint: use `--creds USER:PASSWORD`\n"
    );
    assert_eq!(
        pull(&["--creds", "ana"]).fails(125),
        "runr: --creds: the password of `ana` is missing\n\
         hint: use `--creds USER:PASSWORD`; on a terminal runr asks for the password\n"
    );
    let mut pty = Pty::start(sandbox.runr(["pull", "-q", "--creds", "ana", &name]));
    pty.expect("Password: ");
    assert!(pty.settings().contains("-echo "), "nobody sees it");
    pty.send("px\u{7f}w\n");
    assert_eq!(pty.wait(), 0);
    assert!(pty.settings().contains(" echo ") && !pty.seen().contains("pw"), "{}", pty.seen());
    let mut pty = Pty::start(sandbox.runr(["pull", "-q", "--creds", "ana", &name]));
    pty.expect("Password: ");
    pty.send("p\u{3}");
    assert_eq!(pty.wait(), 125);
    pty.expect("--creds: the password of `ana` is missing");
    let file = sandbox.write("auth.json", &config).display().to_string();
    pull(&["--authfile", &file]).ok();
    pull(&[]).fails(125);
    sandbox.write("home/.docker/config.json", &config);
    pull(&[]).ok();
}

#[test]
fn layers_of_another_order_share_what_they_can() {
    need!(userns, overlay, shell);
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    let make = |text: &str| ImageBuilder::new().layer(&base_layer()).layer(&Layer::new().file("text", text)).build();
    let (one, two) = (registry.add(&make("1"), "app", "1"), registry.add(&make("2"), "app", "2"));
    sandbox.runr(["pull", "-q", &one]).output().ok();
    let said = sandbox.runr(["pull", &two]).output();
    assert_eq!(said.stderr.lines().filter(|l| l.ends_with("already exists")).count(), 1, "{}", said.stderr);
    assert_eq!(sandbox.runr(["run", "--rm", &two, "cat", "/text"]).output().ok(), "2");
}
