//! `runr exec`: further commands in a running container, what they get, and what becomes of them.

use crate::support::{Output, Sandbox, probe, pty::Pty, until};
use nix::sys::signal::Signal;
use std::time::Duration;

/// A sandbox with a container `c` that sleeps, made with these flags.
fn sandbox(flags: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let run = sandbox.line("run -d --name c --network none").args(flags.split_whitespace());
    run.args(["busybox", "sleep", "1000"]).output().ok();
    sandbox
}

/// Runs a command in `c`.
fn exec(sandbox: &Sandbox, flags: &str, command: &[&str]) -> Output {
    sandbox.runr(["exec"]).args(flags.split_whitespace()).arg("c").args(command).output()
}

/// Runs a shell script in `c`; its stdout, or the test fails.
#[track_caller]
fn inside(sandbox: &Sandbox, flags: &str, script: &str) -> String {
    exec(sandbox, flags, &["sh", "-c", script]).ok()
}

/// The exec sessions that `inspect` shows, as JSON.
fn exec_ids(sandbox: &Sandbox) -> String {
    sandbox.runr(["inspect", "c", "--format", "{{json .ExecIDs}}"]).output().ok()
}

/// Command lines of the processes in `c`, without process 1 and the one that lists them.
fn processes(sandbox: &Sandbox) -> String {
    // Few processes for it, however many there are to list: on a busy machine each takes its time.
    let script = r#"l=/dev/null; for f in /proc/[0-9]*; do p=${f#/proc/}; [ $p = 1 ] || [ $p = $$ ] || l="$l $f/cmdline"; done
        cat $l 2>/dev/null | tr '\0' ' '"#;
    inside(sandbox, "", script).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn streams_and_statuses_pass_through() {
    need!(userns, shell);
    let sandbox = sandbox("");
    let out = exec(&sandbox, "", &["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((out.code(), out.stdout.as_str(), out.stderr.as_str()), (7, "out\n", "err\n"));
    for (command, status) in [
        (&["true"][..], 0),
        (&["sh", "-c", "kill -9 $$"], 137),
        (&["/no/such/program"], 127),
        (&["nosuchprogram"], 127),
        (&["/etc"], 126),
    ] {
        assert_eq!(exec(&sandbox, "", command).code(), status, "{command:?}");
    }
    let cat = |flags: &str| sandbox.runr(["exec"]).args(flags.split_whitespace()).args(["c", "cat"]).stdin("typed");
    assert_eq!(cat("-i").output().ok(), "typed");
    assert_eq!(cat("").output().ok(), "", "without -i stdin is empty");
    // Through `container exec` as well, and what a flag looks like behind the container belongs to the command.
    let line = sandbox.line("container exec c echo -i --rm -- x").output();
    assert_eq!(line.ok(), "-i --rm -- x\n");
}

#[test]
fn pipelines_behave() {
    need!(userns, shell);
    let sandbox = sandbox("");
    let sh = |script: &str| sandbox.sh(script).output().ok();
    // A loop that reads lines around a command keeps its lines; one that takes a line leaves the rest.
    assert_eq!(sh("printf '1\\n2\\n3\\n' | while read n; do runr exec c echo got $n; done"), "got 1\ngot 2\ngot 3\n");
    assert_eq!(sh("runr exec c yes | head -n 1"), "y\n");
    assert_eq!(sh("yes | runr exec -i c head -n 1"), "y\n");
    assert_eq!(sh("seq 200000 | runr exec -i c cat | tail -n 1"), "200000\n");
    // Files in and out, to the last byte.
    let script = "seq 100000 > in; runr exec -i c cat < in > out; cmp in out && echo same; \
                  runr exec c sh -c 'echo more' >> out; tail -n 1 out";
    assert_eq!(sandbox.sh(script).cwd(sandbox.tmp()).output().ok(), "same\nmore\n");
    // A pipe that outlives the command is not held by what the command left behind.
    assert_eq!(sh("x=$(runr exec c sh -c 'sleep 30 & echo done'); echo $x"), "done\n");
}

#[test]
fn errors_name_the_container_and_the_way_out() {
    need!(userns, shell);
    let sandbox = sandbox("");
    sandbox.line("create --name stopped busybox true").output().ok();
    for (line, code, text) in [
        ("exec nosuch true", 125, "runr: no such container: nosuch\n"),
        ("exec stopped true", 255, "runr: container `stopped` is not running\nhint: start it: `runr start stopped`\n"),
        ("exec c", 125, "runr: exec: no command specified\nhint: for a shell: `runr exec -it c sh`\n"),
        (
            "exec",
            125,
            "runr: exec requires the name or id of a container or the --latest flag\nhint: see `runr exec --help`\n",
        ),
        (
            "exec -u nosuch c true",
            125,
            "runr: exec in `c`: unable to find user nosuch: no matching entries in passwd file\n",
        ),
        (
            "exec -w /nosuch c true",
            127,
            "runr: exec in `c`: change to working folder `/nosuch`: No such file or directory (ENOENT)\n",
        ),
        (
            "exec -w here c true",
            125,
            "runr: --workdir: invalid working directory `here`: it must be an absolute path\n",
        ),
        ("exec c nosuch", 127, "runr: exec in `c`: execute `nosuch`: executable file not found in $PATH\n"),
        ("exec --preserve-fd 99 c true", 125, "runr: file descriptor 99 is not open, so it cannot be passed on\n"),
        (
            "exec --preserve-fds 1 --preserve-fd 3 c true",
            125,
            "runr: --preserve-fds and --preserve-fd cannot be used together\n",
        ),
        ("exec --cidfile x --latest true", 125, "runr: exec: --cidfile and --latest cannot be used together\n"),
    ] {
        assert_eq!(sandbox.line(line).output().fails(code), text, "{line}");
    }
}

#[test]
fn the_environment_is_the_containers_and_more() {
    need!(userns, shell);
    let sandbox = sandbox("-e A=container -e B=kept -w /tmp");
    let env = inside(&sandbox, "-e A=exec -e C=new -e NONE", "echo $A $B $C $NONE $HOME; pwd");
    assert_eq!(env, "exec kept new /root\n/tmp\n");
    sandbox.write("vars", "D=file\n# no\nA=file\n");
    let file = sandbox.path("vars");
    let out = sandbox.runr(["exec", "--env-file"]).arg(&file).args(["-e", "FROM", "c", "sh", "-c", "echo $A $D $FROM"]);
    assert_eq!(out.env("FROM", "caller").output().ok(), "file file caller\n");
    assert_eq!(inside(&sandbox, "-w /etc", "pwd"), "/etc\n");
    assert_eq!(inside(&sandbox, "", "echo $TERM"), "\n");
    assert_eq!(inside(&sandbox, "-t", "echo $TERM; tty").replace('\r', ""), "xterm\n/dev/pts/0\n");
    // By the beginning of its id, by a file with it, as the last one.
    let id = sandbox.line("ps -q --no-trunc").output().ok();
    sandbox.write("cid", &id);
    let cidfile = sandbox.path("cid").display().to_string();
    for words in [&[&id[..10]][..], &["--cidfile", &cidfile], &["-l"]] {
        assert_eq!(sandbox.runr(["exec"]).args(words).args(["echo", "found"]).output().ok(), "found\n");
    }
}

#[test]
fn users_and_capabilities() {
    need!(userns, subids, shell);
    let sandbox = sandbox("--cap-add NET_ADMIN --group-add 77 --umask 077");
    let script = "id -u; id -g; echo $HOME; grep -E 'CapEff|CapBnd|CapInh|NoNew|Seccomp:' /proc/self/status; umask";
    let words = |flags: &str| inside(&sandbox, flags, script).split_whitespace().collect::<Vec<_>>().join(" ");
    // As the container's own process has it.
    let first = "grep -E 'CapEff|CapBnd|CapInh|NoNew|Seccomp:' /proc/1/status";
    let own = inside(&sandbox, "", first).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(""), format!("0 0 /root {own} 0077"));
    assert!(own.contains("CapBnd: 00000000a80435fb") && own.contains("Seccomp: 2"), "{own}");
    let user = words("-u 1000:50");
    assert!(
        user.starts_with("1000 50 /home/user ")
            && user.contains("CapEff: 0000000000001000")
            && user.contains("CapBnd: 00000000a80435fb"),
        "{user}"
    );
    let all = format!("CapEff: {0:016x} CapBnd: {0:016x}", (1u64 << 41) - 1);
    assert!(words("--privileged").contains(&all), "{}", words("--privileged"));
    let privileged_user = words("--privileged -u 1000");
    assert!(privileged_user.contains("CapEff: 0000000000000000"), "{privileged_user}");
    assert!(inside(&sandbox, "-u 1000", "id -G").contains("77"));
}

#[test]
fn a_user_can_write_to_its_streams_by_name() {
    need!(userns, subids, shell);
    let sandbox = sandbox("");
    let script = "echo out > /dev/stdout; echo err > /dev/stderr";
    for flags in ["", "-u 1000", "-t -u 1000"] {
        let out = exec(&sandbox, flags, &["sh", "-c", script]);
        let both = format!("{}{}", out.stdout, out.stderr).replace('\r', "");
        assert_eq!((out.code(), both.as_str()), (0, "out\nerr\n"), "{flags}");
    }
    // The caller's own pipe stays the caller's.
    let shared = "{ runr exec -u 1000 c true; echo mine > /dev/stdout; } | cat";
    assert_eq!(sandbox.sh(shared).output().ok(), "mine\n");
    let named = "mkfifo f; cat f & runr exec -u 1000 c echo through > f; wait; stat -c %u f";
    let own = nix::unistd::geteuid();
    assert_eq!(sandbox.sh(named).cwd(sandbox.tmp()).output().ok(), format!("through\n{own}\n"));
}

#[test]
fn it_is_in_all_namespaces_of_the_container() {
    need!(userns, shell);
    for flags in ["", "--init", "--pid host", "--ipc host --uts host", "--privileged"] {
        let sandbox = sandbox(flags);
        let kinds = "cgroup ipc mnt net pid user uts";
        let list = |of: &str| format!("for n in {kinds}; do readlink /proc/{of}/ns/$n; done");
        let own = inside(&sandbox, "", &list("self"));
        assert_eq!(own.lines().count(), 7, "{flags}: {own}");
        // The sleeping process's, found by its command line: with --init and --pid host it is not number 1.
        let find =
            "for p in /proc/[0-9]*; do [ \"$(tr '\\0' ' ' < $p/cmdline)\" = 'sleep 1000 ' ] && echo ${p#/proc/}; done";
        let pid = inside(&sandbox, "", &format!("{find} 2>/dev/null; true"));
        if pid.lines().count() == 1 {
            assert_eq!(inside(&sandbox, "--privileged", &list(pid.trim())), own, "{flags}");
        }
        sandbox.line("rm -f c").output().ok();
    }
}

#[test]
fn nothing_of_the_host_comes_along() {
    need!(userns, shell, probe);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let volume = format!("{}:/probe:ro", probe::path().display());
    let run = sandbox.line("run -d --name c --network none -v").arg(&volume);
    run.args(["busybox", "sleep", "1000"]).output().ok();
    // Pipes have numbers; what else is open has not.
    let fds = |script: &str| {
        let out = sandbox.sh(script).cwd(sandbox.tmp()).output().ok();
        out.split(' ').map(|word| word.split(":[").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let streams = ["0=/dev/null", "1=pipe", "2=pipe"];
    assert_eq!(fds("exec 5<. 6</etc 7>&1; runr exec c /probe fds"), streams);
    let first = sandbox.runr(["run", "--rm", "--network", "none", "-v", &volume, "busybox", "/probe", "signals"]);
    assert_eq!(exec(&sandbox, "", &["/probe", "signals"]).ok(), first.output().ok());
    let first = sandbox.runr(["run", "--rm", "--network", "none", "-v", &volume, "busybox", "/probe", "keyring"]);
    assert_eq!(exec(&sandbox, "", &["/probe", "keyring"]).ok(), first.output().ok());
}

#[test]
fn descriptors_are_passed_on_by_number() {
    need!(userns, shell);
    let sandbox = sandbox("");
    let sh = |script: &str| sandbox.sh(script).cwd(sandbox.tmp()).output().ok();
    assert_eq!(sh("echo four > f; exec 3</dev/null 4<f; runr exec --preserve-fds 2 c cat /proc/self/fd/4"), "four\n");
    assert_eq!(sh("exec 9>out; runr exec --preserve-fd 9 c sh -c 'echo nine >&9'; cat out"), "nine\n");
    assert_eq!(
        sh(
            "exec 3<f; runr exec -d --preserve-fd 3 c sh -c 'cat <&3 > /tmp/got' >/dev/null; sleep 0.5; runr exec c cat /tmp/got | tail -n 1"
        ),
        "four\n"
    );
    // Without the flag none is.
    assert_eq!(sh("exec 3<f; runr exec c sh -c 'cat <&3' 2>/dev/null || echo closed"), "closed\n");
}

#[test]
fn a_detached_command_outlives_its_caller() {
    need!(userns, shell);
    let sandbox = sandbox("");
    let id = exec(&sandbox, "-d", &["sh", "-c", "sleep 0.3; echo done > /tmp/flag; sleep 300"]).ok();
    assert!(id.trim().len() == 64 && id.trim().bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    until("the flag", || inside(&sandbox, "", "cat /tmp/flag 2>/dev/null; true") == "done\n");
    assert_eq!(exec(&sandbox, "-d", &["nosuch"]).code(), 127);
    let ids = exec_ids(&sandbox);
    assert_eq!(ids.trim(), format!("[\"{}\"]", id.trim()));
}

#[test]
fn a_killed_client_leaves_no_process() {
    need!(userns, shell);
    let sandbox = sandbox("");
    // A tree: a child, a grandchild whose parent is gone, one in a session of its own.
    let script = "sleep 401 & (sleep 402 &) ; setsid sleep 403 & sh -c 'sleep 404; true' & wait";
    let running = sandbox.runr(["exec", "c", "sh", "-c", script]).spawn();
    until("four processes", || processes(&sandbox).matches("sleep 40").count() >= 4);
    running.signal(Signal::SIGKILL);
    assert_eq!(running.wait().code(), 137);
    until("no process", || processes(&sandbox).is_empty());
    // One that is told nicely, and one with a terminal.
    for (flags, signal) in [("", Signal::SIGTERM), ("-i", Signal::SIGINT), ("-t", Signal::SIGUSR1)] {
        let running = sandbox.runr(["exec"]).args(flags.split_whitespace()).args(["c", "sleep", "405"]).spawn();
        until("the process", || processes(&sandbox).contains("405"));
        running.signal(signal);
        assert_ne!(running.wait().code(), 0);
        until("no process", || processes(&sandbox).is_empty());
    }
    assert_eq!(exec_ids(&sandbox).trim(), "[]");
}

#[test]
fn a_killed_client_leaves_no_daemon_either() {
    need!(userns, shell);
    for flags in ["", "--pid host"] {
        let sandbox = sandbox(flags);
        let number = format!("{}", std::process::id() * 10);
        let count = |prefix: &str| processes(&sandbox).matches(&format!("{prefix}{number}")).count();
        // A daemon, which has left its session and its parents, and one that makes such daemons for ever. `setsid` forks only
        // where it leads a group, so a shell is between.
        let daemon = |seconds: &str| format!("sh -c 'setsid sh -c \"sleep {seconds}{number}; true\" &'");
        exec(&sandbox, "-d", &["sh", "-c", &format!("{}; sleep 6{number}", daemon("5"))]).ok();
        exec(&sandbox, "", &["sh", "-c", &daemon("4")]).ok();
        let other = sandbox.runr(["exec", "c", "sh", "-c", &format!("{}; sleep 8{number}; true", daemon("7"))]).spawn();
        until("the others", || [4, 5, 6, 7, 8].iter().all(|n| count(&format!("sleep {n}")) > 0));
        let others = || [4, 5, 6, 7, 8].map(|n| count(&format!("sleep {n}")));
        let before = others();
        let many = format!("while :; do {}; usleep 10000; done", daemon("3"));
        let script = format!("{}; sh -c 'setsid sh -c \"$M\" &'; sleep 1{number}", daemon("2"));
        let running = sandbox.runr(["exec", "-e", &format!("M={many}"), "c", "sh", "-c", &script]).spawn();
        until("daemons", || count("sleep 2") > 0 && count("sleep 3") > 20);
        running.signal(Signal::SIGKILL);
        assert_eq!(running.wait().code(), 137);
        until("no process", || {
            let left = processes(&sandbox);
            [1, 2, 3].iter().all(|n| !left.contains(&format!("sleep {n}{number}")))
        });
        // Nothing else was touched.
        assert_eq!(others(), before, "{flags}");
        other.signal(Signal::SIGKILL);
        assert_eq!(other.wait().code(), 137);
        until("the other session's end", || count("sleep 7") + count("sleep 8") == 0);
        assert!([4, 5, 6].iter().all(|n| count(&format!("sleep {n}")) > 0), "{}", processes(&sandbox));
        // In the host's pid namespace, and without a cgroup, nobody ends what a command left running.
        let (first, rest) = number.split_at(1);
        let script = format!(
            "for f in /proc/[0-9]*/cmdline; do p=${{f%/cmdline}}; grep -qs '[{first}]{rest}' $f && kill -9 ${{p#/proc/}}; done; true"
        );
        inside(&sandbox, "", &script);
        sandbox.runr(["rm", "-f", "-t", "0", "c"]).output().ok();
    }
}

/// A daemon that has done away with everything it could be known by but what it can't leave.
#[test]
fn a_daemon_that_hides_ends_with_a_killed_client() {
    need!(userns, shell, time_namespaces);
    for flags in ["", "--pid host"] {
        let sandbox = sandbox(flags);
        let number = std::process::id() * 10;
        let has = |prefix: u32| processes(&sandbox).contains(&format!("sleep {prefix}{number}"));
        let hide = "echo 50000 >/proc/$$/timerslack_ns; read slack </proc/$$/timerslack_ns; echo $slack >/tmp/slack";
        let daemon = format!("sh -c 'setsid sh -c \"$HIDE; sleep 2{number}; true\" &'; sleep 1{number}");
        let hide_in = |text: &str| text.replace("$HIDE", &hide.replace('$', "\\$"));
        let other = sandbox.runr(["exec", "c", "sh", "-c", &format!("sleep 3{number}; true")]).spawn();
        let running = sandbox.runr(["exec", "c", "sh", "-c", &hide_in(&daemon)]).spawn();
        until("the processes", || has(1) && has(2) && has(3));
        assert_eq!(inside(&sandbox, "", "cat /tmp/slack"), "50000\n");
        // Nobody notices the namespace: its clocks are the container's.
        let offsets = inside(&sandbox, "", "cat /proc/self/timens_offsets");
        let is_moved = |line: &str| line.split_whitespace().skip(1).any(|n| n != "0");
        assert!(!offsets.is_empty() && !offsets.lines().any(is_moved), "{offsets}");
        running.signal(Signal::SIGKILL);
        assert_eq!(running.wait().code(), 137);
        until("no process", || !has(1) && !has(2));
        assert!(has(3), "the other session is not touched");
        other.signal(Signal::SIGKILL);
        assert_eq!(other.wait().code(), 137);
        until("the other session's end", || !has(3));
        sandbox.runr(["rm", "-f", "-t", "0", "c"]).output().ok();
    }
}

#[test]
fn the_containers_end_ends_every_session() {
    need!(userns, shell);
    for flags in ["", "--init", "--pid host"] {
        let sandbox = sandbox(flags);
        let begin = "trap '' TERM INT HUP; exec sleep 613";
        let mut sessions: Vec<_> = (0..3)
            .map(|_| sandbox.runr(["exec", "c", "sh", "-c", begin]).limit(Duration::from_secs(30)).spawn())
            .collect();
        // Registered is not enough: one that is still being set up when the container ends has no status of its own.
        // Among the host's processes their clients are seen, too.
        let seen = if flags == "--pid host" { 6 } else { 3 };
        until("three sessions", || processes(&sandbox).matches("sleep 613").count() == seen);
        assert_eq!(exec_ids(&sandbox).matches("\",\"").count(), 2);
        assert!(sessions.iter_mut().all(|s| s.is_running()));
        sandbox.line("rm -f c").output().ok();
        for session in sessions {
            assert_eq!(session.wait().code(), 137, "{flags}");
        }
    }
}

#[test]
fn a_terminal_works_and_is_restored() {
    need!(userns, shell);
    let sandbox = sandbox("");
    let mut terminal = Pty::start(sandbox.line("exec -it c sh"));
    let before = terminal.settings();
    terminal.send("stty size; echo mark$((40+2))\n");
    terminal.expect("24 80");
    terminal.expect("mark42");
    terminal.resize(100, 30);
    terminal.signal(Signal::SIGWINCH);
    until("the new size", || {
        terminal.send("stty size\n");
        std::thread::sleep(Duration::from_millis(100));
        terminal.seen().contains("30 100")
    });
    // Ctrl-C reaches what runs in the foreground, not the shell and not runr.
    terminal.send("sleep 500\n");
    until("the process", || processes(&sandbox).contains("500"));
    terminal.send("\u{3}");
    terminal.send("echo after$?\n");
    terminal.expect("after130");
    terminal.send("exit 9\n");
    assert_eq!(terminal.wait(), 9);
    drop(before);
}

#[test]
fn detach_keys_leave_the_command_to_itself() {
    need!(userns, shell);
    let sandbox = sandbox("");
    let mut terminal = Pty::start(sandbox.line("exec -it --detach-keys ctrl-x,x c sh -c").arg("echo up; sleep 300"));
    terminal.expect("up");
    terminal.send("\u{18}x");
    assert_eq!(terminal.wait(), 0);
    // In the midst of its execve a process has no command line.
    until("the command", || processes(&sandbox).contains("sleep 300"));
    assert_eq!(exec_ids(&sandbox).matches('"').count(), 2);
    let refused = sandbox.line("exec -it --detach-keys nonsense c sh").output().fails(125);
    assert!(refused.starts_with("runr: invalid detach keys `nonsense`"), "{refused}");
}

/// Each takes some of the monitor's descriptors; what runs in the container keeps its starter's limit.
#[test]
fn more_at_once_than_a_low_limit_of_descriptors_allows() {
    need!(userns, shell);
    let sandbox = sandbox("");
    let script = "ulimit -S -n 100
        runr run -d --name low --network none busybox sh -c 'ulimit -S -n; exec sleep 1000' >/dev/null
        for i in $(seq 40); do (runr exec low sleep 2 || echo failed) & done; wait
        runr logs low; runr exec low sh -c 'ulimit -S -n'";
    assert_eq!(sandbox.sh(script).limit(Duration::from_secs(60)).output().ok(), "100\n100\n");
}

/// Whoever leaves closes its streams. To the one who writes all the time that is no end of a pipeline.
#[test]
fn detaching_from_one_who_writes_does_not_end_it() {
    need!(userns, shell);
    let sandbox = sandbox("");
    let writes = "while :; do echo up; done";
    for round in 0..5 {
        let name = format!("w{round}");
        let start = [
            format!("run -it --network none --name {name} --detach-keys ctrl-x,x busybox sh -c"),
            format!("exec -it --detach-keys ctrl-x,x {name} sh -c"),
        ];
        for line in start {
            let mut terminal = Pty::start(sandbox.line(&line).arg(writes));
            terminal.expect("up");
            terminal.send("\u{18}x");
            assert_eq!(terminal.wait(), 0);
        }
        let mut terminal = Pty::start(sandbox.line(&format!("attach --detach-keys ctrl-x,x {name}")));
        terminal.expect("up");
        terminal.send("\u{18}x");
        assert_eq!(terminal.wait(), 0);
        let alive = sandbox.line(&format!("inspect {name} --format")).arg("{{.State.Status}} {{len .ExecIDs}}");
        assert_eq!(alive.output().ok(), "running 1\n");
        sandbox.line(&format!("rm -f -t 0 {name}")).output().ok();
    }
}

#[test]
fn many_at_once() {
    need!(userns, shell);
    let sandbox = sandbox("");
    let script = "for i in $(seq 60); do (runr exec c echo $i || echo failed) & done; wait";
    let out = sandbox.sh(script).limit(Duration::from_secs(120)).output().ok();
    let mut numbers: Vec<u32> = out.lines().map(|l| l.parse().expect("a number, not a failure")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=60).collect::<Vec<_>>());
    // While the container is removed: each ends, with a status.
    let script =
        "for i in $(seq 30); do (runr exec c sleep 20; echo $?) & done; sleep 0.1; runr rm -f c >/dev/null; wait";
    let out = sandbox.sh(script).limit(Duration::from_secs(60)).output();
    assert_eq!(out.stdout.lines().count(), 30);
    assert!(out.stdout.lines().all(|l| matches!(l, "137" | "125" | "255")), "{}\n{}", out.stdout, out.stderr);
}
