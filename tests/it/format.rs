//! What `--format`, lists and documents look like from outside.

use crate::support::Sandbox;

#[test]
fn documents_go_through_templates() {
    let sandbox = Sandbox::new();
    let version = env!("CARGO_PKG_VERSION");
    for (args, text) in [
        (vec!["version", "--format", "{{.Client.Version}}"], version.to_owned()),
        (vec!["version", "-f", "{{with .Server}}{{.Version | upper}}{{end}}"], version.to_owned()),
        (
            vec!["info", "--format={{.Images}} {{.Store.ImageStore.Number}} {{.Version.Version}}"],
            format!("0 0 {version}"),
        ),
        (vec!["system", "info", "-f", "{{json .Containers}}"], "0".to_owned()),
    ] {
        assert_eq!(sandbox.runr(&args).output().ok(), format!("{text}\n"), "{args:?}");
    }
    let e = sandbox.runr(["version", "--format", "{{.Shiny}}"]).output().fails(125);
    assert_eq!(
        e,
        "runr: template parsing error: template: :1:2: executing \"\" at <.Shiny>: map has no entry for key \"Shiny\"\n"
    );
    let e = sandbox.runr(["info", "--format", "{{.Images"]).output().fails(125);
    assert_eq!(e, "runr: template parsing error: template: :1: unclosed action\n");
}

#[test]
fn an_empty_store_lists_as_a_head_line() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.line("images").output().ok(), "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n");
    assert_eq!(
        sandbox.line("image ls --digests").output().ok(),
        "REPOSITORY   TAG       DIGEST    IMAGE ID   CREATED   SIZE\n"
    );
    for args in ["images -q", "images --noheading", "images --format json", "images --format {{.ID}}"] {
        assert_eq!(sandbox.line(args).output().ok(), "", "{args}");
    }
    let e = sandbox.line("images --filter shiny=1").output().fails(125);
    assert!(e.starts_with("runr: invalid filter `shiny`\nhint: there are: dangling, "), "{e}");
}

#[test]
fn what_does_not_exist_is_125_for_inspect() {
    let sandbox = Sandbox::new();
    let output = sandbox.line("inspect nothing").output();
    assert_eq!(output.stdout, "[]\n");
    assert_eq!(output.fails(125), "runr: no such object: `nothing`\n");
    assert_eq!(sandbox.line("image inspect nothing").output().fails(125), "runr: no such image: `nothing`\n");
    assert_eq!(
        sandbox.line("inspect --type network x").output().fails(125),
        "runr: --type: unknown type `network`: use container, image or volume\n"
    );
}

/// A stopped container of the base image, and its id.
fn stopped(sandbox: &Sandbox, name: &str) -> String {
    sandbox.base_image();
    let id = sandbox.path("id");
    let run = ["run", "--name", name, "--cidfile", id.to_str().unwrap(), "--network", "none", "-l", "a=b", "busybox"];
    sandbox.runr(run.iter().chain(&["sh", "-c", "exit 3"])).output().exits(3);
    let text = std::fs::read_to_string(&id).unwrap();
    std::fs::remove_file(id).unwrap();
    text
}

#[test]
fn ps_shows_a_container_in_every_form() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let id = stopped(&sandbox, "web");
    assert_eq!(
        sandbox.line("ps").output().ok(),
        "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n"
    );
    let table = sandbox.line("ps -a").output().ok();
    let row = table.lines().nth(1).unwrap();
    assert!(row.starts_with(&format!("{}   busybox   \"sh -c 'exit 3'\"   ", &id[..12])), "{row}");
    assert!(row.contains("Exited (3) ") && row.ends_with("web"), "{row}");
    for (args, text) in [
        ("ps -aq", &id[..12]),
        ("ps -aq --no-trunc", &id),
        ("ps -lq --no-trunc", &id),
        ("ps -a --format {{.Names}}:{{.State}}:{{.Labels}}", "web:exited:a=b"),
        ("container ls -a --filter name=^web$ --format {{.Image}}", "busybox"),
        ("ps --filter status=exited --format {{.ID}}", &id[..12]),
        ("ps --filter exited=3 -q", &id[..12]),
        ("ps -a --filter ancestor=busybox -q", &id[..12]),
        ("ps -a --filter label=a=b -q", &id[..12]),
    ] {
        assert_eq!(sandbox.line(args).output().ok().trim_end(), text, "{args}");
    }
    for args in ["ps -q", "ps -aq --filter label=a=c", "ps -aq --filter name=other", "ps -q --filter status=running"] {
        assert_eq!(sandbox.line(args).output().ok(), "", "{args}");
    }
    let json: serde_json::Value = serde_json::from_str(&sandbox.line("ps -a --format json").output().ok()).unwrap();
    assert_eq!((&json[0]["Names"][0], &json[0]["ExitCode"]), (&"web".into(), &3.into()));
    assert!(sandbox.line("ps --filter shiny=1").output().fails(125).contains("invalid filter `shiny`"));
    sandbox.line("rm web").output().ok();
}

#[test]
fn inspect_prints_what_docker_prints() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let id = stopped(&sandbox, "web");
    for (format, text) in [
        ("{{.Id}}", id.as_str()),
        ("{{.Name}} {{.State.Status}} {{.State.ExitCode}} {{.State.Running}}", "/web exited 3 false"),
        ("{{json .Args}} {{.Path}}", r#"["-c","exit 3"] sh"#),
        ("{{.HostConfig.NetworkMode}} {{.Config.Image}} {{index .Config.Labels \"a\"}}", "none busybox b"),
    ] {
        assert_eq!(sandbox.runr(["inspect", "--format", format, "web"]).output().ok(), format!("{text}\n"));
        assert_eq!(sandbox.runr(["container", "inspect", "-f", format, &id[..12]]).output().ok(), format!("{text}\n"));
    }
    let both: serde_json::Value = serde_json::from_str(&sandbox.line("inspect web busybox").output().ok()).unwrap();
    assert_eq!((&both[0]["Id"], &both[1]["RepoTags"][0]), (&id.into(), &"busybox:latest".into()));
    assert_eq!(sandbox.line("inspect --type image web").output().fails(125), "runr: no such image: `web`\n");
    assert_eq!(sandbox.line("container inspect busybox").output().fails(125), "runr: no such container: busybox\n");
    sandbox.line("rm web").output().ok();
}

#[test]
fn a_detached_container_is_up_until_it_is_removed() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    // The shell waits for the end of every writer of the pipe: the monitor must not be one.
    let id = sandbox.sh("id=$(runr run -d --name bg --network none busybox sleep 600) && echo $id").output().ok();
    let id = id.trim();
    assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    let shown = sandbox.line("ps --no-trunc --format {{.ID}}:{{.State}}:{{.Status}}").output().ok();
    assert!(shown.starts_with(&format!("{id}:running:Up ")), "{shown}");
    assert_eq!(sandbox.runr(["inspect", "-f", "{{.State.Running}}", "bg"]).output().ok(), "true\n");
    assert!(sandbox.line("rm bg").output().fails(2).contains("is running"), "refused");
    assert_eq!(sandbox.line("rm -f bg").output().ok(), "bg\n");
    assert_eq!(sandbox.line("ps -aq").output().ok(), "");
    let e = sandbox.line("run -d --rm --network none busybox /nonexistent").output().fails(127);
    assert!(e.contains("/nonexistent"), "{e}");
}

#[test]
fn rm_and_rmi_say_what_they_did_and_what_is_missing() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    let id = stopped(&sandbox, "web");
    assert_eq!(sandbox.line("rm nothing").output().fails(1), "runr: no such container: nothing\n");
    assert_eq!(sandbox.line("rmi nothing").output().fails(1), "runr: no such image: `nothing`\n");
    assert!(sandbox.line("rmi busybox").output().fails(2).contains("the stopped container"), "in use");
    assert_eq!(sandbox.line("rm nothing web").output().exits(1), "web\n");
    assert_eq!(sandbox.runr(["rm", &id]).output().fails(1), format!("runr: no such container: {id}\n"));
    assert_eq!(sandbox.line("rm -f nothing").output().ok(), "");
    assert_eq!(sandbox.line("rm -a").output().ok(), "");
    assert_eq!(sandbox.line("rmi -f nothing").output().ok(), "");
    let removed = sandbox.line("image rm busybox").output().ok();
    assert!(removed.starts_with("Untagged: ") && removed.contains("\nDeleted: sha256:"), "{removed}");
    assert_eq!(sandbox.line("images -q").output().ok(), "");
    assert_eq!(
        sandbox.line("rm").output().fails(125),
        "runr: rm: missing argument: CONTAINER\nhint: see `runr rm --help`\n"
    );
}

#[test]
fn images_are_listed_by_name_and_format() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let id = sandbox.line("images -q --no-trunc").output().ok();
    assert!(id.starts_with("sha256:") && id.trim().len() == 71, "{id}");
    for (args, text) in [
        ("images --format {{.Repository}}:{{.Tag}}", "busybox:latest\n"),
        ("images busybox -q --no-trunc", &id),
        ("images busybox:latest -q --no-trunc", &id),
        ("images busybox:other -q", ""),
        ("images other -q", ""),
        ("images --filter reference=busy* --format {{.Tag}}", "latest\n"),
        ("images --filter dangling=true -q", ""),
        ("images --filter dangling=True -q", ""),
        ("images --filter intermediate=true -q", ""),
        ("images --filter readonly=true -q", ""),
        ("images --filter readonly=false --filter manifest=false --filter intermediate=false -q --no-trunc", &id),
        ("images --filter containers=external -q", ""),
        ("images --filter containers=true -q", ""),
        ("images --filter containers=false -q --no-trunc", &id),
        ("image inspect busybox --format {{.Id}}", &id),
    ] {
        assert_eq!(sandbox.line(args).output().ok(), text, "{args}");
    }
    sandbox.line("create --name c --network none busybox true").output().ok();
    assert_eq!(sandbox.line("images --filter containers=true -q --no-trunc").output().ok(), id);
    assert_eq!(sandbox.line("images --filter containers=false -q").output().ok(), "");
    assert_eq!(
        sandbox.line("images --filter containers=many").output().fails(125),
        "runr: invalid filter `containers=many`: use containers=true or containers=false\n"
    );
    sandbox.line("rm c").output().ok();
}
