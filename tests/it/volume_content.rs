//! What a volume begins with: the image's files, with their owners, once and whole; and whom its files are given to.

use crate::kill::rounds;
use crate::store::settle;
use crate::support::layer::Kind;
use crate::support::{Entry, ImageBuilder, Layer, Podman, Sandbox, base_layer};
use crate::volume::{files, run, sandbox};
use serde_json::json;
use std::time::Duration;

/// An image with a folder that belongs to its user 33, a volume at it, and a link to it.
fn load(sandbox: &Sandbox) {
    let layer = Layer::new()
        .file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nwww:x:33:34::/srv:/bin/sh\n")
        .dir("srv/", 0o755)
        .entry(Entry::new("srv/data/", Kind::Dir).mode(0o2750).owner(33, 34))
        .entry(Entry::new("srv/data/seed", Kind::File(b"seed\n".to_vec())).mode(0o640).owner(33, 34))
        .dir("srv/data/deep/", 0o755)
        .hardlink("srv/data/deep/seed", "srv/data/seed")
        .symlink("srv/link", "/srv/data")
        .symlink("srv/out", "../../../../../../../../../../tmp");
    let image = ImageBuilder::new()
        .layer(&base_layer())
        .layer(&layer)
        .config("Volumes", json!({"/srv/data": {}}))
        .config("User", json!("www"))
        .build();
    let archive = sandbox.path("image.tar");
    image.write_docker_archive(&archive, &["app:1"]);
    sandbox.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output().ok();
    std::fs::remove_file(archive).unwrap();
}

#[test]
fn a_volume_begins_with_what_the_image_has_there() {
    need!(userns, shell, subids);
    let sandbox = sandbox();
    load(&sandbox);
    let look = "stat -c '%n %u:%g %a %h' /v /v/seed /v/deep/seed; cat /v/seed; touch /v/new";
    let begins = "/v 33:34 2750 3\n/v/seed 33:34 640 2\n/v/deep/seed 33:34 640 2\nseed\n";
    let look_at = |target: &str| look.replace("/v", target);
    let begins_at = |target: &str| begins.replace("/v", target);
    assert_eq!(run(&sandbox, "-v one:/srv/data", "app:1", &look_at("/srv/data")).output().ok(), begins_at("/srv/data"));
    // At a link in the image the volume is where that leads to.
    assert_eq!(run(&sandbox, "-v two:/srv/link", "app:1", &look_at("/srv/data")).output().ok(), begins_at("/srv/data"));
    // What it holds stays, with whatever image.
    let out = run(&sandbox, "-u 0 -v one:/etc", "app:1", "ls /etc | tr '\\n' ' '").output().ok();
    assert_eq!(out, "deep hostname hosts new resolv.conf seed ");
    // Only the place.
    let out =
        run(&sandbox, "-v three:/srv/data:nocopy", "app:1", "ls /srv/data; stat -c '%u:%g %a' /srv/data").output();
    assert_eq!(out.ok(), "33:34 2750\n");
    // Nothing there: it belongs to who runs.
    let out = run(&sandbox, "-v four:/none", "app:1", "stat -c '%u:%g %a' /none; touch /none/x").output();
    assert_eq!(out.ok(), "33:34 755\n");
    let out = run(&sandbox, "-v five:/none -u 7:8", "app:1", "stat -c '%u:%g %a' /none").output();
    assert_eq!(out.ok(), "7:8 755\n");
    // A link that leads out of the image leads nowhere.
    let out = run(&sandbox, "-u 0 -v six:/srv/out", "app:1", "ls -A /tmp | wc -l").output();
    assert_eq!(out.ok(), "0\n");
    // What somebody put there before the first container is kept, and nothing added.
    sandbox.line("volume create seven").output().ok();
    std::fs::write(sandbox.store().join("volumes/seven/_data/mine"), "").unwrap();
    assert_eq!(run(&sandbox, "-u 0 -v seven:/srv/data", "app:1", "ls /srv/data").output().ok(), "mine\n");
    // Emptied it begins again when nobody has it (docker), and only then.
    run(&sandbox, "-u 0 -v one:/srv/data", "app:1", "rm -r /srv/data/*; chmod 755 /srv/data").output().ok();
    sandbox.line("create --name keeps -v one:/x app:1 true").output().ok();
    assert_eq!(run(&sandbox, "-v one:/srv/data", "app:1", "ls /srv/data").output().ok(), "");
    sandbox.line("rm -v keeps").output().ok();
    assert_eq!(run(&sandbox, "-v one:/srv/data", "app:1", "ls /srv/data").output().ok(), "deep\nseed\n");
    // Where the image has nothing, what was there before keeps its owner.
    run(&sandbox, "-u 0 -v eight:/none", "app:1", "chown 5:6 /none; chmod 700 /none").output().ok();
    let out = run(&sandbox, "-u 0 -v eight:/none", "app:1", "stat -c '%u:%g %a' /none").output();
    assert_eq!(out.ok(), "5:6 700\n");
}

#[test]
fn user_namespaces_of_other_kinds_fill_volumes_as_well() {
    need!(userns, shell, subids, not_root);
    let sandbox = sandbox();
    load(&sandbox);
    for (name, mode) in [("a", "nomap"), ("b", "keep-id")] {
        let flags = format!("--userns {mode} -u www -v {name}:/srv/data");
        let out =
            run(&sandbox, &flags, "app:1", "stat -c '%u:%g' /srv/data /srv/data/seed; touch /srv/data/x").output();
        assert_eq!(out.ok(), "33:34\n33:34\n", "{mode}");
        if mode == "keep-id" {
            // Whoever runs there without being named.
            let out = run(
                &sandbox,
                "--userns keep-id -v kept:/none",
                "app:1",
                "touch /none/x; stat -c %u:%g /none; echo $(id -u):$(id -g)",
            );
            let out = out.output().ok();
            let lines: Vec<&str> = out.lines().collect();
            assert!(lines.len() == 2 && lines[0] == lines[1], "{out}");
        }
        let flags = format!("--userns {mode} -u 44:45 -v {name}2:/none");
        assert_eq!(
            run(&sandbox, &flags, "app:1", "stat -c '%u:%g' /none; touch /none/x").output().ok(),
            "44:45\n",
            "{mode}"
        );
    }
}

#[test]
fn many_containers_begin_with_one_volume_at_once() {
    need!(userns, shell);
    let sandbox = sandbox();
    let image = ImageBuilder::new()
        .layer(&base_layer())
        .layer(&(0..200).fold(Layer::new().dir("data/", 0o755), |l, n| l.file(format!("data/{n}"), "x")))
        .build();
    let archive = sandbox.path("image.tar");
    image.write_docker_archive(&archive, &["many:1"]);
    sandbox.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output().ok();
    for round in 0..4 {
        let all: Vec<_> = (0..25)
            .map(|n| {
                run(&sandbox, "-v shared:/data", "many:1", &format!("ls /data | grep -vc n; touch /data/n{n}")).spawn()
            })
            .collect();
        for one in all {
            assert_eq!(one.wait().ok(), "200\n", "round {round}");
        }
        assert_eq!(files(&sandbox, "shared"), ["_data", "lock", "volume.json"]);
        sandbox.line("volume rm shared").output().ok();
    }
}

#[test]
fn a_copy_may_be_killed_at_any_moment() {
    need!(userns, shell);
    let sandbox = sandbox();
    let image = ImageBuilder::new()
        .layer(&base_layer())
        .layer(&(0..300).fold(Layer::new().dir("data/", 0o755), |l, n| l.file(format!("data/{n}"), "x")))
        .config("Volumes", json!({"/data": {}}))
        .build();
    let archive = sandbox.path("image.tar");
    image.write_docker_archive(&archive, &["many:1"]);
    sandbox.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output().ok();
    for round in 0..rounds(40) {
        let child = run(&sandbox, "-v v:/data", "many:1", "true").spawn();
        std::thread::sleep(Duration::from_micros(u64::from(round % 40) * 400));
        child.signal(nix::sys::signal::Signal::SIGKILL);
        drop(child.wait());
        assert_eq!(run(&sandbox, "-v v:/data", "many:1", "ls /data | wc -l").output().ok(), "300\n", "round {round}");
        // Whatever was killed, nothing of it is left in the volume.
        assert_eq!(files(&sandbox, "v"), ["_data", "lock", "volume.json"], "round {round}");
        sandbox.line("ps -a").output().ok();
        sandbox.line("rm -fa").output().ok();
        sandbox.line("volume rm v").output().ok();
    }
    settle(&sandbox);
    let unwanted: Vec<String> = sandbox.leftovers().into_iter().filter(|n| n.contains("volume")).collect();
    // Half-made ones are swept after an hour.
    assert!(unwanted.iter().all(|name| name.starts_with(".new.volume")), "{unwanted:?}");
    for name in unwanted {
        sandbox.remove_tree(&sandbox.store().join("tmp").join(name));
    }
}

#[test]
fn volumes_begin_as_podmans() {
    need!(userns, overlay, shell, not_root, subids, tool("podman"), tool("runc"));
    let sandbox = sandbox();
    load(&sandbox);
    let Some(podman) = Podman::start(&sandbox) else { return };
    if !podman.runs() {
        return;
    }
    let archive = sandbox.path("again.tar");
    let layer = Layer::new()
        .dir("srv/", 0o755)
        .entry(Entry::new("srv/data/", Kind::Dir).mode(0o2750).owner(33, 34))
        .entry(Entry::new("srv/data/seed", Kind::File(b"seed\n".to_vec())).mode(0o640).owner(33, 34));
    let image =
        ImageBuilder::new().layer(&base_layer()).layer(&layer).config("Volumes", json!({"/srv/data": {}})).build();
    image.write_docker_archive(&archive, &["vol:1"]);
    sandbox.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output().ok();
    podman.command(&["load", "-q", "-i", archive.to_str().unwrap()]).output().ok();
    let look = "stat -c '%n %u:%g %a' /srv/data /srv/data/* /none 2>/dev/null; ls /srv/data | wc -l";
    for flags in [
        "-v a1:/srv/data",
        "-v a2:/srv/data:nocopy",
        "-v a3:/none",
        "-v a4:/none -u 7:8",
        "-u 7 -v a5:/srv/data",
        "",
        "--image-volume ignore",
        "--mount type=volume,src=a6,dst=/srv/data",
        "--mount type=volume,dst=/none",
        "-v /none",
    ] {
        let mut words = vec!["run", "--rm", "--network", "none"];
        words.extend(flags.split_whitespace());
        words.extend(["vol:1", "sh", "-c", look]);
        let (ours, theirs) = (sandbox.runr(&words).output(), podman.command(&words).output());
        assert_eq!((ours.code(), ours.stdout), (theirs.code(), theirs.stdout), "{flags}");
    }
    let (ours, theirs) =
        (sandbox.line("volume ls -q").output().ok(), podman.command(&["volume", "ls", "-q"]).output().ok());
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(ours), sorted(theirs));
}

#[test]
fn files_are_given_to_the_containers_user() {
    need!(userns, shell, subids);
    let sandbox = sandbox();
    load(&sandbox);
    let folder = sandbox.path("mine");
    std::fs::create_dir_all(folder.join("deep/er")).unwrap();
    std::fs::write(folder.join("deep/file"), "").unwrap();
    std::fs::write(sandbox.path("outside"), "").unwrap();
    std::os::unix::fs::symlink(sandbox.path("outside"), folder.join("link")).unwrap();
    let bind = format!("-v {}:/d:U", folder.display());
    let out = run(
        &sandbox,
        &bind,
        "app:1",
        "stat -c '%n %u:%g' /d /d/deep /d/deep/er /d/deep/file /d/link; touch /d/deep/er/x",
    );
    let owners = "/d 33:34\n/d/deep 33:34\n/d/deep/er 33:34\n/d/deep/file 33:34\n/d/link 33:34\n";
    assert_eq!(out.output().ok(), owners);
    use std::os::unix::fs::MetadataExt;
    let me = nix::unistd::geteuid().as_raw();
    assert_eq!(std::fs::metadata(sandbox.path("outside")).unwrap().uid(), me, "a link leads nowhere");
    // Back to the container's root, which is the user.
    let out = run(&sandbox, &format!("-u 0 {bind}"), "app:1", "stat -c '%u:%g' /d/deep/file").output();
    assert_eq!(out.ok(), "0:0\n");
    assert_eq!(std::fs::metadata(folder.join("deep/file")).unwrap().uid(), me);
    let out = run(&sandbox, "-u 7 -v vol:/d:U", "app:1", "stat -c '%u:%g' /d").output();
    assert_eq!(out.ok(), "7:0\n");
}

#[test]
fn not_everything_can_be_given_away() {
    need!(userns, shell);
    let sandbox = sandbox();
    let home = sandbox.home();
    for source in [home.to_str().unwrap(), "/", "/usr/", "/etc"] {
        let out = sandbox.runr(["run", "--rm", "-u", "7", "-v", &format!("{source}:/h:U"), "busybox", "true"]).output();
        let e = out.fails(125);
        assert!(e.contains(" cannot be given away\n"), "{source}: {e}");
    }
    need!(subids);
    let out = run(&sandbox, "-u 7 --tmpfs /t:U,mode=700", "busybox", "touch /t/x; stat -c '%u:%g %a' /t").output();
    assert_eq!(out.ok(), "7:0 700\n");
}
