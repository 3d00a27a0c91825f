//! `--device`: which files of this machine are meant. A folder stands for all devices in it, as for docker and podman
//! (`--device /dev/dri`), whatever they are at each start.

use crate::base::{Doing, Error, Result};
use crate::spec::options::Device;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// How many devices one folder may stand for, and how deep they may lie.
const MAX: (usize, usize) = (1000, 8);

/// Each device on this machine, and where the container has it.
///
/// Errors: `Usage` for what is no device and for folders without any; `NotFound` for what does not exist.
pub(super) fn given(devices: &[Device]) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for device in devices {
        let shown = device.host.display();
        let kind = std::fs::metadata(&device.host).doing(|| format!("--device: look at `{shown}`"))?.file_type();
        if kind.is_dir() {
            let before = found.len();
            inside(&device.host, device.container.trim_end_matches('/'), MAX.1, &mut found)
                .map_err(|e| e.step(format!("--device: look into `{shown}`")))?;
            if found.len() == before {
                return Err(Error::usage(format!("--device: there are no devices in `{shown}`")));
            }
        } else if kind.is_char_device() || kind.is_block_device() {
            found.push((device.host.clone(), device.container.clone()));
        } else {
            return Err(Error::usage(format!("--device: `{shown}` is no device"))
                .hint(format!("a file or a folder is mounted by -v {shown}:{}", device.container)));
        }
    }
    Ok(found)
}

fn inside(folder: &Path, target: &str, depth: usize, found: &mut Vec<(PathBuf, String)>) -> Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(folder)?.collect::<std::io::Result<_>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        // Links lead to devices that are there by another name, or out of the folder.
        let kind = entry.file_type()?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // `--device /dev`: the container has its own of these.
        if matches!(name.as_str(), "pts" | "shm" | "mqueue" | "console" | "ptmx") {
            continue;
        }
        let target = format!("{target}/{name}");
        if kind.is_dir() && depth > 0 {
            inside(&entry.path(), &target, depth - 1, found)?;
        } else if kind.is_char_device() || kind.is_block_device() {
            if found.len() >= MAX.0 {
                return Err(Error::usage(format!("there are more than {} devices", MAX.0)));
            }
            found.push((entry.path(), target));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(host: &Path, container: &str) -> Result<Vec<(PathBuf, String)>> {
        given(&[Device { host: host.into(), container: container.into(), permissions: "rwm".into() }])
    }

    #[test]
    fn a_folder_stands_for_its_devices() {
        let found = ask(Path::new("/dev"), "/x/").unwrap();
        assert!(found.contains(&("/dev/null".into(), "/x/null".to_owned())), "{found:?}");
        assert!(found.iter().all(|(host, target)| Path::new("/dev").join(&target[3..]) == *host));
        assert_eq!(ask(Path::new("/dev/null"), "/y").unwrap(), [("/dev/null".into(), "/y".to_owned())]);
    }

    #[test]
    fn what_is_no_device_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let said = |path: &Path| ask(path, "/y").unwrap_err().to_string();
        assert_eq!(said(dir.path()), format!("--device: there are no devices in `{}`", dir.path().display()));
        assert_eq!(said(&file), format!("--device: `{}` is no device", file.display()));
        assert!(said(&dir.path().join("none")).ends_with("No such file or directory (ENOENT)"));
    }
}
