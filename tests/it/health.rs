//! Health checks: verdicts, what they lead to, and where they show.

use crate::support::{ImageBuilder, Sandbox, base_layer};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The check of most tests: well while there is a file, and it says something.
const CHECK: &str = "echo seen; echo bad >&2; test -e /tmp/ok";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox
}

/// Starts `c` with these flags (one word each) and a command that waits.
#[track_caller]
fn start(sandbox: &Sandbox, flags: &[&str], script: &str) {
    let run = sandbox.line("run -d --name c --network none").args(flags);
    run.args(["busybox", "sh", "-c", script]).output().ok();
}

/// A value of `inspect c`.
#[track_caller]
fn inspect(sandbox: &Sandbox, path: &str) -> Value {
    let format = format!("{{{{json {path}}}}}");
    let out = sandbox.runr(["inspect", "c", "--format", &format]).output().ok();
    serde_json::from_str(&out).unwrap()
}

/// Waits until `inspect` shows a verdict.
#[track_caller]
fn until_status(sandbox: &Sandbox, wanted: &str) {
    let begin = Instant::now();
    loop {
        let now = inspect(sandbox, ".State.Health.Status");
        if now == wanted {
            return;
        }
        let health = || inspect(sandbox, ".State");
        assert!(begin.elapsed() < Duration::from_secs(30), "not {wanted} within 30 s: {}", health());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until `c` has ended; returns its status.
#[track_caller]
fn ended(sandbox: &Sandbox) -> u64 {
    let begin = Instant::now();
    while inspect(sandbox, ".State.Status") != "exited" {
        assert!(begin.elapsed() < Duration::from_secs(30), "{}", inspect(sandbox, ".State"));
        std::thread::sleep(Duration::from_millis(20));
    }
    inspect(sandbox, ".State.ExitCode").as_u64().unwrap()
}

/// What `ps` shows of `c`.
fn shown(sandbox: &Sandbox) -> String {
    sandbox.runr(["ps", "-a", "--format", "{{.Status}}"]).output().ok().trim().to_owned()
}

#[test]
fn a_container_becomes_healthy_and_unhealthy() {
    need!(userns, shell);
    let sandbox = sandbox();
    let flags = ["--health-cmd", CHECK, "--health-interval", "100ms", "--health-retries", "2"];
    start(&sandbox, &flags, "touch /tmp/ok; sleep 1000");
    until_status(&sandbox, "healthy");
    assert!(shown(&sandbox).ends_with("(healthy)"), "{}", shown(&sandbox));
    let log = inspect(&sandbox, ".State.Health.Log");
    let last = log.as_array().unwrap().last().unwrap();
    assert_eq!((&last["ExitCode"], last["Output"].as_str().unwrap().lines().count()), (&json!(0), 2), "{last}");
    assert!(last["Start"].as_str() < last["End"].as_str(), "{last}");
    sandbox.line("exec c rm /tmp/ok").output().ok();
    until_status(&sandbox, "unhealthy");
    assert!(shown(&sandbox).ends_with("(unhealthy)"), "{}", shown(&sandbox));
    assert!(inspect(&sandbox, ".State.Health.FailingStreak").as_u64().unwrap() >= 2);
    sandbox.line("exec c touch /tmp/ok").output().ok();
    until_status(&sandbox, "healthy");
    assert_eq!(inspect(&sandbox, ".State.Health.FailingStreak"), 0);
    // No session of the check's is anybody's business.
    assert_eq!(inspect(&sandbox, ".ExecIDs"), json!([]));
    let config = json!({"Test": ["CMD-SHELL", CHECK], "Interval": 100_000_000, "Timeout": 0, "StartPeriod": 0,
        "StartInterval": 0, "Retries": 2});
    assert_eq!(inspect(&sandbox, ".Config.Healthcheck"), config);
    let events = sandbox.line("events --stream=false --since 10m --filter event=health_status").output().ok();
    let verdicts = events.lines().filter_map(|l| l.split("health_status: ").nth(1)?.split(' ').next());
    let verdicts: Vec<&str> = verdicts.collect();
    assert_eq!(verdicts, ["healthy", "unhealthy", "healthy"], "{events}");
}

#[test]
fn on_request_it_answers_by_its_status() {
    need!(userns, shell);
    let sandbox = sandbox();
    let flags = ["--health-cmd", CHECK, "--health-interval", "disable", "--health-retries", "2"];
    start(&sandbox, &flags, "sleep 1000");
    let check = |code: i32, said: &str| {
        let out = sandbox.line("healthcheck run c").output();
        assert_eq!((out.code(), out.stdout.as_str(), out.stderr.as_str()), (code, said, ""));
        inspect(&sandbox, ".State.Health.Status")
    };
    assert_eq!(inspect(&sandbox, ".State.Health"), json!({"Status": "starting", "FailingStreak": 0, "Log": []}));
    assert!(shown(&sandbox).contains("starting"), "{}", shown(&sandbox));
    assert_eq!(check(1, "unhealthy\n"), "starting");
    assert_eq!(check(1, "unhealthy\n"), "unhealthy");
    sandbox.line("exec c touch /tmp/ok").output().ok();
    assert_eq!(check(0, ""), "healthy");
    assert_eq!(inspect(&sandbox, ".State.Health.Log").as_array().unwrap().len(), 3);
    for _ in 0..4 {
        check(0, "");
    }
    assert_eq!(inspect(&sandbox, ".State.Health.Log").as_array().unwrap().len(), 5, "the last five are kept");
    // Two at once share one check.
    let both = "runr healthcheck run c & runr healthcheck run c & wait $! && echo fine";
    assert_eq!(sandbox.sh(both).output().ok(), "fine\n");
    sandbox.line("run -d --name plain --network none busybox sleep 1000").output().ok();
    for (name, text) in [
        ("plain", "runr: check health of `plain`: the container has no health check\n"),
        ("nosuch", "runr: no such container: nosuch\n"),
    ] {
        assert_eq!(sandbox.runr(["healthcheck", "run", name]).output().fails(125), text);
    }
    let pid = inspect(&sandbox, ".State.Pid").as_i64().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    ended(&sandbox);
    let text = sandbox.line("healthcheck run c").output().fails(125);
    assert!(text.starts_with("runr: container `c` is not running\n"), "{text}");
}

#[test]
fn an_image_may_bring_a_check() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let check = json!({"Test": ["CMD", "test", "-e", "/tmp/ok"], "Interval": 100_000_000, "Retries": 1});
    let image = ImageBuilder::new()
        .layer(&base_layer())
        .config("Env", json!(["PATH=/usr/bin:/bin"]))
        .config("Healthcheck", check);
    let archive = sandbox.path("image.tar");
    image.build().write_docker_archive(&archive, &["checked:latest"]);
    sandbox.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output().ok();
    let run = |flags: &[&str]| {
        let run = sandbox.line("run -d --name c --network none").args(flags);
        run.args(["checked", "sh", "-c", "touch /tmp/ok; sleep 1000"]).output().ok();
    };
    run(&[]);
    until_status(&sandbox, "healthy");
    sandbox.line("rm -f c").output().ok();
    for flags in [&["--no-healthcheck"][..], &["--health-cmd", "none"]] {
        run(flags);
        assert_eq!(inspect(&sandbox, ".State")["Health"], Value::Null, "{flags:?}");
        assert!(!shown(&sandbox).contains('('), "{}", shown(&sandbox));
        sandbox.line("rm -f c").output().ok();
    }
    run(&["--health-cmd", "false"]);
    until_status(&sandbox, "unhealthy");
    assert_eq!(inspect(&sandbox, ".Config.Healthcheck.Test"), json!(["CMD-SHELL", "false"]));
}

#[test]
fn a_check_that_hangs_or_talks_too_much_is_cut() {
    need!(userns, shell);
    let sandbox = sandbox();
    let hang = "echo begin; sleep 77 & sleep 77";
    let flags =
        ["--health-cmd", hang, "--health-interval", "100ms", "--health-timeout", "200ms", "--health-retries", "1"];
    start(&sandbox, &flags, "sleep 1000");
    until_status(&sandbox, "unhealthy");
    let first = &inspect(&sandbox, ".State.Health.Log")[0];
    assert_eq!((&first["ExitCode"], &first["Output"]), (&json!(-1), &json!("Health check exceeded timeout (200ms)")));
    sandbox.line("rm -f c").output().ok();
    let talk = "yes | head -c 1000000; exit 3";
    let flags = ["--health-cmd", talk, "--health-interval", "disable", "--health-max-log-count", "2"];
    start(&sandbox, &flags, "sleep 1000");
    for _ in 0..3 {
        sandbox.line("healthcheck run c").output().fails(1);
    }
    let log = inspect(&sandbox, ".State.Health.Log");
    assert_eq!(log.as_array().unwrap().len(), 2);
    assert_eq!((&log[0]["ExitCode"], log[0]["Output"].as_str().unwrap().len()), (&json!(3), 4096));
    sandbox.line("rm -f c").output().ok();
    let folder = sandbox.path("results");
    std::fs::create_dir(&folder).unwrap();
    let folder = folder.to_str().unwrap();
    let flags = [
        "--health-cmd",
        r#"["/no/such/check"]"#,
        "--health-interval",
        "disable",
        "--health-max-log-size",
        "9",
        "--health-log-destination",
        folder,
    ];
    start(&sandbox, &flags, "sleep 1000");
    sandbox.line("healthcheck run c").output().fails(1);
    let id = inspect(&sandbox, ".Id");
    let path = format!("{folder}/{}-healthcheck.log", id.as_str().unwrap());
    let written: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(written, inspect(&sandbox, ".State.Health"));
}

#[test]
fn failures_in_the_start_period_do_not_count() {
    need!(userns, shell);
    let sandbox = sandbox();
    let flags = [
        "--health-cmd",
        CHECK,
        "--health-interval",
        "1h",
        "--health-retries",
        "1",
        "--health-start-period",
        "1h",
        "--health-start-interval",
        "50ms",
    ];
    start(&sandbox, &flags, "sleep 1000");
    let begin = Instant::now();
    while inspect(&sandbox, ".State.Health.Log").as_array().unwrap().len() < 4 {
        assert!(begin.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(20));
    }
    let health = inspect(&sandbox, ".State.Health");
    assert_eq!((&health["Status"], &health["FailingStreak"]), (&json!("starting"), &json!(0)));
    sandbox.line("exec c touch /tmp/ok").output().ok();
    until_status(&sandbox, "healthy");
    // After the first success they count.
    sandbox.line("exec c rm /tmp/ok").output().ok();
    sandbox.line("healthcheck run c").output().fails(1);
    assert_eq!(inspect(&sandbox, ".State.Health.Status"), "unhealthy");
}

#[test]
fn an_unhealthy_container_is_killed_stopped_or_started_again() {
    need!(userns, shell);
    let sandbox = sandbox();
    let check = ["--health-cmd", "test ! -e /tmp/bad", "--health-interval", "50ms", "--health-retries", "1"];
    let with = |action: &'static str| [&check[..], &["--health-on-failure", action]].concat();
    start(&sandbox, &with("kill"), "sleep 0.2; touch /tmp/bad; sleep 1000");
    assert_eq!(ended(&sandbox), 137);
    sandbox.line("rm c").output().ok();
    start(&sandbox, &with("stop"), "trap 'exit 7' TERM; sleep 0.2; touch /tmp/bad; while :; do sleep 0.1; done");
    assert_eq!(ended(&sandbox), 7);
    sandbox.line("rm c").output().ok();
    // Well at its second start: the file is on the container's own layer, which stays.
    let script = "trap 'exit 0' TERM; [ -e /again ] && rm -f /tmp/bad || { touch /again /tmp/bad; }; while :; do sleep 0.1; done";
    start(&sandbox, &with("restart"), script);
    until_status(&sandbox, "healthy");
    sandbox.line("exec c test -e /again").output().ok();
    sandbox.line("rm -f c").output().ok();
    start(&sandbox, &with("none"), "sleep 0.2; touch /tmp/bad; sleep 1000");
    until_status(&sandbox, "unhealthy");
}

#[test]
fn a_startup_check_comes_first() {
    need!(userns, shell);
    let sandbox = sandbox();
    let flags = [
        "--health-cmd",
        "test -e /tmp/ok",
        "--health-interval",
        "50ms",
        "--health-retries",
        "1",
        "--health-startup-cmd",
        "test -e /tmp/up",
        "--health-startup-interval",
        "50ms",
        "--health-startup-success",
        "2",
    ];
    start(&sandbox, &flags, "sleep 1000");
    let begin = Instant::now();
    while inspect(&sandbox, ".State.Health.Log").as_array().unwrap().len() < 3 {
        assert!(begin.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(inspect(&sandbox, ".State.Health.Status"), "starting", "failures of the start-up check don't count");
    sandbox.line("exec c touch /tmp/up").output().ok();
    until_status(&sandbox, "unhealthy");
    sandbox.line("exec c touch /tmp/ok").output().ok();
    until_status(&sandbox, "healthy");
    sandbox.line("rm -f c").output().ok();
    // One that fails too often starts the container again.
    let flags = [
        "--health-cmd",
        "true",
        "--health-startup-cmd",
        "test -e /again && touch /up",
        "--health-startup-interval",
        "50ms",
        "--health-startup-retries",
        "2",
        "--health-interval",
        "50ms",
    ];
    let script = "trap 'exit 0' TERM; [ -e /first ] && touch /again; touch /first; while :; do sleep 0.1; done";
    start(&sandbox, &flags, script);
    until_status(&sandbox, "healthy");
    sandbox.line("exec c test -e /up").output().ok();
}

#[test]
fn a_running_container_gets_another_check() {
    need!(userns, shell);
    let sandbox = sandbox();
    start(&sandbox, &["--health-cmd", "true", "--health-interval", "50ms"], "sleep 1000");
    until_status(&sandbox, "healthy");
    sandbox.line("update --health-cmd false --health-retries 1 c").output().ok();
    until_status(&sandbox, "unhealthy");
    assert_eq!(inspect(&sandbox, ".Config.Healthcheck.Test"), json!(["CMD-SHELL", "false"]));
    assert_eq!(inspect(&sandbox, ".Config.Healthcheck.Interval"), 50_000_000, "what is not named stays");
    sandbox.line("update --no-healthcheck c").output().ok();
    assert_eq!(inspect(&sandbox, ".State")["Health"], Value::Null);
    sandbox.line("update --health-cmd true c").output().ok();
    until_status(&sandbox, "healthy");
}

#[test]
fn wrong_flags_are_refused() {
    need!(userns, shell);
    let sandbox = sandbox();
    for (flags, text) in [
        ("--health-cmd x --no-healthcheck", "--no-healthcheck and --health-cmd cannot be used together"),
        ("--health-cmd x --health-interval 5x", "--health-interval: invalid duration `5x`"),
        ("--health-cmd x --health-timeout 10us", "--health-timeout: the duration `10us` is shorter than 1ms"),
        ("--health-cmd x --health-retries 0", "--health-retries: must be greater than 0"),
        (
            "--health-cmd x --health-on-failure foo",
            "--health-on-failure: unknown action `foo`: use none, kill, restart or stop",
        ),
        ("--health-startup-interval 3s", "--health-startup-interval needs --health-startup-cmd"),
        ("--health-cmd x --health-log-destination /nosuch", "--health-log-destination: `/nosuch` is not a folder"),
    ] {
        let run = sandbox.line("run --rm").args(flags.split(' ')).args(["busybox", "true"]);
        assert_eq!(run.output().fails(125), format!("runr: {text}\n"), "{flags}");
    }
    // Without a check the rest means nothing, as in docker.
    sandbox.line("run --rm --health-interval 5s --health-cmd= busybox true").output().ok();
}
