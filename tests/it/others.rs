//! Images that other tools made and pushed to a real registry, pulled and run: what is in the container is what those tools say.

use crate::support::{Compression, DockerRegistry, ImageBuilder, Run, Sandbox, base_image};
use serde_json::Value;
use std::collections::BTreeSet;

/// The digest of the manifest that skopeo sees under a name.
fn skopeo_digest(sandbox: &Sandbox, name: &str) -> String {
    let inspect = ["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &format!("docker://{name}")];
    sandbox.command("skopeo").args(inspect).output().ok().trim().to_owned()
}

fn inspect(sandbox: &Sandbox, name: &str) -> Value {
    let text = sandbox.runr(["inspect", "--type", "image", name]).output().ok();
    serde_json::from_str::<Value>(&text).unwrap()[0].take()
}

#[test]
fn what_skopeo_pushed_in_every_compression_runs() {
    need!(userns, overlay, shell, tool("docker-registry"), tool("skopeo"));
    let (sandbox, registry) = (Sandbox::new(), DockerRegistry::start());
    let layout = sandbox.path("layout");
    base_image().write_oci_layout(&layout, "base");
    let ways: [(&str, &[&str]); 4] = [
        ("gzip", &["--format", "oci", "--dest-compress-format", "gzip"]),
        ("zstd", &["--format", "oci", "--dest-compress-format", "zstd"]),
        ("plain", &["--format", "oci", "--dest-decompress"]),
        ("docker", &["--format", "v2s2"]),
    ];
    for (tag, flags) in ways {
        let name = registry.name(&format!("app:{tag}"));
        let copy = ["copy", "-q", "--dest-tls-verify=false", "--insecure-policy"];
        let (from, to) = (format!("oci:{}:base", layout.display()), format!("docker://{name}"));
        sandbox.command("skopeo").args(copy).args(flags).arg(from).arg(to).output().ok();
        assert_eq!(sandbox.runr(["run", "--rm", "-q", &name, "echo", tag]).output().ok(), format!("{tag}\n"));
        let digest = skopeo_digest(&sandbox, &name);
        let shown = inspect(&sandbox, &name);
        // Images with the same config are one image with several manifests.
        let digests = shown["RepoDigests"].as_array().unwrap();
        assert!(digests.contains(&format!("{}@{digest}", registry.name("app")).into()), "{tag}: {shown:#}");
        // By digest, and with a tag that then does not matter.
        let id = sandbox.runr(["pull", "-q", &format!("{}@{digest}", registry.name("app"))]).output().ok();
        let both = sandbox.runr(["pull", "-q", &format!("{name}@{digest}")]).output().ok();
        assert_eq!((id.trim(), both.trim()), (shown["Id"].as_str().unwrap(), shown["Id"].as_str().unwrap()), "{tag}");
    }
}

#[test]
fn what_buildah_and_umoci_made_runs() {
    need!(userns, subids, overlay, shell, tool("docker-registry"), tool("skopeo"), tool("buildah"), tool("umoci"));
    let (sandbox, registry) = (Sandbox::new(), DockerRegistry::start());
    let name = registry.push(base_image(), "base", "1");
    let script = "set -e
        b='buildah --root '$PWD'/b/root --runroot '$PWD'/b/run --storage-driver vfs'
        c=$($b from --tls-verify=false \"$1/base:1\")
        echo data >stuff; chmod 4755 stuff
        $b copy --quiet --chown 1000:1000 --chmod 4755 \"$c\" stuff /data >&2
        $b config --user 1000 --env A=b \"$c\"
        for format in oci docker; do
            $b commit --quiet --format $format \"$c\" made-$format >&2
            $b push --quiet --tls-verify=false made-$format \"docker://$1/made:$format\" >&2
        done
        skopeo copy -q --src-tls-verify=false --insecure-policy \"docker://$1/base:1\" oci:umoci:base >&2
        mkdir in; echo other >in/other
        umoci insert --rootless --image umoci:base in /opt
        skopeo copy -q --dest-tls-verify=false --insecure-policy oci:umoci:base \"docker://$1/umoci:1\" >&2
        $b rm \"$c\" >&2";
    sandbox.command("sh").args(["-c", script, "sh", registry.address()]).cwd(sandbox.dir()).output().ok();
    let look = "stat -c '%a %u:%g' /data; cat /data; id -u; echo $A";
    for format in ["oci", "docker"] {
        let name = registry.name(&format!("made:{format}"));
        let seen = sandbox.runr(["run", "--rm", "-q", &name, "sh", "-c", look]).output().ok();
        assert_eq!(seen, "4755 1000:1000\ndata\n1000\nb\n", "{format}");
    }
    let seen = sandbox.runr(["run", "--rm", "-q", &registry.name("umoci:1"), "cat", "/opt/other"]).output().ok();
    assert_eq!(seen, "other\n");
    assert_eq!(sandbox.runr(["run", "--rm", "-q", &name, "echo", "base"]).output().ok(), "base\n");
}

/// podman with a store of its own in the sandbox.
fn podman(sandbox: &Sandbox, args: &[&str]) -> Run {
    let dir = |name: &str| sandbox.path("p").join(name).display().to_string();
    let flags = ["--cgroup-manager", "cgroupfs", "--runtime", "runc"];
    let folders = ["--root", &dir("root"), "--runroot", &dir("run"), "--tmpdir", &dir("tmp")].map(str::to_owned);
    sandbox.command("podman").args(folders).args(flags).args(args)
}

#[test]
fn what_podman_pushed_runs() {
    need!(userns, subids, overlay, shell, tool("docker-registry"), tool("podman"), tool("runc"));
    let (sandbox, registry) = (Sandbox::new(), DockerRegistry::start());
    let base = registry.push(base_image(), "base", "1");
    let podman = |args: &[&str]| podman(&sandbox, args).output().ok();
    podman(&["pull", "-q", "--tls-verify=false", &base]);
    podman(&["create", "--name", "c", &base, "true"]);
    let stuff = sandbox.write("stuff", "data\n");
    podman(&["cp", stuff.to_str().unwrap(), "c:/data"]);
    for format in ["oci", "docker"] {
        let name = registry.name(&format!("made:{format}"));
        podman(&["commit", "-q", "--format", format, "--change", "ENV A=b", "c", &name]);
        podman(&["push", "-q", "--tls-verify=false", "--format", if format == "oci" { "oci" } else { "v2s2" }, &name]);
        let seen = sandbox.runr(["run", "--rm", "-q", &name, "sh", "-c", "cat /data; echo $A"]).output().ok();
        assert_eq!(seen, "data\nb\n", "{format}");
        // The same image by the same id.
        let id = podman(&["image", "inspect", "--format", "{{.Id}}", &name]);
        assert_eq!(inspect(&sandbox, &name)["Id"], format!("sha256:{}", id.trim()));
    }
    podman(&["rm", "c"]);
    podman(&["rmi", "-f", "-a"]);
    // It leaves a process that keeps its user namespace.
    podman(&["system", "migrate"]);
}

#[test]
fn the_real_alpine_is_whole() {
    need!(userns, subids, overlay, alpine, tool("docker-registry"));
    let (sandbox, registry) = (Sandbox::new(), DockerRegistry::start());
    let name = real(&registry, "RUNR_TEST_ALPINE_TAR", "alpine");
    let run = |script: &str| sandbox.runr(["run", "--rm", "-q", &name, "sh", "-c", script]).output().ok();
    assert!(run("apk info").lines().any(|line| line == "musl"));
    assert_eq!(run("id -u; su nobody -s /bin/sh -c 'id -un'"), "0\nnobody\n");
    let setuid = "find / -xdev -perm -4000 -type f -exec stat -c '%a %u:%g %n' {} + | sort";
    let expected = tar_listing("RUNR_TEST_ALPINE_TAR");
    let seen = run(setuid);
    assert_eq!(seen.lines().map(str::to_owned).collect::<Vec<_>>(), expected);
}

#[test]
fn the_real_debian_is_whole() {
    need!(userns, subids, overlay, debian, tool("docker-registry"));
    let (sandbox, registry) = (Sandbox::new(), DockerRegistry::start());
    let name = real(&registry, "RUNR_TEST_DEBIAN_TAR", "debian");
    let run = |script: &str| sandbox.runr(["run", "--rm", "-q", &name, "sh", "-c", script]).output().ok();
    assert!(run("apt-get --version").starts_with("apt "));
    assert!(run("id").starts_with("uid=0(root) gid=0(root)"));
    let setuid = "find / -xdev -perm -4000 -type f -exec stat -c '%a %u:%g %n' {} + | LC_ALL=C sort";
    assert_eq!(run(setuid).lines().map(str::to_owned).collect::<Vec<_>>(), tar_listing("RUNR_TEST_DEBIAN_TAR"));
}

/// All that `ls -ln` shows of a file, and the same of directories but for their sizes and link counts, which are the file
/// system's. What the program that runs the container puts there is left out, and so is the root, whose mode podman makes 0555.
const LISTING: &str = "cd /; find . -xdev \\( -path ./dev -o -path ./proc -o -path ./sys -o -path ./run -o -path ./etc/hosts \
    -o -path ./etc/hostname -o -path ./etc/resolv.conf -o -path ./etc/mtab \\) -prune \
    -o -name . -o -path ./etc -o -type d -printf '%M %U %G %T@ %p\\n' \
    -o -exec ls -lnd --time-style=full-iso {} + | LC_ALL=C sort";

#[test]
fn the_files_of_debian_are_what_podman_shows() {
    // Root of a container host may lack the right to the limits that podman sets for it.
    need!(not_root, userns, subids, overlay, debian, tool("docker-registry"), tool("podman"), tool("runc"));
    let (sandbox, registry) = (Sandbox::new(), DockerRegistry::start());
    let name = real(&registry, "RUNR_TEST_DEBIAN_TAR", "debian");
    let ours = sandbox.runr(["run", "--rm", "-q", "--network", "none", &name, "sh", "-c", LISTING]).output().ok();
    podman(&sandbox, &["pull", "-q", "--tls-verify=false", &name]).output().ok();
    let theirs =
        podman(&sandbox, &["run", "--rm", "--network", "none", "--ulimit", "host", &name, "sh", "-c", LISTING])
            .output()
            .ok();
    podman(&sandbox, &["rmi", "-f", "-a"]).output().ok();
    podman(&sandbox, &["system", "migrate"]).output().ok();
    assert!(ours.lines().count() > 5000, "{ours}");
    let (mine, other): (BTreeSet<&str>, BTreeSet<&str>) = (ours.lines().collect(), theirs.lines().collect());
    let differences: Vec<&&str> = mine.symmetric_difference(&other).take(20).collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

/// Pushes a root file system as an image of one layer.
fn real(registry: &DockerRegistry, variable: &str, name: &str) -> String {
    let tar = std::fs::read(crate::support::need::file_from(variable).unwrap()).unwrap();
    let image = ImageBuilder::new().tar(tar, Compression::Gzip).config("Cmd", serde_json::json!(["sh"])).build();
    registry.push(&image, name, "latest")
}

/// The setuid files of a tar, as `stat -c '%a %u:%g %n'` shows them.
fn tar_listing(variable: &str) -> Vec<String> {
    let file = std::fs::File::open(crate::support::need::file_from(variable).unwrap()).unwrap();
    let mut archive = tar::Archive::new(std::io::BufReader::new(file));
    let mut lines = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let mode = header.mode().unwrap();
        if mode & 0o4000 != 0 && !header.entry_type().is_dir() && !header.entry_type().is_symlink() {
            let path = entry.path().unwrap().display().to_string();
            let (uid, gid) = (header.uid().unwrap(), header.gid().unwrap());
            lines.push(format!("{mode:o} {uid}:{gid} /{}", path.trim_start_matches("./")));
        }
    }
    lines.sort();
    lines
}
