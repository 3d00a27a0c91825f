//! `k8s-file`: the log format of the container runtime interface, which kubelet, podman and log shippers read.
//!
//! ```text
//! 2016-10-06T00:17:09.669794202Z stdout F a whole line
//! 2016-10-06T00:17:09.669794202Z stderr P a part of a line, which goes on in the stream's next record
//! 2016-10-06T00:17:09.669794202Z stdout F:N                the run ended in the middle of a line
//! 2016-10-06T00:17:09.669794202Z stderr F:L 4096           so many bytes of records could not be written
//! ```
//! Bytes stand there as they are, whatever their encoding. The interface's definition leaves room for further tags behind
//! a colon; a reader that does not know ours sees the end of a line, which is right.

use super::{Content, Record, Stream, stamp};
use std::borrow::Cow;

/// The most bytes of a line in one record; more are several `P` records.
pub const MOST: usize = 64 * 1024;

/// Writes what fits of `bytes` behind `out` until `out` is longer than `enough`; returns what is left of `bytes`.
pub fn encode<'a>(out: &mut Vec<u8>, time: &[u8], stream: Stream, bytes: &'a [u8], enough: usize) -> &'a [u8] {
    let whole = head(time, stream, "F");
    let part = head(time, stream, "P");
    let mut start = 0;
    while start < bytes.len() && out.len() <= enough {
        let piece = &bytes[start..bytes.len().min(start + MOST)];
        match memchr::memchr(b'\n', piece) {
            Some(end) => {
                out.extend_from_slice(&whole);
                out.extend_from_slice(&piece[..=end]);
                start += end + 1;
            }
            None => {
                out.extend_from_slice(&part);
                out.extend_from_slice(piece);
                out.push(b'\n');
                start += piece.len();
            }
        }
    }
    &bytes[start..]
}

/// The record that a run ended in the middle of a line.
pub fn unfinished(out: &mut Vec<u8>, time: &[u8], stream: Stream) {
    out.extend_from_slice(&head(time, stream, "F:N"));
    out.push(b'\n');
}

/// The record that `lost` bytes of records are missing.
pub fn lost(out: &mut Vec<u8>, time: &[u8], lost: u64) {
    out.extend_from_slice(&head(time, Stream::Stderr, "F:L"));
    out.extend_from_slice(format!("{lost}\n").as_bytes());
}

fn head(time: &[u8], stream: Stream, tag: &str) -> Vec<u8> {
    [time, b" ", stream.word().as_bytes(), b" ", tag.as_bytes(), b" "].concat()
}

/// Reads one line of the file, with its newline. `None` is a line that is no record.
pub fn decode(line: &[u8]) -> Option<Record<'_>> {
    let (time, rest) = word(line)?;
    let (stream, rest) = word(rest)?;
    let (tags, rest) = word(rest)?;
    let (time, stream) = (stamp::parse(time)?, Stream::of_word(stream)?);
    let text = rest.strip_suffix(b"\n")?;
    let content = match tags {
        b"F:N" => Content::Unfinished,
        b"F:L" => Content::Lost(std::str::from_utf8(text).ok()?.parse().ok()?),
        _ => match tags.split(|b| *b == b':').next()? {
            b"F" => Content::Bytes(Cow::Borrowed(rest)),
            b"P" => Content::Bytes(Cow::Borrowed(text)),
            _ => return None,
        },
    };
    Some(Record { time, stream, content })
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    // The longest of the three words is the time; a damaged record is not searched to its end.
    let end = memchr::memchr(b' ', &text[..text.len().min(64)])?;
    Some((&text[..end], &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &[u8] = b"2016-10-06T00:17:09.669794202Z";

    fn encoded(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(encode(&mut out, TIME, Stream::Stdout, bytes, usize::MAX).is_empty());
        out
    }

    #[test]
    fn lines_are_whole_and_the_rest_is_a_part() {
        let text = "2016-10-06T00:17:09.669794202Z stdout F one\n\
                    2016-10-06T00:17:09.669794202Z stdout F \n\
                    2016-10-06T00:17:09.669794202Z stdout P two \n";
        assert_eq!(String::from_utf8(encoded(b"one\n\ntwo ")).unwrap(), text);
        assert_eq!(encoded(b""), b"");
    }

    #[test]
    fn a_piece_ends_between_records() {
        let mut out = Vec::new();
        let rest = encode(&mut out, TIME, Stream::Stderr, b"1\n2\n3\n", 50);
        assert_eq!(rest, b"3\n");
        assert!(out.ends_with(b"2\n"));
        let long = vec![b'x'; MOST * 2 + 5];
        let lines = encoded(&long).split_inclusive(|b| *b == b'\n').map(<[u8]>::len).collect::<Vec<_>>();
        let head = stamp::LENGTH + " stdout P ".len() + 1;
        assert_eq!(lines, [MOST + head, MOST + head, 5 + head]);
    }

    #[test]
    fn records_are_read_back() {
        let mut out = encoded(b"\xff\0 a\r\n");
        unfinished(&mut out, TIME, Stream::Stdout);
        lost(&mut out, TIME, 7);
        let contents: Vec<_> = out.split_inclusive(|b| *b == b'\n').map(|l| decode(l).unwrap().content).collect();
        let bytes = Content::Bytes(Cow::Borrowed(&b"\xff\0 a\r\n"[..]));
        assert_eq!(contents, [bytes, Content::Unfinished, Content::Lost(7)]);
        let other = decode(b"2016-10-06T02:17:09.6+02:00 stderr P:x y\n").unwrap();
        assert_eq!((other.time, other.stream), (1_475_713_029_600_000_000, Stream::Stderr));
        assert_eq!(other.content, Content::Bytes(Cow::Borrowed(b"y")));
        for bad in [
            &b""[..],
            b"\n",
            b"\0\0\0\0\n",
            b"x stdout F y\n",
            b"2016-10-06T00:17:09Z stdin F y\n",
            b"2016-10-06T00:17:09Z stdout X y\n",
            b"2016-10-06T00:17:09Z stdout F y",
            b"2016-10-06T00:17:09Z stdout\n",
            b"2016-10-06T00:17:09Z stderr F:L x\n",
        ] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }
}
