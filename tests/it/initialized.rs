//! `runr container init`: everything is set up and the command waits for `start`.

use crate::support::Sandbox;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Write;

/// A sandbox with the container `c`, which is initialized.
fn sandbox(flags: &str, command: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let create = sandbox.line("create --name c --network none").args(flags.split_whitespace());
    create.arg("busybox").args(command).output().ok();
    assert_eq!(sandbox.line("container init c").output().ok(), "c\n");
    sandbox
}

#[track_caller]
fn shown(sandbox: &Sandbox, field: &str) -> String {
    sandbox.runr(["inspect", "c", "--format", &format!("{{{{.State.{field}}}}}")]).output().ok().trim().to_owned()
}

#[test]
fn the_command_waits_for_start() {
    need!(userns, shell);
    let sandbox = sandbox("", &["sh", "-c", "echo ran; cat /flag; sleep 1000"]);
    assert_eq!((shown(&sandbox, "Status"), shown(&sandbox, "Running")), ("initialized".into(), "false".into()));
    assert_ne!(shown(&sandbox, "Pid"), "0");
    assert!(shown(&sandbox, "StartedAt").starts_with("0001-01-01"));
    assert_eq!(sandbox.line("ps -q").output().ok(), "");
    assert_eq!(sandbox.line("ps -a --format {{.Status}}").output().ok(), "Initialized\n");
    assert_eq!(sandbox.line("ps -a --filter status=initialized --format {{.Names}}").output().ok(), "c\n");
    assert_eq!(sandbox.line("logs c").output().ok(), "");
    // What needs a command that runs says so; what needs only the files works.
    for refused in ["container init c", "kill c", "pause c", "attach c", "top c", "init nosuch"] {
        assert!(sandbox.line(refused).output().fails(125).contains("container"), "{refused}");
    }
    sandbox.line("exec c true").output().exits(255);
    assert_eq!(sandbox.line("wait c").output().ok(), "0\n");
    let flag = sandbox.path("flag");
    std::fs::File::create(&flag).unwrap().write_all(b"before\n").unwrap();
    sandbox.runr(["cp"]).arg(&flag).arg("c:/flag").output().ok();
    let pid = shown(&sandbox, "Pid");
    assert_eq!(sandbox.line("start c").output().ok(), "c\n");
    assert_eq!((shown(&sandbox, "Status"), shown(&sandbox, "Pid")), ("running".into(), pid));
    assert_eq!(sandbox.line("start c").output().ok(), "c\n");
    while sandbox.line("logs c").output().ok() != "ran\nbefore\n" {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let events =
        sandbox.line("events --stream=false --since 1h --filter container=c --format {{.Status}}").output().ok();
    assert_eq!(events.split_whitespace().take(4).collect::<Vec<_>>(), ["create", "init", "copy", "start"], "{events}");
    sandbox.line("rm -f -t 0 c").output().ok();
}

#[test]
fn start_may_be_attached_and_restart_is_a_start() {
    need!(userns, shell);
    let sandbox = sandbox("-i", &["sh", "-c", "read x; echo got $x; exit 5"]);
    let started = sandbox.line("start -a -i c").stdin("words\n").output();
    assert_eq!(started.exits(5), "got words\n");
    assert_eq!(shown(&sandbox, "Status"), "exited");
    // One that ended can be initialized again.
    assert_eq!(sandbox.line("init --latest").output().ok().trim().len(), 64);
    assert_eq!(shown(&sandbox, "Status"), "initialized");
    assert_eq!(sandbox.line("restart c").output().ok(), "c\n");
    assert_eq!(shown(&sandbox, "Status"), "running");
    sandbox.line("rm -f -t 0 c").output().ok();
}

#[test]
fn it_may_end_before_it_begins() {
    need!(userns, shell);
    let sandbox = sandbox("--restart always", &["nosuch"]);
    assert_eq!(sandbox.line("stop c").output().ok(), "c\n");
    assert_eq!((shown(&sandbox, "Status"), shown(&sandbox, "ExitCode")), ("exited".into(), "137".into()));
    // The command is looked for when it is started; the restart policy is for what ran.
    sandbox.line("init --all").output().ok();
    let missing = sandbox.line("start c").output().fails(127);
    assert!(missing.contains("`nosuch`"), "{missing}");
    sandbox.line("wait c").output().ok();
    assert_eq!((shown(&sandbox, "Status"), shown(&sandbox, "ExitCode")), ("exited".into(), "127".into()));
    // Its process killed, its monitor killed: nothing is left and it can be used again.
    for victim in ["Pid", "ConmonPid"] {
        sandbox.line("init c").output().ok();
        kill(Pid::from_raw(shown(&sandbox, victim).parse().unwrap()), Signal::SIGKILL).unwrap();
        while shown(&sandbox, "Status") != "exited" {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
    sandbox.line("init c").output().ok();
    assert_eq!(sandbox.line("rm c").output().ok(), "c\n");
    sandbox.line("create --name c --rm busybox true").output().ok();
    sandbox.line("init c").output().ok();
    assert_eq!(sandbox.line("start -a c").output().ok(), "");
    assert_eq!(sandbox.line("ps -aq").output().ok(), "");
}
