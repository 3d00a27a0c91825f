//! The distribution protocol (OCI distribution spec 1.1, Docker registry HTTP API V2): manifests, blobs and tags of remote
//! registries, with what stands between: authentication, TLS, proxies, redirects, retries.
//!
//! ```text
//! client       images as `ImageSource`, tags         blob   a reader that survives broken connections
//!   session    one repository: requests with authorization, answers to errors
//!     token, challenge, credentials                  who we are and how we prove it
//!     http     one request: redirects, retries       failure   what went wrong, and whether to try again
//!       transport    connections: tls, proxy, DNS    config    all settings, as plain data
//! ```
//! The surface is synchronous: callers are plain threads, one per layer. Inside runs a private tokio runtime with two
//! threads, because that is what the HTTP library needs; no future crosses this module's border.
//!
//! Everything a registry sends is hostile: answers are bounded, credentials go to the registry and the token server it
//! names and nowhere else, and no byte is believed before its digest was compared (manifests here, blobs by the caller).

mod blob;
mod challenge;
mod client;
pub mod config;
pub mod credentials;
mod failure;
mod http;
pub mod proxy;
mod session;
mod tls;
mod token;
mod transport;

pub use blob::BlobReader;
pub use client::{Client, RegistrySource};
pub use config::Config;
pub use credentials::Credentials;
