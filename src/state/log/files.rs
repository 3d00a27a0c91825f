//! The files of one log: the one that is written now, and older ones beside it with a number behind their name.
//!
//! A rotation is one rename, to a number that was never used before, so that it cannot be half done, and a reader can tell
//! which file follows which however often there was a rotation meanwhile.

use crate::base::{Doing, Result, fsx};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Makes the file that is written now an old one, and removes the oldest beyond `kept`.
pub fn rotate(current: &Path, kept: u32) -> Result<()> {
    let mut numbers = older(current)?;
    let next = numbers.last().map_or(1, |n| n + 1);
    fsx::rename(current, &numbered(current, next))?;
    numbers.push(next);
    let many = numbers.len().saturating_sub(kept as usize);
    for number in &numbers[..many] {
        fsx::remove_file(&numbered(current, *number))?;
    }
    Ok(())
}

/// The numbers of the older files, the oldest first.
pub fn older(current: &Path) -> Result<Vec<u64>> {
    let (folder, name) = (folder(current), current.file_name().unwrap_or_default());
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.doing(|| format!("read folder `{}`", folder.display()))?,
    };
    let mut numbers: Vec<u64> = entries.flatten().filter_map(|entry| number(name, &entry.file_name())).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The path of the older file with this number.
pub fn numbered(current: &Path, number: u64) -> PathBuf {
    let mut path = OsString::from(current);
    path.push(format!(".{number}"));
    PathBuf::from(path)
}

fn folder(current: &Path) -> &Path {
    current.parent().unwrap_or(Path::new("/"))
}

fn number(name: &OsStr, entry: &OsStr) -> Option<u64> {
    let rest = entry.as_encoded_bytes().strip_prefix(name.as_encoded_bytes())?.strip_prefix(b".")?;
    let text = std::str::from_utf8(rest).ok()?;
    // `ctr.log.07` is not ours.
    text.parse().ok().filter(|n: &u64| n.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_up_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let current = dir.path().join("ctr.log");
        for other in ["ctr.log.x", "ctr.log.07", "x.1", "ctr.log.", "ctr.log-1"] {
            std::fs::write(dir.path().join(other), "").unwrap();
        }
        for text in ["a", "b", "c", "d"] {
            std::fs::write(&current, text).unwrap();
            rotate(&current, 2).unwrap();
        }
        assert!(!current.exists());
        assert_eq!(older(&current).unwrap(), [3, 4]);
        assert_eq!(std::fs::read_to_string(numbered(&current, 4)).unwrap(), "d");
        assert!(rotate(&current, 2).unwrap_err().is_missing());
        assert_eq!(older(Path::new("/nonexistent/ctr.log")).unwrap(), [0u64; 0]);
    }
}
