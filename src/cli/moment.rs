//! Points in time as Podman's flags take them.

use crate::sys::time::local_seconds;
use crate::types::parse_duration;

/// What a duration counts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// `--since`: so long ago.
    Since,
    /// `--until`: in so long.
    Until,
}

/// Reads `--since` or `--until`: a date, seconds since the epoch, or a duration from now. Microseconds since the epoch.
pub(super) fn moment(text: &str, side: Side, now: u64) -> Option<u64> {
    if let Some(micros) = date(text).or_else(|| epoch(text)) {
        return Some(micros);
    }
    // A duration may point the other way: `--until=-1m`.
    let (back, span) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let span = u64::try_from(parse_duration(span).ok()?.as_micros()).ok()?;
    Some(match (side, back) {
        (Side::Since, false) | (Side::Until, true) => now.saturating_sub(span),
        (Side::Since, true) | (Side::Until, false) => now.saturating_add(span),
    })
}

/// `1795876386`, `1795876386.25`.
fn epoch(text: &str) -> Option<u64> {
    let (seconds, rest) = text.split_once('.').unwrap_or((text, ""));
    let seconds: u64 = digits(seconds)?.parse().ok()?;
    seconds.checked_mul(1_000_000)?.checked_add(micros(rest)?)
}

fn digits(text: &str) -> Option<&str> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(text)
}

/// Digits behind a point as millionths.
fn micros(text: &str) -> Option<u64> {
    let text: String = digits(text)?.chars().take(6).collect();
    format!("{text:0<6}").parse().ok()
}

/// `2026-11-24`, `2026-11-24T10:00`, `2026-11-24T10:00:00.5`, with `Z` or an offset; else in local time. Microseconds
/// since the epoch.
pub(super) fn date(text: &str) -> Option<u64> {
    let (day, clock) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    // `2026-11-24Z`: a day with a zone and no clock.
    let (day, clock) = match day.strip_suffix('Z') {
        Some(day) => (day, "00:00:00Z"),
        None => (day, clock),
    };
    let mut parts = day.splitn(3, '-').map(|part| part.parse::<i32>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let at = clock.find(['Z', '+', '-']).unwrap_or(clock.len());
    let (clock, zone) = clock.split_at(at);
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = whole.splitn(3, ':').map(|part| part.parse::<i32>());
    let mut next = || parts.next().unwrap_or(Ok(0)).ok();
    let (hour, minute, second) = (next()?, next()?, next()?);
    let fields = [year, month, day, hour, minute, second];
    let seconds = match zone {
        "" => local_seconds(fields)?,
        "Z" => utc_seconds(fields)?,
        zone => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let (hours, minutes) = zone[1..].split_once(':')?;
            let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
            utc_seconds(fields)? - sign * (hours * 3600 + minutes * 60)
        }
    };
    let micros = micros(fraction)?;
    let whole = u64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
    whole.checked_add(micros)
}

/// Seconds since the epoch of a date of the Gregorian calendar.
fn utc_seconds([year, month, day, hour, minute, second]: [i32; 6]) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1970..=9999).contains(&year) {
        return None;
    }
    // March begins the year, so that the day which comes and goes is the last.
    let (year, month) = match month {
        1 | 2 => (i64::from(year) - 1, i64::from(month) + 9),
        _ => (i64::from(year), i64::from(month) - 3),
    };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + i64::from(day)
            - 1
            - 719_468;
    Some(days * 86_400 + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_gregorian() {
        let micros = |seconds: u64| Some(seconds * 1_000_000);
        assert_eq!(date("1970-01-01T00:00:00Z"), micros(0));
        assert_eq!(date("2026-11-24T02:19:47Z"), micros(1_795_486_787));
        assert_eq!(date("2026-11-24T04:19:47+02:00"), micros(1_795_486_787));
        assert_eq!(date("2024-02-29T23:59:59Z"), micros(1_709_251_199));
        assert_eq!(date("1970-01-02Z"), micros(86_400));
        assert_eq!(date("1970-01-01T00:00:01.25Z"), Some(1_250_000));
        assert_eq!(date("1970-01-01T00:00:01.123456789Z"), Some(1_123_456));
        assert!(date("2030-01-01").is_some());
        for bad in [
            "x",
            "2026",
            "2026-13-01Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T1:xZ",
        ] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_moment_is_a_date_seconds_or_a_span() {
        let now = 10_000_000_000;
        let at = |text, side| moment(text, side, now);
        assert_eq!(at("5", Side::Since), Some(5_000_000));
        assert_eq!(at("5.5", Side::Until), Some(5_500_000));
        assert_eq!(at("1m", Side::Since), Some(now - 60_000_000));
        assert_eq!(at("1m", Side::Until), Some(now + 60_000_000));
        assert_eq!(at("-1m", Side::Until), Some(now - 60_000_000));
        assert_eq!(at("-1m", Side::Since), Some(now + 60_000_000));
        assert_eq!(at("1970-01-01T00:00:02Z", Side::Until), Some(2_000_000));
        for bad in ["", "x", "1x", "--1m", "5.x", "-", "."] {
            assert_eq!(at(bad, Side::Since), None, "{bad:?}");
        }
    }
}
