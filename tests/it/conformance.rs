//! What a container's process finds around it when it starts: namespaces, ids, capabilities, signals, descriptors, limits,
//! file systems, devices. Reported from inside by the image's own tools and by `tests/probe`.

use crate::support::{Sandbox, probe};
use std::collections::BTreeMap;
use std::path::Path;

/// What a shell script prints in a container of the base image.
#[track_caller]
fn inside(sandbox: &Sandbox, flags: &str, script: &str) -> String {
    let base = sandbox.base_image();
    let run = sandbox.runr(["run", "--rm", "--network", "none"]).args(flags.split_whitespace());
    run.args([base, "sh", "-c", script]).output().ok()
}

/// `/proc/self/status` of the container's own process, as it is right after exec.
#[track_caller]
fn status(sandbox: &Sandbox, flags: &str) -> BTreeMap<String, String> {
    let base = sandbox.base_image();
    let run = sandbox.runr(["run", "--rm", "--network", "none"]).args(flags.split_whitespace());
    let text = run.args([base, "cat", "/proc/self/status"]).output().ok();
    text.lines().filter_map(|l| l.split_once(":\t")).map(|(k, v)| (k.to_owned(), v.trim().to_owned())).collect()
}

/// The five sets: inheritable, permitted, effective, bounding, ambient.
#[track_caller]
fn capabilities(sandbox: &Sandbox, flags: &str) -> [u64; 5] {
    let status = status(sandbox, flags);
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| u64::from_str_radix(&status[name], 16).unwrap())
}

/// docker's fourteen.
const DEFAULT_CAPABILITIES: u64 = 0xa804_25fb;

#[test]
fn every_namespace_is_a_new_one() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let seen = inside(&sandbox, "", "for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done");
    assert_eq!(seen.lines().count(), 7, "{seen}");
    for line in seen.lines() {
        let (kind, _) = line.split_once(':').unwrap();
        let own = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_ne!(own.display().to_string(), line, "{kind} is shared with the host");
    }
}

#[test]
fn shared_namespaces_are_the_hosts() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let seen = inside(
        &sandbox,
        "--network host --pid host --ipc host --uts host",
        "for n in net pid ipc uts; do readlink /proc/self/ns/$n; done",
    );
    for line in seen.lines() {
        let (kind, _) = line.split_once(':').unwrap();
        let own = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_eq!(own.display().to_string(), line, "{kind}");
    }
}

#[test]
fn container_root_is_the_caller() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let maps = inside(&sandbox, "", "cat /proc/self/uid_map; echo; cat /proc/self/gid_map; id -u; id -g");
    let rows: Vec<Vec<u64>> =
        maps.lines().map(|l| l.split_whitespace().map(|n| n.parse().unwrap()).collect()).collect();
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    assert_eq!(rows[0][..2], [0, u64::from(uid)], "{maps}");
    let gids = rows.iter().position(Vec::is_empty).unwrap() + 1;
    assert_eq!(rows[gids][..2], [0, u64::from(gid)], "{maps}");
    assert_eq!(rows[rows.len() - 2..], [vec![0], vec![0]], "{maps}");
    let ids: u64 = rows[..gids - 1].iter().map(|r| r[2]).sum();
    if crate::support::need::subids().is_ok() { assert!(ids > 1, "{maps}") } else { assert_eq!(ids, 1, "{maps}") }
}

#[test]
fn root_has_the_default_capabilities_and_none_is_inheritable() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    // CVE-2022-24769: inheritable ones would go to any program with file capabilities.
    let d = DEFAULT_CAPABILITIES;
    assert_eq!(capabilities(&sandbox, ""), [0, d, d, d, 0]);
    assert_eq!(capabilities(&sandbox, "--cap-drop ALL"), [0; 5]);
    let with_admin = d | 1 << 12;
    assert_eq!(capabilities(&sandbox, "--cap-add NET_ADMIN"), [0, with_admin, with_admin, with_admin, 0]);
    let one = 1 << 10;
    assert_eq!(capabilities(&sandbox, "--cap-drop all --cap-add net_bind_service"), [0, one, one, one, 0]);
    let last: u32 = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap().trim().parse().unwrap();
    let all = ((1u64 << (last + 1)) - 1) & 0x1ff_ffff_ffff;
    assert_eq!(capabilities(&sandbox, "--privileged"), [0, all, all, all, 0]);
}

#[test]
fn another_user_has_only_what_was_added() {
    need!(userns, shell, subids);
    let sandbox = Sandbox::new();
    let d = DEFAULT_CAPABILITIES;
    assert_eq!(capabilities(&sandbox, "--user 1000"), [0, 0, 0, d, 0]);
    let one = 1 << 12;
    assert_eq!(capabilities(&sandbox, "--user 1000 --cap-add NET_ADMIN"), [one, one, one, d | one, one]);
    assert_eq!(capabilities(&sandbox, "--user 1000 --cap-drop ALL"), [0; 5]);
    let status = status(&sandbox, "--user user --group-add extra");
    assert_eq!(status["Uid"], "1000\t1000\t1000\t1000");
    assert_eq!(status["Gid"], "1000\t1000\t1000\t1000");
    assert_eq!(status["Groups"].trim(), "1000 2000");
}

#[test]
fn the_filter_is_on_and_no_new_privs_is_not_unless_asked_for() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    for (flags, seccomp, no_new_privs) in [
        ("", "2", "0"),
        ("--security-opt no-new-privileges", "2", "1"),
        ("--security-opt seccomp=unconfined", "0", "0"),
        ("--privileged", "0", "0"),
    ] {
        let status = status(&sandbox, flags);
        // The tests themselves may run under a filter, which nobody can take off.
        let own = std::fs::read_to_string("/proc/self/status").unwrap();
        let filters = |text: &str| text.lines().any(|l| l.starts_with("Seccomp:") && !l.ends_with('0'));
        if !filters(&own) {
            assert_eq!(status["Seccomp"], seccomp, "{flags}");
        }
        assert_eq!(status["NoNewPrivs"], no_new_privs, "{flags}");
    }
}

#[test]
fn signals_are_as_at_the_start_of_a_system() {
    need!(userns, shell, probe);
    let sandbox = Sandbox::new();
    let base = sandbox.base_image();
    let probe = probe::path().display().to_string();
    // The caller ignores what shells and nohup ignore.
    let script = format!(
        "trap '' HUP INT QUIT PIPE TERM USR1 CHLD; exec runr run --rm --network none -v {probe}:/probe:ro {base} /probe signals"
    );
    assert_eq!(sandbox.sh(&script).output().ok().trim_end(), "odd=[] blocked=0000000000000000");
}

#[test]
fn no_descriptor_but_the_streams_is_open() {
    need!(userns, shell, probe);
    let sandbox = Sandbox::new();
    let base = sandbox.base_image();
    let probe = probe::path().display().to_string();
    for init in ["", "--init"] {
        let script = format!(
            "exec 5</etc/passwd 8</ 9</dev/null; exec runr run --rm --network none {init} -v {probe}:/probe:ro {base} /probe fds"
        );
        let seen = sandbox.sh(&script).output().ok();
        let numbers: Vec<&str> = seen.split_whitespace().filter_map(|w| w.split_once('=')).map(|(n, _)| n).collect();
        assert_eq!(numbers, ["0", "1", "2"], "{seen}");
        assert!(seen.starts_with("0=/dev/null "), "{seen}");
    }
}

#[test]
fn the_session_keyring_is_a_new_one() {
    need!(userns, shell, probe);
    let sandbox = Sandbox::new();
    let base = sandbox.base_image();
    let probe = probe::path().display().to_string();
    let run = |flags: &str| {
        let runr = sandbox.path("bin/runr").display().to_string();
        let line = format!(
            "keyring runr-test {runr} run --rm --network none {flags} -v {probe}:/probe:ro {base} /probe find-key runr-test"
        );
        sandbox.command(&probe).args(line.split_whitespace()).output().ok().trim_end().to_owned()
    };
    // Without the filter, or it would answer for the kernel.
    assert_eq!(run("--security-opt seccomp=unconfined"), "ENOKEY");
    assert_eq!(run(""), "EPERM");
}

#[test]
fn limits_mask_and_oom_score() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let base = sandbox.base_image();
    let script = format!(
        "umask 077; ulimit -S -n 300; runr run --rm --network none {base} sh -c 'umask; ulimit -n; ulimit -c; cat /proc/self/oom_score_adj'"
    );
    let seen = sandbox.sh(&script).output().ok();
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[0], "0022", "the umask is docker's, not the caller's");
    assert_eq!(lines[1], "300", "limits are the caller's");
    assert_eq!(lines[3], std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim());
    let seen = inside(
        &sandbox,
        "--ulimit nofile=100:200 --ulimit core=0 --umask 0027 --oom-score-adj 900",
        "umask; ulimit -S -n; ulimit -H -n; ulimit -c; cat /proc/self/oom_score_adj",
    );
    assert_eq!(seen, "0027\n100\n200\n0\n900\n");
}

#[test]
fn folder_environment_and_names() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let seen =
        inside(&sandbox, "--env A=1 --hostname box", "pwd; hostname; env | sort | grep -v -e '^SHLVL' -e '^PWD'");
    assert_eq!(
        seen,
        "/\nbox\nA=1\nHOME=/root\nHOSTNAME=box\n\
         PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\ncontainer=oci\n"
    );
    assert_eq!(inside(&sandbox, "--workdir /a/new/folder", "pwd; id -u"), "/a/new/folder\n0\n");
}

#[test]
fn it_is_process_one_and_sees_no_other() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    assert_eq!(inside(&sandbox, "", "echo $$; echo $(ls /proc | grep '^[0-9]' | head -1)"), "1\n1\n");
    let with_init = inside(&sandbox, "--init", "echo $$; cat /proc/1/comm; tr '\\0' ' ' </proc/1/cmdline");
    assert!(!with_init.starts_with("1\n"), "{with_init}");
    let words = with_init.split_once('\n').unwrap().1;
    assert!(words.starts_with("runr-init\nrunr-init -- sh -c echo $$; "), "{words}");
    assert!(words.trim_end().ends_with("/proc/1/cmdline"), "{words}");
    // Where the caller's words were fewer, there is room for fewer.
    sandbox.line("create --name i --init --network none busybox sleep 100").output().ok();
    sandbox.line("start i").output().ok();
    let words = sandbox.line("exec i sh -c").arg("tr '\\0' ' ' </proc/1/cmdline").output().ok();
    assert!(words.starts_with("runr-init -- ") && !words.contains("start"), "{words}");
    assert_eq!(sandbox.line("top i -o args=").output().ok().lines().next(), Some(words.trim_end()));
    sandbox.line("rm -f -t 0 i").output().ok();
}

#[test]
fn what_tells_of_the_host_is_masked() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let script = "for p in /proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats \
         /proc/timer_list /proc/sched_debug /proc/scsi /sys/firmware /sys/devices/virtual/powercap; do \
         if [ -d $p ]; then ls -A $p; elif [ -e $p ]; then head -c 10 $p; fi; done; echo end";
    assert_eq!(inside(&sandbox, "", script), "end\n");
    // Nothing that is hidden can be brought back or written through.
    let script = "umount /proc/kcore 2>/dev/null && echo unmounted; touch /proc/scsi/x /sys/firmware/x 2>/dev/null && echo made; \
         echo x > /proc/kcore && cat /proc/kcore; echo end";
    assert_eq!(inside(&sandbox, "", script), "end\n");
    let masked = inside(&sandbox, "--security-opt mask=/bin/yes:/home", "cat /bin/yes; ls -A /home; echo end");
    assert_eq!(masked, "end\n");
    // Also the files that name users: the command's own was looked up before.
    let masked = inside(&sandbox, "--user root --security-opt mask=/etc", "ls -A /etc; id -u; echo ~");
    assert_eq!(masked, "0\n/root\n");
    sandbox.line("run -d --name m --network none --security-opt mask=/etc/passwd busybox sleep 100").output().ok();
    assert_eq!(sandbox.line("exec m sh -c").arg("cat /etc/passwd; id -u").output().ok(), "0\n");
    sandbox.line("rm -f -t 0 m").output().ok();
    let open = inside(&sandbox, "--security-opt unmask=/proc/interrupts", "head -c 1 /proc/interrupts | wc -c");
    assert_eq!(open, "1\n");
}

#[test]
fn proc_has_further_options() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let script = "grep -o '^proc /proc .*' /proc/mounts";
    let seen = inside(&sandbox, "--security-opt proc-opts=hidepid=2,exec", script);
    assert!(seen.contains("nosuid,nodev,relatime,hidepid="), "{seen}");
    assert_eq!(inside(&sandbox, "--security-opt proc-opts=subset=pid", "cd /proc; echo [0-9]* [a-k]*"), "1 [a-k]*\n");
    let refused = "run --network none --pid host --security-opt proc-opts=hidepid=2 busybox true";
    let e = sandbox.line(refused).output().fails(125);
    assert!(e.starts_with("runr: --security-opt proc-opts cannot be used together with --pid host\n"), "{e}");
    assert_eq!(sandbox.line("ps -aq").output().ok(), "");
}

#[test]
fn further_pseudo_terminals_are_a_mount() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let script = "grep -o 'devpts /dev/more .*' /proc/mounts; ls /dev/more; [ -t 0 ] && tty";
    let seen = inside(&sandbox, "-t --mount type=devpts,target=/dev/more,mode=0600,max=3", script);
    assert!(seen.contains("mode=600,ptmxmode=666,max=3") && seen.contains("ptmx\r\n/dev/pts/0\r\n"), "{seen}");
    // In place of the container's own.
    let seen = inside(
        &sandbox,
        "-t --mount type=devpts,target=/dev/pts,max=7",
        "grep -c '/dev/pts .*max=7' /proc/mounts; tty",
    );
    assert_eq!(seen, "1\r\n/dev/pts/0\r\n");
}

#[test]
fn the_kernels_files_are_read_only() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let script = "for p in /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_forward /proc/sysrq-trigger /proc/irq/default_smp_affinity \
         /sys/kernel/mm/transparent_hugepage/enabled; do [ ! -e $p ] || echo x 2>&1 > $p; done 2>&1; \
         for p in /sys /sys/fs/cgroup /proc/sys /proc/bus /proc/fs /proc/irq; do [ ! -d $p ] || mkdir $p/runr-test; done 2>&1";
    let seen = inside(&sandbox, "", &format!("{{ {script}; }}; true"));
    assert!(seen.lines().count() >= 6, "{seen}");
    for line in seen.lines() {
        // Some are refused for another reason first: a folder cannot be made in proc, a file belongs to the host's root.
        let refused = ["Read-only file system", "Permission denied", "Operation not permitted", "No such file"];
        assert!(refused.iter().any(|r| line.contains(r)), "{line}");
    }
    let mounts = inside(&sandbox, "", "cat /proc/self/mountinfo");
    for path in ["/proc/sys", "/sys", "/proc/sysrq-trigger"].into_iter().filter(|p| Path::new(p).exists()) {
        let line = mounts.lines().rev().find(|l| l.split(' ').nth(4) == Some(path));
        let options = line.and_then(|l| l.split(' ').nth(5)).unwrap_or_else(|| panic!("{path} in {mounts}"));
        assert!(options.split(',').any(|o| o == "ro"), "{path} is {options}");
    }
    // Privileged, nothing is in the way but the kernel's own idea of who is root.
    let open = inside(&sandbox, "--privileged", "grep -c -e ' /proc/' -e ' /sys ro' /proc/self/mountinfo; true");
    assert_eq!(open, "0\n");
}

#[test]
fn devices_are_the_seven() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let seen = inside(
        &sandbox,
        "",
        "cd /dev; ls | tr '\\n' ' '; echo; stat -c '%n %t:%T %a' null zero full random urandom tty; ls -l ptmx | sed 's/.* -> //'; ls pts",
    );
    assert_eq!(
        seen,
        "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero \n\
         null 1:3 666\nzero 1:5 666\nfull 1:7 666\nrandom 1:8 666\nurandom 1:9 666\ntty 5:0 666\npts/ptmx\nptmx\n"
    );
    // They work, and no other can be made.
    let script = "echo x > /dev/null && head -c 3 /dev/zero | wc -c && head -c 3 /dev/urandom | wc -c; \
         mknod /tmp/mem c 1 1 2>/dev/null && head -c 1 /tmp/mem; echo x 2>/dev/null > /dev/full || echo full";
    assert_eq!(inside(&sandbox, "", script), "3\n3\nfull\n");
}

#[test]
fn shared_memory_and_queues_are_the_containers_own() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let seen = inside(
        &sandbox,
        "",
        "stat -f -c '%T' /dev/shm; stat -c '%a' /dev/shm /dev/mqueue; df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2; touch /dev/shm/x",
    );
    assert_eq!(seen, "tmpfs\n1777\n1777\n65536\n");
    let seen = inside(&sandbox, "--shm-size 1m", "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2");
    assert_eq!(seen, "1024\n");
}

#[test]
fn mounts_carry_their_flags_and_the_host_is_gone() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let mounts = inside(&sandbox, "", "cat /proc/self/mountinfo");
    let of = |path: &str| {
        let line = mounts.lines().find(|l| l.split(' ').nth(4) == Some(path)).unwrap_or_else(|| panic!("{path}"));
        line.split(' ').nth(5).unwrap().to_owned()
    };
    for (path, flags) in [
        ("/proc", "nosuid nodev noexec"),
        ("/sys", "ro nosuid nodev noexec"),
        ("/dev", "nosuid"),
        ("/dev/pts", "nosuid noexec"),
        ("/dev/shm", "nosuid nodev noexec"),
        ("/dev/mqueue", "nosuid nodev noexec"),
    ] {
        let have = of(path);
        for flag in flags.split(' ') {
            assert!(have.split(',').any(|f| f == flag), "{path}: no {flag} in {have}");
        }
    }
    // The only trees of the host are the files that are bound on purpose.
    let home = sandbox.dir().display().to_string();
    for line in mounts.lines() {
        let target = line.split(' ').nth(4).unwrap();
        assert!(!target.contains(&home), "{line}");
    }
}

#[test]
fn calls_that_docker_closes_are_closed() {
    need!(userns, shell, probe);
    let sandbox = Sandbox::new();
    let newuser = 0x1000_0000u64;
    for (flags, call, want) in [
        // CVE-2022-0185 and its like start with a user namespace of one's own.
        ("", format!("syscall {} {newuser}", libc::SYS_unshare), "EPERM"),
        ("", format!("syscall {} {}", libc::SYS_clone, newuser | 17), "EPERM"),
        ("", format!("syscall {} 0 0", libc::SYS_clone3), "ENOSYS"),
        ("", format!("syscall {} 0 0 0 0", libc::SYS_keyctl), "EPERM"),
        ("", format!("syscall {} 40 1 0", libc::SYS_socket), "EPERM"),
        ("", format!("syscall {} 38 5 0", libc::SYS_socket), "EPERM"),
        ("", format!("syscall {} 1 0", libc::SYS_io_uring_setup), "EPERM"),
        ("", format!("syscall {} 0 0 0 0 0", libc::SYS_mount), "EPERM"),
        ("", format!("syscall {} 0 0 0", libc::SYS_bpf), "EPERM"),
        ("", format!("syscall {} 0", libc::SYS_userfaultfd), "EPERM"),
        ("", "syscall 467 0".to_owned(), "ENOSYS"),
        ("", "syscall 9999 0".to_owned(), "ENOSYS"),
        ("--cap-add SYS_ADMIN", format!("syscall {} {newuser}", libc::SYS_unshare), "ok 0"),
        ("--cap-add SYS_ADMIN", format!("syscall {} 0 0", libc::SYS_clone3), "EINVAL"),
    ] {
        assert_eq!(probe::answer(&sandbox, flags, &call), want, "{flags} {call}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn calls_of_32_bit_programs_are_filtered_as_well() {
    need!(userns, shell, probe);
    let sandbox = Sandbox::new();
    let compatible = std::process::Command::new(probe::path()).args(["int80", "20"]).output().unwrap();
    if !compatible.stdout.starts_with(b"ok ") {
        return crate::support::need::skip("ia32", "the kernel runs no 32-bit programs");
    }
    // getpid, keyctl, unshare of a user namespace, clone3, one that is too new.
    for (call, want) in
        [("20", "ok 1"), ("288", "EPERM"), ("310 0x10000000", "EPERM"), ("435", "ENOSYS"), ("469", "ENOSYS")]
    {
        assert_eq!(probe::answer(&sandbox, "", &format!("int80 {call}")), want, "{call}");
    }
    assert_eq!(probe::answer(&sandbox, "--security-opt seccomp=unconfined", "int80 310 0x10000000"), "ok 0");
}

#[test]
fn a_profile_of_the_users_replaces_the_default() {
    need!(userns, shell, probe);
    let sandbox = Sandbox::new();
    let profile = sandbox.write(
        "profile.json",
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 75},
            {"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 16, "includes": {"caps": ["CAP_SYS_ADMIN"]}}]}"#,
    );
    let flags = format!("--security-opt seccomp={}", profile.display());
    let call = format!("syscall {} 0 0", libc::SYS_getpriority);
    assert_eq!(probe::answer(&sandbox, &flags, &call), "EOVERFLOW");
    let call = format!("syscall {}", libc::SYS_getppid);
    assert_eq!(probe::answer(&sandbox, &flags, &call), "ok 0");
    assert_eq!(probe::answer(&sandbox, &format!("{flags} --cap-add SYS_ADMIN"), &call), "EBUSY");
    let broken = sandbox.write("broken.json", "{");
    let out = probe::run(&sandbox, &format!("--security-opt seccomp={}", broken.display()), "fds");
    let text = out.fails(125);
    assert!(text.contains("not a seccomp profile"), "{text}");
}
