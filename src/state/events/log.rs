//! Appending events, and putting a full file aside.

use super::Event;
use crate::base::Result;
use crate::base::fsx;
use crate::base::paths::Paths;
use crate::sys::lock::{self, Mode};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A line is no longer than this: one that is loses its longest attributes.
pub(super) const MAX_LINE: usize = 4096;
/// A file that has this many bytes is put aside.
const MAX_FILE: u64 = 1 << 20;
/// How many files are kept aside.
const KEEP: usize = 8;

pub(super) const CURRENT: &str = "current.jsonl";
const LOCK: &str = "rotate.lock";

/// Writes an event down. That it can't (a full disk, a folder that is read-only or being reset) is nobody's failure.
pub fn append(paths: &Paths, event: &Event) {
    drop(try_append(&paths.events(), event, MAX_FILE));
}

pub(super) fn try_append(folder: &Path, event: &Event, max_file: u64) -> Result<()> {
    let line = line(event)?;
    let path = folder.join(CURRENT);
    let mut file = match open(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            fsx::ensure_dir(folder, 0o700)?;
            open(&path)?
        }
        other => other?,
    };
    // One write: the kernel lets no other writer's bytes in between.
    file.write_all(&line)?;
    if file.metadata()?.len() >= max_file {
        rotate(folder, max_file)?;
    }
    Ok(())
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// The line, between two newlines: one that a full disk or a power cut broke off does not take the next one with it.
fn line(event: &Event) -> Result<Vec<u8>> {
    let mut text = encode(event)?;
    if text.len() <= MAX_LINE {
        return Ok(text);
    }
    let mut shorter = event.clone();
    while text.len() > MAX_LINE {
        let longest = shorter.attributes.iter().max_by_key(|(k, v)| k.len() + v.len()).map(|(k, _)| k.clone());
        match longest {
            Some(key) => drop(shorter.attributes.remove(&key)),
            None => {
                // Names come from outside as well.
                for field in [&mut shorter.image, &mut shorter.name, &mut shorter.id] {
                    let end = (0..=256.min(field.len())).rev().find(|at| field.is_char_boundary(*at)).unwrap_or(0);
                    field.truncate(end);
                }
                return encode(&shorter);
            }
        }
        text = encode(&shorter)?;
    }
    Ok(text)
}

fn encode(event: &Event) -> Result<Vec<u8>> {
    let mut text = Vec::with_capacity(512);
    text.push(b'\n');
    serde_json::to_writer(&mut text, event)?;
    text.push(b'\n');
    Ok(text)
}

/// Puts the current file aside, unless somebody else does or has. Followers find it under its number.
fn rotate(folder: &Path, max_file: u64) -> Result<()> {
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.join(LOCK))?;
    if !lock::try_lock(&lock, Mode::Exclusive)? {
        return Ok(());
    }
    let current = folder.join(CURRENT);
    // Gone or short: somebody else has put it aside since.
    if std::fs::metadata(&current).map_or(0, |m| m.len()) < max_file {
        return Ok(());
    }
    let aside = aside(folder)?;
    let number = aside.last().map_or(1, |(number, _)| number + 1);
    fsx::rename(&current, &folder.join(format!("{number:010}.jsonl")))?;
    let surplus = (aside.len() + 1).saturating_sub(KEEP);
    for (_, path) in aside.iter().take(surplus) {
        fsx::remove_file(path)?;
    }
    Ok(())
}

/// The files put aside, oldest first.
pub(super) fn aside(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found: Vec<(u64, PathBuf)> = std::fs::read_dir(folder)?
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_suffix(".jsonl")?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::Topic;
    use super::*;

    #[test]
    fn a_long_event_loses_its_longest_attributes() {
        let event = Event::new(Topic::Container, "start", "i".repeat(64), "web")
            .with("long", "x".repeat(5000))
            .with("short", "kept");
        let text = line(&event).unwrap();
        assert!(text.len() <= MAX_LINE);
        let read: Event = serde_json::from_slice(&text).unwrap();
        assert_eq!(read.attributes.keys().collect::<Vec<_>>(), ["short"]);
        let silly = Event::new(Topic::Image, "pull", "ü".repeat(5000), "ü".repeat(5000));
        assert!(line(&silly).unwrap().len() <= MAX_LINE);
    }

    #[test]
    fn full_files_are_put_aside_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("events");
        for n in 0..40 {
            let event = Event::new(Topic::Container, "start", n.to_string(), "web");
            try_append(&folder, &event, 250).unwrap();
        }
        let aside = aside(&folder).unwrap();
        assert_eq!(aside.len(), KEEP);
        assert!(aside[0].0 > 1, "{aside:?}");
    }

    #[test]
    fn nothing_is_made_where_there_is_no_data_folder() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path().join("gone"));
        append(&paths, &Event::new(Topic::System, "prune", "", ""));
        assert!(!paths.root().exists());
    }
}
