//! Images by name: finding, listing, loading, naming.
//!
//! An image's id is its config's digest. Its names stand in `images/index.json`, one descriptor for each name of a manifest
//! and one without a name for an image that has none.

use super::index::{INDEX_DIGEST, REF_NAME, SIZE};
use super::{Store, cache};
use crate::base::{Doing, Error, Kind, Result};
use crate::image::manifest::{Document, MAX_MANIFEST_BYTES};
use crate::image::{Descriptor, Digest, ImageConfig, Manifest, Reference};
use std::collections::BTreeMap;

/// One image as `images` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// The config's digest; a damaged image's manifest digest.
    pub id: Digest,
    /// Its names, sorted; none for a dangling image.
    pub names: Vec<Reference>,
    /// Names in the layout that are not references: other tools wrote them.
    pub foreign_names: Vec<String>,
    /// `repository@digest` for every repository and each of the manifest's and the index's digest.
    pub repo_digests: Vec<Reference>,
    /// Its manifests (one id can have several: the same layers packed in two ways).
    pub manifests: Vec<Digest>,
    /// When it was made, RFC 3339, as its config says.
    pub created: Option<String>,
    /// Bytes, uncompressed.
    pub size: u64,
    /// CPU architecture.
    pub architecture: String,
    /// Operating system.
    pub os: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Why it cannot be used.
    pub damaged: Option<String>,
}

/// One manifest of the index with its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageEntry {
    /// The manifest.
    pub manifest: Descriptor,
    /// All names of this manifest.
    pub names: Vec<Reference>,
    /// See [`ImageSummary::repo_digests`].
    pub repo_digests: Vec<Reference>,
    /// Bytes, uncompressed; 0 if nobody noted it.
    pub size: u64,
}

/// An image, read and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The config's digest.
    pub id: Digest,
    /// The manifest.
    pub manifest: Manifest,
    /// The config; it has as many diff ids as the manifest has layers.
    pub config: ImageConfig,
    /// Its place in the index.
    pub entry: ImageEntry,
}

/// What is noted about an image when it gets its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The index that led to the manifest.
    pub index: Option<Digest>,
    /// Bytes, uncompressed.
    pub size: u64,
}

impl ImageEntry {
    /// The digest of the index through which this name was pulled.
    pub fn index_digest(&self) -> Option<Digest> {
        index_digest(&self.manifest)
    }
}

impl Store {
    /// All images, one per id, newest first as their configs say. Damaged ones are among them, with the reason.
    pub fn images(&self) -> Result<Vec<ImageSummary>> {
        let (descriptors, known) = self.known_images()?;
        let mut by_id: BTreeMap<&Digest, ImageSummary> = BTreeMap::new();
        for descriptor in &descriptors {
            let Some(facts) = known.get(&descriptor.digest) else { continue };
            let summary = by_id.entry(&facts.id).or_insert_with(|| summary(facts));
            add_name(descriptor, &mut summary.names, &mut summary.foreign_names, &mut summary.repo_digests);
            summary.size = summary.size.max(noted_size(descriptor).unwrap_or(facts.packed_size));
            if !summary.manifests.contains(&descriptor.digest) {
                summary.manifests.push(descriptor.digest.clone());
            }
        }
        let mut images: Vec<ImageSummary> = by_id.into_values().collect();
        for image in &mut images {
            image.names.sort();
        }
        images.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.names.cmp(&b.names)));
        Ok(images)
    }

    /// The image that the user means by `text`: an id or a digest in full, a name, `name@digest`, or the beginning of an id.
    ///
    /// Errors: `NotFound`; `Conflict` when several ids begin so.
    pub fn find_image(&self, text: &str) -> Result<ImageEntry> {
        self.find_image_optional(text)?.ok_or_else(|| Error::not_found(format!("no such image: `{text}`")))
    }

    /// [`Store::find_image`] with `None` instead of `NotFound`.
    pub fn find_image_optional(&self, text: &str) -> Result<Option<ImageEntry>> {
        let full_id = text.parse::<Digest>().ok().or_else(|| format!("sha256:{text}").parse().ok());
        if let Some(digest) = full_id {
            return self.by_digest(&digest);
        }
        if let Some(entry) = self.by_foreign_name(text)? {
            return Ok(Some(entry));
        }
        let reference = text.parse::<Reference>().ok();
        if let Some(reference) = &reference
            && let Some(entry) = self.by_name(reference)?
        {
            return Ok(Some(entry));
        }
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return match reference {
                Some(_) => Ok(None),
                // The reference's own error says what is wrong with it.
                None => text.parse::<Reference>().map(|_| None),
            };
        }
        self.by_id_prefix(prefix, text)
    }

    /// The image of this very name. A pinned name fits any image of its repository with that manifest or index digest.
    pub fn by_name(&self, reference: &Reference) -> Result<Option<ImageEntry>> {
        let index = self.read_index()?;
        let found = index.manifests.iter().find(|d| {
            let Some(name) = name_of(d) else { return false };
            match reference.digest() {
                None => name == *reference,
                Some(digest) => {
                    name.name() == reference.name() && (d.digest == *digest || index_digest(d).as_ref() == Some(digest))
                }
            }
        });
        Ok(found.map(|d| entry(&index.manifests, d)))
    }

    /// The image that another tool gave a name which is not a reference.
    fn by_foreign_name(&self, text: &str) -> Result<Option<ImageEntry>> {
        if text.parse::<Reference>().is_ok() {
            return Ok(None);
        }
        let index = self.read_index()?;
        let found = index.manifests.iter().find(|d| d.annotations.get(REF_NAME).is_some_and(|n| n == text));
        Ok(found.map(|d| entry(&index.manifests, d)))
    }

    fn by_digest(&self, digest: &Digest) -> Result<Option<ImageEntry>> {
        let index = self.read_index()?;
        if let Some(d) =
            index.manifests.iter().find(|d| d.digest == *digest || index_digest(d).as_ref() == Some(digest))
        {
            return Ok(Some(entry(&index.manifests, d)));
        }
        let (manifests, known) = self.known_images()?;
        let found = manifests.iter().find(|d| known.get(&d.digest).is_some_and(|k| k.id == *digest));
        Ok(found.map(|d| entry(&manifests, d)))
    }

    fn by_id_prefix(&self, prefix: &str, text: &str) -> Result<Option<ImageEntry>> {
        let (manifests, known) = self.known_images()?;
        let mut found: Option<(&cache::Known, &Descriptor)> = None;
        for d in &manifests {
            let Some(k) = known.get(&d.digest).filter(|k| k.id.hex().starts_with(prefix)) else { continue };
            match found {
                Some((other, _)) if other.id != k.id => {
                    let said = format!("more than one image has an id that starts with `{text}`");
                    return Err(Error::new(Kind::Ambiguous, said).hint("give more digits, or a name"));
                }
                _ => found = Some((k, d)),
            }
        }
        Ok(found.map(|(_, d)| entry(&manifests, d)))
    }

    /// Reads an image's manifest and config and verifies both.
    ///
    /// Errors: `Corrupt` or `NotFound` when a blob is damaged or lost.
    pub fn load_image(&self, entry: &ImageEntry) -> Result<Image> {
        let digest = &entry.manifest.digest;
        let load = || {
            let bytes = self.read_blob(digest, MAX_MANIFEST_BYTES)?;
            let manifest = match Document::parse(&bytes, &entry.manifest.media_type)? {
                Document::Manifest(manifest) => manifest,
                Document::Index(_) => return Err(Error::unsupported(format!("`{digest}` is an index, not an image"))),
            };
            let config = ImageConfig::parse(&self.read_blob(&manifest.config.digest, MAX_MANIFEST_BYTES)?)?;
            check_layers(&manifest, &config)?;
            Ok(Image { id: manifest.config.digest.clone(), manifest, config, entry: entry.clone() })
        };
        load().doing(|| match entry.names.first() {
            Some(name) => format!("read image `{name}`"),
            None => format!("read image `{digest}`"),
        })
    }

    /// Gives a manifest that is in the store a name (or none, for a dangling image), which other images lose.
    ///
    /// The manifest and config blobs are on disk when this returns, and so is the name.
    pub fn tag_image(&self, name: Option<&Reference>, manifest: &Descriptor, provenance: &Provenance) -> Result<()> {
        let mut descriptor = Descriptor { annotations: BTreeMap::new(), urls: Vec::new(), ..manifest.clone() };
        if let Some(name) = name {
            descriptor.annotations.insert(REF_NAME.to_owned(), name.to_string());
        }
        if let Some(index) = &provenance.index {
            descriptor.annotations.insert(INDEX_DIGEST.to_owned(), index.to_string());
        }
        descriptor.annotations.insert(SIZE.to_owned(), provenance.size.to_string());
        self.update_index(|index| {
            if let Some(name) = name {
                take_name(&mut index.manifests, name);
            }
            let has_name = |d: &Descriptor| d.annotations.contains_key(REF_NAME);
            let named = index.manifests.iter().any(|d| d.digest == manifest.digest && has_name(d));
            index.manifests.retain(|d| d.digest != manifest.digest || has_name(d));
            if name.is_some() || !named {
                index.manifests.push(descriptor);
            }
            Ok(())
        })
    }

    /// Gives an image another name, with all that is known about it.
    pub fn tag_entry(&self, name: &Reference, entry: &ImageEntry) -> Result<()> {
        let index = index_digest(&entry.manifest);
        self.tag_image(Some(name), &entry.manifest, &Provenance { index, size: entry.size })
    }

    /// Takes a name away; the image stays, dangling if it was its last one. False if there was no such name.
    pub fn untag_image(&self, name: &Reference) -> Result<bool> {
        self.update_index(|index| Ok(take_name(&mut index.manifests, name)))
    }

    /// The descriptors of these manifests.
    pub fn image_manifests(&self, manifests: &[Digest]) -> Result<Vec<Descriptor>> {
        Ok(self.read_index()?.manifests.into_iter().filter(|d| manifests.contains(&d.digest)).collect())
    }

    /// Forgets manifests with all their names. Their blobs are garbage then.
    pub fn forget_images(&self, manifests: &[Digest]) -> Result<()> {
        self.update_index(|index| {
            index.manifests.retain(|d| !manifests.contains(&d.digest));
            Ok(())
        })
    }
}

/// The config must say for each layer what it unpacks to.
pub(crate) fn check_layers(manifest: &Manifest, config: &ImageConfig) -> Result<()> {
    let (layers, ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
    if layers == ids {
        return Ok(());
    }
    Err(Error::new(Kind::Corrupt, format!("manifest has {layers} layers, its config {ids} diff ids"))
        .hint("this is not a container image, or a damaged one"))
}

/// Removes the name from whoever has it; a manifest that has no other stays without one.
fn take_name(manifests: &mut Vec<Descriptor>, name: &Reference) -> bool {
    // Parsed, because another tool may have written a short form of the name.
    let holds = |d: &Descriptor| name_of(d).as_ref() == Some(name);
    let Some(at) = manifests.iter().position(holds) else { return false };
    let digest = manifests[at].digest.clone();
    if manifests.iter().enumerate().any(|(i, d)| i != at && d.digest == digest) {
        manifests.remove(at);
    } else {
        manifests[at].annotations.remove(REF_NAME);
    }
    true
}

fn summary(known: &cache::Known) -> ImageSummary {
    ImageSummary {
        id: known.id.clone(),
        names: Vec::new(),
        foreign_names: Vec::new(),
        repo_digests: Vec::new(),
        manifests: Vec::new(),
        created: known.created.clone(),
        size: 0,
        architecture: known.architecture.clone(),
        os: known.os.clone(),
        labels: known.labels.clone(),
        damaged: known.damaged.clone(),
    }
}

fn entry(all: &[Descriptor], chosen: &Descriptor) -> ImageEntry {
    let (mut names, mut foreign, mut repo_digests) = (Vec::new(), Vec::new(), Vec::new());
    for d in all.iter().filter(|d| d.digest == chosen.digest) {
        add_name(d, &mut names, &mut foreign, &mut repo_digests);
    }
    names.sort();
    ImageEntry { manifest: chosen.clone(), names, repo_digests, size: noted_size(chosen).unwrap_or(0) }
}

fn add_name(d: &Descriptor, names: &mut Vec<Reference>, foreign: &mut Vec<String>, repo_digests: &mut Vec<Reference>) {
    let Some(text) = d.annotations.get(REF_NAME) else { return };
    let Ok(name) = text.parse::<Reference>() else { return foreign.push(text.clone()) };
    for digest in index_digest(d).into_iter().chain([d.digest.clone()]) {
        let pinned = name.with_digest(digest);
        if !repo_digests.contains(&pinned) {
            repo_digests.push(pinned);
        }
    }
    if !names.contains(&name) {
        names.push(name);
    }
}

fn name_of(d: &Descriptor) -> Option<Reference> {
    d.annotations.get(REF_NAME)?.parse().ok()
}

fn index_digest(d: &Descriptor) -> Option<Digest> {
    d.annotations.get(INDEX_DIGEST)?.parse().ok()
}

fn noted_size(d: &Descriptor) -> Option<u64> {
    d.annotations.get(SIZE)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    /// An image without layers; `seed` makes it different from others.
    fn add(store: &Store, name: Option<&str>, seed: u32) -> (Descriptor, Digest) {
        let config = serde_json::json!({"architecture": "amd64", "os": "linux", "author": seed.to_string(),
            "created": format!("2024-01-01T00:00:{:02}Z", seed % 60), "rootfs": {"type": "layers", "diff_ids": []}});
        let config = store.put_blob(&serde_json::to_vec(&config).unwrap(), "c").unwrap();
        let manifest = serde_json::json!({"schemaVersion": 2, "config": config, "layers": []});
        let media = crate::image::manifest::OCI_MANIFEST;
        let manifest = store.put_blob(&serde_json::to_vec(&manifest).unwrap(), media).unwrap();
        let provenance = Provenance { index: Some(Digest::of(&seed.to_le_bytes())), size: u64::from(seed) };
        let name = name.map(|n| n.parse::<Reference>().unwrap());
        store.tag_image(name.as_ref(), &manifest, &provenance).unwrap();
        (manifest, config.digest)
    }

    #[test]
    fn an_image_is_found_by_whatever_names_it() {
        let (_dir, store) = store();
        let (manifest, id) = add(&store, Some("alpine"), 7);
        add(&store, Some("other:1"), 8);
        let index = Digest::of(&7u32.to_le_bytes());
        for text in [
            "alpine",
            "alpine:latest",
            "docker.io/library/alpine",
            &format!("alpine@{}", manifest.digest),
            &format!("alpine:3@{index}"),
            &id.to_string(),
            id.hex(),
            id.short(),
            &format!("sha256:{}", id.short()),
            &manifest.digest.to_string(),
            &index.to_string(),
        ] {
            assert_eq!(store.find_image(text).unwrap().manifest.digest, manifest.digest, "{text}");
        }
        let other = format!("other@{}", manifest.digest);
        for (text, kind) in [
            ("alpine:3", Kind::NotFound),
            (other.as_str(), Kind::NotFound),
            ("nix", Kind::NotFound),
            ("0000000000000000", Kind::NotFound),
            ("UPPER", Kind::Usage),
            ("", Kind::Usage),
        ] {
            assert_eq!(store.find_image(text).unwrap_err().kind(), kind, "{text}");
        }
        let image = store.load_image(&store.find_image("alpine").unwrap()).unwrap();
        assert_eq!((image.id, image.entry.size), (id, 7));
        assert_eq!(image.entry.repo_digests.len(), 2);
    }

    #[test]
    fn a_name_moves_and_the_old_image_stays_without_one() {
        let (_dir, store) = store();
        let (old, _) = add(&store, Some("a"), 1);
        let (new, _) = add(&store, Some("a"), 2);
        assert_eq!(store.find_image("a").unwrap().manifest.digest, new.digest);
        let names = |d: &Digest| {
            let all = store.images().unwrap();
            all.iter()
                .find(|i| i.manifests.contains(d))
                .map(|i| i.names.iter().map(|n| n.familiar_name()).collect::<Vec<_>>())
        };
        assert_eq!(names(&old.digest), Some(vec![]));
        let entry = store.find_image("a").unwrap();
        store.tag_entry(&"b".parse().unwrap(), &entry).unwrap();
        assert_eq!(names(&new.digest), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert!(
            store.untag_image(&"a".parse().unwrap()).unwrap() && !store.untag_image(&"a".parse().unwrap()).unwrap()
        );
        assert_eq!(names(&new.digest), Some(vec!["b".to_owned()]));
        store.forget_images(std::slice::from_ref(&new.digest)).unwrap();
        assert_eq!(names(&new.digest), None);
        // A dangling image that is pulled again without a name stays one entry.
        add(&store, None, 1);
        assert_eq!(store.images().unwrap().len(), 1);
    }

    #[test]
    fn a_listing_is_served_from_the_cache_and_notices_changes() {
        let (_dir, store) = store();
        add(&store, Some("a"), 1);
        add(&store, Some("b"), 2);
        let listed = store.images().unwrap();
        assert_eq!(listed.iter().map(|i| i.size).collect::<Vec<_>>(), [2, 1], "newest first");
        assert_eq!(store.images().unwrap(), listed);
        add(&store, Some("c"), 3);
        assert_eq!(store.images().unwrap().len(), 3);
        std::fs::write(store.paths().images().join("runr-cache.json"), b"{").unwrap();
        assert_eq!(store.images().unwrap().len(), 3);
    }

    #[test]
    fn damaged_images_are_listed_with_the_reason_and_can_be_forgotten() {
        let (_dir, store) = store();
        add(&store, Some("good"), 1);
        let (bad, _) = add(&store, Some("bad"), 2);
        store.remove_blob(&bad.digest).unwrap();
        let images = store.images().unwrap();
        let damaged: Vec<_> = images.iter().filter(|i| i.damaged.is_some()).collect();
        assert_eq!((images.len(), damaged.len(), damaged[0].names[0].familiar_name()), (2, 1, "bad".to_owned()));
        let entry = store.find_image("bad").unwrap();
        assert!(store.load_image(&entry).is_err());
        store.forget_images(&[entry.manifest.digest]).unwrap();
        assert_eq!(store.images().unwrap().len(), 1);
    }

    #[test]
    fn a_damaged_index_is_rebuilt_with_names_from_the_copy_or_without() {
        let (_dir, store) = store();
        add(&store, Some("a"), 1);
        store.images().unwrap();
        let index = store.paths().images().join("index.json");
        std::fs::write(&index, b"").unwrap();
        assert!(store.find_image("a").is_ok());
        assert!(store.take_notes()[0].contains("rebuilt from a copy"));
        std::fs::remove_file(&index).unwrap();
        std::fs::remove_file(store.paths().images().join("runr-cache.json")).unwrap();
        let images = store.images().unwrap();
        assert_eq!((images.len(), images[0].names.len(), images[0].damaged.clone()), (1, 0, None));
        assert!(store.take_notes()[0].contains("names are lost"));
    }

    #[test]
    fn names_of_other_tools_are_shown_and_found() {
        let (_dir, store) = store();
        let (manifest, _) = add(&store, Some("a"), 1);
        store
            .update_index(|index| {
                index.manifests[0].annotations.insert(REF_NAME.to_owned(), "Not A Reference".to_owned());
                Ok(())
            })
            .unwrap();
        assert_eq!(store.images().unwrap()[0].foreign_names, ["Not A Reference"]);
        assert_eq!(store.find_image("Not A Reference").unwrap().manifest.digest, manifest.digest);
    }
}
