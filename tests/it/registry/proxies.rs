//! Proxies: HTTP (absolute requests and CONNECT) and SOCKS 5.

use super::*;
use runr::registry::proxy::Proxies;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A proxy that leads every connection to one address, whatever name was asked for, and notes what it was asked.
struct Proxy {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(target: &str, socks: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (asked, target) = (Arc::new(Mutex::new(Vec::new())), target.to_owned());
        let log = asked.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, log, target) = (client.unwrap(), log.clone(), target.clone());
                std::thread::spawn(move || {
                    let server = TcpStream::connect(&target).unwrap();
                    if socks { socks5(client, server, &log) } else { http(client, server, &log) }
                });
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn join(mut client: TcpStream, mut server: TcpStream) {
    let (mut back_from, mut back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || {
        drop(std::io::copy(&mut back_from, &mut back_to));
        drop(back_to.shutdown(std::net::Shutdown::Write));
    });
    drop(std::io::copy(&mut client, &mut server));
    drop(server.shutdown(std::net::Shutdown::Write));
}

fn http(mut client: TcpStream, mut server: TcpStream, log: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if client.read_exact(&mut byte).is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let line = head.lines().next().unwrap().to_owned();
    let known = head.to_ascii_lowercase().contains("proxy-authorization: basic ");
    log.lock().unwrap().push(format!("{line}{}", if known { " (known)" } else { "" }));
    if line.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    } else {
        // The test's registry knows only paths. One request per connection will do.
        let (start, rest) = head.split_once("http://").unwrap();
        let path = &rest[rest.find('/').unwrap()..];
        let once = path.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        server.write_all(format!("{start}{once}").as_bytes()).unwrap();
    }
    join(client, server);
}

fn socks5(mut client: TcpStream, server: TcpStream, log: &Mutex<Vec<String>>) {
    let mut head = [0; 2];
    client.read_exact(&mut head).unwrap();
    client.read_exact(&mut vec![0; usize::from(head[1])]).unwrap();
    client.write_all(&[5, 0]).unwrap();
    let mut request = [0; 5];
    client.read_exact(&mut request).unwrap();
    let mut rest = vec![0; if request[3] == 3 { usize::from(request[4]) + 2 } else { 5 }];
    client.read_exact(&mut rest).unwrap();
    let name = String::from_utf8_lossy(&rest[..rest.len() - 2]).into_owned();
    log.lock().unwrap().push(if request[3] == 3 { name } else { "an address".to_owned() });
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
    join(client, server);
}

/// Settings for `registry.test`, which only a proxy knows.
fn through(proxies: Proxies, tls_verify: Option<bool>) -> Config {
    Config { proxies, tls_verify, retries: 0, ..config() }
}

#[test]
fn plain_http_goes_through_the_http_proxy() {
    let (registry, image) = (Registry::start(), image());
    registry.add(&image, "app", "1");
    let proxy = Proxy::start(registry.address(), false);
    let proxies = Proxies { http: Some(format!("ana:pw@{}", proxy.address)), ..Proxies::default() };
    let insecure = Config { insecure_registries: vec!["registry.test".into()], ..through(proxies, None) };
    // The name resolves nowhere, so https fails to connect and http asks the proxy.
    check_whole(&source_with(insecure, "registry.test/app:1"), &image);
    assert_eq!(proxy.asked()[0], "GET http://registry.test/v2/app/manifests/1 HTTP/1.1 (known)");
}

#[test]
fn https_is_tunnelled_and_exceptions_are_not() {
    let certificates = Certificates::new(&["registry.test", "127.0.0.1"]);
    let registry = Registry::with(Options { tls: Some(certificates), ..Options::default() });
    let image = image();
    registry.add(&image, "app", "1");
    let proxy = Proxy::start(registry.address(), false);
    let proxies = |no_proxy: &str| Proxies {
        https: Some(format!("http://{}", proxy.address)),
        no_proxy: no_proxy.into(),
        ..Proxies::default()
    };
    check_whole(&source_with(through(proxies("other.test"), Some(false)), "registry.test/app:1"), &image);
    assert_eq!(proxy.asked()[0], "CONNECT registry.test:443 HTTP/1.1");
    let direct = source_with(through(proxies(".test"), Some(false)), "registry.test/app:1");
    assert!(direct.root_manifest().is_err(), "the name is known to the proxy only");
    check_whole(&source_with(through(proxies(""), Some(false)), &registry.name("app:1")), &image);
    assert!(proxy.asked().is_empty(), "loopback is reached directly");
}

#[test]
fn socks_proxies_resolve_names_when_asked_to() {
    let certificates = Certificates::new(&["registry.test"]);
    let registry = Registry::with(Options { tls: Some(certificates), ..Options::default() });
    let image = image();
    registry.add(&image, "app", "1");
    let proxy = Proxy::start(registry.address(), true);
    let all = Some(format!("socks5h://{}", proxy.address));
    let config = through(Proxies { all, ..Proxies::default() }, Some(false));
    check_whole(&source_with(config, "registry.test/app:1"), &image);
    assert_eq!(proxy.asked()[0], "registry.test");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("hosts"), "10.1.2.3 registry.test\n").unwrap();
    let all = Some(format!("socks5://{}", proxy.address));
    let mut config = through(Proxies { all, ..Proxies::default() }, Some(false));
    config.resolver = Resolver::with_files(dir.path().join("hosts"), "/does/not/exist");
    check_whole(&source_with(config, "registry.test/app:1"), &image);
    assert_eq!(proxy.asked()[0], "an address", "socks5:// resolves here, with our own resolver");
}

/// Docker Hub in small: its registry has another host name than its images, its credentials a key of their own, its tokens
/// and blobs come from other servers.
#[test]
fn docker_hub_is_asked_under_its_own_names() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::new(&["registry-1.docker.io", "127.0.0.1"]);
    certificates.write_authority(dir.path());
    let auth = Auth::Token(TokenServer { user: Some(("ana", "pw")), ..TokenServer::default() });
    let registry = Registry::with(Options { auth, tls: Some(certificates), redirect: true, ..Options::default() });
    let image = image();
    registry.add(&image, "library/alpine", "latest");
    let proxy = Proxy::start(registry.address(), false);
    let proxies = Proxies { https: Some(format!("http://{}", proxy.address)), ..Proxies::default() };
    let auth_file = dir.path().join("config.json");
    std::fs::write(&auth_file, r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YW5hOnB3"}}}"#).unwrap(); // ana:pw
    let config = Config {
        cert_dir: Some(dir.path().to_owned()),
        auth_files: AuthFiles::only(auth_file),
        ..through(proxies, None)
    };
    check_whole(&source_with(config, "alpine"), &image);
    assert_eq!(proxy.asked()[0], "CONNECT registry-1.docker.io:443 HTTP/1.1");
    assert_eq!(registry.requests()[0].path, "/v2/library/alpine/manifests/latest");
}

#[test]
fn a_proxy_that_is_no_url_is_named_without_its_password() {
    let proxies = Proxies { all: Some("ht tp://ana:secret@x y".into()), ..Proxies::default() };
    let e = source_with(through(proxies, None), "registry.test/app:1").root_manifest().unwrap_err();
    assert!(e.to_string().contains("is no URL of a proxy") && !e.to_string().contains("secret"), "{e}");
}
