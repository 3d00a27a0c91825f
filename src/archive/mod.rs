//! Images that lie in a file or a folder, or are made from runr itself, as [`ImageSource`]s.
//!
//! Whoever packed an archive may be hostile: names in it only ever select entries of its own table, sizes of documents are
//! bounded, and every blob is verified by whoever reads it.
//!
//! ```text
//! section   a part of a file as a reader          tar      the table of a tar file
//! files     named files: of a folder or a tar     docker, oci, folder, builtin    one kind of source each
//! ```

mod builtin;
mod docker;
mod files;
mod folder;
mod oci;
mod section;
mod tar;

use crate::base::{Doing, Error, Result};
use crate::image::{ImageSource, Reference, Transport};
use std::path::{Path, PathBuf};

/// An opened image location.
pub struct Opened {
    /// The image.
    pub source: Box<dyn ImageSource>,
    /// The names that the archive gives it; it may have none.
    pub names: Vec<Reference>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("names", &self.names).finish_non_exhaustive()
    }
}

/// Opens what a transport other than a registry points to. A compressed archive is inflated into an unnamed file in `scratch`.
///
/// Errors: `NotFound` when the location or the image in it does not exist, `Corrupt` for damaged archives, `Usage` when it
/// holds several images and none was chosen.
pub fn open(transport: &Transport, scratch: &Path) -> Result<Opened> {
    let opened = match transport {
        Transport::DockerArchive(place) => {
            docker::open(tar::Tar::open(&existing(&place.path)?, scratch)?, place.image.as_deref())
        }
        Transport::OciArchive(place) => {
            oci::open(Box::new(tar::Tar::open(&existing(&place.path)?, scratch)?), place.image.as_deref())
        }
        Transport::Oci(place) => {
            oci::open(Box::new(files::Folder::new(existing(&place.path)?)), place.image.as_deref())
        }
        Transport::Dir(path) => folder::open(files::Folder::new(existing(path)?)),
        Transport::Builtin(_) => builtin::open(),
        Transport::Registry(reference) => Err(Error::usage(format!("`{reference}` is a registry's image"))),
    };
    opened.doing(|| format!("open image `{transport}`"))
}

fn existing(path: &Path) -> Result<PathBuf> {
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::not_found(format!("`{}` does not exist", path.display())))
        }
        Err(e) => Err(e).doing(|| format!("look at `{}`", path.display())),
        Ok(_) => Ok(path.to_owned()),
    }
}

/// Picks one of an archive's images by what the user said after the path: a name, `@N`, or nothing when there is one only.
/// `names` holds each image's names.
fn choose(wanted: Option<&str>, names: &[Vec<String>]) -> Result<usize> {
    let have = || {
        let all: Vec<&str> = names.iter().flatten().map(String::as_str).take(20).collect();
        if all.is_empty() {
            format!("choose one by number: @0 to @{}", names.len().saturating_sub(1))
        } else {
            format!("it has: {}", all.join(", "))
        }
    };
    let Some(wanted) = wanted else {
        return match names.len() {
            0 => Err(Error::not_found("there is no image in it")),
            1 => Ok(0),
            n => Err(Error::usage(format!("there are {n} images in it: add `:NAME` to choose one")).hint(have())),
        };
    };
    if let Some(number) = wanted.strip_prefix('@').and_then(|n| n.parse::<usize>().ok()) {
        return if number < names.len() {
            Ok(number)
        } else {
            Err(Error::not_found(format!("no image {wanted} in it")))
        };
    }
    // As written, or as both sides mean it: `alpine` is `docker.io/library/alpine:latest`.
    let full = wanted.parse::<Reference>().ok();
    let fits = |name: &String| name == wanted || full.is_some() && name.parse::<Reference>().ok() == full;
    match names.iter().position(|of_image| of_image.iter().any(fits)) {
        Some(at) => Ok(at),
        None => Err(Error::not_found(format!("no image `{wanted}` in it")).hint(have())),
    }
}

#[cfg(test)]
mod tests;
