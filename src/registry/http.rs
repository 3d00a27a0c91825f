//! Requests: redirects without leaking credentials, retries with back-off, the choice between https and http.

use super::config::{is_loopback, split_port};
use super::failure::{Failure, Retry};
use super::transport::{Policy, Request, Response, Transport};
use crate::base::units::human_duration;
use crate::base::{Error, Result};
use crate::sys::random;
use reqwest::Url;
use reqwest::header::LOCATION;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Redirects that are followed for one request.
const MAX_REDIRECTS: usize = 10;
/// The longest wait of the back-off.
const MAX_DELAY: Duration = Duration::from_secs(30);
/// A server that asks for a longer wait (`Retry-After`) is not waited for: the user can decide better.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Sends requests for all registries.
#[derive(Debug)]
pub(super) struct Http {
    transport: Arc<Transport>,
    /// The scheme that worked, by registry: for those that may be insecure.
    schemes: Mutex<HashMap<String, &'static str>>,
}

impl Http {
    pub(super) fn new(config: super::Config) -> Result<Self> {
        Ok(Self { transport: Arc::new(Transport::new(config)?), schemes: Mutex::default() })
    }

    pub(super) fn config(&self) -> &super::Config {
        self.transport.config()
    }

    /// What is allowed for requests on behalf of this registry (`host[:port]`).
    pub(super) fn policy(&self, registry: &str) -> Policy {
        let insecure = self.config().may_be_insecure(registry);
        let by_loopback = is_loopback(split_port(registry).0) && self.config().tls_verify.is_none();
        Policy { registry: registry.to_owned(), insecure, everywhere: insecure && !by_loopback }
    }

    /// Sends `request` and follows redirects. Any final status is a success here.
    pub(super) fn follow(&self, policy: &Policy, request: &Request) -> Result<Response, Failure> {
        let mut request = request.clone();
        for hop in 0..=MAX_REDIRECTS {
            // That a server which the registry redirects to cannot be reached says nothing about the registry's scheme.
            let first_hop = |failure: Failure| Failure { connecting: failure.connecting && hop == 0, ..failure };
            let response = self.transport.send(policy, &request).map_err(first_hop)?;
            let Some(target) = redirect(&response).map_err(Failure::fatal)? else { return Ok(response) };
            if !matches!(target.scheme(), "http" | "https") {
                let e = Error::remote(format!("`{}` redirects to a `{}` URL", response.peer(), target.scheme()));
                return Err(Failure::fatal(e));
            }
            if request.url.scheme() == "https" && target.scheme() == "http" && !policy.is_lenient(&target) {
                let e = Error::remote(format!("`{}` redirects to plain http", response.peer()));
                return Err(Failure::fatal(e));
            }
            if target.origin() != request.url.origin() {
                // Storage servers authenticate by what is in the URL; ours is none of their business.
                request.authorization = None;
            }
            request.url = target;
        }
        let e = Error::remote(format!("more than {MAX_REDIRECTS} redirects"));
        Err(Failure::fatal(e.step(format!("ask `{}`", policy.registry))))
    }

    /// Sends a request to the registry itself at `host`, made from its base URL by `make`: over https, and for a registry that
    /// may be insecure over http when no TLS connection stands. What worked is remembered.
    pub(super) fn to_registry(
        &self,
        policy: &Policy,
        host: &str,
        make: impl Fn(&Url) -> Result<Request>,
    ) -> Result<Response, Failure> {
        let known = self.schemes.lock().unwrap_or_else(PoisonError::into_inner).get(host).copied();
        let schemes: &[&'static str] = match (known, policy.insecure) {
            (Some("http"), _) => &["http"],
            (None, true) => &["https", "http"],
            _ => &["https"],
        };
        let mut first = None;
        for &scheme in schemes {
            let base = Url::parse(&format!("{scheme}://{host}/"))
                .map_err(|_| Failure::fatal(Error::usage(format!("`{host}` is no host name"))))?;
            let request = make(&base).map_err(Failure::fatal)?;
            match self.follow(policy, &request) {
                Ok(response) => {
                    if known.is_none() {
                        self.schemes.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), scheme);
                    }
                    return Ok(response);
                }
                Err(failure) if failure.connecting => drop(first.get_or_insert(failure)),
                Err(failure) => return Err(failure),
            }
        }
        Err(first.unwrap_or_else(|| Failure::fatal(Error::remote("no scheme is allowed"))))
    }

    /// Runs `attempt` until it succeeds, fails for good, or has failed `retries` times more than allowed.
    pub(super) fn retrying<T>(&self, mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T> {
        let mut failed = 0;
        loop {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(failure) => self.pause(failure, &mut failed)?,
            }
        }
    }

    /// Waits before the next try, or gives the failure's error back if there is to be none. Counts in `failed`.
    pub(super) fn pause(&self, failure: Failure, failed: &mut u32) -> Result<()> {
        let Retry::Later(asked) = failure.retry else { return Err(failure.error) };
        if let Some(asked) = asked.filter(|asked| *asked > MAX_RETRY_AFTER) {
            return Err(failure.error.hint(format!("the server asks to wait for {}", human_duration(asked))));
        }
        if *failed >= self.config().retries {
            return Err(match *failed {
                0 => failure.error,
                n => failure.error.hint(format!("tried {} times", n + 1)),
            });
        }
        let doubled = if self.config().retry_evenly { None } else { Some(*failed) };
        let wait = delay(self.config().retry_delay, doubled, asked, random::number()?);
        self.config().notes.note(|| format!("trying again in {:.1} s: {}", wait.as_secs_f64(), failure.error));
        std::thread::sleep(wait);
        *failed += 1;
        Ok(())
    }
}

/// Where an answer redirects to.
fn redirect(response: &Response) -> Result<Option<Url>> {
    if !matches!(response.status(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let bad = || Error::remote(format!("`{}` redirects to nowhere", response.peer()));
    let location = response.header(LOCATION.as_str()).ok_or_else(bad)?;
    response.url().join(location).map(Some).map_err(|_| bad())
}

/// The wait before a retry: `first`, `doubled` so often and shortened by up to a half at random so that many clients do not
/// come back at once; or `first` itself, when it is not to be doubled; or what the server asked for, lengthened a little for
/// the same reason.
fn delay(first: Duration, doubled: Option<u32>, asked: Option<Duration>, random: u64) -> Duration {
    let share = (random % 1000) as f64 / 1000.0;
    match (asked, doubled) {
        (Some(asked), _) => asked + first.min(MAX_DELAY).mul_f64(share / 4.0),
        (None, Some(times)) => first.saturating_mul(1 << times.min(10)).min(MAX_DELAY).mul_f64(0.5 + share / 2.0),
        (None, None) => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_never_vanish() {
        let first = Duration::from_millis(100);
        for (failed, low, high) in [(0, 50, 100), (1, 100, 200), (3, 400, 800), (30, 15_000, 30_000)] {
            for random in [0, 500, 999] {
                let wait = delay(first, Some(failed), None, random).as_millis();
                assert!((low..=high).contains(&wait), "{failed}: {wait}");
            }
        }
        let minute = Duration::from_secs(60);
        assert_eq!(delay(minute, None, None, 500), minute, "what was asked for is meant");
    }

    #[test]
    fn a_servers_wish_is_honoured() {
        let first = Duration::from_secs(1);
        let wait = |asked| delay(first, Some(0), Some(Duration::from_secs(asked)), 999);
        assert!(wait(7) >= Duration::from_secs(7) && wait(7) < Duration::from_secs(8));
    }
}
