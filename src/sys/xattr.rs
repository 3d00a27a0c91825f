//! Extended attributes (xattr(7)) by descriptor and by path without following a symlink; nix has none of these calls.

use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd};

type Result<T> = std::result::Result<T, Errno>;

fn c_string(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| Errno::EINVAL)
}

/// Sets an attribute of an open file, replacing an older value.
pub fn set(fd: impl AsFd, name: &[u8], value: &[u8]) -> Result<()> {
    let name = c_string(name)?;
    // SAFETY: `name` is a live C string and `value` a live buffer of the length passed; the kernel only reads them.
    let ret = unsafe { libc::fsetxattr(fd.as_fd().as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(ret).map(drop)
}

/// Sets an attribute of what `path` names, a symlink itself if it is one.
pub fn set_at(path: &[u8], name: &[u8], value: &[u8]) -> Result<()> {
    let (path, name) = (c_string(path)?, c_string(name)?);
    // SAFETY: as in `set`, with a second live C string.
    let ret = unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(ret).map(drop)
}

/// Removes an attribute of an open file; a missing one is not an error.
pub fn remove(fd: impl AsFd, name: &[u8]) -> Result<()> {
    let name = c_string(name)?;
    // SAFETY: `name` is a live C string.
    let ret = unsafe { libc::fremovexattr(fd.as_fd().as_raw_fd(), name.as_ptr()) };
    match Errno::result(ret) {
        Err(Errno::ENODATA) => Ok(()),
        other => other.map(drop),
    }
}

/// An attribute of an open file; `None` if it has none of this name or the file system has no attributes.
pub fn get(fd: impl AsFd, name: &[u8]) -> Result<Option<Vec<u8>>> {
    let (fd, name) = (fd.as_fd().as_raw_fd(), c_string(name)?);
    read(|buffer, size| {
        // SAFETY: `name` is a live C string; the kernel writes at most `size` bytes to `buffer`, which `read` owns.
        unsafe { libc::fgetxattr(fd, name.as_ptr(), buffer, size) }
    })
}

/// An attribute of what `path` names, a symlink itself if it is one; `None` as in [`get`].
pub fn get_at(path: &[u8], name: &[u8]) -> Result<Option<Vec<u8>>> {
    let (path, name) = (c_string(path)?, c_string(name)?);
    read(|buffer, size| {
        // SAFETY: as in `get`, with a second live C string.
        unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), buffer, size) }
    })
}

/// The names of all attributes of an open file that its file system shows to this process.
pub fn list(fd: impl AsFd) -> Result<Vec<Vec<u8>>> {
    let fd = fd.as_fd().as_raw_fd();
    names(read(|buffer, size| {
        // SAFETY: the kernel writes at most `size` bytes to `buffer`, which `read` owns.
        unsafe { libc::flistxattr(fd, buffer.cast(), size) }
    })?)
}

/// The names of all attributes of what `path` names, a symlink itself if it is one.
pub fn list_at(path: &CStr) -> Result<Vec<Vec<u8>>> {
    names(read(|buffer, size| {
        // SAFETY: as in `list`, with a live C string.
        unsafe { libc::llistxattr(path.as_ptr(), buffer.cast(), size) }
    })?)
}

fn names(joined: Option<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
    let joined = joined.unwrap_or_default();
    Ok(joined.split(|b| *b == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
}

/// Calls with a growing buffer. The kernel's own limit is 64 KiB (XATTR_SIZE_MAX, XATTR_LIST_MAX).
fn read(call: impl Fn(*mut libc::c_void, usize) -> isize) -> Result<Option<Vec<u8>>> {
    let mut buffer = vec![0u8; 256];
    loop {
        match Errno::result(call(buffer.as_mut_ptr().cast(), buffer.len())) {
            Ok(length) => {
                buffer.truncate(length as usize);
                return Ok(Some(buffer));
            }
            Err(Errno::ERANGE) if buffer.len() < 65536 => buffer.resize(65536, 0),
            Err(Errno::ENODATA | Errno::ENOTSUP) => return Ok(None),
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_and_missing_ones_are_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        if set(file.as_file(), b"user.a", b"1").is_err() {
            println!("skip: attributes_come_back_and_missing_ones_are_none: no user xattrs in the temp folder");
            return;
        }
        let big = vec![7u8; 3000];
        let path = file.path().as_os_str().as_encoded_bytes();
        set_at(path, b"user.b", &big).unwrap();
        assert_eq!(get_at(path, b"user.a").unwrap().unwrap(), b"1");
        assert_eq!(get(file.as_file(), b"user.b").unwrap().unwrap(), big);
        assert_eq!(get(file.as_file(), b"user.c").unwrap(), None);
        let mut names = list(file.as_file()).unwrap();
        names.retain(|n| n.starts_with(b"user."));
        names.sort();
        assert_eq!(names, [b"user.a".to_vec(), b"user.b".to_vec()]);
        remove(file.as_file(), b"user.a").unwrap();
        remove(file.as_file(), b"user.a").unwrap();
        assert_eq!(get(file.as_file(), b"user.a").unwrap(), None);
    }
}
