//! A container's files between versions: what version 1 wrote, word for word as it was recorded, and what a later one may write. A
//! store outlives an upgrade, and the way back.

use crate::support::Sandbox;
use serde_json::{Value, json};
use std::path::PathBuf;

/// A record of the time when unset options were written too. Image and ids are the sandbox's.
const RECORDED: &str = r#"{"version":1,"id":"ID","name":"old","created":"2026-01-01T00:00:00.123456789Z","image":IMAGE,"execution":{"User":"",
"Env":[],"Entrypoint":null,"Cmd":null,"WorkingDir":""},"rootfs":null,"command":["sh","-c","echo $GREETING; exit 3"],
"options":{"name":"old","command":["sh","-c","echo $GREETING; exit 3"],"entrypoint":null,
"env":["GREETING=hello from before"],"unset_env":[],"unset_env_all":false,"workdir":null,"user":null,"groups":[],
"tty":false,"interactive":false,"init":false,"init_path":null,"systemd":"off","shm_size_systemd":0,"chroot_dirs":[],
"image_volume":"ignore","hostname":null,"domainname":null,"mounts":[],"volumes_from":[],"seccomp_from_image":false,
"read_only":false,"no_read_only_tmpfs":false,"cap_add":[],"cap_drop":[],"privileged":false,"security":{"seccomp":null,
"no_new_privileges":false,"mask":[],"unmask":[],"other":[]},"ulimits":[],"shm_size":null,"network":"none","pid":null,
"ipc":null,"uts":null,"cgroupns":null,"userns":null,"uidmap":[],"gidmap":[],"sysctls":{},"devices":[],"dns":[],
"dns_search":[],"dns_options":[],"add_hosts":[],"hosts_file":null,"no_hosts":false,"no_hostname":false,"labels":{},
"annotations":{},"stop_signal":null,"stop_timeout":null,"timeout":0,"umask":null,"tz":null,"oom_score_adj":null,
"remove":false,"pidfile":null,"cidfile":null,"log_driver":null,"log_options":{},"restart":"no","requires":[],
"remove_image":false,"conmon_pidfile":null,"sdnotify":"container","env_merge":[],"personality":null,
"accounts":{"off":false,"passwd_entry":null,"group_entry":null,"host_users":[]},"health":{"disabled":false,
"test":null,"interval":null,"timeout":null,"retries":null,"start_period":null,"start_interval":null,"on_failure":null,
"startup_test":null,"startup_interval":null,"startup_timeout":null,"startup_retries":null,"startup_success":null,
"log_destination":null,"max_log_count":null,"max_log_size":null},"limits":{"memory":null,"memory_swap":null,
"memory_reservation":null,"nano_cpus":null,"cpu_shares":null,"cpu_period":null,"cpu_quota":null,"cpuset_cpus":null,
"cpuset_mems":null,"pids":null,"blkio_weight":null,"blkio_weight_devices":[],"read_bps":[],"write_bps":[],
"read_iops":[],"write_iops":[],"conf":{}},"cgroup":{"parent":null,"mode":"enabled"}},"map":MAP,"stop_signal":null}"#;

/// Makes container `old`; its folder.
fn made(sandbox: &Sandbox) -> PathBuf {
    sandbox.base_image();
    let id =
        sandbox.runr(["create", "--network", "none", "--name", "old", "busybox", "sh", "-c", "exit 3"]).output().ok();
    sandbox.store().join("containers").join(id.trim())
}

fn record(folder: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap()
}

#[test]
fn a_record_of_an_older_runr_is_read() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let folder = made(&sandbox);
    let now = record(&folder);
    let old = RECORDED
        .replace("\"ID\"", &now["id"].to_string())
        .replace("IMAGE", &now["image"].to_string())
        .replace("MAP", &now["map"].to_string());
    std::fs::write(folder.join("config.json"), &old).unwrap();
    let row = sandbox.runr(["ps", "-a", "--format", "{{.Names}} {{.Command}} {{.State}}"]).output().ok();
    assert_eq!(row, "old \"sh -c 'echo $GREETI…\" created\n");
    assert_eq!(sandbox.line("start -a old").output().exits(3), "hello from before\n");
    // What is written again is all that differs from the defaults, which for the image's volumes was another one.
    sandbox.line("rename old older").output().ok();
    let options = json!({
        "name": "older",
        "command": ["sh", "-c", "echo $GREETING; exit 3"],
        "env": ["GREETING=hello from before"],
        "image_volume": "ignore",
        "network": "none",
    });
    assert_eq!(record(&folder)["options"], options);
    assert_eq!(sandbox.line("start -a older").output().exits(3), "hello from before\n");
    sandbox.line("rm older").output().ok();
}

#[test]
fn only_what_is_set_is_written() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let folder = made(&sandbox);
    let options = json!({
        "name": "old",
        "command": ["sh", "-c", "exit 3"],
        "network": "none",
    });
    assert_eq!(
        record(&folder)["options"],
        options,
        "what is new here would be new to every older runr: give it a default"
    );
    let line = "create --name full --read-only -e A=1 -l a=b -u 7 --restart on-failure:2 --health-cmd true --health-retries 5 \
        --ulimit nofile=5:9 --security-opt no-new-privileges --tmpfs /mem --stop-timeout 0 busybox";
    let id = sandbox.line(line).output().ok();
    let folder = sandbox.store().join("containers").join(id.trim());
    let before = record(&folder);
    assert_eq!(before["options"]["health"], json!({"test": ["CMD-SHELL", "true"], "retries": 5}));
    assert_eq!(before["options"]["stop_timeout"], 0);
    sandbox.line("rename full fuller").output().ok();
    let mut after = record(&folder);
    assert_eq!(after["name"], "fuller");
    (after["name"], after["options"]["name"]) = ("full".into(), "full".into());
    assert_eq!(after, before, "nothing is lost on the way");
    sandbox.line("rm old fuller").output().ok();
}

#[test]
fn what_a_newer_runr_made_is_shown_and_left_alone() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let folder = made(&sandbox);
    let id = folder.file_name().unwrap().to_str().unwrap()[..12].to_owned();
    let good = record(&folder);
    let (mut asked, mut format) = (good.clone(), good.clone());
    asked["options"]["teleport"] = json!({"to": "mars"});
    format["version"] = json!(2);
    let records = [(&asked, "unknown field `teleport`"), (&format, "its format is 2, this one knows 1")];
    for (record, why) in records {
        std::fs::write(folder.join("config.json"), record.to_string()).unwrap();
        let what = format!("container `{id}` was made by a newer runr: {why}");
        let out = sandbox.line("ps -a --format {{.ID}}:{{.Names}}:{{.State}}").output();
        assert!(out.stderr.starts_with(&format!("runr: warning: {what}")), "{}", out.stderr);
        assert_eq!(out.ok(), format!("{id}:old:unknown\n"));
        let out = sandbox.line("ps -a").output().ok();
        assert!(out.lines().nth(1).is_some_and(|l| l.starts_with(&id) && l.contains("Unknown (newer runr)")), "{out}");
        for line in [
            "start old",
            "inspect old",
            "rename old other",
            "update --restart always old",
            "cp old:/etc .",
            "rm old",
            "rm -a",
        ] {
            let stderr = sandbox.line(line).output().fails(125);
            assert!(stderr.contains(&what), "{line}: {stderr}");
            let hint = format!("\nhint: use that one; `runr rm -f {id}` removes the container\n");
            assert!(stderr.ends_with(&hint), "{line}: {stderr}");
        }
        assert_eq!(sandbox.line("system check --repair --force").output().ok(), "No damage found.\n");
        sandbox.line("container prune -f").output().ok();
        sandbox.line("system prune -af").output().ok();
        let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
        assert_eq!(text, record.to_string(), "nobody wrote to it");
    }
    // For the runr that made it all is as it was, its layers too.
    std::fs::write(folder.join("config.json"), good.to_string()).unwrap();
    sandbox.line("start -a old").output().exits(3);
    // What it last said, in words that are not known here.
    let mut state: Value = serde_json::from_slice(&std::fs::read(folder.join("state.json")).unwrap()).unwrap();
    state["status"] = json!("dreaming");
    std::fs::write(folder.join("state.json"), state.to_string()).unwrap();
    assert!(sandbox.line("rm old").output().fails(125).contains("unknown variant `dreaming`"));
    assert_eq!(sandbox.line("system check --repair --force").output().ok(), "No damage found.\n");
    assert_eq!(sandbox.line("rm -f old").output().ok(), "old\n");
    assert_eq!(sandbox.line("ps -aq").output().ok(), "");
}

#[test]
fn a_running_container_of_a_newer_runr_obeys_and_goes_by_force() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let id = sandbox.line("run -d --name new --network none busybox sleep 1000").output().ok();
    let folder = sandbox.store().join("containers").join(id.trim());
    let mut changed = record(&folder);
    changed["options"]["teleport"] = json!(true);
    std::fs::write(folder.join("config.json"), changed.to_string()).unwrap();
    let refused = |line: &str| {
        let stderr = sandbox.line(line).output().fails(125);
        assert!(stderr.contains("was made by a newer runr: unknown field `teleport`"), "{line}: {stderr}");
    };
    refused("rm new");
    let out = sandbox.line("ps").output();
    assert!(out.stderr.contains("was made by a newer runr"), "{}", out.stderr);
    // Its monitor knows what to do, and within a version of the protocol commands are understood.
    assert_eq!(sandbox.line("exec new echo joined").output().ok(), "joined\n");
    assert_eq!(sandbox.line("stop -t 0 new").output().ok(), "new\n");
    refused("rm new");
    assert_eq!(sandbox.line("rm -f new").output().ok(), "new\n");
    assert!(!folder.exists());
    // One that runs ends with it.
    let id = sandbox.line("run -d --name new --network none busybox sleep 1000").output().ok();
    let folder = sandbox.store().join("containers").join(id.trim());
    std::fs::write(folder.join("config.json"), changed.to_string()).unwrap();
    assert_eq!(sandbox.line("rm -f new").output().ok(), "new\n");
    assert!(!folder.exists());
}
