//! Ways out through a command that joins a running container, and what a container could do to such commands.

use crate::escape::{image, own_binary, secret};
use crate::support::{Layer, Output, Sandbox};
use std::time::Duration;

/// A container `c` that runs a script while commands join it.
fn running(sandbox: &Sandbox, image: &str, flags: &[&str], script: &str) {
    let run = sandbox.runr(["run", "-d", "--name", "c", "--network", "none"]).args(flags);
    run.args([image, "sh", "-c", script]).output().ok();
}

/// Runs a command in `c`.
fn exec(sandbox: &Sandbox, flags: &[&str], command: &[&str]) -> Output {
    let run = sandbox.runr(["exec"]).args(flags).arg("c").args(command);
    run.limit(Duration::from_secs(30)).output()
}

#[test]
fn a_command_that_joins_does_not_bring_the_executable() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let (path, content) = own_binary(&sandbox);
    let scripts = Layer::new().program("entry", "#!/proc/self/exe\n").symlink("link", "/proc/self/exe");
    let image = image(&sandbox, scripts, &[]);
    // CVE-2019-5736 by its book: whatever comes up is tried to be written, while it starts and while it runs.
    let attack = "while :; do for p in /proc/[0-9]*; do
        [ $p = /proc/$$ ] || { printf X >> $p/exe; printf X >> $p/fd/3; } 2>/dev/null; done; done";
    for flags in [&[][..], &["--init"], &["--privileged"], &["--cap-add", "SYS_PTRACE"]] {
        running(&sandbox, image, flags, attack);
        for command in ["/entry", "/proc/self/exe", "/link", "/proc/1/exe", "/bin/true"] {
            for tail in [&[][..], &["version"][..], &["__exec", "3", "sh"][..]] {
                let out = exec(&sandbox, &[], &[&[command], tail].concat());
                assert_ne!(out.code(), 124, "{command}");
            }
        }
        for _ in 0..20 {
            exec(&sandbox, &[], &["true"]).ok();
        }
        sandbox.line("rm -f c").output().ok();
        assert!(std::fs::read(&path).unwrap() == content, "{flags:?}: runr was changed from inside a container");
    }
}

#[test]
fn the_executable_may_be_replaced_under_a_running_container() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let (path, _) = own_binary(&sandbox);
    let base = sandbox.base_image();
    running(&sandbox, base, &[], "sleep 1000");
    // An upgrade: a new file under the old name, then no file of that name for a moment.
    // Written by another process: a child of a test beside this one could hold this process's descriptor (ETXTBSY).
    sandbox.command("cp").args(["-p".as_ref(), path.as_os_str(), sandbox.path("bin/new").as_os_str()]).output().ok();
    std::fs::rename(sandbox.path("bin/new"), &path).unwrap();
    assert_eq!(exec(&sandbox, &[], &["echo", "again"]).ok(), "again\n");
    assert_eq!(exec(&sandbox, &["-t"], &["echo", "again"]).ok().trim(), "again");
    assert_eq!(exec(&sandbox, &[], &["nosuch"]).code(), 127);
}

#[test]
fn a_command_that_joins_cannot_be_looked_into() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let base = sandbox.base_image();
    // CVE-2016-9962: everything that /proc tells of new processes, written down for as long as they come.
    let spy = "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || {
        readlink $p/exe $p/cwd $p/root $p/fd/*; tr '\\0' '\\n' < $p/environ; } 2>/dev/null; done; done > /seen";
    for flags in [&[][..], &["--init"], &["--cap-add", "SYS_PTRACE"]] {
        running(&sandbox, base, flags, spy);
        for _ in 0..30 {
            exec(&sandbox, &[], &["true"]).ok();
        }
        let seen = exec(&sandbox, &[], &["cat", "/seen"]).ok();
        let home = sandbox.dir().display().to_string();
        let host: Vec<&str> = seen.lines().filter(|l| l.contains(&home) || l.contains("XDG_")).collect();
        assert!(host.is_empty(), "{flags:?}: {host:?}");
        let lock: Vec<&str> = seen.lines().filter(|l| l.ends_with("/lock") || l.contains(":[40265")).collect();
        assert!(lock.is_empty(), "{flags:?}: {lock:?}");
        sandbox.line("rm -f c").output().ok();
    }
}

#[test]
fn the_working_folder_of_a_command_that_joins_is_in_the_container() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let secret = secret(&sandbox);
    let links = (3..16).fold(Layer::new(), |layer, n| layer.symlink(format!("cwd{n}"), format!("/proc/self/fd/{n}")));
    let image = image(&sandbox, links, &[]);
    running(&sandbox, image, &[], "sleep 1000");
    let script = "cat inside ../inside ../../secret/inside 2>/dev/null; pwd; true";
    // CVE-2024-21626, with the host's folder open in the caller for good measure.
    for n in 3..16 {
        for folder in [format!("/proc/self/fd/{n}"), format!("/proc/self/fd/{n}/../"), format!("/cwd{n}")] {
            let line = format!("exec {n}<{}; exec runr exec -w {folder} c sh -c '{script}'", secret.display());
            let out = sandbox.command("bash").args(["-c", &line]).output();
            assert!(!out.stdout.contains("the host's"), "{folder}: {}", out.stdout);
            assert!(out.code() != 0 || out.stdout.starts_with('/'), "{folder}: {} {}", out.stdout, out.stderr);
        }
    }
}

#[test]
fn files_of_the_caller_are_not_open_to_the_container() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let base = sandbox.base_image();
    running(&sandbox, base, &[], "sleep 1000");
    let attack = "cat >/dev/null; for n in 0 1 2; do
        { cat /proc/self/fd/$n; echo hacked > /proc/self/fd/$n; } >/dev/null 2>&1; done; true";
    for command in ["runr exec -i c", "runr run --rm -i --network none busybox"] {
        let script = format!(
            "echo secret > in; echo secret > out; echo secret > err; {command} sh -c '{attack}' < in >> out 2>> err; cat in out err"
        );
        let left = sandbox.sh(&script).cwd(sandbox.tmp()).limit(Duration::from_secs(30)).output().ok();
        let kept: Vec<&str> = left.lines().filter(|l| *l == "secret").collect();
        assert_eq!(kept.len(), 3, "{command}: {left}");
        assert!(left.starts_with("secret\nsecret\n"), "{command}: the input was written: {left}");
    }
}

#[test]
fn a_container_that_plays_tricks_delays_nobody_else() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let base = sandbox.base_image();
    // What a joining command reads is whatever the container has put there.
    for trick in ["mkfifo", "ln -s /proc/self/mem", "ln -s /proc/1/fd/0", "mkdir", "ln -s /etc/passwd"] {
        running(&sandbox, base, &[], &format!("rm -rf /etc/passwd; {trick} /etc/passwd; sleep 1000"));
        for _ in 0..5 {
            for flags in [&[][..], &["-t"], &["-u", "root"]] {
                let out = exec(&sandbox, flags, &["true"]);
                assert!(matches!(out.code(), 0 | 125), "{trick} {flags:?}: {} {}", out.code(), out.stderr);
            }
        }
        sandbox.line("rm -f c").output().ok();
    }
    running(&sandbox, base, &["--privileged"], "sleep 1000");
    for put in ["mount -t tmpfs t /dev/pts", "touch /dev/pts/ptmx", "rm /dev/pts/ptmx; mkfifo /dev/pts/ptmx"] {
        exec(&sandbox, &["--privileged"], &["sh", "-c", put]).ok();
        let out = exec(&sandbox, &["-t"], &["true"]);
        assert!(matches!(out.code(), 0 | 125), "{put}: {} {}", out.code(), out.stderr);
    }
    // The monitor serves on.
    assert_eq!(exec(&sandbox, &[], &["echo", "well"]).ok(), "well\n");
}
