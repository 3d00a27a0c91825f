//! Which containers mount which volumes, as their records say. Read leniently: a record that a newer runr wrote still tells it,
//! and its volumes must not go.

use super::containers::CONFIG;
use crate::base::paths::Paths;
use crate::base::{Doing, Result, fsx};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The part of a record that matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record {
    options: Options,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Options {
    mounts: Vec<Mount>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Mount {
    kind: serde_json::Value,
}

/// The containers' ids by the volume that they mount.
pub fn volume_users(paths: &Paths) -> Result<BTreeMap<String, Vec<String>>> {
    let folder = paths.containers();
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).doing(|| format!("read folder `{}`", folder.display()))?.flatten() {
        let id = entry.file_name().to_string_lossy().into_owned();
        // One that can't be read is damaged: it will never be started.
        let Ok(bytes) = fsx::read(&entry.path().join(CONFIG)) else { continue };
        for name in volumes(&bytes) {
            let ids = users.entry(name).or_default();
            if !ids.contains(&id) {
                ids.push(id.clone());
            }
        }
    }
    users.values_mut().for_each(|ids| ids.sort_unstable());
    Ok(users)
}

/// The names of the volumes in a record.
fn volumes(record: &[u8]) -> Vec<String> {
    let record: Record = serde_json::from_slice(record).unwrap_or_default();
    let name = |mount: Mount| mount.kind["volume"]["name"].as_str().map(ToOwned::to_owned);
    record.options.mounts.into_iter().filter_map(name).collect()
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
                mount(MountKind::Volume { name: "data".into() }),
                mount(MountKind::Tmpfs),
                mount(MountKind::Bind { source: "/x".into(), create: false }),
            ],
            ..Default::default()
        };
        let mut record = serde_json::json!({ "options": options });
        assert_eq!(volumes(record.to_string().as_bytes()), ["data"]);
        record["options"]["news"] = 1.into();
        record["version"] = 99.into();
        assert_eq!(volumes(record.to_string().as_bytes()), ["data"]);
        for broken in ["", "[]", "{}", r#"{"options":null}"#, r#"{"options":{"mounts":[{"kind":7},{}]}}"#] {
            assert!(volumes(broken.as_bytes()).is_empty(), "{broken}");
        }
    }
}
