//! `runr cp`: docker's rules for names, owners, and every way out of a container that `docker cp` once had.

use crate::support::{Entry, Layer, Podman, Run, Sandbox, layer::Kind, need::find_tool};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

/// A sandbox with the base image in it.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox
}

/// A container that runs a script and then waits, once the script is done.
fn running(sandbox: &Sandbox, name: &str, flags: &str, script: &str) {
    let whole = format!("{script}\ntouch /ready; exec sleep 1000");
    let run = sandbox.runr(["run", "-d", "--network", "none", "--name", name]).args(flags.split_whitespace());
    run.args(["busybox", "sh", "-c", &whole]).output().ok();
    for _ in 0..1000 {
        if sandbox.runr(["cp", &format!("{name}:/ready"), "-"]).output().code() == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("`{name}` does not get ready");
}

/// A container that ran a script and stands there stopped.
fn stopped(sandbox: &Sandbox, name: &str, script: &str) {
    sandbox.runr(["run", "--network", "none", "--name", name, "busybox", "sh", "-c", script]).output().ok();
}

fn cp(sandbox: &Sandbox, args: &[&str]) -> Run {
    sandbox.runr(["cp"]).args(args).cwd(sandbox.path("work"))
}

/// Name, type, mode, owner, size and link target of each entry of an archive.
fn listing(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let header = entry.header();
        let (uid, gid) = (header.uid().unwrap(), header.gid().unwrap());
        format!(
            "{} {} {:o} {uid}:{gid} {} {}",
            // podman leaves the slash of directories out.
            String::from_utf8_lossy(&entry.path_bytes()).trim_end_matches('/'),
            char::from(header.entry_type().as_byte()),
            header.mode().unwrap(),
            entry.size(),
            entry.link_name_bytes().map(|l| String::from_utf8_lossy(&l).into_owned()).unwrap_or_default(),
        )
    });
    let mut list: Vec<String> = entries.collect();
    list.sort();
    list
}

/// What is below a path of a container.
fn tree(sandbox: &Sandbox, path: &str) -> Vec<String> {
    listing(&cp(sandbox, &[path, "-"]).output().checked().bytes)
}

/// Files to copy from.
fn work(sandbox: &Sandbox) {
    sandbox.write("work/f", "file");
    sandbox.write("work/d/a", "a");
    sandbox.write("work/d/sub/b", "b");
    symlink("f", sandbox.path("work/link")).unwrap();
    symlink("d", sandbox.path("work/dirlink")).unwrap();
    for (name, mode) in [("f", 0o644), ("d", 0o750), ("d/a", 0o600), ("d/sub", 0o755), ("d/sub/b", 0o4711)] {
        let path = sandbox.path(format!("work/{name}"));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// What a case finds in its folder: files, directories and links.
const PREPARED: &str = "mkdir -p dir other/d other/sub; echo old > file; ln -s dir dirlink; ln -s file filelink; \
    ln -s new dangling; chmod 711 other/d";

/// A folder `/w<number>` for each case.
fn prepared() -> String {
    let folders = (0..INTO.len()).map(|i| format!("mkdir /w{i}; cd /w{i}; {PREPARED};"));
    folders.collect::<String>() + "cd /"
}

/// A case's destination in its own folder of a container.
fn destination(container: &str, case: usize) -> String {
    INTO[case]
        .1
        .replacen("c:", &format!("{container}:"), 1)
        .replace("/w", &format!("/w{case}"))
        .replace(":w/", &format!(":w{case}/"))
}

/// Source, destination (`c:` is the container) and flags of copies into containers.
const INTO: &[(&str, &str, &str)] = &[
    ("f", "c:/w/new", ""),
    ("f", "c:/w/dir", ""),
    ("f", "c:/w/dir/", ""),
    ("f", "c:/w/file", ""),
    ("f", "c:/w/dirlink", ""),
    ("f", "c:/w/filelink", ""),
    ("f", "c:/w/dangling", ""),
    ("f", "c:w/relative", ""),
    ("d", "c:/w/new", ""),
    ("d/", "c:/w/new", ""),
    ("d/.", "c:/w/new", ""),
    ("d", "c:/w/dir", ""),
    ("d/.", "c:/w/dir", ""),
    ("d", "c:/w/other", ""),
    ("d/.", "c:/w/other", ""),
    ("./d/../f", "c:/w/../w/./new", ""),
    ("f", "c:/w/none/", "fails"),
    ("f", "c:/w/none/such/f", "fails"),
    ("f", "c:/w/file/", "fails"),
    ("f", "c:/w/other/sub/", ""),
    ("d", "c:/w/file", "fails"),
    ("d", "c:/w/file/", "fails"),
    ("nothing", "c:/w/x", "fails"),
    ("f/", "c:/w/x", "fails"),
];

#[test]
fn names_in_containers_running_and_stopped() {
    need!(userns, shell);
    let sandbox = sandbox();
    work(&sandbox);
    running(&sandbox, "r", "", &prepared());
    stopped(&sandbox, "s", &prepared());
    for (case, (from, written, outcome)) in INTO.iter().enumerate() {
        let mut lists = Vec::new();
        for name in ["r", "s"] {
            let to = destination(name, case);
            let out = cp(&sandbox, &[from, &to]).output();
            assert_eq!(out.code(), if *outcome == "fails" { 125 } else { 0 }, "cp {from} {to}: {}", out.stderr);
            lists.push(tree(&sandbox, &format!("{name}:/w{case}")));
        }
        assert_eq!(lists[0], lists[1], "cp {from} {written}");
        assert!(lists[0].iter().all(|line| line.contains(" 0:0 ")), "cp {from} {written}: {:#?}", lists[0]);
        if *outcome == "fails" {
            continue;
        }
        let has = |name: &str| lists[0].iter().any(|line| line.starts_with(&format!("w{case}/{name} ")));
        match (*from, *written) {
            ("d", "c:/w/dir") => assert!(has("dir/d/sub/b")),
            ("d/.", "c:/w/dir") => assert!(has("dir/sub/b") && !has("dir/d")),
            ("d" | "d/" | "d/.", "c:/w/new") => assert!(has("new/sub/b")),
            ("f", "c:/w/dangling" | "c:/w/new") => assert!(has("new")),
            ("f", "c:/w/dirlink") => assert!(has("dir/f") && has("dirlink")),
            _ => {}
        }
    }
    sandbox.line("rm -f r s").output().ok();
}

#[test]
fn names_end_as_podmans_do() {
    need!(userns, shell, subids, not_root, tool("podman"), tool("runc"));
    let sandbox = sandbox();
    work(&sandbox);
    let Some(podman) = Podman::start(&sandbox) else { return };
    let podman = |args: &[&str]| podman.command(args).cwd(sandbox.path("work"));
    // What both start with comes from one archive.
    stopped(&sandbox, "c", &prepared());
    podman(&["create", "--network", "none", "--name", "c", "busybox", "true"]).output().ok();
    let start = sandbox.line("export c").output().checked().bytes;
    podman(&["cp", "-", "c:/"]).stdin(start).output().ok();
    for (case, (from, written, _)) in INTO.iter().enumerate() {
        let to = destination("c", case);
        let (ours, theirs) = (cp(&sandbox, &[from, &to]).output(), podman(&["cp", from, &to]).output());
        assert_eq!(ours.code(), theirs.code(), "cp {from} {written}: `{}` and `{}`", ours.stderr, theirs.stderr);
    }
    // All results at once.
    let results =
        |bytes: &[u8]| -> Vec<String> { listing(bytes).into_iter().filter(|line| line.starts_with('w')).collect() };
    let theirs = podman(&["cp", "c:/.", "-"]).output().checked().bytes;
    assert_eq!(results(&cp(&sandbox, &["c:/.", "-"]).output().checked().bytes), results(&theirs));
    sandbox.line("rm -f c").output().ok();
}

#[test]
fn files_come_out() {
    need!(userns, shell);
    let sandbox = sandbox();
    work(&sandbox);
    let script = format!(
        "mkdir /w; cd /w; {PREPARED}; echo secret > /w/dir/x; chmod 4750 /w/dir/x; ln /w/dir/x /w/dir/y; mkfifo /w/dir/p"
    );
    running(&sandbox, "c", "--init --user root", &script);
    let at = |name: &str| sandbox.path(format!("work/{name}"));
    cp(&sandbox, &["c:/w/file", "out"]).output().ok();
    assert_eq!(std::fs::read_to_string(at("out")).unwrap(), "old\n");
    cp(&sandbox, &["c:/w/dir", "."]).output().ok();
    let meta = at("dir/x").metadata().unwrap();
    assert_eq!(meta.uid(), nix::unistd::geteuid().as_raw());
    assert_eq!(meta.mode() & 0o7777, 0o750, "a set-id bit from a container is not for this machine");
    assert_eq!(meta.ino(), at("dir/y").metadata().unwrap().ino(), "hard links stay links");
    assert!(std::os::unix::fs::FileTypeExt::is_fifo(&at("dir/p").symlink_metadata().unwrap().file_type()));
    // A link is copied as such, unless it is asked for what it leads to.
    cp(&sandbox, &["c:/w/filelink", "as-link"]).output().ok();
    assert_eq!(std::fs::read_link(at("as-link")).unwrap(), Path::new("file"));
    cp(&sandbox, &["-L", "c:/w/filelink", "as-file"]).output().ok();
    assert_eq!(std::fs::read_to_string(at("as-file")).unwrap(), "old\n");
    cp(&sandbox, &["-L", "c:/w/dirlink", "as-dir"]).output().ok();
    assert!(at("as-dir/x").is_file());
    for (args, message) in [
        (&["c:/none", "."][..], "runr: `/none` could not be found in container `c`\n"),
        (&["c:/w/file", "none/"], "runr: destination directory `none/` could not be found on this machine\n"),
        (&["c:/w/file", "none/x"], "runr: destination `none/x` could not be found on this machine\n"),
        (&["c:/w/dir", "f"], "runr: destination must be a directory when copying a directory\n"),
        (&["c:/w/file", "/dev/null"], "runr: destination `/dev/null` is neither a file nor a directory\n"),
        (&["none:/x", "."], "runr: no such container: none\n"),
    ] {
        assert_eq!(cp(&sandbox, args).output().fails(125), message);
    }
    let hint = "hint: name one as `CONTAINER:PATH`; a path of this machine that has a colon begins with `./`\n";
    assert_eq!(
        cp(&sandbox, &["f", "g"]).output().fails(125),
        format!("runr: neither the source nor the destination is a container\n{hint}")
    );
    // A directory in a file's way, and the reverse.
    std::fs::create_dir(at("file")).unwrap();
    std::fs::write(at("file/keep"), "").unwrap();
    let refused = cp(&sandbox, &["c:/w/file", "."]).output().fails(125);
    assert!(
        refused.starts_with("runr: copy `file`: cannot overwrite directory `file` with non-directory"),
        "{refused}"
    );
    cp(&sandbox, &["--overwrite", "c:/w/file", "."]).output().ok();
    assert!(at("file").is_file());
    sandbox.line("rm -f c").output().ok();
}

#[test]
fn owners_are_kept_when_asked_for() {
    need!(userns, shell, subids);
    let sandbox = sandbox();
    work(&sandbox);
    running(&sandbox, "c", "", "mkdir /w; echo x > /w/x; chown 1000:2000 /w/x; mkdir /to");
    cp(&sandbox, &["c:/w/x", "c:/to/root"]).output().ok();
    cp(&sandbox, &["-a", "c:/w/x", "c:/to/kept"]).output().ok();
    cp(&sandbox, &["-a", "c:/w", "out"]).output().ok();
    cp(&sandbox, &["-a", "out", "c:/to/back"]).output().ok();
    cp(&sandbox, &["out/.", "c:/to/plain"]).output().ok();
    assert_eq!(
        tree(&sandbox, "c:/to"),
        [
            "to 5 755 0:0 0 ",
            "to/back 5 755 0:0 0 ",
            "to/back/x 0 644 1000:2000 2 ",
            "to/kept 0 644 1000:2000 2 ",
            "to/plain 5 755 0:0 0 ",
            "to/plain/x 0 644 0:0 2 ",
            "to/root 0 644 0:0 2 ",
        ]
    );
    let out = sandbox.path("work/out/x").metadata().unwrap();
    assert_eq!(out.uid() == 1000, nix::unistd::geteuid().is_root(), "the owner is the container's own id");
    sandbox.line("rm -f c").output().ok();
    sandbox.remove_tree(&sandbox.path("work/out"));
}

#[test]
fn archives_come_in_and_go_out() {
    need!(userns, shell);
    let sandbox = sandbox();
    work(&sandbox);
    running(&sandbox, "c", "", "mkdir -p /in /real; ln -s /real /in/through");
    let single = Layer::new().file("through/x", "through a link").file(".wh.none", "no whiteout").dir("made/", 0o711);
    let into = |tar: &[u8], to: &str| cp(&sandbox, &["-", to]).stdin(tar).output();
    into(&single.tar(), "c:/in").ok();
    assert_eq!(
        tree(&sandbox, "c:/in"),
        ["in 5 755 0:0 0 ", "in/.wh.none 0 644 0:0 11 ", "in/made 5 711 0:0 0 ", "in/through 2 777 0:0 0 /real"]
    );
    assert_eq!(tree(&sandbox, "c:/real"), ["real 5 755 0:0 0 ", "real/x 0 644 0:0 14 "]);
    // Compressed, and one to the other.
    let script = "runr cp c:/in/. - | gzip | runr cp - c:/real && runr cp c:/real/made - | tar t";
    assert_eq!(sandbox.sh(script).output().ok(), "made/\n");
    for (tar, to, message) in [
        (Layer::new().tar(), "c:/ready", "destination must be a directory when copying from stdin"),
        (Layer::new().tar(), "c:/none", "destination must be a directory when copying from stdin"),
        (b"no archive".repeat(100), "c:/in", "layer is not a tar archive"),
        (single.tar()[..700].to_vec(), "c:/in", "archive is truncated"),
    ] {
        let stderr = into(&tar, to).fails(125);
        assert!(stderr.contains(message), "{stderr}");
    }
    // A container's file may be called anything: an archive of ours is never taken for a compressed one.
    let odd = Layer::new()
        .dir("./", 0o755)
        .file([0x1f, 0x8b, b'x'], "gz?")
        .file(b"BZh91AY", "bz?")
        .file("new\nline", "two lines");
    into(&odd.tar(), "c:/in").ok();
    for name in ["BZh91AY", "new\nline"] {
        cp(&sandbox, &[&format!("c:/in/{name}"), "odd"]).output().ok();
        assert!(std::fs::read(sandbox.path("work/odd")).unwrap().len() >= 3, "{name}");
    }
    cp(&sandbox, &["c:/in/.", "all"]).output().ok();
    assert!(sandbox.path("work/all/new\nline").is_file());
    sandbox.line("rm -f c").output().ok();
}

#[test]
fn mounts_of_a_container_are_part_of_it() {
    need!(userns, shell);
    let sandbox = sandbox();
    work(&sandbox);
    let shared = sandbox.path("shared");
    std::fs::create_dir(&shared).unwrap();
    let volume = format!("-v {}:/data", shared.display());
    running(&sandbox, "r", &format!("{volume} --tmpfs /mem"), "");
    cp(&sandbox, &["f", "r:/data/by-running"]).output().ok();
    cp(&sandbox, &["f", "r:/mem/f"]).output().ok();
    assert_eq!(tree(&sandbox, "r:/mem/f"), ["f 0 644 0:0 4 "]);
    assert_eq!(std::fs::read_to_string(shared.join("by-running")).unwrap(), "file");
    // A file that is a mount of its own cannot be replaced, but written.
    cp(&sandbox, &["f", "r:/etc/hosts"]).output().ok();
    cp(&sandbox, &["r:/etc/hosts", "hosts"]).output().ok();
    assert_eq!(std::fs::read_to_string(sandbox.path("work/hosts")).unwrap(), "file");
    let create = sandbox.runr(["create", "--network", "none", "--name", "s"]).args(volume.split_whitespace());
    create.args(["busybox", "true"]).output().ok();
    cp(&sandbox, &["f", "s:/data/by-stopped"]).output().ok();
    assert_eq!(std::fs::read_to_string(shared.join("by-stopped")).unwrap(), "file");
    cp(&sandbox, &["s:/data/by-running", "back"]).output().ok();
    let read_only = sandbox.runr(["create", "--network", "none", "--name", "ro", "-v"]);
    read_only.arg(format!("{}:/data:ro", shared.display())).args(["busybox", "true"]).output().ok();
    let stderr = cp(&sandbox, &["f", "ro:/data/x"]).output().fails(125);
    assert!(stderr.contains("Read-only file system (EROFS)"), "{stderr}");
    sandbox.line("rm -f r s ro").output().ok();
}

#[test]
fn what_is_copied_into_a_stopped_container_is_there_when_it_starts() {
    need!(userns, shell);
    let sandbox = sandbox();
    work(&sandbox);
    let script = "cat /etc/added; ls /home 2>&1; stat -c %a /";
    sandbox.runr(["create", "--network", "none", "--name", "c", "busybox", "sh", "-c", script]).output().ok();
    cp(&sandbox, &["f", "c:/etc/added"]).output().ok();
    cp(&sandbox, &["d", "c:/home"]).output().ok();
    assert_eq!(sandbox.line("start -a c").output().ok(), "filed\nuser\n755\n");
    sandbox.line("rm c").output().ok();
}

/// The host's secrets, which no container may get at, and files it may not change.
fn secret(sandbox: &Sandbox) -> String {
    sandbox.write("secret/inside", "the host's");
    sandbox.path("secret").display().to_string()
}

#[test]
fn links_of_a_container_lead_nowhere_else() {
    need!(userns, shell);
    let sandbox = sandbox();
    work(&sandbox);
    let secret = secret(&sandbox);
    let script = format!(
        "ln -s {secret} /abs; ln -s ../../../../../..{secret} /up; ln -s {secret}/inside /file; mkdir -p /proc2; \
         ln -s /proc/self/root{secret} /self; ln -s /proc/1/root /one; ln -s /proc/self/cwd{secret} /cwd; ln -s / /slash; \
         ln -s {secret}/new /dangling; mkdir /dir; ln -s {secret} /dir/sub"
    );
    running(&sandbox, "r", "", &script);
    stopped(&sandbox, "s", &script);
    let unchanged = || {
        let names: Vec<_> = std::fs::read_dir(&secret).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["inside"]);
        assert_eq!(std::fs::read_to_string(format!("{secret}/inside")).unwrap(), "the host's");
    };
    for name in ["r", "s"] {
        for path in
            ["abs/inside", "abs/", "up/inside", "up/", "file", "self/inside", "self/", "cwd/inside", "proc/self/root"]
        {
            let out = cp(&sandbox, &["-L", &format!("{name}:/{path}"), "-"]).output();
            assert!(!out.stdout.contains("the host's"), "{name}:/{path}");
            assert_ne!(out.code(), 0, "{name}:/{path}");
        }
        // Into them: they fail, or end in the container.
        for path in
            ["abs", "abs/x", "up", "up/x", "file", "self", "self/x", "cwd/x", "dangling", "one/x", "slash", "dir"]
        {
            drop(cp(&sandbox, &["f", &format!("{name}:/{path}")]).output());
            drop(cp(&sandbox, &["d/.", &format!("{name}:/{path}")]).output());
            unchanged();
        }
        // /proc/1/root and its like are magic links: refused, wherever they lead.
        for path in ["one/etc/passwd", "proc/1/root/etc/passwd", "proc/1/cwd/etc/passwd"] {
            let stderr = cp(&sandbox, &[&format!("{name}:/{path}"), "-"]).output().fails(125);
            assert!(stderr.starts_with("runr: "), "{stderr}");
        }
        // On the way out: a link stays a link, and nothing is written through one that is there already.
        cp(&sandbox, &[&format!("{name}:/dir"), "out"]).output().ok();
        assert!(sandbox.path("work/out/sub").is_symlink());
        cp(&sandbox, &[&format!("{name}:/dir/."), "out"]).output().ok();
        unchanged();
        std::fs::remove_dir_all(sandbox.path("work/out")).unwrap();
    }
    sandbox.line("rm -f r s").output().ok();
}

#[test]
fn nothing_is_copied_through_a_link_of_this_machine() {
    need!(userns, shell);
    let sandbox = sandbox();
    work(&sandbox);
    let secret = secret(&sandbox);
    running(&sandbox, "c", "", "mkdir -p /t/sub /u/sub; echo evil > /t/sub/inside; echo evil > /u/sub/new");
    std::fs::create_dir(sandbox.path("work/t")).unwrap();
    symlink(&secret, sandbox.path("work/t/sub")).unwrap();
    let stderr = cp(&sandbox, &["c:/t", "."]).output().fails(125);
    assert!(stderr.contains("cannot overwrite non-directory `t/sub` with directory"), "{stderr}");
    assert_eq!(std::fs::read_to_string(format!("{secret}/inside")).unwrap(), "the host's");
    // The destination itself may be a link: the user said so.
    symlink(&secret, sandbox.path("work/mine")).unwrap();
    cp(&sandbox, &["c:/u/sub/new", "mine"]).output().ok();
    assert_eq!(std::fs::read_to_string(format!("{secret}/new")).unwrap(), "evil\n");
    sandbox.line("rm -f c").output().ok();
}

#[test]
fn hostile_archives_stay_where_they_are_put() {
    need!(userns, shell);
    let sandbox = sandbox();
    work(&sandbox);
    let secret = secret(&sandbox);
    running(&sandbox, "r", "", "mkdir -p /a/b; echo mine > /a/mine");
    stopped(&sandbox, "s", "mkdir -p /a/b; echo mine > /a/mine");
    let outside = format!("{secret}/inside");
    let archives = [
        Layer::new().file("../mine", "evil"),
        Layer::new().file("x/../../mine", "evil"),
        Layer::new().file(&outside, "evil"),
        Layer::new().symlink("out", &secret).file("out/inside", "evil"),
        Layer::new().symlink("out", "/proc/1/root").file("out/a/mine2", "evil"),
        Layer::new().hardlink("link", "../mine").file("link", "evil"),
        Layer::new().hardlink("link", &outside).file("link", "evil"),
        Layer::new().symlink("out", &secret).hardlink("link", "out/inside").file("link", "evil"),
        Layer::new().entry(Entry::new("null", Kind::CharDevice(1, 3))),
        Layer::new().entry(Entry::new("xattr", Kind::File(vec![])).xattr("user.overlay.whiteout", "y")),
        Layer::new().file("n".repeat(5000), ""),
        Layer::new().entry(Entry::new(b"nul\0name", Kind::File(vec![])).pax("path", b"a\0b")),
    ];
    for (i, archive) in archives.iter().enumerate() {
        for name in ["r", "s"] {
            let out = cp(&sandbox, &["-", &format!("{name}:/a/b")]).stdin(archive.tar()).output();
            assert!(out.code() == 0 || out.code() == 125, "{i}: {}", out.stderr);
            assert_eq!(std::fs::read_to_string(&outside).unwrap(), "the host's", "{i}");
            let mine = cp(&sandbox, &[&format!("{name}:/a/mine"), "-"]).output();
            assert!(mine.stdout.contains("mine\n") && !mine.stdout.contains("evil"), "{i}");
        }
    }
    sandbox.line("rm -f r s").output().ok();
}

/// CVE-2018-15664: a path is looked up, and is another one when it is used.
#[test]
fn a_link_that_is_swapped_meanwhile_leads_nowhere_else() {
    need!(userns, shell);
    let sandbox = sandbox();
    work(&sandbox);
    let secret = secret(&sandbox);
    let script = format!(
        "mkdir -p /a/x /evil; echo harmless > /a/x/inside; ln -s {secret} /a/link; ln -s / /evil/up; (while :; do \
         mv /a/x /a/y; mv /a/link /a/x; mv /a/x /a/link; mv /a/y /a/x; done) &"
    );
    running(&sandbox, "c", "", &script);
    std::fs::create_dir(sandbox.path("work/out")).unwrap();
    std::fs::write(sandbox.path("work/inside"), "written").unwrap();
    for _ in 0..25 {
        for (from, to) in [
            ("c:/a/x/inside", "out/one"),
            ("c:/a", "out"),
            ("c:/a/x/", "out/slash"),
            ("inside", "c:/a/x/inside"),
            ("inside", "c:/a/x"),
            ("d", "c:/a/x"),
        ] {
            // Whether it works depends on what stands there just then.
            drop(cp(&sandbox, &[from, to]).output());
        }
        for file in ["out/one", "out/a/x/inside", "out/slash/inside"].map(|f| sandbox.path("work").join(f)) {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let through_a_link = file.is_symlink() || file.parent().unwrap().is_symlink();
            assert!(through_a_link || !text.contains("the host's"), "`{}` came from outside", file.display());
        }
        std::fs::remove_dir_all(sandbox.path("work/out")).unwrap();
        std::fs::create_dir(sandbox.path("work/out")).unwrap();
    }
    assert_eq!(std::fs::read_to_string(format!("{secret}/inside")).unwrap(), "the host's");
    assert_eq!(std::fs::read_dir(&secret).unwrap().count(), 1, "something was written outside the container");
    sandbox.line("rm -f c").output().ok();
}

#[test]
fn fifos_and_devices_in_the_way_do_not_hang() {
    need!(userns, shell);
    let sandbox = sandbox();
    work(&sandbox);
    let script = "mkdir /w; mkfifo /w/p /w/q; (while :; do rm -f /w/swap; mkfifo /w/swap; rm -f /w/swap; echo x > /w/swap; done) &";
    running(&sandbox, "c", "", script);
    let limit = Duration::from_secs(30);
    cp(&sandbox, &["f", "c:/w/p"]).limit(limit).output().ok();
    assert_eq!(tree(&sandbox, "c:/w/p"), ["p 0 644 0:0 4 "], "the fifo was replaced");
    cp(&sandbox, &["c:/w/q", "fifo"]).limit(limit).output().ok();
    for _ in 0..20 {
        drop(cp(&sandbox, &["c:/w", "out"]).limit(limit).output());
        drop(cp(&sandbox, &["f", "c:/w/swap"]).limit(limit).output());
        drop(cp(&sandbox, &["c:/dev", "-"]).limit(limit).output());
    }
    // A fifo as the source on this machine.
    nix::unistd::mkfifo(&sandbox.path("work/own"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    cp(&sandbox, &["own", "c:/w/own"]).limit(limit).output().ok();
    sandbox.line("rm -f c").output().ok();
}

#[test]
fn a_name_service_of_the_image_is_never_loaded() {
    need!(userns, shell);
    // CVE-2019-14271: the copying process loaded a library of the container's. Ours is static and asks for no names; what would
    // be loaded leaves a mark.
    let sandbox = sandbox();
    work(&sandbox);
    let trap = "mkdir -p /lib/x86_64-linux-gnu /etc; for l in /lib /lib/x86_64-linux-gnu; do for n in files dns compat; do \
        echo trap > $l/libnss_$n.so.2; done; done; echo 'passwd: files' > /etc/nsswitch.conf";
    running(&sandbox, "c", "", trap);
    let script = "strace -f -e trace=open,openat,openat2 -o trace runr cp -a c:/etc . && ! grep -q libnss trace";
    if find_tool("strace").is_some() {
        sandbox.sh(script).cwd(sandbox.path("work")).output().ok();
    } else {
        cp(&sandbox, &["-a", "c:/etc", "."]).output().ok();
    }
    sandbox.line("rm -f c").output().ok();
    sandbox.remove_tree(&sandbox.path("work/etc"));
}

#[test]
fn an_abandoned_copy_leaves_nothing_behind() {
    need!(userns, shell);
    let sandbox = sandbox();
    work(&sandbox);
    running(&sandbox, "c", "", "dd if=/dev/zero of=/big bs=1M count=64 2>/dev/null");
    // The sandbox itself checks that no process is left.
    assert_eq!(sandbox.sh("runr cp c:/big - | head -c 1000 | wc -c").output().ok().trim(), "1000");
    for _ in 0..20 {
        for (args, wait) in [(["c:/big", "big"], 10), (["big", "c:/copy"], 5)] {
            let copy = cp(&sandbox, &args).spawn();
            std::thread::sleep(Duration::from_millis(wait));
            copy.signal(nix::sys::signal::Signal::SIGKILL);
            drop(copy.wait());
        }
    }
    cp(&sandbox, &["c:/big", "big"]).output().ok();
    assert_eq!(sandbox.path("work/big").metadata().unwrap().len(), 64 << 20);
    sandbox.line("rm -f c").output().ok();
}

/// CVE-2019-5736, CVE-2016-9962: the process that copies is root of the container's user namespace, as the container is.
#[test]
fn the_copying_process_cannot_be_looked_into() {
    need!(userns, shell);
    let sandbox = sandbox();
    work(&sandbox);
    // All that the container can get hold of in a copying process, with the host's processes in sight.
    let script = "dd if=/dev/zero of=/big bs=1M count=32 2>/dev/null; (while test ! -e /stop; do for p in /proc/[0-9]*; do \
        case $(tr '\\0' ' ' < $p/cmdline 2>/dev/null) in *runr\\ cp*big*) echo seen >> /seen; \
        ls -l $p/fd/ $p/exe 2>/dev/null | grep -e '->' >> /found; cat $p/environ >> /found 2>/dev/null;; esac; done; done) &";
    running(&sandbox, "c", "--pid host --privileged", script);
    for _ in 0..6 {
        cp(&sandbox, &["c:/big", "big"]).output().ok();
        cp(&sandbox, &["big", "c:/big2"]).output().ok();
    }
    let found = cp(&sandbox, &["c:/found", "-"]).output();
    // The command itself is another user's process to the container, and so is its child.
    assert!(!found.stdout.contains("->") && !found.stdout.contains("HOME="), "{}", found.stdout);
    assert_eq!(cp(&sandbox, &["c:/seen", "-"]).output().code(), 0, "the test saw no copy at all");
    // In the host's pid namespace the end of the first process is not everybody's.
    cp(&sandbox, &["f", "c:/stop"]).output().ok();
    sandbox.line("rm -f c").output().ok();
}
