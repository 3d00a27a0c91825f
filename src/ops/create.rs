//! A container from an image (or a folder) and options: its record and its folder on disk. It may be started at once, with the
//! plan that was made to see whether it can be, or whenever somebody asks for it (`ops::start`).

use super::{layers, plan, volumes};
use crate::base::fsx::Durability;
use crate::base::progress::Progress;
use crate::base::{Error, Result};
use crate::image::config::Execution;
use crate::rootfs::assemble::{self, Stack};
use crate::runtime::plan::Plan;
use crate::spec::options::{Attach, ContainerOptions};
use crate::spec::{compose, systemd};
use crate::state::events::{self, Event};
use crate::state::log::Settings;
use crate::state::record::{ContainerRecord, ContainerState, ImageUse, VERSION};
use crate::state::{Containers, NewContainer};
use crate::store::{Image, Store};
use crate::unpack::Limits;
use crate::userns::IdMap;
use std::path::Path;

/// What the container's root is made from.
#[derive(Debug)]
pub enum Base<'a> {
    /// An image in the store, and the word the user called it by.
    Image(&'a Image, &'a str),
    /// A folder of the host.
    Folder(&'a Path),
    /// The same as this container's, whatever has become of its image.
    Record(&'a ContainerRecord),
}

/// A container that was made, and what was found out on the way.
#[derive(Debug)]
pub struct Created {
    /// On disk, locked.
    pub container: NewContainer,
    draft: plan::Draft,
    stack: Option<Stack>,
}

/// Makes a container; `streams` are those of the caller's that it is made for.
///
/// Errors: `Conflict` when its name is taken; whatever keeps it from ever being started.
pub fn create(
    store: &Store,
    base: &Base<'_>,
    options: ContainerOptions,
    streams: Attach,
    map: &IdMap,
    progress: &dyn Progress,
) -> Result<Created> {
    let mut record = record(base, options, map)?;
    volumes::name_anonymous(&mut record.options)?;
    Settings::of(&record.options)?.check_for(&record)?;
    let places = volumes::future_places(store, &record.options)?;
    let draft = plan::Draft::new(&record, &store.paths().container(&record.id), places)?;
    // Until the record is written nothing tells `rmi` that the layers are needed.
    let _lease = record.image.as_ref().map(|image| plan::lease(store, &image.layers)).transpose()?;
    let layers = match (base, &record.image) {
        (Base::Image(image, _), _) => Some(layers::ensure(store, image, map, Limits::default(), progress)?),
        (_, Some(used)) => Some(layers::ensure_recorded(store, used, map, progress)?),
        (_, None) => None,
    };
    let stack = layers.map(|layers| assemble::stack(store, &layers, map)).transpose()?;
    // A record that goes with its container need not survive a power cut.
    let durability = if record.options.remove { Durability::Cached } else { Durability::Synced };
    let lowers = match (&record.rootfs, &stack) {
        (Some(folder), _) => std::slice::from_ref(folder),
        (None, Some(stack)) => &stack.lowers,
        (None, None) => &[],
    };
    let attached = volumes::attach(store, &record, draft.user(), lowers, durability)?;
    let state = ContainerState { attached: streams, ..ContainerState::created() };
    let container = match Containers::new(store.paths()).create(record, state, durability) {
        Ok(container) => container,
        Err(e) => {
            attached.give_back(store);
            return Err(e);
        }
    };
    attached.keep()?;
    events::append(store.paths(), &Event::of(&container.record, "create"));
    Ok(Created { container, draft, stack })
}

impl Created {
    /// The container and its plan, to be started now.
    pub fn into_plan(self, store: &Store, progress: &dyn Progress) -> Result<(NewContainer, Plan)> {
        let NewContainer { record, folder, .. } = &self.container;
        let plan = self.draft.finish(store, record, folder, self.stack, progress)?;
        Ok((self.container, plan))
    }
}

/// A free name for a clone, as podman chooses one: `NAME-clone`, `NAME-clone1` and so on.
///
/// Errors: `Conflict` when very many are taken.
pub fn clone_name(store: &Store, name: &str) -> Result<String> {
    let all = Containers::new(store.paths());
    let names = (0..1000).map(|n| if n == 0 { format!("{name}-clone") } else { format!("{name}-clone{n}") });
    let mut names = names;
    names
        .find(|name| all.resolve(name).is_err())
        .ok_or_else(|| Error::conflict(format!("`{name}` has too many clones")).hint("give a name with `--name`"))
}

fn record(base: &Base<'_>, mut options: ContainerOptions, map: &IdMap) -> Result<ContainerRecord> {
    let (image, rootfs, execution) = match base {
        Base::Image(image, typed) => {
            let used = ImageUse {
                name: (*typed).to_owned(),
                id: image.id.clone(),
                manifest: image.entry.manifest.digest.clone(),
                layers: image.config.rootfs.diff_ids.clone(),
            };
            (Some(used), None, image.config.config.clone())
        }
        Base::Record(other) => (other.image.clone(), other.rootfs.clone(), other.execution.clone()),
        Base::Folder(path) => (None, Some(path.to_path_buf()), Execution::default()),
    };
    let command = compose::command(&execution, &options)?;
    systemd::settle(&mut options, &execution, &command)?;
    Ok(ContainerRecord {
        version: VERSION,
        id: Containers::new_id()?,
        name: options.name.clone().unwrap_or_default(),
        created: jiff::Timestamp::now().to_string(),
        image,
        rootfs,
        command,
        stop_signal: options.stop_signal.clone().or_else(|| execution.stop_signal.clone()),
        execution,
        options,
        map: map.clone(),
    })
}
