//! Containers, their records and their names.

use super::{Check, Outcome, kept, repaired};
use crate::base::fsx::{self, Durability};
use crate::base::{Doing, Result};
use crate::ops::remove;
use crate::state::containers::{self, Container, short};
use crate::state::record::{ContainerState, Status};
use crate::state::{ContainerRecord, Containers, Entry};
use crate::store::Store;
use crate::supervise::orphans;
use std::time::Duration;

/// How often a name must be seen to be wrong: a container that is just being made or removed has another one for a moment.
const LOOKS: u32 = 11;
/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(50);

impl Check<'_> {
    pub(super) fn containers(&mut self) -> Result<()> {
        let all = Containers::new(self.store.paths());
        for entry in all.list()? {
            if let Entry::Good(container) = entry {
                // What dead monitors left is settled by every command that lists, and is no damage.
                orphans::settle(self.store, &container)?;
            }
        }
        for entry in all.list()? {
            match entry {
                Entry::Good(container) => self.good(&container)?,
                Entry::Damaged { id, error } => self.damaged(&id, &error.to_string()),
                // It is whole, and this runr can't tell what would be wrong with it.
                Entry::Newer { .. } => {}
            }
        }
        Ok(())
    }

    fn damaged(&mut self, id: &str, why: &str) {
        let (store, force) = (self.store, self.options.force);
        let record = Containers::new(store.paths()).record(id);
        let what = match &record {
            Ok(record) => format!("container `{}`: its state is damaged: {why}", record.name),
            Err(_) => format!("container `{}`: its record is damaged: {why}", short(id)),
        };
        self.found(what, || match record {
            Ok(record) => rewrite_state(store, &record),
            Err(_) if force => {
                remove::remove_one(store, id, true)?;
                repaired("removed")
            }
            Err(_) => kept(format!(
                "what it wrote is below `{}`; remove it with `runr rm -f {}`",
                store.paths().container(id).display(),
                short(id)
            )),
        });
    }

    fn good(&mut self, container: &Container) -> Result<()> {
        let Container { record, state, folder } = container;
        for sub in ["upper", "work", "root"] {
            let path = folder.join(sub);
            if state.status.is_alive() || path.is_dir() {
                continue;
            }
            self.found(format!("container `{}`: `{sub}` is missing", record.name), || {
                fsx::ensure_dir(&path, 0o755)?;
                repaired("made again, empty")
            });
        }
        self.name_of(record)?;
        self.layers_of(record);
        Ok(())
    }

    /// A container is called by what its record says.
    fn name_of(&mut self, record: &ContainerRecord) -> Result<()> {
        let all = Containers::new(self.store.paths());
        for look in 0..LOOKS {
            if look > 0 {
                std::thread::sleep(PAUSE);
            }
            // One that is just being made has no name yet; it may have been removed or renamed since it was listed.
            let Ok(now) = all.record(&record.id) else { return Ok(()) };
            if now.name != record.name || all.name_holder(&record.name)?.as_deref() == Some(&record.id) {
                return Ok(());
            }
        }
        let what = format!("container `{}` cannot be called by its name `{}`", short(&record.id), record.name);
        self.found(what, || match all.take_name(&record.name, &record.id) {
            Ok(()) => repaired("the name stands for it again"),
            Err(_) => {
                kept(format!("another container has the name; `runr rename {} NAME` gives it one", short(&record.id)))
            }
        });
        Ok(())
    }

    /// A container is nothing without its image's layers.
    fn layers_of(&mut self, record: &ContainerRecord) {
        let (store, force) = (self.store, self.options.force);
        let Some(image) = &record.image else { return };
        let key = record.map.key();
        let lost: Vec<&str> = image
            .layers
            .iter()
            .filter(|id| {
                let broken = self.broken_layers.contains(&(id.hex().to_owned(), key.clone()));
                let there = store.layer(id, &record.map).is_ok_and(|layer| layer.is_some());
                !there && (broken || !store.can_unpack(id))
            })
            .map(|id| id.hex())
            .collect();
        if lost.is_empty() {
            return;
        }
        let what = format!("container `{}`: layers of its image are lost: {}", record.name, lost.join(", "));
        let (id, name) = (record.id.clone(), image.name.clone());
        self.found(what, || {
            if !force {
                return kept(format!("`runr pull {name}` may bring them back"));
            }
            remove::remove_one(store, &id, true)?;
            repaired("removed")
        });
    }

    /// Names that stand for no container, or for one that is called otherwise.
    pub(super) fn names(&mut self) -> Result<()> {
        let store = self.store;
        let folder = store.paths().names();
        let all = Containers::new(store.paths());
        let mut names: Vec<String> = std::fs::read_dir(&folder)
            .doing(|| format!("read folder `{}`", folder.display()))?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name != ".lock")
            .collect();
        names.sort();
        for name in names {
            let path = folder.join(&name);
            let Ok(meta) = path.symlink_metadata() else { continue };
            if !meta.is_symlink() {
                self.found(format!("`{}` is no name", path.display()), || {
                    fsx::remove_file(&path).or_else(|_| fsx::remove_dir_all(&path))?;
                    repaired("removed")
                });
                continue;
            }
            let Some(id) = all.name_holder(&name)? else { continue };
            let Some(what) = wrong_name(store, &name, &id) else { continue };
            self.found(what, || {
                all.drop_name(&name, &id)?;
                repaired("the name is free")
            });
        }
        Ok(())
    }
}

/// What is wrong with a name that stands for `id`, if it still is after a moment.
fn wrong_name(store: &Store, name: &str, id: &str) -> Option<String> {
    let all = Containers::new(store.paths());
    let mut wrong = None;
    for look in 0..LOOKS {
        if look > 0 {
            std::thread::sleep(PAUSE);
        }
        if all.name_holder(name).ok()?.as_deref() != Some(id) {
            return None;
        }
        wrong = if !store.paths().container(id).is_dir() {
            Some(format!("name `{name}` stands for container `{}`, which does not exist", short(id)))
        } else {
            let record = all.record(id).ok().filter(|record| record.name != name)?;
            Some(format!("name `{name}` stands for container `{}`, whose name is `{}`", short(id), record.name))
        };
    }
    wrong
}

/// A container whose state is lost has ended, as far as anybody can tell.
fn rewrite_state(store: &Store, record: &ContainerRecord) -> Result<Outcome> {
    let folder = store.paths().container(&record.id);
    let Some(_lock) = containers::try_lock(&folder)? else {
        return kept("it runs, and its state is written again at its end");
    };
    let mut state = ContainerState::created();
    state.status = Status::Exited;
    state.exit_code = Some(137);
    state.error = Some("its state was lost".to_owned());
    containers::write_state(&folder, &state, Durability::Synced)?;
    repaired("it is recorded as exited")
}
