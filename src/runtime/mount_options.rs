//! fstab-style mount options (mount(8), OCI runtime spec "Linux mount options") as flags for the mount calls.

use crate::base::{Error, Result};
use crate::sys::mount::attr;

/// Options of one mount, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Attributes to set ([`attr`]).
    pub set: u64,
    /// Attributes to clear.
    pub clear: u64,
    /// `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, or 0.
    pub propagation: u64,
    /// The propagation reaches mounts below (`rslave`).
    pub recursive_propagation: bool,
    /// `bind` or `rbind` was given.
    pub bind: bool,
    /// `rbind`: what is mounted below comes along.
    pub recursive: bool,
    /// `rro`: read-only also below.
    pub recursive_read_only: bool,
    /// `U`: the files are given to the container's user.
    pub give_away: bool,
    /// `copy-up`: a tmpfs starts with what the image has there.
    pub copy_up: bool,
    /// Filesystem options: `size=64m`, `mode=1777`, or a flag without value.
    pub data: Vec<(String, Option<String>)>,
}

/// Takes options apart. An unknown word goes to the filesystem, which refuses it if it must.
pub fn parse(words: &[String]) -> Result<MountOptions> {
    let mut o = MountOptions::default();
    for word in words {
        match word.as_str() {
            "ro" => o.turn_on(attr::RDONLY),
            "rw" => o.turn_off(attr::RDONLY),
            "nosuid" => o.turn_on(attr::NOSUID),
            "suid" => o.turn_off(attr::NOSUID),
            "nodev" => o.turn_on(attr::NODEV),
            "dev" => o.turn_off(attr::NODEV),
            "noexec" => o.turn_on(attr::NOEXEC),
            "exec" => o.turn_off(attr::NOEXEC),
            "noatime" => o.turn_on(attr::NOATIME),
            "strictatime" => o.turn_on(attr::STRICTATIME),
            "nodiratime" => o.turn_on(attr::NODIRATIME),
            "nosymfollow" => o.turn_on(attr::NOSYMFOLLOW),
            "relatime" | "atime" | "diratime" | "norelatime" | "defaults" | "async" => {}
            "bind" => o.bind = true,
            "rbind" => (o.bind, o.recursive) = (true, true),
            "rro" => {
                o.turn_on(attr::RDONLY);
                o.recursive_read_only = true;
            }
            "private" | "rprivate" => o.propagate(libc::MS_PRIVATE, word),
            "slave" | "rslave" => o.propagate(libc::MS_SLAVE, word),
            "shared" | "rshared" => o.propagate(libc::MS_SHARED, word),
            "unbindable" | "runbindable" => o.propagate(libc::MS_UNBINDABLE, word),
            "tmpcopyup" | "copy-up" => o.copy_up = true,
            "notmpcopyup" => o.copy_up = false,
            "U" => o.give_away = true,
            // SELinux relabelling and volume hints of docker and podman: nothing to do for a mount.
            "z" | "Z" | "cached" | "delegated" | "consistent" | "nocopy" | "copy" => {}
            other => match other.split_once('=') {
                Some((key, value)) if !key.is_empty() => o.data.push((key.to_owned(), Some(value.to_owned()))),
                None if !other.is_empty() => o.data.push((other.to_owned(), None)),
                _ => return Err(Error::usage(format!("invalid mount option `{other}`"))),
            },
        }
    }
    // The access-time modes are one field, so setting one clears the field first.
    if o.set & attr::ATIME_MASK != 0 {
        o.clear |= attr::ATIME_MASK;
    }
    Ok(o)
}

impl MountOptions {
    /// Of a word and its opposite, the later one wins.
    fn turn_on(&mut self, flag: u64) {
        self.set |= flag;
        self.clear &= !flag;
    }

    fn turn_off(&mut self, flag: u64) {
        self.clear |= flag;
        self.set &= !flag;
    }

    fn propagate(&mut self, flag: u64, word: &str) {
        self.propagation = flag;
        self.recursive_propagation = word.starts_with('r');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> MountOptions {
        parse(&text.split(',').map(str::to_owned).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn words_become_flags_and_the_rest_goes_to_the_filesystem() {
        let o = words("rbind,ro,nosuid,rslave");
        assert_eq!((o.set, o.recursive, o.propagation), (attr::RDONLY | attr::NOSUID, true, libc::MS_SLAVE));
        assert!(o.recursive_propagation);
        let o = words("size=64m,mode=1777,strictatime,newinstance");
        assert_eq!(o.data[0], ("size".to_owned(), Some("64m".to_owned())));
        assert_eq!(o.data[2], ("newinstance".to_owned(), None));
        assert_eq!(o.clear, attr::ATIME_MASK);
        assert!(parse(&["=x".to_owned()]).is_err());
        assert_eq!((words("ro,rw").set, words("rw,ro").set), (0, attr::RDONLY));
    }
}
