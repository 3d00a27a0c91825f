//! The static executable has no name service switch and can't load a library: by its symbol table, and by running it where
//! a hostile image would want it to load one (see `src/sys/nss.rs`).

use crate::support::{Sandbox, need::find_tool, sandbox::binary};
use object::elf::{PT_DYNAMIC, PT_INTERP};
use object::read::elf::{Dyn, ElfFile64, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol};
use std::path::Path;

/// Definitions of ours that stand where glibc's would be: nothing but "there is no such thing".
const OURS: &[&str] = &[
    "__gconv_find_shlib",
    "__gconv_release_shlib",
    "__nss_database_fork_prepare_parent",
    "__nss_database_fork_subprocess",
    "dlsym",
    "freeaddrinfo",
    "getaddrinfo",
    "getgrgid_r",
    "getgrnam_r",
    "getgrouplist",
    "getpwnam_r",
    "getpwuid_r",
    "initgroups",
];

/// What must not be in the executable at all, by the start of its name without leading underscores.
const FORBIDDEN: &[&str] = &[
    "dl_open",
    "dlmopen",
    "dlopen",
    "gaih_",
    "getaddrinfo",
    "getgr",
    "gethostby",
    "getpw",
    "getserv",
    "iconv_open",
    "libc_dlopen",
    "libc_dlsym",
    "nscd_",
    "nss_",
    "res_nsearch",
    "res_query",
];

/// Names that start like a forbidden one and are something else.
const OTHERS: &[&str] = &["getgroups"];

/// The largest stub, in bytes of code; glibc's functions of these names have many hundreds.
const STUB_BYTES: u64 = 200;

/// The names of `symbols` (name, size) that reach the loader or the name service switch.
fn offenders<'a>(symbols: impl Iterator<Item = (&'a str, u64)>) -> Vec<String> {
    let bad = |(name, size): (&'a str, u64)| {
        let bare = name.trim_start_matches('_');
        if OURS.contains(&name) {
            return (size > STUB_BYTES).then(|| format!("{name} ({size} bytes: not the stub of sys::nss)"));
        }
        (FORBIDDEN.iter().any(|f| bare.starts_with(f)) && !OTHERS.contains(&bare)).then(|| name.to_owned())
    };
    symbols.filter_map(bad).collect()
}

#[test]
fn the_executable_is_static_and_has_no_name_service_switch() {
    let bytes = std::fs::read(binary()).unwrap();
    let elf = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
    let endian = elf.endian();
    for header in elf.elf_program_headers() {
        assert_ne!(header.p_type(endian), PT_INTERP, "the executable asks for a loader");
        if header.p_type(endian) == PT_DYNAMIC {
            // A position-independent static executable has this table, for its own relocations.
            let needed = header.dynamic(endian, &*bytes).unwrap().unwrap().iter();
            assert_eq!(needed.filter(|d| d.tag(endian) == object::elf::DT_NEEDED).count(), 0);
        }
    }
    let symbols = || elf.symbols().filter(|s| s.is_definition()).filter_map(|s| Some((s.name().ok()?, s.size())));
    assert!(symbols().any(|(name, _)| name == "main"), "the symbol table is stripped: nothing can be checked");
    assert_eq!(offenders(symbols()), Vec::<String>::new());
}

#[test]
fn offenders_are_recognised() {
    let cases: &[(&str, u64, bool)] = &[
        ("getaddrinfo", 16, false),
        ("getaddrinfo", 3000, true),
        ("__getpwuid_r", 16, true),
        ("getpwuid_r", 48, false),
        ("__nss_database_get", 10, true),
        ("_nss_files_setpwent", 10, true),
        ("__libc_dlopen_mode", 10, true),
        ("_dl_open", 10, true),
        ("_dl_relocate_static_pie", 10, false),
        ("getgroups", 10, false),
        ("memcpy", 10, false),
    ];
    for (name, size, expected) in cases {
        assert_eq!(!offenders(std::iter::once((*name, *size))).is_empty(), *expected, "{name} {size}");
    }
}

/// A library that tells when it is loaded, under every name glibc would try.
fn hostile_tree(sandbox: &Sandbox) -> std::path::PathBuf {
    let tree = sandbox.path("tree");
    let source = sandbox.write(
        "hostile.c",
        "#include <fcntl.h>\n#include <unistd.h>\n__attribute__((constructor)) static void loaded(void) {\n\
         close(open(\"/loaded\", O_CREAT | O_WRONLY, 0666)); }\n",
    );
    let library = sandbox.path("hostile.so");
    let cc = sandbox.command("cc").args(["-shared", "-fPIC", "-nostartfiles", "-o"]).arg(&library).arg(source);
    cc.output().ok();
    let bytes = std::fs::read(library).unwrap();
    let folders = ["lib", "lib64", "usr/lib", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "usr/lib64", "root"];
    for folder in folders {
        for name in ["files", "dns", "compat", "hostile", "systemd", "myhostname"] {
            sandbox.write(format!("tree/{folder}/libnss_{name}.so.2"), &bytes);
        }
        sandbox.write(format!("tree/{folder}/gconv/UTF-16.so"), &bytes);
        sandbox.write(format!("tree/{folder}/gconv/gconv-modules"), "module UTF-16// INTERNAL UTF-16 1\n");
    }
    for folder in ["tmp", "proc", "home", "etc"] {
        std::fs::create_dir_all(tree.join(folder)).unwrap();
    }
    sandbox.write(
        "tree/etc/nsswitch.conf",
        "passwd: hostile files\ngroup: hostile files\nhosts: hostile files dns\nsubid: hostile\n",
    );
    sandbox.write("tree/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
    std::fs::copy(binary(), tree.join("runr")).unwrap();
    tree
}

#[test]
fn a_hostile_libnss_in_its_root_is_never_loaded() {
    need!(userns, tool("cc"), tool("unshare"), tool("chroot"));
    let sandbox = Sandbox::new();
    let tree = hostile_tree(&sandbox);
    let run = |line: &str| {
        let command = sandbox.command(find_tool("unshare").unwrap()).args(["--map-root-user", "chroot"]);
        let command = command.arg(&tree).arg("/runr").args(line.split(' '));
        // Each of these asks for the user's name, a home, or a host's address.
        command.env("HOME", "/home").env("TMPDIR", "/tmp").env("XDG_DATA_HOME", "/home").env_remove("XDG_RUNTIME_DIR")
    };
    for line in [
        "__rmtree /tmp/none",
        "version",
        "info",
        "images",
        "pull docker://localhost:1/none",
        "pull registry.invalid/none",
        "run --rm --user nobody --rootfs / /runr version",
    ] {
        let outcome = run(line).output();
        assert!(outcome.status.code().is_some(), "`{line}` was killed: {}", outcome.stderr);
        assert!(!Path::new(&tree.join("loaded")).exists(), "`{line}` loaded the hostile library");
    }
}
