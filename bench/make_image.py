#!/usr/bin/env python3
"""Makes the images of the benchmark as OCI layouts.

small DIR       a static busybox (tag latest)
big DIR         5 layers of together about 1.2 GB, 27,700 files, which gzip makes 2.7 times smaller (tag 1)
many DIR N      N tiny images (tags t1 to tN)
layers DIR      prints the digests of the layers of the image in DIR
wait HOST:PORT  waits until a registry answers
"""
import hashlib
import io
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.request

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


class Layout:
    """An image layout that is filled image by image."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder + "/blobs/sha256")
        with open(folder + "/oci-layout", "w") as f:
            f.write('{"imageLayoutVersion":"1.0.0"}')
        self.manifests = []

    def blob(self, content, media_type):
        digest = hashlib.sha256(content).hexdigest()
        with open(f"{self.folder}/blobs/sha256/{digest}", "wb") as f:
            f.write(content)
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(content)}

    def layer(self, tar):
        packed = subprocess.run(["gzip", "-6n"], input=tar, stdout=subprocess.PIPE, check=True).stdout
        return hashlib.sha256(tar).hexdigest(), self.blob(packed, "application/vnd.oci.image.layer.v1.tar+gzip")

    def image(self, tag, layers, label=""):
        config = {
            "architecture": ARCH,
            "os": "linux",
            "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"], "Labels": {"n": label}},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + diff_id for diff_id, _ in layers]},
        }
        config = self.blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": [descriptor for _, descriptor in layers],
        }
        entry = self.blob(json.dumps(manifest).encode(), manifest["mediaType"])
        entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
        self.manifests.append(entry)

    def close(self):
        with open(self.folder + "/index.json", "w") as f:
            json.dump({"schemaVersion": 2, "manifests": self.manifests}, f)


def tar_of(files):
    """A tar of (name, content, mode); None as content makes a directory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content, mode in files:
            info = tarfile.TarInfo(name)
            info.mode = mode
            info.mtime = 1700000000
            if content is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def small(folder):
    busybox = next(p for p in (shutil.which("busybox"), "/bin/busybox") if p and os.path.exists(p))
    with open(busybox, "rb") as f:
        content = f.read()
    files = [(d, None, 0o755) for d in ("bin", "dev", "etc", "proc", "sys", "tmp")]
    files += [("bin/" + name, content, 0o755) for name in ("busybox",)]
    out = io.BytesIO(tar_of(files))
    with tarfile.open(fileobj=out, mode="a") as tar:
        for name in ("sh", "true", "sleep", "cat", "echo", "ls", "id"):
            info = tarfile.TarInfo("bin/" + name)
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, "busybox", 0o777
            tar.addfile(info)
    layout = Layout(folder)
    layout.image("latest", [layout.layer(out.getvalue())])
    layout.close()


def big(folder):
    rng = random.Random(8)
    # Programs and text compress, pictures and archives do not: a part of each file is of the second kind.
    words = ["".join(rng.choices("etaoinshrdlucmfw", k=rng.randint(2, 9))) for _ in range(2000)]
    often = [1 / rank for rank in range(1, len(words) + 1)]
    text = " ".join(rng.choices(words, often, k=1 << 20)).encode()
    noise = rng.randbytes(8 << 20)
    layout, layers, total = Layout(folder), [], 0
    for number, share in enumerate((0.40, 0.25, 0.20, 0.10, 0.05)):
        files = []
        for i in range(int(27700 * share)):
            if i % 40 == 0:
                files.append((f"usr/lib/l{number}/d{i // 40}", None, 0o755))
            size = min(int(rng.lognormvariate(9.2, 1.72)), 8 << 20)
            hard = size * 10 // 100
            content = noise[(at := rng.randrange(len(noise) - hard + 1)):at + hard]
            start = rng.randrange(len(text))
            content += (text[start:] + text * (size // len(text) + 1))[: size - hard]
            files.append((f"usr/lib/l{number}/d{i // 40}/f{i}", content, 0o755 if i % 9 == 0 else 0o644))
        tar = tar_of(files)
        total += len(tar)
        layers.append(layout.layer(tar))
    layout.image("1", layers)
    layout.close()
    packed = sum(descriptor["size"] for _, descriptor in layers)
    print(f"{total / 1e9:.2f} GB ({packed / 1e6:.0f} MB gzip, 27,700 files, 5 layers)")


def many(folder, count):
    layout = Layout(folder)
    layer = layout.layer(tar_of([("file", b"x", 0o644)]))
    for n in range(1, count + 1):
        layout.image(f"t{n}", [layer], str(n))
    layout.close()


def layers(folder):
    with open(folder + "/index.json") as f:
        digest = json.load(f)["manifests"][0]["digest"].split(":")[1]
    with open(f"{folder}/blobs/sha256/{digest}") as f:
        for layer in json.load(f)["layers"]:
            print(layer["digest"])


def wait(address):
    for _ in range(200):
        try:
            urllib.request.urlopen(f"http://{address}/v2/", timeout=1)
            return
        except OSError:
            time.sleep(0.05)
    sys.exit("bench: the registry does not answer")


if __name__ == "__main__":
    command, *args = sys.argv[1:]
    {"small": small, "big": big, "layers": layers, "wait": wait, "many": lambda d, n: many(d, int(n))}[command](*args)
