//! Extended attributes by path, never through a final symlink: xattr(7), which nix lacks.

use crate::base::{Doing, Result};
use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL.into())
}

/// Sets an attribute (lsetxattr(2)).
pub fn set(path: &Path, name: &CStr, value: &[u8]) -> Result<()> {
    let c = c_path(path)?;
    // SAFETY: both strings are nul-terminated and live; the kernel reads `value.len()` bytes of the live slice.
    let ret = unsafe { libc::lsetxattr(c.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(ret).map(drop).doing(|| format!("set attribute `{}` of `{}`", name.to_string_lossy(), path.display()))
}
