//! How a container's two files are written and read, so that runrs of different age can share a store.
//!
//! A newer runr reads all that older ones wrote: new fields have a default. An older runr reads what a newer one wrote as long as
//! nothing is asked for that it has never heard of, since what is not set is not written: the default of a new field is what older
//! ones do without it. A field or a word that it does not know is something that it could not do, and that a file it writes would
//! lose: it says so and leaves the container alone. The version grows only when what older ones know comes to mean something else.
//!
//! `state.json` is a report, written anew at each start: there unknown fields are passed over, unknown words are not.

use super::containers::short;
use super::record::{ContainerRecord, ContainerState, VERSION};
use crate::base::{Doing, Error, Kind, Result};
use crate::image::config::Execution;
use crate::spec::ContainerOptions;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// One of the two files.
pub(super) trait Versioned: DeserializeOwned {
    /// The version that it says it has.
    fn version(&self) -> u32;
}

impl Versioned for Box<ContainerRecord> {
    fn version(&self) -> u32 {
        self.version
    }
}

impl Versioned for ContainerState {
    fn version(&self) -> u32 {
        self.version
    }
}

/// What both files of any version begin with.
#[derive(Deserialize)]
struct Header {
    version: u32,
}

/// Reads a file of container `id`, called `name` in errors.
///
/// Errors: one of [`is_newer`] for what a newer runr wrote; `Corrupt` for what nobody wrote.
pub(super) fn parse<T: Versioned>(bytes: &[u8], id: &str, name: &str) -> Result<T> {
    let e = match serde_json::from_slice::<T>(bytes) {
        Ok(file) if file.version() <= VERSION => return Ok(file),
        Ok(file) => return Err(newer(id, &format!("its format is {}, this one knows {VERSION}", file.version()))),
        Err(e) => e,
    };
    // Damage leaves no JSON, or none with a version. What has both was meant so.
    match serde_json::from_slice::<Header>(bytes) {
        Ok(Header { version }) if version > VERSION => {
            Err(newer(id, &format!("its format is {version}, this one knows {VERSION}")))
        }
        Ok(_) if e.is_data() => {
            let text = e.to_string();
            // All the words that are known are no help.
            Err(newer(id, text.split(", expected").next().unwrap_or_default()))
        }
        _ => Err(e).doing(|| format!("read `{name}`")),
    }
}

fn newer(id: &str, why: &str) -> Error {
    Error::unsupported(format!("container `{}` was made by a newer runr: {why}", short(id)))
        .hint(format!("use that one; `runr rm -f {}` removes the container", short(id)))
}

/// True when a container could not be read because a newer runr made it: it is whole, and not for this one.
pub fn is_newer(e: &Error) -> bool {
    e.kind() == Kind::Unsupported
}

/// What `config.json` gets: what is not set is most of a record, and left out.
pub(super) fn record(whole: &ContainerRecord) -> Result<Vec<u8>> {
    let mut record = serde_json::to_value(whole)?;
    if let Value::Object(fields) = &mut record {
        fields.retain(|_, value| !value.is_null());
    }
    leave_out(&mut record["options"], &serde_json::to_value(ContainerOptions::default())?);
    leave_out(&mut record["execution"], &serde_json::to_value(Execution::default())?);
    let bytes = serde_json::to_vec(&record)?;
    debug_assert!(serde_json::from_slice(&bytes).is_ok_and(|read: ContainerRecord| read == *whole), "{record}");
    Ok(bytes)
}

/// Takes the fields that are as in `default` out of an object and of those in it.
fn leave_out(object: &mut Value, default: &Value) {
    let (Value::Object(fields), Value::Object(default)) = (object, default) else { return };
    fields.retain(|name, value| default.get(name) != Some(value));
    for (name, value) in fields {
        if let Some(default) = default.get(name) {
            leave_out(value, default);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::limits::Limits;
    use crate::spec::options::{HostsBase, RestartPolicy};
    use crate::userns::IdMap;
    use serde_json::json;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn bare() -> ContainerRecord {
        ContainerRecord {
            version: VERSION,
            id: ID.into(),
            name: "web".into(),
            created: "2026-01-01T00:00:00Z".into(),
            image: None,
            execution: Execution::default(),
            rootfs: Some("/srv/root".into()),
            command: vec!["true".into()],
            options: ContainerOptions::default(),
            map: IdMap::single(0, 0),
            stop_signal: None,
        }
    }

    #[test]
    fn what_is_not_set_is_not_written_and_comes_back() {
        let mut whole = bare();
        let written = |whole: &ContainerRecord| serde_json::from_slice::<Value>(&record(whole).unwrap()).unwrap();
        let fields: Vec<String> = written(&whole).as_object().unwrap().keys().cloned().collect();
        assert_eq!(fields, ["version", "id", "name", "created", "execution", "rootfs", "command", "options", "map"]);
        assert_eq!((&written(&whole)["options"], &written(&whole)["execution"]), (&json!({}), &json!({})));
        whole.options.limits = Limits { memory: Some(1 << 20), ..Limits::default() };
        whole.options.labels.insert("name".into(), String::new());
        whole.options.restart = RestartPolicy::OnFailure(0);
        whole.options.hosts_file = Some(HostsBase::None);
        whole.options.entrypoint = Some(Vec::new());
        whole.options.init = true;
        whole.execution.labels.insert("none".into(), String::new());
        let expected = json!({
            "limits": {"memory": 1 << 20},
            "labels": {"name": ""},
            "restart": {"on-failure": 0},
            "hosts_file": "none",
            "entrypoint": [],
            "init": true,
        });
        assert_eq!(written(&whole)["options"], expected);
        assert_eq!(*parse::<Box<ContainerRecord>>(&record(&whole).unwrap(), ID, "x").unwrap(), whole);
    }

    #[test]
    fn what_a_newer_runr_wrote_is_told_from_damage() {
        let good: Value = serde_json::from_slice(&record(&bare()).unwrap()).unwrap();
        let read = |text: &str| parse::<Box<ContainerRecord>>(text.as_bytes(), ID, "x").unwrap_err();
        let changed = |pointer: &str, value: Value| {
            let mut record = good.clone();
            let (object, field) = pointer.rsplit_once('/').unwrap();
            record.pointer_mut(object).unwrap()[field] = value;
            read(&record.to_string())
        };
        for (e, why) in [
            (changed("/version", json!(2)), "its format is 2, this one knows 1"),
            (changed("/pod", json!("p")), "unknown field `pod`"),
            (changed("/options/teleport", json!(true)), "unknown field `teleport`"),
            (changed("/options/health", json!({"patience": 1})), "unknown field `patience`"),
            (changed("/options/limits", json!({"joules": 1})), "unknown field `joules`"),
            (changed("/options/security", json!({"landlock": 1})), "unknown field `landlock`"),
            (changed("/options/accounts", json!({"keys": []})), "unknown field `keys`"),
            (changed("/options/cgroup", json!({"mode": "threaded"})), "unknown variant `threaded`"),
            (changed("/options/restart", json!("sometimes")), "unknown variant `sometimes`"),
            (read(r#"{"version":7}"#), "its format is 7, this one knows 1"),
        ] {
            assert!(is_newer(&e), "{e}");
            assert!(
                e.to_string().starts_with(&format!("container `0123456789ab` was made by a newer runr: {why}")),
                "{e}"
            );
        }
        for text in ["", "\0\0\0\0", "{", "null", "{}", "[]", r#"{"version":1,"id":"#, r#"{"version":"a"}"#] {
            let e = read(text);
            assert!(!is_newer(&e) && e.to_string().starts_with("read `x`: invalid JSON: "), "{text}: {e}");
        }
        let state = |text: &str| parse::<ContainerState>(text.as_bytes(), ID, "x");
        assert_eq!(state(r#"{"version":1,"status":"created","mood":"good"}"#).unwrap(), ContainerState::created());
        assert!(is_newer(&state(r#"{"version":1,"status":"dreaming"}"#).unwrap_err()));
        assert!(is_newer(&state(r#"{"version":2,"status":"created"}"#).unwrap_err()));
    }
}
