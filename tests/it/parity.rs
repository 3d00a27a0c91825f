//! Small things that scripts written for docker or podman count on, each of which one of them showed us.

use crate::support::{Layer, Sandbox};

#[test]
fn templates_show_what_nobody_set_as_go_does() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    sandbox.line("create --name c --network none -l a.b=c busybox").output().ok();
    let ask = |format: &str, name: &str| sandbox.runr(["inspect", "-f", format, name]).output().ok();
    for (format, text) in [
        ("{{.Config.Entrypoint}} {{.Config.Volumes}} {{.Config.OnBuild}} {{.HostConfig.Binds}}", "[] map[] [] []"),
        ("{{.State.Health}} {{.Config.Healthcheck}} {{.SizeRw}} {{.HostConfig.PidsLimit}}", "<nil> <nil> <nil> <nil>"),
        ("{{.Config.Labels.no}} {{.NetworkSettings.Networks.bridge.IPAddress}}", "<no value> <no value>"),
        ("[{{index .Config.Labels \"no\"}}] {{index .Config.Labels \"a.b\"}} {{.Config.Labels}}", "[] c map[a.b:c]"),
        ("{{len .HostConfig.CapAdd}} [{{join .Config.Entrypoint \" \"}}]", "0 []"),
        ("{{range .HostConfig.Binds}}x{{else}}none{{end}}{{if .HostConfig.CapDrop}}x{{end}}", "none"),
        ("{{json .Config.Volumes}} {{json .HostConfig.Binds}} {{json .Config.Labels}}", "null null {\"a.b\":\"c\"}"),
        ("{{.HostConfig.LogConfig.Config.tag}} {{.HostConfig.Tmpfs}}", "<no value> map[]"),
    ] {
        assert_eq!(ask(format, "c"), format!("{text}\n"), "{format}");
    }
    assert_eq!(
        ask("{{.Config.Labels}} {{.Config.Labels.no}} {{.Config.Volumes}}", "busybox"),
        "map[] <no value> map[]\n"
    );
    let fails = |format: &str| sandbox.runr(["inspect", "-f", format, "c"]).output().fails(125);
    assert_eq!(
        fails("{{.State.Health.Status}}"),
        "runr: template parsing error: template: :1:8: executing \"\" at <.State.Health.Status>: nil pointer \
         evaluating interface {}.Status\n"
    );
    assert_eq!(
        fails("{{.Config.Label}}"),
        "runr: template parsing error: template: :1:9: executing \"\" at <.Config.Label>: map has no entry for key \
         \"Label\"\n"
    );
    sandbox.line("rm c").output().ok();
}

#[test]
fn the_latest_of_none_is_a_mistake_for_every_command() {
    let sandbox = Sandbox::new();
    for command in
        ["start", "stop", "kill", "restart", "pause", "unpause", "wait", "logs", "inspect", "attach", "top", "port"]
    {
        let e = sandbox.runr([command, "--latest"]).output().fails(125);
        assert_eq!(e, "runr: there is no container\n", "{command}");
    }
    assert_eq!(sandbox.line("rm --latest").output().fails(1), "runr: there is no container\n");
    assert_eq!(sandbox.line("rm --latest --force").output().ok(), "");
    assert_eq!(sandbox.line("ps --latest --quiet").output().ok(), "");
}

#[test]
fn the_beginning_of_several_ids_is_a_mistake_and_no_conflict() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    // Of seventeen ids two begin with the same digit.
    sandbox.sh("for n in $(seq 17); do runr create --network none busybox; done").output().ok();
    let digit = sandbox.sh("runr ps -aq | cut -c1 | sort | uniq -d | head -n 1 | tr -d '\\n'").output().ok();
    let said = format!(
        "runr: more than one container has an id that starts with `{digit}`\nhint: give more digits, or the name\n"
    );
    for command in ["rm", "rm -f", "stop", "start", "inspect", "logs"] {
        assert_eq!(sandbox.line(command).arg(&digit).output().fails(125), said, "{command}");
    }
    assert_eq!(sandbox.runr(["exec", &digit, "true"]).output().fails(125), said);
    sandbox.line("rm -a").output().ok();
}

#[test]
fn the_beginning_of_several_images_ids_removes_none() {
    need!(userns, tool("tar"));
    let sandbox = Sandbox::new();
    sandbox.sh("for n in $(seq 17); do echo $n >n; tar -c n | runr import -; done").output().ok();
    let digit = sandbox.sh("runr images -q | cut -c1 | sort | uniq -d | head -n 1 | tr -d '\\n'").output().ok();
    let said =
        format!("runr: more than one image has an id that starts with `{digit}`\nhint: give more digits, or a name\n");
    for (command, status) in [("rmi", 1), ("rmi -f", 1), ("rmi -i", 1), ("image inspect", 125), ("run", 125)] {
        assert_eq!(sandbox.line(command).arg(&digit).output().fails(status), said, "{command}");
    }
    assert_eq!(sandbox.line("images -q").output().ok().lines().count(), 17);
}

#[test]
fn run_and_create_take_what_scripts_give() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let id = sandbox.runr(["create", "--name", "", "--network", "none", "busybox"]).output().ok();
    assert_eq!(id.trim().len(), 64, "{id}");
    let name = sandbox.runr(["inspect", "-f", "{{len .Name}}", id.trim()]).output().ok();
    assert!(name.trim().parse::<usize>().unwrap() > 2, "a name was made: {name}");
    sandbox.runr(["rm", id.trim()]).output().ok();
    // With nothing of it attached but its input, the id is what there is to print.
    let id = sandbox.line("run --name c -a stdin -i --network none busybox cat").stdin("hello\n").output().ok();
    assert_eq!(id, sandbox.runr(["inspect", "-f", "{{.Id}}", "c"]).output().ok());
    assert_eq!(sandbox.line("logs c").output().ok(), "hello\n");
    assert_eq!(sandbox.line("run --rm -a stderr --network none busybox echo hidden").output().ok(), "");
    sandbox.line("rm c").output().ok();
    let shown = "echo ${PATH-none} ${container-none}";
    let unset = sandbox.line("run --rm --network none --unsetenv container --entrypoint /bin/sh busybox -c");
    let paths = unset.arg(shown).output().ok();
    assert!(paths.ends_with(" none\n") && paths.starts_with('/'), "{paths}");
    let names = sandbox.line("run --rm --network none --unsetenv PATH busybox env").output().ok();
    assert!(!names.lines().any(|line| line.starts_with("PATH=")), "{names}");
    let names = sandbox.line("run --rm --network none --hostname h --unsetenv-all -e A=b busybox env").output().ok();
    assert_eq!(names, "HOSTNAME=h\nA=b\nHOME=/root\n");
}

#[test]
fn images_are_listed_by_pattern_and_measured_as_docker_does() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let layer = Layer::new().file("a", "12345").file("b/c", "x".repeat(2000)).symlink("d", "a");
    let archive = sandbox.path("root.tar");
    std::fs::write(&archive, layer.tar()).unwrap();
    for name in ["quay.io/team/one:v1", "quay.io/team/two:v2"] {
        sandbox.line("import -c").arg(format!("LABEL name={name}")).arg(&archive).arg(name).output().ok();
    }
    let list = |pattern: &str| sandbox.line("images --sort tag --format {{.Tag}}").arg(pattern).output().ok();
    assert_eq!(list("quay.io/team/*"), "v1\nv2\n");
    assert_eq!(list("quay.io/team/*:v2"), "v2\n");
    assert_eq!(list("quay.io/te?m/one"), "v1\n");
    assert_eq!(list("quay.io/*"), "", "a star stops at a slash");
    let fields = "{{.Names}} {{.Labels.name}} {{.Labels.no}} {{.Dangling}} {{.ReadOnly}} {{len .RepoDigests}}";
    let shown = sandbox.runr(["images", "--format", fields, "quay.io/team/one"]).output().ok();
    assert_eq!(shown, "[quay.io/team/one:v1] quay.io/team/one:v1 <no value> false false 1\n");
    let size = sandbox.line("image inspect -f {{.Size}} quay.io/team/one:v1").output().ok();
    assert_eq!(size, "2005\n", "what the files have, unpacked");
    sandbox.line("rmi quay.io/team/one:v1 quay.io/team/two:v2").output().ok();
}

#[test]
fn a_label_in_quotes_may_have_blanks() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("root.tar");
    std::fs::write(&archive, Layer::new().file("a", "").tar()).unwrap();
    let import = sandbox.line("import -c").arg("LABEL \"a b\"=\"c d\" e=f").args(["-c", "LABEL note it is"]);
    import.arg(&archive).arg("labelled").output().ok();
    let labels = sandbox.runr(["image", "inspect", "-f", "{{json .Config.Labels}}", "labelled"]).output().ok();
    assert_eq!(labels, "{\"a b\":\"c d\",\"e\":\"f\",\"note\":\"it is\"}\n");
    sandbox.line("rmi labelled").output().ok();
}

#[test]
fn info_and_version_have_the_fields_of_both() {
    let sandbox = Sandbox::new();
    let version = env!("CARGO_PKG_VERSION");
    for (command, format, text) in [
        (
            "info",
            "{{.Host.OS}} {{.Host.OCIRuntime.Name}} {{.Host.LogDriver}} {{.LoggingDriver}}",
            "linux runr k8s-file k8s-file",
        ),
        ("info", "{{.OSType}} {{.Host.Security.SECCOMPEnabled}} {{.Store.ImageStore.Number}}", "linux true 0"),
        (
            "version",
            "{{.Version}} {{.Client.Version}} {{.Server.Version}} [{{.Client.APIVersion}}]",
            &format!("{version} {version} {version} []"),
        ),
        (
            "version",
            "{{.Client.Os}} {{.OsArch}}",
            &format!("linux linux/{}", if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }),
        ),
    ] {
        assert_eq!(sandbox.runr([command, "--format", format]).output().ok(), format!("{text}\n"), "{format}");
    }
    // As JSON podman's part has podman's spelling.
    let json: serde_json::Value = serde_json::from_str(&sandbox.line("info -f json").output().ok()).unwrap();
    assert_eq!((&json["host"]["os"], &json["OSType"]), (&"linux".into(), &"linux".into()));
    assert_eq!(json["host"]["ociRuntime"]["name"], "runr");
    assert_eq!(json["host"]["idMappings"]["uidmap"][0]["container_id"], 0);
    assert_eq!(json["store"]["graphRoot"], json["DockerRootDir"]);
    assert_eq!(json["version"]["Version"], version);
    let part: serde_json::Value =
        serde_json::from_str(&sandbox.line("info -f").arg("{{json .Host.Distribution}}").output().ok()).unwrap();
    assert!(part["distribution"].is_string(), "{part}");
}

#[test]
fn an_empty_path_is_not_all_files() {
    let sandbox = Sandbox::new();
    let said = "runr: `c:` names no path\nhint: for all files: `c:/`\n";
    assert_eq!(sandbox.line("cp c: .").cwd(sandbox.tmp()).output().fails(125), said);
    assert_eq!(sandbox.line("cp . c:").cwd(sandbox.tmp()).output().fails(125), said);
}
