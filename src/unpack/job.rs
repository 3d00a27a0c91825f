//! One layer, in a thread of the worker: its own root folder, then archive to directory.

use super::archive::Archive;
use super::entry;
use super::layer::Layer;
use super::limits::Limits;
use super::name;
use super::report::Report;
use super::stream::Stream;
use crate::base::{Doing, Error, Kind, Result};
use crate::userns::IdMap;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chroot, fchdir};
use std::io::Read;
use std::os::fd::AsFd;

/// Unpacks the blob `input` into the empty folder `dest`, which becomes this thread's root for good.
///
/// The thread gets a filesystem context of its own (unshare(2), CLONE_FS), so other threads keep theirs.
pub(super) fn run(dest: impl AsFd, input: impl Read, map: &IdMap, limits: &Limits) -> Result<Report> {
    enter(dest).doing(|| "enter the layer's folder")?;
    unpack(input, map, limits)
}

fn enter(dest: impl AsFd) -> nix::Result<()> {
    unshare(CloneFlags::CLONE_FS)?;
    fchdir(&dest)?;
    chroot(".")
}

fn unpack(input: impl Read, map: &IdMap, limits: &Limits) -> Result<Report> {
    let mut archive = Archive::new(Stream::new(input, limits)?, limits);
    let mut layer = Layer::new(map, limits)?;
    let mut entries = 0;
    while let Some(entry) = archive.next()? {
        entries += 1;
        if entries > limits.max_entries {
            return Err(Error::new(Kind::Denied, format!("layer has more than {} entries", limits.max_entries)));
        }
        entry::write(&mut layer, &entry, &mut archive)
            .map_err(|e| e.step(format!("entry `{}`", name::show(&entry.name))))?;
    }
    let outcome = layer.finish()?;
    let (diff_id, archive_size) = archive.finish()?;
    Ok(Report {
        diff_id,
        size: outcome.size,
        archive_size,
        entries,
        implied_dirs: outcome.implied_dirs,
        pending_links: outcome.pending_links,
        true_stats: outcome.true_stats,
        whiteouts: outcome.whiteouts,
        warnings: outcome.warnings,
    })
}
