//! `runr run` as scripts and people use it: streams, statuses, signals, terminals, and what each flag does inside.

use crate::support::{Sandbox, pty::Pty, until};
use nix::sys::signal::Signal;
use std::time::Duration;

/// A sandbox with the base image in it.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox
}

/// Runs a shell script in a container with these flags; its stdout, or the test fails.
#[track_caller]
fn inside(sandbox: &Sandbox, flags: &str, script: &str) -> String {
    let run = sandbox.runr(["run", "--rm", "--network", "none"]).args(flags.split_whitespace());
    run.args(["busybox", "sh", "-c", script]).output().ok()
}

#[test]
fn streams_are_kept_apart_and_statuses_pass_through() {
    need!(userns, shell);
    let sandbox = sandbox();
    let out = sandbox.runr(["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7"]).output();
    assert_eq!((out.code(), out.stdout.as_str(), out.stderr.as_str()), (7, "out\n", "err\n"));
    let status = |args: &[&str]| sandbox.runr(["run", "--rm", "busybox"]).args(args).output().code();
    assert_eq!(status(&["true"]), 0);
    assert_eq!(status(&["sh", "-c", "sh -c 'kill -9 $$'; exit $?"]), 137, "128 + SIGKILL of a child");
    assert_eq!(status(&["/no/such/program"]), 127);
    assert_eq!(status(&["nosuchprogram"]), 127);
    assert_eq!(status(&["/etc"]), 126);
    let init = |args: &[&str]| sandbox.runr(["run", "--rm", "--init", "busybox"]).args(args).output().code();
    assert_eq!(init(&["sh", "-c", "kill -15 $$"]), 143, "with --init the command dies of the signal");
    assert_eq!(init(&["nosuchprogram"]), 127);
}

#[test]
fn errors_of_runr_are_one_line_and_125() {
    need!(userns, shell);
    let sandbox = sandbox();
    for args in [
        &["run", "--no-such-flag", "busybox"][..],
        &["run"],
        &["run", "--rm", "-w", "relative", "busybox", "true"],
        &["run", "--rm", "-v", "/a:/b:/c:/d", "busybox", "true"],
        &["run", "--rm", "--user", "nobodyhere", "busybox", "true"],
        &["run", "--rm", "--pull", "never", "notthere", "true"],
        &["run", "--rm", "--cap-add", "NONSENSE", "busybox", "true"],
        &["run", "--rm", "--network", "bridge", "busybox", "true"],
        &["run", "--rm", "--quiet", "UPPER/case", "true"],
    ] {
        let stderr = sandbox.runr(args).output().fails(125);
        let first = stderr.lines().next().unwrap_or_default();
        assert!(first.starts_with("runr: ") && first.len() > 10, "{args:?}: {stderr}");
        assert!(stderr.lines().skip(1).all(|l| l.starts_with("hint: ")), "{args:?}: {stderr}");
    }
}

#[test]
fn stdin_is_given_only_when_asked() {
    need!(userns, shell);
    let sandbox = sandbox();
    let cat = |flags: &[&str]| {
        sandbox.runr(["run", "--rm"]).args(flags).args(["busybox", "cat"]).stdin("typed").output().ok()
    };
    assert_eq!(cat(&["-i"]), "typed");
    assert_eq!(cat(&[]), "", "without -i stdin is empty");
    // A loop that reads lines around a container keeps its lines.
    let script = "printf '1\\n2\\n3\\n' | while read n; do runr run --rm busybox echo got $n; done";
    assert_eq!(sandbox.sh(script).output().ok(), "got 1\ngot 2\ngot 3\n");
    // End of file passes through, and a container that stops reading stops its writer.
    assert_eq!(sandbox.sh("yes | runr run --rm -i busybox head -n 1").output().ok(), "y\n");
    assert_eq!(sandbox.sh("seq 200000 | runr run --rm -i busybox cat | tail -n 1").output().ok(), "200000\n");
}

#[test]
fn a_reader_that_goes_away_ends_the_container() {
    need!(userns, shell);
    let sandbox = sandbox();
    for flags in ["--rm", "--rm --init", "--name left"] {
        let script = format!("runr run {flags} busybox yes | head -n 1");
        assert_eq!(sandbox.sh(&script).limit(Duration::from_secs(60)).output().ok(), "y\n", "{flags}");
    }
    sandbox.line("rm left").output().ok();
}

#[test]
fn a_slow_reader_gets_every_byte() {
    need!(userns, shell);
    let sandbox = sandbox();
    let script = "runr run --rm busybox sh -c 'seq 100000; echo e >&2' 2>/dev/null | (sleep 1; wc -l; )";
    assert_eq!(sandbox.sh(script).output().ok().trim(), "100000");
    // To a file, in place, without truncation or loss.
    let script = "echo before > f; runr run --rm busybox sh -c 'seq 5000' >> f; wc -l < f";
    assert_eq!(sandbox.sh(script).cwd(sandbox.tmp()).output().ok().trim(), "5001");
}

#[test]
fn signals_are_forwarded() {
    need!(userns, shell);
    let sandbox = sandbox();
    for (signal, name) in [
        (Signal::SIGINT, "INT"),
        (Signal::SIGTERM, "TERM"),
        (Signal::SIGHUP, "HUP"),
        (Signal::SIGQUIT, "QUIT"),
        (Signal::SIGUSR1, "USR1"),
        (Signal::SIGUSR2, "USR2"),
        (Signal::SIGWINCH, "WINCH"),
    ] {
        let marker = sandbox.path(format!("ready-{name}"));
        std::fs::create_dir(&marker).unwrap();
        let script = format!("trap 'echo {name}; exit 9' {name}; touch /m/up; while :; do sleep 0.05; done");
        let mount = format!("{}:/m", marker.display());
        let running = sandbox.runr(["run", "--rm", "-v", &mount, "busybox", "sh", "-c", &script]).spawn();
        until("it runs", || marker.join("up").exists());
        running.signal(signal);
        let out = running.wait();
        assert_eq!((out.code(), out.stdout.trim()), (9, name));
    }
}

#[test]
fn without_sig_proxy_the_signal_is_the_commands_own() {
    need!(userns, shell);
    let sandbox = sandbox();
    let script = "runr run --rm --name p --sig-proxy=false busybox sleep 30 >/dev/null 2>&1 & \
                  until runr ps -q | grep -q .; do sleep 0.1; done; kill -TERM $!; wait $!; echo $?";
    assert_eq!(sandbox.sh(script).output().ok().trim(), "143");
    assert_ne!(sandbox.line("ps -q").output().ok().trim(), "", "the container goes on");
    sandbox.line("rm -f p").output().ok();
}

#[test]
fn time_limits_end_containers() {
    need!(userns, shell);
    let sandbox = sandbox();
    assert_eq!(sandbox.line("run --rm --timeout 1 busybox sleep 60").output().code(), 137);
    // `timeout` asks with SIGTERM, which a shell passes on to nobody but obeys itself when it traps it.
    let script = "timeout 1 runr run --rm --init busybox sleep 60";
    assert_eq!(sandbox.sh(script).output().code(), 124);
    assert_eq!(sandbox.line("ps -aq").output().ok(), "");
}

/// A command on a terminal, and the terminal's settings before the command has begun.
fn on_terminal(sandbox: &Sandbox, command: &str) -> (Pty, String) {
    let mut pty = Pty::start(sandbox.sh(&format!("read go; exec {command}")));
    let before = pty.settings();
    pty.send("\n");
    (pty, before)
}

#[test]
fn a_terminal_works_and_is_restored() {
    need!(userns, shell);
    let sandbox = sandbox();
    let (mut pty, before) = on_terminal(&sandbox, "runr run --rm -it busybox sh");
    // Echoed input is not mistaken for output: the shell joins what is typed apart.
    pty.send("tty; stty size; echo fr''om-here\n");
    let shown = pty.expect("from-here");
    assert!(shown.contains("/dev/pts/") || shown.contains("/dev/console"), "{shown}");
    assert!(shown.contains("24 80"), "{shown}");
    pty.resize(100, 40);
    pty.send("sleep 0.3; stty size; echo re''sized\n");
    let shown = pty.expect("resized");
    assert!(shown.contains("40 100"), "{shown}");
    // Ctrl-C interrupts what runs in the container, not runr.
    pty.send("sleep 100\n");
    std::thread::sleep(Duration::from_millis(300));
    pty.send("\u{3}");
    pty.send("echo ali''ve; exit 3\n");
    pty.expect("alive");
    assert_eq!(pty.wait(), 3);
    pty.resize(80, 24);
    assert_eq!(pty.settings(), before, "the terminal is as it was");
}

#[test]
fn the_terminal_is_restored_after_an_error_too() {
    need!(userns, shell);
    let sandbox = sandbox();
    let (mut pty, before) = on_terminal(&sandbox, "runr run --rm -it busybox nosuchprogram");
    pty.expect("executable file not found");
    assert_eq!(pty.wait(), 127);
    assert_eq!(pty.settings(), before);
}

#[test]
fn environment_folder_and_user_are_set() {
    need!(userns, shell);
    let sandbox = sandbox();
    let env =
        inside(&sandbox, "-e A=1 -e B=two -h box", "echo $A $B $HOSTNAME $container; hostname; cat /etc/hostname");
    assert_eq!(env, "1 two box oci\nbox\nbox\n");
    let file = sandbox.write("env", "# comment\nFROM_FILE=x y\nHOME=/there\n");
    assert_eq!(inside(&sandbox, &format!("--env-file {}", file.display()), "echo $FROM_FILE $HOME"), "x y /there\n");
    let passed = sandbox.runr(["run", "--rm", "-e", "PASSED", "-e", "MISSING", "busybox", "env"]).env("PASSED", "on");
    let shown = passed.output().ok();
    assert!(shown.contains("PASSED=on\n") && !shown.contains("MISSING"), "{shown}");
    assert_eq!(inside(&sandbox, "-w /made/for/it", "pwd"), "/made/for/it\n");
    assert_eq!(inside(&sandbox, "--umask 077", "umask"), "0077\n");
    assert_eq!(inside(&sandbox, "--entrypoint echo", "x"), "sh -c x\n");
    assert_eq!(inside(&sandbox, "--ulimit nofile=77:99", "ulimit -n; ulimit -Hn"), "77\n99\n");
    assert_eq!(inside(&sandbox, "--tz UTC", "date +%Z"), "UTC\n");
}

#[test]
fn users_are_found_in_the_image() {
    need!(userns, shell, subids);
    let sandbox = sandbox();
    assert_eq!(inside(&sandbox, "-u 33:44 --group-add 55", "id -u; id -g; id -G"), "33\n44\n44 55\n");
    assert_eq!(
        inside(&sandbox, "-u 33", "touch /tmp/mine && echo to-stdout >/dev/stdout && stat -c %u /tmp/mine"),
        "to-stdout\n33\n"
    );
    let own = nix::unistd::geteuid().as_raw();
    assert_eq!(inside(&sandbox, "--userns keep-id", "id -u"), format!("{own}\n"));
}

#[test]
fn binds_and_tmpfs_are_mounted() {
    need!(userns, shell);
    let sandbox = sandbox();
    let file = sandbox.write("data/in", "content\n");
    let dir = file.parent().unwrap().display().to_string();
    assert_eq!(inside(&sandbox, &format!("-v {dir}:/d"), "cat /d/in; echo new > /d/out"), "content\n");
    assert_eq!(std::fs::read_to_string(sandbox.path("data/out")).unwrap(), "new\n");
    assert_eq!(inside(&sandbox, &format!("-v {dir}:/d:ro"), "touch /d/x 2>/dev/null || echo refused"), "refused\n");
    let mount = format!("--mount type=bind,source={dir}/in,target=/one/file,readonly");
    assert_eq!(inside(&sandbox, &mount, "cat /one/file"), "content\n");
    let missing = sandbox.path("made");
    inside(&sandbox, &format!("-v {}:/m", missing.display()), "true");
    assert!(missing.is_dir(), "-v makes a missing folder");
    let refused = format!("type=bind,source={}/nothing,target=/m", dir);
    sandbox.runr(["run", "--rm", "--mount", &refused, "busybox", "true"]).output().fails(125);
    let tmpfs = inside(&sandbox, "--tmpfs /t:size=1m,mode=700", "stat -c %a /t; grep ' /t ' /proc/mounts");
    assert!(tmpfs.starts_with("700\ntmpfs /t tmpfs") && tmpfs.contains("size=1024k"), "{tmpfs}");
    let shm = inside(&sandbox, "--shm-size 2m", "grep /dev/shm /proc/mounts");
    assert!(shm.contains("size=2048k"), "{shm}");
    let read_only = inside(&sandbox, "--read-only", "touch /x 2>/dev/null || echo refused; touch /tmp/x && echo tmp");
    assert_eq!(read_only, "refused\ntmp\n");
}

#[test]
fn namespaces_can_be_shared() {
    need!(userns, shell);
    let sandbox = sandbox();
    let link = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string();
    for (flag, name) in [("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--network", "net")] {
        let run = |mode: &str| {
            let run =
                sandbox.runr(["run", "--rm", flag, mode, "busybox", "readlink", &format!("/proc/self/ns/{name}")]);
            run.output().ok().trim().to_owned()
        };
        assert_eq!(run("host"), link(name), "{flag} host");
        assert_ne!(run(if name == "net" { "none" } else { "private" }), link(name), "{flag} private");
    }
    let none = inside(&sandbox, "", "cat /sys/class/net/lo/flags; ls /sys/class/net");
    assert_eq!(none.lines().next(), Some("0x9"), "the loopback interface is up");
    assert_eq!(none.lines().count(), 2, "and the only one");
}

#[test]
fn files_record_the_container() {
    need!(userns, shell);
    let sandbox = sandbox();
    let (cid, pid) = (sandbox.path("cid"), sandbox.path("pid"));
    let flags = format!("--cidfile {} --pidfile {} --label a=b --annotation c=d", cid.display(), pid.display());
    inside(&sandbox, &flags, "true");
    assert_eq!(std::fs::read_to_string(&cid).unwrap().trim().len(), 64);
    assert!(std::fs::read_to_string(&pid).unwrap().trim().parse::<i32>().unwrap() > 1);
    let again = sandbox.runr(["run", "--rm", "--cidfile"]).arg(&cid).args(["busybox", "true"]).output().fails(125);
    assert!(again.contains("container id file found"), "{again}");
}

#[test]
fn names_and_hosts_are_resolved_inside() {
    need!(userns, shell);
    let sandbox = sandbox();
    let flags = "--add-host db:10.9.8.7 --dns 9.9.9.9 --dns-search example.org --dns-option ndots:3";
    let shown = inside(&sandbox, flags, "grep 'db$' /etc/hosts | grep 10; cat /etc/resolv.conf");
    assert_eq!(shown, "10.9.8.7\tdb\nsearch example.org\nnameserver 9.9.9.9\noptions ndots:3\n");
    assert_eq!(inside(&sandbox, "--no-hosts", "cat /etc/hosts 2>/dev/null | grep -c box || true").trim(), "0");
}

#[test]
fn a_removed_containers_name_is_free_when_the_exit_code_is_there() {
    need!(userns, shell);
    let sandbox = sandbox();
    let script = "set -e; for i in 1 2 3 4 5 6 7 8 9 10; do runr run --rm --name same busybox true; done; echo done";
    assert_eq!(sandbox.sh(script).output().ok(), "done\n");
    // One that is kept keeps its name.
    sandbox.line("run --name kept busybox sh -c true").output().ok();
    let taken = sandbox.line("run --name kept busybox true").output().fails(125);
    assert!(taken.contains("already in use"), "{taken}");
    sandbox.line("rm kept").output().ok();
    sandbox.line("run --rm --name kept busybox true").output().ok();
}

#[test]
fn fifty_at_once() {
    need!(userns, shell);
    let sandbox = sandbox();
    let script = "for i in $(seq 50); do (runr run --rm --network none busybox echo $i || echo failed) & done; wait";
    let out = sandbox.sh(script).limit(Duration::from_secs(120)).output().ok();
    let mut numbers: Vec<u32> = out.lines().map(|l| l.parse().expect("a number, not a failure")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
    assert_eq!(sandbox.line("ps -aq").output().ok(), "");
}

#[test]
fn descriptors_of_the_caller_stay_with_the_caller() {
    need!(userns, shell);
    let sandbox = sandbox();
    // The command may hold the shell's lock as long as it lives, like any child; the container and its monitor do not.
    let script = "exec 9>lock; flock 9; runr run --rm --name l busybox sleep 30 >/dev/null 2>&1 & \
                  until runr ps -q | grep -q .; do sleep 0.1; done; kill -9 $!; wait $!; exec 9>&-; \
                  flock -n lock echo free; runr rm -f l >/dev/null";
    assert_eq!(sandbox.sh(script).cwd(sandbox.tmp()).output().stdout, "free\n");
}

#[test]
fn the_monitor_has_one_thread_and_keeps_no_descriptor() {
    need!(userns, shell);
    let sandbox = sandbox();
    let script = "exec 7<.; runr run --rm --name idle busybox sleep 300 >/dev/null 2>&1 & \
                  until runr ps -q | grep -q .; do sleep 0.1; done; kill -9 $!; wait $!; true";
    let _ = sandbox.sh(script).output().ok();
    let monitor = monitor_of(&sandbox);
    let status = std::fs::read_to_string(format!("/proc/{monitor}/status")).unwrap();
    assert!(status.lines().any(|l| l == "Threads:\t1"), "{status}");
    let links = std::fs::read_dir(format!("/proc/{monitor}/fd")).unwrap().flatten();
    let open: Vec<String> =
        links.filter_map(|l| Some(std::fs::read_link(l.path()).ok()?.display().to_string())).collect();
    // "/" is what the kernel calls the file on a detached mount: runr itself, as commands of `exec` may see it.
    let foreign: Vec<_> = open
        .iter()
        .filter(|l| l.starts_with('/') && !matches!(l.as_str(), "/" | "/dev/null") && !l.ends_with("/lock"))
        .collect();
    assert!(foreign.is_empty(), "{open:?}");
    sandbox.line("rm -f idle").output().ok();
}

/// The parent of the only container's first process, by the container's record.
fn monitor_of(sandbox: &Sandbox) -> i32 {
    let containers = sandbox.store().join("containers");
    let folder = std::fs::read_dir(containers).unwrap().next().unwrap().unwrap().path();
    let state: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("state.json")).unwrap()).unwrap();
    let pid = state["process"]["pid"].as_i64().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_killed_command_leaves_its_container_and_a_killed_monitor_leaves_nothing() {
    need!(userns, shell);
    let sandbox = sandbox();
    let script = "runr run --name orphan busybox sleep 300 >/dev/null 2>&1 & \
                  until runr ps | grep -q orphan; do sleep 0.1; done; kill -9 $!; wait $!; echo $?";
    assert_eq!(sandbox.sh(script).output().ok().trim(), "137");
    assert!(sandbox.line("ps").output().ok().contains("orphan"), "the container goes on without its client");
    // The monitor is the parent of the container's first process.
    let state = sandbox.store().join("containers");
    let folder = std::fs::read_dir(state).unwrap().next().unwrap().unwrap().path();
    let state: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("state.json")).unwrap()).unwrap();
    let pid = state["process"]["pid"].as_i64().unwrap() as i32;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let monitor: i32 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(monitor), Signal::SIGKILL).unwrap();
    until("its process is gone", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert!(sandbox.line("ps -a").output().ok().contains("Exited (137)"));
    sandbox.line("rm orphan").output().ok();
    assert_eq!(sandbox.line("ps -aq").output().ok(), "");
}
