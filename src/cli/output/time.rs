//! Times as docker prints them.

use crate::base::units::human_duration;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::time::Duration;

/// An RFC 3339 time of an image or a container.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// `2 hours ago`; a time to come, from a clock that is ahead, is now.
pub(crate) fn ago(time: Timestamp, now: Timestamp) -> String {
    let seconds = u64::try_from(now.as_second() - time.as_second()).unwrap_or(0);
    format!("{} ago", human_duration(Duration::from_secs(seconds)))
}

/// `2026-01-31 13:05:00 +0100 CET`, in the caller's time zone, as Go prints a time without its fraction.
pub(crate) fn local(time: Timestamp) -> String {
    in_zone(time, &TimeZone::system())
}

/// The same, for many times in one zone.
pub(crate) fn in_zone(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// The same with its fraction, as far as there is one.
pub(crate) fn in_zone_with_fraction(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.f %z %Z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_docker_prints_them() {
        let time = parse("2026-01-31T12:05:00.123456789Z").unwrap();
        assert_eq!(in_zone(time, &TimeZone::UTC), "2026-01-31 12:05:00 +0000 UTC");
        let later = |seconds: i64| Timestamp::from_second(time.as_second() + seconds).unwrap();
        for (seconds, text) in [
            (0, "Less than a second ago"),
            (7200, "2 hours ago"),
            (-5, "Less than a second ago"),
            (86400 * 400, "13 months ago"),
        ] {
            assert_eq!(ago(time, later(seconds)), text);
        }
        assert!(parse("yesterday").is_none());
    }
}
