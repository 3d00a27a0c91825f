//! Images of registries: the module's surface.

use super::blob::BlobReader;
use super::config::Config;
use super::failure::Failure;
use super::http::Http;
use super::session::Session;
use super::transport::Response;
use crate::base::{Doing, Error, Result};
use crate::image::manifest::{ACCEPTED_MANIFESTS, Descriptor, MAX_MANIFEST_BYTES};
use crate::image::source::RawManifest;
use crate::image::{Digest, Hasher, ImageSource, Reference};
use reqwest::Url;
use reqwest::header::{ACCEPT, HeaderName, LINK};
use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

/// The largest page of tags; registries that do not page send all of them in one.
const MAX_TAGS_PAGE: u64 = 32 << 20;
/// Pages and tags of one repository that are read.
const MAX_PAGES: usize = 1000;
const MAX_TAGS: usize = 200_000;

/// Talks to registries. Cheap to clone, used from any thread; holds connections and tokens until the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Client {
    http: Arc<Http>,
    sessions: Arc<Mutex<HashMap<String, Arc<Session>>>>,
}

impl Client {
    /// Starts the threads for HTTP; contacts nobody, reads no file. Whoever still wants to fork does so before.
    pub fn new(config: Config) -> Result<Self> {
        Ok(Self { http: Arc::new(Http::new(config)?), sessions: Arc::default() })
    }

    /// The settings it was made with.
    pub fn config(&self) -> &Config {
        self.http.config()
    }

    /// The image that `reference` names. Contacts nobody yet.
    pub fn source(&self, reference: &Reference) -> RegistrySource {
        RegistrySource { session: self.session(reference), reference: reference.clone() }
    }

    /// All tags of the repository, in the registry's order. At most 200,000.
    pub fn tags(&self, reference: &Reference) -> Result<Vec<String>> {
        #[derive(serde::Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let session = self.session(reference);
        let mut path = "tags/list?n=1000".to_owned();
        let mut tags = Vec::new();
        for _ in 0..MAX_PAGES {
            let (body, next) = self.http.retrying(|| {
                let response = session.get(&path, &[])?;
                let next = next_page(&response);
                Ok((response.body(MAX_TAGS_PAGE)?, next))
            })?;
            let page: Page = serde_json::from_slice(&body)?;
            tags.extend(page.tags.unwrap_or_default());
            if tags.len() > MAX_TAGS {
                return Err(Error::remote(format!("the registry lists more than {MAX_TAGS} tags")));
            }
            match next {
                // A page that leads to itself would never end.
                Some(query) if !path.ends_with(&query) => path = format!("tags/list?{query}"),
                _ => return Ok(tags),
            }
        }
        Err(Error::remote(format!("the list of tags has more than {MAX_PAGES} pages")))
    }

    fn session(&self, reference: &Reference) -> Arc<Session> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Session::new(self.http.clone(), reference));
        sessions.entry(reference.name()).or_insert_with(new).clone()
    }
}

/// The query of `Link: <…?query>; rel="next"`. Only the query is taken: the next page is at the same place as this one.
fn next_page(response: &Response) -> Option<String> {
    let link = response.header(LINK.as_str())?;
    let (url, params) = link.trim().strip_prefix('<')?.split_once('>')?;
    let next = params.split(';').any(|param| param.trim().trim_end_matches(',').replace('"', "") == "rel=next");
    let url: Url = response.url().join(url).ok()?;
    url.query().filter(|_| next).map(str::to_owned)
}

/// One image of a registry.
#[derive(Debug, Clone)]
pub struct RegistrySource {
    session: Arc<Session>,
    reference: Reference,
}

impl RegistrySource {
    /// The name it was made for.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Opens a blob at `offset`; the first request is made at once.
    pub fn blob_reader(&self, descriptor: &Descriptor, offset: u64) -> Result<BlobReader> {
        BlobReader::open(self.session.clone(), descriptor, offset)
    }

    fn fetch(&self, selector: &str, expected: Option<&Digest>) -> Result<RawManifest> {
        let path = format!("manifests/{selector}");
        let accept: [(HeaderName, &str); 1] = [(ACCEPT, &ACCEPTED_MANIFESTS.join(", "))];
        self.session.http().retrying(|| {
            let response = self.session.get(&path, &accept)?;
            read_manifest(response, expected)
        })
    }
}

/// Reads and verifies a manifest's body.
fn read_manifest(response: Response, expected: Option<&Digest>) -> Result<RawManifest, Failure> {
    let header = response.header("content-type").unwrap_or("");
    let media_type = header.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let named = response.header("docker-content-digest").and_then(|digest| digest.parse::<Digest>().ok());
    let peer = response.peer().to_owned();
    if media_type == "text/html" {
        let e = Error::remote(format!("`{peer}` answers with a web page"));
        return Err(Failure::fatal(e.hint("this is no container registry, or a log-in page is in between")));
    }
    if media_type.starts_with("application/vnd.docker.distribution.manifest.v1+") {
        let e = Error::unsupported("the image has a schema 1 manifest, a format that docker and runr no longer read");
        return Err(Failure::fatal(e.hint("ask the image's publisher to push it again with a current tool")));
    }
    let bytes = response.body(MAX_MANIFEST_BYTES)?;
    // For a tag the registry's word is all there is, but it must at least agree with itself.
    let wanted = expected.or(named.as_ref());
    let digest = match wanted {
        Some(wanted) => digest_of(&bytes, wanted),
        None => Digest::of(&bytes),
    };
    match wanted {
        Some(wanted) if *wanted != digest => {
            let text = format!("`{peer}` served `{digest}` instead of `{wanted}` ({} bytes)", bytes.len());
            Err(Failure::fatal(Error::corrupt(text)))
        }
        _ => Ok(RawManifest { bytes, media_type, digest }),
    }
}

/// The digest of `bytes` by the algorithm of `like`.
fn digest_of(bytes: &[u8], like: &Digest) -> Digest {
    let mut hasher = Hasher::new(like.algorithm());
    hasher.update(bytes);
    hasher.finish()
}

impl ImageSource for RegistrySource {
    fn root_manifest(&self) -> Result<RawManifest> {
        self.fetch(&self.reference.manifest_selector(), self.reference.digest())
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<RawManifest> {
        let step = || format!("manifest `{}`", descriptor.digest);
        if descriptor.size > MAX_MANIFEST_BYTES {
            let text = format!("it has {} bytes; the limit is {MAX_MANIFEST_BYTES}", descriptor.size);
            return Err(Error::corrupt(text).step(step()));
        }
        let raw = self.fetch(&descriptor.digest.to_string(), Some(&descriptor.digest)).doing(step)?;
        if raw.bytes.len() as u64 != descriptor.size {
            let text = format!("it has {} bytes; the index says {}", raw.bytes.len(), descriptor.size);
            return Err(Error::corrupt(text).step(step()));
        }
        Ok(raw)
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.blob_reader(descriptor, offset)?))
    }
}
