//! What containers see of layers that were unpacked without knowing one another.

use crate::support::layer::Kind;
use crate::support::{DockerRegistry, Entry, ImageBuilder, Layer, Output, Sandbox, base_layer, inside::may_mount};

/// Pulls an image of the base layer and these.
fn pull(sandbox: &Sandbox, layers: &[Layer]) -> Output {
    let image = layers.iter().fold(ImageBuilder::new().layer(&base_layer()), |image, layer| image.layer(layer));
    let archive = sandbox.path("image.tar");
    image.build().write_docker_archive(&archive, &["stacked:latest"]);
    sandbox.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output()
}

fn run(sandbox: &Sandbox, script: &str) -> Output {
    sandbox.runr(["run", "--rm", "--network", "none", "stacked", "sh", "-c", script]).output()
}

/// Pulls, runs a script, returns what it printed; twice, because the second run finds what the first has made.
#[track_caller]
fn shown(layers: &[Layer], script: &str) -> String {
    let sandbox = Sandbox::new();
    pull(&sandbox, layers).ok();
    let first = run(&sandbox, script).ok();
    assert_eq!(run(&sandbox, script).ok(), first);
    sandbox.runr(["rmi", "stacked"]).output().ok();
    let left: Vec<_> = std::fs::read_dir(sandbox.store().join("layers")).unwrap().collect();
    assert!(left.is_empty(), "layers of a removed image stay: {left:?}");
    first
}

#[test]
fn implied_directories_are_as_the_lower_layer_has_them() {
    need!(userns, overlay, shell);
    let lower = Layer::new()
        .entry(Entry::new("tmp", Kind::Dir).mode(0o1777).mtime(1_000_000_001))
        .entry(Entry::new("deep", Kind::Dir).mode(0o711).mtime(1_000_000_002))
        .entry(Entry::new("deep/er", Kind::Dir).mode(0o2750).mtime(1_000_000_003))
        .dir("replaced", 0o700)
        .dir("opaque", 0o700);
    let middle = Layer::new().file("tmp/foo", "foo").file("deep/er/file", "x");
    let upper = Layer::new().file("deep/er/other/f", "y").whiteout("replaced").file("fresh/f", "z");
    let top = Layer::new().file("replaced/new/f", "").file("opaque/f", "").opaque("opaque");
    let script = "stat -c '%n %a %Y' /tmp /deep /deep/er && stat -c '%n %a' /deep/er/other /replaced /opaque /fresh && \
        cat /tmp/foo /deep/er/file /deep/er/other/f";
    assert_eq!(
        shown(&[lower, middle, upper, top], script),
        "/tmp 1777 1000000001\n/deep 711 1000000002\n/deep/er 2750 1000000003\n\
         /deep/er/other 755\n/replaced 755\n/opaque 755\n/fresh 755\nfooxy"
    );
}

#[test]
fn implied_directories_keep_the_lower_owner() {
    need!(userns, overlay, subids, shell);
    let lower = Layer::new()
        .entry(Entry::new("srv", Kind::Dir).owner(33, 44).mode(0o750))
        .entry(Entry::new("srv/app", Kind::Dir).owner(1000, 1000).mode(0o2770));
    let script = "stat -c '%n %a %u:%g' /srv /srv/app /srv/app/f";
    assert_eq!(
        shown(&[lower, Layer::new().file("srv/app/f", "")], script),
        "/srv 750 33:44\n/srv/app 2770 1000:1000\n/srv/app/f 644 0:0\n"
    );
}

#[test]
fn hard_links_reach_into_lower_layers() {
    need!(userns, overlay, shell);
    let lower = Layer::new()
        .dir("real", 0o755)
        .entry(Entry::new("real/tool", Kind::File(b"tool".to_vec())).mode(0o4755).mtime(1_000_000_000))
        .symlink("alias", "/real")
        .symlink("real/link", "tool")
        .file("old/name", "old")
        .file("hidden", "hidden");
    let upper = Layer::new()
        .hardlink("new/a", "alias/tool")
        .hardlink("new/b", "real/tool")
        .hardlink("new/link", "real/link")
        .hardlink("new/c", "new/a")
        .hardlink("gone", "hidden")
        .hardlink("old/name", "real/tool");
    let top = Layer::new().whiteout("gone").file("new/own", "").hardlink("new/d", "new/c");
    let script = "stat -c '%n %a %Y %h' /new/a /new/b /new/c /new/d && cat /new/a /new/d /old/name && \
        readlink /new/link && ls / | grep -c gone || true";
    assert_eq!(
        shown(&[lower, upper, top], script),
        "/new/a 4755 1000000000 5\n/new/b 4755 1000000000 5\n/new/c 4755 1000000000 5\n/new/d 4755 1000000000 5\n\
         tooltooltooltool\n0\n"
    );
}

#[test]
fn a_hard_link_to_nothing_names_both() {
    need!(userns, overlay, shell);
    for (lower, link) in [
        (Layer::new(), Layer::new().hardlink("a", "no/such")),
        (Layer::new().file("f", ""), Layer::new().symlink("out", "/../..").hardlink("a", "out/etc/shadow")),
    ] {
        let sandbox = Sandbox::new();
        let layers = [lower, link, Layer::new().file("z", "")];
        pull(&sandbox, &layers).ok();
        let said = run(&sandbox, "true").fails(125);
        assert!(said.contains("hard link `a`: its target `"), "{said}");
        assert!(said.contains("is in no lower layer"), "{said}");
        sandbox.runr(["rmi", "stacked"]).output().ok();
    }
    let sandbox = Sandbox::new();
    let layers = [Layer::new().file("f", ""), Layer::new().whiteout("f"), Layer::new().hardlink("a", "f")];
    pull(&sandbox, &layers).ok();
    let said = run(&sandbox, "true").fails(125);
    assert!(said.contains("hard link `a`: its target `f` is in no lower layer"), "{said}");
}

#[test]
fn the_same_layer_may_come_twice() {
    need!(userns, overlay, shell);
    let (a, b) = (Layer::new().file("f", "a").file("g", "a"), Layer::new().file("f", "b").whiteout("g"));
    let empty = Layer::new();
    let layers = [a.clone(), empty.clone(), b, a, empty];
    assert_eq!(shown(&layers, "cat /f /g"), "aa");
}

#[test]
fn the_root_is_like_the_topmost_layer_that_names_it() {
    need!(userns, overlay, shell);
    let root = |mode| Layer::new().entry(Entry::new("./", Kind::Dir).mode(mode).mtime(1_000_000_009));
    let layers = [root(0o700).file("a", ""), root(0o711).file("b", ""), Layer::new().file("c", "")];
    assert_eq!(shown(&layers, "stat -c %a /"), "711\n");
}

#[test]
fn whiteouts_and_opaque_directories_hide() {
    need!(userns, overlay, shell);
    let lower = Layer::new().file("d/a", "").file("d/b", "").file("o/low", "").file("x/y/z", "").file("again", "1");
    let upper = Layer::new().whiteout("d/a").opaque("o").file("o/high", "").whiteout("x").whiteout("again");
    let top = Layer::new().file("x/new", "").file("again", "2");
    assert_eq!(shown(&[lower, upper, top], "ls /d /o /x; cat /again"), "/d:\nb\n\n/o:\nhigh\n\n/x:\nnew\n2");
}

#[test]
fn without_overlay_the_container_gets_a_copy() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let lower = Layer::new().dir("tmp", 0o1777).file("gone", "").file("d/kept", "kept").hardlink("d/second", "d/kept");
    let upper = Layer::new().file("tmp/foo", "foo").whiteout("gone").hardlink("up", "d/kept");
    pull(&sandbox, &[lower, upper]).ok();
    drop(sandbox.runr(["doctor"]).output().bytes);
    // As if this file system had been found to refuse it.
    let format = sandbox.store().join("format.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&format).unwrap()).unwrap();
    for found in json["file_systems"].as_array_mut().unwrap() {
        found["overlay_upper"] = false.into();
    }
    std::fs::write(&format, serde_json::to_vec(&json).unwrap()).unwrap();
    let script = "stat -c '%a' /tmp && cat /d/kept /up && stat -c '%h' /d/second && echo new >/d/kept && cat /d/second; \
        ls / | grep -c gone";
    for _ in 0..2 {
        let out = run(&sandbox, script);
        assert!(out.stderr.contains("overlay is refused here"), "{}", out.stderr);
        assert_eq!(out.exits(1), "1777\nkeptkept2\nnew\n0\n");
    }
}

/// The trial said yes, the kernel says no when the container is started: here because the data folder lies on an overlay,
/// which cannot be the upper folder of another.
#[test]
fn an_overlay_that_is_refused_at_the_last_moment_becomes_a_copy() {
    need!(userns, subids, overlay, shell);
    if !may_mount("stacking::an_overlay_that_is_refused_at_the_last_moment_becomes_a_copy") {
        return;
    }
    let sandbox = Sandbox::new();
    let script = "mkdir l u w m && exec mount -t overlay overlay -o userxattr,lowerdir=l,upperdir=u,workdir=w m";
    sandbox.command("sh").args(["-c", script]).cwd(sandbox.dir()).output().ok();
    let root = sandbox.path("m/store");
    let runr = |args: &[&str]| sandbox.runr(["--root", root.to_str().unwrap()]).args(args).output();
    let lower = Layer::new().dir("tmp", 0o1777).file("gone", "").file("d/kept", "kept\n");
    let image = ImageBuilder::new().layer(&base_layer()).layer(&lower).layer(&Layer::new().whiteout("gone"));
    let archive = sandbox.path("image.tar");
    image.build().write_docker_archive(&archive, &["stacked:latest"]);
    runr(&["pull", "-q", &format!("docker-archive:{}", archive.display())]).ok();
    let check = "cat /d/kept; stat -c %a /tmp; ls / | grep -c gone; echo new >/d/kept";
    let expected = "kept\n1777\n0\n";
    // The trial's own finding.
    let out = runr(&["run", "--rm", "--network", "none", "stacked", "sh", "-c", check]);
    assert!(out.stderr.contains("overlay is refused here"), "{}", out.stderr);
    assert_eq!(out.ok(), expected);
    let format = root.join("format.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&format).unwrap()).unwrap();
    for found in json["file_systems"].as_array_mut().unwrap() {
        assert_eq!(found["overlay_upper"], false);
        found["overlay_upper"] = true.into();
    }
    std::fs::write(&format, serde_json::to_vec(&json).unwrap()).unwrap();
    let out = runr(&["run", "--name", "c", "--network", "none", "stacked", "sh", "-c", check]);
    assert!(out.stderr.contains("overlay is refused here"), "{}", out.stderr);
    assert_eq!(out.ok(), expected);
    // The next start goes on with the copy.
    let out = runr(&["start", "-a", "c"]);
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("new\n1777\n0\n", ""));
    runr(&["rm", "c"]).ok();
    drop(sandbox.command("umount").arg("-l").arg(sandbox.path("m")).output());
}

#[test]
fn an_image_without_layers_runs_what_is_put_into_it() {
    need!(userns, overlay, tool("docker-registry"));
    let (sandbox, registry) = (Sandbox::new(), DockerRegistry::start());
    let name = registry.push(&ImageBuilder::new().build(), "empty", "1");
    let said = sandbox.runr(["run", "--rm", "-q", &name, "true"]).output().fails(127);
    assert!(said.contains("`true`"), "{said}");
    let program = format!("{}:/runr", crate::support::sandbox::binary().display());
    for _ in 0..2 {
        let out =
            sandbox.runr(["run", "--rm", "-v", &program, &name, "/runr", "version", "--format", "{{.Client.Os}}"]);
        assert_eq!(out.output().ok(), "linux\n");
    }
    sandbox.runr(["rmi", &name]).output().ok();
    assert_eq!(std::fs::read_dir(sandbox.store().join("layers")).unwrap().count(), 0);
}

/// The kernel takes 500 lower folders; docker's own limit is 127, but other builders have none.
#[test]
fn hundreds_of_layers_are_one_image() {
    need!(userns, overlay, shell);
    let layer = |n: usize| {
        let layer = Layer::new().file(format!("files/{n}"), format!("{n}\n")).file("last", format!("{n}\n"));
        // The lowest ones and the topmost one each have something to hide.
        if n == 300 || n == 519 { layer.whiteout(&format!("files/{}", n - 299)) } else { layer }
    };
    let layers: Vec<Layer> = (0..520).map(layer).collect();
    let script = "ls /files | wc -l; cat /last /files/0 /files/519; test -e /files/1 || echo one; \
        test -e /files/220 || echo two; stat -c %a /tmp";
    assert_eq!(shown(&layers, script), "518\n519\n0\n519\none\ntwo\n1777\n");
}

/// A user without subordinate ids: the files are the user's, and what they should have been stands beside the layer.
#[test]
fn with_one_id_the_true_owners_are_kept_beside_the_layer() {
    need!(one_id, userns, overlay, shell);
    let sandbox = Sandbox::new();
    let layer = Layer::new()
        .entry(Entry::new("srv/mail", Kind::File(b"x".to_vec())).mode(0o4750).owner(8, 12))
        .entry(Entry::new("srv/folder", Kind::Dir).mode(0o2775).owner(33, 33))
        .entry(Entry::new("srv/device", Kind::CharDevice(1, 3)).mode(0o660).owner(0, 6));
    pull(&sandbox, &[layer]).ok();
    let mut told = Vec::new();
    for file in crate::store::files_below(&sandbox.store().join("layers")) {
        let beside = |name: &str| std::fs::read(file.with_file_name(name)).unwrap();
        if file.file_name().is_some_and(|name| name == "layer.json") && file.parent().unwrap().ends_with("one") {
            let meta: serde_json::Value = serde_json::from_slice(&beside("layer.json")).unwrap();
            if meta["has_true_stats"] == true {
                let owners: Vec<serde_json::Value> = serde_json::from_slice(&beside("owners.json")).unwrap();
                let line = |o: &serde_json::Value| {
                    format!("{} {} {} {} {:o}", o["path"], o["kind"], o["uid"], o["gid"], o["mode"].as_u64().unwrap())
                };
                told.extend(owners.iter().map(|o| line(o).replace('"', "")));
            }
        }
    }
    told.sort();
    assert_eq!(
        told,
        ["home/user d 1000 1000 755", "srv/device c 0 6 660", "srv/folder d 33 33 2775", "srv/mail f 8 12 4750"]
    );
    // Inside, the user is root, owns everything and may do with it what root may.
    let script = "id -u; stat -c '%a %u:%g' /srv/mail /srv/folder; cat /srv/mail; echo more >>/srv/mail; chmod 600 /srv/mail; \
        chown 0:0 /srv/mail; mkdir /srv/folder/new; rm -r /srv/folder; touch /file; stat -c %u:%g /file";
    assert_eq!(run(&sandbox, script).ok(), "0\n4750 0:0\n2775 0:0\nx0:0\n");
    assert_eq!(run(&sandbox, "cat /srv/mail; ls -d /srv/folder").ok(), "x/srv/folder\n");
}

/// What a lower layer prepares cannot lead a higher one out of the container's root either.
#[test]
fn links_of_a_lower_layer_lead_nowhere_else() {
    need!(userns, overlay, shell);
    let sandbox = Sandbox::new();
    let secret = sandbox.write("secret", "outside");
    let up = "../".repeat(30);
    let absolute = sandbox.dir().display().to_string();
    for target in ["/", absolute.as_str(), &format!("{up}{}", absolute.trim_start_matches('/'))] {
        let lower = Layer::new().symlink("out", target);
        let upper = Layer::new().hardlink("stolen", "out/secret").file("out/written", "x");
        pull(&sandbox, &[lower, upper]).ok();
        let out = run(&sandbox, "cat /stolen");
        assert!(!out.stdout.contains("outside"), "{target}: {}", out.stdout);
        assert!(out.fails(125).contains("its target `out/secret` is in no lower layer"), "{target}");
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "outside");
        assert!(!sandbox.dir().join("written").exists());
    }
}
