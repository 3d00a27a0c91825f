//! Volumes: named ones stay, others go with their container, and both begin with what the image has at their place.

use crate::kill::rounds;
use crate::store::settle;
use crate::support::{ImageBuilder, Layer, Run, Sandbox, base_layer};
use serde_json::{Value, json};
use std::time::Duration;

pub fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox
}

pub fn run(sandbox: &Sandbox, flags: &str, image: &str, script: &str) -> Run {
    let words = flags.split_whitespace();
    sandbox.runr(["run", "--rm", "--network", "none"]).args(words).args([image, "sh", "-c", script])
}

pub fn names(sandbox: &Sandbox) -> Vec<String> {
    sandbox.line("volume ls -q").output().ok().lines().map(str::to_owned).collect()
}

pub fn files(sandbox: &Sandbox, volume: &str) -> Vec<String> {
    let folder = std::fs::read_dir(sandbox.store().join("volumes").join(volume)).unwrap();
    let mut names: Vec<String> = folder.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_named_volume_outlives_its_containers() {
    need!(userns, shell);
    let sandbox = sandbox();
    run(&sandbox, "-v data:/d", "busybox", "echo kept >/d/file").output().ok();
    assert_eq!(run(&sandbox, "-v data:/d:ro", "busybox", "cat /d/file").output().ok(), "kept\n");
    let mount = "--mount type=volume,src=data,dst=/e,readonly";
    assert_eq!(
        run(&sandbox, mount, "busybox", "cat /e/file; touch /e/x 2>/dev/null || echo ro").output().ok(),
        "kept\nro\n"
    );
    assert_eq!(sandbox.line("volume ls").output().ok(), "DRIVER    VOLUME NAME\nlocal     data\n");
    let shown = sandbox.line("volume inspect data").output().ok();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let data = sandbox.store().join("volumes/data/_data");
    assert_eq!(
        (shown[0]["Name"].as_str(), shown[0]["Driver"].as_str(), shown[0]["Scope"].as_str()),
        (Some("data"), Some("local"), Some("local"))
    );
    assert_eq!(shown[0]["Mountpoint"].as_str().unwrap(), data.to_str().unwrap());
    assert_eq!(std::fs::read_to_string(data.join("file")).unwrap(), "kept\n");
    // `inspect` finds it, too; a container of this name would come first.
    assert_eq!(sandbox.line("inspect -f {{.Mountpoint}} data").output().ok().trim(), data.to_str().unwrap());
    assert_eq!(sandbox.line("inspect --type volume -f {{.Name}} data").output().ok(), "data\n");
    sandbox.line("volume exists data").output().ok();
    sandbox.line("volume exists other").output().exits(1);
    // A beginning is no name.
    sandbox.line("volume exists dat").output().exits(1);
    sandbox.line("inspect dat").output().exits(125);

    sandbox.line("create --name c -v data:/d busybox").output().ok();
    let id = sandbox.runr(["inspect", "-f", "{{slice .Id 0 12}}", "c"]).output().ok();
    let id = id.trim();
    let e = sandbox.line("volume rm data").output().fails(2);
    assert_eq!(
        e,
        format!(
            "runr: cannot remove volume `data`: container `{id}` uses it\nhint: remove what uses it first: `runr rm {id}`\n"
        )
    );
    sandbox.line("volume rm -f data").output().fails(2);
    let mounts = sandbox.runr([
        "inspect",
        "-f",
        "{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.RW}}{{end}} {{.HostConfig.Binds}}",
        "c",
    ]);
    assert_eq!(mounts.output().ok(), "volume data /d true [data:/d]\n");
    assert_eq!(sandbox.line("ps -a --format {{.Names}} --filter volume=data").output().ok(), "c\n");
    // What has a name stays with `-v`.
    sandbox.line("rm -v c").output().ok();
    assert_eq!(sandbox.line("volume rm data").output().ok(), "data\n");
    assert_eq!(sandbox.line("volume rm data").output().fails(1), "runr: no such volume: data\n");
    assert_eq!(sandbox.line("volume rm -f data").output().ok(), "");
    assert!(names(&sandbox).is_empty() && !data.exists());
}

#[test]
fn volumes_of_the_image_keep_their_files_as_long_as_the_container_is_there() {
    need!(userns, shell);
    let sandbox = sandbox();
    let image = ImageBuilder::new()
        .layer(&base_layer())
        .layer(&Layer::new().dir("data/", 0o755).file("data/seed", "seed\n"))
        .config("Volumes", json!({"/data/": {}}))
        .build();
    let archive = sandbox.path("image.tar");
    image.write_docker_archive(&archive, &["db:1"]);
    sandbox.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output().ok();
    let count = "cat /data/seed; echo x >>/data/count; wc -l </data/count";
    sandbox.runr(["create", "--name", "db", "--network", "none", "db:1", "sh", "-c", count]).output().ok();
    for times in 1..=3 {
        assert_eq!(sandbox.line("start -a db").output().ok(), format!("seed\n{times}\n"));
    }
    let [volume] = &names(&sandbox)[..] else { panic!("{:?}", names(&sandbox)) };
    let mount = sandbox.line("inspect -f {{json(index(.Mounts)0)}} db").output();
    let mount: Value = serde_json::from_str(&mount.ok()).unwrap();
    assert_eq!(
        (&mount["Type"], mount["Name"].as_str(), &mount["Destination"]),
        (&json!("volume"), Some(&volume[..]), &json!("/data"))
    );
    assert_eq!(sandbox.line("inspect -f {{.HostConfig.Binds}} db").output().ok(), "[]\n");
    // Files are copied in and out where the container has them.
    sandbox.line("cp db:/data/count count").cwd(sandbox.dir()).output().ok();
    assert_eq!(std::fs::read_to_string(sandbox.path("count")).unwrap(), "x\nx\nx\n");
    sandbox.line("cp count db:/data/copy").cwd(sandbox.dir()).output().ok();
    let data = sandbox.store().join("volumes").join(volume).join("_data");
    assert!(data.join("copy").exists());
    // They are nothing that the container changed in its own files.
    assert!(!sandbox.line("diff db").output().ok().contains("count"));
    let exported = sandbox.sh("runr export db | tar t").output().ok();
    assert!(exported.contains("data/") && !exported.contains("data/count"), "{exported}");
    sandbox.line("rm -v db").output().ok();
    assert!(names(&sandbox).is_empty() && !data.exists());
    // The other ways to have them.
    let out = |mode: &str| {
        run(
            &sandbox,
            &format!("--image-volume {mode}"),
            "db:1",
            "cat /data/seed; grep -c ' /data ' /proc/self/mounts; grep ' /data ' /proc/self/mounts | cut -d' ' -f3",
        )
    };
    assert_eq!(out("ignore").output().exits(0), "seed\n0\n");
    assert_eq!(out("tmpfs").output().ok(), "seed\n1\ntmpfs\n");
    assert!(out("anonymous").output().ok().starts_with("seed\n1\n") && names(&sandbox).is_empty());
    assert!(out("bind").output().ok().starts_with("seed\n1\n") && names(&sandbox).is_empty());
}

#[test]
fn volumes_without_a_name_go_with_the_last_container() {
    need!(userns, shell);
    let sandbox = sandbox();
    run(&sandbox, "-v /one -v data:/two", "busybox", "touch /one/x /two/x").output().ok();
    assert_eq!(names(&sandbox), ["data"]);
    // Without -v they stay; prune finds them.
    sandbox.line("create --name a -v /one busybox").output().ok();
    sandbox.line("create --name b --volumes-from a busybox").output().ok();
    sandbox.line("rm -v a").output().ok();
    assert_eq!(names(&sandbox).len(), 2, "b still uses it");
    sandbox.line("rm b").output().ok();
    assert_eq!(names(&sandbox).len(), 2);
    let dangling = sandbox.line("volume ls -q --filter dangling=true --filter anonymous=true").output().ok();
    assert_eq!(dangling.lines().count(), 1);
    let out = sandbox.line("volume prune -f").output().ok();
    assert_eq!(out, format!("Deleted Volumes:\n{dangling}\nTotal reclaimed space: 0B\n"));
    assert_eq!(names(&sandbox), ["data"]);
    // A container that never came to be leaves none.
    sandbox.line("create --name c busybox").output().ok();
    sandbox.line("create --name c -v /one busybox").output().exits(125);
    assert_eq!(names(&sandbox), ["data"]);
    sandbox.line("rm c").output().ok();
    // A command that can't be executed.
    sandbox.line("run --rm --network none -v /one busybox /none").output().exits(127);
    // A running one, removed by force.
    sandbox.line("run -d --network none --name d -v /one busybox sleep 100").output().ok();
    sandbox.line("rm -f d").output().ok();
    assert_eq!(names(&sandbox).len(), 2, "without -v it stays");
    sandbox.line("run -d --network none --name d -v /one busybox sleep 100").output().ok();
    sandbox.line("rm -fv d").output().ok();
    assert_eq!(names(&sandbox).len(), 2);
    sandbox.line("run -d --rm --network none --name d -v /one busybox sleep 100").output().ok();
    sandbox.line("rm -f d").output().ok();
    assert_eq!(names(&sandbox).len(), 2);
    let out = sandbox.line("system prune -f --volumes").output().ok();
    assert!(out.contains("Deleted Volumes:\n") && names(&sandbox) == ["data"], "{out}");
    sandbox.line("volume prune -f --all").output().ok();
    assert!(names(&sandbox).is_empty());
}

#[test]
fn a_container_whose_monitor_was_killed_takes_its_volumes_along() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("run -d --rm --network none --name c -v /one busybox sleep 100").output().ok();
    let state = std::fs::read_dir(sandbox.store().join("containers")).unwrap().next().unwrap().unwrap().path();
    let state: Value = serde_json::from_slice(&std::fs::read(state.join("state.json")).unwrap()).unwrap();
    let monitor = i32::try_from(state["monitor"]["pid"].as_i64().unwrap()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(monitor), nix::sys::signal::Signal::SIGKILL).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(sandbox.line("ps -aq").output().ok(), "");
    assert!(names(&sandbox).is_empty());
}

#[test]
fn volumes_are_made_by_hand_too() {
    need!(userns, shell);
    let sandbox = sandbox();
    assert_eq!(sandbox.line("volume create --label a=1 -l b one").output().ok(), "one\n");
    // As docker has it, making it again changes nothing.
    assert_eq!(sandbox.line("volume create --label a=2 one").output().ok(), "one\n");
    let generated = sandbox.line("volume create").output().ok();
    assert_eq!(generated.trim().len(), 64);
    assert_eq!(
        sandbox
            .runr(["volume", "inspect", "-f", "{{.Labels}} {{index .Labels \"a\"}} {{.Options}}", "one"])
            .output()
            .ok(),
        "map[a:1 b:] 1 map[]\n"
    );
    assert_eq!(sandbox.line("volume ls -q -f label=a=1").output().ok(), "one\n");
    assert_eq!(sandbox.line("volume ls -q -f label=a=2").output().ok(), "");
    assert_eq!(sandbox.line("volume ls -q -f name=^o").output().ok(), "one\n");
    assert_eq!(sandbox.line("volume ls --format {{.Name}}={{.Labels}} -f name=one").output().ok(), "one=a=1,b=\n");
    let row: Value = serde_json::from_str(&sandbox.line("volume ls --format json -f name=one").output().ok()).unwrap();
    assert_eq!(
        (row["Driver"].as_str(), row["Name"].as_str(), row["Links"].as_str()),
        (Some("local"), Some("one"), Some("N/A"))
    );
    // A beginning that fits one is enough.
    assert_eq!(sandbox.line("volume rm on").output().ok(), "one\n");
    sandbox.line("volume rm -a").output().ok();
    let folder = sandbox.path("mine");
    std::fs::create_dir(&folder).unwrap();
    let device = format!("device={}", folder.display());
    sandbox.runr(["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", &device, "mine"]).output().ok();
    run(&sandbox, "-v mine:/d", "busybox", "touch /d/x").output().ok();
    let place = sandbox.line("volume inspect -f {{.Mountpoint}} mine").output().ok();
    assert_eq!(place.trim(), folder.to_str().unwrap());
    assert!(folder.join("x").exists());
    sandbox.line("volume rm mine").output().ok();
    assert!(folder.join("x").exists(), "the folder is the user's");
    for (line, message) in [
        ("volume create a/b", "`a/b` is no volume name"),
        ("volume create .", "`.` is no volume name"),
        ("volume create -d nfs a", "volume driver `nfs`: there are no plugins"),
        ("volume create -o type=nfs a", "volume option `type=nfs`: a volume is a folder of runr's or of yours"),
        ("volume create -o size=1g a", "invalid volume option `size`: use type, o or device"),
        ("volume create -o o=bind -o device=/none a", "volume option `device=/none`: no such folder"),
        ("volume create -o o=bind a", "the volume's options name no folder"),
        ("volume inspect a", "no such volume: a"),
        ("volume ls -f shiny=1", "invalid filter `shiny`"),
    ] {
        let e = sandbox.line(line).output().fails(125);
        assert_eq!(e.lines().next().unwrap(), format!("runr: {message}"), "{line}");
    }
    assert!(names(&sandbox).is_empty());
}

#[test]
fn a_volume_that_is_gone_or_damaged_is_told() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("create --name c --network none -v data:/d busybox true").output().ok();
    let folder = sandbox.store().join("volumes/data");
    std::fs::write(folder.join("volume.json"), "").unwrap();
    let out = sandbox.line("volume ls").output();
    assert!(out.stdout.contains("data") && out.stderr.contains("volume `data` is damaged"), "{out:?}");
    let e = sandbox.line("start c").output().fails(125);
    assert!(e.contains("volume `data` is damaged: "), "{e}");
    std::fs::remove_dir_all(&folder).unwrap();
    let e = sandbox.line("start c").output().fails(125);
    assert!(
        e.ends_with("volume `data` of the container is gone\nhint: make a new one: `runr volume create data`\n"),
        "{e}"
    );
    sandbox.line("volume create data").output().ok();
    sandbox.line("start -a c").output().ok();
    sandbox.line("rm c").output().ok();
    std::fs::write(folder.join("volume.json"), "{").unwrap();
    assert_eq!(sandbox.line("volume rm data").output().ok(), "data\n");
}

#[test]
fn room_and_events_of_volumes_are_told() {
    need!(userns, shell);
    let sandbox = sandbox();
    run(&sandbox, "-v data:/d", "busybox", "head -c 10000 /dev/zero >/d/x; chmod 0 /d").output().ok();
    sandbox.line("create --name c -v used:/d busybox").output().ok();
    let df = sandbox.line("system df --format json").output().ok();
    let row: Value =
        df.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()).find(|r| r["Type"] == "Local Volumes").unwrap();
    assert_eq!(
        (row["TotalCount"].as_str(), row["Active"].as_str(), row["RawReclaimable"].as_u64()),
        (Some("2"), Some("1"), Some(10_000))
    );
    let verbose: Value = serde_json::from_str(&sandbox.line("system df -v --format json").output().ok()).unwrap();
    assert_eq!(verbose["Volumes"][0], json!({"Name": "data", "VolumeName": "data", "Links": "0", "Size": "10kB"}));
    let out = sandbox.line("volume prune -a -f").output().ok();
    assert_eq!(out, "Deleted Volumes:\ndata\n\nTotal reclaimed space: 10kB\n");
    sandbox.line("rm c").output().ok();
    let events =
        sandbox.runr(["events", "--stream=false", "--filter", "type=volume", "--format", "{{.Action}} {{.Name}}"]);
    let events = events.output().ok();
    for line in ["create data", "create used", "destroy data", "prune "] {
        assert!(events.lines().any(|l| l.trim_end() == line.trim_end()), "{line}: {events}");
    }
    sandbox.line("system reset -f").output().ok();
    assert!(!sandbox.store().join("volumes").exists());
}

#[test]
fn a_volume_does_not_go_from_under_a_container() {
    need!(userns, shell);
    let sandbox = sandbox();
    let rounds = rounds(40);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (stop, sandbox) = (&stop, &sandbox);
    std::thread::scope(|scope| {
        let remover = scope.spawn(move || {
            let mut removed = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let out = sandbox.line("volume rm v").output();
                assert!([0, 1, 2].contains(&out.code()), "{out:?}");
                removed += u32::from(out.code() == 0);
            }
            removed
        });
        for round in 0..rounds {
            let out = run(sandbox, "-v v:/d", "busybox", "touch /d/x && ls /d").output();
            assert_eq!((out.code(), out.stdout.as_str()), (0, "x\n"), "round {round}: {}", out.stderr);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(remover.join().unwrap() > 0);
    });
}

#[test]
fn an_overlay_that_cannot_be_had_is_not_the_folder_itself() {
    need!(userns, shell);
    let sandbox = sandbox();
    let bind = format!("{}:/d:O", sandbox.dir().display());
    let e =
        sandbox.runr(["run", "--rm", "--network", "none", "-v", &bind, "busybox", "touch", "/d/x"]).output().fails(125);
    let message = "runr: mount at `/d`: option `O`: not supported yet: changes that are thrown away at the end\n\
                   hint: mount it with `ro`, or a copy of it\n";
    assert_eq!(e, message);
    assert!(!sandbox.path("x").exists());
}

#[test]
fn what_the_image_names_is_one_place_however_it_is_spelled() {
    need!(userns, shell);
    let sandbox = sandbox();
    let load = |name: &str, volumes: Value| {
        let image = ImageBuilder::new().layer(&base_layer()).config("Volumes", volumes).build();
        let archive = sandbox.path("image.tar");
        image.write_docker_archive(&archive, &[name]);
        sandbox.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output().ok();
    };
    load("odd:1", json!({"data//x/": {}, "/a/../b": {}}));
    let mine = sandbox.path("mine");
    std::fs::create_dir(&mine).unwrap();
    let bind = format!("-v {}:/data/x", mine.display());
    run(&sandbox, &bind, "odd:1", "touch /data/x/file /b/file").output().ok();
    assert!(mine.join("file").exists(), "the user's own folder has the place");
    load("root:1", json!({"/": {}}));
    let e = run(&sandbox, "", "root:1", "true").output().fails(125);
    assert_eq!(e, "runr: the image names the volume `/`\nhint: leave the image's volumes out: --image-volume ignore\n");
    run(&sandbox, "--image-volume ignore", "root:1", "true").output().ok();
    load("many:1", (0..200).map(|n| (format!("/v{n}"), json!({}))).collect::<serde_json::Map<_, _>>().into());
    let e = run(&sandbox, "", "many:1", "true").output().fails(125);
    assert!(e.starts_with("runr: the image names 200 volumes, more than 128\n"), "{e}");
    load("proc:1", json!({"/proc/x": {}}));
    let e = run(&sandbox, "", "proc:1", "true").output().fails(125);
    assert!(e.contains("nothing may be mounted inside /proc"), "{e}");
    assert!(names(&sandbox).is_empty());
}

#[test]
fn a_killed_command_leaves_no_volume_that_nobody_finds() {
    need!(userns, shell);
    let sandbox = sandbox();
    for round in 0..rounds(40) {
        let child = run(&sandbox, "-v /one -v /two", "busybox", "true").spawn();
        std::thread::sleep(Duration::from_micros(u64::from(round % 40) * 300));
        child.signal(nix::sys::signal::Signal::SIGKILL);
        drop(child.wait());
        settle(&sandbox);
        sandbox.line("ps -a").output().ok();
        // A container that came to be is there with its volumes, or gone with them.
        sandbox.line("rm -fva").output().ok();
        sandbox.line("ps -a").output().ok();
        assert_eq!(names(&sandbox), Vec::<String>::new(), "round {round}");
    }
    // What was half made is swept once it is old enough.
    for name in sandbox.leftovers() {
        sandbox.remove_tree(&sandbox.store().join("tmp").join(name));
    }
}

#[test]
fn a_record_that_cannot_be_read_keeps_every_volume() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("create --name c -v data:/d -v /one busybox").output().ok();
    let id = sandbox.line("ps -aq --no-trunc").output().ok();
    let config = sandbox.store().join("containers").join(id.trim()).join("config.json");
    std::fs::write(&config, "").unwrap();
    let e = sandbox.line("volume rm data").output().fails(2);
    assert!(e.starts_with("runr: cannot remove volume `data`: container `") && e.contains(&id[..12]), "{e}");
    assert_eq!(sandbox.line("volume prune -af").output().ok(), "Total reclaimed space: 0B\n");
    assert_eq!(names(&sandbox).len(), 2);
    sandbox.line("rm -a").output().ok();
    sandbox.line("volume prune -af").output().ok();
    assert!(names(&sandbox).is_empty());
    // One that can't be opened is no reason to believe that it names none.
    need!(not_root);
    sandbox.line("create --name c -v data:/d busybox").output().ok();
    let id = sandbox.line("ps -aq --no-trunc").output().ok();
    let config = sandbox.store().join("containers").join(id.trim()).join("config.json");
    let close = |mode| std::fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    close(0);
    assert!(sandbox.line("volume rm data").output().fails(125).contains("Permission denied"));
    close(0o644);
    sandbox.line("rm c").output().ok();
    assert_eq!(sandbox.line("volume rm data").output().ok(), "data\n");
}

#[test]
fn the_rest_of_a_container_is_saved_without_a_volume_that_is_gone() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("create --name c -v data:/d busybox").output().ok();
    std::fs::remove_dir_all(sandbox.store().join("volumes/data")).unwrap();
    let out = sandbox.sh("runr cp c:/etc/passwd - | tar t; runr export c | tar t | grep -cx etc/passwd; runr commit -q c saved >/dev/null && echo saved");
    assert_eq!(out.output().ok(), "passwd\n1\nsaved\n");
    std::fs::create_dir_all(sandbox.store().join("volumes/odd")).unwrap();
    let found = sandbox.line("system check --quick").output();
    assert!(found.stdout.contains("volume `odd` is damaged: it has no record"), "{found:?}");
}

#[test]
fn nothing_is_mounted_over_the_root() {
    need!(userns, shell);
    let sandbox = sandbox();
    let image = ImageBuilder::new().layer(&base_layer()).layer(&Layer::new().symlink("up", "/")).build();
    let archive = sandbox.path("image.tar");
    image.write_docker_archive(&archive, &["up:1"]);
    sandbox.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output().ok();
    let bind = format!("-v {}:/up", sandbox.dir().display());
    for flags in ["-v data:/up", "--tmpfs /up", "-v /up", &bind] {
        let e = run(&sandbox, flags, "up:1", "true").output().fails(125);
        assert!(
            e.ends_with("mount `/up`: a link in the image leads to its root, over which nothing may be mounted\n"),
            "{e}"
        );
    }
    // A volume's own link, too.
    run(&sandbox, "-v data:/d", "busybox", "ln -s / /d/up").output().ok();
    run(&sandbox, "-v data:/d -v other:/d/up", "busybox", "true").output().fails(125);
    sandbox.line("create --name c -v data:/up up:1 true").output().ok();
    sandbox.line("cp c:/bin/sh -").output().fails(125);
    assert!(
        sandbox.line("run --rm --device /dev/null:/proc/cpuinfo busybox").output().fails(125).contains("inside /proc")
    );
}

#[test]
fn one_volume_that_cannot_go_keeps_no_other() {
    let sandbox = Sandbox::new();
    for name in ["a", "b", "c"] {
        sandbox.line(&format!("volume create {name}")).output().ok();
    }
    let lock = sandbox.store().join("volumes/b/lock");
    std::fs::remove_file(&lock).unwrap();
    std::os::unix::fs::symlink("volume.json", &lock).unwrap();
    let out = sandbox.line("volume rm a b c").output();
    assert_eq!((out.code(), out.stdout.as_str()), (125, "a\nc\n"), "{}", out.stderr);
    assert!(out.stderr.contains("/b/lock`"), "{}", out.stderr);
    std::fs::remove_file(&lock).unwrap();
    let e = sandbox.line("volume rm -a b").output().fails(125);
    assert_eq!(e, "runr: volume rm: names cannot be used together with --all\n");
    assert_eq!(sandbox.line("volume rm -a").output().ok(), "b\n");
    // More than a process may have files open.
    sandbox.sh("for n in $(seq 300); do runr volume create v$n; done >/dev/null; ulimit -n 256; runr volume prune -af | wc -l")
        .limit(Duration::from_secs(100))
        .output()
        .ok();
    assert!(names(&sandbox).is_empty());
}
