//! Bearer tokens (distribution spec's "token" scheme, as Docker Hub, GHCR and Quay do it): a registry names a token server, the
//! token server gives a token for one scope, to anybody or to whoever shows credentials.

use super::challenge::Challenge;
use super::credentials::Credentials;
use super::failure::{Failure, Retry, is_passing, registry_words, retry_after};
use super::http::Http;
use super::transport::{Policy, Request, may_carry_secrets};
use crate::base::{Error, Kind, Result};
use base64::Engine as _;
use reqwest::header::HeaderValue;
use reqwest::{Method, Url};
use std::time::{Duration, Instant};

/// The longest answer of a token server that is read.
const MAX_ANSWER: u64 = 1 << 20;
/// How long a token holds when the server does not say: the spec's own default.
const DEFAULT_LIFE: u64 = 60;
/// Lives longer than this are not believed; asking once a day is cheap.
const MAX_LIFE: u64 = 86_400;

/// An `Authorization` value, and until when it is worth sending.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) value: HeaderValue,
    pub(super) expires: Option<Instant>,
}

impl Grant {
    /// For Basic authentication.
    pub(super) fn basic(username: &str, password: &str) -> Result<Self> {
        let coded = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
        Ok(Self { value: secret(&format!("Basic {coded}"))?, expires: None })
    }

    /// For a bearer token that is known already.
    pub(super) fn bearer(token: &str, life: Option<Duration>) -> Result<Self> {
        let expires = life.and_then(|life| Instant::now().checked_add(life));
        Ok(Self { value: secret(&format!("Bearer {token}"))?, expires })
    }

    /// False when it has expired or is about to.
    pub(super) fn is_fresh(&self) -> bool {
        self.expires.is_none_or(|expires| Instant::now() < expires)
    }
}

/// A header value that no log shows.
fn secret(text: &str) -> Result<HeaderValue> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| Error::remote("the token holds characters that no header can"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Gets a token from the server that `challenge` names, for its scope or else `scope`.
///
/// The life is counted from now, not from `issued_at`: by a clock that is an hour off every token would look expired. A token
/// that the server had in a cache ends earlier than we think; the 401 that follows makes us ask again.
pub(super) fn fetch(
    http: &Http,
    policy: &Policy,
    challenge: &Challenge,
    scope: &str,
    credentials: Option<&Credentials>,
) -> Result<Grant, Failure> {
    let realm = challenge.param("realm").unwrap_or("");
    let named = |e: Error| Failure::fatal(e.step(format!("get a token for `{}`", policy.registry)));
    let url = Url::parse(realm)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| named(Error::remote("the registry names no token server")))?;
    if !may_carry_secrets(&url, policy) {
        return Err(named(Error::remote("the registry names a token server without TLS")));
    }
    let service = challenge.param("service").unwrap_or("");
    let scope = challenge.param("scope").filter(|scope| !scope.is_empty() && scope.len() <= 4096).unwrap_or(scope);
    let request = request(url, service, scope, credentials).map_err(named)?;
    let response = http.follow(policy, &request)?;
    let (status, peer) = (response.status(), response.peer().to_owned());
    let refused = |text: String, kind: Kind| Error::new(kind, text).step(format!("get a token from `{peer}`"));
    if !(200..300).contains(&status) {
        let after = retry_after(response.header("retry-after"));
        let words = response.body(MAX_ANSWER).ok().and_then(|body| registry_words(&body));
        let said = words.map_or_else(|| format!("status {status}"), |words| format!("status {status}, `{words}`"));
        let passing = is_passing(status);
        let kind = if matches!(status, 400 | 401 | 403) { Kind::Denied } else { Kind::Remote };
        let e = refused(said, kind);
        let e = if kind == Kind::Denied && credentials.is_some() { e.hint("check the credentials") } else { e };
        let retry = if passing { Retry::Later(after) } else { Retry::Never };
        return Err(Failure { retry, ..Failure::fatal(e) });
    }
    let body = response.body(MAX_ANSWER)?;
    read(&body).map_err(|e| Failure::fatal(e.step(format!("get a token from `{peer}`"))))
}

fn request(mut url: Url, service: &str, scope: &str, credentials: Option<&Credentials>) -> Result<Request> {
    if let Some(Credentials::IdentityToken(token)) = credentials {
        // OAuth2 (RFC 6749, 6): the refresh token goes in the body, not in a URL that servers log.
        let body = form(&[
            ("grant_type", "refresh_token"),
            ("service", service),
            ("client_id", "runr"),
            ("scope", scope),
            ("refresh_token", token),
        ]);
        return Ok(Request { method: Method::POST, body: Some(body), ..Request::get(url) });
    }
    {
        let mut query = url.query_pairs_mut();
        if !service.is_empty() {
            query.append_pair("service", service);
        }
        for one in scope.split(' ').filter(|one| !one.is_empty()) {
            query.append_pair("scope", one);
        }
        if let Some(Credentials::Basic { username, .. }) = credentials {
            query.append_pair("account", username);
        }
    }
    let authorization = match credentials {
        Some(Credentials::Basic { username, password }) => Some(Grant::basic(username, password)?.value),
        _ => None,
    };
    Ok(Request { authorization, ..Request::get(url) })
}

/// `application/x-www-form-urlencoded`.
fn form(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(key);
        text.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
                other => text.push_str(&format!("%{other:02X}")),
            }
        }
    }
    text
}

fn read(body: &[u8]) -> Result<Grant> {
    #[derive(serde::Deserialize)]
    struct Answer {
        #[serde(default)]
        token: Option<String>,
        #[serde(default)]
        access_token: Option<String>,
        #[serde(default)]
        expires_in: Option<serde_json::Number>,
    }
    let answer: Answer = serde_json::from_slice(body)?;
    let token = answer.token.filter(|token| !token.is_empty()).or(answer.access_token);
    let token = token.filter(|token| !token.is_empty()).ok_or_else(|| Error::remote("the answer holds no token"))?;
    let life = answer.expires_in.and_then(|n| n.as_f64()).filter(|n| *n >= 1.0).map_or(DEFAULT_LIFE, |n| n as u64);
    let life = Duration::from_secs(life.min(MAX_LIFE));
    // A tenth less: the request that carries it needs time as well.
    Grant::bearer(&token, Some(life.mul_f64(0.9)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_field_names_and_the_life_are_read() {
        for (body, value) in [
            (r#"{"token":"a","access_token":"b","expires_in":300}"#, "Bearer a"),
            (r#"{"access_token":"b"}"#, "Bearer b"),
            (r#"{"token":"","access_token":"b","expires_in":null}"#, "Bearer b"),
            (r#"{"token":"c","expires_in":-5,"issued_at":"nonsense"}"#, "Bearer c"),
            (r#"{"token":"d","expires_in":1e300}"#, "Bearer d"),
        ] {
            let grant = read(body.as_bytes()).unwrap();
            assert_eq!(grant.value.to_str().unwrap(), value);
            assert!(grant.is_fresh() && grant.value.is_sensitive());
        }
        for body in [r#"{}"#, r#"{"token":""}"#, r#"{"token":"a\nb"}"#, "x", r#"{"token":{}}"#] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn the_question_carries_scope_and_credentials_where_they_belong() {
        let url = || Url::parse("https://auth.example/token?x=1").unwrap();
        let basic = Credentials::from_option("u:p").unwrap();
        let asked = request(url(), "reg", "repository:a:pull repository:b:pull", Some(&basic)).unwrap();
        assert_eq!(
            asked.url.query().unwrap(),
            "x=1&service=reg&scope=repository%3Aa%3Apull&scope=repository%3Ab%3Apull&account=u"
        );
        assert_eq!(asked.authorization.unwrap().to_str().unwrap(), "Basic dTpw");
        let token = Credentials::IdentityToken("r&t".into());
        let asked = request(url(), "reg", "s p", Some(&token)).unwrap();
        assert_eq!(asked.method, Method::POST);
        assert_eq!(
            asked.body.unwrap(),
            "grant_type=refresh_token&service=reg&client_id=runr&scope=s%20p&refresh_token=r%26t"
        );
        assert_eq!((asked.url.as_str(), asked.authorization), ("https://auth.example/token?x=1", None));
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_panic(body in "\\PC{0,60}") {
            drop(read(body.as_bytes()));
        }
    }
}
