//! A person at a terminal: job control inside and outside, full-screen programs, sessions that are left and found again.

use crate::support::{Sandbox, need, pty::Pty};
use std::time::Duration;

/// What is said of `-it` without a terminal.
const NO_TERMINAL: &str = "runr: warning: the input device is not a TTY: -t makes the command believe it is, \
    leave it out unless that is wanted\n";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox
}

fn pause() {
    std::thread::sleep(Duration::from_millis(300));
}

#[test]
fn job_control_works_inside() {
    need!(userns, shell);
    let sandbox = sandbox();
    for flags in ["run --rm -it", "run --rm -it --init"] {
        let mut pty = Pty::start(sandbox.line(flags).args(["--network", "none", "busybox", "sh"]));
        pty.expect("#");
        pty.send("sleep 100\n");
        pause();
        pty.send("\u{1a}");
        pty.expect("Stopped");
        pty.send("jobs | grep -c sl''eep; echo listed\n");
        pty.expect("listed");
        pty.send("fg\n");
        pause();
        pty.send("\u{3}");
        pause();
        pty.send("echo ba''ck; exit 5\n");
        pty.expect("back");
        assert_eq!(pty.wait(), 5, "{flags}");
    }
}

#[test]
fn the_callers_shell_can_stop_and_continue_a_run() {
    need!(userns, shell, tool("bash"));
    let sandbox = sandbox();
    let mut pty = Pty::start(sandbox.command("bash").args(["--norc", "--noprofile", "-i"]));
    pty.send("PS1='ready> '\n");
    pty.expect("ready> ");
    pty.expect("ready> ");
    pty.send("runr run --rm --network none busybox sh -c 'sleep 1; echo do''ne'\n");
    pause();
    pty.send("\u{1a}");
    pty.expect("Stopped");
    pty.send("fg\n");
    pty.expect("done");
    pty.expect("ready> ");
    // Ctrl-C ends a container without a terminal of its own by its signal.
    pty.send("runr run --rm --network none busybox sh -c 'trap \"exit 9\" INT; while :; do sleep 0.05; done'\n");
    pause();
    pause();
    pty.send("\u{3}");
    pty.expect("ready> ");
    pty.send("echo sta''tus $?\n");
    pty.expect("status 9");
    pty.send("exit\n");
    pty.wait();
}

#[test]
fn a_full_screen_program_draws_and_writes() {
    need!(userns, shell, tool("busybox"));
    let sandbox = sandbox();
    let folder = sandbox.path("shared");
    std::fs::create_dir(&folder).unwrap();
    let volume = format!("{}:/shared", folder.display());
    let mut pty = Pty::start(sandbox.runr([
        "run",
        "--rm",
        "-it",
        "--network",
        "none",
        "-v",
        &volume,
        "busybox",
        "vi",
        "/shared/text",
    ]));
    pty.expect("~");
    pty.send("ihello from vi\u{1b}");
    pty.expect("hello");
    pty.resize(60, 20);
    pause();
    pty.send(":wq\n");
    assert_eq!(pty.wait(), 0);
    assert_eq!(std::fs::read_to_string(folder.join("text")).unwrap(), "hello from vi\n");
}

#[test]
fn a_shell_by_exec_has_a_terminal_of_its_own() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("run -d --name c --network none busybox sleep 100").output().ok();
    let mut pty = Pty::start(sandbox.line("exec -it c sh"));
    pty.expect("#");
    pty.resize(99, 31);
    pause();
    pty.send("stty size; tty\n");
    pty.expect("31 99");
    pty.expect("/dev/pts/");
    pty.send("sleep 100\n");
    pause();
    pty.send("\u{3}");
    pause();
    pty.send("exit 6\n");
    assert_eq!(pty.wait(), 6);
    assert_eq!(sandbox.line("inspect -f {{.State.Running}} c").output().ok(), "true\n");
    sandbox.line("rm -f -t 0 c").output().ok();
}

#[test]
fn a_closed_terminal_leaves_a_detached_container_alone() {
    need!(userns, shell);
    let sandbox = sandbox();
    let mut pty = Pty::start(sandbox.command("sh"));
    pty.send("runr run -d --name c --network none busybox sleep 100; echo sta''rted\n");
    pty.expect("started");
    // The terminal's window is closed: every process of the session gets SIGHUP.
    drop(pty);
    pause();
    assert_eq!(sandbox.line("inspect -f {{.State.Running}} c").output().ok(), "true\n");
    sandbox.line("rm -f -t 0 c").output().ok();
}

#[test]
fn a_shell_that_is_given_no_terminal_for_its_input_ends() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("run -d --name c --network none busybox sleep 1000").output().ok();
    // The end of the input comes before, while or after the shell sets its terminal up; it must not get lost.
    for round in 0..6 {
        let limit = Duration::from_secs(30);
        for line in ["run --rm -it --network none busybox sh", "exec -it c sh"] {
            let end = sandbox.line(line).stdin("echo r''an\n").limit(limit).output().checked();
            assert!(end.stdout.contains("ran"), "{round}: {}", end.stdout);
            assert_eq!(end.stderr, NO_TERMINAL, "{line}");
            sandbox.line(line).limit(limit).output().ok();
        }
    }
    for line in ["run --rm -i --network none busybox cat", "run --rm -t --network none busybox true", "exec -i c cat"] {
        assert_eq!(sandbox.line(line).output().checked().stderr, "", "{line}");
    }
    let detached = sandbox.line("run -dit --name d --network none busybox true").output().checked();
    assert_eq!(detached.stderr, "", "it is connected to nothing");
    sandbox.line("rm -f -t 0 c d").output().ok();
}

#[test]
fn a_shell_with_a_line_editor_ends_with_its_input() {
    need!(userns, alpine);
    let sandbox = Sandbox::new();
    sandbox
        .runr(["import", need::file_from("RUNR_TEST_ALPINE_TAR").unwrap().to_str().unwrap(), "alpine"])
        .output()
        .ok();
    // Its ash takes what is typed before it is ready as part of a line, the end of the input included.
    for (input, round) in [("echo r''an\n", 0), ("echo r''an", 1), ("", 2), ("exit 3\n", 3)] {
        let line = "run --rm -it --network none alpine sh";
        let end = sandbox.line(line).stdin(input).limit(Duration::from_secs(30)).output();
        assert_eq!(end.code(), if round == 3 { 3 } else { 0 }, "{round}: {}", end.stdout);
        assert_eq!(end.stdout.contains("ran\r\n"), round == 0, "{round}: {}", end.stdout);
        assert_eq!(end.stderr, NO_TERMINAL);
    }
}

#[test]
fn the_bars_of_a_first_start_leave_the_output_alone() {
    need!(userns, subids, shell);
    let sandbox = sandbox();
    // Another id map than the image was unpacked with.
    let line = "run --rm --network none --userns keep-id busybox";
    let script = "echo one; echo two; echo three";
    let mut pty = Pty::start(sandbox.line(line).args(["sh", "-c", script]).env("TERM", "xterm"));
    assert_eq!(pty.wait(), 0);
    pty.expect("three");
    let seen = pty.seen().to_owned();
    assert!(seen.contains("\u{1b}["), "bars were drawn: {seen:?}");
    let (bars, rest) = seen.rsplit_once("one\r\n").unwrap();
    // Behind the last return to a line's start nothing is drawn, lines are only wiped.
    let last = bars.rsplit('\r').next().unwrap();
    assert!(last.starts_with("\u{1b}[2K") && !last.contains(' '), "the output begins a line: {last:?}");
    assert_eq!(rest, "two\r\nthree\r\n");
}
