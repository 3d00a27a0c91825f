//! `cp`: files between this machine and containers, as a stream from whoever may read them to whoever may write them.
//!
//! ```text
//! host -> container       this process packs, a child in the container's namespaces writes
//! container -> host       a child in the container's namespaces packs, this process writes
//! container -> container  two children
//! ```
//! Where names end up is decided where the files are written, by docker's rules: its documentation of `docker cp` has the table.

use super::locate::{Located, Spelled, Tree};
use super::{Extent, Files};
use crate::base::progress::{Event, Progress};
use crate::base::{Doing, Error, Kind, Result};
use crate::runtime::view::Access;
use crate::state::Containers;
use crate::state::events::{self, Event as Happening};
use crate::store::Store;
use crate::unpack::Limits;
use crate::unpack::extract::{Destination, ExtractOptions, Extracted, Incoming, Owner, Rename};
use crate::unpack::pack::{PackOptions, Packer};
use crate::userns::{Job, Keep, seen_from_here};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::SFlag;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One side of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// A path of this machine; relative ones are below the working folder.
    Host(PathBuf),
    /// A path in a container.
    Container {
        /// Name or id.
        container: String,
        /// Relative ones are below its root.
        path: Vec<u8>,
    },
    /// A tar archive from stdin, or to stdout.
    Stream,
}

/// How to copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// `--archive`: the files keep their owners.
    pub archive: bool,
    /// `--follow-link`: a symlink that is the source is followed.
    pub follow: bool,
    /// `--overwrite`: a directory and a file may replace one another.
    pub overwrite: bool,
}

/// `docker cp`'s limits are those of the file system. A name longer than the kernel takes is refused all the same.
fn limits() -> Limits {
    Limits {
        max_bytes: i64::MAX.unsigned_abs(),
        max_entries: u64::MAX,
        max_ratio: u64::MAX,
        ratio_from: u64::MAX,
        ..Limits::default()
    }
}

/// Reads `[CONTAINER:]PATH` or `-`: what begins with `/` or `.` is a path of this machine, whatever is in it.
pub fn side(text: &std::ffi::OsStr) -> Result<Side> {
    let bytes = text.as_bytes();
    if bytes == b"-" {
        return Ok(Side::Stream);
    }
    let colon = bytes.iter().position(|b| *b == b':');
    match colon {
        Some(colon) if !bytes.starts_with(b"/") && !bytes.starts_with(b".") => {
            let container = String::from_utf8(bytes[..colon].to_vec())
                .map_err(|_| Error::usage("the name of a container is not valid UTF-8"))?;
            if container.is_empty() {
                return Err(Error::usage(format!("`{}` names no container", text.display())));
            }
            // docker and podman refuse it, too: behind `web:$P` with an empty `$P` nobody expects all files.
            if bytes.len() == colon + 1 {
                let e = Error::usage(format!("`{}` names no path", text.display()));
                return Err(e.hint(format!("for all files: `{container}:/`")));
            }
            Ok(Side::Container { container, path: bytes[colon + 1..].to_vec() })
        }
        _ if bytes.is_empty() => Err(Error::usage("a path is empty")),
        _ => Ok(Side::Host(PathBuf::from(text))),
    }
}

/// Copies. Returns what was written; with a stream as destination, nothing is known of it.
///
/// The calling process must have no other thread.
pub fn cp(
    store: &Store,
    from: &Side,
    to: &Side,
    options: CopyOptions,
    working_dir: &Path,
    progress: &dyn Progress,
) -> Result<Extracted> {
    let base = working_dir.as_os_str().as_bytes();
    let open = |side: &Side, access| match side {
        Side::Container { container, .. } => Files::open(store, container, access, progress).map(Some),
        _ => Ok(None),
    };
    // Both ways are found before anything is written. The destination is taken first: one container may be both.
    let destination = open(to, Access::Write)?;
    let same = match (from, &destination) {
        (Side::Container { container, .. }, Some(files)) => {
            Containers::new(store.paths()).resolve(container)? == files.record.id
        }
        _ => false,
    };
    let source = if same { None } else { open(from, Access::Read)? };
    let source = source.as_ref().or(if same { destination.as_ref() } else { None });
    let copy = Copy {
        from: End { spelled: spelled(from, base), side: from },
        to: End { spelled: spelled(to, base), side: to },
        options,
    };
    let done = match (source, &destination) {
        (None, None) => Err(Error::usage("neither the source nor the destination is a container")
            .hint("name one as `CONTAINER:PATH`; a path of this machine that has a colon begins with `./`")),
        (None, Some(files)) if *from == Side::Stream => copy.stdin_to_container(files),
        (None, Some(files)) => copy.host_to_container(files),
        (Some(files), None) if *to == Side::Stream => copy.container_to_stdout(files),
        (Some(files), None) => copy.container_to_host(files),
        (Some(source), Some(destination)) => copy.between(source, destination),
    }?;
    for warning in &done.warnings {
        progress.event(Event::Warning(warning.clone()));
    }
    for files in [source, destination.as_ref()].into_iter().flatten() {
        events::append(store.paths(), &Happening::of(&files.record, "copy"));
        if same {
            break;
        }
    }
    Ok(done)
}

fn spelled(side: &Side, base: &[u8]) -> Spelled {
    match side {
        Side::Host(path) => Spelled::new(path.as_os_str().as_bytes(), base),
        Side::Container { path, .. } => Spelled::new(path, b"/"),
        Side::Stream => Spelled::new(b"/", b"/"),
    }
}

/// One side, found.
struct End<'a> {
    spelled: Spelled,
    side: &'a Side,
}

impl End<'_> {
    /// For messages.
    fn missing(&self, what: &str) -> Error {
        let shown = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        Error::not_found(match self.side {
            Side::Container { container, path } => {
                format!("{what}`{}` could not be found in container `{container}`", shown(path))
            }
            Side::Host(path) => format!("{what}`{}` could not be found on this machine", path.display()),
            Side::Stream => format!("{what}the stream could not be found"),
        })
    }

    fn shown(&self) -> String {
        match self.side {
            Side::Container { container, path } => format!("{container}:{}", String::from_utf8_lossy(path)),
            Side::Host(path) => path.display().to_string(),
            Side::Stream => "-".to_owned(),
        }
    }
}

struct Copy<'a> {
    from: End<'a>,
    to: End<'a>,
    options: CopyOptions,
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).doing(|| "create pipe")?;
    // Only a matter of speed.
    let _ = nix::fcntl::fcntl(&write, nix::fcntl::FcntlArg::F_SETPIPE_SZ(1 << 20));
    Ok((read, write))
}

/// The packer's failure explains the writer's, unless it only found that nobody reads any more.
fn both(packed: Result<()>, written: Result<Extracted>) -> Result<Extracted> {
    match (packed, written) {
        (Err(e), _) if e.errno() != Some(Errno::EPIPE) => Err(e),
        (_, Err(e)) => Err(e),
        (Err(e), Ok(_)) => Err(e),
        (Ok(()), Ok(done)) => Ok(done),
    }
}

impl Copy<'_> {
    fn host_to_container(&self, files: &Files) -> Result<Extracted> {
        let (read, write) = pipe()?;
        let owner = if self.options.archive { Owner::Host(seen_from_here(files.map())) } else { Owner::Root };
        let writer = self.writer(files, &read, owner)?;
        drop(read);
        let packed = self.pack(&Tree::Host, File::from(write));
        both(packed, writer.wait())
    }

    fn stdin_to_container(&self, files: &Files) -> Result<Extracted> {
        let input = std::io::stdin().as_fd().try_clone_to_owned().doing(|| "copy descriptor")?;
        self.writer(files, &input, Owner::Archive)?.wait()
    }

    fn container_to_stdout(&self, files: &Files) -> Result<Extracted> {
        let output = std::io::stdout().as_fd().try_clone_to_owned().doing(|| "copy descriptor")?;
        self.packer(files, &output)?.wait().map(|()| Extracted::default())
    }

    fn container_to_host(&self, files: &Files) -> Result<Extracted> {
        let (read, write) = pipe()?;
        let packer = self.packer(files, &write)?;
        drop(write);
        let written = if self.options.archive {
            // Owners of the container's are the user's subordinate ids on this machine.
            let keep = [read.as_fd()];
            let job = files
                .as_owner(Keep(&keep), || self.receive(&Tree::Host, File::from(read.try_clone()?), Owner::Archive))?;
            drop(read);
            job.wait()
        } else {
            self.receive(&Tree::Host, File::from(read), Owner::Caller)
        };
        both(packer.wait(), written)
    }

    fn between(&self, source: &Files, destination: &Files) -> Result<Extracted> {
        let (read, write) = pipe()?;
        let owner = if self.options.archive { Owner::Archive } else { Owner::Root };
        let writer = self.writer(destination, &read, owner)?;
        drop(read);
        let packer = self.packer(source, &write)?;
        drop(write);
        let written = writer.wait();
        both(packer.wait(), written)
    }

    /// A child that packs the source in its container.
    fn packer(&self, files: &Files, output: &OwnedFd) -> Result<Job<()>> {
        let keep = [output.as_fd()];
        files.work(Extent::Everything, Keep(&keep), |root| {
            self.pack(&Tree::Container(root), File::from(output.try_clone()?))
        })
    }

    /// A child that writes the destination in its container.
    fn writer(&self, files: &Files, input: &OwnedFd, owner: Owner) -> Result<Job<Extracted>> {
        let keep = [input.as_fd()];
        files.work(Extent::Everything, Keep(&keep), |root| {
            self.receive(&Tree::Container(root), File::from(input.try_clone()?), owner)
        })
    }

    fn pack(&self, tree: &Tree, output: File) -> Result<()> {
        let spelled = &self.from.spelled;
        let located = tree.locate(&spelled.path, self.options.follow || spelled.directory);
        let at = match located {
            Err(e) if matches!(e.errno(), Some(Errno::ENOENT | Errno::ENOTDIR)) => return Err(self.from.missing("")),
            other => other?,
        };
        if at.stat.is_none() {
            return Err(self.from.missing(""));
        }
        if spelled.directory && !at.is_dir() {
            return Err(Error::usage(format!("`{}` is not a directory", self.from.shown())));
        }
        let options = PackOptions { nanoseconds: true, ..PackOptions::default() };
        let mut packer = Packer::new(output, &options);
        if spelled.contents {
            packer.contents(at.open_dir()?.as_fd(), b"", true)?;
        } else if !packer.tree(at.parent.as_fd(), &at.name, spelled.name())? {
            return Err(self.from.missing(""));
        }
        let (_, packed) = packer.finish()?;
        if packed.entries == 0 {
            return Err(Error::unsupported(format!("`{}` is a socket, which cannot be copied", self.from.shown())));
        }
        Ok(())
    }

    fn receive(&self, tree: &Tree, input: File, owner: Owner) -> Result<Extracted> {
        let (limits, stream) = (limits(), *self.from.side == Side::Stream);
        let incoming = Incoming::new(input, !stream, &limits)?;
        let first_is_directory = incoming.starts_with_directory();
        if first_is_directory.is_none() && !stream {
            // The packer has something to say about it.
            return Ok(Extracted::default());
        }
        let spelled = &self.to.spelled;
        let at = match tree.locate(&spelled.path, true) {
            Err(e) if e.is_missing() => return Err(self.to.missing("destination ")),
            other => other.doing(|| format!("look up `{}`", self.to.shown()))?,
        };
        let (dir, path, rename) = if at.is_dir() {
            (at.open_dir()?, at.path(), Rename::Keep)
        } else if stream {
            return Err(Error::usage("destination must be a directory when copying from stdin"));
        } else {
            let rename = self.new_name(&at, first_is_directory == Some(true), matches!(tree, Tree::Host))?;
            (at.parent, at.parent_path, rename)
        };
        let within = match tree {
            Tree::Container(root) => Some((root.try_clone().doing(|| "copy descriptor")?, path)),
            Tree::Host => None,
        };
        let options = ExtractOptions {
            rename,
            defuse: matches!(tree, Tree::Host) && !self.options.archive,
            owner,
            overwrite: self.options.overwrite,
            limits,
        };
        incoming.extract(&Destination { dir, within }, &options)
    }

    /// What becomes of names when the destination is no directory.
    fn new_name(&self, at: &Located, directory: bool, host: bool) -> Result<Rename> {
        let name = at.name.as_bytes().to_vec();
        match at.kind() {
            None if self.to.spelled.directory && !directory => Err(self.to.missing("destination directory ")),
            None if self.from.spelled.contents => Ok(Rename::Below(name)),
            None => Ok(Rename::First(name)),
            Some(_) if directory && !self.options.overwrite => {
                Err(Error::usage("destination must be a directory when copying a directory"))
            }
            Some(_) if self.to.spelled.directory => {
                Err(Error::usage(format!("destination `{}` is not a directory", self.to.shown())))
            }
            // A device that is written over would be gone.
            Some(kind) if host && kind != SFlag::S_IFREG => {
                let text = format!("destination `{}` is neither a file nor a directory", self.to.shown());
                Err(Error::new(Kind::Denied, text))
            }
            Some(_) if self.from.spelled.contents => Ok(Rename::Below(name)),
            Some(_) => Ok(Rename::First(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn sides_of_a_copy() {
        let container = |container: &str, path: &str| {
            Ok(Side::Container { container: container.to_owned(), path: path.as_bytes().to_vec() })
        };
        let host = |path: &str| Ok(Side::Host(path.into()));
        for (text, expected) in [
            ("-", Ok(Side::Stream)),
            ("web:/etc", container("web", "/etc")),
            ("web:", Err("`web:` names no path".to_owned())),
            ("web:a:b", container("web", "a:b")),
            ("./web:/etc", host("./web:/etc")),
            ("/a:b", host("/a:b")),
            ("file", host("file")),
            (":/x", Err("`:/x` names no container".to_owned())),
            ("", Err("a path is empty".to_owned())),
        ] {
            assert_eq!(side(OsStr::new(text)).map_err(|e| e.to_string()), expected, "{text}");
        }
    }
}
