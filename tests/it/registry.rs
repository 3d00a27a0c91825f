//! The registry client against a registry that misbehaves on demand, and against the real one.

use crate::support::registry::{Answer, Auth, Certificates, Faulty, Options, Registry, TokenServer};
use crate::support::{DockerRegistry, Image, ImageBuilder, Layer, image::Blob};
use runr::base::progress::{Event, Progress};
use runr::base::{Error, Kind};
use runr::image::manifest::{Descriptor, Document};
use runr::image::{Digest, ImageSource, Reference};
use runr::registry::config::Notes;
use runr::registry::credentials::AuthFiles;
use runr::registry::{Client, Config, Credentials, RegistrySource};
use runr::resolver::Resolver;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[path = "registry/blobs.rs"]
mod blobs;
#[path = "registry/proxies.rs"]
mod proxies;
#[path = "registry/tls.rs"]
mod tls;

/// Settings with which no test waits.
fn config() -> Config {
    Config {
        retry_delay: Duration::from_millis(5),
        stall_timeout: Duration::from_millis(400),
        resolver: Resolver::with_files("/does/not/exist", "/does/not/exist"),
        ..Config::default()
    }
}

fn source_with(config: Config, name: &str) -> RegistrySource {
    Client::new(config).unwrap().source(&name.parse().unwrap())
}

fn source(name: &str) -> RegistrySource {
    source_with(config(), name)
}

fn image() -> Image {
    ImageBuilder::new().layer(&Layer::new().file("hello", "hello")).build()
}

fn descriptor(bytes: &[u8]) -> Descriptor {
    serde_json::from_value(Blob::new("application/vnd.oci.image.layer.v1.tar+gzip", bytes.to_vec()).descriptor())
        .unwrap()
}

/// Bytes that no two places of have in common.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size).map(|_| next()).collect()
}

fn read(source: &RegistrySource, descriptor: &Descriptor, offset: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    source.blob(descriptor, offset)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Pulls everything of an image and compares it.
fn check_whole(source: &RegistrySource, image: &Image) {
    let raw = source.root_manifest().unwrap();
    assert_eq!((&raw.bytes, &raw.digest), (&image.manifest.bytes, &image.manifest.digest));
    let Document::Manifest(manifest) = Document::parse(&raw.bytes, &raw.media_type).unwrap() else { panic!() };
    assert_eq!(read(source, &manifest.config, 0).unwrap(), image.config.bytes);
    for (descriptor, blob) in manifest.layers.iter().zip(&image.layers) {
        assert_eq!(read(source, descriptor, 0).unwrap(), blob.bytes);
    }
}

#[test]
fn an_image_is_pulled_by_tag_and_by_digest() {
    let (registry, image) = (Registry::start(), image());
    let name = registry.add(&image, "team/app", "1");
    check_whole(&source(&name), &image);
    check_whole(&source(&registry.name(&format!("team/app@{}", image.manifest.digest))), &image);
    let asked = registry.requests();
    assert!(asked[0].header("accept").unwrap().contains("application/vnd.oci.image.index.v1+json"));
    assert!(asked[0].header("user-agent").unwrap().starts_with("runr/"));
    assert!(asked.iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn a_registry_at_an_ipv6_address_is_reached() {
    let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else {
        return crate::support::need::skip("ipv6", "no IPv6 on loopback");
    };
    let (registry, image) = (Registry::on(listener, Options::default()), image());
    let name = registry.add(&image, "app", "1");
    assert!(name.starts_with("[::1]:"), "{name}");
    check_whole(&source(&name), &image);
}

#[test]
fn an_index_leads_to_the_manifests_it_describes_and_to_nothing_else() {
    let (registry, image) = (Registry::start(), image());
    registry.add(&image, "app", "amd64");
    registry.add_manifest("app", "1", &Image::index(&[&image]));
    let source = source(&registry.name("app:1"));
    let raw = source.root_manifest().unwrap();
    let Document::Index(index) = Document::parse(&raw.bytes, &raw.media_type).unwrap() else { panic!() };
    assert_eq!(source.manifest(&index.manifests[0]).unwrap().bytes, image.manifest.bytes);
    let mut lying = index.manifests[0].clone();
    lying.size += 1;
    let e = source.manifest(&lying).unwrap_err();
    assert_eq!(e.kind(), Kind::Corrupt, "{e}");
    assert!(e.to_string().contains("the index says"), "{e}");
    lying.size = 5 << 20;
    assert!(source.manifest(&lying).unwrap_err().to_string().contains("the limit is 4194304"));
}

#[test]
fn what_is_no_manifest_is_refused_with_a_reason() {
    let registry = Registry::start();
    let wrong = Digest::of(b"other");
    let path = |tag: &str| format!("/v2/app/manifests/{tag}");
    let of = |media_type: &str, body: Vec<u8>| Answer::new(200, body).header("Content-Type", media_type);
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    registry.answer(&path("html"), of("text/html; charset=utf-8", b"<html>".to_vec()));
    registry.answer(&path("v1"), of("application/vnd.docker.distribution.manifest.v1+prettyjws", b"{}".to_vec()));
    registry.answer(&path("big"), of(manifest, vec![b' '; (4 << 20) + 1]));
    registry.answer(&path("liar"), of(manifest, b"{}".to_vec()).header("Docker-Content-Digest", wrong.to_string()));
    registry.answer(&path(&wrong.to_string()), of(manifest, b"{}".to_vec()));
    for (name, kind, words) in [
        ("app:html", Kind::Remote, "answers with a web page"),
        ("app:v1", Kind::Unsupported, "schema 1 manifest"),
        ("app:big", Kind::Corrupt, "is longer than 4194304 bytes"),
        ("app:liar", Kind::Corrupt, "instead of"),
        (&format!("app@{wrong}"), Kind::Corrupt, "instead of"),
    ] {
        registry.requests();
        let e = source(&registry.name(name)).root_manifest().unwrap_err();
        assert_eq!(e.kind(), kind, "{name}: {e}");
        assert!(e.to_string().contains(words), "{name}: {e}");
        assert_eq!(registry.requests().len(), 1, "{name}: another try would change nothing");
    }
}

#[test]
fn refusals_are_told_apart() {
    let registry = Registry::start();
    registry.answer("/v2/app/manifests/gone", Answer::new(404, "<html>"));
    registry.answer(
        "/v2/app/manifests/denied",
        Answer::new(403, r#"{"errors":[{"code":"DENIED","message":"no\u001b[31m"}]}"#),
    );
    let get = |tag: &str| source(&registry.name(&format!("app:{tag}"))).root_manifest().unwrap_err();
    let address = registry.address();
    let e = get("none");
    assert_eq!(e.kind(), Kind::NotFound);
    assert_eq!(e.to_string(), format!("not found: `{address}` says 404, `MANIFEST_UNKNOWN: unknown`"));
    assert!(get("gone").hints()[0].contains("does not answer like a container registry"));
    let e = get("denied");
    assert_eq!(e.kind(), Kind::Denied);
    assert!(e.to_string().ends_with(r"403, `DENIED: no\u{1b}[31m`"), "{e}");
}

/// Keeps what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Progress for Told {
    fn event(&self, event: Event) {
        let Event::Note(text) = event else { panic!("{event:?}") };
        self.0.lock().unwrap().push(text);
    }
}

#[test]
fn passing_trouble_is_waited_out_and_lasting_trouble_is_told() {
    let (registry, image) = (Registry::start(), image());
    let name = registry.add(&image, "app", "1");
    registry.fail("1", 2, Faulty::Status(500, None));
    registry.fail("1", 1, Faulty::Status(429, Some(0)));
    let told = Arc::new(Told::default());
    check_whole(&source_with(Config { notes: Notes(Some(told.clone())), ..config() }, &name), &image);
    let told = told.0.lock().unwrap();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("trying again in 0.0 s: `127.0.0.1:"), "{told:?}");
    assert!(told[0].ends_with("` answers 500, `TROUBLE: planned`"), "{told:?}");
    registry.fail("1", 1, Faulty::CutAfter(10));
    check_whole(&source(&name), &image);
    registry.requests();
    registry.fail("1", 1, Faulty::Status(429, Some(3600)));
    let e = source(&name).root_manifest().unwrap_err();
    assert_eq!(registry.requests().len(), 1);
    assert_eq!(e.hints().last().unwrap(), "the server asks to wait for About an hour");
    registry.fail("1", usize::MAX, Faulty::Status(503, None));
    let e = source(&name).root_manifest().unwrap_err();
    assert_eq!((e.kind(), registry.requests().len()), (Kind::Remote, 4));
    assert!(e.to_string().ends_with("answers 503, `TROUBLE: planned`"), "{e}");
    assert_eq!(e.hints().last().unwrap(), "tried 4 times");
}

#[test]
fn the_way_to_nowhere_is_explained() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let quick = || Config { retries: 0, ..config() };
    let e = source_with(quick(), &format!("{free}/app:1")).root_manifest().unwrap_err();
    assert_eq!(e.kind(), Kind::Remote);
    assert_eq!(e.to_string(), format!("connect to `{free}`: Connection refused (ECONNREFUSED)"),);
    // No name server answers at the port given, so this fails without leaving the machine.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("conf"), "nameserver 127.0.0.1\noptions timeout:1 attempts:1 use-vc\n").unwrap();
    let resolver = Resolver::with_files(dir.path().join("hosts"), dir.path().join("conf")).with_port(free.port());
    let e = source_with(Config { resolver, ..quick() }, "registry.test/app:1").root_manifest().unwrap_err();
    assert!(e.to_string().contains("look up `registry.test`: ask name server `127.0.0.1"), "{e}");
}

#[test]
fn tags_are_read_page_by_page() {
    let (registry, image) = (Registry::start(), image());
    for tag in ["a", "b", "c", "d", "e"] {
        registry.add(&image, "app", tag);
    }
    let client = Client::new(config()).unwrap();
    let reference: Reference = registry.name("app").parse().unwrap();
    assert_eq!(client.tags(&reference).unwrap(), ["a", "b", "c", "d", "e"]);
    let endless = Answer::new(200, r#"{"tags":["x"]}"#).header("Link", "</v2/loop/tags/list?n=1000>; rel=\"next\"");
    registry.answer("/v2/loop/tags/list", endless);
    assert_eq!(client.tags(&registry.name("loop").parse().unwrap()).unwrap(), ["x"]);
    registry.answer("/v2/null/tags/list", Answer::new(200, r#"{"name":"null","tags":null}"#));
    assert!(client.tags(&registry.name("null").parse().unwrap()).unwrap().is_empty());
}

/// A registry that wants tokens.
fn token_registry(server: TokenServer) -> (Registry, Image, String) {
    let registry = Registry::with(Options { auth: Auth::Token(server), redirect: true, ..Options::default() });
    let image = image();
    let name = registry.add(&image, "team/app", "1");
    (registry, image, name)
}

#[test]
fn a_token_is_fetched_once_for_anybody() {
    for field in ["token", "access_token"] {
        let (registry, image, name) = token_registry(TokenServer { field, ..TokenServer::default() });
        check_whole(&source(&name), &image);
        let asked = registry.requests();
        let tokens: Vec<_> = asked.iter().filter(|request| request.route() == "/token").collect();
        assert_eq!(tokens.len(), 1);
        assert_eq!(tokens[0].query("scope"), ["repository:team/app:pull"]);
        assert!(tokens[0].header("authorization").is_none());
    }
}

#[test]
fn a_token_that_ended_is_renewed() {
    // Refused by the registry after two uses.
    let (registry, image, name) = token_registry(TokenServer { uses: 2, ..TokenServer::default() });
    check_whole(&source(&name), &image);
    assert!(registry.requests().iter().filter(|request| request.route() == "/token").count() >= 2);
    // Expired by its own word: renewed without being refused first.
    let (registry, image, name) = token_registry(TokenServer { expires_in: Some(1), ..TokenServer::default() });
    let source = source(&name);
    source.root_manifest().unwrap();
    std::thread::sleep(Duration::from_millis(950));
    registry.requests();
    check_whole(&source, &image);
    assert_eq!(registry.requests()[0].route(), "/token");
}

#[test]
fn many_threads_share_one_token() {
    let (registry, image, name) = token_registry(TokenServer::default());
    let source = source(&name);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| check_whole(&source, &image));
        }
    });
    assert_eq!(registry.requests().iter().filter(|request| request.route() == "/token").count(), 1);
}

#[test]
fn credentials_come_from_either_tools_file() {
    let (registry, image, name) = token_registry(TokenServer { user: Some(("ana", "p:w")), ..TokenServer::default() });
    let dir = tempfile::tempdir().unwrap();
    let address = registry.address();
    let with_file = |content: String| {
        let path = dir.path().join("auth.json");
        std::fs::write(&path, content).unwrap();
        source_with(Config { auth_files: AuthFiles::only(path), ..config() }, &name)
    };
    let auth = r#"{"auth":"YW5hOnA6dw=="}"#; // ana:p:w
    check_whole(&with_file(format!(r#"{{"auths":{{"{address}":{auth}}}}}"#)), &image);
    check_whole(
        &with_file(format!(r#"{{"auths":{{"{address}/team":{auth},"{address}":{{"auth":"eDp5"}}}}}}"#)),
        &image,
    );
    check_whole(&with_file(format!(r#"{{"auths":{{"http://{address}/v2/":{auth}}}}}"#)), &image);
    let e = with_file(format!(r#"{{"auths":{{"{address}":{{"auth":"eDp5"}}}}}}"#)).root_manifest().unwrap_err();
    assert_eq!(e.kind(), Kind::Denied);
    assert!(e.to_string().contains("status 401, `incorrect username or password`"), "{e}");
    assert!(e.hints().iter().any(|hint| hint.contains("auth.json")), "{e:?}");
    let e = source(&name).root_manifest().unwrap_err();
    assert!(e.hints().iter().any(|hint| hint.contains("no credentials for")), "{e:?}");
    let given = Credentials::from_option("ana:p:w").unwrap();
    check_whole(&source_with(Config { credentials: Some(given), ..config() }, &name), &image);
}

#[test]
fn an_identity_token_is_exchanged_in_the_body() {
    let (registry, image, name) =
        token_registry(TokenServer { identity: Some("re&fresh"), field: "access_token", ..TokenServer::default() });
    let credentials = Some(Credentials::IdentityToken("re&fresh".into()));
    check_whole(&source_with(Config { credentials, ..config() }, &name), &image);
    let asked = registry.requests();
    let token = asked.iter().find(|request| request.route() == "/token").unwrap();
    assert_eq!((token.method.as_str(), token.form("grant_type").as_deref()), ("POST", Some("refresh_token")));
    assert!(!token.path.contains("fresh"));
}

#[test]
fn basic_authentication_is_shown_when_asked_for() {
    let registry = Registry::with(Options { auth: Auth::Basic("ana", "pw"), redirect: true, ..Options::default() });
    let image = image();
    let name = registry.add(&image, "app", "1");
    let with = |text: &str| {
        let credentials = Some(Credentials::from_option(text).unwrap());
        source_with(Config { credentials, ..config() }, &name)
    };
    check_whole(&with("ana:pw"), &image);
    let asked = registry.requests();
    assert!(asked[0].header("authorization").is_none() && asked[1].header("authorization").is_some());
    for refused in [with("ana:wrong"), source(&name)] {
        let e = refused.root_manifest().unwrap_err();
        assert_eq!(e.kind(), Kind::Denied);
        assert!(e.to_string().contains("401, `UNAUTHORIZED: authentication required`"), "{e}");
    }
    assert_eq!(registry.requests().len(), 3, "the wrong password once, and what cannot work not again");
}

#[test]
fn the_helper_of_the_config_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let helper = |name: &str, script: &str| {
        let path = dir.path().join(format!("docker-credential-{name}"));
        // Written by another process: a fork of another test could hold this one's descriptor open, and then the file
        // cannot be executed (ETXTBSY).
        let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\" && chmod 755 \"$2\"";
        let made = std::process::Command::new("sh").args(["-c", write, "sh", script]).arg(&path).status();
        assert!(made.unwrap().success());
    };
    let (registry, image, name) = token_registry(TokenServer { user: Some(("ana", "pw")), ..TokenServer::default() });
    // It answers only if it is asked the right thing in the right way.
    let address = registry.address();
    let answer = r#"{"ServerURL":"x","Username":"ana","Secret":"pw"}"#;
    helper("good", &format!("[ \"$1\" = get ] && [ \"$(cat)\" = {address} ] && echo '{answer}'"));
    helper("empty", "echo 'credentials not found in native keychain'; exit 1");
    helper("broken", "echo 'the keyring is locked'; exit 1");
    let with = |helper: &str| {
        let path = dir.path().join("config.json");
        std::fs::write(&path, format!(r#"{{"credsStore":"{helper}"}}"#)).unwrap();
        let helper_path = Some(dir.path().as_os_str().to_owned());
        source_with(Config { auth_files: AuthFiles { helper_path, ..AuthFiles::only(path) }, ..config() }, &name)
    };
    check_whole(&with("good"), &image);
    for (helper, words) in
        [("empty", "no credentials for"), ("broken", "the keyring is locked"), ("missing", "docker-credential-missing")]
    {
        let e = with(helper).root_manifest().unwrap_err();
        assert!(e.hints().iter().any(|hint| hint.contains(words)), "{helper}: {e:?}");
    }
    // A helper that does not work does not stand in the way of an image for everybody.
    let (open, image, name) = token_registry(TokenServer::default());
    let path = dir.path().join("config.json");
    check_whole(&source_with(Config { auth_files: AuthFiles::only(path), ..config() }, &name), &image);
    drop(open);
}

#[test]
fn redirects_end_and_never_leave_http() {
    let registry = Registry::start();
    let to = |location: &str| Answer::new(302, "").header("Location", location);
    registry.answer("/v2/app/manifests/loop", to("/v2/app/manifests/loop"));
    registry.answer("/v2/app/manifests/file", to("file:///etc/passwd"));
    registry.answer("/v2/app/manifests/none", Answer::new(302, ""));
    for (tag, words) in
        [("loop", "more than 10 redirects"), ("file", "redirects to a `file` URL"), ("none", "redirects to nowhere")]
    {
        let e = source(&registry.name(&format!("app:{tag}"))).root_manifest().unwrap_err();
        assert!(e.to_string().contains(words), "{tag}: {e}");
    }
}

#[test]
fn the_real_registry_serves_images_and_tags() {
    need!(tool("docker-registry"));
    let registry = DockerRegistry::start();
    let image = ImageBuilder::new().layer(&Layer::new().file("big", noise(3_000_000))).build();
    let name = registry.push(&image, "team/app", "1");
    registry.push(&image, "team/app", "2");
    let client = Client::new(config()).unwrap();
    let reference: Reference = name.parse().unwrap();
    check_whole(&client.source(&reference), &image);
    let layer: Descriptor = serde_json::from_value(image.layers[0].descriptor()).unwrap();
    let rest = read(&client.source(&reference), &layer, 1000).unwrap();
    assert_eq!(rest, image.layers[0].bytes[1000..]);
    let mut tags = client.tags(&reference).unwrap();
    tags.sort();
    assert_eq!(tags, ["1", "2"]);
    let e = client.source(&registry.name("team/none:1").parse().unwrap()).root_manifest().unwrap_err();
    assert_eq!(e.kind(), Kind::NotFound, "{e}");
}
