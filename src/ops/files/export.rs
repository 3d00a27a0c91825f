//! `export`: the root filesystem of a container as one archive.

use super::{Extent, Files, truth};
use crate::base::progress::Progress;
use crate::base::{Doing, Result};
use crate::runtime::view::Access;
use crate::state::events::{self, Event};
use crate::store::Store;
use crate::unpack::pack::{PackOptions, Packer};
use crate::userns::Keep;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

/// Packs the container's root into `output`, without what is mounted in it. Call it before this process has threads.
pub fn export(store: &Store, word: &str, output: &OwnedFd, progress: &dyn Progress) -> Result<()> {
    let files = Files::open(store, word, Access::Read, progress)?;
    let options = PackOptions { truth: truth(store, &files.record, progress)?, ..PackOptions::default() };
    let keep = [output.as_fd()];
    let job = files.work(Extent::Root, Keep(&keep), |root| {
        let mut packer = Packer::new(File::from(output.try_clone().doing(|| "copy descriptor")?), &options);
        packer.contents(open(&root)?.as_fd(), b"", false)?;
        packer.finish().map(|(_, packed)| packed.entries)
    })?;
    job.wait()?;
    events::append(store.paths(), &Event::of(&files.record, "export"));
    Ok(())
}

/// The root, to be listed: what a view gives is a place only.
pub(super) fn open(root: &OwnedFd) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    openat(root, c".", flags, Mode::empty()).doing(|| "open the container's root")
}
