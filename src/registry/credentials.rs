//! Who we are to a registry: docker's config.json, containers' auth.json, credential helpers.
//!
//! Both files have the same form: `auths` by registry, `credHelpers` by registry, `credsStore` for all. Keys are `host[:port]`,
//! in containers' files also `host/path` for a part of a registry (the longest that fits wins), in docker's old files URLs;
//! Docker Hub's key is `https://index.docker.io/v1/`.

use crate::base::{Doing, Error, Result, fsx};
use base64::Engine as _;
use base64::engine::GeneralPurpose;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The largest auth file that is read, and the longest answer of a helper.
const MAX_FILE: usize = 4 << 20;
/// Docker Hub's name for credential helpers and in docker's file.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// What proves who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// User name and password (or access token in place of one).
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: String,
    },
    /// A refresh token that an OAuth2 token server turns into access tokens.
    IdentityToken(String),
    /// A bearer token for the registry itself.
    RegistryToken(String),
}

impl std::fmt::Debug for Credentials {
    /// Shows no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Basic { username, .. } => write!(f, "Basic({username})"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
            Self::RegistryToken(_) => f.write_str("RegistryToken"),
        }
    }
}

impl Credentials {
    /// Reads `--creds`: `user:password`; the password may hold further colons.
    pub fn from_option(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some((username, password)) if !username.is_empty() => {
                Ok(Self::Basic { username: username.to_owned(), password: password.to_owned() })
            }
            _ => Err(Error::usage("--creds: the user is missing").hint("use `--creds USER:PASSWORD`")),
        }
    }
}

/// The files that may hold credentials, in the order they are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthFiles {
    /// The paths; missing ones are skipped.
    pub files: Vec<PathBuf>,
    /// The user named the file (`--authfile`, `REGISTRY_AUTH_FILE`): it must exist.
    pub required: bool,
    /// `PATH` for the helpers; `None` for this process's own.
    pub helper_path: Option<OsString>,
}

impl AuthFiles {
    /// One file that must exist.
    pub fn only(path: PathBuf) -> Self {
        Self { files: vec![path], required: true, helper_path: None }
    }

    /// `$REGISTRY_AUTH_FILE` alone if set; else `$DOCKER_CONFIG` if set, containers' auth.json below the run-time and the
    /// config folder, `~/.docker/config.json`.
    pub(super) fn from_environment(
        registry_auth_file: Option<PathBuf>,
        docker_config: Option<PathBuf>,
        runtime_dir: Option<PathBuf>,
        config_home: Option<&Path>,
        home: Option<&Path>,
    ) -> Self {
        if let Some(path) = registry_auth_file {
            return Self::only(path);
        }
        let mut files = Vec::new();
        let own_docker = docker_config.is_some();
        files.extend(docker_config.map(|folder| folder.join("config.json")));
        // containers/image goes to /run/containers/<uid> when there is no run-time folder.
        let by_uid = || PathBuf::from(format!("/run/containers/{}/auth.json", nix::unistd::getuid()));
        files.push(runtime_dir.map_or_else(by_uid, |folder| folder.join("containers/auth.json")));
        files.extend(config_home.map(|folder| folder.join("containers/auth.json")));
        if !own_docker {
            files.extend(home.map(|home| home.join(".docker/config.json")));
        }
        Self { files, required: false, helper_path: None }
    }
}

/// What was found for a repository.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// The credentials and where they come from, in words.
    pub(super) credentials: Option<(Credentials, String)>,
    /// Helpers that did not work: worth a hint if access is denied without them.
    pub(super) problems: Vec<String>,
}

/// Looks for credentials for `registry/repository`, file by file.
///
/// Errors: a file that exists but cannot be read or is no JSON, a required one that is missing.
pub(super) fn find(files: &AuthFiles, registry: &str, repository: &str) -> Result<Found> {
    let mut found = Found::default();
    for path in &files.files {
        let bytes = match fsx::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.is_missing() && !files.required => continue,
            Err(e) => return Err(e.step("read credentials")),
        };
        let place = || format!("`{}`", path.display());
        let file = AuthFile::parse(&bytes).doing(|| format!("read credentials from {}", place()))?;
        if let Some(helper) = file.helper(registry, repository) {
            match ask_helper(helper, registry, files.helper_path.as_deref()) {
                Ok(Some(credentials)) => {
                    found.credentials = Some((credentials, format!("credential helper `{helper}`")));
                    return Ok(found);
                }
                Ok(None) => {}
                // Not fatal: most images need no credentials, and configs outlive the helpers they name.
                Err(e) => found.problems.push(e.to_string()),
            }
        }
        if let Some(credentials) = file.credentials(registry, repository)? {
            found.credentials = Some((credentials, place()));
            return Ok(found);
        }
    }
    Ok(found)
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct AuthFile {
    #[serde(default)]
    auths: Option<BTreeMap<String, Entry>>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    identitytoken: Option<String>,
    #[serde(default)]
    registrytoken: Option<String>,
}

impl AuthFile {
    fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_FILE {
            return Err(Error::corrupt("the file is larger than 4 MiB"));
        }
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    fn credentials(&self, registry: &str, repository: &str) -> Result<Option<Credentials>> {
        let Some(entry) = self.auths.as_ref().and_then(|map| most_specific(map, registry, repository)) else {
            return Ok(None);
        };
        let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = set(&entry.identitytoken) {
            return Ok(Some(Credentials::IdentityToken(token)));
        }
        if let Some(token) = set(&entry.registrytoken) {
            return Ok(Some(Credentials::RegistryToken(token)));
        }
        if let Some(auth) = set(&entry.auth) {
            return decode_auth(&auth).map(Some).doing(|| format!("read credentials for `{registry}`"));
        }
        Ok(match (set(&entry.username), set(&entry.password)) {
            (Some(username), Some(password)) => Some(Credentials::Basic { username, password }),
            _ => None,
        })
    }

    fn helper(&self, registry: &str, repository: &str) -> Option<&str> {
        let own = self.cred_helpers.as_ref().and_then(|map| most_specific(map, registry, repository));
        own.or(self.creds_store.as_ref()).map(String::as_str).filter(|name| !name.is_empty())
    }
}

/// The value whose key fits `registry/repository` best: the longest path, then plain keys before URLs.
fn most_specific<'a, T>(map: &'a BTreeMap<String, T>, registry: &str, repository: &str) -> Option<&'a T> {
    let wanted = format!("{registry}/{repository}");
    let fits = |key: &str| wanted == key || wanted.strip_prefix(key).is_some_and(|rest| rest.starts_with('/'));
    map.iter()
        .map(|(key, value)| (normalise(key), key.contains("://"), value))
        .filter(|(key, ..)| !key.is_empty() && fits(key))
        .max_by_key(|(key, url, _)| (key.len(), !*url))
        .map(|(.., value)| value)
}

/// A key as `host[:port][/path]`: URLs lose scheme and path, Docker Hub's three host names become `docker.io`.
fn normalise(key: &str) -> String {
    let key = match key.split_once("://") {
        Some((_, rest)) => rest.split('/').next().unwrap_or(""),
        None => {
            let key = key.trim_end_matches('/');
            // docker login once wrote the API's version into the key.
            key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key)
        }
    };
    let (host, path) = key.find('/').map_or((key, ""), |at| key.split_at(at));
    match host {
        "index.docker.io" | "registry-1.docker.io" => format!("docker.io{path}"),
        _ => key.to_owned(),
    }
}

/// `auth`: base64 of `user:password`, with or without padding, with NULs behind it in docker's old files.
fn decode_auth(text: &str) -> Result<Credentials> {
    let lenient = base64::engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
    let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, lenient);
    let bytes = engine.decode(text.trim()).map_err(|_| Error::corrupt("`auth` is not base64"))?;
    let text = String::from_utf8(bytes).map_err(|_| Error::corrupt("`auth` is not UTF-8"))?;
    match text.trim_end_matches('\0').split_once(':') {
        Some((username, password)) if !username.is_empty() => {
            Ok(Credentials::Basic { username: username.to_owned(), password: password.to_owned() })
        }
        _ => Err(Error::corrupt("`auth` is not `user:password`")),
    }
}

/// Asks `docker-credential-<name> get`: the server's name on stdin, JSON on stdout.
fn ask_helper(name: &str, registry: &str, path: Option<&OsStr>) -> Result<Option<Credentials>> {
    let program = format!("docker-credential-{name}");
    let step = || format!("ask `{program}`");
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        return Err(Error::usage("the name of the credential helper is no program name").step(step()));
    }
    let server = if registry == crate::image::reference::DEFAULT_REGISTRY { HUB_KEY } else { registry };
    let found = path.and_then(|path| {
        std::env::split_paths(path).map(|folder| folder.join(&program)).find(|candidate| candidate.is_file())
    });
    let mut child = Command::new(found.unwrap_or_else(|| PathBuf::from(&program)))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .doing(step)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input says so by its exit status.
        drop(stdin.write_all(server.as_bytes()));
    }
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_FILE as u64).read_to_end(&mut output).doing(step)?;
    }
    let status = child.wait().doing(step)?;
    if !status.success() {
        let text = String::from_utf8_lossy(&output);
        let text = text.trim();
        if text.contains("credentials not found") {
            return Ok(None);
        }
        let said: String = text.chars().take(200).collect();
        return Err(Error::remote(format!("{status}: {said}")).step(step()));
    }
    parse_helper(&output).doing(step)
}

fn parse_helper(output: &[u8]) -> Result<Option<Credentials>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output {
        #[serde(default)]
        username: String,
        #[serde(default)]
        secret: String,
    }
    let output: Output = serde_json::from_slice(output)?;
    Ok(match (output.username.as_str(), output.secret) {
        (_, secret) if secret.is_empty() => None,
        ("<token>", secret) => Some(Credentials::IdentityToken(secret)),
        ("", _) => None,
        (username, password) => Some(Credentials::Basic { username: username.to_owned(), password }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn basic(username: &str, password: &str) -> Option<Credentials> {
        Some(Credentials::Basic { username: username.into(), password: password.into() })
    }

    #[test]
    fn the_most_specific_key_wins() {
        // auth: u1:p1, u2:p2, …
        let file = AuthFile::parse(
            br#"{"auths":{
                "https://index.docker.io/v1/":{"auth":"dTE6cDE="},
                "quay.io":{"auth":"dTI6cDI"},
                "quay.io/team":{"auth":"dTM6cDM="},
                "quay.io/team/app":{"username":"u4","password":"p:4"},
                "localhost:5000":{"auth":"dTU6cDUAAAA="},
                "https://old.example/v2/":{"identitytoken":"it","auth":""},
                "tok.example":{"registrytoken":"rt"},
                "empty.example":{}
            }}"#,
        )
        .unwrap();
        for (registry, repository, expected) in [
            ("docker.io", "library/alpine", basic("u1", "p1")),
            ("quay.io", "other", basic("u2", "p2")),
            ("quay.io", "team/x", basic("u3", "p3")),
            ("quay.io", "teamx/x", basic("u2", "p2")),
            ("quay.io", "team/app", basic("u4", "p:4")),
            ("localhost:5000", "a", basic("u5", "p5")),
            ("localhost", "a", None),
            ("old.example", "a", Some(Credentials::IdentityToken("it".into()))),
            ("tok.example", "a", Some(Credentials::RegistryToken("rt".into()))),
            ("empty.example", "a", None),
        ] {
            assert_eq!(file.credentials(registry, repository).unwrap(), expected, "{registry}/{repository}");
        }
    }

    #[test]
    fn damaged_entries_are_errors_without_the_secret() {
        for auth in ["!!", "dTE", "/w=="] {
            let file = AuthFile::parse(format!(r#"{{"auths":{{"a.b":{{"auth":"{auth}"}}}}}}"#).as_bytes()).unwrap();
            let e = file.credentials("a.b", "c").unwrap_err().to_string();
            assert!(e.starts_with("read credentials for `a.b`: ") && !e.contains(auth), "{e}");
        }
        assert!(AuthFile::parse(b"{").is_err());
        assert!(AuthFile::parse(b"{\"auths\":null}").unwrap().credentials("a", "b").unwrap().is_none());
        assert!(AuthFile::parse(b" \n").is_ok());
    }

    #[test]
    fn helpers_are_chosen_and_read() {
        let file = AuthFile::parse(br#"{"credHelpers":{"a.b":"one","docker.io":"hub"},"credsStore":"all"}"#).unwrap();
        assert_eq!(file.helper("a.b", "c"), Some("one"));
        assert_eq!(file.helper("docker.io", "c"), Some("hub"));
        assert_eq!(file.helper("x.y", "c"), Some("all"));
        assert_eq!(parse_helper(br#"{"ServerURL":"x","Username":"u","Secret":"s"}"#).unwrap(), basic("u", "s"));
        let token = parse_helper(br#"{"Username":"<token>","Secret":"s"}"#).unwrap();
        assert_eq!(token, Some(Credentials::IdentityToken("s".into())));
        assert!(ask_helper("../../bin/sh", "a.b", None).unwrap_err().to_string().contains("no program name"));
        assert!(ask_helper("runr-test-does-not-exist", "a.b", None).unwrap_err().is_missing());
    }

    #[test]
    fn files_are_asked_in_order_and_a_named_one_must_exist() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        std::fs::write(&one, r#"{"credsStore":"runr-test-does-not-exist"}"#).unwrap();
        std::fs::write(&two, r#"{"auths":{"a.b":{"auth":"dTE6cDE="}}}"#).unwrap();
        let missing = dir.path().join("missing");
        let files = AuthFiles { files: vec![missing.clone(), one, two.clone()], ..AuthFiles::default() };
        let found = find(&files, "a.b", "c").unwrap();
        assert_eq!(found.credentials, Some((basic("u1", "p1").unwrap(), format!("`{}`", two.display()))));
        assert!(found.problems[0].starts_with("ask `docker-credential-runr-test-does-not-exist`: "));
        assert!(find(&AuthFiles::only(missing), "a.b", "c").unwrap_err().is_missing());
    }

    #[test]
    fn the_option_is_split_at_the_first_colon() {
        assert_eq!(Credentials::from_option("u:p:q").ok(), basic("u", "p:q"));
        assert!(Credentials::from_option("u").is_err());
        assert!(!format!("{:?}", Credentials::from_option("u:secret").unwrap()).contains("secret"));
    }

    proptest! {
        #[test]
        fn any_file_and_auth_are_read_without_panic(text in "\\PC{0,60}") {
            drop(AuthFile::parse(text.as_bytes()));
            drop(decode_auth(&text));
            drop(parse_helper(text.as_bytes()));
            drop(normalise(&text));
        }
    }
}
