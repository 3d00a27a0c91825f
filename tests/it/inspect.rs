//! `inspect` of what lives: state, sessions, sizes, and the forms of the document.

use crate::support::Sandbox;
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_document_follows_the_container() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let ask = |format: &str| sandbox.runr(["inspect", "-f", format, "c"]).output().ok().trim_end().to_owned();
    sandbox
        .line("create --name c --network none --restart on-failure:2 --stop-timeout 1 busybox sh -c")
        .arg("echo hello; sleep 600")
        .output()
        .ok();
    assert_eq!(ask("{{.State.Status}} {{.State.Pid}} {{.State.StartedAt}}"), "created 0 0001-01-01T00:00:00Z");
    assert_eq!(ask("{{if .State.Health}}has{{else}}no{{end}} {{json .ExecIDs}} {{.RestartCount}}"), "no [] 0");
    sandbox.line("start c").output().ok();
    let pid = ask("{{.State.Pid}}");
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists(), "{pid}");
    assert_eq!(ask("{{.State.Status}} {{.State.Running}} {{.State.ExitCode}}"), "running true 0");
    assert_eq!(ask("{{json .HostConfig.RestartPolicy}}"), r#"{"Name":"on-failure","MaximumRetryCount":2}"#);
    assert_eq!(ask("{{.Config.StopTimeout}} {{.HostConfig.Memory}} {{.HostConfig.LogConfig.Type}}"), "1 0 k8s-file");
    sandbox.sh("until runr logs c | grep -q hello; do sleep 0.1; done").output().ok();
    let log = std::fs::read_to_string(ask("{{.LogPath}}")).unwrap();
    assert!(log.ends_with("hello\n"), "{log}");
    let session = sandbox.line("exec c sleep 600").spawn();
    sandbox.sh("until [ $(runr inspect -f '{{len .ExecIDs}}' c) = 1 ]; do sleep 0.1; done").output().ok();
    sandbox.line("stop -t 0 c").output().ok();
    session.wait().exits(137);
    assert_eq!(ask("{{.State.Status}} {{.State.Running}} {{.State.ExitCode}} {{.State.Pid}}"), "exited false 137 0");
    assert!(!ask("{{.State.FinishedAt}}").starts_with("0001"));
    sandbox.line("rm c").output().ok();
}

#[test]
fn a_paused_container_says_so() {
    need!(userns, shell, cgroup);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox.line("run -d --name c --network none busybox sleep 600").output().ok();
    sandbox.line("pause c").output().ok();
    let state =
        sandbox.runr(["inspect", "-f", "{{.State.Status}} {{.State.Paused}} {{.State.Running}}", "c"]).output().ok();
    assert_eq!(state, "paused true true\n");
    let status = sandbox.line("ps --filter status=paused --format {{.Status}}").output().ok();
    assert!(status.starts_with("Up ") && status.ends_with(" (Paused)\n"), "{status}");
    sandbox.line("unpause c").output().ok();
    sandbox.line("rm -f -t 0 c").output().ok();
}

#[test]
fn health_is_shown_where_docker_shows_it() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox
        .line("run -d --name c --network none --health-interval 1h --health-retries 1 --health-cmd")
        .args(["test -e /well", "busybox", "sleep", "600"])
        .output()
        .ok();
    let status = || sandbox.line("ps --format {{.Status}}|{{.HealthStatus}}").output().ok();
    for (script, verdict) in [("touch /well", "healthy"), ("rm /well", "unhealthy")] {
        sandbox.runr(["exec", "c", "sh", "-c", script]).output().ok();
        drop(sandbox.line("healthcheck run c").output());
        let shown = status();
        assert!(shown.ends_with(&format!(" ({verdict})|{verdict}\n")), "{shown}");
        assert_eq!(
            sandbox.runr(["inspect", "-f", "{{.State.Health.Status}}", "c"]).output().ok(),
            format!("{verdict}\n")
        );
        assert_eq!(sandbox.line(&format!("ps --filter health={verdict} --format {{{{.Names}}}}")).output().ok(), "c\n");
    }
    let log = sandbox.runr(["inspect", "-f", "{{range .State.Health.Log}}{{.ExitCode}}{{end}}", "c"]).output().ok();
    assert!(log.ends_with("1\n"), "{log}");
    sandbox.line("rm -f -t 0 c").output().ok();
}

#[test]
fn which_streams_a_container_was_made_for() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let format =
        "{{with .Config}}{{.AttachStdin}} {{.AttachStdout}} {{.AttachStderr}} {{.OpenStdin}} {{.StdinOnce}}{{end}}";
    // As docker's command line asks its daemon for it.
    for (flags, expected) in [
        ("run", "false true true false false"),
        ("run -i", "true true true true true"),
        ("run -i -a stdout", "false true false true false"),
        ("run -d", "false false false false false"),
        ("run -di", "false false false true false"),
        ("create", "false true true false false"),
        ("create -i", "true true true true true"),
        ("create -a stdin -a stderr", "true false true false false"),
    ] {
        sandbox.line(&format!("{flags} --name c --network none busybox true")).output().ok();
        assert_eq!(sandbox.runr(["inspect", "-f", format, "c"]).output().ok(), format!("{expected}\n"), "{flags}");
        // It stays so, whoever starts it.
        sandbox.line("wait c").output().ok();
        sandbox.line("start -a c").output().ok();
        assert_eq!(sandbox.runr(["inspect", "-f", format, "c"]).output().ok(), format!("{expected}\n"), "{flags}");
        sandbox.line("rm -f -t 0 c").output().ok();
    }
}

#[test]
fn forms_and_flags() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox.line("run --network none --name old busybox sh -c").arg("printf 1234 >/file").output().ok();
    sandbox.line("create --name new busybox true").output().ok();
    let plain = sandbox.line("inspect old new").output().ok();
    assert_eq!(json(&plain).as_array().unwrap().len(), 2);
    assert_eq!(sandbox.line("inspect --format json old new").output().ok(), plain, "json is the document");
    let compact = sandbox.runr(["inspect", "--format", "{{json .}}", "old"]).output().ok();
    assert_eq!(compact.lines().count(), 1);
    assert_eq!(json(&compact)["Id"], json(&plain)[0]["Id"]);
    assert_eq!(sandbox.runr(["inspect", "--latest", "-f", "{{.Name}}"]).output().ok(), "/new\n");
    assert_eq!(sandbox.runr(["container", "inspect", "-l", "-f", "{{.Name}}"]).output().ok(), "/new\n");
    let sizes = sandbox.runr(["inspect", "-s", "-f", "{{.SizeRw}} {{gt .SizeRootFs .SizeRw}}", "old"]).output().ok();
    assert_eq!(sizes, "4 true\n");
    assert!(json(&plain)[0].get("SizeRw").is_none());
    let e = sandbox.line("inspect --latest old").output().fails(125);
    assert_eq!(e, "runr: inspect: names cannot be used together with --latest\n");
    let arch = sandbox.runr(["image", "inspect", "-f", "{{.Os}}/{{.Architecture}}", "busybox"]).output().ok();
    assert_eq!(
        sandbox.runr(["image", "inspect", "--platform", arch.trim(), "-f", "{{.Os}}", "busybox"]).output().ok(),
        "linux\n"
    );
    let e = sandbox.line("image inspect --platform linux/s390x busybox").output().fails(125);
    assert_eq!(e, "runr: image `busybox` is not for platform `linux/s390x`\n");
    sandbox.line("rm old new").output().ok();
}

#[test]
fn whether_something_exists_is_the_exit_status() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let id = sandbox.line("create --name c busybox true").output().ok();
    for (args, code) in [
        ("container exists c", 0),
        (&*format!("container exists {}", &id[..10]), 0),
        ("container exists --external c", 0),
        ("container exists nothing", 1),
        ("container exists a/b", 1),
        ("image exists busybox", 0),
        ("image exists busybox:nothing", 1),
        ("image exists NO:such:name", 1),
        ("port c", 0),
        ("port --all", 0),
        ("port c 80", 125),
        ("port c 80/http", 125),
        ("port nothing", 125),
        ("container exists", 125),
    ] {
        assert_eq!(sandbox.line(args).output().exits(code), "", "{args}");
    }
    let e = sandbox.line("port c 80").output().fails(125);
    assert_eq!(e, "runr: no public port `80/tcp` published for `c`\n");
    sandbox.line("rm c").output().ok();
}
