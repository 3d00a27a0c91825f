//! A small image with a shell, made of what the machine has: a static busybox, else the machine's own shell and tools with
//! their libraries, else the `runr` executable alone.

use super::image::{Image, ImageBuilder};
use super::layer::Layer;
use super::need::{Need, find_tool};
use super::sandbox::binary;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The tools that tests may use in the base image, whatever it is made of.
const TOOLS: &[&str] = &[
    "sh", "cat", "chmod", "chown", "cp", "cut", "date", "dd", "echo", "env", "false", "find", "grep", "head",
    "hostname", "id", "kill", "ln", "ls", "mkdir", "mkfifo", "mount", "mv", "printf", "ps", "pwd", "readlink", "rm",
    "sed", "seq", "sleep", "sort", "stat", "stty", "su", "tail", "tar", "test", "touch", "tr", "true", "tty", "umount",
    "uname", "wc", "whoami", "yes",
];

/// The base image, built once per test process. `Cmd` is `sh`, `PATH` is set.
pub fn base_image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        ImageBuilder::new()
            .layer(&base_layer())
            .config("Cmd", json!(["sh"]))
            .config("Env", json!(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]))
            .build()
    })
}

/// The base image must have a shell: it has unless the machine has neither busybox nor `ldd`.
pub fn shell() -> Need {
    if busybox().is_some() || find_tool("ldd").is_some() {
        Ok(())
    } else {
        Err("neither a static busybox nor `ldd` is there to make an image with a shell".to_owned())
    }
}

/// The base image's only layer, to put others on top.
pub fn base_layer() -> Layer {
    let layer = skeleton();
    match busybox() {
        Some(busybox) => with_busybox(layer, &busybox),
        None if find_tool("ldd").is_some() => with_own_tools(layer),
        None => layer.program("bin/runr", std::fs::read(binary()).unwrap()),
    }
}

fn skeleton() -> Layer {
    let mut layer = Layer::new();
    for (dir, mode) in [
        ("bin", 0o755),
        ("dev", 0o755),
        ("etc", 0o755),
        ("home", 0o755),
        ("proc", 0o555),
        ("root", 0o700),
        ("sys", 0o555),
        ("tmp", 0o1777),
        ("usr", 0o755),
        ("usr/bin", 0o755),
        ("var", 0o755),
    ] {
        layer = layer.dir(format!("{dir}/"), mode);
    }
    layer
        .entry(super::layer::Entry::new("home/user/", super::layer::Kind::Dir).owner(1000, 1000))
        .file(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n\
             user:x:1000:1000:User:/home/user:/bin/sh\n",
        )
        .file("etc/group", "root:x:0:\nnogroup:x:65534:\nuser:x:1000:\nextra:x:2000:user\n")
        .file("etc/hostname", "image\n")
}

/// A busybox that needs no library: asking it to run says more than its ELF header would.
fn busybox() -> Option<PathBuf> {
    let candidates = ["busybox", "busybox.static"].iter().filter_map(|n| find_tool(n));
    candidates.into_iter().find(|path| is_static(path))
}

fn is_static(path: &Path) -> bool {
    use object::{Object, read::elf::ProgramHeader};
    let Ok(bytes) = std::fs::read(path) else { return false };
    let Ok(elf) = object::read::elf::ElfFile64::<object::Endianness>::parse(&*bytes) else { return false };
    let endian = elf.endian();
    elf.kind() != object::ObjectKind::Unknown
        && elf.elf_program_headers().iter().all(|h| h.p_type(endian) != object::elf::PT_INTERP)
}

fn with_busybox(mut layer: Layer, busybox: &Path) -> Layer {
    let list = Command::new(busybox).arg("--list").output().expect("busybox --list");
    layer = layer.program("bin/busybox", std::fs::read(busybox).unwrap());
    let names: BTreeSet<&str> =
        std::str::from_utf8(&list.stdout).unwrap().lines().chain(TOOLS.iter().copied()).collect();
    for name in names.into_iter().filter(|n| !n.is_empty() && *n != "busybox") {
        // As tar(1) writes it: with the file's own mode, which podman gives to the file once more.
        let link = super::layer::Kind::Hardlink(b"bin/busybox".to_vec());
        layer = layer.entry(super::layer::Entry::new(format!("bin/{name}"), link).mode(0o755));
    }
    layer.symlink("usr/bin/env", "../../bin/env")
}

fn with_own_tools(mut layer: Layer) -> Layer {
    let mut libraries = BTreeSet::new();
    for name in TOOLS {
        let Some(path) = find_tool(name) else { continue };
        let listed = Command::new("ldd").arg(&path).output().expect("ldd");
        for word in String::from_utf8_lossy(&listed.stdout).split_whitespace().filter(|w| w.starts_with('/')) {
            libraries.insert(word.to_owned());
        }
        layer = layer.program(format!("bin/{name}"), std::fs::read(&path).unwrap());
    }
    let mut dirs = BTreeSet::new();
    for library in &libraries {
        // The loader is asked for by its absolute path, so every library stays where it is.
        for parent in Path::new(library).ancestors().skip(1).filter(|p| p.components().count() > 1) {
            dirs.insert(parent.to_path_buf());
        }
    }
    for dir in dirs.iter().filter(|d| *d != Path::new("/usr")) {
        layer = layer.dir(format!("{}/", dir.strip_prefix("/").unwrap().display()), 0o755);
    }
    for library in &libraries {
        layer = layer.program(library.trim_start_matches('/'), std::fs::read(library).unwrap());
    }
    layer
}
