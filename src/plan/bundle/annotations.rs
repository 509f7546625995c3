//! The annotations of config.json.

use std::collections::HashMap;

use super::BundleFacts;
use crate::definition::Definition;
use crate::types::Signal;

/// Those of containers.conf(5), of the user, and ours.
pub(super) fn plan(
    definition: &Definition,
    facts: &BundleFacts,
    stop_signal: Signal,
) -> HashMap<String, String> {
    let mut all = HashMap::new();
    for entry in facts.conf.containers.annotations.values() {
        let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
        all.insert(key.to_owned(), value.to_owned());
    }
    all.extend(definition.options.annotations.clone());
    let mut add = |key: &str, value: String| all.insert(key.to_owned(), value);
    // Names of the OCI image specification, annotations.md.
    add(
        "org.opencontainers.image.stopSignal",
        stop_signal.number().to_string(),
    );
    add("created", rfc3339(definition.created));
    if definition.options.process.keep_groups {
        // crun(1): users cannot set it, we can.
        add("run.oci.keep_original_groups", "1".to_owned());
    }
    all
}

/// Microseconds since the epoch as RFC 3339 has them, in UTC, with nine digits of a second.
pub fn rfc3339(micros: u64) -> String {
    let (seconds, nanos) = (micros / 1_000_000, micros % 1_000_000 * 1000);
    let (days, of_day) = (seconds / 86400, seconds % 86400);
    // Years begin in March, so that leap days come last: 1970-01-01 is day 719468 of year 0.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(rfc3339(seconds * 1_000_000), expected);
        }
        assert_eq!(rfc3339(1_000_001), "1970-01-01T00:00:01.000001000Z");
    }
}
