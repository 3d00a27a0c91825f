//! Limits by cgroup controllers: what is accepted and refused, where they are shown, and that they hold where this machine
//! delegates controllers. A whole machine with systemd is tried by `tests/vm/run`.

use crate::support::Sandbox;
use crate::support::need::cgroup_folder;
use nix::unistd::{AccessFlags, access};
use std::path::PathBuf;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox
}

/// True when this process's group, or one above it that it may write, can pass this controller on.
fn passes_on(controller: &str) -> bool {
    let Some(own) = cgroup_folder() else { return false };
    let offers = |folder: &std::path::Path| {
        std::fs::read_to_string(folder.join("cgroup.controllers"))
            .is_ok_and(|text| text.split_whitespace().any(|c| c == controller))
    };
    let writable = |folder: &std::path::Path| access(&folder.join("cgroup.procs"), AccessFlags::W_OK).is_ok();
    // The group itself has processes.
    own.parent().is_some_and(|above| offers(above) && writable(above))
}

#[test]
fn values_are_refused_before_anything_is_made() {
    need!(userns, shell);
    let sandbox = sandbox();
    for (flags, message) in [
        ("--memory x", "--memory: invalid size `x`: use a number with b, k, m or g, such as `64m`"),
        ("-m 10m --memory-swap 5m", "minimum memory-swap limit should be larger than memory limit, see usage"),
        ("--memory-swap 5m", "you should always set the memory limit when using the memory-swap limit, see usage"),
        (
            "-m 5m --memory-reservation 6m",
            "minimum memory limit can not be less than memory reservation limit, see usage",
        ),
        ("--memory-swappiness 10", "cannot set memory swappiness with cgroup v2"),
        ("--cpus 1,5", "--cpus: failed to parse `1,5` as a rational number"),
        ("--cpus 1 --cpu-quota 5000", "--cpu-quota and --cpus cannot be set together"),
        ("--cpu-period 5", "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"),
        ("--cpu-shares x", "--cpu-shares: invalid value `x`: use a whole number"),
        ("--cpu-rt-runtime 5000", "cannot set realtime runtime with cgroup v2"),
        ("--cpuset-cpus 3-1", "invalid value `3-1` for cpuset cpus: use a list such as 0-3,7"),
        ("--pids-limit many", "--pids-limit: invalid value `many`: use a whole number"),
        ("--blkio-weight 5", "range of blkio weight is from 10 to 1000"),
        ("--device-read-bps sda:5", "--device-read-bps: bad format for device path: `sda:5`: it begins with /dev/"),
        ("--oom-kill-disable", "cannot disable OOM killer with cgroup v2"),
        ("--device-cgroup-rule x", "invalid device cgroup format `x`: use `c 1:3 rwm`"),
        ("--cgroups some", "--cgroups: unknown mode `some`: use enabled, disabled, no-conmon or split"),
        ("--cgroups disabled -m 5m", "limits cannot be used together with --cgroups disabled"),
        ("--cgroup-parent ../x", "--cgroup-parent: invalid `../x`: use a path without `..`, or the name of a slice"),
        (
            "--cgroup-conf memory.high",
            "--cgroup-conf: invalid `memory.high`: use FILE=VALUE, such as memory.high=1073741824",
        ),
    ] {
        let stderr = sandbox.line(&format!("create {flags} busybox true")).output().fails(125);
        assert_eq!(stderr.lines().next().unwrap(), format!("runr: {message}"), "{flags}");
    }
    let rule = sandbox.runr(["create", "--device-cgroup-rule", "c 1:3 rwm", "busybox", "true"]).output().fails(125);
    assert_eq!(rule, "runr: device cgroup rules are not supported in rootless mode or in a user namespace\n");
    assert_eq!(sandbox.line("ps -aq").output().ok(), "");
    // What means "nothing" to docker is nothing.
    sandbox
        .line("run --rm --network none --memory-swappiness -1 --cpu-rt-period 0 --oom-kill-disable=false busybox true")
        .output()
        .ok();
}

#[test]
fn what_was_asked_for_is_shown() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox
        .line("create --name c -m 64m --memory-reservation 32m --cpus 1.5 --cpu-shares 512 --cpuset-cpus 0 --pids-limit 9 --blkio-weight 20 --device-read-bps /dev/sda:1k --cgroup-parent x.slice busybox true")
        .output()
        .ok();
    let shown = |name: &str| {
        let format = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.MemoryReservation}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpuShares}} {{.HostConfig.CpusetCpus}} {{.HostConfig.PidsLimit}} {{.HostConfig.BlkioWeight}} {{json .HostConfig.BlkioDeviceReadBps}} {{.HostConfig.CgroupParent}}";
        sandbox.runr(["inspect", "--format", format, name]).output().ok().trim().to_owned()
    };
    let rates = r#"[{"Path":"/dev/sda","Rate":1024}]"#;
    assert_eq!(shown("c"), format!("67108864 134217728 33554432 1500000000 512 0 9 20 {rates} x.slice"));
    sandbox.line("update -m 128m --memory-swap -1 --cpus 0.5 --pids-limit -1 c").output().ok();
    assert_eq!(shown("c"), format!("134217728 -1 33554432 500000000 512 0 -1 20 {rates} x.slice"));
    let stderr = sandbox.line("update -m 16m c").output().fails(125);
    assert_eq!(stderr, "runr: minimum memory limit can not be less than memory reservation limit, see usage\n");
    sandbox.line("container clone --cpu-quota 5000 c d").output().ok();
    let format = "{{.HostConfig.CpuQuota}} {{.HostConfig.NanoCpus}} {{.HostConfig.Memory}}";
    assert_eq!(sandbox.runr(["inspect", "--format", format, "d"]).output().ok(), "5000 0 134217728\n");
}

#[test]
fn a_limit_that_cannot_hold_is_refused() {
    need!(userns, shell);
    let sandbox = sandbox();
    // No kernel has this controller.
    let stderr = sandbox.line("run --rm --network none --cgroup-conf nosuch.max=1 busybox true").output().fails(125);
    assert!(stderr.starts_with("runr: the requested cgroup controller `nosuch` is not available\nhint: "), "{stderr}");
    sandbox.line("run -d --name c --network none --cgroups disabled busybox sleep 1000").output().ok();
    let stderr = sandbox.line("update --pids-limit 5 c").output().fails(125);
    assert!(stderr.starts_with("runr: the container runs without a cgroup of its own\nhint: "), "{stderr}");
    assert_eq!(sandbox.runr(["inspect", "--format", "{{.HostConfig.PidsLimit}}", "c"]).output().ok(), "<nil>\n");
    assert!(sandbox.line("pause c").output().fails(125).contains("pausing needs a cgroup"));
}

#[test]
fn limits_hold_where_controllers_are_delegated() {
    need!(userns, shell, cgroup);
    let sandbox = sandbox();
    if passes_on("pids") {
        let run = sandbox.line("run --rm --network none --pids-limit 7 busybox cat /sys/fs/cgroup/pids.max");
        assert_eq!(run.output().ok(), "7\n");
    }
    // Hybrid machines have nearly all their controllers in cgroup v1; `tests/vm/run` has them in v2.
    if passes_on("hugetlb") {
        let file = "/sys/fs/cgroup/hugetlb.2MB.max";
        let run =
            sandbox.line(&format!("run --rm --network none --cgroup-conf hugetlb.2MB.max=4194304 busybox cat {file}"));
        assert_eq!(run.output().ok(), "4194304\n");
        sandbox.line("run -d --name c --network none --cgroup-conf hugetlb.2MB.max=0 busybox sleep 1000").output().ok();
        assert_eq!(sandbox.runr(["exec", "c", "cat", file]).output().ok(), "0\n");
        let folder = sandbox.runr(["inspect", "--format", "{{.State.CgroupPath}}", "c"]).output().ok();
        sandbox.line("rm -f -t 0 c").output().ok();
        assert!(!PathBuf::from(folder.trim()).exists(), "the group goes with its container");
    }
}

#[test]
fn files_of_the_group_itself_need_no_controller() {
    need!(userns, shell, cgroup);
    let sandbox = sandbox();
    let line = "run --rm --network none --cgroup-conf cgroup.max.depth=3 busybox cat /sys/fs/cgroup/cgroup.max.depth";
    assert_eq!(sandbox.line(line).output().ok(), "3\n");
    let own: PathBuf = cgroup_folder().unwrap().components().collect();
    let parent = format!("rt{}", std::process::id());
    let line = format!("run -d --name c --network none --cgroup-parent {parent}/deep busybox sleep 1000");
    sandbox.line(&line).output().ok();
    let path = sandbox.runr(["inspect", "--format", "{{.State.CgroupPath}}", "c"]).output().ok();
    assert!(path.starts_with(&format!("{}/{parent}/deep/runr-", own.display())), "{path}");
    sandbox.line("rm -f -t 0 c").output().ok();
    for folder in [own.join(&parent).join("deep"), own.join(&parent)] {
        std::fs::remove_dir(folder).unwrap();
    }
}

#[test]
fn what_can_be_limited_is_said_the_same_everywhere() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let format = "{{.CgroupVersion}} {{.Host.CgroupsVersion}} {{.MemoryLimit}}";
    let info = sandbox.runr(["info", "--format", format]).output().ok();
    let words: Vec<&str> = info.split_whitespace().collect();
    assert_eq!(words[1], format!("v{}", words[0]));
    let checks = sandbox.line("doctor --json").output().stdout;
    let checks: serde_json::Value = serde_json::from_str(&checks).unwrap();
    let check = checks.as_array().unwrap().iter().find(|c| c["name"] == "cgroups").unwrap();
    let run = sandbox.line("run --rm --network none --memory 64m busybox true").output();
    let ways: Vec<String> = [
        "this machine's controllers are cgroup v1's: boot with systemd.unified_cgroup_hierarchy=1",
        "log in through systemd (ssh, a console, machinectl), or let this user's service manager run without a login: loginctl enable-linger USER",
        "systemctl edit user@.service: under [Service] write Delegate=cpu cpuset io memory pids, then log in again",
    ]
    .map(str::to_owned)
    .into();
    // A machine with the controllers elsewhere is v1 also when v2 is mounted beside it (`hybrid`).
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let v1 = groups.lines().any(|line| line.contains(":memory:") || line.contains(":pids:"));
    if v1 {
        assert_eq!((words[0], words[2]), ("1", "false"), "{info}");
        assert_eq!(check["fix"][0], ways[0], "{check}");
        assert_eq!(
            run.fails(125),
            format!("runr: the requested cgroup controller `memory` is not available\nhint: {}\n", ways[0])
        );
    } else if words[2] == "true" {
        assert_eq!(words[0], "2");
        assert!(
            check["fix"].as_array().is_none_or(|fix| fix.iter().all(|f| ways[1..].iter().any(|w| f == w))),
            "{check}"
        );
    } else {
        let fix = check["fix"][0].as_str().unwrap().to_owned();
        assert!(ways.contains(&fix), "{check}");
        assert!(run.fails(125).contains("the requested cgroup controller `memory` is not available"));
    }
}
