//! Flags of `run` and `create` about a container's life and its user: each does what podman documents.

use crate::support::{Entry, ImageBuilder, Layer, Sandbox, base_layer, layer::Kind, pty::Pty, until};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// A sandbox with the base image in it.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox
}

/// Runs a shell script in a container with these flags; its stdout, or the test fails.
#[track_caller]
fn inside(sandbox: &Sandbox, flags: &str, script: &str) -> String {
    let run = sandbox.runr(["run", "--rm", "--network", "none"]).args(flags.split_whitespace());
    run.args(["busybox", "sh", "-c", script]).output().ok()
}

#[test]
fn a_container_takes_the_place_of_its_namesake() {
    need!(userns, shell);
    let sandbox = sandbox();
    let first = sandbox.line("run -d --name web busybox sleep 1000").output().ok();
    sandbox.line("run -d --name web busybox sleep 1000").output().fails(125);
    let second = sandbox.line("run -d --replace --name web busybox sleep 1000").output().ok();
    assert_ne!(first, second);
    assert_eq!(sandbox.line("ps -aq --no-trunc").output().ok(), second);
    let third = sandbox.line("create --replace --name web busybox true").output().ok();
    assert_eq!(sandbox.line("ps -aq --no-trunc").output().ok(), third);
    sandbox.line("create --replace --name new busybox true").output().ok();
    // Without the image the old container is better than none.
    sandbox.line("run --replace --name web --pull never nosuchimage true").output().fails(125);
    assert!(sandbox.line("ps -aq --no-trunc").output().ok().contains(third.trim()));
    assert_eq!(
        sandbox.line("run --replace busybox true").output().fails(125),
        "runr: --replace needs --name: there is nothing to replace\n"
    );
}

#[test]
fn what_a_container_requires_starts_first() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("create --name db busybox sleep 1000").output().ok();
    sandbox.line("create --name cache --requires db busybox sleep 1000").output().ok();
    let running = |sandbox: &Sandbox| {
        let names = sandbox.runr(["ps", "--format", "{{.Names}}"]).output().ok();
        let mut names: Vec<String> = names.lines().map(str::to_owned).collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(running(&sandbox), "");
    assert_eq!(inside(&sandbox, "--requires cache,db", "echo up"), "up\n");
    assert_eq!(running(&sandbox), "cache db");
    let stderr = sandbox.line("create --requires nosuch busybox true").output().fails(125);
    assert_eq!(stderr, "runr: --requires: no such container: nosuch\n");
}

#[test]
fn policies_and_removal_exclude_each_other() {
    need!(userns, shell);
    let sandbox = sandbox();
    for (flags, message) in [
        ("--rm --restart always", "--restart and --rm cannot be used together"),
        ("--restart sometimes", "--restart: unknown policy `sometimes`: use no, on-failure, always or unless-stopped"),
        ("--restart always:3", "--restart: invalid policy `always:3`: only on-failure takes a number of restarts"),
        ("--sdnotify never", "--sdnotify: unknown value `never`: use container, conmon, healthy or ignore"),
        ("--personality bsd", "--personality: unknown execution domain `bsd`: use LINUX or LINUX32"),
    ] {
        let run = sandbox.line("run").args(flags.split_whitespace()).args(["busybox", "true"]);
        assert_eq!(run.output().fails(125), format!("runr: {message}\n"), "{flags}");
    }
    sandbox.line("run --rm --restart no busybox true").output().ok();
    // Started again until it succeeds.
    let script = "echo try >> /tries; test $(wc -l < /tries) = 3";
    sandbox.runr(["run", "--name", "again", "--restart", "on-failure", "busybox", "sh", "-c", script]).output().ok();
}

#[test]
fn the_image_may_go_with_the_container() {
    need!(userns, shell);
    let sandbox = sandbox();
    let images = |sandbox: &Sandbox| sandbox.line("images -q").output().ok().lines().count();
    sandbox.line("create --name user busybox true").output().ok();
    let out = sandbox.line("run --rmi busybox echo ran").output();
    assert_eq!((out.code(), out.stdout.as_str(), images(&sandbox)), (0, "ran\n", 1));
    assert!(out.stderr.starts_with("runr: warning: the image stays: "), "{}", out.stderr);
    sandbox.line("rm user").output().ok();
    assert_eq!(sandbox.line("run --rmi busybox sh -c true").output().ok(), "");
    assert_eq!(images(&sandbox), 0);
    assert_eq!(sandbox.line("ps -aq").output().ok(), "");
}

#[test]
fn the_image_may_go_with_a_container_in_the_background() {
    need!(userns, shell);
    let sandbox = sandbox();
    let images = |sandbox: &Sandbox| sandbox.line("images -q").output().ok().lines().count();
    // In the middle of its run, and of a killed monitor nobody does it.
    sandbox.line("run -d --rmi --name c busybox sleep 1000").output().ok();
    assert_eq!(sandbox.line("inspect --format {{.HostConfig.AutoRemove}} c").output().ok(), "true\n");
    assert_eq!(images(&sandbox), 1);
    let monitor = sandbox.line("inspect --format {{.State.ConmonPid}} c").output().ok();
    let monitor = nix::unistd::Pid::from_raw(monitor.trim().parse().unwrap());
    nix::sys::signal::kill(monitor, nix::sys::signal::Signal::SIGKILL).unwrap();
    until("the container goes", || {
        let _ = sandbox.line("container cleanup --all").output();
        sandbox.line("ps -aq").output().ok().is_empty()
    });
    assert_eq!(images(&sandbox), 1);
    // Another container uses it: it stays, and nobody is told.
    sandbox.line("create --name user busybox true").output().ok();
    let id = sandbox.line("run -d --rmi busybox true").output().ok();
    until("the container goes", || !sandbox.line("ps -aq --no-trunc").output().ok().contains(id.trim()));
    crate::store::settle(&sandbox);
    assert_eq!(images(&sandbox), 1);
    sandbox.line("rm user").output().ok();
    for end in ["stop -t 0", "rm -f -t 0", "kill"] {
        sandbox.base_image();
        sandbox.line("run -d --rmi --name c busybox sleep 1000").output().ok();
        sandbox.line(&format!("{end} c")).output().ok();
        until("the image goes", || images(&sandbox) == 0);
        assert_eq!(sandbox.line("ps -aq").output().ok(), "", "{end}");
    }
    // Who leaves a container in the foreground leaves it its task, too.
    sandbox.base_image();
    let mut terminal = Pty::start(sandbox.line("run -it --rmi --name c busybox sh -c").arg("echo up; sleep 1000"));
    terminal.expect("up");
    terminal.send("\u{10}\u{11}");
    assert_eq!(terminal.wait(), 0);
    assert_eq!(images(&sandbox), 1);
    sandbox.line("stop -t 0 c").output().ok();
    until("the image goes", || images(&sandbox) == 0);
}

#[test]
fn files_of_ids() {
    need!(userns, shell);
    let sandbox = sandbox();
    let path = |name: &str| sandbox.path(name).display().to_string();
    let flags = format!("--cidfile {} --pidfile {} --conmon-pidfile {}", path("cid"), path("pid"), path("mon"));
    let id = sandbox.line(&format!("run -d --name c {flags} busybox sleep 1000")).output().ok();
    let read = |name: &str| std::fs::read_to_string(sandbox.path(name)).unwrap();
    assert_eq!(read("cid"), id.trim());
    let (pid, monitor): (i32, i32) = (read("pid").parse().unwrap(), read("mon").parse().unwrap());
    let parent = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let parent: i32 = parent.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(parent, monitor);
    let stderr = sandbox.line(&format!("run --cidfile {} busybox true", path("cid"))).output().fails(125);
    assert!(stderr.contains("container id file found"), "{stderr}");
}

#[test]
fn users_that_the_image_does_not_know_get_a_name() {
    need!(userns, subids, shell);
    let sandbox = sandbox();
    let last = "tail -n 1 /etc/passwd; tail -n 1 /etc/group; id -un";
    let known = inside(&sandbox, "", "tail -n 1 /etc/passwd; tail -n 1 /etc/group; id -un");
    let (passwd, group) = known.trim().rsplit_once('\n').unwrap().0.split_once('\n').unwrap();
    for (flags, expected) in [
        ("--user 4321", format!("4321:*:4321:0:container user:/:/bin/sh\n{group}\n4321\n")),
        ("--user 4321:55", "4321:*:4321:55:container user:/:/bin/sh\n55:x:55:4321\n4321\n".to_owned()),
        ("--user 4321 -w /tmp", format!("4321:*:4321:0:container user:/tmp:/bin/sh\n{group}\n4321\n")),
        ("--user 4321 --read-only", format!("4321:*:4321:0:container user:/:/bin/sh\n{group}\n4321\n")),
        (
            "--user 4321:55 --passwd-entry x$USERNAME:$UID:$UID:$GID:$NAME:$HOME:/sh --group-entry g$GROUPNAME:x:$GID:$USERLIST",
            "x4321:4321:4321:55:container user:/:/sh\ng55:x:55:4321\nx4321\n".to_owned(),
        ),
    ] {
        assert_eq!(inside(&sandbox, flags, last), expected, "{flags}");
    }
    let out = inside(&sandbox, "--user 4321 --passwd=false", "tail -n 1 /etc/passwd; tail -n 1 /etc/group; id -u");
    assert_eq!(out, format!("{passwd}\n{group}\n4321\n"));
    // Once, however often it starts.
    sandbox.line("create --name c --user 4321 busybox grep -c 4321: /etc/passwd").output().ok();
    for _ in 0..2 {
        assert_eq!(sandbox.line("start -a c").output().ok(), "1\n");
    }
    let nobody = sandbox.line("run --rm --hostuser nosuchuser busybox true").output().fails(125);
    assert_eq!(nobody, "runr: `--hostuser nosuchuser`: this machine has no such user\n");
}

#[test]
fn users_of_this_machine_get_a_name() {
    need!(userns, subids, shell);
    let sandbox = sandbox();
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let name = runr::userns::subid::user_name(uid.as_raw());
    if !uid.is_root() {
        let line = inside(&sandbox, "--userns keep-id", "tail -n 1 /etc/passwd; id -un");
        assert!(
            line.starts_with(&format!("{name}:*:{uid}:{gid}:")) && line.ends_with(&format!(":/bin/sh\n{name}\n")),
            "{line}"
        );
    }
    let line = inside(
        &sandbox,
        "--hostuser daemon --hostuser games",
        "grep -c ':\\*:.*:/:/bin/sh$' /etc/passwd; grep ^games: /etc/passwd",
    );
    assert!(line.lines().nth(1).unwrap().starts_with("games:"), "{line}");
}

#[test]
fn descriptors_are_passed_on() {
    need!(userns, shell, tool("bash"));
    let sandbox = sandbox();
    let script = "exec 3< \"$0\" 5< \"$0\"; runr run --rm --preserve-fds 1 busybox sh -c 'cat <&3; test -e /proc/self/fd/4 || echo one'; \
        runr run --rm --preserve-fd 5 busybox sh -c 'cat <&5; test -e /proc/self/fd/3 || echo two'; \
        runr run --rm -t --preserve-fd 3,5 busybox sh -c 'test -e /proc/self/fd/3 -a -e /proc/self/fd/5 && echo three'";
    let file = sandbox.write("text", "passed\n");
    let out = sandbox.command("bash").args(["-c", script]).arg(&file).output().ok();
    assert_eq!(out.replace('\r', ""), "passed\none\npassed\ntwo\nthree\n");
    for (flags, message) in [
        ("--preserve-fds 9", "file descriptor 3 is not open, so it cannot be passed on"),
        ("--preserve-fd 1", "descriptors that can be passed on have numbers from 3 to 255"),
        ("--preserve-fd 3 --preserve-fds 1", "--preserve-fds and --preserve-fd cannot be used together"),
    ] {
        let run = sandbox.line("run --rm").args(flags.split_whitespace()).args(["busybox", "true"]);
        assert_eq!(run.output().fails(125), format!("runr: {message}\n"));
    }
}

#[test]
fn sockets_of_a_service_manager_are_passed_on() {
    need!(userns, shell);
    let sandbox = sandbox();
    // LISTEN_PID is the pid of the program that is executed.
    let script = "exec 3< /etc/hostname; LISTEN_FDS=1 LISTEN_FDNAMES=web LISTEN_PID=$$ exec runr run --rm busybox sh -c \
        'echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES; test -e /proc/self/fd/3'";
    assert_eq!(sandbox.sh(script).output().ok(), "1 1 web\n");
    // Meant for another process.
    let run = sandbox.runr(["run", "--rm", "busybox", "sh", "-c", "echo ${LISTEN_FDS:-none}"]);
    assert_eq!(run.env("LISTEN_FDS", "1").env("LISTEN_PID", "1").output().ok(), "none\n");
}

/// What the service manager hears until it has heard `READY=1`, or nothing for a moment.
fn heard(socket: &UnixDatagram, wait: Duration) -> String {
    socket.set_read_timeout(Some(wait)).unwrap();
    let mut text = String::new();
    let mut buffer = [0u8; 4096];
    while let Ok(n) = socket.recv(&mut buffer) {
        text.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
        if text.contains("READY=1") {
            break;
        }
    }
    text
}

#[test]
fn the_service_manager_is_told() {
    need!(userns, shell);
    let sandbox = sandbox();
    let address = sandbox.path("notify");
    let socket = UnixDatagram::bind(&address).unwrap();
    let run = |flags: &str, script: &str| {
        let run = sandbox.runr(["run", "-d", "--name", "c", "--replace"]).args(flags.split_whitespace());
        run.args(["busybox", "sh", "-c", script]).env("NOTIFY_SOCKET", &address).output().ok();
    };
    let state = || {
        let path = std::fs::read_dir(sandbox.store().join("containers")).unwrap().next().unwrap().unwrap().path();
        let text = std::fs::read_to_string(path.join("state.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["monitor"]["pid"].as_i64().unwrap()
    };
    run("--sdnotify conmon", "echo ${NOTIFY_SOCKET:-none} > /v; sleep 1000");
    assert_eq!(heard(&socket, Duration::from_secs(10)), format!("MAINPID={}\nREADY=1\n", state()));
    run("--sdnotify healthy --health-cmd true --health-interval 1s", "sleep 1000");
    assert_eq!(heard(&socket, Duration::from_secs(10)), format!("MAINPID={}\nREADY=1\n", state()));
    run("--sdnotify ignore", "sleep 1000");
    assert_eq!(heard(&socket, Duration::from_millis(200)), "");
    // The container's own word, and only what it may say. busybox cannot send a datagram to a socket, so the probe does.
    run("", "test -S $NOTIFY_SOCKET && touch /run/notify/x 2>/dev/null || sleep 1000");
    assert_eq!(heard(&socket, Duration::from_millis(200)), "");
    let folder = std::fs::read_dir(sandbox.store().join("containers")).unwrap().next().unwrap().unwrap().path();
    let own = UnixDatagram::unbound().unwrap();
    // By way of a descriptor: the whole path is too long for a socket's name.
    let folder = std::fs::File::open(folder.join("notify")).unwrap();
    let name = format!("/proc/self/fd/{}/notify.sock", folder.as_raw_fd());
    own.send_to(b"STATUS=soon\nMAINPID=1", &name).unwrap();
    assert_eq!(heard(&socket, Duration::from_millis(200)), "");
    own.send_to(b"STATUS=now\nREADY=1\nMAINPID=1\n", &name).unwrap();
    assert_eq!(heard(&socket, Duration::from_secs(10)), format!("MAINPID={}\nREADY=1\n", state()));
}

#[test]
fn small_flags_of_the_process() {
    need!(userns, shell);
    let sandbox = sandbox();
    assert_eq!(inside(&sandbox, "--runtime runr", "echo own"), "own\n");
    assert_eq!(inside(&sandbox, "--umask 0077", "umask"), "0077\n");
    assert_eq!(
        inside(&sandbox, "--env-merge PATH=$PATH:/more --env-merge N=x${NO}y", "echo ${PATH##*:} $N"),
        "/more xy\n"
    );
    let machine = if cfg!(target_arch = "x86_64") { "i686" } else { "armv8l" };
    assert_eq!(inside(&sandbox, "--personality LINUX32", "uname -m").trim(), machine);
    assert_eq!(inside(&sandbox, "", "readlink /etc/mtab"), "/proc/mounts\n");
    let file = sandbox.write("labels", "a=1\n# note\nb\n");
    sandbox.line(&format!("create --name l --label-file {} --label b=2 busybox true", file.display())).output().ok();
    let labels =
        sandbox.runr(["inspect", "--format", "{{index .Config.Labels \"a\"}}{{index .Config.Labels \"b\"}}", "l"]);
    assert_eq!(labels.output().ok(), "12\n");
}

#[test]
fn the_init_may_be_the_users_own() {
    need!(userns, shell);
    let sandbox = sandbox();
    let script = "#!/bin/sh\n[ \"$1\" = -- ] || exit 99\nshift\necho $$ $0\n\"$@\"\necho then $?\nexit 5\n";
    let init = sandbox.write("init", script);
    sandbox.sh("chmod 755 init").cwd(sandbox.dir()).output().ok();
    let run = |flags: &str, command: &str| {
        let run = sandbox.line("run --rm --network none --init --init-path init").cwd(sandbox.dir());
        run.args(flags.split_whitespace()).args(["busybox", "sh", "-c", command]).output()
    };
    for flags in ["", "--read-only", "--userns host", "-t"] {
        let out = run(flags, "echo sh $PPID; exit 3");
        assert_eq!(out.stdout.replace('\r', ""), "1 /run/podman-init\nsh 1\nthen 3\n", "{flags}: {}", out.stderr);
        assert_eq!(out.code(), 5);
    }
    // It can't be written from inside.
    let out = run("", "(echo x >> /run/podman-init) 2>/dev/null || echo no");
    assert_eq!((out.stdout.as_str(), out.code()), ("1 /run/podman-init\nno\nthen 0\n", 5));
    assert_eq!(std::fs::read_to_string(&init).unwrap(), script);
    // It is looked at at each start.
    sandbox.line("create --name c --init --init-path").args([&init]).args(["busybox", "true"]).output().ok();
    sandbox.line("start -a c").output().fails(5);
    std::fs::remove_file(&init).unwrap();
    let missing = format!("runr: --init-path: look at `{}`: No such file or directory (ENOENT)\n", init.display());
    assert_eq!(sandbox.line("start c").output().fails(125), missing);
    assert_eq!(run("", "true").fails(125), missing);
    assert_eq!(
        sandbox.line("run --init --init-path / busybox true").output().fails(125),
        "runr: --init-path: `/` is no file\n"
    );
    assert_eq!(
        sandbox.line("run --init-path /x busybox true").output().fails(125),
        "runr: --init-path needs --init: without it no init runs\n"
    );
}

#[test]
fn mounts_of_another_container() {
    need!(userns, shell);
    let sandbox = sandbox();
    let (one, two, three) = (sandbox.path("one"), sandbox.path("two"), sandbox.path("three"));
    for (folder, file) in [(&one, "1"), (&two, "2"), (&three, "3")] {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join(file), "").unwrap();
    }
    let flags = format!("-v {}:/m1:ro -v {}:/m2 --tmpfs /m3", one.display(), two.display());
    sandbox.line(&format!("create --name src {flags} busybox true")).output().ok();
    let script = "ls /m1 /m2; touch /m1/x 2>/dev/null || echo ro; touch /m2/x 2>/dev/null || echo ro; rm -f /m2/x; test ! -e /m3";
    assert_eq!(inside(&sandbox, "--volumes-from src", script), "/m1:\n1\n\n/m2:\n2\nro\n");
    assert_eq!(inside(&sandbox, "--volumes-from src:ro", script), "/m1:\n1\n\n/m2:\n2\nro\nro\n");
    let own = format!("--volumes-from src:rw -v {}:/m1", three.display());
    assert_eq!(inside(&sandbox, &own, "ls /m1 /m2"), "/m1:\n3\n\n/m2:\n2\n");
    for (flag, message) in [
        ("nosuch", "--volumes-from: no such container: nosuch"),
        ("src:shiny", "--volumes-from: invalid option `shiny` in `src:shiny`: use ro, rw or z"),
    ] {
        let run = sandbox.runr(["run", "--volumes-from", flag, "busybox", "true"]);
        assert_eq!(run.output().fails(125), format!("runr: {message}\n"));
    }
}

#[test]
fn a_container_is_cloned() {
    need!(userns, shell);
    let sandbox = sandbox();
    let script = "echo $A; test -e /mark && echo marked; touch /mark";
    sandbox.runr(["create", "--name", "src", "-e", "A=1", "busybox", "sh", "-c", script]).output().ok();
    assert_eq!(sandbox.line("start -a src").output().ok(), "1\n");
    let id = sandbox.line("container clone src").output().ok();
    assert_eq!(id.len(), 65);
    sandbox.line("container clone src").output().ok();
    // Settings are copied, files are not.
    assert_eq!(sandbox.line("start -a src-clone").output().ok(), "1\n");
    assert_eq!(sandbox.line("start -a src-clone1").output().ok(), "1\n");
    assert_eq!(sandbox.line("start -a src").output().ok(), "1\nmarked\n");
    // The image's name may be another one's by now.
    let archive = sandbox.path("other.tar");
    let other = ImageBuilder::new().layer(&Layer::new().file("f", "x")).build();
    other.write_docker_archive(&archive, &["busybox:latest"]);
    sandbox.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output().ok();
    sandbox.line("image prune -f").output().ok();
    sandbox.line("container clone --run --destroy src new").output().ok();
    sandbox.line("wait new").output().ok();
    let names = sandbox.runr(["ps", "-a", "--format", "{{.Names}}", "--filter", "name=src$", "--filter", "name=new"]);
    assert_eq!(names.output().ok(), "new\n");
    sandbox.line("container clone src-clone new").output().fails(125);
    sandbox.line("container clone nosuch").output().fails(125);
    assert_eq!(
        sandbox.line("container clone --force new").output().fails(125),
        "runr: --force needs --destroy: it is about the container that is removed\n"
    );
}

#[test]
fn the_image_may_bring_its_own_filter() {
    need!(userns, shell);
    let sandbox = sandbox();
    assert_eq!(inside(&sandbox, "--seccomp-policy image", "echo no label"), "no label\n");
    let e = sandbox.line("run --seccomp-policy shiny busybox true").output().fails(125);
    assert_eq!(e, "runr: --seccomp-policy: unknown policy `shiny`: use default or image\n");
}

#[test]
fn the_hosts_file_has_a_base() {
    need!(userns, shell);
    let sandbox = sandbox();
    let file = sandbox.write("base", "192.0.2.1\tbase\n");
    let hosts = |flags: &str| inside(&sandbox, &format!("--hostname web {flags}"), "cat /etc/hosts");
    let own = "127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\tweb\n";
    assert_eq!(hosts(&format!("--hosts-file {}", file.display())), format!("192.0.2.1\tbase\n{own}"));
    assert_eq!(hosts("--hosts-file none --add-host a:192.0.2.2"), format!("192.0.2.2\ta\n{own}"));
    sandbox.line("run --rm --hosts-file /nonexistent busybox true").output().fails(125);
    sandbox.line("run --rm --hosts-file none --no-hosts busybox true").output().fails(125);
}

#[test]
fn the_hosts_file_may_begin_with_the_images_own() {
    need!(userns, shell);
    let sandbox = sandbox();
    let image = |layer: Layer| {
        let image = ImageBuilder::new().layer(&base_layer()).layer(&layer).build();
        image.write_oci_archive(&sandbox.path("image.tar"), "hosts:1");
        format!("oci-archive:{}", sandbox.path("image.tar").display())
    };
    let hosts = |image: &str| {
        let flags = "run --rm --network none --hostname web --hosts-file image --add-host a:192.0.2.2";
        sandbox.line(flags).args([image, "cat", "/etc/hosts"]).output()
    };
    let own = "127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\tweb\n";
    let with = |base: &str| format!("192.0.2.2\ta\n{base}{own}");
    // Later layers count, links are the image's.
    let good = Layer::new().symlink("etc/hosts", "/usr/../../../../hosts").file("hosts", "192.0.2.1 base");
    assert_eq!(hosts(&image(good)).ok(), with("192.0.2.1 base\n"));
    assert_eq!(hosts("busybox").ok(), with(""));
    let outside = sandbox.write("secret", "192.0.2.9 secret\n");
    let up = format!("../../../../../../..{}", outside.display());
    for target in [outside.display().to_string(), up] {
        assert_eq!(hosts(&image(Layer::new().symlink("etc/hosts", &target))).ok(), with(""), "{target}");
    }
    for (layer, why) in [
        (Layer::new().entry(Entry::new("etc/hosts", Kind::Fifo)), "is not a regular file"),
        (Layer::new().dir("etc/hosts", 0o755), "is not a regular file"),
        (Layer::new().file("etc/hosts", vec![b'x'; 5 << 20]), "is larger than 4194304 bytes"),
    ] {
        let said = hosts(&image(layer)).fails(125);
        assert_eq!(said.lines().last(), Some(&*format!("runr: --hosts-file: the image's `/etc/hosts` {why}")));
    }
    // What became of it since is the container's own.
    sandbox
        .line("create --name c --hostname web --network none --hosts-file image busybox cat /etc/hosts")
        .output()
        .ok();
    assert_eq!(sandbox.line("start -a c").output().ok(), own);
    sandbox.runr(["cp"]).arg(&outside).arg("c:/etc/hosts").output().ok();
    assert_eq!(sandbox.line("start -a c").output().ok(), format!("192.0.2.9 secret\n{own}"));
    // Also where its user does not exist, and of a folder.
    sandbox.sh("mkdir -p root/etc && cp secret root/etc/hosts").cwd(sandbox.dir()).output().ok();
    let flags = "create --name d --hosts-file image --network none --hostname web --rootfs";
    sandbox.line(flags).arg(sandbox.path("root")).arg("/x").output().ok();
    sandbox.line("start d").output().fails(127);
    let made = sandbox.sh("cat data/runr/containers/*/hosts").cwd(sandbox.dir()).output().ok();
    assert!(made.contains(&format!("192.0.2.9 secret\n{own}")), "{made}");
}

#[test]
fn systemd_gets_what_it_needs() {
    need!(userns, shell);
    let sandbox = sandbox();
    let script = "for d in /run /run/lock /tmp /var/log/journal; do grep -q \" $d tmpfs rw\" /proc/self/mounts && stat -c '%a %n' $d;
        done; echo $container ${#container_uuid}";
    let all = "755 /run\n755 /run/lock\n1777 /tmp\n755 /var/log/journal\noci 32\n";
    assert_eq!(inside(&sandbox, "--systemd always", script), all);
    // A mount of the user's own stays, and a shell is not systemd.
    let own = inside(&sandbox, "--systemd=always --tmpfs /run/lock:mode=700", script);
    assert_eq!(own, all.replace("755 /run/lock", "700 /run/lock"));
    let sized = inside(&sandbox, "--systemd=always --shm-size-systemd 1m", "grep -c size=1024k /proc/self/mounts");
    assert_eq!(sized, "4\n");
    for flags in ["", "--systemd true", "--systemd=false"] {
        assert_eq!(inside(&sandbox, flags, script), "oci 0\n");
    }
    let shown = |flags: &str, command: &str| {
        sandbox.line("create --name c").args(flags.split_whitespace()).args(["busybox", command]).output().ok();
        let format = "{{.Config.SystemdMode}} {{.Config.StopSignal}}";
        let shown = sandbox.runr(["inspect", "c", "--format", format]).output().ok();
        sandbox.line("rm c").output().ok();
        shown.trim().replace("<no value>", "").trim().to_owned()
    };
    assert_eq!(shown("", "/sbin/init"), "true SIGRTMIN+3");
    assert_eq!(shown("--stop-signal INT", "/lib/systemd/systemd"), "true INT");
    assert_eq!(shown("--systemd=0", "/sbin/init"), "false");
    assert_eq!(shown("", "init"), "false");
    let refused = sandbox.line("run --systemd perhaps busybox true").output().fails(125);
    assert!(refused.contains("--systemd: invalid value `perhaps`"), "{refused}");
}

#[test]
fn volumes_of_the_image_are_folders_or_memory() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("create --name c busybox true").output().ok();
    sandbox.runr(["commit", "-c", "VOLUME /data /own", "c", "volumes"]).output().ok();
    let run = |flags: &str| {
        let run = sandbox.line("run --rm --network none").args(flags.split_whitespace());
        run.args(["volumes", "sh", "-c", "grep -oE '^[a-z]+ /(data|own) ' /proc/self/mounts | sort; true"])
            .output()
            .ok()
    };
    assert_eq!(run(""), run("--image-volume ignore"));
    assert_eq!(run("--image-volume ignore"), "");
    assert_eq!(run("--image-volume tmpfs"), "tmpfs /data \ntmpfs /own \n");
    let own = sandbox.path("own");
    std::fs::create_dir(&own).unwrap();
    assert_eq!(run(&format!("--image-volume tmpfs -v {}:/own", own.display())).matches("tmpfs /data").count(), 1);
    let refused = sandbox.line("run --image-volume x volumes true").output().fails(125);
    assert!(refused.contains("invalid value `x`"), "{refused}");
}

#[test]
fn a_further_run_has_its_descriptors_and_its_pidfile() {
    need!(userns, shell, tool("bash"));
    let sandbox = sandbox();
    let (file, pidfile) = (sandbox.write("text", "passed\n"), sandbox.path("pid"));
    let script =
        "exec 3< \"$0\"; runr run -d --name c --restart on-failure:1 --pidfile \"$1\" --preserve-fds 1 busybox sh -c '
        cat <&3; test -e /second || { touch /second; exit 1; }; test -e /proc/self/fd/3 && echo there; exec sleep 1000'";
    sandbox.command("bash").args(["-c", script]).arg(&file).arg(&pidfile).output().ok();
    let shown = |field: &str| sandbox.runr(["inspect", "c", "-f", field]).output().ok().trim().to_owned();
    let begin = std::time::Instant::now();
    while shown("{{.RestartCount}} {{.State.Status}}") != "1 running"
        || std::fs::read_to_string(&pidfile).unwrap() != shown("{{.State.Pid}}")
    {
        assert!(begin.elapsed() < Duration::from_secs(20), "{}", shown("{{json .State}}"));
        std::thread::sleep(Duration::from_millis(20));
    }
    // One open file, read to its end by the first run, and there for the second.
    sandbox.line("kill c").output().ok();
    sandbox.line("wait c").output().ok();
    assert_eq!(sandbox.line("logs c").output().ok(), "passed\nthere\n");
}

#[test]
fn generated_files_are_in_chroot_folders_too() {
    need!(userns, shell);
    let sandbox = sandbox();
    let script = "cmp /etc/hosts /jail/etc/hosts && cmp /etc/hostname /var/jail/etc/hostname && ls /jail/etc | wc -l";
    let files: u32 = inside(&sandbox, "--chrootdirs /jail,/var/jail", script).trim().parse().unwrap();
    assert!(files >= 2, "{files}");
    for bad in ["jail", "/", "/proc/1"] {
        sandbox.line("run --rm --network none --chrootdirs").args([bad, "busybox", "true"]).output().fails(125);
    }
}
