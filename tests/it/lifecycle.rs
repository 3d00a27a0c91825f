//! `stop`, `kill`, `restart`, `wait`, `pause`, `attach`, restart policies: containers that run, and the monitor that serves them.

use crate::support::{Sandbox, pty::Pty, until};
use std::time::{Duration, Instant};

/// A sandbox with the base image in it.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox
}

/// Starts a container in the background that runs a shell script.
#[track_caller]
fn detached(sandbox: &Sandbox, flags: &str, script: &str) -> String {
    let run = sandbox.line("run -d --network none").args(flags.split_whitespace());
    run.args(["busybox", "sh", "-c", script]).output().ok().trim().to_owned()
}

fn field(sandbox: &Sandbox, name: &str, format: &str) -> String {
    sandbox.runr(["inspect", "--format", format, name]).output().ok().trim().to_owned()
}

/// What obeys SIGTERM: PID 1 gets no signal that it has no handler for.
const OBEDIENT: &str = "trap 'exit 5' TERM; while :; do sleep 0.05; done";

#[test]
fn stop_asks_then_kills_and_tells_the_status() {
    need!(userns, shell);
    let sandbox = sandbox();
    detached(&sandbox, "--name good", OBEDIENT);
    detached(&sandbox, "--name deaf", "trap '' TERM; while :; do sleep 0.05; done");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(sandbox.line("stop good").output().ok(), "good\n");
    assert_eq!(field(&sandbox, "good", "{{.State.Status}} {{.State.ExitCode}} {{.State.Running}}"), "exited 5 false");
    assert_eq!(sandbox.line("stop -t 0 deaf good").output().ok(), "deaf\ngood\n", "one that has ended is no error");
    assert_eq!(field(&sandbox, "deaf", "{{.State.ExitCode}}"), "137");
    assert!(sandbox.line("stop nothere").output().fails(125).starts_with("runr: no such container: nothere\n"));
    assert_eq!(sandbox.line("stop -i nothere").output().ok(), "");
    assert_eq!(sandbox.line("ps -q").output().ok(), "");
    sandbox.line("rm good deaf").output().ok();
}

#[test]
fn many_are_stopped_in_the_time_of_one() {
    need!(userns, shell);
    let sandbox = sandbox();
    for n in 0..4 {
        detached(&sandbox, &format!("--name c{n} --rm"), "trap '' TERM; while :; do sleep 0.05; done");
    }
    let begin = Instant::now();
    assert_eq!(sandbox.line("stop --all --time 2").output().ok().lines().count(), 4);
    assert!(begin.elapsed() < Duration::from_secs(7), "one after the other");
    assert_eq!(sandbox.line("ps -aq").output().ok(), "");
}

#[test]
fn two_stops_at_once_both_succeed_and_the_more_impatient_one_counts() {
    need!(userns, shell);
    let sandbox = sandbox();
    detached(&sandbox, "--name c", "trap '' TERM; while :; do sleep 0.05; done");
    let patient = sandbox.line("stop -t -1 c").spawn();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(sandbox.line("stop -t 0 c").output().ok(), "c\n");
    assert_eq!(patient.wait().ok(), "c\n");
    sandbox.line("rm c").output().ok();
}

#[test]
fn kill_sends_any_signal() {
    need!(userns, shell);
    let sandbox = sandbox();
    detached(&sandbox, "--name c", "trap 'exit 3' USR1; while :; do sleep 0.05; done");
    std::thread::sleep(Duration::from_millis(200));
    assert!(sandbox.line("kill -s NOSUCH c").output().fails(125).contains("invalid signal: `NOSUCH`"));
    assert_eq!(sandbox.line("kill --signal=SIGUSR1 c").output().ok(), "c\n");
    assert_eq!(sandbox.line("wait c").output().ok(), "3\n");
    let refused = sandbox.line("kill c").output().fails(125);
    assert!(refused.contains("cannot kill container `c`") && refused.contains("it is exited"), "{refused}");
    sandbox.line("start c").output().ok();
    sandbox.line("kill c").output().ok();
    assert_eq!(sandbox.line("wait c").output().ok(), "137\n");
    sandbox.line("rm c").output().ok();
}

#[test]
fn wait_prints_one_status_for_each() {
    need!(userns, shell);
    let sandbox = sandbox();
    // No hexadecimal digit: the other one's id could begin with it.
    detached(&sandbox, "--name x --rm", "sleep 3; exit 4");
    detached(&sandbox, "--name b", "exit 6");
    assert_eq!(sandbox.line("wait x b").output().ok(), "4\n6\n", "also of one that is gone by then");
    assert!(sandbox.line("wait x").output().fails(125).contains("no such container: x"));
    sandbox.line("create --name c --network none busybox sleep 30").output().ok();
    assert_eq!(sandbox.line("wait --condition created c").output().ok(), "-1\n");
    assert_eq!(sandbox.line("wait --condition exited c").output().ok(), "0\n", "as podman says of one that never ran");
    let running = sandbox.line("wait --condition running c").spawn();
    std::thread::sleep(Duration::from_millis(200));
    sandbox.line("start c").output().ok();
    assert_eq!(running.wait().ok(), "-1\n");
    let gone = sandbox.line("wait --condition removed c").spawn();
    std::thread::sleep(Duration::from_millis(200));
    sandbox.line("rm -f c").output().ok();
    gone.wait().ok();
    assert!(sandbox.line("wait --condition tired b").output().fails(125).contains("invalid condition `tired`"));
    sandbox.line("rm b").output().ok();
}

#[test]
fn restart_gives_a_new_process_and_keeps_the_files() {
    need!(userns, shell);
    let sandbox = sandbox();
    detached(&sandbox, "--name c", &format!("echo run >> /log; {OBEDIENT}"));
    let pid = field(&sandbox, "c", "{{.State.Pid}}");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(sandbox.line("restart c").output().ok(), "c\n");
    assert_ne!(field(&sandbox, "c", "{{.State.Pid}}"), pid);
    assert_eq!(field(&sandbox, "c", "{{.State.Status}} {{.RestartCount}}"), "running 0");
    sandbox.line("stop -t 5 c").output().ok();
    assert_eq!(sandbox.line("restart c").output().ok(), "c\n", "one that doesn't run is started");
    assert_eq!(field(&sandbox, "c", "{{.State.Status}}"), "running");
    sandbox.line("rm -f c").output().ok();
    detached(&sandbox, "--name r --rm", OBEDIENT);
    std::thread::sleep(Duration::from_millis(200));
    sandbox.line("restart r").output().ok();
    assert_eq!(field(&sandbox, "r", "{{.State.Status}}"), "running", "`--rm` means the end, not a restart");
    sandbox.line("stop -t 0 r").output().ok();
}

#[test]
fn restart_policies_start_again_until_they_are_told_not_to() {
    need!(userns, shell);
    let sandbox = sandbox();
    detached(&sandbox, "--name three --restart on-failure:3", "exit 9");
    until("three retries", || field(&sandbox, "three", "{{.State.Status}} {{.RestartCount}}") == "exited 3");
    assert_eq!(field(&sandbox, "three", "{{.State.ExitCode}}"), "9");
    detached(&sandbox, "--name good --restart on-failure", "exit 0");
    assert_eq!(sandbox.line("wait good").output().ok(), "0\n");
    assert_eq!(field(&sandbox, "good", "{{.RestartCount}}"), "0");
    detached(&sandbox, "--name always --restart always", "sleep 0.1");
    until("a restart", || field(&sandbox, "always", "{{.RestartCount}}").parse::<u32>().unwrap() >= 2);
    assert_eq!(sandbox.line("stop -t 0 always").output().ok(), "always\n");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(field(&sandbox, "always", "{{.State.Status}}"), "exited", "a stop is meant");
    // A restart by hand counts anew, as for docker and podman.
    detached(&sandbox, "--name once --restart always", "[ -e /run-before ] && exec sleep 600; touch /run-before");
    until("one restart", || field(&sandbox, "once", "{{.State.Status}} {{.RestartCount}}") == "running 1");
    sandbox.line("restart -t 0 once").output().ok();
    assert_eq!(field(&sandbox, "once", "{{.State.Status}} {{.RestartCount}}"), "running 0");
    sandbox.line("rm -f -t 0 three good always once").output().ok();
}

#[test]
fn paused_is_a_state_of_its_own() {
    need!(userns, shell);
    let sandbox = sandbox();
    detached(&sandbox, "--name c", "while :; do echo x >> /count; sleep 0.02; done");
    let paused = sandbox.line("pause c").output();
    if paused.code() != 0 {
        assert!(paused.stderr.contains("pausing needs a cgroup"), "{}", paused.stderr);
        assert_eq!(paused.code(), 125);
    } else {
        assert_eq!(field(&sandbox, "c", "{{.State.Status}} {{.State.Paused}} {{.State.Running}}"), "paused true true");
        assert!(sandbox.line("pause c").output().fails(125).contains("paused already"));
        sandbox.line("unpause c").output().ok();
        assert!(sandbox.line("unpause c").output().fails(125).contains("not paused"));
        sandbox.line("pause c").output().ok();
        // A frozen process is stopped all the same.
        sandbox.line("stop -t 0 c").output().ok();
    }
    sandbox.line("rm -f c").output().ok();
}

#[test]
fn attach_reads_writes_and_returns_the_status() {
    need!(userns, shell);
    let sandbox = sandbox();
    detached(&sandbox, "--name c -i", "while read line; do echo got $line; [ $line = end ] && exit 3; done");
    let out = sandbox.line("attach c").stdin("one\n").spawn();
    std::thread::sleep(Duration::from_millis(300));
    let second = sandbox.line("attach --no-stdin c").spawn();
    std::thread::sleep(Duration::from_millis(300));
    let third = sandbox.line("attach c").stdin("two\nend\n").output();
    assert_eq!((third.code(), third.stdout.as_str()), (3, "got two\ngot end\n"));
    assert_eq!(out.wait().exits(3), "got one\ngot two\ngot end\n", "several clients see the same");
    assert_eq!(second.wait().exits(3), "got two\ngot end\n");
    let stopped = sandbox.line("attach c").output().fails(125);
    assert!(stopped.contains("cannot attach to container `c`"), "{stopped}");
    sandbox.line("rm c").output().ok();
}

#[test]
fn attach_ends_with_its_reader_and_the_container_goes_on() {
    need!(userns, shell);
    let sandbox = sandbox();
    detached(&sandbox, "--name c -i", "while read line; do echo got $line; done");
    assert_eq!(sandbox.sh("{ echo one; sleep 1; echo two; } | runr attach c | head -n 1").output().ok(), "got one\n");
    assert_eq!(field(&sandbox, "c", "{{.State.Status}}"), "running");
    sandbox.line("rm -f -t 0 c").output().ok();
}

#[test]
fn a_terminal_is_left_and_found_again() {
    need!(userns, shell);
    let sandbox = sandbox();
    let mut pty = Pty::start(sandbox.line("run -it --name c --network none busybox sh"));
    pty.expect("#");
    pty.send("x=kept\n");
    pty.expect("#");
    pty.send("\u{10}\u{11}");
    assert_eq!(pty.wait(), 0, "detached");
    assert_eq!(field(&sandbox, "c", "{{.State.Status}}"), "running");
    let mut again = Pty::start(sandbox.line("attach --detach-keys ctrl-x,d c"));
    std::thread::sleep(Duration::from_millis(300));
    again.send("echo $x-$x\n");
    again.expect("kept-kept");
    again.resize(91, 33);
    std::thread::sleep(Duration::from_millis(300));
    again.send("stty size\n");
    again.expect("33 91");
    again.send("\u{18}d");
    assert_eq!(again.wait(), 0);
    let mut last = Pty::start(sandbox.line("attach c"));
    std::thread::sleep(Duration::from_millis(300));
    last.send("exit 4\n");
    assert_eq!(last.wait(), 4);
    sandbox.line("rm c").output().ok();
}

#[test]
fn a_slow_reader_holds_up_nobody_but_itself() {
    need!(userns, shell);
    let sandbox = sandbox();
    detached(&sandbox, "--name c", "sleep 1; head -c 30000000 /dev/zero; exit 2");
    // Reads nothing while the container writes far more than may wait for it.
    let slow = sandbox.sh("runr attach c | { sleep 8; wc -c; }").spawn();
    assert_eq!(sandbox.line("wait c").output().ok(), "2\n");
    slow.wait().ok();
    sandbox.line("rm c").output().ok();
}

#[test]
fn a_dead_monitor_is_noticed() {
    need!(userns, shell);
    let sandbox = sandbox();
    detached(&sandbox, "--name c", "while :; do sleep 0.05; done");
    let (pid, monitor) = (field(&sandbox, "c", "{{.State.Pid}}"), field(&sandbox, "c", "{{.State.ConmonPid}}"));
    let kill = |pid: &str| {
        let pid = nix::unistd::Pid::from_raw(pid.parse().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    };
    kill(&monitor);
    assert_eq!(sandbox.line("stop c").output().ok(), "c\n");
    assert_eq!(field(&sandbox, "c", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
    until("its process ends", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(sandbox.line("rm c").output().ok(), "c\n");
    detached(&sandbox, "--name c", "exit 0");
    sandbox.line("wait c").output().ok();
    sandbox.line("rm c").output().ok();
}
