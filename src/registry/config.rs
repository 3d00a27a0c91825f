//! All settings of the registry client, as plain data: `cli` fills them from flags, environment and files.

use super::credentials::{AuthFiles, Credentials};
use super::proxy::Proxies;
use crate::base::progress::{Event, Progress};
use crate::resolver::Resolver;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// See the module documentation. `Config::default()` reads nothing and knows no credentials.
#[derive(Debug, Clone)]
pub struct Config {
    /// The `User-Agent` of every request.
    pub user_agent: String,
    /// Which proxies to use.
    pub proxies: Proxies,
    /// `--tls-verify`: `Some(true)` demands verified TLS even on loopback, `Some(false)` allows unverified TLS and plain
    /// http everywhere, `None` allows them for loopback and [`Config::insecure_registries`] only.
    pub tls_verify: Option<bool>,
    /// Registries (`host` or `host:port`) that may be talked to without verified TLS.
    pub insecure_registries: Vec<String>,
    /// `--cert-dir`: a folder with `*.crt`, `*.cert` and `*.key` for whatever registry is used.
    pub cert_dir: Option<PathBuf>,
    /// `certs.d` folders: below each, `<host:port>/` holds files as in [`Config::cert_dir`].
    pub certs_d: Vec<PathBuf>,
    /// `SSL_CERT_FILE`: replaces the system's bundle of roots.
    pub ssl_cert_file: Option<PathBuf>,
    /// `SSL_CERT_DIR`: folders with root certificates, replace the system's.
    pub ssl_cert_dirs: Vec<PathBuf>,
    /// Where credentials are looked for.
    pub auth_files: AuthFiles,
    /// `--creds`: used instead of any file.
    pub credentials: Option<Credentials>,
    /// How many blobs a pull should fetch at once; the client itself does not enforce it.
    pub max_parallel: usize,
    /// `--retry`: how often a failed request is sent again.
    pub retries: u32,
    /// `--retry-delay`: the wait before the first retry; it doubles with each, unless `retry_evenly`.
    pub retry_delay: Duration,
    /// Every wait is `retry_delay`: it was asked for, as podman has it.
    pub retry_evenly: bool,
    /// Limit for a connection to stand, name look-up and TLS included.
    pub connect_timeout: Duration,
    /// Limit for an answer to begin. Registries that fetch from another one first need long.
    pub answer_timeout: Duration,
    /// Limit for the next bytes of an answer's body.
    pub stall_timeout: Duration,
    /// Looks names up.
    pub resolver: Resolver,
    /// Who is told that a request is going to be sent again, and why.
    pub notes: Notes,
}

/// Receives [`Event::Note`]s, or nobody does.
#[derive(Clone, Default)]
pub struct Notes(pub Option<Arc<dyn Progress>>);

impl std::fmt::Debug for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Notes(on)" } else { "Notes(off)" })
    }
}

impl Notes {
    pub(super) fn note(&self, text: impl FnOnce() -> String) {
        if let Some(progress) = &self.0 {
            progress.event(Event::Note(text()));
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            user_agent: concat!("runr/", env!("CARGO_PKG_VERSION")).to_owned(),
            proxies: Proxies::default(),
            tls_verify: None,
            insecure_registries: Vec::new(),
            cert_dir: None,
            certs_d: Vec::new(),
            ssl_cert_file: None,
            ssl_cert_dirs: Vec::new(),
            auth_files: AuthFiles::default(),
            credentials: None,
            max_parallel: 6,
            retries: 3,
            retry_delay: Duration::from_millis(500),
            retry_evenly: false,
            connect_timeout: Duration::from_secs(15),
            answer_timeout: Duration::from_secs(120),
            stall_timeout: Duration::from_secs(30),
            resolver: Resolver::default(),
            notes: Notes::default(),
        }
    }
}

impl Config {
    /// What the environment says, read through `get`, for a user with this home folder: proxies, roots, the usual places
    /// of certificates and credentials. Flags are laid over it by the caller.
    pub fn from_environment(get: &dyn Fn(&str) -> Option<OsString>, home: Option<&Path>) -> Self {
        let text = |names: &[&str]| {
            let value = names.iter().find_map(|name| get(name).filter(|value| !value.is_empty()))?;
            Some(value.to_string_lossy().into_owned())
        };
        let path = |name: &str| get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config_home = path("XDG_CONFIG_HOME").or_else(|| home.map(|home| home.join(".config")));
        let mut certs_d: Vec<PathBuf> = Vec::new();
        if let Some(config_home) = &config_home {
            certs_d.extend(["containers/certs.d", "docker/certs.d"].map(|folder| config_home.join(folder)));
        }
        certs_d.extend(["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from));
        Self {
            proxies: Proxies {
                http: text(&["http_proxy", "HTTP_PROXY"]),
                https: text(&["https_proxy", "HTTPS_PROXY"]),
                all: text(&["all_proxy", "ALL_PROXY"]),
                no_proxy: text(&["no_proxy", "NO_PROXY"]).unwrap_or_default(),
            },
            certs_d,
            ssl_cert_file: path("SSL_CERT_FILE"),
            ssl_cert_dirs: get("SSL_CERT_DIR").map(|dirs| std::env::split_paths(&dirs).collect()).unwrap_or_default(),
            auth_files: AuthFiles {
                helper_path: get("PATH"),
                ..AuthFiles::from_environment(
                    path("REGISTRY_AUTH_FILE"),
                    path("DOCKER_CONFIG"),
                    path("XDG_RUNTIME_DIR"),
                    config_home.as_deref(),
                    home,
                )
            },
            ..Self::default()
        }
    }

    /// True if `registry` (`host[:port]`) may be talked to over unverified TLS and plain http.
    pub(super) fn may_be_insecure(&self, registry: &str) -> bool {
        match self.tls_verify {
            Some(verify) => !verify,
            None => {
                let (host, _) = split_port(registry);
                is_loopback(host) || self.insecure_registries.iter().any(|entry| entry == registry || entry == host)
            }
        }
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port` into host (without brackets) and port.
pub(super) fn split_port(authority: &str) -> (&str, Option<u16>) {
    if let Some(rest) = authority.strip_prefix('[')
        && let Some((host, tail)) = rest.split_once(']')
    {
        return (host, tail.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, port.parse().ok()),
        _ => (authority, None),
    }
}

/// True for `localhost`, names below it and addresses of the loopback interface. Goes by the name alone: a name that merely
/// resolves to loopback is somebody else's to decide on.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_what_was_named_may_be_insecure() {
        let mut config =
            Config { insecure_registries: vec!["lab:5000".into(), "10.0.0.9".into()], ..Config::default() };
        for (registry, insecure) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.9:80", true),
            ("[::1]:5000", true),
            ("a.localhost:1", true),
            ("lab:5000", true),
            ("lab", false),
            ("10.0.0.9:5000", true),
            ("docker.io", false),
            ("localhost.example.com", false),
            ("128.0.0.1", false),
        ] {
            assert_eq!(config.may_be_insecure(registry), insecure, "{registry}");
        }
        config.tls_verify = Some(true);
        assert!(!config.may_be_insecure("localhost"));
        config.tls_verify = Some(false);
        assert!(config.may_be_insecure("docker.io"));
    }

    #[test]
    fn the_environment_is_read_as_curl_podman_and_openssl_read_it() {
        let environment = [
            ("http_proxy", "low:1"),
            ("HTTP_PROXY", "UP:1"),
            ("HTTPS_PROXY", "secure:2"),
            ("https_proxy", ""),
            ("NO_PROXY", "a,b"),
            ("SSL_CERT_DIR", "/a:/b"),
            ("DOCKER_CONFIG", "/dc"),
        ];
        let get = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        let config = Config::from_environment(&get, Some(Path::new("/home/u")));
        assert_eq!(config.proxies.http.as_deref(), Some("low:1"));
        assert_eq!(config.proxies.https.as_deref(), Some("secure:2"));
        assert_eq!(config.proxies.no_proxy, "a,b");
        assert_eq!(config.ssl_cert_dirs, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(config.certs_d[0], Path::new("/home/u/.config/containers/certs.d"));
        assert_eq!(config.auth_files.files[0], Path::new("/dc/config.json"));
    }

    #[test]
    fn ports_are_split_off() {
        for (text, host, port) in [
            ("a", "a", None),
            ("a:5", "a", Some(5)),
            ("[::1]", "::1", None),
            ("[::1]:5", "::1", Some(5)),
            ("::1", "::1", None),
        ] {
            assert_eq!(split_port(text), (host, port), "{text}");
        }
    }
}
