//! Any bytes in, the same bytes out: through both formats, rotation, restarts, a full disk and readers at the same time.

use super::*;
use crate::spec::ContainerOptions;
use crate::state::log::{Content, Next, Reader, files, pack};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

fn options(driver: &str, log_options: &[(&str, &str)]) -> ContainerOptions {
    let log_options = log_options.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    ContainerOptions { log_driver: Some(driver.to_owned()), log_options, ..ContainerOptions::default() }
}

fn record(options: &ContainerOptions) -> ContainerRecord {
    ContainerRecord {
        version: 1,
        id: "0123456789abcdef".repeat(4),
        name: "web".into(),
        created: "2026-01-01T00:00:00Z".into(),
        image: None,
        rootfs: None,
        command: Vec::new(),
        options: options.clone(),
        map: crate::userns::IdMap::single(0, 0),
        execution: Default::default(),
        stop_signal: None,
    }
}

fn open(options: &ContainerOptions, folder: &Path) -> Log {
    Log::open(&record(options), folder).unwrap()
}

fn reader(options: &ContainerOptions, folder: &Path) -> Reader {
    Reader::open(&Settings::of(options).unwrap(), folder).unwrap().unwrap()
}

/// Adds what there is to both streams' bytes; returns the lost bytes that were noted.
fn read_on(reader: &mut Reader, streams: &mut [Vec<u8>; 2]) -> u64 {
    let mut noted = 0;
    loop {
        match reader.read().unwrap() {
            Next::Record(record) => match record.content {
                Content::Bytes(bytes) => streams[record.stream.index()].extend_from_slice(&bytes),
                Content::Unfinished => {}
                Content::Lost(n) => noted += n,
            },
            Next::Damaged => {}
            Next::End => return noted,
        }
    }
}

fn read_all(options: &ContainerOptions, folder: &Path) -> [Vec<u8>; 2] {
    let mut streams = [Vec::new(), Vec::new()];
    read_on(&mut reader(options, folder), &mut streams);
    streams
}

/// A step of a container's life.
#[derive(Debug, Clone)]
enum Step {
    Write(Stream, Vec<u8>),
    EndRun,
    /// The monitor is killed; the next one opens the log anew.
    Killed,
    /// A follower looks.
    Look,
    /// What is full is packed.
    Pack,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = prop_oneof![
        4 => proptest::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'\n')], 0..200),
        2 => "[a-zé€😀\n]{0,80}".prop_map(String::into_bytes),
        // No 200,000 lines: they would fill more files than are kept.
        1 => (1usize..200_000, any::<u8>()).prop_map(|(n, b)| vec![if b == b'\n' { b' ' } else { b }; n]),
    ];
    let write = (prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)], bytes);
    let step = prop_oneof![
        8 => write.prop_map(|(stream, bytes)| Step::Write(stream, bytes)),
        1 => Just(Step::EndRun),
        1 => Just(Step::Killed),
        2 => Just(Step::Look),
        1 => Just(Step::Pack),
    ];
    proptest::collection::vec(step, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_bytes_come_back(steps in steps(), json in any::<bool>(), rotated in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let limits: &[(&str, &str)] = if rotated { &[("max-size", "3k"), ("max-file", "1000")] } else { &[] };
        let options = options(if json { "json-file" } else { "k8s-file" }, limits);
        let mut log = open(&options, dir.path());
        let mut follower = reader(&options, dir.path());
        let mut seen = [Vec::new(), Vec::new()];
        let mut expected = [Vec::new(), Vec::new()];
        for step in &steps {
            match step {
                Step::Write(stream, bytes) => {
                    log.write(*stream, bytes);
                    expected[stream.index()].extend_from_slice(bytes);
                }
                Step::EndRun => log.end_run(),
                Step::Killed => {
                    // Up to three bytes of a character may wait in memory: a kill loses them, as it loses a pipe's content.
                    log.end_run();
                    log = open(&options, dir.path());
                }
                Step::Pack => pack::pack_older(&dir.path().join("log/ctr.log")).unwrap(),
                Step::Look => {
                    read_on(&mut follower, &mut seen);
                    for stream in Stream::ALL {
                        let (seen, expected) = (&seen[stream.index()], &expected[stream.index()]);
                        prop_assert!(expected.starts_with(seen) && seen.len() + 3 >= expected.len());
                    }
                }
            }
        }
        log.end_run();
        read_on(&mut follower, &mut seen);
        prop_assert!(seen == expected, "the follower");
        prop_assert!(read_all(&options, dir.path()) == expected, "from the start");
    }

    #[test]
    fn the_last_lines_are_the_last_lines(text in "[ab\n]{0,400}", lines in 0u64..30, cut in 1usize..50) {
        let dir = tempfile::tempdir().unwrap();
        let options = options("k8s-file", &[("max-size", "700"), ("max-file", "1000")]);
        let mut log = open(&options, dir.path());
        text.as_bytes().chunks(cut).for_each(|piece| log.write(Stream::Stdout, piece));
        if lines % 2 == 0 {
            pack::pack_older(&dir.path().join("log/ctr.log")).unwrap();
        }
        let mut reader = reader(&options, dir.path());
        reader.seek_last(lines).unwrap();
        let mut found = [Vec::new(), Vec::new()];
        read_on(&mut reader, &mut found);
        let all: Vec<&str> = text.split_inclusive('\n').collect();
        let expected = all[all.len().saturating_sub(lines as usize)..].concat();
        prop_assert_eq!(String::from_utf8(found[0].clone()).unwrap(), expected);
    }
}

#[test]
fn rotation_keeps_as_many_files_of_about_that_size_as_asked() {
    for (limits, files_kept, most) in [
        (&[("max-size", "10k"), ("max-file", "3")][..], 3, 30_000),
        (&[("max-size", "10k")], 2, 10_000),
        (&[("max-size", "10k"), ("max-file", "1")], 2, 10_000),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let options = options("k8s-file", limits);
        let mut log = open(&options, dir.path());
        let text: String = (0..5000).map(|i| format!("line {i}\n")).collect();
        log.write(Stream::Stdout, text.as_bytes());
        let sizes: Vec<u64> =
            std::fs::read_dir(dir.path().join("log")).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).collect();
        assert_eq!(sizes.len(), files_kept, "{limits:?}");
        let sum: u64 = sizes.iter().sum();
        assert!(sum <= most && sum * 3 > most, "{limits:?}: {sizes:?}");
        let [out, _] = read_all(&options, dir.path());
        assert!(text.as_bytes().ends_with(&out) && out.starts_with(b"line "), "whole lines, the last ones");
    }
}

#[test]
fn a_reader_in_another_thread_misses_nothing_while_files_change() {
    let dir = tempfile::tempdir().unwrap();
    let options = options("k8s-file", &[("max-size", "20k"), ("max-file", "1000")]);
    let mut expected = Vec::new();
    let done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let follower = scope.spawn(|| {
            let mut reader = reader(&options, dir.path());
            let mut streams = [Vec::new(), Vec::new()];
            loop {
                let over = done.load(Ordering::SeqCst);
                read_on(&mut reader, &mut streams);
                if over {
                    return streams;
                }
            }
        });
        let mut log = open(&options, dir.path());
        for i in 0..40_000 {
            let line = format!("line {i} {}\n", "x".repeat(i % 40));
            log.write(Stream::Stdout, line.as_bytes());
            expected.extend_from_slice(line.as_bytes());
        }
        done.store(true, Ordering::SeqCst);
        follower.join().unwrap()
    });
    assert!(seen[0] == expected);
    assert!(files::older(&dir.path().join("log/ctr.log")).unwrap().len() > 50);
}

#[test]
fn a_follower_misses_nothing_while_files_are_packed_under_it() {
    let dir = tempfile::tempdir().unwrap();
    let options = options("json-file", &[("max-size", "20k"), ("max-file", "1000")]);
    let current = dir.path().join("log/ctr.log");
    let mut expected = Vec::new();
    let done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let follower = scope.spawn(|| {
            let mut reader = reader(&options, dir.path());
            let mut streams = [Vec::new(), Vec::new()];
            loop {
                let over = done.load(Ordering::SeqCst);
                read_on(&mut reader, &mut streams);
                if over {
                    return streams;
                }
            }
        });
        // A follower's own file is packed and gone each time, its inode used again.
        let packer = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                pack::pack_older(&current).unwrap();
            }
        });
        let mut log = open(&options, dir.path());
        for i in 0..20_000 {
            let line = format!("line {i} {}\n", "x".repeat(i % 40));
            log.write(Stream::Stdout, line.as_bytes());
            expected.extend_from_slice(line.as_bytes());
        }
        done.store(true, Ordering::SeqCst);
        packer.join().unwrap();
        follower.join().unwrap()
    });
    assert!(seen[0] == expected);
    pack::pack_older(&current).unwrap();
    assert!(!files::numbered(&current, 1).exists() && files::packed(&current, 1).exists());
    assert!(read_all(&options, dir.path())[0] == expected);
}

#[test]
fn nothing_is_made_before_the_first_byte() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(&options("k8s-file", &[]), dir.path());
    log.write(Stream::Stdout, b"");
    log.end_run();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    for driver in ["none", "passthrough"] {
        let mut log = open(&options(driver, &[]), dir.path());
        assert!(log.is_off());
        log.write(Stream::Stdout, b"x\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn what_could_not_be_written_is_noted_once() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("container");
    std::fs::create_dir(&folder).unwrap();
    // A file where the log's folder should be: opening fails whoever runs this test.
    std::fs::write(folder.join("log"), "").unwrap();
    let options = options("k8s-file", &[]);
    let mut log = open(&options, &folder);
    log.write(Stream::Stdout, b"gone\n");
    std::fs::remove_file(folder.join("log")).unwrap();
    let Sink::File(file) = &mut log.sink else { panic!() };
    file.retry_at = 0;
    log.write(Stream::Stdout, b"back\n");
    log.write(Stream::Stdout, b"again\n");
    let mut streams = [Vec::new(), Vec::new()];
    let noted = read_on(&mut reader(&options, &folder), &mut streams);
    assert_eq!((streams[0].as_slice(), noted), (&b"back\nagain\n"[..], 45));
}

#[test]
fn half_a_record_of_a_power_cut_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let options = options("k8s-file", &[]);
    open(&options, dir.path()).write(Stream::Stdout, b"one\ntwo\n");
    let path = dir.path().join("log/ctr.log");
    let bytes = std::fs::read(&path).unwrap();
    for cut in 1..45 {
        std::fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
        open(&options, dir.path()).write(Stream::Stdout, b"three\n");
        let [out, _] = read_all(&options, dir.path());
        assert!(out.starts_with(b"one") || cut > 42, "{cut}");
        assert!(out.ends_with(b"three\n"), "{cut}");
    }
}

#[test]
fn dockers_attributes_stand_in_every_record() {
    let dir = tempfile::tempdir().unwrap();
    let mut options =
        options("json-file", &[("labels", "app,none"), ("env", "MODE"), ("tag", "{{upper .Name}}/{{ .ID }}")]);
    options.labels = BTreeMap::from([("app".into(), "web".into()), ("other".into(), "x".into())]);
    options.env = vec!["MODE=a=b".into(), "X=y".into()];
    open(&options, dir.path()).write(Stream::Stdout, b"x\n");
    let text = std::fs::read_to_string(dir.path().join("log/ctr.log")).unwrap();
    assert!(text.contains(r#""attrs":{"MODE":"a=b","app":"web","tag":"WEB/0123456789ab"}"#), "{text}");
}

/// Fields of one datagram.
fn fields(mut entry: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    while !entry.is_empty() {
        let end = entry.iter().position(|b| *b == b'\n').unwrap();
        let (line, rest) = (&entry[..end], &entry[end + 1..]);
        if let Some(at) = line.iter().position(|b| *b == b'=') {
            found.insert(String::from_utf8(line[..at].to_vec()).unwrap(), line[at + 1..].to_vec());
            entry = rest;
        } else {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            found.insert(String::from_utf8(line.to_vec()).unwrap(), rest[8..8 + length].to_vec());
            assert_eq!(rest[8 + length], b'\n');
            entry = &rest[8 + length + 1..];
        }
    }
    found
}

#[test]
fn the_journal_gets_an_entry_for_each_line_and_a_slow_one_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let options = options("journald", &[("tag", "the tag")]);
    let settings = Settings::of(&options).unwrap();
    let mut log = JournalLog::new(&record(&options), &settings, path.clone());
    log.write(Stream::Stdout, b"nobody listens\n");
    let listener = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let next = || {
        let mut buffer = vec![0; 100_000];
        let n = listener.recv(&mut buffer).unwrap();
        fields(&buffer[..n])
    };
    log.write(Stream::Stderr, b"one\ntw\xffo");
    let lost = next();
    assert_eq!(lost["MESSAGE"], b"runr: 15 bytes of output could not be written to the journal");
    let first = next();
    assert_eq!(first["MESSAGE"], b"one");
    assert_eq!(first["PRIORITY"], b"3");
    assert_eq!(first["CONTAINER_NAME"], b"web");
    assert_eq!(first["CONTAINER_ID"], b"0123456789ab");
    assert_eq!(first["CONTAINER_TAG"], b"the tag");
    assert!(!first.contains_key("CONTAINER_PARTIAL_MESSAGE"));
    let second = next();
    assert_eq!(
        (second["MESSAGE"].as_slice(), second["CONTAINER_PARTIAL_MESSAGE"].as_slice()),
        (&b"tw\xffo"[..], &b"true"[..])
    );
    // Nobody reads: the socket's buffer fills, and the rest is dropped and told later.
    log.write(Stream::Stdout, "full\n".repeat(5000).as_bytes());
    let mut count = 0;
    listener.set_nonblocking(true).unwrap();
    let mut buffer = vec![0; 100_000];
    while listener.recv(&mut buffer).is_ok() {
        count += 1;
    }
    assert!(count < 5000);
    log.write(Stream::Stdout, b"after\n");
    assert!(String::from_utf8(next()["MESSAGE"].clone()).unwrap().contains(&format!("{} bytes", (5000 - count) * 5)));
    assert_eq!(next()["MESSAGE"], b"after");
    // The journal starts anew.
    drop(listener);
    std::fs::remove_file(&path).unwrap();
    let listener = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    log.write(Stream::Stdout, b"again\n");
    let n = listener.recv(&mut buffer).unwrap();
    assert_eq!(fields(&buffer[..n])["MESSAGE"], b"again");
}

/// The next entry of a journal's socket, as journald takes it: a datagram, or a sealed file beside an empty one. Whether it was
/// a file.
fn next_entry(listener: &std::os::unix::net::UnixDatagram) -> (BTreeMap<String, Vec<u8>>, bool) {
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    use std::os::fd::{AsRawFd, RawFd};
    use std::os::unix::fs::FileExt;
    let mut buffer = vec![0; 300_000];
    let mut space = nix::cmsg_space!([RawFd; 4]);
    let (length, files) = {
        let mut slices = [std::io::IoSliceMut::new(&mut buffer)];
        let got = recvmsg::<()>(listener.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::empty()).unwrap();
        let mut files = Vec::new();
        for control in got.cmsgs().unwrap() {
            if let ControlMessageOwned::ScmRights(fds) = control {
                files.extend(fds);
            }
        }
        (got.bytes, files)
    };
    let Some(number) = files.first() else { return (fields(&buffer[..length]), false) };
    assert_eq!((length, files.len()), (0, 1));
    let file = std::fs::File::open(format!("/proc/self/fd/{number}")).unwrap();
    nix::unistd::close(*number).unwrap();
    let seals = fcntl(&file, FcntlArg::F_GET_SEALS).unwrap();
    let wanted = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    assert_eq!(seals & wanted.bits(), wanted.bits());
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    (fields(&bytes), true)
}

#[test]
fn an_entry_that_no_datagram_holds_goes_to_the_journal_as_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    // Its fields alone are more than the socket's buffer (net.core.wmem_default).
    let tag = "t".repeat(400_000);
    let large = options("journald", &[("tag", &tag)]);
    let mut log = JournalLog::new(&record(&large), &Settings::of(&large).unwrap(), path.clone());
    log.write(Stream::Stderr, b"one\nno newline");
    for (text, partial) in [("one", false), ("no newline", true)] {
        let (fields, is_file) = next_entry(&listener);
        assert!(is_file);
        assert_eq!(fields["MESSAGE"], text.as_bytes());
        assert_eq!(fields["CONTAINER_TAG"], tag.as_bytes());
        assert_eq!(fields.contains_key("CONTAINER_PARTIAL_MESSAGE"), partial);
    }
}

#[test]
fn a_long_line_comes_back_from_the_journal_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let options = options("journald", &[]);
    let settings = Settings::of(&options).unwrap();
    // Random bytes but for the newline, then the end of the line, then another one.
    let mut line: Vec<u8> = (0..1_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    line.iter_mut().filter(|b| **b == b'\n').for_each(|b| *b = b'.');
    let reader = std::thread::spawn(move || {
        let (mut got, mut parts) = (Vec::new(), 0);
        loop {
            let (fields, _) = next_entry(&listener);
            got.extend_from_slice(&fields["MESSAGE"]);
            parts += 1;
            if !fields.contains_key("CONTAINER_PARTIAL_MESSAGE") {
                return (got, parts);
            }
        }
    });
    let mut log = JournalLog::new(&record(&options), &settings, path);
    // As it is read from the container, piece by piece.
    for piece in line.chunks(60_000) {
        log.write(Stream::Stdout, piece);
    }
    log.write(Stream::Stdout, b"\n");
    let (got, parts) = reader.join().unwrap();
    assert!(got == line, "{} bytes of {} in {parts} parts", got.len(), line.len());
    assert!(parts > 30, "{parts}");
}
