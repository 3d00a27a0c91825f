//! `journald`: the system's journal, by its native protocol (systemd, "Native Journal Protocol") for writing and by
//! journalctl(1) for reading: the journal's files are for no other program to read.
//!
//! An entry is one datagram of fields, `NAME=value` a line, or, for values that are not one line of text, the name, the length
//! as 64 bits little-endian, and the bytes. The fields are those of docker and podman:
//! ```text
//! MESSAGE                       a line without its newline, or a part of one
//! CONTAINER_PARTIAL_MESSAGE     `true` if no newline followed
//! PRIORITY                      6 for stdout, 3 for stderr
//! CONTAINER_ID CONTAINER_ID_FULL CONTAINER_NAME CONTAINER_TAG IMAGE_NAME SYSLOG_IDENTIFIER
//! ```

use super::{Content, Record, Stream};
use crate::base::{Error, Result};
use crate::state::record::ContainerRecord;
use serde_json::Value;
use std::borrow::Cow;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Where the journal listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";
/// The most bytes of a line in one entry; journald itself cuts at 48 KiB what arrives over stdout.
pub const MOST: usize = 32 * 1024;

/// Checks that somebody listens.
///
/// Errors: `Unsupported`.
pub fn check() -> Result<()> {
    let reached = UnixDatagram::unbound().and_then(|socket| socket.connect(Path::new(SOCKET)));
    reached.map_err(|e| {
        Error::from(e)
            .step(format!("log driver `journald`: reach `{SOCKET}`"))
            .with_kind(crate::base::Kind::Unsupported)
            .hint("without systemd's journal use k8s-file or json-file")
    })
}

/// Appends a field.
pub fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.iter().all(|b| *b >= b' ' || *b == b'\t') {
        out.push(b'=');
    } else {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// The fields that all entries of a container share.
pub fn common(record: &ContainerRecord, tag: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    let short = record.id.get(..12).unwrap_or(&record.id);
    field(&mut out, "CONTAINER_ID", short.as_bytes());
    field(&mut out, "CONTAINER_ID_FULL", record.id.as_bytes());
    field(&mut out, "CONTAINER_NAME", record.name.as_bytes());
    field(&mut out, "CONTAINER_TAG", tag.unwrap_or_default().as_bytes());
    field(&mut out, "IMAGE_NAME", record.image.as_ref().map_or("", |i| i.name.as_str()).as_bytes());
    field(&mut out, "SYSLOG_IDENTIFIER", tag.unwrap_or(&record.name).as_bytes());
    out
}

/// The fields of one line or part of a line.
pub fn message(out: &mut Vec<u8>, stream: Stream, piece: &[u8]) {
    let text = piece.strip_suffix(b"\n");
    field(out, "PRIORITY", if stream == Stream::Stdout { b"6" } else { b"3" });
    field(out, "MESSAGE", text.unwrap_or(piece));
    if text.is_none() {
        field(out, "CONTAINER_PARTIAL_MESSAGE", b"true");
    }
}

/// Reads one line of `journalctl --output=json --all`; the entry's cursor, and the record.
pub fn decode(line: &[u8]) -> Option<(String, Record<'static>)> {
    let entry: Value = serde_json::from_slice(line).ok()?;
    // A field that an entry has twice is a list; ours have each once.
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let mut bytes = match entry.get("MESSAGE")? {
        Value::String(text) => text.clone().into_bytes(),
        // Bytes that are not text.
        Value::Array(numbers) => {
            numbers.iter().map(|n| n.as_u64().and_then(|n| u8::try_from(n).ok())).collect::<Option<_>>()?
        }
        _ => return None,
    };
    if text("CONTAINER_PARTIAL_MESSAGE") != Some("true") {
        bytes.push(b'\n');
    }
    let microseconds: i64 = text("__REALTIME_TIMESTAMP")?.parse().ok()?;
    let stream = if text("PRIORITY") == Some("3") { Stream::Stderr } else { Stream::Stdout };
    let content = Content::Bytes(Cow::Owned(bytes));
    Some((text("__CURSOR")?.to_owned(), Record { time: microseconds.checked_mul(1000)?, stream, content }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_the_protocols() {
        let mut out = Vec::new();
        message(&mut out, Stream::Stderr, b"a = b\n");
        assert_eq!(out, b"PRIORITY=3\nMESSAGE=a = b\n");
        out.clear();
        message(&mut out, Stream::Stdout, b"a\rb\xff");
        assert_eq!(out, b"PRIORITY=6\nMESSAGE\n\x04\0\0\0\0\0\0\0a\rb\xff\nCONTAINER_PARTIAL_MESSAGE=true\n");
    }

    #[test]
    fn entries_are_read() {
        let line = br#"{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1475713029669794","PRIORITY":"6","MESSAGE":"x"}"#;
        let (cursor, record) = decode(line).unwrap();
        assert_eq!((cursor.as_str(), record.time, record.stream), ("s=1", 1_475_713_029_669_794_000, Stream::Stdout));
        assert_eq!(record.content, Content::Bytes(Cow::Borrowed(b"x\n")));
        let line = br#"{"__CURSOR":"s=2","__REALTIME_TIMESTAMP":"1","PRIORITY":"3","MESSAGE":[255,0],"CONTAINER_PARTIAL_MESSAGE":"true"}"#;
        let (_, record) = decode(line).unwrap();
        assert_eq!((record.stream, record.content), (Stream::Stderr, Content::Bytes(Cow::Borrowed(b"\xff\0"))));
        for bad in [&b"{}"[..], b"", b"[]", br#"{"__CURSOR":"s","__REALTIME_TIMESTAMP":"1","MESSAGE":null}"#] {
            assert!(decode(bad).is_none());
        }
    }
}
