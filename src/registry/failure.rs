//! What went wrong with a request, in the user's words, and whether it is worth another try.

use crate::base::{Error, Kind};
use nix::errno::Errno;
use std::error::Error as StdError;
use std::time::Duration;

/// Whether to send a request again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// It would fail again.
    Never,
    /// It may work later; the server may have said when.
    Later(Option<Duration>),
}

/// A failed request.
#[derive(Debug)]
pub(super) struct Failure {
    /// For the user.
    pub(super) error: Error,
    /// For the retry loop.
    pub(super) retry: Retry,
    /// No connection stood, so nothing was sent: another scheme may be tried.
    pub(super) connecting: bool,
}

impl Failure {
    /// A failure that another try would not help.
    pub(super) fn fatal(error: Error) -> Self {
        Self { error, retry: Retry::Never, connecting: false }
    }

    /// A failure that may go away.
    pub(super) fn passing(error: Error) -> Self {
        Self { retry: Retry::Later(None), ..Self::fatal(error) }
    }

    /// Adds a step to the error.
    pub(super) fn step(self, text: impl Into<String>) -> Self {
        Self { error: self.error.step(text), ..self }
    }

    /// A request that got no answer, or an answer whose body broke. `peer` is `host:port`.
    pub(super) fn of_request(error: &reqwest::Error, peer: &str) -> Self {
        let connecting = error.is_connect();
        let step = if connecting { format!("connect to `{peer}`") } else { format!("talk to `{peer}`") };
        let timeout = error.is_timeout();
        for cause in Causes(Some(error)) {
            if let Some(own) = cause.downcast_ref::<Error>() {
                // A name that does not exist stays so; a server that did not answer may be back.
                let retry = if own.kind() == Kind::NotFound { Retry::Never } else { Retry::Later(None) };
                return Self { retry, connecting, ..Self::fatal(own.clone().with_kind(Kind::Remote)) };
            }
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                return Self { connecting, ..Self::of_tls(tls, peer) };
            }
            let os = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
            if let Some(errno) = os {
                return Self { connecting, ..Self::passing(of_errno(errno).step(step)) };
            }
        }
        let text = if timeout { "no answer in time".to_owned() } else { innermost(error) };
        // What cannot even be built does not get better.
        let retry = if error.is_builder() { Retry::Never } else { Retry::Later(None) };
        Self { retry, connecting, ..Self::fatal(Error::remote(text).step(step)) }
    }

    fn of_tls(error: &rustls::Error, peer: &str) -> Self {
        use rustls::CertificateError as Bad;
        let trust = "put the certificate of its authority into a `certs.d` folder (see --cert-dir), \
                     or give --tls-verify=false if you trust the network";
        let (text, hint) = match error {
            rustls::Error::InvalidCertificate(bad) => match bad {
                Bad::UnknownIssuer => ("it is signed by an unknown authority".to_owned(), Some(trust)),
                Bad::Expired | Bad::ExpiredContext { .. } => {
                    ("it has expired".to_owned(), Some("check this machine's clock too"))
                }
                Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                    ("it is not valid yet".to_owned(), Some("check this machine's clock"))
                }
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                    ("it is for another name".to_owned(), None)
                }
                other => (clip(&other.to_string(), 200), None),
            },
            rustls::Error::InvalidMessage(_) => {
                let e = Error::remote("it does not speak TLS").step(format!("connect to `{peer}`"));
                let hint = "for a registry without TLS on a network you trust, give --tls-verify=false";
                return Self::fatal(e.hint(hint));
            }
            rustls::Error::AlertReceived(alert) => {
                let e = Error::remote(format!("it ended the TLS handshake with `{alert:?}`"));
                return Self::fatal(e.step(format!("connect to `{peer}`")));
            }
            other => {
                let e = Error::remote(clip(&other.to_string(), 200)).step(format!("talk to `{peer}`"));
                // A damaged record is the line's fault; whatever else TLS refuses, it refuses again.
                let damaged = matches!(other, rustls::Error::DecryptError);
                return if damaged { Self::passing(e) } else { Self::fatal(e) };
            }
        };
        let e = Error::remote(text).step(format!("verify the certificate of `{peer}`"));
        Self::fatal(match hint {
            Some(hint) => e.hint(hint),
            None => e,
        })
    }
}

/// A refusal of the operating system on the way to a registry: the kind is the network's, not the disk's.
fn of_errno(errno: i32) -> Error {
    let e = Error::os(errno).with_kind(Kind::Remote);
    match Errno::from_raw(errno) {
        Errno::ECONNREFUSED => e.hint("nothing listens at this address and port"),
        Errno::ENETUNREACH => e.hint("this machine has no route there"),
        _ => e,
    }
}

/// An error and its causes, also those that hide inside an `io::Error`.
struct Causes<'a>(Option<&'a (dyn StdError + 'static)>);

impl<'a> Iterator for Causes<'a> {
    type Item = &'a (dyn StdError + 'static);

    fn next(&mut self) -> Option<Self::Item> {
        let current = self.0?;
        // `io::Error::source` skips the error it wraps.
        let wrapped = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        self.0 = match wrapped {
            Some(inner) => Some(inner),
            None => current.source(),
        };
        Some(current)
    }
}

fn innermost(error: &reqwest::Error) -> String {
    let last = Causes(Some(error)).last().map(ToString::to_string).unwrap_or_default();
    clip(&last, 200)
}

/// The first `limit` characters.
pub(super) fn clip(text: &str, limit: usize) -> String {
    let mut chars = text.chars();
    let mut short: String = chars.by_ref().take(limit).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

/// The status codes that another try may change: timeouts, "too many requests", and a server or gateway in trouble.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// The registry's own words (distribution spec, "Error codes"): `CODE: message` of the first error of a JSON body.
pub(super) fn registry_words(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Body {
        #[serde(default)]
        errors: Vec<Item>,
        // The token servers of Docker Hub and GitLab use this form.
        #[serde(default)]
        details: Option<String>,
    }
    #[derive(serde::Deserialize)]
    struct Item {
        #[serde(default)]
        code: Option<String>,
        #[serde(default)]
        message: Option<String>,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    let words = match body.errors.into_iter().next() {
        Some(Item { code, message }) => {
            [code, message].into_iter().flatten().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(": ")
        }
        None => body.details.unwrap_or_default(),
    };
    if words.is_empty() { None } else { Some(clip(&words, 300)) }
}

/// `Retry-After` in seconds; its date form is not worth a parser, the usual back-off does.
pub(super) fn retry_after(value: Option<&str>) -> Option<Duration> {
    value?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_registrys_words_are_found_and_bounded() {
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"x"}}]}"#;
        assert_eq!(registry_words(body).unwrap(), "MANIFEST_UNKNOWN: manifest unknown");
        assert_eq!(registry_words(br#"{"errors":[{"code":"DENIED"}]}"#).unwrap(), "DENIED");
        assert_eq!(registry_words(br#"{"details":"incorrect username or password"}"#).unwrap().len(), 30);
        assert_eq!(registry_words(b"<html>"), None);
        assert_eq!(registry_words(br#"{"errors":[]}"#), None);
        let long = format!(r#"{{"errors":[{{"code":"X","message":"{}"}}]}}"#, "é".repeat(1000));
        assert_eq!(registry_words(long.as_bytes()).unwrap().chars().count(), 301);
    }

    #[test]
    fn the_wait_is_read_in_seconds() {
        assert_eq!(retry_after(Some(" 7 ")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(Some("Wed, 21 Oct 2015 07:28:00 GMT")), None);
        assert_eq!(retry_after(Some("-1")), None);
        assert_eq!(retry_after(None), None);
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_panic(body in prop::collection::vec(any::<u8>(), 0..80)) {
            drop(registry_words(&body));
        }
    }
}
