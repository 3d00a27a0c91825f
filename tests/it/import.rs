//! `runr import`: an image from the archive of a root filesystem.

use crate::support::Sandbox;
use std::io::Write;

#[test]
fn what_was_exported_is_an_image_again() {
    need!(userns, shell);
    let sandbox = Sandbox::new();
    sandbox.base_image();
    let script = "echo kept > /file; ln -s file /link; mkdir -m 1777 /open; chmod 4755 /file";
    sandbox.line("run --name c --network none busybox sh -c").arg(script).output().ok();
    let archive = sandbox.path("root.tar");
    sandbox.line("export -o").arg(&archive).arg("c").output().ok();
    let plain = std::fs::read(&archive).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let packed = [gzip.finish().unwrap(), zstd::encode_all(&plain[..], 1).unwrap()];
    let changes = ["-c", "CMD [\"sh\", \"-c\", \"cat /link; stat -c %a /file /open; echo $X\"]", "-c", "ENV X=1"];
    let id = sandbox.line("import -m why").args(changes).arg(&archive).arg("flat:one").output().ok();
    assert!(id.starts_with("sha256:") && id.trim().len() == 71, "{id}");
    assert_eq!(sandbox.line("run --rm --network none flat:one").output().ok(), "kept\n4755\n1777\n1\n");
    let shown = "{{.Id}} {{.Comment}} {{len .RootFS.Layers}} {{index .RootFS.Layers 0}}";
    let described = |name: &str| sandbox.runr(["image", "inspect", "-f", shown, name]).output().ok();
    let words: Vec<String> = described("flat:one").split_whitespace().map(str::to_owned).collect();
    assert!(id.trim().ends_with(words[0].trim_start_matches("sha256:")), "{words:?}");
    assert_eq!(words[2], "1");
    let diff_id = format!("sha256:{}", sha256(&plain));
    assert_eq!(words[3], diff_id);
    for (number, archive) in packed.into_iter().enumerate() {
        let name = format!("flat:packed{number}");
        sandbox.line("import --platform linux/arm64 -").arg(&name).stdin(archive).output().ok();
        assert!(described(&name).trim().ends_with(&diff_id));
        let platform = sandbox.runr(["image", "inspect", "-f", "{{.Os}}/{{.Architecture}}", &name]).output().ok();
        assert_eq!(platform, "linux/arm64\n");
    }
    let events =
        sandbox.line("events --stream=false --since 1h --filter event=import --format {{.Name}}").output().ok();
    assert_eq!(events.lines().count(), 3, "{events}");
    assert!(events.starts_with("docker.io/library/flat:one\n"), "{events}");
}

/// SHA-256 in hex.
fn sha256(bytes: &[u8]) -> String {
    runr::image::Digest::of(bytes).to_string().trim_start_matches("sha256:").to_owned()
}

#[test]
fn what_is_no_archive_is_refused() {
    let sandbox = Sandbox::new();
    let bzip2: &[u8] = b"BZh91AY&SY";
    let xz: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0, 0, 4];
    for (input, said) in [
        (&b""[..], "it is not a tar archive"),
        (b"nonsense", "it is not a tar archive"),
        (&[b'7'; 2048], "it is not a tar archive"),
        (&[0x1f, 0x8b, 8, 0, 0, 0], "read the archive"),
        (bzip2, "`bzip2 -dc FILE | runr import -`"),
        (xz, "`xz -dc FILE | runr import -`"),
    ] {
        let refused = sandbox.line("import - name").stdin(input).output().fails(125);
        assert!(refused.contains("runr: import `-`: ") && refused.contains(said), "{refused}");
    }
    for (line, said) in [
        ("import", "missing argument"),
        ("import /nosuch", "open `/nosuch`"),
        ("import https://host/a.tar", "curl -L https://host/a.tar | runr import -"),
        ("import -c FROBNICATE - x", "FROBNICATE"),
        ("import - Bad:Name:x", "Bad:Name:x"),
        ("import --platform / - x", "invalid platform"),
    ] {
        let refused = sandbox.line(line).stdin([0; 1024]).output().fails(125);
        assert!(refused.contains(said), "{line}: {refused}");
    }
    assert_eq!(sandbox.line("images -q").output().ok(), "");
    let blobs = || std::fs::read_dir(sandbox.store().join("blobs/sha256")).into_iter().flatten().count();
    assert_eq!(blobs(), 0, "nothing is left of what failed");
}
