//! Connections: one HTTP client per way to connect (plain or TLS with whose certificates, through which proxy), made when it
//! is first needed and kept, so that connections are used again.
//!
//! HTTP/1.1 only: layers then have a connection each, so that one slow reader never holds up another, and a client of
//! HTTP/2 would buffer megabytes per stream.

use super::config::{Config, is_loopback};
use super::failure::Failure;
use super::tls::{self, Extra};
use crate::base::{Doing, Error, Kind, Result};
use crate::resolver::ForReqwest;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Whose certificates and which leniency apply: those of the registry that a request is made for, also when it goes on to a
/// token or storage server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Policy {
    /// The registry as `host[:port]`.
    pub(super) registry: String,
    /// Unverified TLS and plain http are allowed for the registry itself.
    pub(super) insecure: bool,
    /// The user has allowed that, so it holds for whatever servers the registry names as well. Otherwise it came from the
    /// registry's being on loopback, and holds for loopback only.
    pub(super) everywhere: bool,
}

impl Policy {
    /// True if unverified TLS and plain http are allowed for `url`.
    pub(super) fn is_lenient(&self, url: &Url) -> bool {
        self.insecure && (self.everywhere || is_loopback(url.host_str().unwrap_or("")))
    }
}

/// One request, without what belongs to the connection. Not `Debug`: its body may be a secret.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// Sent to the URL's own host, port and scheme only, never to where a redirect leads.
    pub(super) authorization: Option<HeaderValue>,
    /// A form, for POST.
    pub(super) body: Option<String>,
}

impl Request {
    /// A GET without further headers.
    pub(super) fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), authorization: None, body: None }
    }
}

/// What tells one HTTP client from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Way {
    /// `None` for plain http.
    tls: Option<Trust>,
    proxy: Option<String>,
}

/// How a TLS connection is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Trust {
    /// Whose certificates count.
    registry: String,
    verify: bool,
    /// The client certificate is offered.
    identity: bool,
}

/// Makes connections and runs them.
#[derive(Debug)]
pub(super) struct Transport {
    config: Config,
    resolver: ForReqwest,
    clients: Mutex<HashMap<Way, reqwest::Client>>,
    extras: Mutex<HashMap<String, Arc<Extra>>>,
    /// Taken only when dropped.
    runtime: Option<Runtime>,
}

impl Drop for Transport {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A name look-up that still waits for its server must not hold up the exit.
            runtime.shutdown_background();
        }
    }
}

impl Transport {
    pub(super) fn new(config: Config) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(8)
            .thread_name("runr-http")
            .enable_io()
            .enable_time()
            .build()
            .doing(|| "start threads for HTTP")?;
        Ok(Self {
            resolver: ForReqwest::new(config.resolver.clone()),
            config,
            clients: Mutex::default(),
            extras: Mutex::default(),
            runtime: Some(runtime),
        })
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Sends `request` once, follows nothing, and returns as soon as the answer's head is here.
    pub(super) fn send(self: &Arc<Self>, policy: &Policy, request: &Request) -> Result<Response, Failure> {
        let client = self.client(policy, &request.url).map_err(Failure::fatal)?;
        let mut builder = client.request(request.method.clone(), request.url.clone()).headers(request.headers.clone());
        if let Some(value) = &request.authorization {
            builder = builder.header(AUTHORIZATION, value.clone());
        }
        if let Some(body) = &request.body {
            builder =
                builder.header("content-type", "application/x-www-form-urlencoded").body(body.clone().into_bytes());
        }
        let peer = peer(&request.url);
        let limit = self.config.answer_timeout;
        let answer = self.wait(limit, builder.send()).map_err(|e| e.into_failure(&peer))?;
        Ok(Response { inner: answer, transport: self.clone(), peer })
    }

    /// Runs a future on the runtime until it is done or `limit` has passed.
    fn wait<T>(&self, limit: Duration, future: impl Future<Output = reqwest::Result<T>>) -> Result<T, Waiting> {
        let Some(runtime) = &self.runtime else { return Err(Waiting::Stopped) };
        // The timer must be made inside the runtime.
        match runtime.block_on(async { tokio::time::timeout(limit, future).await }) {
            Ok(result) => result.map_err(Waiting::Failed),
            Err(_) => Err(Waiting::TooLong(limit)),
        }
    }

    fn client(&self, policy: &Policy, url: &Url) -> Result<reqwest::Client> {
        let tls = (url.scheme() == "https").then(|| {
            // The client certificate is for the registry itself, not for storage or token servers.
            let host = url.host_str().unwrap_or("");
            let own = super::config::split_port(&policy.registry).0;
            let identity = host == own || host.ends_with(".docker.io") && own == "docker.io";
            Trust { registry: policy.registry.clone(), verify: !policy.is_lenient(url), identity }
        });
        let way = Way { tls, proxy: self.config.proxies.for_url(url) };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&way) {
            return Ok(client.clone());
        }
        let client = self.build(&way)?;
        clients.insert(way, client.clone());
        Ok(client)
    }

    fn build(&self, way: &Way) -> Result<reqwest::Client> {
        let tls = match &way.tls {
            // No root is loaded for plain http; reqwest wants a configuration all the same.
            None => tls::unverifying(&Extra::default(), false)?,
            Some(trust) => {
                let extra = self.extra(&trust.registry)?;
                match trust.verify {
                    true => tls::verifying(&self.config, &extra, trust.identity)?,
                    false => tls::unverifying(&extra, trust.identity)?,
                }
            }
        };
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(self.resolver.clone())
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            .no_proxy()
            .connect_timeout(self.config.connect_timeout)
            .pool_idle_timeout(Duration::from_secs(60))
            .tcp_keepalive(Duration::from_secs(30))
            .user_agent(&self.config.user_agent);
        if let Some(proxy) = &way.proxy {
            let shown = proxy.rsplit('@').next().unwrap_or("");
            let proxy =
                reqwest::Proxy::all(proxy).map_err(|_| Error::usage(format!("`{shown}` is no URL of a proxy")))?;
            builder = builder.proxy(proxy);
        }
        builder.build().map_err(|e| Error::new(Kind::Bug, format!("set up HTTP: {}", e.without_url())))
    }

    fn extra(&self, registry: &str) -> Result<Arc<Extra>> {
        let mut extras = self.extras.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(extra) = extras.get(registry) {
            return Ok(extra.clone());
        }
        let names: &[&str] = if registry == "docker.io" { &["docker.io", "registry-1.docker.io"] } else { &[registry] };
        let extra = Arc::new(Extra::load(&self.config, names)?);
        extras.insert(registry.to_owned(), extra.clone());
        Ok(extra)
    }
}

enum Waiting {
    Failed(reqwest::Error),
    TooLong(Duration),
    Stopped,
}

impl Waiting {
    fn into_failure(self, peer: &str) -> Failure {
        match self {
            Self::Failed(e) => Failure::of_request(&e, peer),
            Self::TooLong(limit) => {
                let text = format!("nothing came for {} s", limit.as_secs_f64());
                Failure::passing(Error::remote(text).step(format!("talk to `{peer}`")))
            }
            Self::Stopped => Failure::fatal(Error::new(Kind::Bug, "the HTTP threads have ended")),
        }
    }
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub(super) struct Response {
    inner: reqwest::Response,
    transport: Arc<Transport>,
    peer: String,
}

impl Response {
    pub(super) fn status(&self) -> u16 {
        self.inner.status().as_u16()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    pub(super) fn url(&self) -> &Url {
        self.inner.url()
    }

    /// `host:port` it came from.
    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    /// A header's value, if it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// The body's length if the server has said so.
    pub(super) fn length(&self) -> Option<u64> {
        self.inner.content_length()
    }

    /// The next piece of the body, `None` at its end.
    pub(super) fn chunk(&mut self) -> Result<Option<bytes::Bytes>, Failure> {
        let limit = self.transport.config.stall_timeout;
        self.transport.wait(limit, self.inner.chunk()).map_err(|e| e.into_failure(&self.peer))
    }

    /// The whole body, at most `limit` bytes of it.
    pub(super) fn body(mut self, limit: u64) -> Result<Vec<u8>, Failure> {
        let text = format!("the answer of `{}` is longer than {limit} bytes", self.peer);
        let too_long = || Failure::fatal(Error::corrupt(text.clone()));
        if self.length().is_some_and(|length| length > limit) {
            return Err(too_long());
        }
        let mut body = Vec::new();
        loop {
            match self.chunk()? {
                Some(chunk) if (body.len() + chunk.len()) as u64 > limit => return Err(too_long()),
                Some(chunk) => body.extend_from_slice(&chunk),
                None => return Ok(body),
            }
        }
    }
}

/// `host[:port]` as a registry's name has it.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or("");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// `host:port`, for messages.
pub(super) fn peer(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or(0);
    format!("{}:{port}", url.host_str().unwrap_or(""))
}

/// True if credentials may be sent to `url`.
pub(super) fn may_carry_secrets(url: &Url, policy: &Policy) -> bool {
    url.scheme() == "https" || policy.is_lenient(url)
}
