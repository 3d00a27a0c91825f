//! `runr logs` and what is behind it: every byte, in every format, for readers before, during and after the container.

use crate::support::{Run, Running, Sandbox, pty::Pty, until};
use std::path::Path;
use std::time::Duration;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox
}

/// A container that runs a script in the background.
fn start(sandbox: &Sandbox, name: &str, flags: &str, script: &str) {
    let run = sandbox.runr(["run", "-d", "--network", "none", "--name", name]).args(flags.split_whitespace());
    run.args(["busybox", "sh", "-c", script]).output().ok();
}

/// The same, run to its end.
fn ended(sandbox: &Sandbox, name: &str, flags: &str, script: &str) {
    start(sandbox, name, flags, script);
    sandbox.runr(["wait", name]).output().ok();
}

fn logs(sandbox: &Sandbox, args: &str) -> Run {
    sandbox.line(&format!("logs {args}"))
}

/// Stdout and stderr of `logs`.
#[track_caller]
fn streams(sandbox: &Sandbox, args: &str) -> (String, String) {
    let out = logs(sandbox, args).output().checked();
    (out.stdout, out.stderr)
}

#[test]
fn every_byte_comes_back_on_its_stream() {
    need!(userns, shell);
    let sandbox = sandbox();
    // All bytes, a line without an end, one longer than any buffer, and an empty one.
    let script = "printf 'a\\0b\\377\\303\\n\\n\\r\\n'; printf 'err\\n' >&2; \
                  i=0; while [ $i -lt 12 ]; do l=${l-x}${l-x}; i=$((i+1)); done; \
                  i=0; while [ $i -lt 50 ]; do printf '%s' \"$l\"; i=$((i+1)); done; printf '\\ncaf\\303\\251 end'";
    let mut expected = b"a\0b\xff\xc3\n\n\r\n".to_vec();
    expected.extend(vec![b'x'; 4096 * 50]);
    expected.extend("\ncafé end".as_bytes());
    for (name, driver) in [("k", "k8s-file"), ("j", "json-file"), ("l", "local")] {
        ended(&sandbox, name, &format!("--log-driver {driver}"), script);
        let out = logs(&sandbox, name).output().checked();
        assert!(out.bytes == expected, "{driver}: {} bytes", out.bytes.len());
        assert_eq!(out.stderr, "err\n", "{driver}");
        // A second run goes on where the first stopped.
        sandbox.runr(["start", "-a", name]).output().ok();
        let out = logs(&sandbox, name).output().checked();
        assert!(out.bytes == [&expected[..], &expected[..]].concat(), "{driver}: two runs");
    }
}

#[test]
fn the_foreground_and_terminals_are_logged_too() {
    need!(userns, shell);
    let sandbox = sandbox();
    let run = |name: &str, flags: &[&str]| {
        let run =
            sandbox.runr(["run", "--name", name]).args(flags).args(["busybox", "sh", "-c", "echo out; echo err >&2"]);
        run.output().ok()
    };
    assert_eq!(run("fg", &[]), "out\n");
    assert_eq!(streams(&sandbox, "fg"), ("out\n".into(), "err\n".into()));
    run("tty", &["-t"]);
    assert_eq!(streams(&sandbox, "tty"), ("out\r\nerr\r\n".into(), String::new()));
}

#[test]
fn lines_and_times_choose() {
    need!(userns, shell);
    let sandbox = sandbox();
    ended(&sandbox, "a", "", "for i in 1 2 3; do echo $i; sleep 0.1; done; echo e >&2; sleep 0.1; printf 4");
    let all = streams(&sandbox, "a");
    assert_eq!(all, ("1\n2\n3\n4".into(), "e\n".into()));
    for (args, out, err) in [
        ("-n 1 a", "4", ""),
        ("-n 2 a", "4", "e\n"),
        ("--tail=3 a", "3\n4", "e\n"),
        ("--tail 0 a", "", ""),
        ("--tail -1 a", "1\n2\n3\n4", "e\n"),
        ("--tail all a", "1\n2\n3\n4", "e\n"),
        ("--since 1h a", "1\n2\n3\n4", "e\n"),
        ("--until 1h a", "", ""),
        ("--until 0s a", "1\n2\n3\n4", "e\n"),
        ("--since 2020-01-01 --until 2020-01-02T10:00 a", "", ""),
        ("--since 1577836800.5 a", "1\n2\n3\n4", "e\n"),
        ("--latest", "1\n2\n3\n4", "e\n"),
        ("-l -n 1", "4", ""),
    ] {
        assert_eq!(streams(&sandbox, args), (out.to_owned(), err.to_owned()), "{args}");
        assert_eq!(sandbox.line(&format!("container logs {args}")).output().ok(), out, "{args}");
    }
    let (stamped, _) = streams(&sandbox, "-t a");
    let times: Vec<&str> = stamped.lines().map(|l| l.split_once(' ').unwrap().0).collect();
    assert_eq!(times.len(), 4);
    assert!(times.iter().all(|t| t.len() == 30 && t.ends_with('Z') && t.as_bytes()[10] == b'T'), "{stamped}");
    assert!(times.is_sorted());
    assert_eq!(streams(&sandbox, &format!("--since {} a", times[1])).0, "2\n3\n4", "both ends are included");
    assert_eq!(streams(&sandbox, &format!("--until {} a", times[1])).0, "1\n2\n");
    assert_eq!(streams(&sandbox, &format!("--since {0} --until {0} a", times[2])).0, "3\n");
}

#[test]
fn several_containers_are_told_apart() {
    need!(userns, shell);
    let sandbox = sandbox();
    ended(&sandbox, "a", "", "echo 1; printf 2");
    ended(&sandbox, "b", "", "echo 3; sleep 0.1; echo 4 >&2");
    assert_eq!(streams(&sandbox, "--names a b"), ("a 1\na 2\nb 3\n".into(), "b 4\n".into()));
    let id = sandbox.line("inspect -f {{.Id}} b").output().ok();
    let short = &id[..12];
    assert_eq!(streams(&sandbox, "-n 1 b b").1, format!("{short} 4\n{short} 4\n"), "ids unless names are asked for");
    assert_eq!(streams(&sandbox, "--names b").0, "3\n", "one container needs no name");
    let (out, err) = streams(&sandbox, "--color --names a b");
    assert_eq!(out, "\x1b[37ma 1\x1b[0m\n\x1b[37ma 2\x1b[0m\n\x1b[31mb 3\x1b[0m\n");
    assert_eq!(err, "\x1b[31mb 4\x1b[0m\n");
    assert_eq!(streams(&sandbox, "--names b a").0, "b 3\na 1\na 2", "what ends nowhere ends so");
    assert!(streams(&sandbox, "--color a").0.ends_with("m2\x1b[0m"));
    start(&sandbox, "c", "", "printf be; sleep 1; echo gin");
    start(&sandbox, "d", "", "sleep 0.5; echo between");
    let (out, _) = streams(&sandbox, "-f --names c d");
    assert_eq!(out, "c be\nd between\nc gin\n", "a line that is interrupted goes on as another one");
    let stderr = logs(&sandbox, "a nosuch").output().fails(125);
    assert_eq!(stderr, "runr: no such container: nosuch\n");
}

#[test]
fn details_are_what_was_chosen() {
    need!(userns, shell);
    let sandbox = sandbox();
    let flags = "--log-opt labels=app,none --log-opt env=MODE --label app=a,b --label x=y -e MODE=fast";
    for driver in ["k8s-file", "json-file"] {
        ended(&sandbox, driver, &format!("{flags} --log-driver {driver}"), "echo hi");
        assert_eq!(streams(&sandbox, &format!("--details {driver}")).0, "MODE=fast,app=a%2Cb hi\n");
    }
    ended(&sandbox, "plain", "", "echo hi");
    let flags = "--label app=a --label apt=b --label c=d -e M1=1 -e M2=2 -e OTHER=3";
    let options = "--log-opt labels-regex=^ap --log-opt env-regex=^M[0-9]$ --log-opt env=OTHER";
    ended(&sandbox, "regex", &format!("{flags} {options}"), "echo hi");
    assert_eq!(streams(&sandbox, "--details regex").0, "M1=1,M2=2,OTHER=3,app=a,apt=b hi\n");
    assert_eq!(streams(&sandbox, "--details plain").0, " hi\n", "as docker prints it");
}

#[test]
fn following_ends_with_the_container_and_misses_nothing() {
    need!(userns, shell);
    let sandbox = sandbox();
    let counted = |n: u32| (1..=n).map(|i| format!("{i}\n")).collect::<String>();
    start(&sandbox, "slow", "", "i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo $i; sleep 0.03; done");
    assert_eq!(streams(&sandbox, "-f slow").0, counted(20));
    assert_eq!(streams(&sandbox, "-f slow").0, counted(20), "of a stopped one: what there is");
    // Small files, changed many times while they are followed; the container is removed as soon as it has ended.
    let flags = "--rm --log-opt max-size=2k --log-opt max-file=500";
    let script = "read x </go; i=0; while [ $i -lt 5000 ]; do i=$((i+1)); echo $i; done; sleep 0.2";
    let go = sandbox.path("go");
    nix::unistd::mkfifo(&go, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    start(&sandbox, "fast", &format!("{flags} -v {}:/go", go.display()), script);
    let follower = logs(&sandbox, "-f fast").spawn();
    let tail = logs(&sandbox, "-f --tail 0 fast").spawn();
    // Both wait for the log to come before there is anything in it.
    let waits = |follower: &Running| {
        let process = format!("/proc/{}", follower.pid());
        let fds = std::fs::read_dir(format!("{process}/fd")).unwrap();
        let watches =
            fds.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == Path::new("anon_inode:inotify")));
        watches && std::fs::read_to_string(format!("{process}/stat")).unwrap().contains(") S ")
    };
    until("the followers", || waits(&follower) && waits(&tail));
    std::fs::write(&go, "x\n").unwrap();
    for follower in [follower, tail] {
        let out = follower.wait().ok();
        assert!(out == counted(5000), "{} lines, {:?} the first", out.lines().count(), out.lines().next());
    }
}

#[test]
fn following_goes_on_across_restarts() {
    need!(userns, shell);
    let sandbox = sandbox();
    start(&sandbox, "again", "--restart on-failure:2", "echo run; sleep 0.2; exit 3");
    assert_eq!(streams(&sandbox, "-f again").0, "run\n".repeat(3));
    start(&sandbox, "asked", "", "echo begin; trap 'exit 0' TERM; while :; do sleep 0.05; done");
    let follower = logs(&sandbox, "-f asked").spawn();
    sandbox.line("restart asked").output().ok();
    sandbox.line("stop asked").output().ok();
    assert_eq!(follower.wait().ok(), "begin\nbegin\n");
}

#[test]
fn following_several_ends_with_the_last() {
    need!(userns, shell);
    let sandbox = sandbox();
    start(&sandbox, "a", "", "echo a1; sleep 0.2; echo a2");
    start(&sandbox, "b", "", "echo b1; sleep 0.5; echo b2");
    let (out, _) = streams(&sandbox, "-f --names a b");
    let mut lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.last(), Some(&"b b2"));
    lines.sort_unstable();
    assert_eq!(lines, ["a a1", "a a2", "b b1", "b b2"]);
}

#[test]
fn following_ends_when_it_should_and_sleeps_until_then() {
    need!(userns, shell);
    let sandbox = sandbox();
    start(&sandbox, "idle", "", "echo one; echo two; exec sleep 1000");
    // The reader has heard enough, whether or not anything more is said.
    let script = "{ runr logs -f idle; echo $? >\"$TMPDIR/status\"; } | head -n 1; cat \"$TMPDIR/status\"";
    assert_eq!(sandbox.sh(script).output().ok(), "one\n0\n");
    assert_eq!(streams(&sandbox, "-f --until -0.3s idle").0, "one\ntwo\n", "a time to come");
    assert_eq!(streams(&sandbox, "-f --until 1h idle").0, "", "a time that is over");
    let mut follower = logs(&sandbox, "-f idle").spawn();
    std::thread::sleep(Duration::from_millis(200));
    let switches = |pid: i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let counts = status.lines().filter(|l| l.contains("ctxt_switches:"));
        counts.map(|l| l.split_whitespace().last().unwrap().parse::<u64>().unwrap()).sum::<u64>()
    };
    let before = switches(follower.pid().as_raw());
    std::thread::sleep(Duration::from_millis(500));
    let woken = switches(follower.pid().as_raw()) - before;
    assert!(woken < 10, "{woken} times awake while nothing happened");
    assert!(follower.is_running());
    sandbox.line("kill idle").output().ok();
    assert_eq!(follower.wait().ok(), "one\ntwo\n");
}

#[test]
fn a_killed_monitor_ends_followers_and_costs_no_line() {
    need!(userns, shell);
    let sandbox = sandbox();
    start(&sandbox, "a", "", "echo one; echo two; exec sleep 1000");
    let follower = logs(&sandbox, "-f a").spawn();
    std::thread::sleep(Duration::from_millis(300));
    let pid = sandbox.line("inspect -f {{.State.Pid}} a").output().ok();
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
    let monitor = status.lines().find_map(|l| l.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(monitor), nix::sys::signal::Signal::SIGKILL).unwrap();
    assert_eq!(follower.wait().ok(), "one\ntwo\n");
    // Half a record, as a power cut leaves it, then another run.
    let path = sandbox.line("inspect -f {{.LogPath}} a").output().ok();
    let mut log = std::fs::OpenOptions::new().append(true).open(path.trim()).unwrap();
    std::io::Write::write_all(&mut log, b"2026-01-01T00:00:00.0").unwrap();
    assert_eq!(streams(&sandbox, "a").0, "one\ntwo\n");
    sandbox.line("start a").output().ok();
    let wait = "until [ $(runr logs a | wc -l) = 4 ]; do sleep 0.05; done";
    sandbox.sh(wait).limit(Duration::from_secs(20)).output().ok();
    assert_eq!(streams(&sandbox, "a").0, "one\ntwo\none\ntwo\n");
    sandbox.line("rm -f a").output().ok();
}

#[test]
fn a_log_that_cannot_be_written_is_not_the_containers_problem() {
    need!(userns, shell);
    let sandbox = sandbox();
    let run =
        sandbox.line("run --name full --log-opt path=/dev/full busybox sh -c").arg("echo one; echo two >&2; exit 4");
    let out = run.output();
    assert_eq!((out.code(), out.stdout.as_str(), out.stderr.as_str()), (4, "one\n", "two\n"));
    assert_eq!(streams(&sandbox, "full").0, "");
    let gone = sandbox.path("gone");
    std::fs::create_dir(&gone).unwrap();
    let path = gone.join("x.log");
    let create = format!("create --name gone --log-opt path={} busybox echo hi", path.display());
    sandbox.line(&create).output().ok();
    std::fs::remove_dir(&gone).unwrap();
    std::fs::write(&gone, "").unwrap();
    assert_eq!(sandbox.line("start -a gone").output().ok(), "hi\n");
}

#[test]
fn a_tag_is_a_template_over_the_container() {
    need!(userns, shell);
    let sandbox = sandbox();
    let id = sandbox.line("images -q --no-trunc").output().ok().trim().to_owned();
    let bare = id.trim_start_matches("sha256:");
    let field = |field: &str| sandbox.line("inspect -f").args([field, "t"]).output().ok().trim().to_owned();
    let label = r#"{{index .ContainerLabels "a"}}{{.Config.Labels.a}}"#;
    for (template, tag) in [
        ("{{.FullID}}", "{{.Id}}"),
        ("{{.ID}}", "{{slice .Id 0 12}}"),
        ("{{.Name}}{{.ContainerName}}", "t{{.Name}}"),
        ("{{.ImageFullID}} {{.Image}}", &format!("{id} {bare}")),
        ("{{.ImageID}} {{.ImageName}} {{.DaemonName}}", &format!("{} busybox runr", &bare[..12])),
        (label, "bb"),
        (r#"{{.ImageName | upper}}-{{join .Args " "}}"#, "BUSYBOX--c echo hi"),
        ("{{if .Name}}yes{{else}}no{{end}}, plain", "yes, plain"),
    ] {
        let option = format!("tag={template}");
        let run = sandbox.line("run --name t --network none --label a=b --log-driver json-file --log-opt").arg(&option);
        run.args(["busybox", "sh", "-c", "echo hi"]).output().ok();
        let path = field("{{.LogPath}}");
        let line: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(line["attrs"]["tag"].as_str().unwrap(), field(tag), "{template}");
        sandbox.line("rm t").output().ok();
    }
    for (tag, why) in [
        ("{{.Nam}}", ":1:2: executing \"\" at <.Nam>: map has no entry for key \"Nam\""),
        ("{{.Name", ":1: unclosed action"),
    ] {
        let option = format!("tag={tag}");
        let said = sandbox.line("create --log-opt").args([&option, "busybox", "true"]).output().fails(125);
        assert_eq!(said, format!("runr: log option `tag`: template parsing error: template: {why}\n"));
    }
    assert_eq!(sandbox.line("ps -aq").output().ok(), "");
}

#[test]
fn older_files_may_be_packed() {
    need!(userns, shell);
    let sandbox = sandbox();
    let flags = "--log-driver json-file --log-opt max-size=100k --log-opt max-file=5 --log-opt compress=true";
    let script = "i=0; while [ $i -lt 4000 ]; do echo line $i; i=$((i+1)); done";
    ended(&sandbox, "a", flags, script);
    crate::store::settle(&sandbox);
    let folder = sandbox.line("inspect -f {{.LogPath}} a").output().ok();
    let folder = std::path::Path::new(folder.trim()).parent().unwrap().to_owned();
    let names = || {
        let mut names: Vec<String> =
            std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    // The last one may have become full while the one before was being packed.
    let packed = names().iter().filter(|n| n.ends_with(".gz")).count();
    assert!(packed >= 1 && !names().iter().any(|n| n.ends_with(".part")), "{:?}", names());
    let whole: String = (0..4000).map(|i| format!("line {i}\n")).collect();
    let kept = streams(&sandbox, "a").0;
    assert!(whole.ends_with(&kept) && kept.len() * 2 > whole.len(), "{}", kept.len());
    assert_eq!(logs(&sandbox, "-n 2 a").output().ok(), "line 3998\nline 3999\n");
    let lines = kept.lines().count();
    assert_eq!(logs(&sandbox, &format!("-n {} a", lines - 1)).output().ok(), kept.split_once('\n').unwrap().1);
    // Another program reads them, too.
    let unpacked = sandbox.sh("for f in *.gz; do gzip -dc $f; done | wc -l").cwd(&folder).output().ok();
    assert!(unpacked.trim().parse::<usize>().unwrap() > 100, "{unpacked}");
    // The next run goes on where this one ended.
    sandbox.line("start a").output().ok();
    sandbox.line("wait a").output().ok();
    crate::store::settle(&sandbox);
    assert!(streams(&sandbox, "a").0.ends_with(&whole[whole.len() / 2..]));
    // What is to go goes, with everything.
    sandbox.line("run --rm --network none").args(flags.split(' ')).args(["busybox", "sh", "-c", script]).output().ok();
    for (flags, why) in [
        (
            "compress=true",
            "it needs `max-size`, and a `max-file` of 2 or more\nhint: only files that are full are packed",
        ),
        ("compress=much", "invalid value `much`: use true or false"),
    ] {
        let said = sandbox.line(&format!("create --log-opt {flags} busybox true")).output().fails(125);
        assert_eq!(said, format!("runr: log option `compress`: {why}\n"));
    }
}

/// Who can write to the folder that the user chose for the log gets nothing written elsewhere.
#[test]
fn links_in_the_logs_folder_are_not_packed_through() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.sh("mkdir logs && echo mine > mine").cwd(sandbox.dir()).output().ok();
    let mine = sandbox.path("mine");
    let folder = sandbox.path("logs").display().to_string();
    let script = "cd /logs; for i in 1 2 3 4 5 6 7 8 9; do ln -s $MINE c.log.$i.gz.part; ln -s $MINE c.log.5$i; done; \
                  i=0; while [ $i -lt 4000 ]; do echo line $i; i=$((i+1)); done";
    let options = "--log-opt max-size=10k --log-opt max-file=1000 --log-opt compress=true";
    let run =
        sandbox.line(&format!("run --name c --network none -v {folder}:/logs {options} --log-opt path={folder}/c.log"));
    run.arg("-e").arg(format!("MINE={}", mine.display())).args(["busybox", "sh", "-c", script]).output().ok();
    crate::store::settle(&sandbox);
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "mine\n");
    let found =
        sandbox.sh("for f in *.gz; do [ -f $f ] && gzip -dc $f; done | grep -c mine; true").cwd(sandbox.path("logs"));
    assert_eq!(found.output().ok(), "0\n");
}

#[test]
fn settings_are_checked_first_and_shown() {
    need!(userns, shell);
    let sandbox = sandbox();
    for (flags, message) in [
        (
            "--log-driver syslog",
            "invalid log driver `syslog`\nhint: use k8s-file, json-file, journald, none or passthrough",
        ),
        (
            "--log-opt shiny=1",
            "invalid log option `shiny`\nhint: use max-size, max-file, compress, path, tag, label, labels-regex, env, env-regex or mode",
        ),
        ("--log-opt max-size=big", "log option `max-size`: invalid size `big`: use a number with k, m or g"),
        (
            "--log-opt path=/nonexistent/x",
            "log option `path`: look at `/nonexistent`: No such file or directory (ENOENT)",
        ),
    ] {
        let stderr = sandbox.line(&format!("create --name bad {flags} busybox true")).output().fails(125);
        assert_eq!(stderr, format!("runr: {message}\n"));
    }
    assert_eq!(sandbox.line("ps -aq").output().ok(), "", "nothing was made");
    let path = sandbox.path("own.log");
    // A relative path is the caller's.
    sandbox.line("create --name own --log-opt path=own.log busybox true").cwd(sandbox.dir()).output().ok();
    let place = sandbox.line("inspect -f {{.LogPath}} own").output().ok();
    assert_eq!(place.trim(), sandbox.path("own.log").to_str().unwrap());
    let flags =
        format!("--log-driver json-file --log-opt max-size=10m --log-opt tag=t --log-opt path={}", path.display());
    ended(&sandbox, "given", &flags, "echo hi");
    let config = sandbox.line("inspect -f").args(["{{json .HostConfig.LogConfig}}", "given"]).output().ok();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!((config["Type"].as_str(), config["Size"].as_str()), (Some("json-file"), Some("10MB")));
    assert_eq!((config["Path"].as_str(), config["Tag"].as_str()), (path.to_str(), Some("t")));
    assert_eq!(config["Config"]["max-size"], "10m");
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("{\"log\":\"hi\\n\",\"stream\":\"stdout\","));
    ended(&sandbox, "none", "--log-driver none", "echo hi");
    let stderr = logs(&sandbox, "none").output().fails(125);
    assert_eq!(stderr, "runr: container `none` uses the log driver `none`, which keeps no output\n");
    assert_eq!(sandbox.line("inspect -f {{.LogPath}} none").output().ok(), "\n");
    ended(&sandbox, "silent", "", "true");
    assert_eq!(streams(&sandbox, "silent"), (String::new(), String::new()));
}

#[test]
fn passthrough_gives_the_callers_own_descriptors() {
    need!(userns, shell);
    let sandbox = sandbox();
    let file = sandbox.write("in", "typed\n");
    let script = format!(
        "runr run --rm --log-driver passthrough busybox sh -c 'readlink /proc/self/fd/1; cat; echo err >&2' \
         <{} >{} 2>{}",
        file.display(),
        sandbox.path("out").display(),
        sandbox.path("err").display()
    );
    sandbox.sh(&script).output().ok();
    let out = std::fs::read_to_string(sandbox.path("out")).unwrap();
    let (link, rest) = out.split_once('\n').unwrap();
    assert!(link.ends_with("/out"), "{link}");
    assert_eq!((rest, std::fs::read_to_string(sandbox.path("err")).unwrap().as_str()), ("typed\n", "err\n"));
    // Also when it is left to itself: the pipe is open until the container has ended.
    let out = sandbox
        .line("run -d --name bg --log-driver passthrough busybox sh -c")
        .arg("sleep 0.2; echo later")
        .output()
        .ok();
    assert!(out.ends_with("\nlater\n"), "{out}");
    let stderr = logs(&sandbox, "bg").output().fails(125);
    assert_eq!(stderr, "runr: container `bg` uses the log driver `passthrough`, which keeps no output\n");
    sandbox.line("run --rm -t --log-driver passthrough busybox true").output().fails(125);
    sandbox.line("run --rm -a stdout --log-driver passthrough busybox true").output().fails(125);
}

#[test]
fn a_terminal_is_not_passed_through() {
    need!(userns, shell);
    let sandbox = sandbox();
    let mut pty = Pty::start(sandbox.line("run --rm --log-driver passthrough busybox echo hi"));
    pty.expect("the log driver `passthrough` cannot be used on a terminal");
    assert_eq!(pty.wait(), 125);
}

#[test]
fn mistakes_are_named() {
    let sandbox = Sandbox::new();
    for (args, message) in [
        ("", "logs: specify at least one container name or id\nhint: see `runr logs --help`"),
        ("-l x", "logs: --latest and containers cannot be used together"),
        ("--tail few x", "--tail: invalid number of lines `few`: use a number or all"),
        ("x", "no such container: x"),
    ] {
        assert_eq!(logs(&sandbox, args).output().fails(125), format!("runr: {message}\n"));
    }
    let stderr = logs(&sandbox, "--since soon x").output().fails(125);
    assert!(stderr.starts_with("runr: --since: invalid time `soon`\nhint: "), "{stderr}");
}
