//! `runr mount`, `runr unmount` and `runr unshare`.

use crate::support::Sandbox;

#[test]
fn a_command_in_the_user_namespace() {
    need!(userns);
    let sandbox = Sandbox::new();
    let unshare = |args: &[&str]| sandbox.runr(["unshare"]).args(args).output();
    assert_eq!(unshare(&["id", "-u"]).ok(), "0\n");
    assert_eq!(unshare(&["sh", "-c", "exit 7"]).code(), 7);
    assert_eq!(unshare(&["sh", "-c", "kill -TERM $$"]).code(), 143);
    assert_eq!(unshare(&["sh", "-c", "umask; echo $HOME"]).ok(), sandbox.sh("umask; echo $HOME").output().ok());
    let missing = unshare(&["no-such-command"]).fails(127);
    assert_eq!(missing, "runr: execute `no-such-command`: No such file or directory (ENOENT)\n");
    unshare(&["/etc/passwd"]).fails(126);
    // $SHELL is the default; what it reads is the caller's.
    let shell = sandbox.line("unshare").env("SHELL", "/bin/sh").stdin("echo got it; exit 3");
    assert_eq!(shell.output().exits(3), "got it\n");
    assert_eq!(sandbox.line("unshare --rootless-netns true").output().code(), 125);
}

#[test]
fn a_container_is_a_folder() {
    need!(userns, overlay, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox.runr(["create", "--network", "none", "--name", "c", "busybox", "cat", "/added"]).output().ok();
    if !nix::unistd::geteuid().is_root() {
        let stderr = sandbox.line("mount c").output().fails(125);
        assert!(
            stderr.ends_with("can only be mounted by root of its user namespace\nhint: run it inside `runr unshare`\n"),
            "{stderr}"
        );
    }
    let script = "set -e; m=$(runr mount c); test -x $m/bin/sh; echo hi > $m/added; test \"$(runr mount c)\" = $m; \
        runr mount | grep -q \"  $m$\"; runr mount --format json | grep -q '\"Names\":\\[\"c\"\\]'; \
        (cd $m && ! runr unmount c 2>/dev/null); runr unmount c; ! runr unmount c 2>/dev/null; runr mount; \
        runr mount --all > /dev/null; runr umount -a > /dev/null; runr mount; echo done";
    let out = sandbox.runr(["unshare", "sh", "-c", script]).output().ok();
    assert!(out.len() == 70 && out.ends_with("\ndone\n"), "an id, nothing that is mounted any more, the end: {out}");
    assert_eq!(sandbox.line("start -a c").output().ok(), "hi\n");
    // A running one can be read.
    sandbox.runr(["run", "-d", "--network", "none", "--name", "r", "busybox", "sleep", "1000"]).output().ok();
    let script =
        "m=$(runr mount r); test -x $m/bin/sh && ! touch $m/x 2>/dev/null; echo $?; runr unmount -f r > /dev/null";
    assert_eq!(sandbox.runr(["unshare", "sh", "-c", script]).output().ok(), "0\n");
    sandbox.line("rm -f c r").output().ok();
}
