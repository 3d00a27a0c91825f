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
        fsx::remove_file(&packed(current, *number))?;
        // Left by somebody who was killed; who is at it still will notice.
        fsx::remove_file(&part(current, *number))?;
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
    // For a moment there are both forms of a file.
    numbers.dedup();
    Ok(numbers)
}

/// The path of the older file with this number, unless it is packed.
pub fn numbered(current: &Path, number: u64) -> PathBuf {
    with(current, &format!(".{number}"))
}

/// Its path when it is packed.
pub fn packed(current: &Path, number: u64) -> PathBuf {
    with(current, &format!(".{number}.gz"))
}

/// Its path while it is being packed.
pub fn part(current: &Path, number: u64) -> PathBuf {
    with(current, &format!(".{number}.gz.part"))
}

fn with(current: &Path, end: &str) -> PathBuf {
    let mut path = OsString::from(current);
    path.push(end);
    PathBuf::from(path)
}

fn folder(current: &Path) -> &Path {
    current.parent().unwrap_or(Path::new("/"))
}

fn number(name: &OsStr, entry: &OsStr) -> Option<u64> {
    let rest = entry.as_encoded_bytes().strip_prefix(name.as_encoded_bytes())?.strip_prefix(b".")?;
    let text = std::str::from_utf8(rest).ok()?;
    let text = text.strip_suffix(".gz").unwrap_or(text);
    // `ctr.log.07` is not ours, nor is a number that no log gets to: there must be one behind it.
    text.parse().ok().filter(|n: &u64| *n < u64::MAX / 2 && n.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_up_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let current = dir.path().join("ctr.log");
        for other in ["ctr.log.x", "ctr.log.07", "ctr.log.18446744073709551615", "x.1", "ctr.log.", "ctr.log-1"] {
            std::fs::write(dir.path().join(other), "").unwrap();
        }
        for text in ["a", "b", "c", "d"] {
            std::fs::write(&current, text).unwrap();
            rotate(&current, 2).unwrap();
        }
        assert!(!current.exists());
        assert_eq!(older(&current).unwrap(), [3, 4]);
        for packed in ["ctr.log.2.gz", "ctr.log.3.gz", "ctr.log.5.gz.part", "ctr.log.gz"] {
            std::fs::write(dir.path().join(packed), "").unwrap();
        }
        assert_eq!(older(&current).unwrap(), [2, 3, 4]);
        std::fs::write(&current, "e").unwrap();
        rotate(&current, 2).unwrap();
        assert_eq!(older(&current).unwrap(), [4, 5]);
        assert!(!packed(&current, 2).exists() && !packed(&current, 3).exists());
        assert_eq!(std::fs::read_to_string(numbered(&current, 5)).unwrap(), "e");
        assert!(rotate(&current, 2).unwrap_err().is_missing());
        assert_eq!(older(Path::new("/nonexistent/ctr.log")).unwrap(), [0u64; 0]);
    }
}
