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

#[test]
fn other_commands_work_inside_of_unshare() {
    need!(userns, overlay, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let folder = sandbox.path("shared");
    std::fs::create_dir(&folder).unwrap();
    let volume = format!("{}:/mnt", folder.display());
    let run =
        ["run", "-d", "--network", "none", "--name", "r", "-v", &volume, "--tmpfs", "/mem", "busybox", "sh", "-c"];
    let script =
        "echo made >/made; chown 5:6 /made; ln -s /made /link; ln -s /etc /mem/out; echo m >/mem/file; exec sleep 1000";
    let links = if has_other_ids() { script.to_owned() } else { script.replace("chown 5:6 /made; ", "") };
    sandbox.runr(run).arg(links).output().ok();
    sandbox.line("create --network none --name s busybox true").output().ok();
    crate::support::until("its files", || sandbox.line("exec r cat /mem/file").output().stdout == "m\n");
    let inside = |script: &str| sandbox.runr(["unshare", "sh", "-c", script]).cwd(sandbox.dir()).output();
    // Both ways, with what is mounted in it, links staying in it, and owners.
    assert_eq!(inside("runr cp r:/mem/file got && cat got && runr cp -L r:/link got2 && cat got2").ok(), "m\nmade\n");
    assert_eq!(inside("echo in >f && runr cp f r:/mem/f && runr cp f r:/mnt/f && runr cp f r:/mem/out/deep").ok(), "");
    assert_eq!(sandbox.line("exec r cat /mem/f /mnt/f /etc/deep").output().ok(), "in\nin\nin\n");
    assert_eq!(std::fs::read_to_string(folder.join("f")).unwrap(), "in\n");
    assert_eq!(sandbox.line("exec r stat -c %u:%g /mem/f").output().ok(), "0:0\n");
    if has_other_ids() {
        inside("runr cp -a r:/made owned && runr cp -a owned r:/back").ok();
        assert_eq!(sandbox.line("exec r stat -c %u:%g /back").output().ok(), "5:6\n");
    }
    assert!(inside("runr diff r").ok().lines().any(|line| line == "A /made"));
    assert_eq!(inside("runr export r | tar -xO made").ok(), "made\n");
    inside("runr commit -q --pause=false r image").ok();
    assert_eq!(sandbox.line("run --rm --network none image cat /made").output().ok(), "made\n");
    assert_eq!(
        inside("runr exec r cat /made; runr top r comm; runr stats --no-stream --format {{.PIDs}} r").ok(),
        "made\nCOMMAND\nsleep\n1\n"
    );
    // What would need to enter a namespace beside its own says so.
    let stderr = inside("runr run --rm --network container:r busybox true").fails(125);
    assert!(
        stderr.contains("it runs outside of this user namespace\nhint: run this command outside of `runr unshare`\n")
    );
    assert_eq!(inside("runr rm -f -t 0 r s >/dev/null; runr ps -aq").ok(), "");
}

#[test]
fn what_is_made_inside_of_unshare_is_the_same_outside() {
    need!(userns, overlay, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let inside = |script: &str| sandbox.runr(["unshare", "sh", "-c", script]).cwd(sandbox.dir()).output();
    sandbox.line("create --network none --name outer busybox sh -c").arg("echo $(id -u) >/o; cat /o").output().ok();
    // Made, filled and started in there; one that was made outside can be started as well.
    let script = "set -e; id=$(runr create --network none --name inner busybox cat /in); m=$(runr mount $id); echo in >$m/in; \
                  runr unmount $id >/dev/null; runr start -a inner; runr start -a outer; \
                  runr run -d --name r --network none busybox sleep 1000 >/dev/null; runr exec r id -u; \
                  runr run --rm --network container:r busybox id -u";
    assert_eq!(inside(script).ok(), "in\n0\n0\n0\n");
    if has_other_ids() {
        let script = "runr run --name o --network none busybox sh -c 'echo x >/x; chown 5:6 /x; stat -c %u:%g /x'";
        assert_eq!(inside(script).ok(), "5:6\n");
        assert_eq!(sandbox.line("start -a o").output().ok(), "5:6\n");
        // There is one variant of the image's layers, not one for each view of the same owners.
        let layers = std::fs::read_dir(sandbox.store().join("layers")).unwrap();
        let variants = layers.map(|layer| std::fs::read_dir(layer.unwrap().path()).unwrap().count());
        assert!(variants.into_iter().all(|count| count == 1));
        let script = "runr run --rm --network none --uidmap 0:1:5 --uidmap 5:0:1 --uidmap 6:6:1000 busybox \
                      cat /proc/self/uid_map";
        let map = inside(script).ok().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(map, "0 1 5 5 0 1 6 6 1000");
        sandbox.line("rm o").output().ok();
    }
    // They live on without it, and go without it.
    assert_eq!(sandbox.line("start -a inner").output().ok(), "in\n");
    assert_eq!(sandbox.line("exec r id -u").output().ok(), "0\n");
    assert_eq!(sandbox.line("diff inner").output().ok(), "A /in\n");
    sandbox.runr(["cp", "r:/etc/hostname"]).arg(sandbox.path("h")).output().ok();
    let removed = sandbox.line("rm -f -t 0 r inner outer").output();
    assert_eq!((removed.code(), removed.stderr.as_str()), (0, ""));
    assert_eq!(sandbox.line("system check").output().ok(), "No damage found.\n");
}

#[test]
fn a_mounted_container_goes_without_what_it_was_mounted_from() {
    need!(userns, overlay, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    // A folder of the user's own as root file system: its files are seen through the mount.
    let own = sandbox.path("own");
    std::fs::create_dir_all(own.join("folder")).unwrap();
    std::fs::write(own.join("folder/precious"), "x").unwrap();
    let rootfs = own.display().to_string();
    for how in ["rm", "rm -f", "container prune -f", "system prune -f", "system reset -f"] {
        sandbox.runr(["create", "--network", "none", "--name", "own", "--rootfs", &rootfs, "true"]).output().ok();
        sandbox.base_image();
        sandbox.line("create --network none --name c busybox true").output().ok();
        let words = if how.starts_with("rm") { "own c" } else { "" };
        // Also while somebody is in there, and mounted twice.
        let script = format!(
            "set -e; o=$(runr mount own); m=$(runr mount c); mount --bind $o $o; cd $m; touch added; runr {how} {words}; runr mount; ls $o 2>&1 | wc -l"
        );
        let out = sandbox.runr(["unshare", "sh", "-c", &script]).output();
        assert_eq!((out.code(), out.stderr.as_str()), (0, ""), "{how}: {}", out.stdout);
        assert!(own.join("folder/precious").exists(), "{how}");
        assert_eq!(sandbox.line("ps -aq").output().ok(), "", "{how}");
    }
    // Removed by who does not see the mount.
    sandbox.base_image();
    sandbox.runr(["create", "--network", "none", "--name", "own", "--rootfs", &rootfs, "true"]).output().ok();
    let fifo = sandbox.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = format!(
        "runr mount own >/dev/null; cat {0}; cat {0}; runr mount; runr system prune -f >/dev/null",
        fifo.display()
    );
    let inside = sandbox.runr(["unshare", "sh", "-c", &script]).spawn();
    std::fs::write(&fifo, "").unwrap();
    sandbox.line("rm own").output().ok();
    std::fs::write(&fifo, "").unwrap();
    assert_eq!(inside.wait().ok(), "");
    assert!(own.join("folder/precious").exists());
}

#[test]
fn a_mounted_container_is_not_written_by_two() {
    need!(userns, overlay, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox.line("create --network none --name c busybox cat /added").output().ok();
    let script = "m=$(runr mount c); echo x >$m/added; runr start -a c; echo $?; runr cp $0 c:/script; echo $?; \
                  runr cp c:/added -  | tar -xO; runr unmount c >/dev/null; runr start -a c";
    let out = sandbox.runr(["unshare", "sh", "-c", script, "/etc/passwd"]).output();
    assert_eq!(out.stdout, "125\n125\nx\nx\n", "{}", out.stderr);
    let refused = "is mounted, and so could be changed by two at once\nhint: unmount it first: `runr unmount c`\n";
    assert_eq!(out.stderr.matches(refused).count(), 2, "{}", out.stderr);
    // Many at once: each is mounted or gone, and nothing is left.
    sandbox.line("rm c").output().ok();
    let script = "for n in 1 2 3 4 5 6 7 8; do runr create --network none --name c$n busybox true >/dev/null; done; \
                  for n in 1 2 3 4 5 6 7 8; do runr mount c$n >/dev/null 2>&1 & runr rm c$n >/dev/null & done; wait; runr mount; runr ps -aq";
    assert_eq!(sandbox.runr(["unshare", "sh", "-c", script]).output().ok(), "");
    assert_eq!(sandbox.line("system check").output().ok(), "No damage found.\n");
}

#[test]
fn a_container_that_is_mounted_in_another_namespace_is_not_written_by_two() {
    need!(userns, overlay, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let folder = sandbox.line("create --network none --name c busybox cat /added").output().ok();
    let folder = sandbox.store().join("containers").join(folder.trim());
    let sign = sandbox.path("mounted");
    let script = "m=$(runr mount c) && echo x >$m/added && echo $$ >$0.new && mv $0.new $0; until test -e $0.go; do sleep 0.05; done; runr unmount c; echo y";
    let inside = sandbox.runr(["unshare", "sh", "-c", script]).arg(&sign).spawn();
    crate::support::until("it is mounted", || sign.exists());
    let script = "runr start -a c; echo $?; runr cp /etc/passwd c:/; echo $?; runr commit c >/dev/null; echo $?; \
                  runr unshare runr mount c; echo $?; runr cp c:/added - | tar -xO";
    let out = sandbox.sh(script).output();
    assert_eq!(out.stdout, "125\n125\n0\n125\nx\n", "{}", out.stderr);
    let pid = std::fs::read_to_string(&sign).unwrap();
    let refused = format!("is mounted where process {} is, and so could be changed by two at once\n", pid.trim());
    let hint = "hint: unmount it there with `runr unmount c`, or end that process\n";
    assert_eq!(out.stderr.matches(&(refused + hint)).count(), 3, "{}", out.stderr);
    sandbox.write("mounted.go", "");
    assert_eq!(inside.wait().ok(), format!("{}\ny\n", folder.file_name().unwrap().to_str().unwrap()));
    assert_eq!(sandbox.line("start -a c").output().ok(), "x\n");
    // Killed, nobody unmounts it; who shows the files only is in nobody's way.
    sandbox.line("run -d --network none --name r busybox sleep 1000").output().ok();
    std::fs::remove_file(&sign).unwrap();
    let script = "runr mount r && runr mount c && echo $$ >$0.new && mv $0.new $0; exec sleep 1000";
    let inside = sandbox.runr(["unshare", "sh", "-c", script]).arg(&sign).spawn();
    crate::support::until("both are mounted", || sign.exists());
    sandbox.line("restart -t 0 r").output().ok();
    sandbox.line("start c").output().fails(125);
    inside.signal(nix::sys::signal::Signal::SIGKILL);
    inside.wait().code();
    crate::support::until("the process inside is gone", || sandbox.line("start -a c").output().code() == 0);
    assert!(!folder.join("mount").exists(), "the folder is no longer in the way");
    // Of all that the only process there sees, it is the root.
    let script = "PATH=$PATH:/usr/sbin:/sbin; m=$(runr mount c) && echo $$ >$0 && exec chroot $m sleep 1000";
    let inside = sandbox.runr(["unshare", "sh", "-c", script]).arg(sandbox.path("chroot")).spawn();
    crate::support::until("it is in there", || {
        let pid = std::fs::read_to_string(sandbox.path("chroot")).unwrap_or_default();
        std::fs::read_to_string(format!("/proc/{}/comm", pid.trim())).is_ok_and(|name| name == "sleep\n")
    });
    let stderr = sandbox.line("start -a c").output().fails(125);
    assert!(stderr.contains("is mounted where process "), "{stderr}");
    inside.signal(nix::sys::signal::Signal::SIGKILL);
    inside.wait().code();
    crate::support::until("the process in there is gone", || sandbox.line("start -a c").output().code() == 0);
    sandbox.line("rm -f -t 0 c r").output().ok();
}

/// Whether a container's root may give files away.
fn has_other_ids() -> bool {
    crate::support::need::subids().is_ok()
}
