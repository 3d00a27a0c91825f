//! Requests for one repository: with authorization, renewed when the registry wants another, and with refusals in words.

use super::challenge::{self, Challenge};
use super::credentials::{self, Credentials, Found};
use super::failure::{Failure, Retry, is_passing, registry_words, retry_after};
use super::http::Http;
use super::token::{self, Grant};
use super::transport::{Policy, Request, Response, may_carry_secrets};
use crate::base::{Error, Kind, Result};
use crate::image::Reference;
use crate::image::reference::DEFAULT_REGISTRY;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Docker Hub's registry is not at its own name.
const HUB_HOST: &str = "registry-1.docker.io";
/// How much of an error's body is read.
const MAX_ERROR_BODY: u64 = 64 << 10;

/// One repository of one registry, used by many threads.
#[derive(Debug)]
pub(super) struct Session {
    http: Arc<Http>,
    policy: Policy,
    host: String,
    repository: String,
    found: OnceLock<Found>,
    auth: Mutex<Auth>,
}

/// How requests are authorized at present.
#[derive(Debug, Default)]
struct Auth {
    grant: Option<Grant>,
    /// What the registry asked for last, to renew a grant before it is refused.
    challenge: Option<Challenge>,
    /// Counts grants, so that threads which were refused together renew once.
    serial: u64,
}

impl Session {
    pub(super) fn new(http: Arc<Http>, reference: &Reference) -> Self {
        let registry = reference.registry();
        Self {
            policy: http.policy(registry),
            host: if registry == DEFAULT_REGISTRY { HUB_HOST } else { registry }.to_owned(),
            repository: reference.repository().to_owned(),
            http,
            found: OnceLock::new(),
            auth: Mutex::default(),
        }
    }

    pub(super) fn http(&self) -> &Arc<Http> {
        &self.http
    }

    /// Sends one GET for what is at `path` below `/v2/<repository>/`, authorized as the registry wants it; a success has a 2xx
    /// status.
    pub(super) fn get(&self, path: &str, headers: &[(HeaderName, &str)]) -> Result<Response, Failure> {
        let headers = header_map(headers).map_err(Failure::fatal)?;
        let (mut serial, mut value) = self.authorization()?;
        for round in 0..2 {
            let make = |base: &Url| {
                let text = format!("{base}v2/{}/{}", self.repository, path);
                let url = Url::parse(&text).map_err(|_| Error::usage(format!("`{text}` is no URL")))?;
                let authorization = value.clone().filter(|_| may_carry_secrets(&url, &self.policy));
                Ok(Request { headers: headers.clone(), authorization, ..Request::get(url) })
            };
            let response = self.http.to_registry(&self.policy, &self.host, make)?;
            match response.status() {
                200..300 => return Ok(response),
                // Only the registry's own challenge counts, not that of a server it redirected to.
                401 if round == 0 && is_at(response.url(), &self.host) => {
                    let challenges = challenge::of_answer(response.headers());
                    match self.authenticate(&challenges, serial)? {
                        Some(renewed) => (serial, value) = renewed,
                        None => return Err(self.refusal(response)),
                    }
                }
                _ => return Err(self.refusal(response)),
            }
        }
        Err(Failure::fatal(Error::new(Kind::Bug, "a request was refused in no round")))
    }

    /// The present authorization, renewed if it is about to expire.
    fn authorization(&self) -> Result<(u64, Option<HeaderValue>), Failure> {
        let mut auth = self.lock();
        if let (Some(grant), Some(challenge)) = (&auth.grant, auth.challenge.clone())
            && !grant.is_fresh()
        {
            let grant = self.fetch(&challenge)?;
            auth.serial += 1;
            auth.grant = Some(grant);
        }
        Ok((auth.serial, auth.grant.as_ref().map(|grant| grant.value.clone())))
    }

    /// Meets one of `challenges`; `serial` is that of the authorization that was refused. `None` if nothing can be shown.
    fn authenticate(
        &self,
        challenges: &[Challenge],
        serial: u64,
    ) -> Result<Option<(u64, Option<HeaderValue>)>, Failure> {
        let mut auth = self.lock();
        if auth.serial != serial {
            // Another thread has renewed it meanwhile.
            return Ok(Some((auth.serial, auth.grant.as_ref().map(|grant| grant.value.clone()))));
        }
        let of_scheme = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        let grant = if let Some(bearer) = of_scheme("bearer") {
            auth.challenge = Some(bearer.clone());
            Some(self.fetch(bearer)?)
        } else if of_scheme("basic").is_some() {
            match self.credentials().map_err(Failure::fatal)? {
                // Refused already: the same once more changes nothing.
                _ if auth.grant.is_some() => None,
                Some(Credentials::Basic { username, password }) => {
                    Some(Grant::basic(username, password).map_err(Failure::fatal)?)
                }
                _ => None,
            }
        } else {
            None
        };
        let Some(grant) = grant else { return Ok(None) };
        auth.serial += 1;
        let value = grant.value.clone();
        auth.grant = Some(grant);
        Ok(Some((auth.serial, Some(value))))
    }

    fn fetch(&self, challenge: &Challenge) -> Result<Grant, Failure> {
        let credentials = self.credentials().map_err(Failure::fatal)?;
        if let Some(Credentials::RegistryToken(token)) = credentials {
            return Grant::bearer(token, None).map_err(Failure::fatal);
        }
        let scope = format!("repository:{}:pull", self.repository);
        token::fetch(&self.http, &self.policy, challenge, &scope, credentials).map_err(|failure| {
            let denied = failure.error.kind() == Kind::Denied;
            let failure = failure.step(format!("log in to `{}`", self.policy.registry));
            if denied { Failure { error: self.with_auth_hints(failure.error), ..failure } } else { failure }
        })
    }

    /// The credentials for this repository, looked up when a registry first asks for any.
    fn credentials(&self) -> Result<Option<&Credentials>> {
        Ok(self.found()?.credentials.as_ref().map(|(credentials, _)| credentials))
    }

    fn found(&self) -> Result<&Found> {
        if let Some(found) = self.found.get() {
            return Ok(found);
        }
        let config = self.http.config();
        let found = match &config.credentials {
            Some(given) => {
                Found { credentials: Some((given.clone(), "the command line".to_owned())), ..Found::default() }
            }
            None => credentials::find(&config.auth_files, &self.policy.registry, &self.repository)?,
        };
        Ok(self.found.get_or_init(|| found))
    }

    fn lock(&self) -> MutexGuard<'_, Auth> {
        self.auth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an answer that is no success into words.
    pub(super) fn refusal(&self, response: Response) -> Failure {
        let status = response.status();
        let reason = reqwest::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("");
        let after = retry_after(response.header("retry-after"));
        let own_answer = response.header("docker-distribution-api-version").is_some();
        let peer = response.peer().to_owned();
        let words = response.body(MAX_ERROR_BODY).ok().and_then(|body| registry_words(&body));
        let said = words.as_ref().map_or_else(|| format!("{status} {reason}"), |words| format!("{status}, `{words}`"));
        let error = match status {
            401 | 403 => {
                let e = Error::new(Kind::Denied, format!("access denied by `{peer}`: {said}"));
                self.with_auth_hints(e)
            }
            404 => {
                let e = Error::not_found(format!("not found: `{peer}` says {said}"));
                match words.is_some() || own_answer {
                    true => e.hint("check the name and the tag"),
                    false => e.hint(format!("`{peer}` does not answer like a container registry")),
                }
            }
            429 => Error::remote(format!("`{peer}` limits requests: {said}"))
                .hint("wait, or log in: registries allow known users more"),
            _ => Error::remote(format!("`{peer}` answers {said}")),
        };
        let retry = if is_passing(status) { Retry::Later(after) } else { Retry::Never };
        Failure { error, retry, connecting: false }
    }

    fn with_auth_hints(&self, mut e: Error) -> Error {
        let registry = &self.policy.registry;
        let Some(found) = self.found.get() else {
            return e.hint("the image does not exist, or this registry refuses whoever asks");
        };
        for problem in &found.problems {
            e = e.hint(format!("credentials may be missing: {problem}"));
        }
        match &found.credentials {
            Some((_, place)) => e.hint(format!(
                "the credentials for `{registry}` came from {place}: they are wrong, do not cover this repository, or it \
                 does not exist"
            )),
            None => e.hint(format!(
                "no credentials for `{registry}` were found: the image does not exist, or it is private and needs a login"
            )),
        }
    }
}

fn header_map(pairs: &[(HeaderName, &str)]) -> Result<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let value = HeaderValue::from_str(value).map_err(|_| Error::usage(format!("`{value}` is no header value")))?;
        map.insert(name.clone(), value);
    }
    Ok(map)
}

/// True if `url` is at `authority` (`host[:port]`).
fn is_at(url: &Url, authority: &str) -> bool {
    Url::parse(&format!("{}://{authority}/", url.scheme())).is_ok_and(|base| base.origin() == url.origin())
}
