//! Containers that share namespaces with others: `container:NAME` and `ns:PATH`.

use crate::support::Sandbox;

/// A sandbox with the base image in it, and a container `other` that runs.
fn sandbox(flags: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let script = "echo shared > /dev/shm/x; echo mine > /file; exec sleep 1000";
    let run =
        sandbox.line("run -d --name other --network none --hostname its-name --init").args(flags.split_whitespace());
    run.args(["busybox", "sh", "-c", script]).output().ok();
    let there = || sandbox.line("run --rm --ipc container:other busybox test -e /dev/shm/x").output().code() == 0;
    assert!((0..200).any(|_| there() || {
        std::thread::sleep(std::time::Duration::from_millis(10));
        false
    }));
    sandbox
}

/// The namespaces of a container of its own, and how they compare with PID 1's of `other`: `kind same|other` lines.
fn shared(sandbox: &Sandbox, flags: &str) -> String {
    let own = sandbox.runr(["ps", "-q", "--no-trunc", "--filter", "name=other"]).output().ok();
    let state = sandbox.store().join("containers").join(own.trim()).join("state.json");
    let state: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(state).unwrap()).unwrap();
    let pid = state["process"]["pid"].as_i64().unwrap();
    let run = sandbox.line("run --rm").args(flags.split_whitespace());
    let script = "for n in user net pid ipc uts cgroup mnt; do readlink /proc/self/ns/$n; done";
    let inside = run.args(["busybox", "sh", "-c", script]).output().ok();
    let same = inside.lines().filter(|line| {
        let kind = line.split(':').next().unwrap();
        // The user namespace's own processes may not be looked into, but their namespaces' names may be compared by root.
        std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).is_ok_and(|l| l.to_str() == Some(line))
    });
    same.map(|line| line.split(':').next().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn each_kind_is_shared_alone_and_together() {
    need!(userns, shell);
    let sandbox = sandbox("");
    if nix::unistd::geteuid().is_root() {
        for kind in ["network", "pid", "ipc", "uts", "cgroupns", "userns"] {
            let name = match kind {
                "network" => "net",
                "cgroupns" => "cgroup",
                "userns" => "user",
                kind => kind,
            };
            let expected = if name == "user" { "user".to_owned() } else { format!("user {name}") };
            // The host's network is everybody's unless another one is asked for.
            let flags = format!("--network none --{kind} container:other");
            assert_eq!(shared(&sandbox, &flags), expected, "{kind}");
        }
        let all = "--userns container:other --network container:other --pid container:other --ipc container:other --uts container:other --cgroupns container:other";
        assert_eq!(shared(&sandbox, all), "user net pid ipc uts cgroup");
    }
    let run = |flags: &str, script: &str| {
        let run = sandbox.line("run --rm").args(flags.split_whitespace());
        run.args(["busybox", "sh", "-c", script]).output()
    };
    // Its name and its files come with its network.
    let out =
        run("--network container:other", "hostname; grep -c its-name /etc/hosts; ls /sys/class/net; test ! -e /file");
    assert_eq!(out.ok(), "its-name\n1\nlo\n");
    assert_eq!(run("--uts container:other", "hostname; echo $HOSTNAME").ok(), "its-name\nits-name\n");
    assert_eq!(run("--ipc container:other", "cat /dev/shm/x; rm /dev/shm/x").ok(), "shared\n");
    assert_ne!(run("--ipc container:other", "cat /dev/shm/x").code(), 0);
    // Its processes can be seen and signalled, whatever `--init` closes to the user.
    let out = run(
        "--pid container:other",
        "grep -lx sleep /proc/[0-9]*/comm | wc -l; test $$ != 1 && kill -0 1 && echo alive",
    );
    assert_eq!(out.ok(), "1\nalive\n");
    assert_eq!(run("--pid container:other", "exit 7").code(), 7);
    let terminal = run("--pid container:other --ipc container:other -t", "test -t 0 && echo terminal");
    assert_eq!(terminal.ok().trim(), "terminal");
}

#[test]
fn the_ids_are_the_other_ones() {
    need!(userns, subids, shell);
    if nix::unistd::geteuid().is_root() {
        return;
    }
    let sandbox = sandbox("--userns keep-id:uid=7,gid=8");
    let script = "cat /proc/self/uid_map; stat -c %u:%g /bin/busybox";
    let map = |flags: &str| {
        let run = sandbox.line("run --rm --user 0").args(flags.split_whitespace());
        run.args(["busybox", "sh", "-c", script]).output().ok()
    };
    assert_eq!(map("--userns keep-id:uid=7,gid=8"), map("--pid container:other"));
    assert_ne!(map(""), map("--pid container:other"));
}

#[test]
fn what_cannot_be_shared_is_refused_in_one_line() {
    need!(userns, shell);
    let sandbox = sandbox("");
    sandbox.line("run -d --name second busybox sleep 1000").output().ok();
    sandbox.line("create --name stopped busybox true").output().ok();
    let stopped = sandbox.runr(["ps", "-aq", "--filter", "name=stopped"]).output().ok();
    for (flags, message) in [
        ("--network container:nosuch", "no such container: nosuch".to_owned()),
        (
            "--network container:stopped",
            format!("cannot join namespaces of container `{}`: it is not running", stopped.trim()),
        ),
        (
            "--pid container:other --network container:second",
            "the namespaces to join belong to different containers\nhint: all must have been made in one user namespace"
                .to_owned(),
        ),
        (
            "--network container:other --userns keep-id",
            "conflicting options: `--userns keep-id` and namespaces of another user namespace".to_owned(),
        ),
        ("--network container:other --hostname x", "conflicting options: hostname and the network mode".to_owned()),
        ("--network container:other --dns 192.0.2.1", "conflicting options: dns and the network mode".to_owned()),
        (
            "--network container:other --add-host a:192.0.2.1",
            "conflicting options: custom host-to-IP mapping and the network mode".to_owned(),
        ),
        ("--network ns:/etc/passwd", "`/etc/passwd` is not a namespace of that kind".to_owned()),
        ("--pid ns:/proc/self/ns/net", "`/proc/self/ns/net` is not a namespace of that kind".to_owned()),
    ] {
        let run = sandbox.line("run --rm").args(flags.split_whitespace());
        assert_eq!(run.args(["busybox", "true"]).output().fails(125), format!("runr: {message}\n"), "{flags}");
    }
    assert!(!sandbox.line("ps -aq").output().ok().lines().any(|l| l.len() != 12));
}

#[test]
fn a_container_that_shares_starts_again_with_the_other_one() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox.line("create --name a --network none busybox sleep 1000").output().ok();
    sandbox.line("create --name b --network container:a busybox ls /sys/class/net").output().ok();
    sandbox.line("start -a b").output().fails(125);
    for _ in 0..2 {
        sandbox.line("start a").output().ok();
        assert_eq!(sandbox.line("start -a b").output().ok(), "lo\n");
        // By name it was asked for, by id it is kept.
        sandbox.line("rename a c").output().ok();
        assert_eq!(sandbox.line("start -a b").output().ok(), "lo\n");
        sandbox.line("rename c a").output().ok();
    }
}

#[test]
fn namespaces_by_path() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    // The host's own is like `host`.
    let out = sandbox.line("run --rm --network ns:/proc/self/ns/net busybox ls /sys/class/net").output().ok();
    let host = sandbox.line("run --rm --network host busybox ls /sys/class/net").output().ok();
    assert_eq!(out, host);
    // One that another program made, in a user namespace of its own.
    let script = "unshare --user --map-root-user --net sh -c 'echo up; exec sleep 1000' & \
        sleep 0.5; runr run --rm --network ns:/proc/$!/ns/net busybox sh -c 'ls /sys/class/net; id -u'; kill $!";
    let out = sandbox.sh(script).output().ok();
    assert_eq!(out, "up\nlo\n0\n");
}

#[test]
fn maps_by_range() {
    need!(userns, subids, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let user = !nix::unistd::geteuid().is_root();
    let map = |flags: &str| {
        let run = sandbox.line("run --rm --user 0").args(flags.split_whitespace());
        run.args(["busybox", "sh", "-c", "cat /proc/self/uid_map; stat -c %u:%g /bin/busybox; touch /x; stat -c %u /x"])
            .output()
    };
    let squeezed = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    if user {
        // The user in the middle, as keep-id has it.
        let both = map("--uidmap 5:0:1 --uidmap 0:1:5 --uidmap 6:6:60000 --gidmap 5:0:1,0:1:5,6:6:60000").ok();
        assert_eq!(both, map("--uidmap 5:0:1,0:1:5,6:6:60000").ok(), "one alone is for both");
        assert!(squeezed(both).ends_with("0:0 0"));
        let stderr = map("--uidmap 0:1:5").fails(125);
        assert!(stderr.starts_with("runr: `--uidmap, --gidmap`: a container must have this user's own id"), "{stderr}");
        let stderr = map("--uidmap 5:0:1").fails(125);
        assert!(stderr.starts_with("runr: --uidmap, --gidmap: id 0 of the container must be mapped\n"), "{stderr}");
        map("--uidmap 0:0:1 --uidmap 1:0:1").fails(125);
    }
    assert!(squeezed(map("--uidmap 0:0:1 --uidmap 1:1:60000").ok()).contains(" 0:0 0"));
    assert!(map("--uidmap 0:0:1 --userns keep-id").fails(125).starts_with("runr: conflicting options: "));
    map("--uidmap 0:@4294967290:1").fails(125);
}
