//! TLS: whom the client trusts, and how it says no.

use super::*;

/// A TLS registry with one image, and settings that know its name.
fn tls_registry(certificates: &Certificates) -> (Registry, Image) {
    let registry = Registry::with(Options { tls: Some(certificates.clone()), redirect: true, ..Options::default() });
    let image = image();
    registry.add(&image, "app", "1");
    (registry, image)
}

/// Like [`config`], with `registry.test` and `other.test` on loopback: names that are not loopback by themselves.
fn named(dir: &Path) -> Config {
    std::fs::write(dir.join("hosts"), "127.0.0.1 registry.test other.test\n").unwrap();
    Config { retries: 0, resolver: Resolver::with_files(dir.join("hosts"), dir.join("none")), ..config() }
}

fn port(registry: &Registry) -> &str {
    registry.address().rsplit(':').next().unwrap()
}

#[test]
fn an_unknown_authority_is_refused_until_it_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::new(&["registry.test", "127.0.0.1"]);
    let (registry, image) = tls_registry(&certificates);
    let host = format!("registry.test:{}", port(&registry));
    let name = format!("{host}/app:1");
    let e = source_with(named(dir.path()), &name).root_manifest().unwrap_err();
    assert_eq!(e.to_string(), format!("verify the certificate of `{host}`: it is signed by an unknown authority"));
    assert!(e.hints()[0].contains("certs.d"), "{e:?}");

    let certs_d = dir.path().join("certs.d");
    certificates.write_authority(&certs_d.join(&host));
    check_whole(&source_with(Config { certs_d: vec![certs_d], ..named(dir.path()) }, &name), &image);
    let cert_dir = dir.path().join("certs");
    certificates.write_authority(&cert_dir);
    check_whole(&source_with(Config { cert_dir: Some(cert_dir.clone()), ..named(dir.path()) }, &name), &image);
    let file = Some(cert_dir.join("ca.crt"));
    check_whole(&source_with(Config { ssl_cert_file: file, ..named(dir.path()) }, &name), &image);
    check_whole(&source_with(Config { ssl_cert_dirs: vec![cert_dir], ..named(dir.path()) }, &name), &image);
    check_whole(&source_with(Config { tls_verify: Some(false), ..named(dir.path()) }, &name), &image);
    let insecure_registries = vec![host];
    check_whole(&source_with(Config { insecure_registries, ..named(dir.path()) }, &name), &image);
    let other = dir.path().join("missing");
    let e = source_with(Config { ssl_cert_file: Some(other), ..named(dir.path()) }, &name).root_manifest().unwrap_err();
    assert!(e.to_string().contains("read `SSL_CERT_FILE`"), "{e}");
}

#[test]
fn a_certificate_is_good_for_its_names_only_and_also_when_it_signs_itself() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::self_signed(&["registry.test", "127.0.0.1"]);
    let (registry, image) = tls_registry(&certificates);
    certificates.write_authority(dir.path());
    let trusting = || Config { cert_dir: Some(dir.path().to_owned()), ..named(dir.path()) };
    let name = format!("registry.test:{}/app:1", port(&registry));
    check_whole(&source_with(trusting(), &name), &image);
    // Also when it was put among the system's roots.
    let system = || Config { ssl_cert_file: Some(dir.path().join("ca.crt")), ..named(dir.path()) };
    check_whole(&source_with(system(), &name), &image);
    let other = Certificates::self_signed(&["registry.test"]);
    other.write_authority(dir.path());
    let e = source_with(trusting(), &name).root_manifest().unwrap_err();
    assert!(e.to_string().starts_with("verify the certificate of `registry.test:"), "{e}");
    certificates.write_authority(dir.path());
    let e = source_with(trusting(), &format!("other.test:{}/app:1", port(&registry))).root_manifest().unwrap_err();
    assert!(e.to_string().ends_with("it is for another name"), "{e}");
}

#[test]
fn loopback_may_do_without_trust_unless_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, image) = tls_registry(&Certificates::new(&["127.0.0.1"]));
    let name = registry.name("app:1");
    check_whole(&source_with(named(dir.path()), &name), &image);
    let e = source_with(Config { tls_verify: Some(true), ..named(dir.path()) }, &name).root_manifest().unwrap_err();
    assert!(e.to_string().contains("unknown authority"), "{e}");
    let plain = Registry::start();
    plain.add(&image, "app", "1");
    let name = plain.name("app:1");
    let e = source_with(Config { tls_verify: Some(true), ..named(dir.path()) }, &name).root_manifest().unwrap_err();
    assert_eq!(e.to_string(), format!("connect to `{}`: it does not speak TLS", plain.address()));
    let name = format!("registry.test:{}/app:1", port(&plain));
    let e = source_with(named(dir.path()), &name).root_manifest().unwrap_err();
    assert!(e.to_string().ends_with("it does not speak TLS"), "plain http only for loopback: {e}");
    check_whole(&source_with(Config { tls_verify: Some(false), ..named(dir.path()) }, &name), &image);
}

#[test]
fn a_client_certificate_is_shown_to_the_registry() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::with_clients(&["registry.test"]);
    let registry = Registry::with(Options { tls: Some(certificates.clone()), ..Options::default() });
    let image = image();
    registry.add(&image, "app", "1");
    certificates.write_authority(dir.path());
    let trusting = || Config { cert_dir: Some(dir.path().to_owned()), ..named(dir.path()) };
    let name = format!("registry.test:{}/app:1", port(&registry));
    let e = source_with(trusting(), &name).root_manifest().unwrap_err();
    assert_eq!(e.kind(), Kind::Remote, "{e}");
    certificates.write_client(dir.path());
    check_whole(&source_with(trusting(), &name), &image);
    std::fs::remove_file(dir.path().join("client.key")).unwrap();
    let e = source_with(trusting(), &name).root_manifest().unwrap_err();
    assert!(e.to_string().starts_with("find the key of `"), "{e}");
}

#[test]
fn tls_is_not_left_for_plain_http() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::new(&["registry.test"]);
    let (registry, image) = tls_registry(&certificates);
    let plain = Registry::start();
    plain.add(&image, "app", "1");
    certificates.write_authority(dir.path());
    let trusting = || Config { cert_dir: Some(dir.path().to_owned()), ..named(dir.path()) };
    let location = format!("http://{}/v2/app/manifests/1", plain.address());
    registry.answer("/v2/app/manifests/down", Answer::new(307, "").header("Location", location));
    let name = format!("registry.test:{}/app:down", port(&registry));
    let e = source_with(trusting(), &name).root_manifest().unwrap_err();
    assert!(e.to_string().ends_with("redirects to plain http"), "{e}");
    // Nor are credentials sent to a token server without TLS.
    let challenge = "Bearer realm=\"http://registry.test/token\",service=\"s\"";
    registry.answer("/v2/app/manifests/tok", Answer::new(401, "").header("WWW-Authenticate", challenge));
    let name = format!("registry.test:{}/app:tok", port(&registry));
    let e = source_with(trusting(), &name).root_manifest().unwrap_err();
    assert!(e.to_string().contains("names a token server without TLS"), "{e}");
}

#[test]
fn loopbacks_leniency_ends_at_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, image) = tls_registry(&Certificates::new(&["registry.test"]));
    let elsewhere = format!("https://registry.test:{}", port(&storage));
    let registry = Registry::start();
    let location = format!("{elsewhere}/v2/app/manifests/1");
    registry.answer("/v2/app/manifests/1", Answer::new(307, "").header("Location", location));
    let challenge = |url: &str| format!("Bearer realm=\"{url}/token\",service=\"s\"");
    let wants = |url: &str| Answer::new(401, "").header("WWW-Authenticate", challenge(url));
    registry.answer("/v2/app/manifests/2", wants(&elsewhere));
    registry.answer("/v2/app/manifests/3", wants("http://registry.test:1"));
    for (tag, words) in
        [("1", "unknown authority"), ("2", "unknown authority"), ("3", "names a token server without TLS")]
    {
        let e = source_with(named(dir.path()), &registry.name(&format!("app:{tag}"))).root_manifest().unwrap_err();
        assert!(e.to_string().contains(words), "{tag}: {e}");
    }
    let lenient = Config { tls_verify: Some(false), ..named(dir.path()) };
    let raw = source_with(lenient, &registry.name("app:1")).root_manifest().unwrap();
    assert_eq!(raw.bytes, image.manifest.bytes);
}
