//! Ways out of containers that worked elsewhere, and some that never did: each is tried for real, through the binary.

use crate::support::{Entry, ImageBuilder, Layer, Output, Sandbox, base_layer, layer::Kind, probe, pty::Pty};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Puts the base image with one more layer and config values into the sandbox, as `hostile`.
pub(crate) fn image(sandbox: &Sandbox, layer: Layer, config: &[(&str, Value)]) -> &'static str {
    let mut builder = ImageBuilder::new().layer(&base_layer()).layer(&layer).config("Cmd", json!(["sh"]));
    builder = builder.config("Env", json!(["PATH=/usr/bin:/bin"]));
    for (key, value) in config {
        builder = builder.config(key, value.clone());
    }
    let archive = sandbox.path("hostile.tar");
    builder.build().write_docker_archive(&archive, &["hostile:latest"]);
    sandbox.runr(["pull", "-q", &format!("docker-archive:{}", archive.display())]).output().ok();
    std::fs::remove_file(archive).unwrap();
    "hostile"
}

/// Runs a shell script in a container.
fn run(sandbox: &Sandbox, image: &str, flags: &[&str], script: &str) -> Output {
    let run = sandbox.runr(["run", "--rm", "--network", "none"]).args(flags).limit(Duration::from_secs(30));
    run.args([image, "sh", "-c", script]).output()
}

/// A folder on the host with a file that no container is to see.
pub(crate) fn secret(sandbox: &Sandbox) -> PathBuf {
    sandbox.write("secret/inside", "the host's");
    sandbox.path("secret")
}

/// A copy of runr of its own, so that a successful attack spoils nothing else; returns its content to compare with.
pub(crate) fn own_binary(sandbox: &Sandbox) -> (PathBuf, Vec<u8>) {
    let path = sandbox.path("bin/runr");
    let content = std::fs::read(&path).unwrap();
    let original = path.canonicalize().unwrap();
    std::fs::remove_file(&path).unwrap();
    // By another process: a child of a test beside this one could hold this process's descriptor (ETXTBSY).
    sandbox.command("cp").args([&original, &path]).output().ok();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    (path, content)
}

#[test]
fn the_executable_cannot_be_overwritten() {
    need!(userns, shell, probe);
    let sandbox = Sandbox::new();
    let (path, content) = own_binary(&sandbox);
    // CVE-2019-5736, by runr's own init, which lives as long as the container.
    let closed = "write EACCES, read EACCES";
    assert_eq!(probe::answer(&sandbox, "--init", "overwrite /proc/1/exe"), closed);
    for flags in ["--init --cap-add SYS_PTRACE --cap-add SYS_ADMIN", "--init --privileged"] {
        let answer = probe::answer(&sandbox, flags, "overwrite /proc/1/exe");
        // Who may trace may look; the mount stays read-only also when nobody executes the file any more (ETXTBSY).
        let looked = "write ETXTBSY, read ok, read-only mount, reopen ETXTBSY";
        assert!(
            answer == closed || answer == looked || answer == looked.replace("ETXTBSY", "EROFS"),
            "{flags}: {answer}"
        );
    }
    // And by making the container's first process runr itself.
    let scripts = Layer::new()
        .program("entry", "#!/proc/self/exe\n")
        .symlink("link", "/proc/self/exe")
        .program("again", "#!/link run\n");
    let image = image(&sandbox, scripts, &[]);
    for command in ["/proc/self/exe", "/entry", "/link", "/again", "/proc/1/exe", "/proc/thread-self/exe"] {
        for tail in [&[][..], &["version"][..], &["__rmtree", "/etc"][..]] {
            let run = sandbox.runr(["run", "--rm", "--network", "none", image, command]).args(tail).output();
            assert_ne!(run.code(), 124, "{command}");
        }
    }
    assert!(std::fs::read(path).unwrap() == content, "runr was changed from inside a container");
}

#[test]
fn shared_pids_do_not_open_the_host() {
    need!(userns, shell, probe);
    let sandbox = Sandbox::new();
    let (path, content) = own_binary(&sandbox);
    let base = sandbox.base_image();
    let own = std::process::id();
    let script = format!(
        "for d in root cwd exe environ mem fd/0; do head -c 1 /proc/{own}/$d; ls /proc/{own}/$d/; done 2>/dev/null; \
         for p in /proc/[0-9]*; do readlink $p/exe; done 2>/dev/null | grep runr; echo end"
    );
    assert_eq!(run(&sandbox, base, &["--pid", "host", "--privileged"], &script).ok(), "end\n");
    assert!(std::fs::read(path).unwrap() == content);
}

#[test]
fn the_working_folder_is_in_the_container() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let secret = secret(&sandbox);
    let up = "../../../../../../../../../../../../..";
    let layer = Layer::new()
        .symlink("up", format!("{up}{}", secret.display()))
        .symlink("absolute", secret.display().to_string())
        .symlink("descriptor", "/proc/self/fd/5")
        .symlink("cwd", "/proc/self/cwd")
        .symlink("top", up);
    let image = image(&sandbox, layer, &[]);
    // CVE-2024-21626: a descriptor of the host's that leaked into the container.
    let mut folders: Vec<String> = (3..12).map(|n| format!("/proc/self/fd/{n}")).collect();
    folders.extend((3..9).map(|n| format!("/proc/self/fd/{n}/{up}{}", secret.display())));
    folders.extend(
        ["/up", "/absolute", "/descriptor", "/cwd", "/top", "/proc/1/cwd", "/proc/self/root"].map(String::from),
    );
    for folder in &folders {
        let script = format!(
            "exec 5<{} 6</; exec runr run --rm --network none --workdir {folder} {image} sh -c \
             'cat inside ./inside 2>/dev/null; cat ../../../../../../..{}/inside 2>/dev/null; [ -e /bin/sh ] && echo end'",
            secret.display(),
            secret.display()
        );
        let out = sandbox.sh(&script).output();
        assert!(!out.stdout.contains("the host's"), "{folder}: {out:?}");
        assert!(out.stdout == "end\n" || out.code() >= 125, "{folder}: {out:?}");
    }
}

#[test]
fn the_images_working_folder_is_no_better() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    for folder in ["/proc/self/fd/3", "/proc/self/fd/7/../../..", "proc/self/fd/4", "/proc/self/cwd/../../../.."] {
        let image = image(&sandbox, Layer::new().file("etc/marker", "the image's"), &[("WorkingDir", json!(folder))]);
        let out = run(&sandbox, image, &[], "cat /etc/marker; pwd");
        assert!(out.stdout.starts_with("the image's/") || out.code() >= 125, "{folder}: {out:?}");
    }
}

#[test]
fn mount_targets_stay_in_the_container() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let secret = secret(&sandbox);
    let volume = sandbox.write("volume/mine", "the volume's");
    let volume = volume.parent().unwrap().display().to_string();
    let layer = Layer::new()
        .symlink("absolute", secret.display().to_string())
        .symlink("up", format!("../../../../../../../../../../{}", secret.display()))
        .symlink("chain", "absolute")
        .symlink("dangling", format!("{}/new", secret.display()))
        .symlink("root", "/proc/self/root");
    let image = image(&sandbox, layer, &[]);
    for target in ["/absolute", "/up", "/chain", "/dangling", "/absolute/deeper", "/up/../../x", "/root/there"] {
        let out =
            run(&sandbox, image, &["--volume", &format!("{volume}:{target}")], &format!("cat {target}/mine /x/mine"));
        assert!(out.stdout == "the volume's" || out.code() == 125, "{target}: {out:?}");
        let left: Vec<_> = std::fs::read_dir(&secret).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, ["inside"], "{target} made something on the host");
    }
}

#[test]
fn a_mount_target_that_is_swapped_meanwhile_leads_nowhere_else() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let base = sandbox.base_image();
    let secret = secret(&sandbox);
    let shared = sandbox.path("shared");
    std::fs::create_dir_all(shared.join("d")).unwrap();
    symlink(&secret, shared.join("l")).unwrap();
    sandbox.write("volume/mine", "the volume's");
    // CVE-2021-30465: another container of the same volume exchanges the target with a link, at the right moment.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                exchange(&shared.join("d"), &shared.join("l"));
            }
        });
        for _ in 0..25 {
            let first = format!("{}:/v", shared.display());
            let second = format!("{}:/v/d", sandbox.path("volume").display());
            let script = "cat /v/d/inside /v/l/inside 2>/dev/null; ls /proc/self/fd >/dev/null; true";
            let out = run(&sandbox, base, &["--volume", &first, "--volume", &second], script);
            assert!(!out.stdout.contains("the host's"), "{out:?}");
            assert!(out.code() == 0 || out.code() == 125, "{out:?}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(std::fs::read_dir(&secret).unwrap().count(), 1);
}

fn exchange(a: &Path, b: &Path) {
    let flags = nix::fcntl::RenameFlags::RENAME_EXCHANGE;
    nix::fcntl::renameat2(nix::fcntl::AT_FDCWD, a, nix::fcntl::AT_FDCWD, b, flags).unwrap();
}

#[test]
fn nothing_is_mounted_over_proc() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let base = sandbox.base_image();
    sandbox.write("fake/self/attr/exec", "");
    let fake = sandbox.path("fake").display().to_string();
    // CVE-2019-16884, CVE-2019-19921: a volume in place of the kernel's own files.
    for target in ["/proc", "/proc/", "/proc/self", "/proc/self/attr", "/proc/sys", "/./proc", "//proc/sys/kernel"] {
        let out = run(&sandbox, base, &["--volume", &format!("{fake}:{target}")], "true");
        let text = out.fails(125);
        assert!(text.contains("/proc"), "{target}: {text}");
        let out = run(&sandbox, base, &["--tmpfs", target], "true");
        assert!(out.fails(125).contains("/proc"), "{target}");
    }
    // CVE-2023-27561: the same by a link in the image.
    let layer = Layer::new().symlink("data", "/proc").symlink("deep", "/proc/sys").symlink("rel", "./data/self");
    let image = image(&sandbox, layer, &[]);
    for target in ["/data", "/data/sys", "/deep", "/deep/kernel", "/rel"] {
        let out = run(
            &sandbox,
            image,
            &["--volume", &format!("{fake}:{target}")],
            "stat -f -c %T /proc /proc/sys /proc/self/",
        );
        assert!(out.stdout == "proc\nproc\nproc\n" || out.code() == 125, "{target}: {out:?}");
        let out = run(&sandbox, image, &["--tmpfs", target], "stat -f -c %T /proc /proc/sys /proc/self/");
        assert!(out.stdout == "proc\nproc\nproc\n" || out.code() == 125, "{target}: {out:?}");
    }
}

#[test]
fn folders_of_the_image_that_are_links_do_not_lead_out() {
    need!(userns, shell);
    for name in ["proc", "sys", "dev", "etc", "tmp", "run", "root"] {
        for target in ["absolute", "relative", "loop", "proc-link"] {
            let sandbox = Sandbox::new();
            let secret = secret(&sandbox);
            let link = match target {
                "absolute" => secret.display().to_string(),
                "relative" => format!("../../../../../../../../..{}", secret.display()),
                "loop" => name.to_owned(),
                _ => "/proc/self/fd/3".to_owned(),
            };
            let image = image(&sandbox, Layer::new().whiteout(name).symlink(name, &link), &[]);
            let script = format!("cat /{name}/inside 2>/dev/null; echo end");
            let out = run(
                &sandbox,
                image,
                &["--hostname", "box", "--tmpfs", "/run", "--sysctl", "kernel.msgmax=65536"],
                &script,
            );
            assert!(out.stdout == "end\n" || out.code() >= 125, "{name} -> {link}: {out:?}");
            let left: Vec<_> = std::fs::read_dir(&secret).unwrap().flatten().map(|e| e.file_name()).collect();
            assert_eq!(left, ["inside"], "{name} -> {link} made something on the host");
        }
    }
}

#[test]
fn a_hostile_passwd_is_read_with_care() {
    need!(userns, shell);
    let cases: [(&str, Entry); 7] = [
        ("huge", Entry::new("etc/passwd", Kind::File(vec![b'x'; 40 << 20]))),
        ("binary", Entry::new("etc/passwd", Kind::File((0..=255).cycle().take(5000).collect()))),
        ("fifo", Entry::new("etc/passwd", Kind::Fifo)),
        ("folder", Entry::new("etc/passwd/", Kind::Dir)),
        ("device", Entry::new("etc/passwd", Kind::CharDevice(1, 5))),
        ("environment", Entry::new("etc/passwd", Kind::Symlink(b"/proc/self/environ".to_vec()))),
        ("loop", Entry::new("etc/passwd", Kind::Symlink(b"passwd".to_vec()))),
    ];
    for (what, entry) in cases {
        let sandbox = Sandbox::new();
        let group = Entry { path: b"etc/group".to_vec(), ..entry.clone() };
        let layer = Layer::new().whiteout("etc/passwd").whiteout("etc/group").entry(entry).entry(group);
        let image = image(&sandbox, layer, &[]);
        let out = run(&sandbox, image, &["--user", "somebody"], "true");
        assert_eq!(out.code(), 125, "{what}: {out:?}");
        // A number needs no file, and nothing to eat time or memory.
        let out = run(&sandbox, image, &["--user", "0"], "id -u");
        assert!(out.stdout == "0\n" || out.code() == 125, "{what}: {out:?}");
    }
}

#[test]
fn a_passwd_that_points_to_the_host_is_the_images() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let file = sandbox.write("secret/passwd", "stranger:x:0:0::/:/bin/sh\n");
    let layer = Layer::new().whiteout("etc/passwd").symlink("etc/passwd", file.display().to_string());
    let image = image(&sandbox, layer, &[]);
    let out = run(&sandbox, image, &["--user", "stranger"], "true");
    assert_eq!(out.code(), 125, "{out:?}");
}

#[test]
fn typed_input_is_not_left_behind_on_the_callers_terminal() {
    need!(userns, shell, probe, tool("setsid"));
    let sandbox = Sandbox::new();
    let base = sandbox.base_image();
    let probe = probe::path().display().to_string();
    for (flags, inside) in [("-it", "/probe tiocsti"), ("-i", "/probe tiocsti"), ("", "/probe tiocsti")] {
        let script = format!(
            "runr run --rm --network none {flags} -v {probe}:/probe:ro {base} {inside} >/dev/null; \
             stty -icanon min 0 time 5; echo left=[$(dd bs=9 count=1 2>/dev/null)]"
        );
        let mut pty = Pty::start(sandbox.sh(&script));
        pty.expect("left=[");
        assert_eq!(pty.expect("]"), "", "`{flags}`");
        pty.wait();
    }
    // Without -t a terminal never gets inside.
    for flags in ["-i", ""] {
        let script = format!(
            "runr run --rm --network none {flags} {base} sh -c 'for n in 0 1 2; do [ -t $n ] && echo bad; done; echo done'"
        );
        let mut pty = Pty::start(sandbox.sh(&script));
        assert_eq!(pty.expect("done").trim(), "", "`{flags}`");
        pty.wait();
    }
}

#[test]
fn the_terminal_inside_is_the_containers_own() {
    need!(userns, shell, tool("setsid"));
    let sandbox = Sandbox::new();
    // CVE-2025-52565: what stands at /dev/console and /dev/pts in the image is not mounted onto.
    let layer = Layer::new().symlink("dev/console", "/proc/sysrq-trigger").symlink("dev/pts", "/etc");
    let image = image(&sandbox, layer, &[]);
    let script = "tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo three; stat -c %F /dev/console; ls /dev/pts | tr '\\n' ' '; echo end";
    let mut pty = Pty::start(sandbox.runr(["run", "--rm", "-t", "--network", "none", image, "sh", "-c", script]));
    assert_eq!(pty.expect("end").replace('\r', ""), "/dev/pts/0\nthree\ncharacter special file\n0 ptmx ");
    pty.wait();
}

#[test]
fn the_init_process_cannot_be_looked_into() {
    need!(userns, shell, probe);
    let sandbox = Sandbox::new();
    let base = sandbox.base_image();
    // With CAP_SYS_PTRACE it may: this init has nothing that the container's other processes lack.
    let (attach, seize) = (16, 0x4206);
    for request in [attach, seize] {
        let call = format!("syscall {} {request} 1 0 0", libc::SYS_ptrace);
        assert_eq!(probe::answer(&sandbox, "--init", &call), "EPERM");
    }
    let script = "for f in environ maps mem auxv stack exe; do head -c 1 /proc/1/$f; done 2>/dev/null; \
         for f in root cwd exe ns/user ns/mnt fd/0; do readlink /proc/1/$f; ls /proc/1/$f/; done 2>/dev/null; ls /proc/1/fd 2>/dev/null; echo end";
    assert_eq!(run(&sandbox, base, &["--init"], script).ok(), "end\n");
    // Nor does its command line tell how it was started.
    let seen = run(
        &sandbox,
        base,
        &["--init", "--cap-add", "SYS_PTRACE"],
        "ls /proc/1/fd | wc -l; tr '\\0' ' ' < /proc/1/cmdline",
    )
    .ok();
    assert!(seen.starts_with("0\n") && !seen.contains("__exec"), "{seen:?}");
}

#[test]
fn abstract_sockets_of_the_host_are_out_of_reach() {
    need!(userns, shell, probe);
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let sandbox = Sandbox::new();
    let name = format!("runr-test-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let connect = format!("abstract {name}");
    assert_eq!(probe::answer(&sandbox, "", &connect), "ECONNREFUSED");
    assert_eq!(probe::answer(&sandbox, "--network host", &connect), "ok", "the test itself would see it");
}

#[test]
fn masks_do_not_depend_on_the_images_null_device() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    // CVE-2025-31133: /dev/null of the image in place of the real one would leave paths open, or bind others over them.
    let layer = Layer::new().symlink("dev/null", "/proc/sys/kernel/core_pattern");
    let linked = image(&sandbox, layer, &[]);
    let script = "stat -c '%F %t:%T' /dev/null; head -c 1 /proc/kcore | wc -c; echo x > /proc/sys/kernel/core_pattern || echo closed";
    let seen = run(&sandbox, linked, &[], &format!("{{ {script}; }} 2>/dev/null")).ok();
    assert_eq!(seen, "character special file 1:3\n0\nclosed\n");
    // The same with a whole /dev of the user's.
    let dev = sandbox.write("dev/null", "not null");
    let dev = format!("{}:/dev", dev.parent().unwrap().display());
    let out = run(&sandbox, linked, &["--volume", &dev], "cat /proc/keys /proc/timer_list /proc/kcore");
    assert!(out.stdout.is_empty(), "{out:?}");
}

#[test]
fn settings_reach_the_kernel_and_nothing_else() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let base = sandbox.base_image();
    let seen = run(&sandbox, base, &["--sysctl", "kernel.msgmax=12345"], "cat /proc/sys/kernel/msgmax").ok();
    assert_eq!(seen, "12345\n");
    // CVE-2025-52881: names that lead elsewhere, also by links in the image's own /proc, which is covered by the real one.
    for bad in
        ["kernel.core_pattern=x", "kernel.msg/../core_pattern=x", "kernel.shm_rmid_forced/../../../x=1", "../x=1"]
    {
        assert_eq!(run(&sandbox, base, &["--sysctl", bad], "true").code(), 125, "{bad}");
    }
    let layer = Layer::new().dir("proc/sys/kernel/", 0o755).symlink("proc/sys/kernel/msgmax", "/etc/passwd");
    let hostile = image(&sandbox, layer, &[]);
    let seen = run(
        &sandbox,
        hostile,
        &["--sysctl", "kernel.msgmax=12345"],
        "head -c 4 /etc/passwd; cat /proc/sys/kernel/msgmax",
    );
    assert_eq!(seen.ok(), "root12345\n");
}

#[test]
fn a_chroot_inside_leads_to_the_containers_root_at_most() {
    need!(userns, shell, probe);
    let sandbox = Sandbox::new();
    let secret = secret(&sandbox);
    let answer = probe::answer(&sandbox, "", &format!("break-chroot {}/inside", secret.display()));
    assert_eq!(answer, "out, not seen");
}

#[test]
fn a_container_changes_its_image_for_nobody_else() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let base = sandbox.base_image();
    run(&sandbox, base, &[], "rm -rf /home /etc/passwd; echo changed > /etc/group; chmod 777 /bin; touch /bin/new")
        .ok();
    let seen = run(
        &sandbox,
        base,
        &[],
        "head -c 4 /etc/passwd /etc/group | grep -c root; stat -c %a /bin; ls /bin/new 2>&1 | wc -l; ls -d /home",
    );
    assert_eq!(seen.ok(), "2\n755\n1\n/home\n");
}

#[test]
fn a_read_only_container_has_nothing_to_write_to() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let base = sandbox.base_image();
    let script = "for d in / /etc /bin /home /root /usr; do touch $d/x 2>/dev/null && echo $d; done; mount -o remount,rw / 2>/dev/null && echo remounted; touch /tmp/x && echo end";
    assert_eq!(run(&sandbox, base, &["--read-only"], script).ok(), "end\n");
    let script = "touch /tmp/x 2>/dev/null && echo bad; echo end";
    assert_eq!(run(&sandbox, base, &["--read-only", "--read-only-tmpfs=false"], script).ok(), "end\n");
}

#[test]
fn a_read_only_volume_is_read_only_all_the_way() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let base = sandbox.base_image();
    sandbox.write("volume/file", "host");
    let volume = sandbox.path("volume").display().to_string();
    let script = "echo x > /v/file; rm /v/file; touch /v/new; mount -o remount,rw /v; umount /v; echo x > /v/file";
    for flags in [&[][..], &["--cap-add", "SYS_ADMIN"]] {
        let spec = format!("{volume}:/v:ro");
        let flags: Vec<&str> = [&["--volume", spec.as_str()], flags].concat();
        let out = run(&sandbox, base, &flags, &format!("{{ {script}; }} 2>/dev/null; true"));
        out.ok();
        assert_eq!(std::fs::read_to_string(sandbox.path("volume/file")).unwrap(), "host", "{flags:?}");
        assert_eq!(std::fs::read_dir(sandbox.path("volume")).unwrap().count(), 1, "{flags:?}");
    }
}
