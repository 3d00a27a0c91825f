//! `events`: what happened can be asked for and what happens can be followed, in the words of docker and podman.

use crate::support::registry::Registry;
use crate::support::{ImageBuilder, Layer, Sandbox, until};
use serde_json::{Value, json};
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
    // A signal takes its time to arrive on a busy machine.
    until("the end", || sandbox.line("ps -a --format {{.State}}").output().ok() == "exited\n");
    for _ in 0..3 {
        sandbox.line("ps -a").output().ok();
    }
    assert_eq!(actions(&sandbox, ""), ["create", "start", "die"]);
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

/// The only event that these filters leave.
fn only(sandbox: &Sandbox, filters: &str) -> Value {
    let out = sandbox.line(&format!("events --stream=false --format json {filters}")).output().ok();
    assert_eq!(out.lines().count(), 1, "{filters}: {out}");
    serde_json::from_str(&out).unwrap()
}

/// Asserts type, action in both vocabularies, ids and attributes of an event.
fn is(event: &Value, words: [&str; 3], ids: [&str; 2], name: &str, attributes: Value) {
    let [topic, podman, docker] = words;
    for (place, value) in [
        ("/Type", topic),
        ("/Status", podman),
        ("/Action", docker),
        ("/status", docker),
        ("/ID", ids[0]),
        ("/id", ids[1]),
        ("/Actor/ID", ids[1]),
        ("/Name", name),
        ("/scope", "local"),
    ] {
        assert_eq!(event.pointer(place), Some(&Value::from(value)), "{place}: {event}");
    }
    assert_eq!(event["Actor"]["Attributes"], attributes, "{event}");
}

#[test]
fn pausing_is_told() {
    need!(userns, shell, cgroup);
    let sandbox = sandbox();
    let id = sandbox.line("run -d --name c --label tier=x --network none busybox sleep 1000").output().ok();
    let id = id.trim();
    for action in ["pause", "unpause"] {
        sandbox.line(&format!("{action} c")).output().ok();
        let event = only(&sandbox, &format!("--filter event={action}"));
        let attributes = json!({"image": "busybox", "name": "c", "tier": "x"});
        is(&event, ["container", action, action], [id, id], "c", attributes);
        assert_eq!((&event["Image"], &event["from"]), (&json!("busybox"), &json!("busybox")));
        // One that fails is none.
        sandbox.line(&format!("{action} c")).output().fails(125);
        only(&sandbox, &format!("--filter event={action}"));
    }
    sandbox.line("rm -f -t 0 c").output().ok();
}

#[test]
fn mounting_is_told() {
    need!(userns, overlay, shell);
    let sandbox = sandbox();
    let id = sandbox.line("create --name c --label tier=x --network none busybox true").output().ok();
    let id = id.trim();
    // A second mount changes nothing, and the unmount that is refused does neither.
    let script = "set -e; runr mount c; runr mount c; runr unmount c; ! runr unmount c";
    sandbox.runr(["unshare", "sh", "-c", script]).output().ok();
    for action in ["mount", "unmount"] {
        let event = only(&sandbox, &format!("--filter event={action}"));
        let attributes = json!({"image": "busybox", "name": "c", "tier": "x"});
        is(&event, ["container", action, action], [id, id], "c", attributes);
    }
}

#[test]
fn tidying_up_is_told() {
    need!(userns, shell);
    let sandbox = sandbox();
    let id = sandbox.line("run -d --name c --label tier=x --network none busybox sh -c");
    let id = id.args(["echo x >/file; exit 3"]).output().ok();
    sandbox.line("wait c").output().ok();
    sandbox.line("container cleanup c").output().ok();
    let event = only(&sandbox, "--filter event=cleanup");
    let attributes = json!({"image": "busybox", "name": "c", "tier": "x"});
    is(&event, ["container", "cleanup", "cleanup"], [id.trim(); 2], "c", attributes);
    // A command that prunes tells of each thing that goes, and then what it has freed.
    sandbox.line("container prune -f").output().ok();
    let event = only(&sandbox, "--filter event=prune");
    let freed = event["Attributes"]["reclaimed"].as_str().unwrap();
    assert!(freed.parse::<u64>().unwrap() > 0, "{event}");
    is(&event, ["container", "prune", "prune"], ["", ""], "", json!({"reclaimed": freed}));
    let line = sandbox.line("events --stream=false --filter event=prune").output().ok();
    assert!(line.ends_with(&format!(" container prune (reclaimed={freed})\n")), "{line}");
    only(&sandbox, "--filter event=destroy --filter container=c");
    sandbox.line("image prune -af").output().ok();
    let images = "events --stream=false --filter type=image --format";
    let told = sandbox.line(images).arg("{{.Action}} {{.Name}} {{.Actor.Attributes}}").output().ok();
    let told: Vec<&str> = told.lines().skip(1).collect();
    let name = "docker.io/library/busybox:latest";
    assert_eq!(told.len(), 3, "{told:?}");
    for (line, action) in
        told.iter().zip([format!("untag {name} "), format!("delete {name} "), "prune  map[reclaimed:".into()])
    {
        assert!(line.starts_with(&action), "{line}");
    }
    // `system prune` is the two of them.
    sandbox.line("system prune -f").output().ok();
    let out = sandbox.line("events --stream=false --filter event=prune --format {{.Type}}").output().ok();
    assert_eq!(out, "container\nimage\ncontainer\nimage\n");
}

#[test]
fn where_images_come_from_is_told() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("run --name c --network none busybox true").output().ok();
    let archive = sandbox.path("root.tar");
    sandbox.line("export -o").arg(&archive).arg("c").output().ok();
    let import = sandbox.line("import -c").arg("LABEL stage=one").arg(&archive).arg("made:1").output().ok();
    let id = import.trim();
    let event = only(&sandbox, "--filter event=import");
    let name = "docker.io/library/made:1";
    is(&event, ["image", "import", "import"], [id, id], name, json!({"name": name, "stage": "one"}));
    sandbox.line("rmi made:1").output().ok();
    let event = only(&sandbox, "--filter event=delete");
    is(&event, ["image", "remove", "delete"], [id, id], name, json!({"name": name, "stage": "one"}));
}

#[test]
fn a_pull_is_told_by_what_was_asked_for() {
    need!(userns);
    let image =
        ImageBuilder::new().layer(&Layer::new().file("a", "x")).config("Labels", json!({"stage": "two"})).build();
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    registry.add(&image, "team/app", "1");
    let name = registry.name("team/app:1");
    sandbox.runr(["pull", "-q", &name]).output().ok();
    let event = only(&sandbox, "--filter event=pull");
    let plain = name.strip_suffix(":1").unwrap();
    let id = format!("sha256:{}", image.id());
    is(&event, ["image", "pull", "pull"], [&id, &name], &name, json!({"name": plain, "stage": "two"}));
    let line =
        sandbox.line("events --stream=false --no-trunc=false --filter").arg(format!("image={plain}")).output().ok();
    assert!(line.ends_with(&format!(" image pull {name} (name={plain}, stage=two)\n")), "{line}");
}
