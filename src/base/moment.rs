//! Points in time as users type them (`--since`, `--until`, `--filter until=`), read as docker reads them.

use super::error::{Error, Result};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Reads a duration before `now` (`10m`, `1h30m`; a negative one is to come), a date or time with or without a zone
/// (`2026-01-31T12:05:00.5`, then in the caller's zone), or seconds since 1970 (`1700000000.5`).
pub fn parse(text: &str, now: Timestamp) -> Result<Timestamp> {
    read(text.trim(), now, TimeZone::system).ok_or_else(|| {
        Error::usage(format!("invalid time `{text}`"))
            .hint("use a duration such as `10m`, a time such as `2026-01-31T12:05:00`, or seconds since 1970")
    })
}

fn read(text: &str, now: Timestamp, zone: impl FnOnce() -> TimeZone) -> Option<Timestamp> {
    if let Some(nanos) = duration_nanos(text) {
        return Timestamp::from_nanosecond(now.as_nanosecond().checked_sub(nanos)?).ok();
    }
    if let Some(nanos) = unix_nanos(text) {
        return Timestamp::from_nanosecond(nanos).ok();
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    // Only what begins as a date is one: jiff knows more forms than docker does.
    text.get(..4)?.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
    // docker takes minutes with a zone, and a `Z` behind a date.
    let (local, utc) = match text.strip_suffix('Z') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let civil = local.parse::<DateTime>().or_else(|_| local.parse::<Date>().map(DateTime::from)).ok()?;
    let zone = if utc { TimeZone::UTC } else { zone() };
    civil.to_zoned_datetime(zone).ok().map(|z| z.timestamp())
}

/// Go's `time.ParseDuration` in nanoseconds, and days and weeks: `1h30m`, `-1.5s`, `7d`, `0`.
pub fn duration_nanos(text: &str) -> Option<i128> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut nanos: i128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_end);
        let factor: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return None,
        };
        nanos = nanos.checked_add(scaled(number, factor)?)?;
        rest = next;
    }
    Some(if negative { -nanos } else { nanos })
}

/// A decimal number times `factor`, cut to a whole.
fn scaled(number: &str, factor: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || number.len() > 40 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.into() };
    // Eighteen digits are more than any unit has nanoseconds.
    let digits = &fraction[..fraction.len().min(18)];
    let part: i128 = if digits.is_empty() { 0 } else { digits.parse::<u64>().ok()?.into() };
    whole.checked_mul(factor)?.checked_add(part * factor / 10i128.pow(digits.len() as u32))
}

/// `1700000000`, `1700000000.123456789`, of any sign.
fn unix_nanos(text: &str) -> Option<i128> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let plain = !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let nanos = plain.then(|| scaled(unsigned, 1_000_000_000)).flatten()?;
    Some(if unsigned.len() < text.len() { -nanos } else { nanos })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_docker_does() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let zone = || TimeZone::fixed(jiff::tz::offset(1));
        for (text, expected) in [
            ("10m", "2026-01-31T11:50:00Z"),
            ("1h30m", "2026-01-31T10:30:00Z"),
            ("1.5s", "2026-01-31T11:59:58.5Z"),
            ("-5s", "2026-01-31T12:00:05Z"),
            ("0s", "2026-01-31T12:00:00Z"),
            ("0", "2026-01-31T12:00:00Z"),
            ("7d", "2026-01-24T12:00:00Z"),
            ("2026-01-30", "2026-01-29T23:00:00Z"),
            ("2026-01-30Z", "2026-01-30T00:00:00Z"),
            ("2026-01-30T10:00", "2026-01-30T09:00:00Z"),
            ("2026-01-30T10:00:01", "2026-01-30T09:00:01Z"),
            ("2026-01-30 10:00:01", "2026-01-30T09:00:01Z"),
            ("2026-01-30T10:00:01.25", "2026-01-30T09:00:01.25Z"),
            ("2026-01-30T10:00:01Z", "2026-01-30T10:00:01Z"),
            ("2026-01-30T10:00Z", "2026-01-30T10:00:00Z"),
            ("2026-01-30T10:00:01+02:00", "2026-01-30T08:00:01Z"),
            ("1769767201", "2026-01-30T10:00:01Z"),
            ("1769767201.000000005", "2026-01-30T10:00:01.000000005Z"),
        ] {
            assert_eq!(read(text, now, zone), Some(expected.parse().unwrap()), "{text}");
        }
        for bad in ["", "soon", "10", "x10m", "10x", "1.2.3s", ".s", "m", "2026-13-01", "999999999999999999999h", "-"] {
            let read = read(bad, now, zone);
            // A bare number is seconds since 1970.
            assert!(read.is_none() || bad == "10", "{bad}: {read:?}");
        }
    }
}
