//! Docker Hub as the machine sees it: a TLS registry with a token server and a storage server behind the names of docker.io,
//! so that the literal `runr run --rm alpine echo hi` works from an empty store.
//!
//! The names come from `/etc/hosts` and the servers listen on port 443; neither may be seen by the rest of the machine. So each
//! test starts this very executable once more, for the same test, in mount and network namespaces of its own.

use crate::support::registry::{Auth, Certificates, Options, Registry, TokenServer};
use crate::support::{Image, Sandbox, base_image};
use std::net::TcpListener;
use std::path::PathBuf;

const REGISTRY: &str = "registry-1.docker.io";
const TOKENS: &str = "auth.docker.io";
const STORAGE: &str = "production.cloudflare.docker.com";

/// Set in the process that is inside.
const INSIDE: &str = "RUNR_TEST_HUB_INSIDE";

/// True inside. Outside it runs the test `name` inside, to its end.
fn inside(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let sandbox = Sandbox::new();
    let hosts = format!("127.0.0.1 localhost {REGISTRY}\n127.0.0.2 {TOKENS}\n127.0.0.3 {STORAGE}\n");
    let hosts = sandbox.write("hosts", hosts);
    let root = nix::unistd::geteuid().is_root();
    // Who has subordinate ids keeps them inside, so that the image gets its owners.
    let ids: &[&str] = if root { &[] } else { &["--user", "--map-root-user", "--map-auto"] };
    let script = "mount --bind \"$1\" /etc/hosts && ip link set lo up && shift && exec \"$@\"";
    let run = sandbox.command("unshare").args(ids).args(["--mount", "--net", "sh", "-c", script, "sh"]).arg(hosts);
    let run = run.arg(std::env::current_exe().unwrap()).args(["--exact", &format!("hub::{name}"), "--nocapture"]);
    let out = run.env(INSIDE, "1").env("RUNR_TEST_BINARY", crate::support::sandbox::binary()).output();
    assert!(out.stdout.contains("1 passed"), "{}\n{}", out.stdout, out.stderr);
    out.ok();
    false
}

/// The Hub with one image as `alpine:latest`, and the file with its authority.
fn hub(sandbox: &Sandbox, tokens: TokenServer) -> (Registry, PathBuf) {
    let listen = |address: &str| TcpListener::bind((address, 443)).unwrap();
    let certificates = Certificates::new(&[REGISTRY, TOKENS, STORAGE]);
    certificates.write_authority(sandbox.dir());
    let registry = Registry::on(
        listen("127.0.0.1"),
        Options {
            auth: Auth::Token(tokens),
            tls: Some(certificates),
            redirect: true,
            elsewhere: Some([(listen("127.0.0.2"), TOKENS), (listen("127.0.0.3"), STORAGE)]),
        },
    );
    registry.add(image(), "library/alpine", "latest");
    (registry, sandbox.path("ca.crt"))
}

fn image() -> &'static Image {
    base_image()
}

#[test]
fn the_literal_command_works_from_an_empty_store() {
    need!(userns, subids, overlay, shell, tool("ip"));
    if !inside("the_literal_command_works_from_an_empty_store") {
        return;
    }
    let sandbox = Sandbox::new();
    let (registry, authority) = hub(&sandbox, TokenServer::default());
    let untrusting = sandbox.line("run --rm alpine echo hi").output();
    assert_eq!(untrusting.stdout, "");
    let said = untrusting.fails(125);
    assert!(said.contains(&format!("verify the certificate of `{REGISTRY}")), "{said}");

    let out = sandbox.line("run --rm alpine echo hi").env("SSL_CERT_FILE", &authority).output();
    assert!(out.stderr.starts_with("pulling docker.io/library/alpine:latest\n"), "{}", out.stderr);
    assert_eq!(out.ok(), "hi\n");
    assert!(registry.requests().iter().any(|r| r.route() == "/token"), "a token was asked for");

    // From now on nothing is asked: it works without a network.
    drop(registry);
    let out = sandbox.line("run --rm alpine echo again").output();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("again\n", ""));
    for name in
        ["alpine", "alpine:latest", "library/alpine", "docker.io/alpine", "index.docker.io/library/alpine:latest"]
    {
        assert_eq!(sandbox.runr(["run", "--rm", name, "echo", name]).output().ok(), format!("{name}\n"));
    }
    let names = sandbox.line("images --format {{.Repository}}:{{.Tag}}").output().ok();
    assert!(names.trim_end().ends_with("alpine:latest"), "{names}");
}

#[test]
fn the_login_that_docker_made_is_used() {
    need!(userns, subids, overlay, shell, tool("ip"));
    if !inside("the_login_that_docker_made_is_used") {
        return;
    }
    let sandbox = Sandbox::new();
    let (_registry, authority) = hub(&sandbox, TokenServer { user: Some(("ana", "pw")), ..TokenServer::default() });
    let run =
        |more: &str| sandbox.line(&format!("run --rm {more} alpine echo hi")).env("SSL_CERT_FILE", &authority).output();
    let said = run("").fails(125);
    assert!(said.contains("\nrunr: log in to `docker.io`: ") && said.contains("\nhint: "), "{said}");
    // `docker login` keeps the Hub under this key; YW5hOnB3 is `ana:pw`.
    let config = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YW5hOnB3"}}}"#;
    sandbox.write("home/.docker/config.json", config);
    assert_eq!(run("").ok(), "hi\n");
}
