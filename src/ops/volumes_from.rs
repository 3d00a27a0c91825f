//! `--volumes-from`: what another container mounts, its own places not covered.

use super::containers;
use crate::base::{Doing, Error, Result};
use crate::spec::options::{ContainerOptions, MountKind};
use crate::store::Store;

/// Adds the mounts of the containers that `options.volumes_from` names, each `CONTAINER[:ro|rw]`. Mounts that are there already
/// win, and among the containers the first.
///
/// Errors: `NotFound`; `Usage` for another option than these (and `z`, which means nothing without SELinux).
pub fn add(store: &Store, options: &mut ContainerOptions) -> Result<()> {
    for text in options.volumes_from.clone() {
        let (word, words) = text.split_once(':').unwrap_or((&text, ""));
        let mut read_only = None;
        for option in words.split(',').filter(|o| !o.is_empty()) {
            match option {
                "ro" => read_only = Some(true),
                "rw" => read_only = Some(false),
                "z" | "Z" => {}
                _ => {
                    return Err(Error::usage(format!(
                        "--volumes-from: invalid option `{option}` in `{text}`: use ro, rw or z"
                    )));
                }
            }
        }
        let other = containers::find(store, word).doing(|| "--volumes-from")?;
        for mut mount in other.record.options.mounts {
            let taken = options.mounts.iter().any(|m| m.target == mount.target);
            if taken || matches!(mount.kind, MountKind::Tmpfs | MountKind::Devpts) {
                continue;
            }
            mount.read_only = read_only.unwrap_or(mount.read_only);
            options.mounts.push(mount);
        }
    }
    Ok(())
}
