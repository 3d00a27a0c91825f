//! PAX extended headers (POSIX.1-2017, pax, "pax Extended Header"): records `length key=value\n`, and what runr reads from
//! them. Unknown keys are ignored; a record that lies about its length, or a value that can't be parsed, is an error.

use super::number;
use super::sparse::SparsePax;
use crate::base::{Error, Result};

/// What the extended headers before an entry say about it. An empty value takes an earlier one back.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: SparsePax,
}

impl Extensions {
    /// Adds the records of one extended header.
    pub(super) fn add(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            let (key, value, rest) = record(data).ok_or_else(|| Error::corrupt("PAX record with a wrong length"))?;
            let known = self.apply(key, value);
            known.ok_or_else(|| Error::corrupt(format!("PAX record `{}` with a bad value", super::name::show(key))))?;
            data = rest;
        }
        Ok(())
    }

    fn apply(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        /// An empty value deletes; anything else must parse.
        fn parsed<T>(value: &[u8], parse: impl Fn(&[u8]) -> Option<T>) -> Option<Option<T>> {
            if value.is_empty() { Some(None) } else { parse(value).map(Some) }
        }
        let text = |v: &[u8]| Some(v.to_vec());
        match key {
            b"path" => self.path = parsed(value, text)?,
            b"linkpath" => self.link = parsed(value, text)?,
            b"size" => self.size = parsed(value, number::decimal)?,
            b"uid" => self.uid = parsed(value, number::decimal)?,
            b"gid" => self.gid = parsed(value, number::decimal)?,
            b"mtime" => self.mtime = parsed(value, number::time)?,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattr(name.to_vec(), value.to_vec());
                } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    // bsdtar writes both forms; this one is for names and values that are not text.
                    self.xattr(percent_decoded(name)?, base64_decoded(value)?);
                } else if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.record(name, value)?;
                }
            }
        }
        Some(())
    }

    fn xattr(&mut self, name: Vec<u8>, value: Vec<u8>) {
        self.xattrs.retain(|(known, _)| *known != name);
        self.xattrs.push((name, value));
    }
}

/// The first record of `data`: key, value, and the data behind it.
fn record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(21).position(|b| *b == b' ')?;
    let length = usize::try_from(number::decimal(&data[..space])?).ok()?;
    if length > data.len() || length < space + 4 {
        return None;
    }
    let (record, rest) = data.split_at(length);
    let body = record[space + 1..].strip_suffix(b"\n")?;
    let equals = body.iter().position(|b| *b == b'=')?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    (!key.is_empty()).then_some((key, value, rest))
}

fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            out.push(first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = tail;
    }
    Some(out)
}

fn base64_decoded(text: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine as _;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    // libarchive leaves the padding out.
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&base64::alphabet::STANDARD, CONFIG).decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rec(key: &str, value: &str) -> Vec<u8> {
        let body = format!(" {key}={value}\n");
        let mut length = body.len() + 1;
        while format!("{length}{body}").len() != length {
            length += 1;
        }
        format!("{length}{body}").into_bytes()
    }

    #[test]
    fn records_set_and_take_back() {
        let mut ext = Extensions::default();
        let data = [
            rec("path", "a\nb=c"),
            rec("size", "99999999999"),
            rec("mtime", "-1.5"),
            rec("uid", "5000000"),
            rec("comment", "ignored"),
            rec("SCHILY.xattr.user.a", "1"),
            rec("SCHILY.xattr.user.a", "2"),
            rec("LIBARCHIVE.xattr.user.%62", "aGk"),
            rec("linkpath", "x"),
            rec("linkpath", ""),
        ]
        .concat();
        ext.add(&data).unwrap();
        assert_eq!(ext.path.as_deref(), Some(&b"a\nb=c"[..]));
        assert_eq!((ext.size, ext.uid, ext.mtime), (Some(99_999_999_999), Some(5_000_000), Some((-2, 500_000_000))));
        assert_eq!(ext.link, None);
        let pair = |name: &[u8], value: &[u8]| (name.to_vec(), value.to_vec());
        assert_eq!(ext.xattrs, [pair(b"user.a", b"2"), pair(b"user.b", b"hi")]);
    }

    #[test]
    fn lies_are_refused() {
        for bad in [
            &b"12 path=a\n"[..],
            b"8 path=a\n",
            b"0 path=a\n",
            b"-5 path=a\n",
            b"99999999999999999999999999 path=a\n",
            b"10 path=ab",
            b"path=a\n",
            b"6 =a\n\n",
            b"\0\0\0",
            b"11 size=-1\n",
            b"11 size=1x\n",
        ] {
            assert!(Extensions::default().add(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_records_or_an_error(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = Extensions::default().add(&bytes);
        }
    }
}
