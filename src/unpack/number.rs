//! Numbers as tar headers and PAX records spell them. Everything here reads hostile bytes and answers with `None`.

/// A numeric header field: octal digits with blanks or NULs around them, or GNU's base-256 (first bit set, big-endian two's
/// complement behind it). An empty field is 0, as GNU tar and Go's archive/tar have it.
pub(super) fn field(bytes: &[u8]) -> Option<i64> {
    match bytes.first() {
        Some(first) if first & 0x80 != 0 => base256(bytes),
        _ => octal(bytes),
    }
}

/// A numeric header field that can't be negative.
pub(super) fn unsigned(bytes: &[u8]) -> Option<u64> {
    u64::try_from(field(bytes)?).ok()
}

fn base256(bytes: &[u8]) -> Option<i64> {
    // The top bit is the marker, the next one the sign.
    let negative = bytes[0] & 0x40 != 0;
    let mut value: i128 = if negative { -1 } else { 0 };
    for (i, &byte) in bytes.iter().enumerate() {
        let byte = match (i, negative) {
            (0, false) => byte & 0x7f,
            (0, true) => byte | 0x80,
            _ => byte,
        };
        value = (value << 8) | i128::from(byte);
        // 12 bytes fit into 96 bits; a longer field does not exist.
        i64::try_from(value >> 40).ok()?;
    }
    i64::try_from(value).ok()
}

fn octal(bytes: &[u8]) -> Option<i64> {
    let blank = |b: &u8| matches!(b, b' ' | 0);
    let start = bytes.iter().position(|b| !blank(b)).unwrap_or(bytes.len());
    let digits = &bytes[start..];
    let digits = &digits[..digits.iter().position(blank).unwrap_or(digits.len())];
    let mut value: i64 = 0;
    for digit in digits {
        if !matches!(digit, b'0'..=b'7') {
            return None;
        }
        value = value.checked_mul(8)?.checked_add(i64::from(digit - b'0'))?;
    }
    Some(value)
}

/// A decimal number without sign.
pub(super) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || bytes.len() > 20 || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// A PAX time: seconds with an optional sign and fraction, as (seconds, nanoseconds ≥ 0). Digits after the ninth are dropped.
pub(super) fn time(bytes: &[u8]) -> Option<(i64, u32)> {
    let (negative, bytes) = match bytes.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, bytes),
    };
    let (whole, fraction) = match bytes.iter().position(|b| *b == b'.') {
        Some(dot) => (&bytes[..dot], &bytes[dot + 1..]),
        None => (bytes, &[][..]),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    let nanos = (0..9).fold(0, |n, i| n * 10 + fraction.get(i).map_or(0, |d| u32::from(d - b'0')));
    Some(match (negative, nanos) {
        (false, _) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        // -1.25 is 0.75 after -2.
        (true, _) => ((-seconds).checked_sub(1)?, 1_000_000_000 - nanos),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields() {
        let cases: [(&[u8], Option<i64>); 13] = [
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"644\0junk", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"777777777777", Some(0o777_777_777_777)),
            (b"-0000001\0", None),
            (b"0000009\0", None),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"\xc0\0\0\0\0\0\0\0\0\0\0\0", None),
        ];
        for (bytes, value) in cases {
            assert_eq!(field(bytes), value, "{bytes:?}");
        }
        assert_eq!(unsigned(b"\xff\xff\xff\xff\xff\xff\xff\xff"), None);
    }

    #[test]
    fn pax_times() {
        let cases = [
            (&b"0"[..], Some((0, 0))),
            (b"1350244992.023960108", Some((1_350_244_992, 23_960_108))),
            (b"1.5", Some((1, 500_000_000))),
            (b"1.1234567899", Some((1, 123_456_789))),
            (b"-1", Some((-1, 0))),
            (b"-1.25", Some((-2, 750_000_000))),
            (b"", None),
            (b".5", None),
            (b"1.x", None),
            (b"99999999999999999999", None),
        ];
        for (bytes, value) in cases {
            assert_eq!(time(bytes), value, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_number_or_none(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..24)) {
            let _ = (field(&bytes), decimal(&bytes), time(&bytes));
        }
    }
}
