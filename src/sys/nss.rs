//! Why the static executable cannot be tricked into loading a library: it has no name service switch and no `dlopen`.
//!
//! In a static glibc program `getaddrinfo` and `getpw*` load `libnss_*.so` at run time: another glibc's on the host (a
//! crash), the image's after a chroot (its code with our rights, the class of CVE-2019-14271). runr resolves names and reads
//! user files itself. But libraries it uses (std's `home_dir`, hyper's default resolver, nix's `Group`) mention these
//! functions, and a mention is enough to link glibc's. The definitions below are found first by the linker, so glibc's are
//! never linked: whoever calls them by mistake gets "no such entry".
//!
//! Three parts of glibc itself reach the loader by other ways, which end here too:
//! - `fork` tells the name service switch's cache about the child;
//! - `assert` and `printf` may translate and convert text, and iconv loads a converter for what is not UTF-8;
//! - `dlsym` is how std and getrandom ask whether libc has a newer function: "no" makes them use the system call.
//!
//! `tests/it/nss.rs` checks the symbol table of the executable: it names whoever comes back.

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

/// Always "no such group": see [`getpwuid_r`].
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn getgrgid_r(_: u32, _: *mut c_void, _: *mut c_char, _: usize, result: *mut *mut c_void) -> c_int {
    if !result.is_null() {
        // SAFETY: as in `getpwuid_r`.
        unsafe { *result = std::ptr::null_mut() };
    }
    0
}

/// Always "no such group": see [`getpwuid_r`].
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn getgrnam_r(
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

/// Always fails: groups come from the files that runr reads itself.
// SAFETY: as above; touches no argument, which getgrouplist(3) allows for a result of -1 with a count of zero.
#[unsafe(no_mangle)]
extern "C" fn getgrouplist(_: *const c_char, _: u32, _: *mut u32, count: *mut c_int) -> c_int {
    if !count.is_null() {
        // SAFETY: not null, and by getgrouplist's contract the caller's live in and out counter.
        unsafe { *count = 0 };
    }
    -1
}

/// Always fails: see [`getgrouplist`].
// SAFETY: as above; touches no argument.
#[unsafe(no_mangle)]
extern "C" fn initgroups(_: *const c_char, _: u32) -> c_int {
    -1
}

/// glibc's `fork` saves the state of the name service switch here, on its own stack, before it forks. There is none.
// SAFETY: as above; the buffer stays as `fork` made it, and only the function below, which ignores it, gets it.
#[unsafe(no_mangle)]
extern "C" fn __nss_database_fork_prepare_parent(_: *mut c_void) {}

/// The counterpart in the child.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn __nss_database_fork_subprocess(_: *mut c_void) {}

/// iconv's "load the module with this converter": there is none.
// SAFETY: as above; null is what glibc's own returns when the file can't be loaded.
#[unsafe(no_mangle)]
extern "C" fn __gconv_find_shlib(_: *const c_char) -> *mut c_void {
    std::ptr::null_mut()
}

/// Releases what [`__gconv_find_shlib`] never gave.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn __gconv_release_shlib(_: *mut c_void) {}

/// Always "no such symbol".
// SAFETY: as above; null is what dlsym(3) returns for an unknown name.
#[unsafe(no_mangle)]
extern "C" fn dlsym(_: *mut c_void, _: *const c_char) -> *mut c_void {
    std::ptr::null_mut()
}
