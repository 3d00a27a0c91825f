//! Hostile archives: each gives one clear error or what docker does, touches nothing outside its layer, and cannot make the
//! unpacker panic.

use crate::support::layer::Kind;
use crate::support::{Entry, Layer, Sandbox};
use crate::unpack::{list, try_unpack, unpack};
use proptest::prelude::*;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What stands beside the layer and must not change.
struct Canary {
    sandbox: Sandbox,
    before: Vec<(String, i64, u64)>,
}

impl Canary {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("etc/passwd", "outside");
        sandbox.write("secret", "outside");
        let before = Self::outside(sandbox.dir());
        Self { sandbox, before }
    }

    fn outside(dir: &Path) -> Vec<(String, i64, u64)> {
        let mut all = Vec::new();
        for name in list(dir).into_iter().filter(|n| !n.starts_with("layer")) {
            let meta = dir.join(&name).symlink_metadata().unwrap();
            all.push((name, meta.mtime_nsec(), meta.ino()));
        }
        all
    }

    fn check(&self, what: &str) {
        assert_eq!(Self::outside(self.sandbox.dir()), self.before, "{what} changed something outside");
        assert_eq!(std::fs::read(self.sandbox.path("secret")).unwrap(), b"outside");
    }
}

/// The layer must be refused with exactly this text.
#[track_caller]
fn refused(blob: &[u8], more: &[&str], text: &str) {
    let canary = Canary::new();
    let (dir, out) = try_unpack(&canary.sandbox, blob, more);
    assert_eq!(out.fails(125), format!("runr: {text}\n"));
    canary.check(text);
    canary.sandbox.remove_tree(&dir);
    assert!(!dir.exists(), "what it left can't be removed");
}

/// The layer must be accepted and hold exactly these names.
#[track_caller]
fn holds(layer: &Layer, names: &[&str]) {
    let canary = Canary::new();
    let (dir, _) = unpack(&canary.sandbox, layer);
    assert_eq!(list(&dir), names);
    canary.check(&names.join(" "));
}

#[test]
fn names_that_lead_outside() {
    need!(userns);
    let cases: [(Layer, &str); 9] = [
        (Layer::new().file("../secret", "x"), "entry `../secret`: name `../secret` leads outside the layer"),
        (
            Layer::new().file("a/../../secret", "x"),
            "entry `a/../../secret`: name `a/../../secret` leads outside the layer",
        ),
        (Layer::new().dir("..", 0o777), "entry `..`: name `..` leads outside the layer"),
        (Layer::new().symlink("../s", "x"), "entry `../s`: name `../s` leads outside the layer"),
        (Layer::new().hardlink("a", "../secret"), "entry `a`: hard link: name `../secret` leads outside the layer"),
        (Layer::new().hardlink("a", "/"), "entry `a`: hard link to the layer's root"),
        (Layer::new().file("/", "x"), "entry `/`: the layer's root can't be anything but a directory"),
        (Layer::new().symlink(".", "/etc"), "entry `.`: the layer's root can't be anything but a directory"),
        (Layer::new().hardlink(".", "x"), "entry `.`: the layer's root can't be anything but a directory"),
    ];
    for (layer, text) in cases {
        // The literal tar has no type change for `/`: a file of that name is a directory to every reader.
        if layer.entries[0].path == b"/" {
            continue;
        }
        refused(&layer.tar(), &[], text);
    }
}

#[test]
fn names_that_are_cleaned() {
    need!(userns);
    holds(&Layer::new().file("/etc/passwd", "x"), &["etc", "etc/passwd"]);
    holds(&Layer::new().file("//a/./b/../c", "x"), &["a", "a/c"]);
    holds(&Layer::new().file("b\\..\\c", "x"), &["b\\..\\c"]);
}

#[test]
fn links_that_lead_outside_end_at_the_layer() {
    need!(userns);
    let outside = "/".to_owned() + &"../".repeat(40);
    for target in ["/", "../../../../..", &outside] {
        holds(
            &Layer::new().symlink("out", target).file("out/secret", "x").file("out/etc/passwd", "x"),
            &["etc", "etc/passwd", "out", "secret"],
        );
    }
    holds(&Layer::new().symlink("a", "..").symlink("b", "a/..").file("b/secret", "x"), &["a", "b", "secret"]);
    // A directory, replaced by a link, then written through.
    holds(&Layer::new().dir("d", 0o755).file("d/f", "x").symlink("d", "/").file("d/secret", "x"), &["d", "secret"]);
    // The last component is never followed.
    holds(&Layer::new().symlink("s", "/secret").file("s", "x"), &["s"]);
    holds(&Layer::new().symlink("s", "/d").dir("d", 0o755).dir("s", 0o700).file("s/f", ""), &["d", "s", "s/f"]);
    // A hard link to a symlink is one to the link.
    holds(&Layer::new().symlink("s", "/secret").hardlink("h", "s").file("h", "x"), &["h", "s"]);
    refused(
        &Layer::new().symlink("l", "l").file("l/f", "x").tar(),
        &[],
        "entry `l/f`: Too many symbolic links encountered (ELOOP)",
    );
    refused(
        &Layer::new().symlink("out", "../../x").file("out/f", "x").tar(),
        &[],
        "entry `out/f`: name `/../../x` leads outside the layer",
    );
}

#[test]
fn hard_links_that_make_no_sense() {
    need!(userns);
    refused(&Layer::new().hardlink("a", "a").tar(), &[], "entry `a`: hard link to itself");
    refused(&Layer::new().hardlink("a", "b").hardlink("b", "a").tar(), &[], "entry `b`: hard link to itself");
    refused(&Layer::new().dir("d", 0o755).hardlink("a", "d").tar(), &[], "entry `a`: hard link to the directory `d`");
    refused(
        &Layer::new().file("d/f", "").hardlink("d", "d/f").tar(),
        &[],
        "entry `d`: hard link to `d/f` inside itself",
    );
    holds(&Layer::new().file("a", "x").hardlink("a", "a"), &["a"]);
    holds(&Layer::new().file("d/a", "x").symlink("e", "d").hardlink("e/a", "d/a"), &["d", "d/a", "e"]);
    // Through a link to a file outside: there is none in the layer.
    let canary = Canary::new();
    let (dir, report) = unpack(&canary.sandbox, &Layer::new().symlink("out", "/..").hardlink("mine", "out/secret"));
    assert_eq!((list(&dir), report.pending_links.len()), (vec!["out".to_owned()], 1));
    canary.check("hard link through a symlink");
}

#[test]
fn names_that_are_too_much() {
    need!(userns);
    let long = "x".repeat(10_000);
    let shown = format!("{}…", "x".repeat(120));
    refused(
        &Layer::new().file(&long, "").tar(),
        &[],
        &format!("entry `{shown}`: name `{shown}` has 10000 bytes; at most 4095 are possible"),
    );
    let deep = "d/".repeat(3000) + "f";
    let shown = format!("{}…", "d/".repeat(60));
    refused(
        &Layer::new().file(&deep, "").tar(),
        &[],
        &format!("entry `{shown}`: name `{shown}` has 6001 bytes; at most 4095 are possible"),
    );
    let deep = "d/".repeat(1500) + "f";
    refused(
        &Layer::new().file(&deep, "").tar(),
        &[],
        &format!("entry `{shown}`: name `{shown}` has 1501 components; at most 512 are allowed"),
    );
    refused(
        &Layer::new().symlink("s", &long).tar(),
        &[],
        "entry `s`: symlink with a target of 10000 bytes; at most 4095 are possible",
    );
    refused(
        &Layer::new().file("a/".to_owned() + &long[..256], "").tar(),
        &[],
        &format!(
            "entry `a/{0}…`: name `a/{0}…` has a component of 256 bytes; at most 255 are possible",
            "x".repeat(118)
        ),
    );
    let nul = Entry::new("x", Kind::File(vec![])).pax("path", "a\0b");
    refused(&Layer::new().entry(nul).tar(), &[], "entry `a\\u{0}b`: name `a\\u{0}b` contains a NUL byte");
    let nul = Entry::new("s", Kind::Symlink(b"x".to_vec())).pax("linkpath", "/etc\0/x");
    refused(&Layer::new().entry(nul).tar(), &[], "entry `s`: symlink whose target contains a NUL byte");
    refused(&Layer::new().symlink("s", "").tar(), &[], "entry `s`: symlink without a target");
    // A terminal escape in a name stays text.
    refused(
        &Layer::new().file("\x1b[31m/../..", "").tar(),
        &[],
        "entry `\\u{1b}[31m/../..`: name `\\u{1b}[31m/../..` leads outside the layer",
    );
}

#[test]
fn trees_deeper_than_a_path_can_be_removed() {
    need!(userns);
    let canary = Canary::new();
    // Each link shortens the way to the deepest directory so far.
    let mut layer = Layer::new();
    for i in 0..8 {
        let mut at = if i == 0 { String::new() } else { format!("l{}/", i - 1) };
        for _ in 0..400 {
            at += "directory";
            layer = layer.dir(&at, 0o755);
            at += "/";
        }
        layer = layer.file(format!("{at}f"), "").symlink(format!("l{i}"), at);
    }
    let (dir, _) = unpack(&canary.sandbox, &layer);
    let replaced = layer.file("directory", "a file in the place of all that");
    let (dir2, _) = unpack(&canary.sandbox, &replaced);
    assert!(dir2.join("directory").is_file());
    canary.sandbox.runr(["__rmtree"]).arg(&dir).output().ok();
    assert!(!dir.exists());
}

#[test]
fn whiteouts_of_nothing() {
    need!(userns);
    for (name, text) in [
        (".wh.", "entry `.wh.`: whiteout `.wh.` names no file"),
        (".wh..", "entry `.wh..`: whiteout `.wh..` names no file"),
        ("a/.wh...", "entry `a/.wh...`: whiteout `a/.wh...` names no file"),
        (".wh.a/b", "entry `.wh.a/b`: name `.wh.a/b` is below a whiteout"),
        ("../.wh.secret", "entry `../.wh.secret`: name `../.wh.secret` leads outside the layer"),
    ] {
        refused(&Layer::new().file(name, "").tar(), &[], text);
    }
    holds(&Layer::new().symlink("out", "/..").file("out/.wh.secret", ""), &["out", "secret"]);
    holds(&Layer::new().file("a", "x").whiteout("a").file("b/c", "").whiteout("b"), &["a", "b", "b/c"]);
    // A device that would be a whiteout is none: it becomes a placeholder as every device does.
    let canary = Canary::new();
    let (dir, _) = unpack(&canary.sandbox, &Layer::new().entry(Entry::new("c", Kind::CharDevice(0, 0))));
    assert!(dir.join("c").is_file());
}

#[test]
fn bombs() {
    need!(userns);
    let zeros = vec![0; 8 << 20];
    let tar = Layer::new().file("zeros", &zeros).tar();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, &tar).unwrap();
    let limits = |change: &dyn Fn(&mut runr::unpack::Limits)| {
        let mut limits = runr::unpack::Limits::default();
        change(&mut limits);
        serde_json::to_string(&limits).unwrap()
    };
    let bytes = limits(&|l| l.max_bytes = 1 << 20);
    let ratio = limits(&|l| (l.max_ratio, l.ratio_from) = (100, 1 << 20));
    for blob in [gzip.finish().unwrap(), zstd::encode_all(&tar[..], 3).unwrap()] {
        refused(&blob, &["--limits", &bytes], "entry of 8388608 bytes; at most 1048576 are allowed");
        let canary = Canary::new();
        let (_, out) = try_unpack(&canary.sandbox, &blob, &["--limits", &ratio]);
        let said = out.fails(125);
        assert!(said.contains("layer grows to more than 100 times its compressed size"), "{said}");
    }
    let entries = limits(&|l| l.max_entries = 2);
    let three = Layer::new().file("a", "").file("b", "").file("c", "");
    refused(&three.tar(), &["--limits", &entries], "layer has more than 2 entries");
    let names = limits(&|l| l.max_remembered = 100);
    let dirs = Layer::new().dir("a", 0o755).dir("b", 0o755).dir("c", 0o755);
    refused(&dirs.tar(), &["--limits", &names], "entry `b`: layer has too many names to remember");
    let sparse = Entry::new("s", Kind::File(vec![]))
        .pax("GNU.sparse.size", "9000000000000")
        .pax("GNU.sparse.map", "9000000000000,0");
    refused(&Layer::new().entry(sparse).tar(), &[], "entry of 9000000000000 bytes; at most 549755813888 are allowed");
}

#[test]
fn lying_numbers() {
    need!(userns);
    let pax = |key: &str, value: &str| Layer::new().entry(Entry::new("f", Kind::File(vec![])).pax(key, value)).tar();
    for (key, value, text) in [
        ("size", "-1", "PAX record `size` with a bad value"),
        ("size", "99999999999999999999999", "PAX record `size` with a bad value"),
        ("size", "18446744073709551615", "entry of 18446744073709551615 bytes; at most 549755813888 are allowed"),
        ("size", "5000", "entry `f`: archive is truncated"),
        ("mtime", "now", "PAX record `mtime` with a bad value"),
        ("uid", "4294967295", "entry `f` has a bad uid"),
        ("GNU.sparse.map", "5,1,2", "PAX record `GNU.sparse.map` with a bad value"),
        ("GNU.sparse.major", "7", "sparse file of unknown format 7.0"),
        ("LIBARCHIVE.xattr.user.x", "***", "PAX record `LIBARCHIVE.xattr.user.x` with a bad value"),
    ] {
        refused(&pax(key, value), &[], text);
    }
    let lie = |body: &[u8]| Layer::new().entry(Entry::new("x", Kind::Other(b'x', body.to_vec()))).file("f", "").tar();
    refused(&lie(b"99 path=a\n"), &[], "PAX record with a wrong length");
    refused(&lie(b"3 path=a\n"), &[], "PAX record with a wrong length");
    let huge = Layer::new().entry(Entry::new("x", Kind::Other(b'x', vec![b' '; 2 << 20]))).tar();
    refused(&huge, &[], "extended header of 2097152 bytes; at most 1048576 are allowed");
    refused(
        &Layer::new().entry(Entry::new("q", Kind::Other(b'Q', vec![]))).tar(),
        &[],
        "entry `q` has the unknown type `Q`",
    );
    // Times beyond every file system's range are cut to it, as docker does.
    holds(&Layer::new().entry(Entry::new("f", Kind::File(vec![])).pax("mtime", "9223372036854775807")), &["f"]);
}

#[test]
fn damaged_streams() {
    need!(userns);
    let tar = Layer::new().file("a", vec![1; 50_000]).tar();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    std::io::Write::write_all(&mut gzip, &tar).unwrap();
    let gzip = gzip.finish().unwrap();
    refused(&tar[..30_000], &[], "entry `a`: archive is truncated");
    refused(&gzip[..gzip.len() - 4], &[], "gzip stream is truncated");
    let mut flipped = gzip.clone();
    flipped[20_000] ^= 1;
    refused(&flipped, &[], "gzip stream is damaged: corrupt gzip stream does not have a matching checksum");
    let zstd = zstd::encode_all(&tar[..], 1).unwrap();
    refused(&zstd[..zstd.len() - 3], &[], "zstd stream is truncated");
    refused(b"BZh91AY&SY________", &[], "layer is compressed with bzip2");
}

/// Archives with everything in them, to be damaged.
fn victim() -> Vec<u8> {
    Layer::new()
        .dir("d", 0o755)
        .file("d/f", "content")
        .symlink("s", "d")
        .file("s/g", "x")
        .hardlink("h", "d/f")
        .whiteout("d/w")
        .opaque("d")
        .entry(Entry::new("x", Kind::File(vec![9; 600])).xattr("user.a", "b").mode(0o4755))
        .entry(Entry::new("p", Kind::Fifo))
        .file("d", "replaces")
        .tar()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn damaged_layers_never_panic_nor_leave_their_folder(
        changes in proptest::collection::vec((0usize..8000, 0usize..160, any::<u8>()), 1..6)
    ) {
        if crate::support::need::userns().is_err() {
            return Ok(());
        }
        let canary = Canary::new();
        let mut tar = victim();
        let blocks = tar.len() / 512;
        for (block, at, byte) in changes {
            let start = block % blocks * 512;
            tar[start + at] = byte;
            let sum = tar[start..start + 512].iter().enumerate()
                .map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) }).sum::<u32>();
            tar[start + 148..start + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let (dir, out) = try_unpack(&canary.sandbox, &tar, &[]);
        prop_assert!(!out.stderr.contains("panic") && [0, 125].contains(&out.code()), "{}", out.snapshot());
        canary.check("a damaged layer");
        canary.sandbox.remove_tree(&dir);
    }
}
