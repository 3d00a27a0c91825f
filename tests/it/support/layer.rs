//! Layers from literals, written as tar by hand: a test must be able to write what a well-behaved tar library refuses.

use std::collections::BTreeMap;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A file with its content.
    File(Vec<u8>),
    /// A directory.
    Dir,
    /// A symbolic link to this target.
    Symlink(Vec<u8>),
    /// A hard link to this path of the archive.
    Hardlink(Vec<u8>),
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice(u32, u32),
    /// A block device.
    BlockDevice(u32, u32),
    /// Any other tar type with a body.
    Other(u8, Vec<u8>),
}

/// One entry of a layer.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name, as it stands in the archive.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Modification time, seconds since 1970.
    pub mtime: u64,
    /// PAX records besides those for long names: `SCHILY.xattr.user.x`, `mtime`, ….
    pub pax: BTreeMap<String, Vec<u8>>,
}

impl Entry {
    /// An entry of root's with mode 644, or 755 for a directory, 777 for a symlink.
    pub fn new(path: impl AsRef<[u8]>, kind: Kind) -> Self {
        let mode = match kind {
            Kind::Dir => 0o755,
            Kind::Symlink(_) => 0o777,
            _ => 0o644,
        };
        let path = path.as_ref().to_vec();
        Self { path, kind, mode, uid: 0, gid: 0, mtime: 1_700_000_000, pax: BTreeMap::new() }
    }

    /// Sets the permission bits.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Sets owner and group.
    pub fn owner(mut self, uid: u64, gid: u64) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    /// Sets the modification time.
    pub fn mtime(mut self, seconds: u64) -> Self {
        self.mtime = seconds;
        self
    }

    /// Adds an extended attribute.
    pub fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax(&format!("SCHILY.xattr.{name}"), value)
    }

    /// Adds a PAX record.
    pub fn pax(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax.insert(name.to_owned(), value.as_ref().to_vec());
        self
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (flag, link, body, device): (u8, &[u8], &[u8], (u32, u32)) = match &self.kind {
            Kind::File(body) => (b'0', b"", body, (0, 0)),
            Kind::Hardlink(to) => (b'1', to, b"", (0, 0)),
            Kind::Symlink(to) => (b'2', to, b"", (0, 0)),
            Kind::CharDevice(major, minor) => (b'3', b"", b"", (*major, *minor)),
            Kind::BlockDevice(major, minor) => (b'4', b"", b"", (*major, *minor)),
            Kind::Dir => (b'5', b"", b"", (0, 0)),
            Kind::Fifo => (b'6', b"", b"", (0, 0)),
            Kind::Other(flag, body) => (*flag, b"", body, (0, 0)),
        };
        let mut pax = self.pax.clone();
        if self.path.len() > 100 {
            pax.insert("path".to_owned(), self.path.clone());
        }
        if link.len() > 100 {
            pax.insert("linkpath".to_owned(), link.to_vec());
        }
        for (name, number) in [("uid", self.uid), ("gid", self.gid)] {
            if number > 0o7_777_777 {
                pax.insert(name.to_owned(), number.to_string().into_bytes());
            }
        }
        if !pax.is_empty() {
            let records: Vec<u8> = pax.iter().flat_map(|(k, v)| pax_record(k, v)).collect();
            header(out, b"pax", 0o644, (0, 0), self.mtime, b'x', b"", records.len(), (0, 0));
            append_padded(out, &records);
        }
        let owner = (self.uid.min(0o7_777_777), self.gid.min(0o7_777_777));
        header(out, &self.path, self.mode, owner, self.mtime, flag, link, body.len(), device);
        append_padded(out, body);
    }
}

/// `length key=value\n`, the length counting itself.
fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

fn append_padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(512), 0);
}

#[expect(clippy::too_many_arguments, reason = "the fields of a tar header, in its order")]
fn header(
    out: &mut Vec<u8>,
    path: &[u8],
    mode: u32,
    owner: (u64, u64),
    mtime: u64,
    flag: u8,
    link: &[u8],
    size: usize,
    device: (u32, u32),
) {
    let mut h = [0u8; 512];
    let mut put = |at: usize, bytes: &[u8]| h[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &path[..path.len().min(100)]);
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, format!("{:07o}\0", owner.0).as_bytes());
    put(116, format!("{:07o}\0", owner.1).as_bytes());
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, format!("{mtime:011o}\0").as_bytes());
    put(148, b"        ");
    put(156, &[flag]);
    put(157, &link[..link.len().min(100)]);
    put(257, b"ustar\x0000");
    put(329, format!("{:07o}\0", device.0).as_bytes());
    put(337, format!("{:07o}\0", device.1).as_bytes());
    let sum: u32 = h.iter().map(|b| u32::from(*b)).sum();
    h[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.extend_from_slice(&h);
}

/// A layer in the making: entries in the order of the archive.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    /// The entries so far.
    pub entries: Vec<Entry>,
}

impl Layer {
    /// An empty layer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry with everything set.
    pub fn entry(mut self, entry: Entry) -> Self {
        self.entries.push(entry);
        self
    }

    /// Adds a file (644, root's).
    pub fn file(self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::new(path, Kind::File(content.as_ref().to_vec())))
    }

    /// Adds an executable file (755, root's).
    pub fn program(self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::new(path, Kind::File(content.as_ref().to_vec())).mode(0o755))
    }

    /// Adds a directory with a mode.
    pub fn dir(self, path: impl AsRef<[u8]>, mode: u32) -> Self {
        self.entry(Entry::new(path, Kind::Dir).mode(mode))
    }

    /// Adds a symbolic link.
    pub fn symlink(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::new(path, Kind::Symlink(target.as_ref().to_vec())))
    }

    /// Adds a hard link.
    pub fn hardlink(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::new(path, Kind::Hardlink(target.as_ref().to_vec())))
    }

    /// Deletes a path of the layers below (a whiteout).
    pub fn whiteout(self, path: &str) -> Self {
        let (dir, name) = path.rsplit_once('/').map_or(("", path), |(d, n)| (d, n));
        let slash = if dir.is_empty() { "" } else { "/" };
        self.file(format!("{dir}{slash}.wh.{name}"), "")
    }

    /// Hides what the layers below have in a directory.
    pub fn opaque(self, dir: &str) -> Self {
        self.file(format!("{dir}/.wh..wh..opq"), "")
    }

    /// The tar, complete with its end.
    pub fn tar(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for entry in &self.entries {
            entry.write(&mut out);
        }
        out.resize(out.len() + 1024, 0);
        out
    }
}
