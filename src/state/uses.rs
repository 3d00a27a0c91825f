//! Which containers mount which volumes, as their records say. A record that can't be understood, a newer runr's for instance, may
//! name any of them: none goes as long as it is there.

use super::containers::CONFIG;
use super::record::VERSION;
use crate::base::paths::Paths;
use crate::base::{Doing, Result, fsx};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Who mounts which volume.
#[derive(Debug, Default)]
pub struct VolumeUsers {
    known: BTreeMap<String, Vec<String>>,
    /// Containers of which nothing is known.
    unknown: Vec<String>,
}

impl VolumeUsers {
    /// The ids of the containers that mount a volume, or may.
    pub fn of(&self, volume: &str) -> Vec<String> {
        self.known.get(volume).into_iter().flatten().chain(&self.unknown).cloned().collect()
    }
}

/// The part of a record that matters here; further fields are passed over.
#[derive(Debug, Deserialize)]
struct Record {
    version: u32,
    options: Options,
}

#[derive(Debug, Deserialize)]
struct Options {
    #[serde(default)]
    mounts: Vec<Mount>,
}

#[derive(Debug, Deserialize)]
struct Mount {
    kind: serde_json::Value,
}

/// Reads all records.
///
/// Errors: those of reading a folder or a file that is there.
pub fn volume_users(paths: &Paths) -> Result<VolumeUsers> {
    let folder = paths.containers();
    let doing = || format!("read folder `{}`", folder.display());
    let mut users = VolumeUsers::default();
    for entry in std::fs::read_dir(&folder).doing(doing)? {
        let entry = entry.doing(doing)?;
        let id = entry.file_name().to_string_lossy().into_owned();
        let Some(bytes) = fsx::read_optional(&entry.path().join(CONFIG))? else { continue };
        match volumes(&bytes) {
            Some(names) => names.into_iter().for_each(|name| users.known.entry(name).or_default().push(id.clone())),
            None => users.unknown.push(id),
        }
    }
    for ids in users.known.values_mut().chain([&mut users.unknown]) {
        ids.sort_unstable();
        ids.dedup();
    }
    Ok(users)
}

/// The names of the volumes in a record; `None` when it can't be told.
fn volumes(record: &[u8]) -> Option<Vec<String>> {
    let record: Record = serde_json::from_slice(record).ok()?;
    if record.version > VERSION {
        return None;
    }
    let mut names = Vec::new();
    for mount in record.options.mounts {
        if let Some(volume) = mount.kind.get("volume") {
            names.push(volume.get("name")?.as_str()?.to_owned());
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::ContainerOptions;
    use crate::spec::options::{Mount, MountKind};

    #[test]
    fn volumes_are_read_from_what_records_hold() {
        let mount = |kind| Mount { kind, target: "/x".into(), read_only: false, options: Vec::new() };
        let options = ContainerOptions {
            mounts: vec![
                mount(MountKind::Volume { name: "data".into(), anonymous: false }),
                mount(MountKind::Tmpfs),
                mount(MountKind::Bind { source: "/x".into(), create: false }),
                mount(MountKind::Volume { name: "own".into(), anonymous: true }),
            ],
            ..Default::default()
        };
        let mut record = serde_json::json!({ "version": VERSION, "options": options });
        let found = |record: &serde_json::Value| volumes(record.to_string().as_bytes());
        assert_eq!(found(&record), Some(vec!["data".to_owned(), "own".to_owned()]));
        record["options"]["news"] = 1.into();
        assert_eq!(found(&record), Some(vec!["data".to_owned(), "own".to_owned()]));
        record["version"] = 99.into();
        assert_eq!(found(&record), None);
        for broken in ["", "[]", "{}", r#"{"version":1,"options":null}"#, r#"{"version":1,"options":{"mounts":[7]}}"#] {
            assert_eq!(volumes(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn a_record_that_cannot_be_understood_may_use_any_volume() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        for (id, record) in [
            ("a", Some(r#"{"version":1,"options":{"mounts":[{"kind":{"volume":{"name":"v"}}}]}}"#)),
            ("b", Some("")),
            ("c", None),
        ] {
            std::fs::create_dir_all(paths.container(id)).unwrap();
            if let Some(record) = record {
                std::fs::write(paths.container(id).join(CONFIG), record).unwrap();
            }
        }
        let users = volume_users(&paths).unwrap();
        assert_eq!((users.of("v").concat(), users.of("w").concat()), ("ab".to_owned(), "b".to_owned()));
        std::fs::remove_file(paths.container("b").join(CONFIG)).unwrap();
        std::fs::create_dir(paths.container("b").join(CONFIG)).unwrap();
        volume_users(&paths).unwrap_err();
    }
}
