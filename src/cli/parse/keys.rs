//! `--detach-keys`: a list of keys, each a character or `ctrl-` and one of `a`-`z @ [ \ ] ^ _`.

use crate::base::{Error, Result};
use crate::supervise::detach::DetachKeys;

/// docker's default.
const DEFAULT: &str = "ctrl-p,ctrl-q";

/// The keys; an empty list is none.
pub(crate) fn detach_keys(given: Option<&str>) -> Result<DetachKeys> {
    let text = given.unwrap_or(DEFAULT);
    if text.is_empty() {
        return Ok(DetachKeys::default());
    }
    let keys = text.split(',').map(|key| code(key).ok_or_else(|| bad(text))).collect::<Result<Vec<u8>>>()?;
    Ok(DetachKeys::new(keys))
}

fn bad(text: &str) -> Error {
    Error::usage(format!("invalid detach keys `{text}`"))
        .hint("use characters and ctrl-<letter>, separated by commas, such as `ctrl-p,ctrl-q`")
}

fn code(key: &str) -> Option<u8> {
    let single = |text: &str| match text.as_bytes() {
        [byte] if byte.is_ascii() => Some(*byte),
        _ => None,
    };
    match key.strip_prefix("ctrl-") {
        Some(rest) => single(rest).filter(|b| matches!(b, b'a'..=b'z' | b'@' | b'['..=b'_')).map(|b| b & 0x1f),
        None => single(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for (key, wanted) in [
            ("ctrl-p", Some(16)),
            ("ctrl-@", Some(0)),
            ("ctrl-\\", Some(28)),
            ("a", Some(97)),
            ("ctrl-A", None),
            ("ab", None),
            ("", None),
        ] {
            assert_eq!(code(key), wanted, "{key}");
        }
        assert!(detach_keys(Some("ctrl-p,,q")).is_err());
        detach_keys(Some("")).unwrap();
    }
}
