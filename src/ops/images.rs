//! `rmi` and `image prune`, with docker's rules: removing a name and removing an image are two things, and an image that a
//! container uses goes only when that is asked for. Listing and inspecting are in `image_list`.

use crate::base::{Error, Kind, Result};
use crate::image::transport::parse_transport;
use crate::image::{Digest, Reference, Transport};
use crate::state::ContainerRecord;
use crate::state::events::{self, Event, Topic};
use crate::store::gc::{InUse, Scope};
use crate::store::{ImageSummary, Store};
use crate::userns;
use std::collections::HashSet;
use std::time::Duration;

/// A container, as far as its image is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUser {
    /// The container's id.
    pub container: String,
    /// The id of the image it was made from.
    pub image: Digest,
    /// It runs.
    pub running: bool,
    /// Its layers: diff id and map key.
    pub layers: Vec<(Digest, String)>,
}

/// All containers, as far as images are concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageUsers {
    /// Those that are known.
    pub users: Vec<ImageUser>,
    /// There are others, whose records are damaged: any layer may be theirs.
    pub unknown: bool,
}

/// `rmi`'s options.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// `--force`.
    pub force: bool,
}

/// One line that `rmi` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// `Untagged: NAME`.
    Untagged(String),
    /// `Deleted: ID`.
    Deleted(Digest),
}

/// What pruning came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// As `rmi` has it.
    pub removed: Vec<Removed>,
    /// Bytes that are free now.
    pub freed: u64,
}

/// What a text given to `rmi` means.
struct Target {
    image: ImageSummary,
    /// The one name that was meant; `None` when the image itself was (an id or digest).
    name: Option<String>,
}

/// Removes the image or the name `text`. `users` lists the containers; it is asked again while nothing can change.
///
/// Errors: `NotFound`; `Conflict` when a container uses the image, or several names do and one id was given.
pub fn remove(
    store: &Store,
    text: &str,
    options: RemoveOptions,
    users: &dyn Fn() -> Result<ImageUsers>,
) -> Result<Vec<Removed>> {
    let target = find(store, text)?;
    let removed = remove_target(store, &target, options, users)?;
    tell(store, &target.image, &removed);
    Ok(removed)
}

/// `--rmi`: removes the image of a container that has ended, by the name it was asked for. The monitor and a command in the
/// foreground both do so: whoever comes second finds nothing, which is well.
///
/// Errors: those of [`remove`], but for `NotFound`.
pub fn remove_after(store: &Store, record: &ContainerRecord) -> Result<()> {
    let Some(used) = &record.image else { return Ok(()) };
    let text = match parse_transport(&used.name) {
        Ok(Transport::Registry(name)) if used.name.starts_with("docker://") => name.to_string(),
        Ok(Transport::Registry(_)) | Err(_) => used.name.clone(),
        Ok(_) => used.id.to_string(),
    };
    let users = || super::containers::image_users(store);
    let removed = find(store, &text).and_then(|found| {
        // The name may be another image's by now.
        if found.image.id == used.id {
            remove(store, &text, RemoveOptions::default(), &users).map(drop)
        } else {
            Ok(())
        }
    });
    removed.or_else(|e| if e.kind() == Kind::NotFound { Ok(()) } else { Err(e) })
}

/// The containers that keep [`remove`] from deleting the image: none when `text` is one of several names, which goes alone.
pub fn in_the_way(store: &Store, text: &str, users: &dyn Fn() -> Result<ImageUsers>) -> Result<Vec<String>> {
    let target = find(store, text)?;
    if target.name.is_some() && all_names(&target.image).len() > 1 {
        return Ok(Vec::new());
    }
    let users = users()?.users.into_iter().filter(|user| user.image == target.image.id);
    Ok(users.map(|user| user.container).collect())
}

/// Events of what was removed.
fn tell(store: &Store, image: &ImageSummary, removed: &[Removed]) {
    let id = image.id.to_string();
    let first = all_names(image).into_iter().next().unwrap_or_default();
    for one in removed {
        let event = match one {
            // A pinned name goes with the name that it pins.
            Removed::Untagged(name) if name.contains('@') => continue,
            Removed::Untagged(name) => Event::new(Topic::Image, "untag", &id, name),
            Removed::Deleted(_) => Event::new(Topic::Image, "remove", &id, &first),
        };
        events::append(store.paths(), &event.labelled(&image.labels));
    }
}

fn remove_target(
    store: &Store,
    target: &Target,
    options: RemoveOptions,
    users: &dyn Fn() -> Result<ImageUsers>,
) -> Result<Vec<Removed>> {
    let image = &target.image;
    let names = all_names(image);
    let (meant, rest): (Vec<String>, usize) = match &target.name {
        Some(name) => (vec![name.clone()], names.iter().filter(|n| *n != name).count()),
        None => (names.clone(), 0),
    };
    if target.name.is_none() && names.len() > 1 && !options.force {
        return Err(Error::conflict(format!(
            "unable to remove image `{}`: it has several names: {}",
            image.id.short(),
            names.join(", ")
        ))
        .hint("remove it with all of them by `--force`, or one of them by name"));
    }
    let mut removed = Vec::new();
    if rest > 0 {
        forget_name(store, image, &meant[0])?;
        removed.push(Removed::Untagged(meant[0].clone()));
        return Ok(removed);
    }
    let using: Vec<ImageUser> = users()?.users.into_iter().filter(|u| u.image == image.id).collect();
    if let Some(refusal) = refusal(target, &using, options) {
        return Err(refusal);
    }
    if let (Some(name), true) = (&target.name, using.iter().any(|u| u.running)) {
        // Its name may go, the image of something that runs may not.
        forget_name(store, image, name)?;
        return Ok(vec![Removed::Untagged(name.clone())]);
    }
    removed.extend(meant.into_iter().map(Removed::Untagged));
    removed.extend(image.repo_digests.iter().map(|d| Removed::Untagged(d.to_string())));
    delete(store, image, users)?;
    removed.push(Removed::Deleted(image.id.clone()));
    let mut seen = HashSet::new();
    removed.retain(|r| seen.insert(format!("{r:?}")));
    Ok(removed)
}

/// Removes images without a name (`all`: without a container), and everything that nothing refers to.
pub fn prune(
    store: &Store,
    all: bool,
    wanted: &dyn Fn(&ImageSummary) -> bool,
    users: &dyn Fn() -> Result<ImageUsers>,
) -> Result<Pruned> {
    let used: HashSet<Digest> = users()?.users.into_iter().map(|u| u.image).collect();
    let mut pruned = Pruned::default();
    for image in store.images()? {
        let nameless = all_names(&image).is_empty();
        if used.contains(&image.id) || image.damaged.is_some() || !(all || nameless) || !wanted(&image) {
            continue;
        }
        let mut removed: Vec<Removed> = all_names(&image).into_iter().map(Removed::Untagged).collect();
        store.forget_images(&image.manifests)?;
        removed.push(Removed::Deleted(image.id.clone()));
        tell(store, &image, &removed);
        pruned.removed.extend(removed);
    }
    // Layers with other owners than usual are only kept for containers when room is wanted: they can be made again.
    let maps = if all { Some(HashSet::from([userns::default_map()?.key()])) } else { None };
    let in_use = || Ok(InUse { maps: maps.clone(), ..in_use(users)? });
    pruned.freed = store.collect(&Scope::Everything, in_use)?.freed;
    // Unfinished downloads too: whoever prunes wants the room.
    store.sweep(Duration::ZERO)?;
    Ok(pruned)
}

/// What garbage collection must leave for containers.
pub fn in_use(users: &dyn Fn() -> Result<ImageUsers>) -> Result<InUse> {
    let ImageUsers { users, unknown } = users()?;
    let layers = users.into_iter().flat_map(|u| u.layers).collect();
    Ok(InUse { layers, unknown, ..InUse::default() })
}

fn find(store: &Store, text: &str) -> Result<Target> {
    let entry = store.find_image(text)?;
    let image = store.images()?.into_iter().find(|i| i.manifests.contains(&entry.manifest.digest));
    let image = image.ok_or_else(|| Error::not_found(format!("no such image: `{text}`")))?;
    let named = |name: &Reference| text.parse::<Reference>().is_ok_and(|r| r == *name);
    // `alpine` may be the beginning of an id as well as a name; a name comes first, as in `find_image`.
    let name = match image.names.iter().find(|n| named(n)) {
        Some(name) => Some(name.to_string()),
        None => image.foreign_names.iter().find(|n| *n == text).cloned(),
    };
    Ok(Target { image, name })
}

fn all_names(image: &ImageSummary) -> Vec<String> {
    image.names.iter().map(ToString::to_string).chain(image.foreign_names.iter().cloned()).collect()
}

fn refusal(target: &Target, using: &[ImageUser], options: RemoveOptions) -> Option<Error> {
    let running = using.iter().find(|u| u.running);
    let short = |u: &ImageUser| u.container.chars().take(12).collect::<String>();
    let what = target.name.clone().unwrap_or_else(|| target.image.id.short().to_owned());
    if let (None, Some(user)) = (&target.name, running) {
        return Some(
            Error::conflict(format!(
                "unable to remove image `{what}`: the running container `{}` uses it",
                short(user)
            ))
            .hint("stop the container first"),
        );
    }
    match using.first() {
        Some(user) if !options.force => {
            let state = if user.running { "running" } else { "stopped" };
            Some(
                Error::conflict(format!(
                    "unable to remove image `{what}`: the {state} container `{}` uses it",
                    short(user)
                ))
                .hint("remove the container first, or use `--force`"),
            )
        }
        _ => None,
    }
}

fn forget_name(store: &Store, image: &ImageSummary, name: &str) -> Result<()> {
    match name.parse::<Reference>() {
        Ok(reference) => store.untag_image(&reference).map(drop),
        Err(_) => store.forget_images(&image.manifests),
    }
}

/// Forgets the image and collects what it alone had.
fn delete(store: &Store, image: &ImageSummary, users: &dyn Fn() -> Result<ImageUsers>) -> Result<()> {
    let mut objects = HashSet::new();
    for manifest in store.image_manifests(&image.manifests)? {
        objects.extend(store.digests_of_image(&manifest));
    }
    store.forget_images(&image.manifests)?;
    store.collect(&Scope::Only(objects), || in_use(users)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::manifest::OCI_MANIFEST;
    use crate::store::Provenance;

    fn store() -> (tempfile::TempDir, Store, Digest) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let config = store.put_blob(br#"{"rootfs":{"diff_ids":[]}}"#, "c").unwrap();
        let manifest = serde_json::json!({"schemaVersion": 2, "config": config, "layers": []});
        let manifest = store.put_blob(&serde_json::to_vec(&manifest).unwrap(), OCI_MANIFEST).unwrap();
        for name in ["a:1", "b:1"] {
            store.tag_image(Some(&name.parse().unwrap()), &manifest, &Provenance::default()).unwrap();
        }
        (dir, store, config.digest)
    }

    fn user(image: &Digest, running: bool) -> ImageUser {
        ImageUser { container: "c".repeat(64), image: image.clone(), running, layers: Vec::new() }
    }

    const PLAIN: RemoveOptions = RemoveOptions { force: false };
    const FORCE: RemoveOptions = RemoveOptions { force: true };

    #[test]
    fn names_go_one_by_one_and_the_image_with_the_last() {
        let (_dir, store, id) = store();
        let nobody = || Ok(ImageUsers::default());
        assert_eq!(remove(&store, id.short(), PLAIN, &nobody).unwrap_err().kind(), Kind::Conflict);
        let one = remove(&store, "a:1", PLAIN, &nobody).unwrap();
        assert_eq!(one, [Removed::Untagged("docker.io/library/a:1".to_owned())]);
        let two = remove(&store, "b:1", PLAIN, &nobody).unwrap();
        assert_eq!((two.len(), two.last()), (3, Some(&Removed::Deleted(id))));
        assert_eq!(store.images().unwrap(), []);
        assert_eq!(remove(&store, "b:1", PLAIN, &nobody).unwrap_err().kind(), Kind::NotFound);
        let freed = store.collect(&Scope::Everything, || Ok(InUse::default())).unwrap();
        assert_eq!(freed.blobs, [], "nothing of it was left");
    }

    #[test]
    fn containers_keep_their_image_as_docker_has_it() {
        for (text, options, running, refused, left) in [
            ("a:1", PLAIN, true, false, 1),
            ("b:1", PLAIN, false, true, 1),
            ("b:1", FORCE, true, false, 1),
            ("ID", FORCE, true, true, 1),
            ("ID", FORCE, false, false, 0),
        ] {
            let (_dir, store, id) = store();
            if text == "b:1" {
                store.untag_image(&"a:1".parse().unwrap()).unwrap();
            }
            let users = || Ok(ImageUsers { users: vec![user(&id, running)], unknown: false });
            let text = if text == "ID" { id.short() } else { text };
            let result = remove(&store, text, options, &users);
            assert_eq!(result.is_err(), refused, "{text} {options:?} {running}: {result:?}");
            assert_eq!(store.images().unwrap().len(), left, "{text} {options:?} {running}");
        }
    }

    #[test]
    fn pruning_takes_the_nameless_or_all_that_is_not_used() {
        let (_dir, store, id) = store();
        let nobody = || Ok(ImageUsers::default());
        let any = |_: &ImageSummary| true;
        assert_eq!(prune(&store, false, &any, &nobody).unwrap(), Pruned::default());
        assert_eq!(
            prune(&store, true, &any, &|| Ok(ImageUsers { users: vec![user(&id, false)], unknown: false })).unwrap(),
            Pruned::default()
        );
        let pruned = prune(&store, true, &any, &nobody).unwrap();
        assert_eq!(pruned.removed.last(), Some(&Removed::Deleted(id)));
        assert!(pruned.freed > 0 && store.images().unwrap().is_empty());
    }
}
