//! Reading logs that were written by hand: the last lines, damage, files that change.

use super::*;
use std::collections::BTreeMap;
use std::path::Path;

fn settings(options: &[(&str, &str)]) -> Settings {
    let options: BTreeMap<String, String> = options.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Settings::new(None, &options).unwrap()
}

/// `OF one` is a whole line on stdout, `EP x` a part on stderr, and so on; each at its own second.
fn records(from: u32, lines: &[&str]) -> String {
    let record = |(i, line): (usize, &&str)| {
        let (kind, text) = line.split_once(' ').unwrap_or((line, ""));
        let stream = if kind.starts_with('O') { "stdout" } else { "stderr" };
        format!("2026-01-01T00:00:{:02}.000000000Z {stream} {} {text}\n", from as usize + i, &kind[1..])
    };
    lines.iter().enumerate().map(record).collect()
}

/// Everything that a reader gives now: `O` and `E` with the bytes, `-` for a line that was left unfinished.
fn rest(reader: &mut Reader) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        match reader.read().unwrap() {
            Next::Record(record) => found.push(match &record.content {
                Content::Bytes(bytes) => format!(
                    "{}{}",
                    if record.stream == Stream::Stdout { 'O' } else { 'E' },
                    String::from_utf8_lossy(bytes)
                ),
                Content::Unfinished => "-".to_owned(),
                Content::Lost(n) => format!("lost {n}"),
            }),
            Next::Damaged => {}
            Next::End => return found,
        }
    }
}

fn log(files: &[(&str, &str)]) -> (tempfile::TempDir, Reader) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("log")).unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join("log").join(name), text).unwrap();
    }
    let reader = Reader::open(&settings(&[]), dir.path()).unwrap().unwrap();
    (dir, reader)
}

#[test]
fn the_last_lines_are_whole_lines_of_each_stream() {
    let text = records(0, &["OF 1", "EP a", "OF 2", "OF 3", "EF b", "OP 4", "EF c", "OF 5", "OP end"]);
    let expect = |lines: u64, expected: &[&str]| {
        let (_dir, mut reader) = log(&[("ctr.log", &text)]);
        reader.seek_last(lines).unwrap();
        assert_eq!(rest(&mut reader), expected, "{lines}");
    };
    expect(0, &[]);
    expect(1, &["Oend"]);
    expect(2, &["O4", "O5\n", "Oend"]);
    expect(3, &["O4", "Ec\n", "O5\n", "Oend"]);
    // The line of stderr ended after the third of stdout, but began before the second: the second is not one of the last.
    expect(4, &["Ea", "Eb\n", "O4", "Ec\n", "O5\n", "Oend"]);
    expect(5, &["Ea", "O3\n", "Eb\n", "O4", "Ec\n", "O5\n", "Oend"]);
    expect(99, &["O1\n", "Ea", "O2\n", "O3\n", "Eb\n", "O4", "Ec\n", "O5\n", "Oend"]);
}

#[test]
fn the_last_lines_lie_in_several_files() {
    let files = [
        ("ctr.log.2", records(0, &["OF 1", "OP 2"])),
        ("ctr.log.10", records(2, &["OP .", "OF ."])),
        ("ctr.log", records(4, &["OF 3"])),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (*n, t.as_str())).collect();
    for (lines, expected) in [
        (1, &["O3\n"][..]),
        (2, &["O2", "O.", "O.\n", "O3\n"]),
        (3, &["O1\n", "O2", "O.", "O.\n", "O3\n"]),
        (4, &["O1\n", "O2", "O.", "O.\n", "O3\n"]),
    ] {
        let (dir, mut reader) = log(&files);
        reader.seek_last(lines).unwrap();
        assert_eq!(rest(&mut reader), expected, "{lines}");
        let path = dir.path().join("log/ctr.log");
        std::fs::write(&path, records(4, &["OF 3", "OF 4"])).unwrap();
        assert_eq!(rest(&mut reader), ["O4\n"], "what comes later is not left out");
    }
    let (dir, mut reader) = log(&files);
    reader.seek_last(0).unwrap();
    assert_eq!(rest(&mut reader), [""; 0]);
    std::fs::write(dir.path().join("log/ctr.log"), records(4, &["OF 3", "EF 4"])).unwrap();
    assert_eq!(rest(&mut reader), ["E4\n"]);
}

#[test]
fn the_last_lines_of_a_long_log() {
    let long = "x".repeat(150_000);
    let lines: Vec<String> = (0..50).flat_map(|i| [format!("OF {i}"), format!("EF {long}")]).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let text = records(0, &lines[..59]);
    let (_dir, mut reader) = log(&[("ctr.log", &text)]);
    reader.seek_last(4).unwrap();
    let found = rest(&mut reader);
    assert_eq!((found.len(), found[1].as_str(), found[3].as_str()), (4, "O28\n", "O29\n"));
    assert_eq!(found[0].len(), long.len() + 2);
}

#[test]
fn the_last_lines_are_found_without_reading_the_rest() {
    use std::os::unix::fs::FileExt;
    let (dir, mut reader) = log(&[("ctr.log", "")]);
    // A hole that would take minutes to read.
    let file = std::fs::OpenOptions::new().write(true).open(dir.path().join("log/ctr.log")).unwrap();
    let text = format!("\n{}", records(0, &["OF 1", "OF 2"]));
    file.write_all_at(text.as_bytes(), 1 << 40).unwrap();
    reader.seek_last(1).unwrap();
    assert_eq!(rest(&mut reader), ["O2\n"]);
}

#[test]
fn damage_costs_only_itself() {
    let good = records(0, &["OF 1", "OF 2"]);
    let (first, second) = good.split_at(good.len() / 2);
    for damage in ["\0\0\0\0\0\n", "half a rec\n", "\n", "2026-01-01T00:00:00Z stdout\n"] {
        let text = format!("{first}{damage}{second}");
        let (_dir, mut reader) = log(&[("ctr.log", &text)]);
        assert_eq!(rest(&mut reader), ["O1\n", "O2\n"], "{damage:?}");
        let (_dir, mut reader) = log(&[("ctr.log", &text)]);
        reader.seek_last(2).unwrap();
        assert_eq!(rest(&mut reader), ["O1\n", "O2\n"], "{damage:?}");
    }
    let endless = "y".repeat(read::MAX_LINE * 2);
    let (_dir, mut reader) = log(&[("ctr.log", &format!("{first}{endless}\n{second}"))]);
    assert_eq!(rest(&mut reader), ["O1\n", "O2\n"]);
}

#[test]
fn half_a_record_is_waited_for() {
    let text = records(0, &["OF 1", "OF 22", "OF 3"]);
    let half = text.find("22").unwrap() + 1;
    for lines in [None, Some(5)] {
        let (dir, mut reader) = log(&[("ctr.log", &text[..half])]);
        if let Some(lines) = lines {
            reader.seek_last(lines).unwrap();
        }
        assert_eq!(rest(&mut reader), ["O1\n"]);
        // Taken back by a writer on a full disk, then something else is there.
        let path = dir.path().join("log/ctr.log");
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(records(0, &["OF 1"]).len() as u64).unwrap();
        assert_eq!(rest(&mut reader), [""; 0]);
        std::fs::write(&path, records(0, &["OF 1", "EF other"])).unwrap();
        assert_eq!(rest(&mut reader), ["Eother\n"]);
        // Cut to nothing by somebody else.
        std::fs::write(&path, records(0, &["OF n"])).unwrap();
        assert_eq!(rest(&mut reader), ["On\n"]);
    }
}

#[test]
fn a_log_that_was_cut_is_read_from_its_start() {
    let (dir, mut reader) = log(&[("ctr.log", &records(0, &["OF 1", "OF 2", "OF 3"]))]);
    reader.seek_last(1).unwrap();
    assert_eq!(rest(&mut reader), ["O3\n"]);
    std::fs::write(dir.path().join("log/ctr.log"), records(0, &["OF n"])).unwrap();
    assert_eq!(rest(&mut reader), ["On\n"]);
}

#[test]
fn a_log_that_is_not_there_yet() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = Reader::open(&settings(&[]), dir.path()).unwrap().unwrap();
    reader.seek_last(3).unwrap();
    assert_eq!(rest(&mut reader), [""; 0]);
    std::fs::create_dir(dir.path().join("log")).unwrap();
    std::fs::write(dir.path().join("log/ctr.log"), records(0, &["OF 1"])).unwrap();
    assert_eq!(rest(&mut reader), ["O1\n"]);
    let none = Settings::new(Some("none"), &BTreeMap::new()).unwrap();
    assert!(Reader::open(&none, dir.path()).unwrap().is_none());
    assert!(Reader::open(&settings(&[]), Path::new("/nonexistent")).is_err());
}

#[test]
fn a_file_that_is_removed_or_moved_is_read_to_its_end() {
    let (dir, mut reader) = log(&[("ctr.log", &records(0, &["OF 1"]))]);
    assert_eq!(rest(&mut reader), ["O1\n"]);
    let log = dir.path().join("log/ctr.log");
    let mut writer = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    let write = |writer: &mut std::fs::File, text: &str| std::io::Write::write_all(writer, text.as_bytes()).unwrap();
    write(&mut writer, &records(1, &["OF 2"]));
    let elsewhere = dir.path().with_extension("moved");
    std::fs::rename(dir.path(), &elsewhere).unwrap();
    assert_eq!(rest(&mut reader), ["O2\n"]);
    write(&mut writer, &records(2, &["OF 3"]));
    std::fs::remove_dir_all(&elsewhere).unwrap();
    assert_eq!(rest(&mut reader), ["O3\n"]);
    assert_eq!(rest(&mut reader), [""; 0]);
}
