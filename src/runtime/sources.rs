//! Where a container's file tree takes what comes from the host: at the moment it is needed, or from descriptors that were
//! opened where it could be reached.

use super::plan::{MountSource, Plan};
use super::{layered, own_exe, tree};
use crate::base::{Doing, Error, Kind, Result};
use crate::sys::mount::clone_tree;
use nix::fcntl::AT_FDCWD;
use nix::unistd::{Gid, Uid, chown};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// See the module documentation.
#[derive(Debug)]
pub(super) enum Sources {
    /// This process sees the host's files with the user's eyes.
    Visible,
    /// Another process did: see `nested`.
    Opened(Opened),
}

/// What a container needs of the host, as mounts that are attached nowhere yet.
#[derive(Debug)]
pub(super) struct Opened {
    root: OwnedFd,
    trees: Vec<(PathBuf, bool, OwnedFd)>,
    own_exe: Option<OwnedFd>,
    notes: Vec<String>,
}

impl Opened {
    /// Opens everything. The caller is root of a user namespace that has the user in it, in a mount namespace of its own.
    pub(super) fn open(plan: &Plan, writable_exe: bool) -> Result<Self> {
        let mut notes = Vec::new();
        let root = layered::root(&plan.root, &mut notes)?;
        let mut trees = Vec::new();
        for step in &plan.mounts {
            let MountSource::Bind(path) = &step.source else { continue };
            let mount = clone_tree(AT_FDCWD, path, step.options.recursive)
                .map_err(|e| e.step(format!("mount `{}`", step.target)))?;
            if path.parent() == plan.staging.parent() && !tree::is_dir(&mount)? {
                // A file of ours (/etc/hosts): it belongs to the container's root, because the user is nobody there.
                chown(path, Some(Uid::from_raw(0)), Some(Gid::from_raw(0)))
                    .doing(|| format!("give `{}` to the container's root", path.display()))?;
            }
            trees.push((path.clone(), step.options.recursive, mount));
        }
        let own_exe = if writable_exe { Some(own_exe::read_only()?) } else { None };
        Ok(Self { root, trees, own_exe, notes })
    }

    /// All its descriptors, in the order in which [`Opened::renumbered`] takes copies of them.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let trees = self.trees.iter().map(|(_, _, fd)| fd.as_fd());
        std::iter::once(self.root.as_fd()).chain(trees).chain(self.own_exe.iter().map(AsFd::as_fd))
    }

    /// The same with other descriptors.
    pub(super) fn renumbered(&self, mut copies: impl Iterator<Item = OwnedFd>) -> Result<Self> {
        let mut next =
            || copies.next().ok_or_else(|| Error::new(Kind::Bug, "a descriptor of the container's was lost"));
        let root = next()?;
        let mut trees = Vec::new();
        for (path, recursive, _) in &self.trees {
            trees.push((path.clone(), *recursive, next()?));
        }
        let own_exe = self.own_exe.is_some().then(next).transpose()?;
        Ok(Self { root, trees, own_exe, notes: self.notes.clone() })
    }
}

impl Sources {
    /// The container's root, detached.
    pub(super) fn root(&mut self, plan: &Plan, notes: &mut Vec<String>) -> Result<OwnedFd> {
        match self {
            Self::Visible => layered::root(&plan.root, notes),
            Self::Opened(opened) => {
                notes.append(&mut opened.notes);
                Ok(opened.root.try_clone()?)
            }
        }
    }

    /// Where the root is attached for as long as the host's tree is in sight. Without the user only what everybody may enter is
    /// within reach; what is covered there in this mount namespace is not needed any more.
    pub(super) fn staging<'a>(&self, plan: &'a Plan) -> &'a Path {
        match self {
            Self::Visible => &plan.staging,
            Self::Opened(_) => Path::new("/usr"),
        }
    }

    /// A file or folder of the host, detached.
    pub(super) fn tree(&mut self, path: &Path, recursive: bool) -> Result<OwnedFd> {
        let Self::Opened(opened) = self else { return clone_tree(AT_FDCWD, path, recursive) };
        let at = opened.trees.iter().position(|(p, r, _)| p == path && *r == recursive);
        let at = at.ok_or_else(|| Error::new(Kind::Bug, format!("`{}` was not opened", path.display())))?;
        Ok(opened.trees.swap_remove(at).2)
    }

    /// runr's executable, read-only.
    pub(super) fn own_exe(&mut self) -> Result<OwnedFd> {
        match self {
            Self::Opened(Opened { own_exe: Some(fd), .. }) => Ok(fd.try_clone()?),
            _ => own_exe::read_only(),
        }
    }
}
