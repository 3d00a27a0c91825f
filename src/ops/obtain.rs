//! The image for a word on the command line: from the store, or pulled first.

use super::pull::{self, Policy, PullOptions, Pulled};
use crate::archive;
use crate::base::progress::Progress;
use crate::base::{Kind, Result};
use crate::image::transport::parse_transport;
use crate::image::{ImageSource, Reference, Transport};
use crate::registry::{Client, Config};
use crate::store::{Image, Store};
use std::path::Path;

/// How to get an image that is not there.
#[derive(Debug, Clone)]
pub struct Obtain {
    /// When to ask the source.
    pub policy: Policy,
    /// How to talk to registries.
    pub registry: Config,
    /// How to pull.
    pub options: PullOptions,
}

/// What a transport points to, and the name the image gets in the store.
pub fn open_source(
    transport: &Transport,
    registry: &Config,
    scratch: &Path,
) -> Result<(Box<dyn ImageSource>, Option<Reference>)> {
    if let Transport::Registry(reference) = transport {
        let source = Client::new(registry.clone())?.source(reference);
        return Ok((Box::new(source), Some(reference.clone())));
    }
    let opened = archive::open(transport, scratch)?;
    let name = opened.names.into_iter().next();
    Ok((opened.source, name))
}

/// Pulls what `text` says into the store, in this process.
pub fn pull(store: &Store, text: &str, how: &Obtain, progress: &dyn Progress) -> Result<Pulled> {
    let transport = parse_transport(text)?;
    let (source, name) = open_source(&transport, &how.registry, &store.paths().tmp())?;
    pull::pull(store, source.as_ref(), name.as_ref(), &how.options, progress)
}

/// The image that `text` names, pulled if the policy asks for it. The pull happens in a child process: it needs threads,
/// and this process is about to fork a monitor, which must have none.
pub fn image(store: &Store, text: &str, how: &Obtain, progress: &dyn Progress) -> Result<Image> {
    if let Some(entry) = pull::resolve(store, text, how.policy)? {
        return store.load_image(&entry);
    }
    let pulled: Result<String> =
        crate::sys::process::in_child(|| pull(store, text, how, progress).map(|pulled| pulled.id.to_string()));
    match pulled {
        Ok(id) => store.load_image(&store.find_image(&id)?),
        Err(e) if how.policy == Policy::Newer && e.kind() == Kind::Remote => {
            store.load_image(&store.find_image(text).map_err(|_| e)?)
        }
        Err(e) => Err(e),
    }
}
