//! The resolver as reqwest wants it.

use super::Resolver;
use crate::base::Result;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer is used again: long enough for the layers of one image, shorter than any laptop's change of network.
const KEEP: Duration = Duration::from_secs(30);
/// How many names are remembered.
const MAX_KEPT: usize = 64;

/// A [`Resolver`] behind reqwest's trait. Look-ups run on tokio's blocking threads; errors are [`crate::base::Error`]s and
/// travel inside reqwest's.
#[derive(Debug, Clone)]
pub struct ForReqwest {
    resolver: Arc<Resolver>,
    kept: Arc<Mutex<HashMap<String, Kept>>>,
}

#[derive(Debug)]
struct Kept {
    at: Instant,
    addresses: Vec<IpAddr>,
}

impl ForReqwest {
    /// Wraps `resolver`.
    pub fn new(resolver: Resolver) -> Self {
        Self { resolver: Arc::new(resolver), kept: Arc::default() }
    }

    fn remembered(&self, name: &str) -> Option<Vec<IpAddr>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(name).filter(|kept| kept.at.elapsed() < KEEP).map(|kept| kept.addresses.clone())
    }

    fn lookup(&self, name: &str) -> Result<Vec<IpAddr>> {
        if let Some(addresses) = self.remembered(name) {
            return Ok(addresses);
        }
        let addresses = self.resolver.lookup(name)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(name.to_owned(), Kept { at: Instant::now(), addresses: addresses.clone() });
        Ok(addresses)
    }
}

impl Resolve for ForReqwest {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || this.lookup(name.as_str())).await??;
            // Port 0 stands for the URL's port.
            Ok(Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs)
        })
    }
}
