//! `ps`: which containers are listed, in which words, by which filters, in which forms.

use crate::support::{Sandbox, pty::Pty};
use nix::sys::signal::Signal;

/// One that runs, one that has ended with status 3, one that was never started.
fn three(sandbox: &Sandbox) {
    sandbox.base_image();
    sandbox
        .sh("runr run -d --name up --network none -l tier=web -l a.b=c busybox sleep 600 >/dev/null &&
             runr run --name ended --network none busybox sh -c 'exit 3'; [ $? = 3 ] &&
             runr create --name made --network none --restart always -v /tmp:/data busybox true >/dev/null")
        .output()
        .ok();
}

fn lines(sandbox: &Sandbox, args: &str) -> Vec<String> {
    let mut lines: Vec<String> = sandbox.line(args).output().ok().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn filters_choose_as_docker_and_podman_have_them() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    three(&sandbox);
    for (filters, names) in [
        ("", &["ended", "made", "up"][..]),
        ("-f name=^(up|made)$", &["made", "up"]),
        ("-f name=[de]$", &["ended", "made"]),
        ("-f name=[", &[]),
        ("-f status=created -f status=running", &["made", "up"]),
        ("-f status=exited -f exited=3", &["ended"]),
        ("-f exited=0", &[]),
        ("-f label=tier", &["up"]),
        ("-f label=tier=web -f label=a.b=d", &[]),
        ("-f label!=tier=web", &["ended", "made"]),
        ("-f before=ended", &["up"]),
        ("-f since=ended", &["made"]),
        ("-f until=1h", &[]),
        ("-f until=2001-01-01", &[]),
        ("-f volume=/data", &["made"]),
        ("-f volume=/tmp", &["made"]),
        ("-f network=none", &["ended", "made", "up"]),
        ("-f network=host", &[]),
        ("-f health=none", &["ended", "made", "up"]),
        ("-f health=healthy", &[]),
        ("-f restart-policy=always", &["made"]),
        ("-f ancestor=busybox", &["ended", "made", "up"]),
        ("-f ancestor=nothing", &[]),
        ("-f is-task=false", &["ended", "made", "up"]),
        ("-f is-task=true", &[]),
        ("-f publish=80", &[]),
        ("-f pod=none", &["ended", "made", "up"]),
        ("-n 2", &["ended", "made"]),
        ("-l", &["made"]),
    ] {
        assert_eq!(lines(&sandbox, &format!("ps -a {filters} --format {{{{.Names}}}}")), names, "{filters}");
    }
    for (filter, words) in [
        ("status=asleep", "runr: invalid filter `status=asleep`\n"),
        ("health=fine", "runr: invalid filter `health=fine`\n"),
        ("exited=x", "runr: invalid filter `exited=x`\n"),
        ("is-task=2", "runr: invalid filter `is-task=2`\n"),
        ("name", "runr: invalid filter `name`: use KEY=VALUE\n"),
        ("before=nothing", "runr: no such container: nothing\n"),
    ] {
        let e = sandbox.line(&format!("ps --filter {filter}")).output().fails(125);
        assert!(e.starts_with(words), "{filter}: {e}");
    }
    for (sort, names) in [("names", "ended made up"), ("status", "made ended up"), ("created", "up ended made")] {
        let listed = sandbox.line(&format!("ps -a --sort {sort} --format {{{{.Names}}}}")).output().ok();
        assert_eq!(listed.lines().collect::<Vec<_>>().join(" "), names, "{sort}");
    }
    let e = sandbox.line("ps --latest --last 2").output().fails(125);
    assert!(e.starts_with("runr: last and latest are mutually exclusive\n"), "{e}");
    sandbox.line("rm -f -t 0 up ended made").output().ok();
}

#[test]
fn every_form_shows_the_same_containers() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    three(&sandbox);
    let table = sandbox.line("ps -a").output().ok();
    let rows: Vec<&str> = table.lines().collect();
    assert!(
        rows[0].starts_with("CONTAINER ID   IMAGE     COMMAND ") && rows[0].ends_with("PORTS     NAMES"),
        "{table}"
    );
    let has = |name: &str, status: &str| rows.iter().any(|r| r.contains(status) && r.ends_with(name));
    assert!(has("made", "   Created   ") && has("ended", "   Exited (3) ") && has("up", "   Up "), "{table}");
    // podman's list, and docker's objects.
    let list: serde_json::Value = serde_json::from_str(&sandbox.line("ps -a --format json").output().ok()).unwrap();
    let ended = list.as_array().unwrap().iter().find(|c| c["Names"][0] == "ended").unwrap();
    assert_eq!((&ended["ExitCode"], &ended["State"], &ended["Exited"]), (&3.into(), &"exited".into(), &true.into()));
    assert_eq!(ended["Command"], serde_json::json!(["sh", "-c", "exit 3"]));
    assert!(ended["Id"].as_str().unwrap().len() == 64 && ended["StartedAt"].as_i64().unwrap() > 1_600_000_000);
    let objects = sandbox.runr(["ps", "--format", "{{json .}}"]).output().ok();
    let up: serde_json::Value = serde_json::from_str(objects.trim()).unwrap();
    assert_eq!((&up["Names"], &up["Labels"]), (&"up".into(), &"a.b=c,tier=web".into()));
    for (args, text) in [
        (&["ps", "--format", "{{.Label \"a.b\"}}|{{.Label \"no\"}}|{{.HealthStatus}}|{{.Restarts}}"][..], "c|||0\n"),
        (
            &["ps", "--format", "table {{.Names}}\\t{{.Label \"a.b\"}}\\t{{.ExitCode}}"],
            "NAMES     b         EXIT CODE\nup        c         0\n",
        ),
        (&["ps", "--noheading", "--format", "table {{.Names}}"], "up\n"),
        (&["ps", "--pod", "--noheading", "--filter", "name=nobody"], ""),
        (&["ps", "--sync", "--external", "--format", "{{.Pod}}{{.Names}}"], "up\n"),
        (&["container", "ps", "-q", "--format", "{{.Names}}"], "up\n"),
    ] {
        assert_eq!(sandbox.runr(args).output().ok(), text, "{args:?}");
    }
    let e = sandbox.runr(["ps", "--format", "{{.Nmaes}}"]).output().fails(125);
    assert_eq!(
        e,
        "runr: template parsing error: template: :1:2: executing \"\" at <.Nmaes>: map has no entry for key \"Nmaes\"\n"
    );
    let short = sandbox.line("ps -q").output().ok();
    assert_eq!(sandbox.line("ps -q --no-trunc").output().ok()[..12], short[..12]);
    sandbox.line("rm -f -t 0 up ended made").output().ok();
}

#[test]
fn namespaces_and_sizes_are_those_of_the_container() {
    need!(userns, shell, subids);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    // A folder that only a subordinate id can enter counts, too.
    let script = "mkdir -m 700 /hidden && printf 12345 >/hidden/file && chown 5:5 /hidden && readlink /proc/self/ns/net >>/out && readlink /proc/self/ns/pid >>/out";
    let run = format!("runr run -d --name c --network none busybox sh -c '{script}; sleep 600'");
    sandbox.sh(&run).output().ok();
    let inside = sandbox.sh("until runr exec c grep pid /out; do sleep 0.1; done; runr exec c cat /out").output().ok();
    let shown = sandbox.runr(["ps", "--format", "net:[{{.NET}}] pid:[{{.PIDNS}}]"]).output().ok();
    for word in shown.split_whitespace() {
        assert!(inside.contains(word), "{word} is not in {inside}");
    }
    let table = sandbox.line("ps --ns").output().ok();
    assert!(
        table.starts_with("CONTAINER ID   NAMES     PID ") && table.contains(shown.split(['[', ']']).nth(1).unwrap()),
        "{table}"
    );
    let written = 5 + inside.lines().skip(1).map(|l| l.len() + 1).sum::<usize>();
    let size = sandbox.runr(["ps", "--format", "{{.Size}}"]).output().ok();
    assert!(size.starts_with(&format!("{written}B (virtual ")), "{size} for {written}");
    let table = sandbox.line("ps -s").output().ok();
    assert!(table.lines().next().unwrap().ends_with("NAMES     SIZE") && table.contains(size.trim()), "{table}");
    sandbox.line("rm -f -t 0 c").output().ok();
}

#[test]
fn what_is_damaged_is_listed_and_can_be_removed() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let id = sandbox.line("create --name broken busybox true").output().ok();
    let id = id.trim();
    sandbox.line("create --name good busybox true").output().ok();
    std::fs::write(sandbox.store().join("containers").join(id).join("config.json"), "").unwrap();
    let out = sandbox.line("ps -a --format {{.ID}}:{{.Names}}:{{.State}}:{{.Status}}").output();
    assert!(out.stderr.starts_with(&format!("runr: warning: container `{}` is damaged", &id[..12])), "{}", out.stderr);
    assert!(out.ok().lines().any(|l| l == format!("{}:broken:dead:Dead (damaged)", &id[..12])));
    assert_eq!(sandbox.line("ps").output().ok().lines().count(), 1, "the running ones are none of its business");
    sandbox.sh("runr rm $(runr ps -aq 2>/dev/null)").output().ok();
    assert_eq!(sandbox.line("ps -aq").output().ok(), "");
}

#[test]
fn a_watch_shows_what_changes() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let mut terminal = Pty::start(sandbox.line("ps --watch 1"));
    terminal.expect("CONTAINER ID");
    sandbox.line("run -d --name late --network none busybox sleep 600").output().ok();
    terminal.expect("late");
    terminal.signal(Signal::SIGINT);
    assert_ne!(terminal.wait(), 0);
    // A reader that goes away ends it quietly, as it does without a watch.
    sandbox.sh("runr ps --watch 1 | head -n 1").output().ok();
    sandbox.line("rm -f -t 0 late").output().ok();
}
