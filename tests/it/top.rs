//! `top` and `stats`: a container's processes from outside, with no program in it that would help.

use crate::support::{Sandbox, pty::Pty};
use nix::sys::signal::Signal;

/// The rows, their cells separated by one blank.
fn rows(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn processes_have_the_numbers_and_names_of_the_container() {
    need!(userns, shell, subids);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let script =
        "echo who:x:7:8::/: >>/etc/passwd; echo them:x:8: >>/etc/group; touch /ready; sleep 600 & exec sleep 601";
    sandbox.line("run -d --name c --network none busybox sh -c").arg(script).output().ok();
    sandbox.sh("until runr exec c test -e /ready; do sleep 0.1; done").output().ok();
    let session = sandbox.line("exec -u 7:8 c sleep 602").spawn();
    sandbox.sh("until runr top c args | grep -q 602; do sleep 0.1; done").output().ok();
    let shown = rows(&sandbox.line("top c pid ppid user group args").output().ok());
    assert_eq!(shown[0], "PID PPID USER GROUP COMMAND");
    assert!(shown[1].starts_with("1 0 ") && shown[1].ends_with(" sleep 601"), "{shown:?}");
    let child = shown.iter().find(|r| r.ends_with("sleep 600")).unwrap();
    assert_eq!(child.split(' ').nth(1), Some("1"), "{child}");
    let of_session = shown.iter().find(|r| r.ends_with("sleep 602")).unwrap();
    assert!(of_session.ends_with(" 0 who them sleep 602"), "{of_session}");
    // The same by the host's numbers.
    let first = sandbox.runr(["inspect", "-f", "{{.State.Pid}}", "c"]).output().ok();
    assert_eq!(rows(&sandbox.line("top c hpid").output().ok())[1], first.trim());
    assert_eq!(rows(&sandbox.line("top c").output().ok())[0], "USER PID PPID %CPU ELAPSED TTY TIME COMMAND",);
    for (args, head) in [
        ("top c -ef", "UID PID PPID C STIME TTY TIME CMD"),
        ("container top c aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
        ("top c -eo pid,comm=NAME", "PID NAME"),
        ("top -l pid,capeff", "PID EFFECTIVE CAPS"),
    ] {
        let shown = rows(&sandbox.line(args).output().ok());
        assert_eq!((shown[0].as_str(), shown.len()), (head, 4), "{args}: {shown:?}");
    }
    assert_eq!(sandbox.line("top c -o pid=").output().ok().lines().next(), Some("1"));
    sandbox.line("stop -t 0 c").output().ok();
    session.wait().exits(137);
    for (args, words) in [
        (
            "top c",
            "runr: top can only be used on running containers: `c` is exited\nhint: start it with `runr start c`\n",
        ),
        ("top nothing", "runr: no such container: nothing\n"),
        ("top", "runr: top: missing argument: CONTAINER\nhint: see `runr top --help`\n"),
    ] {
        assert_eq!(sandbox.line(args).output().fails(125), words, "{args}");
    }
    assert!(sandbox.line("top c shiny").output().fails(125).starts_with("runr: top: unknown descriptor `shiny`\n"));
    sandbox.line("rm c").output().ok();
}

#[test]
fn what_the_container_says_of_itself_is_not_trusted() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    // A fifo would hang whoever reads it, a link would lead out, an escape sequence would be obeyed by a terminal.
    for (name, file) in [
        ("fifo", "mkfifo /etc/passwd"),
        ("link", "ln -s /proc/1/root/../../../../etc/passwd /etc/passwd"),
        ("names", "printf 'evil\\033]0;x\\007:x:0:0::/:\\n' >/etc/passwd"),
    ] {
        let script = format!("rm -f /etc/passwd; {file}; exec sh -c 'sleep 600; :' \"$(printf '\\033[2J')\"");
        sandbox.line(&format!("run -d --name {name} --network none busybox sh -c")).arg(script).output().ok();
        sandbox.sh(&format!("until runr top {name} args | grep -q 'sleep 600$'; do sleep 0.1; done")).output().ok();
        let text = sandbox.line(&format!("top {name} user,args")).output().ok();
        assert!(!text.contains(['\x1b', '\x07']) && text.contains("?[2J"), "{name}: {text:?}");
        sandbox.line(&format!("rm -f -t 0 {name}")).output().ok();
    }
}

#[test]
fn stats_are_of_the_running_containers() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let head = "CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT   MEM %     NET I/O   BLOCK I/O   PIDS\n";
    assert_eq!(sandbox.line("stats --no-stream").output().ok(), head);
    sandbox.line("run -d --name busy --network none busybox sh -c").arg("while :; do :; done").output().ok();
    sandbox.line("create --name idle busybox true").output().ok();
    let format = "{{.Name}}|{{.CPUPerc}}|{{.MemUsage}}|{{.MemPerc}}|{{.NetIO}}|{{.PIDs}}";
    let shown = sandbox.runr(["stats", "--no-stream", "--format", format]).output().ok();
    let cells: Vec<&str> = shown.trim().split('|').collect();
    assert_eq!((cells[0], cells[4], cells[5]), ("busy", "0B / 0B", "1"), "{shown}");
    let percent: f64 = cells[1].trim_end_matches('%').parse().unwrap();
    assert!(percent > 0.0 && percent < 150.0, "{shown}");
    assert!(!cells[2].starts_with("0B") && !cells[2].ends_with("0B"), "{shown}");
    // Those that don't run use nothing.
    let all =
        sandbox.runr(["stats", "-a", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}"]);
    assert!(all.output().ok().lines().any(|l| l == "idle 0.00% 0B / 0B 0"));
    let list: serde_json::Value =
        serde_json::from_str(&sandbox.line("stats --no-stream --format json busy").output().ok()).unwrap();
    assert_eq!((&list[0]["name"], &list[0]["pids"]), (&"busy".into(), &"1".into()));
    assert_eq!(sandbox.line("stats --no-stream nobody").output().fails(125), "runr: no such container: nobody\n");
    // A stream goes on until somebody ends it.
    let mut terminal = Pty::start(sandbox.line("stats --interval 1"));
    terminal.expect("busy");
    terminal.expect("busy");
    terminal.signal(Signal::SIGINT);
    assert_ne!(terminal.wait(), 0);
    sandbox.sh("runr stats --no-reset --no-trunc busy | head -n 4 | grep -c busy").output().ok();
    sandbox.line("rm -f -t 0 busy idle").output().ok();
}
