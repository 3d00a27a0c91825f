//! The image for a word on the command line: from the store, or pulled first.

use super::layers;
use super::pull::{self, Policy, PullOptions, Pulled};
use crate::archive;
use crate::base::progress::{Event, Progress};
use crate::base::{Error, Kind, Result};
use crate::image::transport::parse_transport;
use crate::image::{ImageSource, Platform, Reference, Transport};
use crate::registry::{Client, Config};
use crate::state::events;
use crate::store::{Image, Store};
use std::collections::BTreeMap;
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
    progress.event(Event::Note(format!("pulling {transport}")));
    let (source, name) = open_source(&transport, &how.registry, &store.paths().tmp())?;
    let pulled = pull::pull(store, source.as_ref(), name.as_ref(), &how.options, progress)?;
    let action = if matches!(transport, Transport::Registry(_)) { "pull" } else { "loadfromarchive" };
    let name = name.as_ref().map(ToString::to_string).unwrap_or_default();
    let event = events::Event::new(events::Topic::Image, action, pulled.id.to_string(), name);
    events::append(store.paths(), &event.labelled(&labels(store, &pulled)));
    Ok(pulled)
}

/// The labels of an image that was just pulled; if they cannot be read, its use will say why.
fn labels(store: &Store, pulled: &Pulled) -> BTreeMap<String, String> {
    let image = store.find_image(&pulled.id.to_string()).and_then(|entry| store.load_image(&entry));
    image.map(|image| image.config.config.labels).unwrap_or_default()
}

/// True unless the user asked for another platform than the image is for.
fn fits(image: &Image, how: &Obtain) -> bool {
    let config = &image.config;
    let own = Platform::normalised(&config.os, &config.architecture, config.variant.as_deref());
    how.options.platform.as_ref().is_none_or(|wanted| own.satisfies(wanted))
}

/// The image that `text` names, pulled if the policy asks for it. The pull happens in a child process: it needs threads,
/// and this process is about to fork a monitor, which must have none.
pub fn image(store: &Store, text: &str, how: &Obtain, progress: &dyn Progress) -> Result<Image> {
    let mut text = text.to_owned();
    let known = match parse_transport(&text) {
        Ok(Transport::Registry(reference)) if text.starts_with("docker://") => {
            text = reference.to_string();
            pull::resolve(store, &text, how.policy)?
        }
        // An id is no reference, but names an image of the store.
        Ok(Transport::Registry(_)) | Err(_) => pull::resolve(store, &text, how.policy)?,
        Ok(_) if how.policy == Policy::Never => {
            return Err(Error::usage(format!("`{text}` is not in the store")).hint("`--pull=never` forbids to read it"));
        }
        // What an archive holds today its name does not tell.
        Ok(_) => None,
    };
    if let Some(entry) = known {
        let usable = store.load_image(&entry).and_then(|image| {
            layers::check(store, &image, &how.options.map)?;
            Ok(image)
        });
        let lost = |e: &Error| matches!(e.kind(), Kind::NotFound | Kind::Corrupt) && how.policy != Policy::Never;
        match (usable, entry.names.first()) {
            // A power cut or a bad disk took a part of it; its source still has it.
            (Err(e), Some(name)) if lost(&e) => {
                progress.event(Event::Warning(format!("{e}: pulling `{name}` again")));
                text = name.to_string();
            }
            // Another platform's image of that name does not do when one was asked for.
            (Ok(image), Some(name)) if !fits(&image, how) && how.policy != Policy::Never => text = name.to_string(),
            (usable, _) => return usable,
        }
    }
    let text = text.as_str();
    let pulled: Result<String> = crate::sys::process::in_child(|| {
        let pulled = pull(store, text, how, progress);
        progress.finish();
        Ok(pulled?.id.to_string())
    });
    match pulled {
        Ok(id) => store.load_image(&store.find_image(&id)?),
        Err(e) if how.policy == Policy::Newer && e.kind() == Kind::Remote => {
            store.load_image(&store.find_image(text).map_err(|_| e)?)
        }
        Err(e) => Err(e),
    }
}
