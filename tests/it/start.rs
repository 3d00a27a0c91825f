//! `create`, `start`, `rename`: a container that stands there, runs, and runs again, whatever happened to the machine and the
//! image meanwhile.

use crate::support::{ImageBuilder, Layer, Sandbox};
use std::path::PathBuf;

/// A sandbox with the base image in it.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox
}

/// Makes a container that runs a shell script.
#[track_caller]
fn create(sandbox: &Sandbox, flags: &str, script: &str) -> String {
    let run = sandbox.line("create").args(flags.split_whitespace());
    run.args(["busybox", "sh", "-c", script]).output().ok().trim().to_owned()
}

/// The folder of the sandbox's only container.
fn folder(sandbox: &Sandbox, id: &str) -> PathBuf {
    sandbox.store().join("containers").join(id)
}

/// Its status, as `ps` shows it.
fn status(sandbox: &Sandbox, name: &str) -> String {
    let filter = format!("name=^{name}$");
    sandbox.runr(["ps", "-a", "--filter", &filter, "--format", "{{.State}}"]).output().ok().trim().to_owned()
}

/// Waits until it has ended.
#[track_caller]
fn wait_exited(sandbox: &Sandbox, name: &str) {
    for _ in 0..1000 {
        if status(sandbox, name) == "exited" {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("`{name}` does not end: {}", status(sandbox, name));
}

#[test]
fn a_container_is_made_once_and_runs_often() {
    need!(userns, shell);
    let sandbox = sandbox();
    let id = create(&sandbox, "--name job", "echo run >> /log; cat /log; echo err >&2; exit 7");
    assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert_eq!(status(&sandbox, "job"), "created");
    for round in 1..=3 {
        let out = sandbox.line("start -a job").output();
        assert_eq!(
            (out.code(), out.stdout.as_str(), out.stderr.as_str()),
            (7, "run\n".repeat(round).as_str(), "err\n")
        );
        assert_eq!(status(&sandbox, "job"), "exited");
    }
    // In the background: each name as it was typed.
    assert_eq!(sandbox.runr(["start", &id[..12]]).output().ok(), format!("{}\n", &id[..12]));
    wait_exited(&sandbox, "job");
    assert_eq!(sandbox.line("start --latest").output().ok(), format!("{id}\n"));
    wait_exited(&sandbox, "job");
}

#[test]
fn what_runs_already_is_started() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("run -d --name up busybox sleep 1000").output().ok();
    assert_eq!(sandbox.line("start up up").output().ok(), "up\nup\n");
    create(&sandbox, "--name other", "exit 0");
    let out = sandbox.line("start nosuch up other").output();
    assert_eq!((out.code(), out.stdout.as_str()), (125, "up\nother\n"), "what can start starts");
    assert_eq!(out.stderr, "runr: no such container: nosuch\n");
}

#[test]
fn wrong_starts_are_refused_in_one_line() {
    need!(userns, shell);
    let sandbox = sandbox();
    create(&sandbox, "--name a", "true");
    create(&sandbox, "--name b", "true");
    for (line, message) in [
        ("start", "start: missing argument: CONTAINER\nhint: see `runr start --help`"),
        ("start -a a b", "only one container can be started and attached to at once"),
        ("start --sig-proxy a", "--sig-proxy cannot be used without --attach"),
        ("start --all a", "start: containers by name cannot be used together with --all, --filter or --latest"),
        ("start --filter shiny=1", "invalid filter `shiny`"),
    ] {
        let stderr = sandbox.line(line).output().fails(125);
        assert!(stderr.starts_with(&format!("runr: {message}\n")), "{line}: {stderr}");
    }
    assert_eq!((status(&sandbox, "a"), status(&sandbox, "b")), ("created".to_owned(), "created".to_owned()));
}

#[test]
fn a_program_that_is_missing_leaves_the_container_created() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("create --name wrong busybox nosuchprogram").output().ok();
    for flags in ["", "-a"] {
        let stderr = sandbox.line(&format!("start {flags} wrong")).output().fails(127);
        assert!(stderr.contains("executable file not found in $PATH"), "{stderr}");
    }
    // What cannot be started for a reason that is known beforehand is not even made.
    sandbox.line("create --name never --tz No/Where busybox true").output().fails(125);
    sandbox.line("run --name never --hostname x --uts host busybox true").output().fails(125);
    assert_eq!(status(&sandbox, "never"), "");
}

#[test]
fn a_start_after_a_reboot_and_a_power_cut() {
    need!(userns, shell);
    let sandbox = sandbox();
    let script = "chmod 1711 /; cat /etc/hostname; wc -l < /etc/hosts; test -s /etc/resolv.conf; stat -c %a /";
    let id = create(&sandbox, "--name c --network none --dns 192.0.2.1", script);
    let first = sandbox.line("start -a c").output().ok();
    assert_eq!(first, format!("{}\n3\n1711\n", &id[..12]));
    // The monitor died with the machine: the last words are "running", of another boot.
    let state = folder(&sandbox, &id).join("state.json");
    let text = std::fs::read_to_string(&state).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["status"] = "running".into();
    json["process"] = serde_json::json!({"pid": 1, "start_time": 1, "pid_namespace": 1, "boot_id": "another"});
    std::fs::write(&state, json.to_string()).unwrap();
    for name in ["hosts", "hostname", "resolv.conf", "containerenv"] {
        std::fs::write(folder(&sandbox, &id).join(name), "").unwrap();
    }
    assert_eq!(status(&sandbox, "c"), "exited");
    // The mode of `/` is the container's own by now.
    let script = sandbox.line("start -a c").output().ok();
    assert_eq!(script, first);
}

#[test]
fn a_former_run_keeps_nobody_from_writing_the_files_anew() {
    need!(userns, shell);
    let sandbox = sandbox();
    let script =
        "cat /etc/hostname; echo mine > /etc/hostname; chmod 0 /etc/hostname /etc/hosts; chown 1:1 /etc/hosts; true";
    let id = create(&sandbox, "--name c", script);
    for _ in 0..2 {
        let out = sandbox.line("start -a c").output().ok();
        let host = sandbox.command("uname").arg("-n").output().ok();
        assert!(out == format!("{}\n", &id[..12]) || out == host, "{out}");
    }
}

#[test]
fn the_image_may_lose_its_name_and_another_one_get_it() {
    need!(userns, shell);
    let sandbox = sandbox();
    create(&sandbox, "--name c", "echo still here");
    let archive = sandbox.path("other.tar");
    let other = ImageBuilder::new().layer(&Layer::new().file("f", "x")).build();
    other.write_docker_archive(&archive, &["busybox:latest"]);
    sandbox.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output().ok();
    sandbox.line("image prune -f").output().ok();
    assert_eq!(sandbox.line("start -a c").output().ok(), "still here\n");
}

#[test]
fn names_change_and_stay_unique() {
    need!(userns, shell);
    let sandbox = sandbox();
    let id = create(&sandbox, "--name xa", "true");
    create(&sandbox, "--name xb", "true");
    assert_eq!(sandbox.line("rename xa xc").output().ok(), "");
    assert_eq!(status(&sandbox, "xc"), "created");
    assert!(
        sandbox
            .line("rename xc xb")
            .output()
            .fails(125)
            .starts_with("runr: the container name `xb` is already in use by container ")
    );
    assert_eq!(sandbox.line("start xa").output().fails(125), "runr: no such container: xa\n");
    sandbox.line("rename nosuch xd").output().fails(125);
    sandbox.line("rename xc -x").output().fails(125);
    create(&sandbox, "--name xa", "true");
    // By id, and while it runs.
    sandbox.line("run -d --name up busybox sleep 1000").output().ok();
    sandbox.line("rename up down").output().ok();
    assert_eq!(status(&sandbox, "down"), "running");
    sandbox.runr(["rename", &id, "z"]).output().ok();
    let mut names: Vec<String> = std::fs::read_dir(sandbox.store().join("names"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| !n.starts_with('.'))
        .collect();
    names.sort();
    assert_eq!(names, ["down", "xa", "xb", "z"]);
}

#[test]
fn all_start_at_boot_by_their_policy() {
    need!(userns, shell);
    let sandbox = sandbox();
    create(&sandbox, "--name one --label boot=yes", "sleep 1000");
    create(&sandbox, "--name two", "sleep 1000");
    let ids = sandbox.line("start --all --filter label=boot=yes").output().ok();
    assert_eq!(ids.lines().count(), 1);
    assert_eq!((status(&sandbox, "one"), status(&sandbox, "two")), ("running".to_owned(), "created".to_owned()));
    assert_eq!(sandbox.line("start --all").output().ok().lines().count(), 2);
    assert_eq!(status(&sandbox, "two"), "running");
}

#[test]
fn settings_change() {
    need!(userns, shell);
    let sandbox = sandbox();
    let id = create(&sandbox, "--name c -e A=1 -e B=2", "echo $A-$B-$C; ulimit -n");
    let out = sandbox.line("update --env A=3 --env C=4 --unsetenv B --ulimit nofile=100:200 c").output().ok();
    assert_eq!(out, "c\n");
    assert_eq!(sandbox.line("start -a c").output().ok(), "3--4\n100\n");
    assert_eq!(sandbox.line("update --restart on-failure:2 --latest").output().ok(), format!("{id}\n"));
    assert_eq!(sandbox.line("start --filter restart-policy=on-failure").output().ok(), format!("{id}\n"));
    for (line, message) in [
        ("update c", "update: nothing to change: give at least one flag\nhint: see `runr update --help`"),
        ("update --restart no", "update: missing argument: CONTAINER\nhint: see `runr update --help`"),
        ("update --restart no nosuch", "no such container: nosuch"),
        ("update --restart maybe c", "--restart: unknown policy `maybe`: use no, on-failure, always or unless-stopped"),
        ("update --memory x c", "--memory: invalid size `x`: use a number with b, k, m or g, such as `64m`"),
    ] {
        assert_eq!(sandbox.line(line).output().fails(125), format!("runr: {message}\n"), "{line}");
    }
    sandbox.line("create --rm --name r busybox true").output().ok();
    sandbox.line("update --restart always r").output().fails(125);
}

#[test]
fn a_policy_that_changes_reaches_the_running_monitor() {
    need!(userns, shell);
    let sandbox = sandbox();
    let script =
        "echo run >> /runs; until test -e /m/go; do sleep 0.02; done; test $(wc -l < /runs) -ge 2 && exit 0; exit 1";
    let go = sandbox.path("go");
    let mount = format!("{}:/m", sandbox.dir().display());
    sandbox.runr(["run", "-d", "--name", "c", "-v", &mount, "busybox", "sh", "-c", script]).output().ok();
    sandbox.line("update --restart on-failure c").output().ok();
    std::fs::write(go, "").unwrap();
    wait_exited(&sandbox, "c");
    let id = sandbox.line("ps -aq --no-trunc").output().ok();
    let state = std::fs::read_to_string(folder(&sandbox, id.trim()).join("state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    assert_eq!((state["restart_count"].as_i64(), state["exit_code"].as_i64()), (Some(1), Some(0)));
}

#[test]
fn what_starts_at_boot() {
    need!(userns, shell);
    let sandbox = sandbox();
    for (name, policy) in
        [("never", "always"), ("always", "always"), ("unless", "unless-stopped"), ("fail", "on-failure")]
    {
        create(&sandbox, &format!("--name {name} --restart {policy}"), "exec sleep 1000");
        if name != "never" {
            sandbox.line(&format!("start {name}")).output().ok();
        }
    }
    // A reboot: every process is gone, the monitors first.
    let ids = sandbox.line("ps -q --no-trunc").output().ok();
    for id in ids.lines() {
        let state = std::fs::read_to_string(folder(&sandbox, id).join("state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_str(&state).unwrap();
        let pid = nix::unistd::Pid::from_raw(state["monitor"]["pid"].as_i64().unwrap() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    for name in ["always", "unless", "fail"] {
        wait_exited(&sandbox, name);
    }
    let names = |sandbox: &Sandbox| {
        let mut names: Vec<String> =
            sandbox.runr(["ps", "--format", "{{.Names}}"]).output().ok().lines().map(str::to_owned).collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(names(&sandbox), "");
    sandbox.line("start --all --filter should-start-on-boot=true").output().ok();
    assert_eq!(names(&sandbox), "always unless");
    sandbox.line("start --all --filter restart-policy=always").output().ok();
    assert_eq!(names(&sandbox), "always never unless");
    for name in ["always", "never", "unless"] {
        sandbox.line(&format!("update --restart no {name}")).output().ok();
    }
}

#[test]
fn a_monitor_that_is_asked_to_end_ends_its_container_until_the_next_boot() {
    need!(userns, shell);
    let sandbox = sandbox();
    let script = "trap 'exit 3' TERM; while :; do sleep 0.02; done";
    let id = create(&sandbox, "--name c --restart unless-stopped", script);
    sandbox.line("start c").output().ok();
    let state = || {
        let text = std::fs::read_to_string(folder(&sandbox, &id).join("state.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    // What a service manager sends at shutdown; the trap is set as soon as the loop runs.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let pid = nix::unistd::Pid::from_raw(state()["monitor"]["pid"].as_i64().unwrap() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    wait_exited(&sandbox, "c");
    assert_eq!((state()["exit_code"].as_i64(), state()["stopped_by_user"].as_bool()), (Some(3), Some(false)));
    assert_eq!(sandbox.line("start --all --filter should-start-on-boot=true").output().ok(), format!("{id}\n"));
    sandbox.line("update --restart no c").output().ok();
}

/// What `docs/systemd` offers is what systemd takes, and its command line is one of runr's.
#[test]
fn the_unit_for_boot_is_well_formed() {
    let unit = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/systemd/runr-restart.service");
    let text = std::fs::read_to_string(&unit).unwrap();
    let command = text.lines().find_map(|l| l.strip_prefix("ExecStart=%h/.local/bin/runr ")).unwrap();
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.line(command).output().ok(), "", "nothing is there to be started");
    need!(tool("systemd-analyze"));
    let copy = text.replace("%h/.local/bin/runr", sandbox.dir().join("bin/runr").to_str().unwrap());
    let copy = sandbox.write("runr-restart.service", copy.replace("Documentation=man:runr-start(1)\n", ""));
    // It looks at the sockets of other units too, whose paths may not be long.
    let analyze = sandbox.command("systemd-analyze").env("XDG_RUNTIME_DIR", "/run");
    let said = analyze.args(["verify", "--user"]).arg(copy).output();
    assert!(said.code() == 0 && said.stderr.is_empty(), "{said:?}");
}

#[test]
fn an_attached_start_of_what_runs_connects_to_it() {
    need!(userns, shell);
    let sandbox = sandbox();
    let script = "read line; echo got $line; exit 5";
    sandbox.runr(["run", "-d", "-i", "--name", "c", "busybox", "sh", "-c", script]).output().ok();
    let out = sandbox.line("start -ai c").stdin("word\n").output();
    assert_eq!((out.code(), out.stdout.as_str()), (5, "got word\n"));
    // And of what does not: the same streams, from the beginning.
    let out = sandbox.line("start -ai c").stdin("again\n").output();
    assert_eq!((out.code(), out.stdout.as_str()), (5, "got again\n"));
}

#[test]
fn a_start_that_fails_does_not_unmake_what_ran() {
    need!(userns, shell);
    let sandbox = sandbox();
    let folder = sandbox.path("source");
    std::fs::create_dir(&folder).unwrap();
    let mount = format!("type=bind,source={},target=/m", folder.display());
    sandbox.runr(["create", "--name", "c", "--mount", &mount, "busybox", "/m/run"]).output().ok();
    // Never started, and never ended either.
    sandbox.line("start c").output().fails(127);
    assert_eq!(status(&sandbox, "c"), "created");
    std::fs::write(folder.join("run"), "#!/bin/sh\nexit 4\n").unwrap();
    std::fs::set_permissions(folder.join("run"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    sandbox.line("start -a c").output().fails(4);
    std::fs::remove_file(folder.join("run")).unwrap();
    sandbox.line("start c").output().fails(127);
    assert_eq!(status(&sandbox, "c"), "exited");
    // Its plan cannot even be made.
    std::fs::remove_dir(&folder).unwrap();
    let stderr = sandbox.line("start c").output().fails(125);
    assert!(stderr.starts_with("runr: bind source path `"), "{stderr}");
    assert_eq!(status(&sandbox, "c"), "exited");
}

#[test]
fn a_container_that_is_renamed_leaves_no_name_behind() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("run -d --rm --name xold busybox sleep 1000").output().ok();
    sandbox.line("rename xold xnew").output().ok();
    sandbox.line("stop -t 0 xnew").output().ok();
    let names = std::fs::read_dir(sandbox.store().join("names")).unwrap();
    let names: Vec<_> = names.map(|e| e.unwrap().file_name()).filter(|n| n != ".lock").collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn many_starts_at_once_are_one_start() {
    need!(userns, shell);
    let sandbox = sandbox();
    let log = sandbox.path("log");
    let mount = format!("{}:/m", sandbox.dir().display());
    let script = "echo run >> /m/log; exec sleep 1000";
    sandbox.runr(["create", "--name", "c", "-v", &mount, "busybox", "sh", "-c", script]).output().ok();
    for round in 1..=3 {
        let all: Vec<_> = (0..8).map(|_| sandbox.line("start c").spawn()).collect();
        for one in all {
            assert_eq!(one.wait().ok(), "c\n");
        }
        assert_eq!(status(&sandbox, "c"), "running");
        // With removals and stops in between nothing but a plain answer comes.
        let stops: Vec<_> = (0..3).map(|_| sandbox.line("stop -t 0 c").spawn()).collect();
        for stop in stops {
            stop.wait().ok();
        }
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "run\n".repeat(round));
    }
    let removal = sandbox.line("rm -f c").spawn();
    let starts: Vec<_> = (0..8).map(|_| sandbox.line("start c").spawn()).collect();
    removal.wait().ok();
    for start in starts {
        let out = start.wait();
        let gone = out.stderr == "runr: no such container: c\n";
        assert!(out.code() == 0 || (out.code() == 125 && gone), "{out:?}");
    }
    assert_eq!(status(&sandbox, "c"), "");
}
