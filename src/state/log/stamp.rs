//! The time of records: RFC 3339 in UTC with nine digits behind the point, so that times of equal length sort as text.

use jiff::Timestamp;

/// Bytes of a time as text.
pub const LENGTH: usize = 30;

/// Makes the text of times; the part that only changes once a second is kept.
#[derive(Debug, Default)]
pub struct Stamper {
    second: Option<i64>,
    text: Vec<u8>,
}

impl Stamper {
    /// `2016-10-06T00:17:09.669794202Z` for now.
    pub fn now(&mut self) -> &[u8] {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_REALTIME);
        self.text(now.map(|t| t.tv_sec() * 1_000_000_000 + t.tv_nsec()).unwrap_or_default())
    }

    /// The text of a time in nanoseconds since 1970.
    pub fn text(&mut self, nanos: i64) -> &[u8] {
        let (second, mut fraction) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
        if self.second != Some(second) {
            // Every second that fits into nanoseconds of 64 bits is one that jiff knows.
            let time = Timestamp::from_second(second).unwrap_or_default();
            self.text = time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z").to_string().into_bytes();
            self.second = Some(second);
        }
        for digit in self.text[LENGTH - 10..LENGTH - 1].iter_mut().rev() {
            *digit = b'0' + (fraction % 10) as u8;
            fraction /= 10;
        }
        &self.text
    }
}

/// Reads a time in the form above, or any other that RFC 3339 allows: other programs' logs have an offset instead of `Z`.
pub fn parse(text: &[u8]) -> Option<i64> {
    let time: Timestamp = std::str::from_utf8(text).ok()?.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read() {
        let mut stamper = Stamper::default();
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (1_475_713_029_669_794_202, "2016-10-06T00:17:09.669794202Z"),
            (1_475_713_029_000_000_001, "2016-10-06T00:17:09.000000001Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(std::str::from_utf8(stamper.text(nanos)).unwrap(), text);
            assert_eq!(parse(text.as_bytes()), Some(nanos));
        }
        assert_eq!(stamper.now().len(), LENGTH);
        assert_eq!(parse(b"2016-10-06T02:17:09.669794202+02:00"), Some(1_475_713_029_669_794_202));
        for bad in [&b""[..], b"2016-10-06", b"now", b"\xff", b"9999-12-31T23:59:59Z"] {
            assert_eq!(parse(bad), None);
        }
    }
}
