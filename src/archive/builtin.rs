//! `builtin:hello`: an image made from the running executable, for a machine that has no network and no other image. Its one
//! layer is a tar of this very file; its entrypoint is the hidden mode `__hello`, which prints a greeting.

use super::section::Section;
use super::{Opened, section::SectionReader};
use crate::base::{Doing, Error, Result};
use crate::image::manifest::{OCI_CONFIG, OCI_MANIFEST};
use crate::image::source::RawManifest;
use crate::image::{Descriptor, Digest, Hasher, ImageSource, Manifest, Platform};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read};
use std::sync::Arc;

/// The executable's path in the image.
const PROGRAM: &str = "runr";
/// The hidden mode that prints the greeting.
const MODE: &str = "__hello";
const BLOCK: u64 = 512;

/// The layer is never in memory: a header, the file, zeros up to two blocks after the last full one.
struct Builtin {
    header: [u8; BLOCK as usize],
    program: Section,
    config: Vec<u8>,
    manifest: RawManifest,
    layer: Digest,
}

pub(super) fn open() -> Result<Opened> {
    // The file that runs, even if another has been installed over it meanwhile.
    let path = "/proc/self/exe";
    let file = File::open(path).doing(|| format!("open `{path}`"))?;
    let size = file.metadata().doing(|| format!("look at `{path}`"))?.len();
    let program = Section::new(Arc::new(file), 0, size);
    let header = header(size);
    let layer_len = BLOCK + size.next_multiple_of(BLOCK) + 2 * BLOCK;
    let layer = hash(layer(&header, &program, layer_len))?;
    let platform = Platform::host();
    let config = serde_json::to_vec(&serde_json::json!({
        "architecture": platform.architecture,
        "os": platform.os,
        "config": {
            "Env": ["PATH=/"],
            "Entrypoint": [format!("/{PROGRAM}"), MODE],
            "Labels": {"org.opencontainers.image.title": "hello"},
        },
        "rootfs": {"type": "layers", "diff_ids": [layer]},
        "history": [{"created_by": "runr itself"}],
    }))?;
    let document = Manifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        config: Descriptor::new(OCI_CONFIG, Digest::of(&config), config.len() as u64),
        layers: vec![Descriptor::new("application/vnd.oci.image.layer.v1.tar", layer.clone(), layer_len)],
        annotations: BTreeMap::new(),
    };
    let bytes = serde_json::to_vec(&document)?;
    let manifest = RawManifest { digest: Digest::of(&bytes), bytes, media_type: OCI_MANIFEST.to_owned() };
    let name = "localhost/hello:builtin".parse()?;
    Ok(Opened { source: Box::new(Builtin { header, program, config, manifest, layer }), names: vec![name] })
}

/// A ustar header without anything that differs from machine to machine.
fn header(size: u64) -> [u8; BLOCK as usize] {
    let mut header = [0; BLOCK as usize];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, PROGRAM);
    put(100, "0000755");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

fn layer(header: &[u8], program: &Section, len: u64) -> impl Read + Send + use<> {
    let program: SectionReader = program.reader(0);
    Cursor::new(header.to_vec()).chain(program).chain(std::io::repeat(0)).take(len)
}

fn hash(mut reader: impl Read) -> Result<Digest> {
    let mut hasher = Hasher::new(crate::image::digest::Algorithm::Sha256);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer).doing(|| "read the executable")? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

impl ImageSource for Builtin {
    fn root_manifest(&self) -> Result<RawManifest> {
        Ok(self.manifest.clone())
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<RawManifest> {
        Err(Error::not_found(format!("no manifest `{}` in the built-in image", descriptor.digest)))
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        if descriptor.digest == Digest::of(&self.config) {
            let mut reader = Cursor::new(self.config.clone());
            reader.set_position(offset);
            return Ok(Box::new(reader));
        }
        if descriptor.digest != self.layer {
            return Err(Error::not_found(format!("no blob `{}` in the built-in image", descriptor.digest)));
        }
        let mut reader = layer(&self.header, &self.program, descriptor.size);
        std::io::copy(&mut (&mut reader).take(offset), &mut std::io::sink()).doing(|| "read the executable")?;
        Ok(Box::new(reader))
    }
}
