//! A static program that the tests run inside containers: it makes one system call that no shell can make, and says what
//! the kernel answered (`ok VALUE` or the error's name). Built by `cargo test` as an example; nothing of it is installed.
//!
//! It has no Rust runtime (`no_main`): that would install signal handlers and open descriptors, which the tests look for.

#![no_main]
#![allow(unsafe_code, reason = "a program that only makes raw system calls")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "test code")]

use nix::errno::Errno;
use std::ffi::{CStr, CString, c_char, c_int, c_long};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;

/// The C entry point.
///
/// # Safety
/// The C library calls it, with `argc` strings.
// SAFETY: no other symbol of the program is called `main`: `no_main` leaves it out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    // SAFETY: the contract of main(3): `argc` NUL-terminated strings that live as long as the process.
    let args: Vec<String> =
        (1..argc as usize).map(|i| unsafe { CStr::from_ptr(*argv.add(i)) }.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let [command, rest @ ..] = words.as_slice() else { return 2 };
    match run(command, rest) {
        Some(answer) => {
            let mut out = std::io::stdout();
            drop(writeln!(out, "{answer}"));
            drop(out.flush());
            0
        }
        None => 2,
    }
}

/// The answer of one command; `None` for one that does not exist.
fn run(command: &str, args: &[&str]) -> Option<String> {
    let number = |i: usize| args.get(i).and_then(|a| parse(a)).unwrap_or(0);
    Some(match command {
        // Any call: its number and up to six numbers.
        "syscall" => answer(raw(number(0), std::array::from_fn(|i| number(i + 1)))),
        #[cfg(target_arch = "x86_64")]
        "int80" => answer(int80(number(0), number(1))),
        "fds" => descriptors(),
        "signals" => dispositions(),
        "keyring" => keyring(args),
        "find-key" => find_key(args.first()?),
        "tiocsti" => {
            let byte = b'X';
            // SAFETY: the call reads one byte from a live variable.
            answer(unsafe { libc::ioctl(0, libc::TIOCSTI, &raw const byte) }.into())
        }
        "abstract" => connect_abstract(args.first()?),
        "overwrite" => overwrite(args.first()?),
        "break-chroot" => break_chroot(args.first()?),
        _ => return None,
    })
}

fn parse(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok().map(|n| n as i64),
        None => text.parse().ok(),
    }
}

/// `ok VALUE`, or the name of the error in errno.
fn answer(ret: c_long) -> String {
    match Errno::result(ret) {
        Ok(value) => format!("ok {value}"),
        Err(e) => format!("{e:?}"),
    }
}

fn raw(number: i64, a: [i64; 6]) -> c_long {
    // SAFETY: the tests pass integers and null pointers only.
    let ret = unsafe { libc::syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]) };
    if ret == 0 && (number == libc::SYS_clone || number == libc::SYS_clone3) {
        // The child of a successful clone has nothing to say.
        // SAFETY: an integer; does not return.
        unsafe { libc::_exit(0) }
    }
    ret
}

/// A system call the way 32-bit programs make it, with one argument.
#[cfg(target_arch = "x86_64")]
fn int80(number: i64, argument: i64) -> c_long {
    let ret: i64;
    // SAFETY: the tests pass integers that are no addresses; the call changes no register but the result, which the kernel
    // writes as 32 bits; rbx belongs to the compiler, so it is put back.
    unsafe {
        std::arch::asm!(
            "xchg {argument}, rbx", "int 0x80", "xchg {argument}, rbx",
            argument = inout(reg) argument => _, inlateout("rax") number => ret,
            inout("rcx") 0 => _, inout("rdx") 0 => _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    let ret = c_long::from(ret as i32);
    if (-4095..0).contains(&ret) {
        Errno::from_raw(-ret as i32).set();
        return -1;
    }
    ret
}

/// Every open descriptor with what it is.
fn descriptors() -> String {
    let open = (0..1024).filter(|fd| {
        // SAFETY: integers only.
        unsafe { libc::fcntl(*fd, libc::F_GETFD) >= 0 }
    });
    let open: Vec<i32> = open.collect();
    let name = |fd: &i32| {
        let target = std::fs::read_link(format!("/proc/self/fd/{fd}"));
        format!("{fd}={}", target.map_or_else(|e| e.to_string(), |t| t.display().to_string()))
    };
    open.iter().map(name).collect::<Vec<_>>().join(" ")
}

/// The signals that are not at their default, and those that are blocked.
fn dispositions() -> String {
    let mut odd = Vec::new();
    for signal in (1..=64).filter(|s| ![32, 33].contains(s)) {
        // SAFETY: all-zero is a valid sigaction; a null new action only asks.
        let old = unsafe {
            let mut old: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &raw mut old) != 0 {
                continue;
            }
            old
        };
        if old.sa_sigaction != libc::SIG_DFL {
            odd.push(format!("{signal}:{}", if old.sa_sigaction == libc::SIG_IGN { "ignored" } else { "handled" }));
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let blocked = status.lines().find_map(|l| l.strip_prefix("SigBlk:\t")).unwrap_or("?").to_owned();
    format!("odd=[{}] blocked={blocked}", odd.join(" "))
}

/// `keyring NAME PROGRAM ARGS…`: joins a new session keyring, puts a key with that name into it, executes the program.
fn keyring(args: &[&str]) -> String {
    let [name, program @ ..] = args else { return "usage".to_owned() };
    let (kind, name) = (c"user", CString::new(*name).unwrap());
    // SAFETY: NUL-terminated strings that live until the calls return.
    let key = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, 0);
        libc::syscall(libc::SYS_add_key, kind.as_ptr(), name.as_ptr(), c"secret".as_ptr(), 6usize, -3)
    };
    if key < 0 {
        return answer(key);
    }
    let program: Vec<CString> = program.iter().map(|a| CString::new(*a).unwrap()).collect();
    let Err(e) = nix::unistd::execvp(&program[0], &program);
    format!("{e:?}")
}

/// Looks for a key in the session keyring and what is linked to it.
fn find_key(name: &str) -> String {
    let (kind, name) = (c"user", CString::new(name).unwrap());
    // SAFETY: NUL-terminated strings that live until the call returns.
    answer(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SEARCH, -3, kind.as_ptr(), name.as_ptr(), 0) })
}

/// Connects to an abstract socket of this network namespace.
fn connect_abstract(name: &str) -> String {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixStream};
    let address = SocketAddr::from_abstract_name(name).unwrap();
    match UnixStream::connect_addr(&address) {
        Ok(_) => "ok".to_owned(),
        Err(e) => errno_name(&e),
    }
}

/// Tries every way to write into the file behind a magic link such as `/proc/1/exe`: opens it, keeps the descriptor, makes
/// its mount writable if it is not, and reopens that for writing, as CVE-2019-5736 did.
fn overwrite(link: &str) -> String {
    let mut seen = Vec::new();
    match File::options().write(true).open(link) {
        Ok(mut file) => seen.push(format!("write {:?}", file.write(b"x").is_ok())),
        Err(e) => seen.push(format!("write {}", errno_name(&e))),
    }
    let mut file = match File::open(link) {
        Ok(file) => file,
        Err(e) => {
            seen.push(format!("read {}", errno_name(&e)));
            return seen.join(", ");
        }
    };
    let mut magic = [0; 4];
    drop(file.read(&mut magic));
    seen.push("read ok".to_owned());
    let again = format!("/proc/self/fd/{}", file.as_raw_fd());
    let remount = nix::mount::MsFlags::MS_REMOUNT | nix::mount::MsFlags::MS_BIND;
    let none: Option<&str> = None;
    if nix::mount::mount(none, again.as_str(), none, remount, none).is_ok() {
        seen.push("remounted".to_owned());
    }
    // struct mount_attr { attr_set, attr_clr, propagation, userns_fd }: clears MOUNT_ATTR_RDONLY.
    let attributes = [0u64, 1, 0, 0];
    // SAFETY: an empty path and a live structure of the size that is passed; the kernel only reads them.
    let set = unsafe {
        let size = size_of_val(&attributes);
        libc::syscall(libc::SYS_mount_setattr, file.as_raw_fd(), c"".as_ptr(), 0x1000, attributes.as_ptr(), size)
    };
    if set == 0 {
        seen.push("made writable".to_owned());
    }
    let flags = nix::sys::statvfs::fstatvfs(&file).map(|s| s.flags());
    let read_only = flags.is_ok_and(|f| f.contains(nix::sys::statvfs::FsFlags::ST_RDONLY));
    seen.push(if read_only { "read-only mount" } else { "writable mount" }.to_owned());
    match File::options().write(true).open(again) {
        Ok(_) => seen.push("reopen ok".to_owned()),
        Err(e) => seen.push(format!("reopen {}", errno_name(&e))),
    }
    seen.join(", ")
}

/// The name of an error's number.
fn errno_name(e: &std::io::Error) -> String {
    format!("{:?}", Errno::from_raw(e.raw_os_error().unwrap_or(0)))
}

/// The old way out of a chroot: a new root below the working folder, then up. Says whether `path` is seen from there.
fn break_chroot(path: &str) -> String {
    let out = || -> std::io::Result<()> {
        std::fs::create_dir_all("/tmp/deeper")?;
        nix::unistd::chdir("/")?;
        nix::unistd::chroot("/tmp/deeper")?;
        for _ in 0..64 {
            nix::unistd::chdir("..")?;
        }
        Ok(nix::unistd::chroot(".")?)
    };
    match out() {
        Ok(()) => format!("out, {}", if std::fs::symlink_metadata(path).is_ok() { "seen" } else { "not seen" }),
        Err(e) => e.to_string(),
    }
}
