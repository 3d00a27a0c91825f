//! The command line as a whole: exit statuses, refusals, help, and where output goes.

use crate::support::Sandbox;

#[test]
fn the_version_is_one_line() {
    let sandbox = Sandbox::new();
    let line = format!("runr version {}\n", env!("CARGO_PKG_VERSION"));
    for args in ["--version", "-v"] {
        assert_eq!(sandbox.line(args).output().ok(), line);
    }
}

#[test]
fn a_wrong_command_line_is_125_with_a_hint() {
    let sandbox = Sandbox::new();
    for (args, text) in [
        ("shiny", "runr: unknown command `shiny`\nhint: see `runr --help`\n"),
        ("rnu alpine", "runr: unknown command `rnu`\nhint: did you mean `runr run`?\n"),
        (
            "--shiny",
            "runr: unknown flag `--shiny`\nhint: flags of a command stand behind the command; see `runr --help` for those before it\n",
        ),
        ("run --shiny alpine", "runr: run: unknown flag `--shiny`\nhint: see `runr run --help`\n"),
        (
            "run --secret key alpine",
            "runr: run --secret: not supported yet: there is no store of secrets\n\
             hint: mount a file where the container looks for it: -v FILE:/run/secrets/NAME:ro\n",
        ),
        (
            "run --pod p alpine",
            "runr: run --pod: not supported yet: there are no pods\n\
             hint: containers can share what those of a pod do: --network container:NAME --ipc container:NAME --uts \
             container:NAME\n",
        ),
        (
            "create --gpus all alpine",
            "runr: create --gpus: not supported yet: it takes the hook of a vendor, and runr starts no programs of others\n\
             hint: give the device's files: --device /dev/dri, or --device /dev/nvidia0 and so on, and the driver's libraries by -v\n",
        ),
        (
            "image mount alpine",
            "runr: image mount: not supported yet: the layers of an image are put together for a container only\n\
             hint: make one of it: runr create --name NAME IMAGE, then runr mount NAME, runr unmount NAME and runr rm NAME\n",
        ),
        (
            "unshare --rootless-netns true",
            "runr: unshare --rootless-netns: not supported yet: there is no private network yet that containers share\n\
             hint: without the flag the command has this machine's network, as containers have\n",
        ),
        ("manifest rm", "runr: manifest rm: not supported yet\n"),
        (
            "create --storage-opt size=1g alpine",
            "runr: create --storage-opt: not supported yet: to limit a container's size takes quotas of the file system\n\
             hint: a folder in memory can have a limit: --tmpfs DIR:size=100m; and --read-only leaves no other to write to\n",
        ),
        (
            "rm --link web/db",
            "runr: rm --link: containers of runr have no links, which docker itself has replaced by networks\n\
             hint: to remove the container, name it without the flag\n",
        ),
        (
            "start --checkpoint c1 web",
            "runr: start --checkpoint: not supported yet: there are no checkpoints, which need CRIU\n\
             hint: without the flag the container's command starts from its beginning\n",
        ),
        (
            "run --runtime crun alpine",
            "runr: --runtime crun: runr is its own runtime and starts no other\nhint: leave the flag out, or set it to runr\n",
        ),
        ("container run --cap-add shiny alpine", "runr: --cap-add: unknown capability `shiny`\n"),
    ] {
        let output = sandbox.line(args).output();
        assert_eq!(output.stdout, "", "{args}");
        assert_eq!(output.fails(125), text, "{args}");
    }
}

#[test]
fn help_goes_to_stdout_and_succeeds() {
    let sandbox = Sandbox::new();
    for (args, part) in [
        ("--help", "Commands:\n"),
        ("", "Commands:\n"),
        ("help run", "runr run --rm -it alpine sh"),
        ("--help run", "runr run --rm -it alpine sh"),
        ("run --help", "runr run --rm -it alpine sh"),
        ("container run --help", "--entrypoint <COMMAND>"),
        ("container", "Manage containers"),
    ] {
        let output = sandbox.line(args).output();
        assert_eq!(output.stderr, "", "{args}");
        assert!(output.ok().contains(part), "{args}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let sandbox = Sandbox::new();
    let script = "runr --help | true; sleep 0.2; (trap '' PIPE; runr run --help; echo status $? >&2) | true";
    let output = sandbox.sh(script).output();
    assert_eq!(output.stderr, "status 0\n");
}

#[test]
fn doctor_tries_what_it_reports() {
    let sandbox = Sandbox::new();
    let output = sandbox.line("doctor --json").output();
    let status = output.code();
    let checks: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let failed = checks.as_array().unwrap().iter().any(|c| c["verdict"] == "fail");
    assert_eq!(status, i32::from(failed), "{checks}");
    for name in ["user namespaces", "ids", "data folder", "cgroups", "network devices", "seccomp"] {
        assert!(checks.as_array().unwrap().iter().any(|c| c["name"] == name), "{name} in {checks}");
    }
    for check in checks.as_array().unwrap() {
        assert!(check["verdict"] != "fail" || !check["fix"].as_array().unwrap().is_empty(), "{check}");
    }
    let plain = sandbox.line("doctor").output();
    assert!(plain.stdout.contains("user namespaces: "), "{}", plain.stdout);
    assert!(!plain.stdout.contains('\x1b'), "no colour in a pipe");
}

#[test]
fn a_folder_that_is_not_there_leaves_no_container() {
    let sandbox = Sandbox::new();
    for (folder, reason) in [("/no/such", "look at `/no/such`: "), ("/etc/passwd", "`/etc/passwd` is no folder\n")] {
        let said = sandbox.runr(["run", "--name", "x", "--rootfs", folder, "sh"]).output().fails(125);
        assert!(said.starts_with(&format!("runr: --rootfs: {reason}")), "{said}");
    }
    assert_eq!(sandbox.line("ps -aq").output().ok(), "");
}
