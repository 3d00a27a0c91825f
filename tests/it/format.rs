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
        sandbox.line("inspect --type volume x").output().fails(125),
        "runr: --type: unknown type `volume`: use container or image\n"
    );
}
