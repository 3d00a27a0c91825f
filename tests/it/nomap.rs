//! `--userns nomap`, `--subuidname`: the user does not exist in the container, and all the same everything works there that works
//! elsewhere.

use crate::support::{Podman, Sandbox};

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox
}

const RUN: [&str; 5] = ["run", "--rm", "--network", "none", "--userns=nomap"];

#[test]
fn the_user_does_not_exist_inside() {
    need!(userns, shell, not_root, subids);
    let sandbox = sandbox();
    let own = nix::unistd::getuid().as_raw().to_string();
    for file in ["uid_map", "gid_map"] {
        let map = sandbox.runr(RUN).args(["busybox", "cat", &format!("/proc/self/{file}")]).output().ok();
        let numbers: Vec<&str> = map.split_whitespace().collect();
        assert_eq!((numbers.len(), numbers[0]), (3, "0"), "{map}");
        assert!(numbers[2].parse::<u32>().unwrap() >= 65_536, "{map}");
    }
    // As the host sees it, no process of the container is the user's.
    sandbox
        .runr(["run", "-d", "--name", "c", "--network", "none", "--userns=nomap", "busybox", "sleep", "100"])
        .output()
        .ok();
    let pid = sandbox.line("inspect --format {{.State.Pid}} c").output().ok();
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
    let uids = status.lines().find(|l| l.starts_with("Uid:")).unwrap();
    assert!(!uids.split_whitespace().any(|uid| uid == own), "{uids}");
    // What belongs to the user is nobody's, and nothing in the container may write it.
    let volume = sandbox.path("volume");
    std::fs::create_dir(&volume).unwrap();
    std::fs::write(volume.join("file"), "mine").unwrap();
    let bind = format!("{}:/v", volume.display());
    let out = sandbox.runr(RUN).args(["-v", &bind, "busybox", "sh", "-c", "ls -ln /v; cat /v/file; echo x >/v/file"]);
    let out = out.output();
    assert_eq!(out.code(), 1);
    assert!(out.stdout.contains(" 65534    65534 ") && out.stdout.ends_with("mine"), "{}", out.stdout);
    assert!(out.stderr.contains("denied"), "{}", out.stderr);
    assert_eq!(std::fs::read_to_string(volume.join("file")).unwrap(), "mine");
}

/// Words of a line that are the same wherever it is run: of a listing mode, owner and name, of an id map what it maps.
fn comparable(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_mode = |word: &str| word.len() == 10 && word.starts_with(['-', 'd', 'l', 'c', 'p', 's', 'b']);
    match words[..] {
        // What the ids are in the namespace above it differs: architecture.md says why.
        [first, _, count] if words.iter().all(|w| w.parse::<u32>().is_ok()) => format!("map {first} {count}"),
        // podman adds the group root to any other user's here, and only here.
        ["Groups:", ref groups @ ..] => {
            format!("Groups {:?}", groups.iter().filter(|group| **group != "0").collect::<Vec<_>>())
        }
        [uid, gid, groups] if uid.starts_with("uid=") => format!("{uid} {gid} {}", groups.replace("=0(root),", "=")),
        [mode, _, uid, gid, .., name] if is_mode(mode) => format!("{mode} {uid} {gid} {name}"),
        _ => line.to_owned(),
    }
}

#[test]
fn inside_it_is_as_podmans() {
    need!(userns, overlay, shell, not_root, subids, tool("podman"), tool("runc"));
    let sandbox = sandbox();
    let Some(podman) = Podman::start(&sandbox) else { return };
    if !podman.runs() {
        return;
    }
    let volume = sandbox.path("volume");
    std::fs::create_dir_all(volume.join("folder")).unwrap();
    std::fs::write(volume.join("file"), "mine").unwrap();
    std::fs::write(volume.join("open"), "mine").unwrap();
    std::fs::set_permissions(volume.join("open"), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let bind = format!("{}:/v", volume.display());
    // Of the root itself podman changes the mode.
    let script = "id; cat /proc/self/uid_map /proc/self/gid_map; ls -ln / | grep -v -e total; touch /x && ls -ln /x; \
                  ls -ldn /v /v/*; (echo x >/v/file) 2>/dev/null || echo refused; echo x >/v/open; cat /v/open; \
                  chown 5:6 /x && ls -ln /x; (chown 0:0 /v/file) 2>/dev/null || echo refused; \
                  ls -ln /dev/null /dev/pts; ls -ln /etc/hosts /etc/hostname /etc/resolv.conf; \
                  grep -e Uid -e Gid -e Groups /proc/self/status; cat /proc/self/setgroups";
    for user in ["0", "5:6", "65534"] {
        let line = ["run", "--rm", "--network", "host", "--userns=nomap", "--user", user, "-v", &bind];
        let line = [&line[..], &["busybox", "sh", "-c", script]].concat();
        let (theirs, ours) = (podman.command(&line).output(), sandbox.runr(&line).output());
        let comparable = |text: &str| -> Vec<String> { text.lines().map(comparable).collect() };
        assert_eq!(comparable(&ours.stdout), comparable(&theirs.stdout), "{user}: {} {}", ours.stderr, theirs.stderr);
        assert_eq!(ours.code(), theirs.code(), "{user}: {} {}", ours.stderr, theirs.stderr);
    }
}

#[test]
fn root_is_root_of_what_the_container_is_made_of() {
    need!(userns, shell, not_root, subids);
    let sandbox = sandbox();
    let script = "set -e; echo 1.2.3.4 more >>/etc/hosts; echo x >/etc/new; chown 7:8 /etc/new; ls -ln /etc/new; \
                  chmod 4755 /etc/new; ls -ln /etc/hosts; hostname";
    for flags in ["", "--init", "--read-only --tmpfs /etc", "-t", "--privileged", "--user 0"] {
        let out = sandbox.runr(RUN).args(flags.split_whitespace());
        let out = out.args(["--hostname", "h", "busybox", "sh", "-c", script]).output();
        let text = out.stdout.replace("\r\n", "\n");
        if flags.starts_with("--read-only") {
            continue;
        }
        assert_eq!(out.code(), 0, "{flags}: {}{}", out.stdout, out.stderr);
        assert!(text.contains(" 7        8 ") && text.contains(" 0        0 "), "{flags}: {text}");
        assert!(text.ends_with("\nh\n"), "{flags}: {text}");
    }
    // The namespaces are the container's own: its root may set the host name and mount, when it has the capability.
    let script = "hostname changed && hostname && mount -t tmpfs none /mnt && echo mounted";
    let base = ["--cap-add", "SYS_ADMIN", "busybox", "sh", "-c"];
    assert_eq!(
        sandbox.runr(RUN).args(base).arg(format!("mkdir -p /mnt; {script}")).output().ok(),
        "changed\nmounted\n"
    );
    let nobody = sandbox.runr(RUN).args(["--user", "65534", "busybox", "id", "-u"]).output().ok();
    assert_eq!(nobody, "65534\n");
}

#[test]
fn its_whole_life() {
    need!(userns, shell, not_root, subids);
    whole_life("--userns=nomap");
}

/// A name that this user may give to `--subuidname`: its own, for root that of anybody with a range of each kind.
fn named() -> Result<String, String> {
    let uid = nix::unistd::geteuid();
    if !uid.is_root() {
        crate::support::need::subids()?;
        return Ok(runr::userns::subid::user_name(uid.as_raw()));
    }
    let owners = std::fs::read_to_string("/etc/subuid").unwrap_or_default();
    let mut owners = owners.lines().filter_map(|line| line.split(':').next());
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let all = map.split_whitespace().eq(["0", "0", "4294967295"]);
    let has = |owner: &str, groups| !runr::userns::subid::ranges_of(owner, groups).is_empty();
    let found = owners.find(|owner| all && has(owner, false) && has(owner, true));
    found.map(str::to_owned).ok_or_else(|| "nobody has subordinate ids".to_owned())
}

#[test]
fn the_ids_of_a_name_are_the_whole_map() {
    need!(userns, shell);
    let name = match named() {
        Ok(name) => name,
        Err(reason) => return crate::support::need::skip("subids", &reason),
    };
    let sandbox = sandbox();
    let ranges = runr::userns::subid::ranges_of(&name, false);
    let count: u32 = ranges.iter().map(|(_, count)| count).sum();
    for flags in [format!("--subuidname={name}"), format!("--subgidname={name} --subuidname={name}")] {
        let run = sandbox.line("run --rm --network none").args(flags.split(' '));
        let map = run.args(["busybox", "cat", "/proc/self/uid_map", "/proc/self/gid_map"]).output().ok();
        let mapped: Vec<&str> = map.split_whitespace().collect();
        assert_eq!((mapped.first(), mapped.len()), (Some(&"0"), 6 * ranges.len()), "{flags}: {map}");
        assert!(map.contains(&count.to_string()) || ranges.len() > 1, "{flags}: {map}");
    }
    // On this machine the container's root is the first of those ids.
    sandbox.line("run -d --name c --network none --subuidname").args([&name, "busybox", "sleep", "100"]).output().ok();
    let pid = sandbox.line("inspect --format {{.State.Pid}} c").output().ok();
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    assert_eq!(uid.split_whitespace().next(), Some(ranges[0].0.to_string().as_str()));
    let stderr = sandbox.line("run --rm --network container:c busybox true").output().fails(125);
    assert!(stderr.contains("container `c` hides its user (`--subuidname`)"), "{stderr}");
    sandbox.line("rm -f c").output().ok();
    whole_life(&format!("--subuidname={name}"));
}

#[test]
fn the_ids_of_a_name_are_its_own() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let run = |flags: &str| {
        let run = sandbox.line("run --rm --network none").args(flags.split(' '));
        run.args(["builtin:hello"]).output().fails(125)
    };
    assert_eq!(
        run("--subuidname no-such-name"),
        "runr: --subuidname `no-such-name`: `/etc/subuid` has no ids for that name\n\
         hint: root adds some by a line of that file, such as no-such-name:100000:65536\n"
    );
    let own = runr::userns::subid::user_name(nix::unistd::geteuid().as_raw());
    let owners = std::fs::read_to_string("/etc/subuid").unwrap_or_default();
    let other = owners.lines().filter_map(|line| line.split(':').next()).find(|owner| *owner != own);
    if let Some(other) = other.filter(|_| !nix::unistd::geteuid().is_root()) {
        assert_eq!(
            run(&format!("--subuidname {other}")),
            format!(
                "runr: --subuidname `{other}`: a user without privileges may map only its own ids of `/etc/subuid`\n\
                 hint: your name is {own}\n"
            )
        );
    }
    for (flags, what) in [
        ("--userns host", "--userns"),
        ("--uidmap 0:0:1", "--uidmap"),
        ("--gidmap 0:0:1", "--gidmap"),
        ("--ipc ns:/proc/self/ns/ipc", "namespaces of somebody else"),
    ] {
        assert_eq!(
            run(&format!("--subuidname root {flags}")),
            format!("runr: conflicting options: --subuidname, --subgidname and {what}\n")
        );
    }
}

fn whole_life(flag: &str) {
    let sandbox = sandbox();
    let run = "run -d --name c --network none --restart on-failure:1 --health-cmd true --health-interval 1s";
    let script = "trap 'exit 0' TERM; echo begun; echo made >/made; while :; do sleep 0.1; done";
    sandbox.line(run).args([flag, "busybox", "sh", "-c", script]).output().ok();
    crate::support::until("its file", || sandbox.line("exec c cat /made").output().stdout == "made\n");
    assert_eq!(sandbox.line("exec c id -u").output().ok(), "0\n");
    assert_eq!(sandbox.line("exec --user 5:6 c id -u").output().ok(), "5\n");
    std::fs::write(sandbox.path("in"), "from outside").unwrap();
    sandbox.runr(["cp", sandbox.path("in").to_str().unwrap(), "c:/in"]).output().ok();
    assert_eq!(sandbox.line("exec c cat /in").output().ok(), "from outside");
    for when in ["running", "stopped"] {
        sandbox.runr(["cp", "c:/made", sandbox.path("out").to_str().unwrap()]).output().ok();
        assert_eq!(std::fs::read_to_string(sandbox.path("out")).unwrap(), "made\n", "{when}");
        let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(sandbox.path("out")).unwrap());
        assert_eq!(owner, nix::unistd::getuid().as_raw(), "{when}");
        assert!(sandbox.line("diff c").output().ok().lines().any(|line| line == "A /made"), "{when}");
        sandbox.line("commit -q c").arg(format!("made:{when}")).output().ok();
        assert!(!sandbox.line("export c").output().stdout.is_empty());
        if when == "running" {
            sandbox.line("healthcheck run c").output().ok();
            assert_eq!(sandbox.line("stop c").output().ok(), "c\n");
        }
    }
    for image in ["made:running", "made:stopped"] {
        let run = sandbox.line("run --rm --network none").args([flag, image, "cat", "/made"]);
        assert_eq!(run.output().ok(), "made\n");
        // The layers are the same for a container that has the user.
        let listed = sandbox.line("run --rm --network none").args([image, "ls", "-ln", "/made"]).output().ok();
        assert!(listed.contains(" 0        0 "), "{listed}");
    }
    sandbox.line("start c").output().ok();
    assert_eq!(sandbox.line("exec c cat /made").output().ok(), "made\n");
    sandbox.line("restart -t 5 c").output().ok();
    assert_eq!(sandbox.line("logs c").output().ok(), "begun\nbegun\nbegun\n");
    sandbox.line("rm -f c").output().ok();
    crate::store::settle(&sandbox);
    assert_eq!(std::fs::read_dir(sandbox.store().join("containers")).unwrap().count(), 0);
    assert_eq!(sandbox.line("system check").output().ok(), "No damage found.\n");
}

#[test]
fn what_cannot_be_is_refused() {
    need!(userns, shell);
    let sandbox = sandbox();
    let alone = sandbox.runr(RUN).args(["busybox", "true"]).output();
    if nix::unistd::geteuid().is_root() {
        assert!(alone.fails(125).contains("is for users without privileges"));
        return;
    }
    if alone.code() != 0 {
        assert!(alone.fails(125).contains("needs subordinate ids, and this user has none\nhint: "));
        return;
    }
    sandbox.line("run -d --name c --network none --userns nomap busybox sleep 100").output().ok();
    let stderr = sandbox.line("run --rm --network container:c busybox true").output().fails(125);
    assert!(stderr.contains("container `c` hides its user (`--userns nomap`)"), "{stderr}");
    let stderr =
        sandbox.line("run --rm --userns nomap --network ns:/proc/self/ns/net busybox true").output().fails(125);
    assert!(stderr.contains("conflicting options: `--userns nomap`"), "{stderr}");
}
