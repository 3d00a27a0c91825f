//! Where an image name points: `docker://`, archives and folders as skopeo and podman spell them, or a plain reference.

use super::reference::Reference;
use crate::base::{Error, Result};
use std::fmt;
use std::path::PathBuf;

/// A parsed image location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// `alpine` or `docker://alpine`: a registry.
    Registry(Reference),
    /// `docker-archive:FILE[:reference]`: what `docker save` writes.
    DockerArchive(Place),
    /// `oci-archive:FILE[:name]`: an OCI layout in a tar file.
    OciArchive(Place),
    /// `oci:DIR[:name]`: an OCI layout.
    Oci(Place),
    /// `dir:DIR`: skopeo's plain folder.
    Dir(PathBuf),
    /// `builtin:hello`: made from runr itself.
    Builtin(String),
}

/// A file or folder, and which of its images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// As given: relative to where the user is.
    pub path: PathBuf,
    /// A name in the archive, or `@N` for its N-th image from 0; the only one if absent.
    pub image: Option<String>,
}

/// Reads an image location. A word before a colon that names no transport is part of a reference (`alpine:3`).
pub fn parse_transport(text: &str) -> Result<Transport> {
    if let Some(rest) = text.strip_prefix("docker://") {
        return rest.parse().map(Transport::Registry);
    }
    let Some((scheme, rest)) = text.split_once(':') else { return text.parse().map(Transport::Registry) };
    let place = || {
        // The first colon ends the path, as for skopeo: a path with a colon has no spelling here.
        let (path, image) = rest.split_once(':').map_or((rest, None), |(p, i)| (p, Some(i.to_owned())));
        if path.is_empty() || image.as_deref() == Some("") {
            return Err(Error::usage(format!("invalid image location `{text}`: use `{scheme}:PATH[:NAME]`")));
        }
        Ok(Place { path: PathBuf::from(path), image })
    };
    match scheme {
        "docker-archive" => place().map(Transport::DockerArchive),
        "oci-archive" => place().map(Transport::OciArchive),
        "oci" => place().map(Transport::Oci),
        "dir" if !rest.is_empty() => Ok(Transport::Dir(PathBuf::from(rest))),
        "builtin" if rest == "hello" => Ok(Transport::Builtin(rest.to_owned())),
        "builtin" => Err(Error::not_found(format!("no built-in image `{rest}`")).hint("there is `builtin:hello`")),
        "containers-storage" | "docker-daemon" | "ostree" | "sif" => {
            Err(Error::unsupported(format!("image location `{scheme}:` is not supported")).hint(format!(
                "write the image to an archive first: `skopeo copy '{text}' docker-archive:FILE`, then use that"
            )))
        }
        _ => text.parse().map(Transport::Registry),
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |f: &mut fmt::Formatter<'_>, scheme: &str, place: &Place| {
            write!(f, "{scheme}:{}", place.path.display())?;
            place.image.as_ref().map_or(Ok(()), |image| write!(f, ":{image}"))
        };
        match self {
            Self::Registry(reference) => write!(f, "{reference}"),
            Self::DockerArchive(p) => place(f, "docker-archive", p),
            Self::OciArchive(p) => place(f, "oci-archive", p),
            Self::Oci(p) => place(f, "oci", p),
            Self::Dir(path) => write!(f, "dir:{}", path.display()),
            Self::Builtin(name) => write!(f, "builtin:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Kind;

    #[test]
    fn locations_print_as_they_are_spelled() {
        for (text, printed) in [
            ("alpine", "docker.io/library/alpine:latest"),
            ("docker:dind", "docker.io/library/docker:dind"),
            ("docker://quay.io/a/b:1", "quay.io/a/b:1"),
            ("docker-archive:/tmp/x.tar", "docker-archive:/tmp/x.tar"),
            ("docker-archive:x.tar:alpine:3", "docker-archive:x.tar:alpine:3"),
            ("oci-archive:x.tar:@1", "oci-archive:x.tar:@1"),
            ("oci:dir:latest", "oci:dir:latest"),
            ("dir:/a:b", "dir:/a:b"),
            ("builtin:hello", "builtin:hello"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
        ] {
            assert_eq!(parse_transport(text).unwrap().to_string(), printed, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, kind) in [
            ("oci:", Kind::Usage),
            ("oci-archive::x", Kind::Usage),
            ("docker-archive:x:", Kind::Usage),
            ("builtin:x", Kind::NotFound),
            ("containers-storage:x", Kind::Unsupported),
            ("docker://", Kind::Usage),
        ] {
            assert_eq!(parse_transport(text).unwrap_err().kind(), kind, "{text}");
        }
    }
}
