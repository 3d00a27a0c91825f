//! `diff`: what a container changed of its image, or an image's last layer of those below, or one of two of the other.

use super::layers_of;
use crate::base::progress::Progress;
use crate::base::{Error, Kind, Result};
use crate::ops::layers;
use crate::rootfs::assemble;
use crate::rootfs::changes::{self, Change};
use crate::state::Containers;
use crate::state::containers::Container;
use crate::state::record::ContainerRecord;
use crate::store::Store;
use crate::unpack::Limits;
use crate::userns::{self, IdMap, default_map};
use std::collections::HashSet;
use std::path::PathBuf;

/// What a word may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A container, or else an image.
    Any,
    /// A container.
    Container,
    /// An image.
    Image,
}

/// Where runr puts files or mounts of its own into a container. As long as they are empty they are places for those.
pub(super) const PLACES: [&str; 10] = [
    "/dev",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/mtab",
    "/etc/resolv.conf",
    "/proc",
    "/run",
    "/run/.containerenv",
    "/run/secrets",
    "/sys",
];

/// The layers of something, topmost first, and whose ids they have.
struct Side {
    layers: Vec<PathBuf>,
    /// What is compared with, unless something else is named.
    below: Vec<PathBuf>,
    map: IdMap,
    hidden: HashSet<Vec<u8>>,
}

/// The changes in `word`, compared with `against` or with what lies below it. Call it before this process has threads.
///
/// Errors: `NotFound`; `Unsupported` for a container that has no image.
pub fn diff(
    store: &Store,
    subject: Subject,
    word: &str,
    against: Option<&str>,
    progress: &dyn Progress,
) -> Result<Vec<Change>> {
    let side = find(store, subject, word, progress)?;
    let (old, hidden) = match against {
        Some(other) => {
            let other = find(store, subject, other, progress)?;
            (other.layers, side.hidden.union(&other.hidden).cloned().collect())
        }
        None => (side.below, side.hidden),
    };
    let mut tries = 0;
    loop {
        tries += 1;
        match userns::run(&side.map, || changes::changes(&old, &side.layers, &hidden)) {
            // A running container took away what was just being looked at.
            Err(e) if e.is_missing() && tries < 5 => {}
            other => return other,
        }
    }
}

fn find(store: &Store, subject: Subject, word: &str, progress: &dyn Progress) -> Result<Side> {
    if subject != Subject::Image {
        match Containers::new(store.paths()).find(word) {
            Ok(container) => return of_container(store, &container, progress),
            Err(e) if subject == Subject::Any && e.kind() == Kind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    match of_image(store, word, progress) {
        Err(e) if subject == Subject::Any && e.kind() == Kind::NotFound => {
            Err(Error::not_found(format!("no such container or image: {word}")))
        }
        other => other,
    }
}

fn of_container(store: &Store, container: &Container, progress: &dyn Progress) -> Result<Side> {
    let Container { record, folder, .. } = container;
    if record.rootfs.is_some() {
        return Err(Error::unsupported(
            "the container runs a folder of this machine: there is no image to compare with",
        ));
    }
    let layers = layers_of(store, record, progress)?;
    let below = assemble::stack(store, &layers, &record.map)?.lowers;
    let copy = folder.join("copy");
    let layers = if copy.exists() {
        vec![copy]
    } else {
        std::iter::once(folder.join("upper")).chain(below.iter().cloned()).collect()
    };
    Ok(Side { layers, below, map: record.map.clone(), hidden: hidden(record) })
}

/// The places of runr's own and of what the user mounted.
fn hidden(record: &ContainerRecord) -> HashSet<Vec<u8>> {
    let own = PLACES.iter().map(|p| p.as_bytes().to_vec());
    let mounts = record.options.mounts.iter().map(|m| m.target.trim_end_matches('/').as_bytes().to_vec());
    own.chain(mounts).collect()
}

fn of_image(store: &Store, word: &str, progress: &dyn Progress) -> Result<Side> {
    let image = store.load_image(&store.find_image(word)?)?;
    let map = default_map()?;
    let layers = layers::ensure(store, &image, &map, Limits::default(), progress)?;
    let below = match layers.split_last() {
        Some((_, below)) if !below.is_empty() => assemble::stack(store, below, &map)?.lowers,
        _ => Vec::new(),
    };
    let layers = assemble::stack(store, &layers, &map)?.lowers;
    Ok(Side { layers, below, map, hidden: HashSet::new() })
}
