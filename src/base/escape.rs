//! File names as text: most are UTF-8, the rest must survive JSON all the same.
//!
//! A name that is valid UTF-8 and holds no backslash stands for itself. Elsewhere a backslash is `\\` and a byte that is
//! not part of valid UTF-8 is `\xHH`, so every byte string has exactly one spelling.

use super::error::{Error, Result};

/// The text of a name.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' {
                text.push('\\');
            }
            text.push(c);
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The name of a text that [`escape`] made.
///
/// # Errors
/// `Corrupt` for a backslash that starts neither of the two forms.
pub fn unescape(text: &str) -> Result<Vec<u8>> {
    let bad = || Error::corrupt(format!("bad escape in name `{text}`"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'\\' {
            bytes.push(first);
            rest = tail;
            continue;
        }
        match tail {
            [b'\\', tail @ ..] => {
                bytes.push(b'\\');
                rest = tail;
            }
            [b'x', high, low, tail @ ..] => {
                let digit = |d: &u8| char::from(*d).to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or_else(bad);
                bytes.push(digit(high)? << 4 | digit(low)?);
                rest = tail;
            }
            _ => return Err(bad()),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_one_spelling() {
        for (bytes, text) in [
            (&b"usr/bin"[..], "usr/bin"),
            ("\u{e9}t\u{e9}".as_bytes(), "\u{e9}t\u{e9}"),
            (b"a\\b", "a\\\\b"),
            (b"\xff\xfe.txt", "\\xff\\xfe.txt"),
            (b"", ""),
        ] {
            assert_eq!(escape(bytes), text);
            assert_eq!(unescape(text).unwrap(), bytes);
        }
        for bad in ["\\", "a\\n", "\\xg0", "\\x1"] {
            assert!(unescape(bad).is_err(), "{bad}");
        }
    }
}
