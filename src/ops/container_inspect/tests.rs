//! The document against the keys that docker and podman document.

use super::*;
use crate::spec::ContainerOptions;
use crate::state::record::{Health, HealthProbe, HealthStatus, VERSION};
use crate::state::{ContainerRecord, ContainerState};
use crate::userns::IdMap;

/// The keys of Docker Engine's API, version 1.47 ("Inspect a container"), by object.
const DOCKER: [(&str, &[&str]); 6] = [
    (
        "",
        &[
            "Id",
            "Created",
            "Path",
            "Args",
            "State",
            "Image",
            "ResolvConfPath",
            "HostnamePath",
            "HostsPath",
            "LogPath",
            "Name",
            "RestartCount",
            "Driver",
            "Platform",
            "MountLabel",
            "ProcessLabel",
            "AppArmorProfile",
            "ExecIDs",
            "HostConfig",
            "GraphDriver",
            "Mounts",
            "Config",
            "NetworkSettings",
        ],
    ),
    (
        "/State",
        &[
            "Status",
            "Running",
            "Paused",
            "Restarting",
            "OOMKilled",
            "Dead",
            "Pid",
            "ExitCode",
            "Error",
            "StartedAt",
            "FinishedAt",
            "Health",
        ],
    ),
    ("/State/Health", &["Status", "FailingStreak", "Log"]),
    (
        "/HostConfig",
        &[
            "CpuShares",
            "Memory",
            "CgroupParent",
            "BlkioWeight",
            "BlkioWeightDevice",
            "BlkioDeviceReadBps",
            "BlkioDeviceWriteBps",
            "BlkioDeviceReadIOps",
            "BlkioDeviceWriteIOps",
            "CpuPeriod",
            "CpuQuota",
            "CpuRealtimePeriod",
            "CpuRealtimeRuntime",
            "CpusetCpus",
            "CpusetMems",
            "Devices",
            "DeviceCgroupRules",
            "DeviceRequests",
            "KernelMemoryTCP",
            "MemoryReservation",
            "MemorySwap",
            "MemorySwappiness",
            "NanoCpus",
            "OomKillDisable",
            "Init",
            "PidsLimit",
            "Ulimits",
            "CpuCount",
            "CpuPercent",
            "IOMaximumIOps",
            "IOMaximumBandwidth",
            "Binds",
            "ContainerIDFile",
            "LogConfig",
            "NetworkMode",
            "PortBindings",
            "RestartPolicy",
            "AutoRemove",
            "VolumeDriver",
            "VolumesFrom",
            "ConsoleSize",
            "Annotations",
            "CapAdd",
            "CapDrop",
            "CgroupnsMode",
            "Dns",
            "DnsOptions",
            "DnsSearch",
            "ExtraHosts",
            "GroupAdd",
            "IpcMode",
            "Cgroup",
            "Links",
            "OomScoreAdj",
            "PidMode",
            "Privileged",
            "PublishAllPorts",
            "ReadonlyRootfs",
            "SecurityOpt",
            "Tmpfs",
            "UTSMode",
            "UsernsMode",
            "ShmSize",
            "Sysctls",
            "Runtime",
            "Isolation",
            "MaskedPaths",
            "ReadonlyPaths",
        ],
    ),
    (
        "/Config",
        &[
            "Hostname",
            "Domainname",
            "User",
            "AttachStdin",
            "AttachStdout",
            "AttachStderr",
            "ExposedPorts",
            "Tty",
            "OpenStdin",
            "StdinOnce",
            "Env",
            "Cmd",
            "Healthcheck",
            "Image",
            "Volumes",
            "WorkingDir",
            "Entrypoint",
            "OnBuild",
            "Labels",
            "StopSignal",
            "StopTimeout",
            "Shell",
        ],
    ),
    (
        "/NetworkSettings",
        &[
            "Bridge",
            "SandboxID",
            "HairpinMode",
            "LinkLocalIPv6Address",
            "LinkLocalIPv6PrefixLen",
            "Ports",
            "SandboxKey",
            "SecondaryIPAddresses",
            "SecondaryIPv6Addresses",
            "EndpointID",
            "Gateway",
            "GlobalIPv6Address",
            "GlobalIPv6PrefixLen",
            "IPAddress",
            "IPPrefixLen",
            "IPv6Gateway",
            "MacAddress",
            "Networks",
        ],
    ),
];

/// What podman's document has beside them (podman-inspect(1), 4.3), of what concerns a container outside of a pod.
const PODMAN: [(&str, &[&str]); 4] = [
    (
        "",
        &[
            "ImageDigest",
            "ImageName",
            "Rootfs",
            "Pod",
            "StaticDir",
            "OCIRuntime",
            "ConmonPidFile",
            "PidFile",
            "EffectiveCaps",
            "BoundingCaps",
            "Dependencies",
            "Namespace",
            "IsInfra",
            "IsService",
        ],
    ),
    ("/State", &["OciVersion", "ConmonPid", "CgroupPath", "CheckpointedAt", "RestoredAt"]),
    ("/Config", &["Annotations", "Umask", "Timeout", "StopTimeout", "Passwd", "sdNotifyMode"]),
    ("/HostConfig", &["KernelMemory"]),
];

fn container() -> Container {
    let execution = serde_json::from_value(json!({
        "Cmd": ["serve"], "Env": ["PATH=/bin", "A=1"], "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGQUIT", "Shell": ["/bin/ash"],
        "Labels": {"from": "image"}, "Healthcheck": {"Test": ["CMD", "true"]},
    }));
    let record = ContainerRecord {
        version: VERSION,
        id: "0123456789abcdef".repeat(4),
        name: "web".into(),
        created: "2026-01-01T00:00:00.5Z".into(),
        image: None,
        execution: execution.unwrap(),
        rootfs: Some("/srv/root".into()),
        command: vec!["serve".into(), "-p".into()],
        options: ContainerOptions { env: vec!["A=2".into()], ..ContainerOptions::default() },
        map: IdMap::single(0, 0),
        stop_signal: None,
    };
    let mut state = ContainerState::created();
    let probe = HealthProbe { exit_code: 1, output: "no\n".into(), ..HealthProbe::default() };
    state.health = Some(Health { status: HealthStatus::Unhealthy, failing_streak: 3, log: vec![probe] });
    Container { record: record.into(), state, folder: "/nonexistent".into() }
}

#[test]
fn every_documented_key_is_there() {
    let document = document(&container(), &[], &|name| name.into());
    for (object, keys) in DOCKER.iter().chain(&PODMAN) {
        let map = document.pointer(object).and_then(Value::as_object).unwrap();
        let missing: Vec<_> = keys.iter().filter(|k| !map.contains_key(**k)).collect();
        assert!(missing.is_empty(), "{object}: {missing:?}");
    }
}

#[test]
fn the_document_says_what_is_so() {
    let mut c = container();
    let text = |c: &Container, pointer: &str| {
        document(c, &["a".to_owned()][..usize::from(c.state.status.is_alive())], &|name| name.into())
            .pointer(pointer)
            .cloned()
            .unwrap_or_default()
    };
    for (pointer, value) in [
        ("/Path", json!("serve")),
        ("/Args", json!(["-p"])),
        ("/Name", json!("/web")),
        ("/State/Status", json!("created")),
        ("/State/Pid", json!(0)),
        ("/State/StartedAt", json!(NEVER)),
        ("/State/Health/Status", json!("unhealthy")),
        ("/State/Health/Log/0/Output", json!("no\n")),
        ("/HostConfig/RestartPolicy", json!({"Name": "no", "MaximumRetryCount": 0})),
        ("/HostConfig/LogConfig/Type", json!("k8s-file")),
        ("/HostConfig/Memory", json!(0)),
        ("/LogPath", json!("/nonexistent/log/ctr.log")),
        ("/Config/Env", json!(["PATH=/bin", "A=2"])),
        ("/Config/Labels", json!({"from": "image"})),
        ("/Config/StopSignal", json!("SIGQUIT")),
        ("/Config/StopTimeout", json!(10)),
        ("/NetworkSettings/Ports", json!({})),
        ("/ExecIDs", json!([])),
    ] {
        assert_eq!(text(&c, pointer), value, "{pointer}");
    }
    c.state.status = Status::Paused;
    c.state.health = None;
    c.record.options.restart = crate::spec::options::RestartPolicy::OnFailure(5);
    c.record.options.network = Some("container:db".into());
    for (pointer, value) in [
        ("/State/Running", json!(true)),
        ("/State/Paused", json!(true)),
        ("/State/Health", Value::Null),
        ("/ExecIDs", json!(["a"])),
        ("/HostConfig/RestartPolicy", json!({"Name": "on-failure", "MaximumRetryCount": 5})),
        ("/HostConfig/NetworkMode", json!("container:db")),
        ("/NetworkSettings/Networks", json!({})),
    ] {
        assert_eq!(text(&c, pointer), value, "{pointer}");
    }
}
