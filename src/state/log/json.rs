//! `json-file`: docker's log format, one JSON object a line.
//!
//! ```text
//! {"log":"a whole line\n","stream":"stdout","time":"2016-10-06T00:17:09.669794202Z"}
//! {"log":"a part, which goes on in the stream's next record","stream":"stderr","time":"…"}
//! {"log":"caf\ufffd\n","stream":"stdout","raw":"Y2Fm6Qo=","time":"…"}
//! {"log":"","stream":"stdout","unfinished":true,"time":"…"}
//! {"log":"","stream":"stderr","lost":4096,"time":"…"}
//! ```
//! JSON holds text only. A piece that is not UTF-8 has its bytes in `raw`, in Base64, and docker's readers, which skip names
//! that they do not know, show what docker itself would have written.

use super::{Content, Record, Stream, stamp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The most bytes of a line in one record.
pub const MOST: usize = 16 * 1024;

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    raw: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unfinished: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    attrs: BTreeMap<String, String>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

/// Makes records.
#[derive(Debug, Default)]
pub struct Encoder {
    /// What every record carries besides: chosen labels and variables.
    pub attributes: BTreeMap<String, String>,
}

impl Encoder {
    /// Writes what fits of `bytes` behind `out` until `out` is longer than `enough`; returns what is left of `bytes`.
    pub fn encode<'a>(
        &self,
        out: &mut Vec<u8>,
        time: &[u8],
        stream: Stream,
        bytes: &'a [u8],
        enough: usize,
    ) -> &'a [u8] {
        let mut start = 0;
        while start < bytes.len() && out.len() <= enough {
            let piece = &bytes[start..bytes.len().min(start + MOST)];
            let piece = match memchr::memchr(b'\n', piece) {
                Some(end) => &piece[..=end],
                None => piece,
            };
            self.line(out, time, stream, piece);
            start += piece.len();
        }
        &bytes[start..]
    }

    fn line(&self, out: &mut Vec<u8>, time: &[u8], stream: Stream, piece: &[u8]) {
        let log = String::from_utf8_lossy(piece);
        let raw = matches!(log, Cow::Owned(_)).then(|| STANDARD.encode(piece).into());
        self.write(out, Line { log, raw, ..blank(time, stream) });
    }

    /// The record that a run ended in the middle of a line.
    pub fn unfinished(&self, out: &mut Vec<u8>, time: &[u8], stream: Stream) {
        self.write(out, Line { unfinished: true, ..blank(time, stream) });
    }

    /// The record that `lost` bytes of records are missing.
    pub fn lost(&self, out: &mut Vec<u8>, time: &[u8], lost: u64) {
        self.write(out, Line { lost: Some(lost), ..blank(time, Stream::Stderr) });
    }

    fn write(&self, out: &mut Vec<u8>, mut line: Line<'_>) {
        line.attrs.clone_from(&self.attributes);
        let before = out.len();
        // Writing text to memory does not fail; if it does, half a record is worse than none.
        match serde_json::to_writer(&mut *out, &line) {
            Ok(()) => out.push(b'\n'),
            Err(_) => out.truncate(before),
        }
    }
}

fn blank(time: &[u8], stream: Stream) -> Line<'_> {
    Line {
        log: Cow::Borrowed(""),
        stream: Cow::Borrowed(stream.word()),
        raw: None,
        unfinished: false,
        lost: None,
        attrs: BTreeMap::new(),
        time: String::from_utf8_lossy(time),
    }
}

/// Reads one line of the file, with its newline. `None` is a line that is no record.
pub fn decode(line: &[u8]) -> Option<Record<'_>> {
    let line: Line<'_> = serde_json::from_slice(line.strip_suffix(b"\n")?).ok()?;
    let (time, stream) = (stamp::parse(line.time.as_bytes())?, Stream::of_word(line.stream.as_bytes())?);
    let content = match (line.lost, line.unfinished, line.raw) {
        (Some(lost), ..) => Content::Lost(lost),
        (None, true, _) => Content::Unfinished,
        (None, false, Some(raw)) => Content::Bytes(Cow::Owned(STANDARD.decode(raw.as_bytes()).ok()?)),
        (None, false, None) => Content::Bytes(match line.log {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }),
    };
    Some(Record { time, stream, content })
}

/// How many bytes at the end of `bytes` begin a character whose rest is still to come: a piece that ends there would be
/// text without them.
pub fn cut_character(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    // The last byte that begins a character of several: what stands behind it are its other bytes, or it is broken anyway.
    let Some(start) = tail.iter().rposition(|b| *b >= 0xc0) else { return 0 };
    match std::str::from_utf8(&tail[start..]) {
        Err(e) if e.valid_up_to() == 0 && e.error_len().is_none() => tail.len() - start,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &[u8] = b"2016-10-06T00:17:09.669794202Z";

    fn encoded(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        assert!(Encoder::default().encode(&mut out, TIME, Stream::Stdout, bytes, usize::MAX).is_empty());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_dockers() {
        assert_eq!(
            encoded(b"a\"\t<\n\npart"),
            "{\"log\":\"a\\\"\\t<\\n\",\"stream\":\"stdout\",\"time\":\"2016-10-06T00:17:09.669794202Z\"}\n\
             {\"log\":\"\\n\",\"stream\":\"stdout\",\"time\":\"2016-10-06T00:17:09.669794202Z\"}\n\
             {\"log\":\"part\",\"stream\":\"stdout\",\"time\":\"2016-10-06T00:17:09.669794202Z\"}\n"
        );
        let attributes = [("app".to_owned(), "web".to_owned())].into();
        let mut out = Vec::new();
        Encoder { attributes }.encode(&mut out, TIME, Stream::Stderr, b"x\n", 1);
        let text = "{\"log\":\"x\\n\",\"stream\":\"stderr\",\"attrs\":{\"app\":\"web\"},\"time\":\"2016-10-06T00:17:09.669794202Z\"}\n";
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).chain("é€😀\n".bytes()).collect();
        let text = encoded(&all);
        let back: Vec<u8> = text
            .as_bytes()
            .split_inclusive(|b| *b == b'\n')
            .flat_map(|line| match decode(line).unwrap().content {
                Content::Bytes(bytes) => bytes.into_owned(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(back, all);
        assert!(text.contains("\u{fffd}") && text.contains("\"raw\":"));
        let mut out = Vec::new();
        Encoder::default().unfinished(&mut out, TIME, Stream::Stdout);
        assert_eq!(decode(&out).unwrap().content, Content::Unfinished);
        out.clear();
        Encoder::default().lost(&mut out, TIME, 9);
        assert_eq!(decode(&out).unwrap().content, Content::Lost(9));
    }

    #[test]
    fn dockers_own_records_are_read() {
        let line = br#"{"log":"caf\u00e9 \u003cb\u003e\n","stream":"stderr","attrs":{"tag":"x"},"time":"2016-10-06T00:17:09.6Z"}"#;
        let line = [&line[..], b"\n"].concat();
        let record = decode(&line).unwrap();
        assert_eq!(record.content, Content::Bytes(Cow::Owned("café <b>\n".as_bytes().to_vec())));
        for bad in [&b"{}\n"[..], b"\n", b"{\"log\":\"x\n", b"[1]\n", b"\0\0\n", b""] {
            assert_eq!(decode(bad), None);
        }
    }

    #[test]
    fn a_character_that_is_cut_is_seen() {
        for (bytes, cut) in [
            (&b"abc"[..], 0),
            (b"", 0),
            ("é".as_bytes(), 0),
            (b"a\xc3", 1),
            (b"a\xe2\x82", 2),
            (b"\xf0\x9f\x98", 3),
            (b"\xf0\x9f\x98\x80", 0),
            (b"\xff", 0),
            (b"\xc3\xc3", 1),
            (b"\x80\x80\x80", 0),
            (b"\xe2a", 0),
        ] {
            assert_eq!(cut_character(bytes), cut, "{bytes:?}");
        }
    }
}
