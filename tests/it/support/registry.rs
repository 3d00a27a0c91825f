//! A registry inside the test process that fails on demand: it cuts, stalls, lies, limits, wants tokens, redirects.
//!
//! It serves from memory, over http or TLS, and records every request. Its token server and its storage server listen on ports
//! of their own. When it is dropped it fails the test if the storage server was ever shown credentials.

mod tls;
mod wire;

pub use tls::Certificates;
pub use wire::{Answer, Request};

use super::image::{Blob, Image};
use runr::image::Digest;
use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use wire::Server;

/// How an answer with a body goes wrong.
#[derive(Debug, Clone)]
pub enum Faulty {
    /// The connection is closed after so many bytes of the body.
    CutAfter(usize),
    /// Nothing more comes after so many bytes.
    StallAfter(usize),
    /// A status instead of the content, with `Retry-After`.
    Status(u16, Option<u64>),
    /// `Content-Length` is off by so much.
    Length(i64),
    /// Every byte is another.
    WrongBytes,
    /// The whole content with 200, whatever range was asked for.
    IgnoreRange,
    /// 206 with this `Content-Range`.
    ContentRange(&'static str),
    /// Without a length, so many bytes too few or too many.
    Chunked {
        /// Bytes that are left out at the end.
        less: usize,
        /// Bytes that follow the content.
        more: usize,
    },
}

/// Who may pull.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Everybody, unasked.
    #[default]
    Open,
    /// Whoever knows this name and password (Basic).
    Basic(&'static str, &'static str),
    /// Whoever has a token.
    Token(TokenServer),
}

/// How the token server behaves.
#[derive(Debug, Clone)]
pub struct TokenServer {
    /// Name and password without which there is no token.
    pub user: Option<(&'static str, &'static str)>,
    /// The identity token (OAuth2 refresh token) without which there is no token.
    pub identity: Option<&'static str>,
    /// The field of the answer: `token` or `access_token`.
    pub field: &'static str,
    /// `expires_in`, if it is said.
    pub expires_in: Option<u64>,
    /// The registry takes each token so often.
    pub uses: usize,
}

impl Default for TokenServer {
    fn default() -> Self {
        Self { user: None, identity: None, field: "token", expires_in: Some(300), uses: usize::MAX }
    }
}

/// What a registry is to be like.
#[derive(Debug, Default)]
pub struct Options {
    /// Who may pull.
    pub auth: Auth,
    /// TLS; plain http without.
    pub tls: Option<Certificates>,
    /// Blobs are redirected to the storage server.
    pub redirect: bool,
    /// Where the token server and the storage server listen, and by which names the registry sends clients there.
    pub elsewhere: Option<[(TcpListener, &'static str); 2]>,
}

/// A running registry.
pub struct Registry {
    state: Arc<State>,
    server: Server,
    _others: Vec<Server>,
}

#[derive(Default)]
struct State {
    options: Options,
    /// By `repository` and `tag or digest`.
    manifests: Mutex<HashMap<(String, String), Stored>>,
    blobs: Mutex<HashMap<String, Arc<Vec<u8>>>>,
    faults: Mutex<Vec<Planned>>,
    requests: Mutex<Vec<Request>>,
    tokens: Mutex<HashMap<String, (String, usize)>>,
    leaks: Mutex<Vec<String>>,
    token_url: Mutex<String>,
    storage_url: Mutex<String>,
    overrides: Mutex<HashMap<String, Answer>>,
}

/// A manifest's media type and bytes.
type Stored = (String, Arc<Vec<u8>>);

struct Planned {
    what: String,
    times: usize,
    fault: Faulty,
}

impl Registry {
    /// An open registry over http.
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    /// A registry with options.
    pub fn with(options: Options) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), options)
    }

    /// A registry at a listener of the caller's.
    pub fn on(listener: TcpListener, mut options: Options) -> Self {
        let tls = options.tls.as_ref().map(|certificates| certificates.server.clone());
        let elsewhere = options.elsewhere.take();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = Arc::new(State { options, ..State::default() });
        let of = |serve: fn(&State, &Request) -> Answer| {
            let state = state.clone();
            Arc::new(move |request: &Request| serve(&state, request))
        };
        let free = || (TcpListener::bind("127.0.0.1:0").unwrap(), "");
        let mut urls = Vec::new();
        let mut start = |(listener, name): (TcpListener, &str), serve: fn(&State, &Request) -> Answer| {
            let server = Server::start_on(listener, tls.clone(), of(serve));
            urls.push(format!("{scheme}://{}", if name.is_empty() { &server.address } else { name }));
            server
        };
        let [tokens, storage] = elsewhere.unwrap_or_else(|| [free(), free()]);
        let (tokens, storage) = (start(tokens, State::token), start(storage, State::storage));
        *state.token_url.lock().unwrap() = format!("{}/token", urls[0]);
        *state.storage_url.lock().unwrap() = urls[1].clone();
        let server = Server::start_on(listener, tls, of(State::registry));
        Self { state, server, _others: vec![tokens, storage] }
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        &self.server.address
    }

    /// The full name of an image in it.
    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address())
    }

    /// Stores an image as `repository:tag` and returns its full name.
    pub fn add(&self, image: &Image, repository: &str, tag: &str) -> String {
        for blob in image.blobs() {
            self.add_blob(&blob.bytes);
        }
        self.add_manifest(repository, tag, &image.manifest);
        self.name(&format!("{repository}:{tag}"))
    }

    /// Stores a blob.
    pub fn add_blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.state.blobs.lock().unwrap().insert(digest.to_string(), Arc::new(bytes.to_vec()));
        digest
    }

    /// Stores a manifest or an index under a tag and under its digest.
    pub fn add_manifest(&self, repository: &str, tag: &str, manifest: &Blob) {
        let value = (manifest.media_type.clone(), Arc::new(manifest.bytes.clone()));
        let mut manifests = self.state.manifests.lock().unwrap();
        manifests.insert((repository.to_owned(), manifest.digest.to_string()), value.clone());
        manifests.insert((repository.to_owned(), tag.to_owned()), value);
    }

    /// The next `times` requests for the tag or digest `what` fail like this, after the faults planned for it before.
    pub fn fail(&self, what: impl ToString, times: usize, fault: Faulty) {
        self.state.faults.lock().unwrap().push(Planned { what: what.to_string(), times, fault });
    }

    /// Forgets the faults that are still planned.
    pub fn heal(&self) {
        self.state.faults.lock().unwrap().clear();
    }

    /// Answers this path (without its query) like this, whoever asks.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.state.overrides.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// The requests of all three servers so far, `GET /v2/…`, and forgets them.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.requests.lock().unwrap())
    }

    /// The base URL of the storage server, which serves every blob at `/<digest>`.
    pub fn storage_url(&self) -> String {
        self.state.storage_url.lock().unwrap().clone()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let leaks = self.state.leaks.lock().unwrap();
        if !std::thread::panicking() {
            assert!(leaks.is_empty(), "credentials were sent to the storage server: {leaks:?}");
        }
    }
}

impl State {
    fn registry(&self, request: &Request) -> Answer {
        self.requests.lock().unwrap().push(request.clone());
        if let Some(answer) = self.overrides.lock().unwrap().get(request.route()) {
            return answer.clone();
        }
        let Some((repository, kind, what)) = route(request.route()) else { return unknown("NAME_UNKNOWN") };
        if let Some(refusal) = self.refusal(request, &repository) {
            return refusal;
        }
        let answer = match kind.as_str() {
            "manifests" => self.manifest(&repository, &what),
            "tags" => self.tags(&repository, request),
            _ if self.options.redirect => {
                let url = format!("{}/{what}?signature=secret", self.storage_url.lock().unwrap());
                return Answer::new(307, "").header("Location", url);
            }
            _ => self.blob(&what, request),
        };
        answer.header("Docker-Distribution-Api-Version", "registry/2.0")
    }

    fn manifest(&self, repository: &str, what: &str) -> Answer {
        let found = self.manifests.lock().unwrap().get(&(repository.to_owned(), what.to_owned())).cloned();
        let Some((media_type, bytes)) = found else { return unknown("MANIFEST_UNKNOWN") };
        let digest = Digest::of(&bytes).to_string();
        let answer = Answer { body: bytes, ..Answer::new(200, "") };
        let answer = answer.header("Content-Type", media_type).header("Docker-Content-Digest", digest);
        self.with_fault(what, answer)
    }

    /// Pages of two tags, as `n` asks for more than we give.
    fn tags(&self, repository: &str, request: &Request) -> Answer {
        let mut tags: Vec<String> =
            self.manifests.lock().unwrap().keys().filter(|k| k.0 == repository).map(|k| k.1.clone()).collect();
        tags.retain(|tag| !tag.contains(':'));
        tags.sort();
        let last = request.query("last").pop().unwrap_or_default();
        let page: Vec<&String> = tags.iter().filter(|tag| **tag > last).take(2).collect();
        let body = serde_json::json!({ "name": repository, "tags": page }).to_string();
        let answer = Answer::new(200, body);
        match page.get(1) {
            Some(end) => answer.header("Link", format!("</v2/{repository}/tags/list?last={end}&n=2>; rel=\"next\"")),
            None => answer,
        }
    }

    fn storage(&self, request: &Request) -> Answer {
        self.requests.lock().unwrap().push(request.clone());
        if let Some(value) = request.header("authorization").or(request.header("cookie")) {
            self.leaks.lock().unwrap().push(value.to_owned());
        }
        self.blob(request.route().trim_start_matches('/'), request)
    }

    fn blob(&self, digest: &str, request: &Request) -> Answer {
        let Some(bytes) = self.blobs.lock().unwrap().get(digest).cloned() else { return unknown("BLOB_UNKNOWN") };
        let size = bytes.len();
        let mut answer = Answer { body: bytes, ..Answer::new(200, "") };
        answer = self.with_fault(digest, answer);
        let range = request.header("range").and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        match (&answer.fault, range) {
            (Some(Faulty::IgnoreRange), _) | (_, None) => answer,
            _ if answer.status != 200 => answer,
            (Some(Faulty::ContentRange(text)), Some(from)) => {
                let text = (*text).to_owned();
                Answer { status: 206, from, ..answer }.header("Content-Range", text)
            }
            (_, Some(from)) if from < size => Answer { status: 206, from, ..answer }
                .header("Content-Range", format!("bytes {from}-{}/{size}", size - 1)),
            _ => Answer::new(416, ""),
        }
    }

    fn with_fault(&self, what: &str, answer: Answer) -> Answer {
        let mut faults = self.faults.lock().unwrap();
        let Some(planned) = faults.iter_mut().find(|planned| planned.what == what && planned.times > 0) else {
            return answer;
        };
        planned.times -= 1;
        match planned.fault.clone() {
            Faulty::Status(status, after) => {
                let answer = Answer::new(status, r#"{"errors":[{"code":"TROUBLE","message":"planned"}]}"#);
                match after {
                    Some(seconds) => answer.header("Retry-After", seconds.to_string()),
                    None => answer,
                }
            }
            fault => Answer { fault: Some(fault), ..answer },
        }
    }

    /// `None` if the request may pass.
    fn refusal(&self, request: &Request, repository: &str) -> Option<Answer> {
        let shown = request.header("authorization").unwrap_or("");
        let refused = |challenge: String| {
            let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
            Some(Answer::new(401, body).header("WWW-Authenticate", challenge))
        };
        match &self.options.auth {
            Auth::Open => None,
            Auth::Basic(user, password) if shown == basic(user, password) => None,
            Auth::Basic(..) => refused("Basic realm=\"the \\\"test\\\" registry\"".to_owned()),
            Auth::Token(_) => {
                let scope = format!("repository:{repository}:pull");
                let mut tokens = self.tokens.lock().unwrap();
                if let Some((granted, uses)) = shown.strip_prefix("Bearer ").and_then(|token| tokens.get_mut(token))
                    && *granted == scope
                    && *uses > 0
                {
                    *uses -= 1;
                    return None;
                }
                let realm = self.token_url.lock().unwrap();
                refused(format!("Bearer realm=\"{realm}\",service=\"test\",scope=\"{scope}\""))
            }
        }
    }

    fn token(&self, request: &Request) -> Answer {
        self.requests.lock().unwrap().push(request.clone());
        let Auth::Token(server) = &self.options.auth else { return Answer::new(404, "") };
        let denied = || Answer::new(401, r#"{"details":"incorrect username or password"}"#);
        let post = request.method == "POST";
        if let Some(identity) = server.identity
            && (!post || request.form("refresh_token").as_deref() != Some(identity))
        {
            return denied();
        }
        if let Some((user, password)) = server.user
            && request.header("authorization") != Some(basic(user, password).as_str())
        {
            return denied();
        }
        let (service, scope) = match post {
            true => (request.form("service"), request.form("scope")),
            false => (request.query("service").pop(), request.query("scope").pop()),
        };
        if service.as_deref() != Some("test") {
            return Answer::new(400, "");
        }
        let mut tokens = self.tokens.lock().unwrap();
        let token = format!("token-{}", tokens.len());
        tokens.insert(token.clone(), (scope.unwrap_or_default(), server.uses));
        let mut body = serde_json::json!({ server.field: token });
        if let Some(seconds) = server.expires_in {
            body["expires_in"] = seconds.into();
        }
        Answer::new(200, body.to_string())
    }
}

/// `/v2/<repository>/<kind>/<what>`.
fn route(path: &str) -> Option<(String, String, String)> {
    let mut parts = path.strip_prefix("/v2/")?.rsplitn(3, '/');
    let (what, kind, repository) = (parts.next()?, parts.next()?, parts.next()?);
    Some((repository.to_owned(), kind.to_owned(), what.to_owned()))
}

fn unknown(code: &str) -> Answer {
    Answer::new(404, serde_json::json!({ "errors": [{ "code": code, "message": "unknown" }] }).to_string())
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}
