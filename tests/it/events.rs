//! `events`: what happened can be asked for and what happens can be followed, in the words of docker and podman.

use crate::support::Sandbox;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox
}

/// The actions of containers, in docker's words, in order.
fn actions(sandbox: &Sandbox, filters: &str) -> Vec<String> {
    let line = format!("events --stream=false --filter type=container --format {{{{.Action}}}} {filters}");
    sandbox.line(&line).output().ok().lines().map(str::to_owned).collect()
}

/// Follows events; killed when dropped.
struct Follower {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Follower {
    fn start(sandbox: &Sandbox, args: &str) -> Self {
        let mut command = sandbox.line(args).into_command();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("the follower ended").unwrap()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_containers_life_is_told_in_order() {
    need!(userns, shell);
    let sandbox = sandbox();
    let run = sandbox.line("run --rm --name short --label tier=x busybox sh -c");
    assert_eq!(run.args(["exit 3"]).output().code(), 3);
    assert_eq!(actions(&sandbox, ""), ["create", "start", "die", "destroy"]);
    sandbox.line("create --name web busybox sleep 1000").output().ok();
    sandbox.line("rename web www").output().ok();
    sandbox.line("start www").output().ok();
    sandbox.line("rm -f www").output().ok();
    assert_eq!(actions(&sandbox, "--filter container=www"), ["rename", "start", "die", "stop", "destroy"]);
    // The exit code is there for whoever asks for the end, by either word.
    for word in ["die", "died"] {
        let line = format!("events --stream=false --filter container=short --filter event={word} --format json");
        let event: Value = serde_json::from_str(&sandbox.line(&line).output().ok()).unwrap();
        for (place, value) in [
            ("/Status", "died"),
            ("/status", "die"),
            ("/Action", "die"),
            ("/Name", "short"),
            ("/Type", "container"),
            ("/from", "busybox"),
            ("/Actor/Attributes/exitCode", "3"),
            ("/Actor/Attributes/tier", "x"),
            ("/Actor/Attributes/name", "short"),
        ] {
            assert_eq!(event.pointer(place), Some(&Value::from(value)), "{place}: {event}");
        }
        assert_eq!(event["ContainerExitCode"], 3);
        assert_eq!(event["timeNano"].as_i64().unwrap() / 1_000_000_000, event["time"].as_i64().unwrap());
    }
}

#[test]
fn a_line_is_as_docker_prints_it() {
    need!(userns, shell);
    let sandbox = sandbox();
    let id = sandbox.line("create --name c --label a=1 busybox true").output().ok();
    let id = id.trim();
    let out = sandbox.line("events --stream=false --filter container=c").output().ok();
    let (time, rest) = out.split_once(' ').unwrap();
    assert_eq!(rest, format!("container create {id} (a=1, image=busybox, name=c)\n"));
    let (date, fraction) = time.split_once('.').unwrap();
    assert!(date.len() == 19 && fraction.len() == 10 && fraction.ends_with('Z'), "{time}");
    let out = sandbox.line("events --stream=false --filter container=c --no-trunc=false").output().ok();
    assert!(out.contains(&format!("create {} (", &id[..12])), "{out}");
}

#[test]
fn images_tell_of_load_untag_and_removal() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("rmi busybox").output().ok();
    let out = sandbox.line("events --stream=false --filter type=image --format {{.Action}}:{{.Name}}").output().ok();
    let name = "docker.io/library/busybox:latest";
    assert_eq!(out, format!("load:{name}\nuntag:{name}\ndelete:{name}\n"));
    let out = sandbox.line("events --stream=false --filter image=busybox --filter event=remove -q").output();
    assert_eq!(out.code(), 125, "there is no -q");
    let out = sandbox.line("events --stream=false --filter image=busybox --filter event=remove").output().ok();
    assert_eq!(out.lines().count(), 1, "{out}");
}

#[test]
fn what_happens_is_followed_at_once_and_until_the_end_of_the_time() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("create --name before busybox true").output().ok();
    let mut follower =
        Follower::start(&sandbox, "events --since 1h --filter type=container --format {{.Name}}:{{.Action}}");
    assert_eq!(follower.line(), "before:create");
    // From now on it is told: it has read all there was.
    sandbox.line("run --rm --name short busybox true").output().ok();
    let seen: Vec<String> = (0..4).map(|_| follower.line()).collect();
    assert_eq!(seen, ["short:create", "short:start", "short:die", "short:destroy"]);
    // It waits for a time that is still to come, and ends then.
    let out = sandbox.line("events --since 1h --until -200ms --filter container=short --format {{.Action}}").output();
    assert_eq!(out.ok().lines().count(), 4);
    let out = sandbox.line("events --since 0s --until -100ms").output();
    assert_eq!(out.ok(), "");
}

#[test]
fn a_reader_that_goes_away_ends_the_follower() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("create --name c busybox true").output().ok();
    // `head` has its line at once, and nothing happens afterwards that would make the follower write.
    let out = sandbox.sh("runr events --since 1h --filter container=c --format '{{.Action}}' | head -1").output();
    assert_eq!(out.ok(), "create\n");
}

#[test]
fn wrong_questions_are_refused() {
    let sandbox = Sandbox::new();
    for (line, message) in [
        ("events --since soon", "runr: invalid time `soon`\n"),
        ("events --filter shiny=1", "runr: invalid filter `shiny`\n"),
        ("events --filter container", "runr: invalid filter `container`: use KEY=VALUE\n"),
        ("events --format {{", "runr: "),
    ] {
        let stderr = sandbox.line(line).output().fails(125);
        assert!(stderr.starts_with(message), "{line}: {stderr}");
    }
    assert!(!sandbox.store().join("events").exists());
}

#[test]
fn no_command_fails_because_of_its_events() {
    need!(userns, shell);
    let sandbox = sandbox();
    let folder = sandbox.store().join("events");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    sandbox.line("run --rm busybox true").output().ok();
    std::fs::remove_file(&folder).unwrap();
    // What a power cut or a full disk left is skipped.
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("current.jsonl"), b"\0\0\0{\"time\":1,\"type\":\"contai").unwrap();
    sandbox.line("create --name after busybox true").output().ok();
    assert_eq!(actions(&sandbox, ""), ["create"]);
}

#[test]
fn a_killed_monitor_is_told_of_once() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("run -d --name c busybox sleep 1000").output().ok();
    let monitor = sandbox.sh("cat data/runr/containers/*/state.json").cwd(sandbox.dir()).output().ok();
    let state: Value = serde_json::from_str(&monitor).unwrap();
    let pid = state["monitor"]["pid"].as_i64().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    for _ in 0..3 {
        sandbox.line("ps -a").output().ok();
    }
    assert_eq!(actions(&sandbox, ""), ["create", "start", "die"]);
    let out = sandbox.line("ps -a --format {{.State}}").output();
    assert_eq!(out.ok(), "exited\n");
}

#[test]
fn every_kind_of_command_tells_of_what_it_did() {
    need!(userns, shell);
    let sandbox = sandbox();
    let file = sandbox.path("file");
    std::fs::write(&file, "x").unwrap();
    sandbox.line("run -d --name c --network none busybox sleep 1000").output().ok();
    sandbox.line("exec c sh -c").arg("exit 7").output().exits(7);
    sandbox.runr(["cp"]).arg(&file).arg("c:/file").output().ok();
    sandbox.line("commit --pause=false c copied").output().ok();
    sandbox.line("export -o").arg(sandbox.path("archive")).arg("c").output().ok();
    sandbox.line("update --restart no c").output().ok();
    sandbox.line("restart -t 0 c").output().ok();
    let id = sandbox.line("attach --no-stdin c").spawn();
    let attached = || actions(&sandbox, "--filter event=attach").len() == 1;
    while !attached() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    sandbox.line("kill c").output().ok();
    id.wait().exits(137);
    sandbox.line("container init c").output().ok();
    sandbox.line("rm c").output().ok();
    sandbox.line("rmi copied").output().ok();
    let told = actions(&sandbox, "--filter container=c");
    let told: Vec<&str> = told.iter().map(|a| a.split(':').next().unwrap()).collect();
    let running = "create start exec_start exec_die copy commit export update die start restart attach kill die";
    let waiting = "init die stop destroy";
    assert_eq!(told.join(" "), format!("{running} {waiting}"));
    let code =
        sandbox.line("events --stream=false --filter event=exec_died --format {{.Attributes.exitCode}}").output().ok();
    assert_eq!(code, "7\n");
    let images = sandbox.line("events --stream=false --filter type=image --format {{.Action}}").output().ok();
    assert!(images.ends_with("untag\ndelete\n"), "{images}");
}
