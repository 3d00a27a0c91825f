//! Ports that are exposed or to be published, and what names a container in a network: metadata, warnings and refusals.

use crate::support::{Podman, Sandbox};

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox
}

/// The base image with an `EXPOSE`.
fn exposing(sandbox: &Sandbox) {
    sandbox.line("create --name base --network none busybox").output().ok();
    sandbox.line("commit -q -c").args(["EXPOSE 80 53/udp", "base", "exposing"]).output().ok();
    sandbox.line("rm base").output().ok();
}

#[test]
fn exposed_ports_are_shown_and_committed() {
    need!(userns, shell);
    let sandbox = sandbox();
    exposing(&sandbox);
    let run = sandbox.line("run -d --name web --expose 8000-8002 --expose 9/UDP,80/tcp exposing sleep 100");
    run.output().ok();
    let ask = |format: &str| sandbox.runr(["inspect", "-f", format, "web"]).output().ok();
    let all = "{\"53/udp\":{},\"80/tcp\":{},\"8000/tcp\":{},\"8001/tcp\":{},\"8002/tcp\":{},\"9/udp\":{}}\n";
    assert_eq!(ask("{{json .Config.ExposedPorts}}"), all);
    assert_eq!(ask("{{range $port, $_ := .Config.ExposedPorts}}{{$port}} {{end}}").split(' ').count(), 7);
    assert_eq!(ask("{{.NetworkSettings.Ports}} {{.HostConfig.PortBindings}}"), "map[] map[]\n");
    let shown = "9/udp, 80/tcp, 53/udp, 8000-8002/tcp";
    assert_eq!(sandbox.line("ps --format {{.Ports}}").output().ok(), format!("{shown}\n"));
    let table = sandbox.line("ps").output().ok();
    assert!(table.contains(&format!(" {shown}   web\n")), "{table}");
    for (filter, fits) in [("8001", true), ("79-81/tcp", true), ("9", false), ("9/udp", true), ("8003", false)] {
        let listed = sandbox.line("ps -q --filter").arg(format!("expose={filter}")).output().ok();
        assert_eq!(!listed.is_empty(), fits, "{filter}");
    }
    sandbox.line("commit -q web made").output().ok();
    let image = sandbox.line("image inspect -f").args(["{{json .Config.ExposedPorts}}", "made"]).output().ok();
    assert_eq!(image, all);
    assert_eq!(sandbox.line("port web").output().ok(), "");
    // Nothing listens any more, and where nothing can be reached nothing is listed.
    sandbox.line("kill web").output().ok();
    sandbox.line("run -d --name hidden --network none exposing sleep 100").output().ok();
    assert_eq!(sandbox.line("ps -a --format {{.Ports}}").output().ok(), "\n\n");
    let clone = sandbox.line("container clone web copy").output().ok();
    assert_eq!(sandbox.line("inspect -f {{len(.Config.ExposedPorts)}}").arg(clone.trim()).output().ok(), "6\n");
    sandbox.line("rm -fa").output().ok();
}

#[test]
fn published_ports_are_noted_and_discarded() {
    need!(userns, shell);
    let sandbox = sandbox();
    let flags = "-p 8080:80 -p 127.0.0.1::81/udp -p [::1]:80:80 --publish 5000-5009:50,90-91";
    for (network, why) in [
        ("host", ": what the container listens on is this machine's"),
        ("none", ": nobody reaches the container"),
        ("ns:/proc/self/ns/net", ""),
    ] {
        let run = sandbox.line("run --name c --network").arg(network).args(flags.split(' '));
        let run = run.args(["busybox", "echo", "ran"]).output();
        assert_eq!(
            run.stderr,
            format!("runr: warning: published ports are discarded with `--network {network}`{why}\n")
        );
        assert_eq!(run.ok(), "ran\n");
        let ask = |format: &str| sandbox.runr(["inspect", "-f", format, "c"]).output().ok();
        let bindings: serde_json::Value = serde_json::from_str(&ask("{{json .HostConfig.PortBindings}}")).unwrap();
        let binding = |address: &str, port: &str| serde_json::json!({"HostIp": address, "HostPort": port});
        assert_eq!(
            bindings,
            serde_json::json!({
                "80/tcp": [binding("", "8080"), binding("::1", "80")],
                "81/udp": [binding("127.0.0.1", "")],
                "50/tcp": [binding("", "5000-5009")],
                "90/tcp": [binding("", "")],
                "91/tcp": [binding("", "")],
            })
        );
        assert_eq!(
            ask("{{len .Config.ExposedPorts}} {{.HostConfig.PublishAllPorts}} {{.NetworkSettings.Ports}}"),
            "5 false map[]\n"
        );
        assert_eq!(sandbox.line("port c").output().ok(), "");
        assert_eq!(sandbox.line("port c 80").output().fails(125), "runr: no public port `80/tcp` published for `c`\n");
        for (filter, fits) in [("80", true), ("8080", false), ("81/udp", true), ("51", false)] {
            let listed = sandbox.line("ps -aq --filter").arg(format!("publish={filter}")).output().ok();
            assert_eq!(!listed.is_empty(), fits, "{network} {filter}");
        }
        sandbox.line("rm c").output().ok();
    }
    // Also when there is nothing to publish: a flag without an effect is told.
    let all = sandbox.line("create --name c --network host -P busybox").output();
    assert!(all.stderr.starts_with("runr: warning: published ports are discarded"), "{}", all.stderr);
    assert_eq!(sandbox.line("inspect -f {{.HostConfig.PublishAllPorts}} c").output().ok(), "true\n");
    let quiet = sandbox.line("--log-level error create --network none -p 80 --rm busybox").output();
    assert_eq!(quiet.stderr, "");
    sandbox.line("rm -fa").output().ok();
}

#[test]
fn what_the_network_cannot_have_is_refused_at_once() {
    need!(userns, shell);
    let sandbox = sandbox();
    sandbox.line("create --name other --network none busybox").output().ok();
    let unpublished = ": not supported yet: the container has this machine's network, there is no private one yet\n\
                       hint: with `--network host` the flag is accepted and needed for nothing: the container's own ports \
                       are this machine's\n";
    let shared = " and the container type network mode\nhint: ports are those of the container whose network it is: name them there\n";
    let bridge = " can only be set when the network mode is bridge\n";
    let host = "hint: with `--network host` the container has this machine's addresses and names: leave it out\n";
    let none = "hint: with `--network none` there is nobody to reach: leave it out\n";
    let joined = "hint: with `--network container:other` addresses and names are those of the network that is joined: leave it out\n";
    let addresses = ": not supported yet: there is no private network yet, in which the container has an address of its own\n\
                     hint: leave it out: the container has this machine's addresses\n";
    let names = ": not supported yet: there is no private network yet, in which containers find each other by name\n\
                 hint: containers with this machine's network reach each other at 127.0.0.1: --add-host NAME:127.0.0.1 gives it a \
                 name\n";
    for (flags, said) in [
        ("-p 80:80", format!("--publish{unpublished}")),
        ("-P", format!("--publish-all{unpublished}")),
        ("--network= -p 80:80", format!("--publish{unpublished}")),
        ("--network default -p 80:80", format!("--publish{unpublished}")),
        (
            "--network bridge -p 80:80",
            "--network bridge: not supported yet: there is no private network yet\nhint: use `host`, `none`, `container:ID` or \
             `ns:PATH`\n"
                .to_owned(),
        ),
        ("--network container:other -p 80", format!("conflicting options: port publishing{shared}")),
        ("--network container:other -P", format!("conflicting options: port publishing{shared}")),
        ("--network container:other --expose 80", format!("conflicting options: port exposing{shared}")),
        // A mistake is one in any network.
        ("-p 80:http", "--publish: `80:http`: invalid port `http`: use a number from 1 to 65535\n".to_owned()),
        (
            "--network host -p 1.2.3:80:80",
            "--publish: `1.2.3:80:80`: invalid address `1.2.3`: use an IP address, IPv6 in brackets\n".to_owned(),
        ),
        ("--network host --expose 80/http", "--expose: invalid protocol `http`: use tcp, udp or sctp\n".to_owned()),
        ("--ip 10.0.0.5", format!("--ip{addresses}")),
        ("--mac-address 02:42:ac:11:00:02", format!("--mac-address{addresses}")),
        ("--network-alias db", format!("--network-alias{names}")),
        ("--link db:database", format!("--link{names}")),
        ("--network host --ip 10.0.0.5", format!("--ip{bridge}{host}")),
        ("--network host --link db", format!("--link{bridge}{host}")),
        ("--network none --ip6 fd00::5", format!("--ip6{bridge}{none}")),
        ("--network container:other --net-alias db", format!("--network-alias{bridge}{joined}")),
        ("--network host --ip ten", "--ip: invalid address `ten`: use an IPv4 address\n".to_owned()),
    ] {
        for command in ["run", "create"] {
            let words = flags.split(' ').chain(["no-such-image", "true"]);
            let output = sandbox.line(command).args(words).output();
            assert_eq!(output.stdout, "", "{flags}");
            assert_eq!(output.fails(125), format!("runr: {said}"), "{flags}");
        }
    }
    assert_eq!(sandbox.line("ps -aq").output().ok().lines().count(), 1);
    sandbox.line("rm other").output().ok();
}

#[test]
fn podman_takes_and_refuses_the_same() {
    need!(userns, overlay, shell, not_root, subids, tool("podman"), tool("runc"));
    let sandbox = sandbox();
    let Some(podman) = Podman::start(&sandbox) else { return };
    if !podman.runs() {
        return;
    }
    for network in ["host", "none"] {
        for flags in [
            "-p 8080:80",
            "-p 127.0.0.1::80/udp",
            "-p [::1]:8080:80",
            "-p 8000-8002:80-82",
            "-p :80",
            "-p 8080:",
            "-p http:80",
            "-p 80-81:80-82",
            "-p 1.2.3:80:80",
            "-p [::1:80:80",
            "-p 70000:80",
            "-P",
            "--expose 80-82/udp",
            "--expose 82-80",
            "--expose 80:80",
            "--expose 0",
            "--ip 10.0.0.5",
            "--ip6 fd00::5",
            "--ip ten",
            "--mac-address 02:42:ac:11:00:02",
            "--network-alias db",
        ] {
            let line = ["create", "--network", network];
            let line: Vec<&str> = line.into_iter().chain(flags.split(' ')).chain(["busybox", "true"]).collect();
            let (theirs, ours) = (podman.command(&line).output(), sandbox.runr(&line).output());
            assert_eq!(ours.code(), theirs.code(), "{network} {flags}: {} {}", ours.stderr, theirs.stderr);
            // A warning where podman has one; it has none for what is exposed.
            let warned = |text: &str| text.contains("discarded");
            if flags != "-P" {
                assert_eq!(warned(&ours.stderr), warned(&theirs.stderr), "{network} {flags}: {}", theirs.stderr);
            }
        }
    }
    sandbox.line("rm -fa").output().ok();
}
