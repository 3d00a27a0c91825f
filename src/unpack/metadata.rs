//! Owner, mode, times and extended attributes: what an archive may set, and what is remembered because it can't be set.
//!
//! Never applied from an archive: `user.overlay.*` and `trusted.overlay.*` (they steer the overlay and would hide files of
//! lower layers), `user.containers.*` (faked owners), every `security.*` but the file capability, every other `trusted.*`.

use super::archive::{Entry, EntryKind};
use super::name;
use super::report::TrueStat;
use crate::base::{Error, Kind, Result};
use crate::store::layers::escape;
use crate::sys::xattr;
use crate::userns::IdMap;
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use std::collections::BTreeMap;
use std::os::fd::AsFd;

/// Counts what was left out, so that the user reads each sort of it once.
#[derive(Debug, Default)]
pub(super) struct Warnings(BTreeMap<String, u64>);

impl Warnings {
    /// Counts one case of `what` (a plural with its verb), caused by `errno` if given.
    pub(super) fn add(&mut self, what: &str, errno: Option<Errno>) {
        let text = match errno {
            Some(e) => format!("{what}: {}", Error::from(e)),
            None => what.to_owned(),
        };
        *self.0.entry(text).or_default() += 1;
    }

    pub(super) fn sentences(self) -> Vec<String> {
        self.0.into_iter().map(|(text, count)| format!("{count} {text}")).collect()
    }
}

/// Whether the owners of entries can be set, and which.
#[derive(Debug)]
pub(super) struct Owners<'a> {
    map: &'a IdMap,
    /// With one id everything belongs to it, and the true owners are remembered.
    single: bool,
}

impl<'a> Owners<'a> {
    pub(super) fn new(map: &'a IdMap) -> Self {
        Self { map, single: map.is_single() }
    }

    /// The owner to set for an entry, inside the namespace; `None` if new files have it anyway.
    ///
    /// # Errors
    /// `Unsupported` when the map has several ids but not this one: a wrong owner would be a silent fault.
    pub(super) fn to_set(&self, entry: &Entry) -> Result<Option<(u32, u32)>> {
        if self.single || (entry.uid, entry.gid) == (0, 0) {
            return Ok(None);
        }
        for (what, id, outside) in
            [("uid", entry.uid, self.map.host_uid(entry.uid)), ("gid", entry.gid, self.map.host_gid(entry.gid))]
        {
            if outside.is_none() {
                let file = if what == "uid" { "/etc/subuid" } else { "/etc/subgid" };
                return Err(Error::new(Kind::Unsupported, format!("{what} {id} is not in this user's id map"))
                    .hint(format!("ask for a longer range in {file}: it must hold at least {} ids", u64::from(id))));
            }
        }
        Ok(Some((entry.uid, entry.gid)))
    }

    /// What must be remembered of an entry because [`Self::to_set`] or mknod(2) can't do it.
    pub(super) fn to_remember(&self, name: &[u8], entry: &Entry) -> Option<TrueStat> {
        let kind = match entry.kind {
            EntryKind::File => 'f',
            EntryKind::Directory => 'd',
            EntryKind::Symlink => 'l',
            EntryKind::Fifo => 'p',
            EntryKind::CharDevice => 'c',
            EntryKind::BlockDevice => 'b',
            EntryKind::HardLink => return None,
        };
        let foreign = self.single && (entry.uid, entry.gid) != (0, 0);
        (foreign || matches!(kind, 'c' | 'b')).then(|| TrueStat {
            path: escape(name::path(name)),
            kind,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            major: entry.device.0,
            minor: entry.device.1,
        })
    }
}

/// What to do with an attribute from an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Set,
    /// Set at the end: entries made in the directory before would inherit it.
    SetLast,
    Drop,
}

fn fate(attribute: &[u8]) -> Fate {
    let starts = |prefix: &[u8]| attribute.starts_with(prefix);
    match attribute {
        b"security.capability" | b"system.posix_acl_access" => Fate::Set,
        b"system.posix_acl_default" => Fate::SetLast,
        _ if starts(b"user.overlay.") || starts(b"user.containers.") => Fate::Drop,
        _ if starts(b"user.") => Fate::Set,
        _ => Fate::Drop,
    }
}

/// Sets the attributes of an open file or directory that may be set now. The kernel itself turns a file capability into one
/// that holds in this user namespace only (capabilities(7), "Namespaced file capabilities").
pub(super) fn set_xattrs(fd: impl AsFd, entry: &Entry, warnings: &mut Warnings) {
    for (attribute, value) in entry.xattrs.iter().filter(|(attribute, _)| fate(attribute) == Fate::Set) {
        if let Err(e) = xattr::set(&fd, attribute, value) {
            warnings.add(&format!("files have lost their attribute `{}`", name::show(attribute)), Some(e));
        }
    }
}

/// The default ACL of a directory, which [`set_xattrs`] leaves out.
pub(super) fn default_acl(entry: &Entry) -> Option<&[u8]> {
    entry.xattrs.iter().find(|(attribute, _)| fate(attribute) == Fate::SetLast).map(|(_, value)| &value[..])
}

/// The modification time of an entry, for utimensat(2). The access time gets the same: it is not in the archive.
pub(super) fn time(mtime: (i64, u32)) -> TimeSpec {
    TimeSpec::new(mtime.0, i64::from(mtime.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangerous_attributes_are_dropped() {
        for (attribute, expected) in [
            ("user.mime_type", Fate::Set),
            ("security.capability", Fate::Set),
            ("system.posix_acl_access", Fate::Set),
            ("system.posix_acl_default", Fate::SetLast),
            ("user.overlay.opaque", Fate::Drop),
            ("user.overlay.redirect", Fate::Drop),
            ("user.containers.override_stat", Fate::Drop),
            ("trusted.overlay.opaque", Fate::Drop),
            ("trusted.x", Fate::Drop),
            ("security.selinux", Fate::Drop),
            ("security.ima", Fate::Drop),
            ("", Fate::Drop),
        ] {
            assert_eq!(fate(attribute.as_bytes()), expected, "{attribute}");
        }
    }

    #[test]
    fn warnings_are_counted() {
        let mut warnings = Warnings::default();
        for _ in 0..3 {
            warnings.add("files have lost x", Some(Errno::EPERM));
        }
        assert_eq!(warnings.sentences(), ["3 files have lost x: Operation not permitted (EPERM)"]);
    }
}
