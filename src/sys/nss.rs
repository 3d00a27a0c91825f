//! Why the static executable cannot be tricked into loading a library: it has no name service switch.
//!
//! In a static glibc program `getaddrinfo` and `getpw*` load `libnss_*.so` at run time: another glibc's on the host (a
//! crash), the image's after a chroot (its code with our rights, the class of CVE-2019-14271). runr resolves names and reads
//! user files itself. But libraries it uses (std's `home_dir`, hyper's default resolver) mention these functions, and a
//! mention is enough to link glibc's. The definitions below are found first by the linker, so glibc's are never linked:
//! whoever calls them by mistake gets "no such entry". `tests/it/nss.rs` checks the symbol table.

use std::ffi::{c_char, c_int, c_void};

/// Always "name unknown" (`EAI_NONAME`).
// SAFETY: replaces glibc's symbol of this name for the whole program, with its signature; touches no argument.
#[unsafe(no_mangle)]
extern "C" fn getaddrinfo(_: *const c_char, _: *const c_char, _: *const c_void, _: *mut *mut c_void) -> c_int {
    libc::EAI_NONAME
}

/// Frees what [`getaddrinfo`] never made.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn freeaddrinfo(_: *mut c_void) {}

/// Always "no such user": stores null and succeeds, as getpwuid_r(3) words it.
// SAFETY: as above; `result` is the caller's live out pointer by the function's contract.
#[unsafe(no_mangle)]
extern "C" fn getpwuid_r(_: u32, _: *mut c_void, _: *mut c_char, _: usize, result: *mut *mut c_void) -> c_int {
    if !result.is_null() {
        // SAFETY: not null, and by getpwuid_r's contract a place for one pointer.
        unsafe { *result = std::ptr::null_mut() };
    }
    0
}

/// Always "no such user": see [`getpwuid_r`].
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn getpwnam_r(
    _: *const c_char,
    _: *mut c_void,
    _: *mut c_char,
    _: usize,
    result: *mut *mut c_void,
) -> c_int {
    if !result.is_null() {
        // SAFETY: as in `getpwuid_r`.
        unsafe { *result = std::ptr::null_mut() };
    }
    0
}
