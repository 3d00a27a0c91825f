//! What takes room is shown, what nobody uses goes, and `rm` removes whatever there is.

use crate::support::{ImageBuilder, Layer, Sandbox, base_layer, until};
use serde_json::Value;
use std::path::Path;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox
}

fn names(sandbox: &Sandbox) -> Vec<String> {
    let mut names: Vec<String> =
        sandbox.line("ps -a --format {{.Names}}").output().ok().lines().map(str::to_owned).collect();
    names.sort();
    names
}

/// Loads an image of some layers under a name.
fn load(sandbox: &Sandbox, name: &str, layers: &[&Layer]) {
    let archive = sandbox.path("image.tar");
    let builder = layers.iter().fold(ImageBuilder::new(), |builder, layer| builder.layer(layer));
    builder.build().write_docker_archive(&archive, &[name]);
    sandbox.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output().ok();
    std::fs::remove_file(archive).unwrap();
}

fn df(sandbox: &Sandbox, kind: &str) -> Value {
    let out = sandbox.line("system df --format json").output().ok();
    let rows = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.into_iter().find(|row| row["Type"] == kind).unwrap_or(Value::Null)
}

#[test]
fn shared_layers_count_once() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let shared = base_layer();
    let own = |name: &str, size: usize| Layer::new().file(name, vec![b'x'; size]);
    load(&sandbox, "one:1", &[&shared, &own("a", 10_000)]);
    load(&sandbox, "two:1", &[&shared, &own("b", 20_000)]);
    let details = sandbox.line("system df -v --format json").output().ok();
    let details: Value = serde_json::from_str(&details).unwrap();
    let size = |name: &str, field: &str| {
        let images = details["Images"].as_array().unwrap();
        images.iter().find(|i| i["Repository"] == name).unwrap()[field].as_str().unwrap().to_owned()
    };
    assert_eq!((size("one", "UniqueSize"), size("two", "UniqueSize")), ("10kB".into(), "20kB".into()));
    assert_eq!(size("one", "SharedSize"), size("two", "SharedSize"));
    let all = df(&sandbox, "Images")["RawSize"].as_u64().unwrap();
    sandbox.line("rmi one:1").output().ok();
    assert_eq!(df(&sandbox, "Images")["RawSize"].as_u64().unwrap(), all - 10_000, "only its own layer is gone");
    sandbox.line("create --name user two:1 true").output().ok();
    let images = df(&sandbox, "Images");
    assert_eq!((images["Active"].as_str(), images["Reclaimable"].as_str()), (Some("1"), Some("0B (0%)")));
}

#[test]
fn the_table_has_dockers_lines_and_containers_count_what_they_wrote() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox
        .runr(["run", "--name", "w", "busybox", "sh", "-c", "printf 12345 > /file; mkdir /d; chmod 0 /d"])
        .output()
        .ok();
    let table = sandbox.line("system df").output().ok();
    let kinds: Vec<&str> = table.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(kinds, ["TYPE", "Images", "Containers", "Local Volumes", "Build Cache"], "{table}");
    assert!(table.starts_with("TYPE "), "{table}");
    let row = df(&sandbox, "Containers");
    assert_eq!((row["RawSize"].as_u64(), row["Reclaimable"].as_str()), (Some(5), Some("5B (100%)")));
    let verbose = sandbox.line("system df --verbose").output().ok();
    for head in [
        "Images space usage:",
        "Containers space usage:",
        "Local Volumes space usage:",
        "Build cache usage: 0B",
        "Image blobs (layers as they were downloaded) space usage:",
    ] {
        assert!(verbose.lines().any(|line| line == head), "{verbose}");
    }
    assert!(verbose.contains("UNIQUE SIZE") && verbose.contains("5B"), "{verbose}");
    assert_eq!(sandbox.line("system df --format {{.Type}}").output().ok().lines().next(), Some("Images"));
}

#[test]
fn layers_with_other_owners_are_shown_and_go_with_prune_all() {
    need!(userns, shell, subids);
    let sandbox = sandbox();
    let variant = || -> Value {
        let details = sandbox.line("system df -v --format json").output().ok();
        let details: Value = serde_json::from_str(&details).unwrap();
        details["LayerVariants"].get(0).cloned().unwrap_or(Value::Null)
    };
    assert_eq!(variant(), Value::Null);
    sandbox.line("run --rm --userns keep-id busybox true").output().ok();
    sandbox.line("create --name keeps busybox true").output().ok();
    let row = variant();
    if row.is_null() {
        // As root the kept id is 0 already.
        return;
    }
    assert_eq!(row["Active"], "0", "{row}");
    sandbox.line("system prune -f").output().ok();
    sandbox.line("create --name keeps busybox true").output().ok();
    assert_ne!(variant(), Value::Null, "without --all they stay");
    sandbox.line("image prune -af").output().ok();
    assert_eq!(variant(), Value::Null);
    sandbox.line("start -a keeps").output().ok();
}

#[test]
fn prune_asks_and_takes_only_what_does_not_run() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("run -d --name up busybox sleep 1000").output().ok();
    sandbox.line("run --name done busybox true").output().ok();
    sandbox.line("create --name kept --label keep busybox true").output().ok();
    let prompt = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ";
    let out = sandbox.line("container prune").output();
    assert_eq!((out.code(), out.stdout.as_str()), (125, format!("{prompt}\n").as_str()));
    assert_eq!(
        out.stderr,
        "runr: container prune: nobody answered, so nothing was removed\nhint: in a script say `--force`\n"
    );
    for no in ["n\n", "\n", "no way\n"] {
        assert_eq!(sandbox.line("container prune").stdin(no).output().ok(), prompt);
    }
    assert_eq!(names(&sandbox), ["done", "kept", "up"]);
    let id = sandbox.line("ps -aq --no-trunc --filter name=done").output().ok();
    let out = sandbox.line("container prune --filter label!=keep").stdin("y\n").output().ok();
    assert_eq!(out, format!("{prompt}Deleted Containers:\n{id}\nTotal reclaimed space: 0B\n"));
    assert_eq!(names(&sandbox), ["kept", "up"]);
    assert_eq!(sandbox.line("container prune -f --filter until=1h").output().ok(), "Total reclaimed space: 0B\n");
    sandbox.line("container prune -f --filter until=0s").output().ok();
    assert_eq!(names(&sandbox), ["up"]);
    sandbox.line("container prune -f --filter shiny=1").output().fails(125);
}

#[test]
fn images_of_containers_survive_every_prune() {
    need!(userns, shell);
    let sandbox = sandbox();
    load(&sandbox, "unused:1", &[&Layer::new().file("f", "x")]);
    sandbox.line("run -d --name up busybox sleep 1000").output().ok();
    sandbox.line("create --name stopped busybox true").output().ok();
    let images = || sandbox.line("images --format {{.Repository}}").output().ok();
    for filter in [
        "",
        "--filter intermediate=false",
        "--filter readonly=false",
        "--filter manifest=false --filter containers=false",
    ] {
        let out = sandbox.line(&format!("image prune -f {filter}")).output().ok();
        assert!(out.starts_with("Total reclaimed space: 0B"), "{filter}: {out}");
    }
    let out = sandbox.line("image prune -af").output().ok();
    assert!(out.starts_with("Deleted Images:\nuntagged: unused:1\ndeleted: sha256:"), "{out}");
    assert_eq!(images(), "busybox\n");
    let out = sandbox.line("system prune -af").output().ok();
    assert!(out.starts_with("Deleted Containers:\n"), "{out}");
    assert_eq!((names(&sandbox), images()), (vec!["up".to_owned()], "busybox\n".to_owned()));
    sandbox.line("rm -f up").output().ok();
    let out = sandbox.line("system prune --all --force --volumes").output().ok();
    assert!(out.contains("untagged: busybox:latest"), "{out}");
    let left = ["layers", "images/blobs/sha256", "tmp", "containers"].map(|f| entries(&sandbox.store().join(f)));
    assert_eq!(left.concat(), Vec::<String>::new(), "nothing is left on disk");
}

fn entries(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn rm_ends_what_runs_only_when_forced() {
    need!(userns, shell);
    let sandbox = sandbox();
    let id = sandbox.line("run -d --name up busybox sleep 1000").output().ok();
    let out = sandbox.line("rm up").output();
    let short = &id[..12];
    assert_eq!(
        (out.code(), out.stderr.as_str()),
        (
            2,
            format!(
                "runr: cannot remove container `up`: container `{short}` is running\nhint: remove it by force: `runr rm -f up`\n"
            )
            .as_str()
        )
    );
    assert_eq!(sandbox.line("rm -f -t 0 up up nosuch").output().ok(), "up\nup\n");
    assert_eq!(names(&sandbox), Vec::<String>::new());
    sandbox.line("rm nosuch").output().fails(1);
    sandbox.line("rm --ignore nosuch").output().ok();
    assert_eq!(sandbox.line("rm -t 3 nosuch").output().fails(125), "runr: rm: --time needs --force\n");
    // With a time the container is asked first.
    let script = "trap 'echo asked > /out/asked; exit 0' TERM; echo > /out/ready; while :; do sleep 0.01; done";
    let out = sandbox.path("out");
    std::fs::create_dir(&out).unwrap();
    let mount = format!("{}:/out", out.display());
    sandbox.runr(["run", "-d", "--name", "polite", "-v", &mount, "busybox", "sh", "-c", script]).output().ok();
    until("it is ready", || out.join("ready").exists());
    sandbox.line("rm -f -t 20 polite").output().ok();
    assert!(out.join("asked").exists());
}

#[test]
fn rm_takes_many_at_once_by_filter_file_and_dependence() {
    need!(userns, shell);
    let sandbox = sandbox();
    for n in 0..6 {
        sandbox.line(&format!("run -d --name c{n} --label n={n} busybox sleep 1000")).output().ok();
    }
    sandbox.line("create --cidfile id --name by-file busybox true").cwd(sandbox.dir()).output().ok();
    sandbox.line("create --name base busybox true").output().ok();
    sandbox.line("create --name above --requires base busybox true").output().ok();
    sandbox.line("create --name top --requires above busybox true").output().ok();
    assert_eq!(sandbox.line("rm -f --filter label=n=0 --filter label=n=0").output().ok().lines().count(), 1);
    sandbox.line("rm --cidfile id").cwd(sandbox.dir()).output().ok();
    assert_eq!(sandbox.line("rm --depend base").output().ok().lines().count(), 3);
    assert_eq!(names(&sandbox), ["c1", "c2", "c3", "c4", "c5"]);
    assert_eq!(sandbox.line("rm -f -a").output().ok().lines().count(), 5);
    assert_eq!(entries(&sandbox.store().join("names")), [".lock"]);
}

#[test]
fn two_removals_at_once_both_succeed() {
    need!(userns, shell);
    let sandbox = sandbox();
    for round in 0..5 {
        for n in 0..4 {
            sandbox.line(&format!("run -d --name c{n} busybox sleep 1000")).output().ok();
        }
        let line = "rm -f c0 c1 c2 c3";
        let other = sandbox.line(line).spawn();
        let ours = sandbox.line(line).output();
        let theirs = other.wait();
        assert_eq!((ours.code(), theirs.code()), (0, 0), "{round}: {} {}", ours.stderr, theirs.stderr);
        assert_eq!(names(&sandbox), Vec::<String>::new());
    }
}

#[test]
fn damaged_containers_can_be_removed_and_keep_their_layers_until_then() {
    need!(userns, shell);
    let sandbox = sandbox();
    for file in ["config.json", "state.json"] {
        let id = sandbox.line("create --name hurt busybox true").output().ok();
        let folder = sandbox.store().join("containers").join(id.trim());
        std::fs::write(folder.join(file), "").unwrap();
        // The image may go when nobody knows whose it is; the layers stay.
        let code = sandbox.line("rmi busybox").output().code();
        assert_eq!(code, if file == "config.json" { 0 } else { 2 });
        sandbox.line("system prune -af").output().ok();
        assert!(!entries(&sandbox.store().join("layers")).is_empty(), "{file}");
        assert_eq!(sandbox.line("rm hurt").output().ok(), "hurt\n");
        assert_eq!(entries(&sandbox.store().join("names")), [".lock"]);
        sandbox.line("system prune -af").output().ok();
        assert!(entries(&sandbox.store().join("layers")).is_empty(), "{file}");
        sandbox.base_image();
    }
}

#[test]
fn a_container_that_runs_although_its_record_is_damaged_is_ended() {
    need!(userns, shell);
    let sandbox = sandbox();
    let id = sandbox.line("run -d --name hurt busybox sleep 1000").output().ok();
    std::fs::write(sandbox.store().join("containers").join(id.trim()).join("config.json"), "{").unwrap();
    sandbox.line("rm hurt").output().fails(2);
    sandbox.line("rm -f hurt").output().ok();
    assert_eq!(entries(&sandbox.store().join("containers")), Vec::<String>::new());
}

#[test]
fn a_stopped_monitor_is_no_obstacle() {
    need!(userns, shell);
    let sandbox = sandbox();
    let id = sandbox.line("run -d --name stuck busybox sleep 1000").output().ok();
    let state = std::fs::read(sandbox.store().join("containers").join(id.trim()).join("state.json")).unwrap();
    let state: Value = serde_json::from_slice(&state).unwrap();
    let pid = |who: &str| nix::unistd::Pid::from_raw(state[who]["pid"].as_i64().unwrap() as i32);
    nix::sys::signal::kill(pid("monitor"), nix::sys::signal::Signal::SIGSTOP).unwrap();
    for line in ["stop stuck", "exec stuck true"] {
        let stderr = sandbox.line(line).limit(std::time::Duration::from_secs(20)).output().fails(125);
        let expected =
            format!("monitor, process {}, is stopped and answers nobody\nhint: let it go on: ", pid("monitor"));
        assert!(stderr.contains(&expected), "{line}: {stderr}");
    }
    sandbox.line("rm -f stuck").limit(std::time::Duration::from_secs(20)).output().ok();
    assert_eq!(names(&sandbox), Vec::<String>::new());
    for _ in 0..500 {
        if nix::sys::signal::kill(pid("process"), None).is_err() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the container's process lives on");
}

#[test]
fn rmi_takes_containers_along_only_when_forced() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("run -d --name up busybox sleep 1000").output().ok();
    sandbox.line("create --name other busybox true").output().ok();
    let stderr = sandbox.line("rmi busybox").output().fails(2);
    assert!(stderr.starts_with("runr: unable to remove image `docker.io/library/busybox:latest`: "), "{stderr}");
    assert_eq!(names(&sandbox), ["other", "up"]);
    assert!(sandbox.line("rmi -f busybox").output().ok().starts_with("Untagged: busybox:latest\n"));
    assert_eq!(names(&sandbox), Vec::<String>::new());
    assert_eq!(sandbox.line("images -q").output().ok(), "");
    sandbox.line("rmi busybox").output().fails(1);
    sandbox.line("rmi -f busybox").output().ok();
    sandbox.line("rmi --ignore busybox").output().ok();
    sandbox.line("rmi --all --no-prune").output().ok();
}

#[test]
fn cleanup_settles_what_does_not_run() {
    need!(userns, shell);
    let sandbox = sandbox();
    let id = sandbox.line("run --name done busybox true").output();
    id.ok();
    sandbox.line("run -d --name up busybox sleep 1000").output().ok();
    let stderr = sandbox.line("container cleanup up").output().fails(125);
    assert!(stderr.starts_with("runr: cannot clean up container `up`: container `"), "{stderr}");
    assert_eq!(sandbox.line("container cleanup --all").output().ok().lines().count(), 1);
    sandbox.line("container cleanup done --rm").output().ok();
    assert_eq!(names(&sandbox), ["up"]);
    sandbox.line("container cleanup").output().fails(125);
}

#[test]
fn reset_leaves_nothing_of_runrs_and_all_that_is_not() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.runr(["run", "--name", "w", "busybox", "sh", "-c", "mkdir /d; chown 1:1 /d; chmod 0 /d; :"]).output().ok();
    sandbox.line("run -d --name up busybox sleep 1000").output().ok();
    let outside = sandbox.write("outside/precious", "x");
    std::os::unix::fs::symlink(outside.parent().unwrap(), sandbox.store().join("tmp/link")).unwrap();
    let id = sandbox.line("create --name hurt busybox true").output().ok();
    std::fs::write(sandbox.store().join("containers").join(id.trim()).join("config.json"), "").unwrap();
    let foreign = sandbox.store().join("notes.txt");
    std::fs::write(&foreign, "mine").unwrap();
    let out = sandbox.line("system reset").output();
    assert_eq!(out.code(), 125);
    assert!(out.stdout.contains("  - all containers, also those that run\n"), "{}", out.stdout);
    sandbox.line("system reset").stdin("n\n").output().ok();
    assert_eq!(names(&sandbox).len(), 3, "nothing happened yet");
    let out = sandbox.line("system reset --force").output();
    assert_eq!(out.code(), 0, "{}", out.stderr);
    assert_eq!(out.stderr, format!("runr: warning: `{}` is not runr's and was kept\n", foreign.display()));
    assert!(outside.exists());
    assert_eq!(entries(&sandbox.store()), ["notes.txt"]);
    // In a folder that is no store nothing happens, and everything works again afterwards.
    std::fs::create_dir(sandbox.store().join("images")).unwrap();
    sandbox.line("system reset -f").output().ok();
    assert!(sandbox.store().join("images").exists());
    sandbox.base_image();
    sandbox.line("run --rm busybox true").output().ok();
    std::fs::remove_file(foreign).unwrap();
    sandbox.line("system reset -f").output().ok();
    assert!(!sandbox.store().exists());
}
