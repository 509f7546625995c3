//! Clocks, and the local time in the form log files want.

use std::fmt;
use std::io::Write;
use std::mem::MaybeUninit;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::libc;

fn clock(id: libc::clockid_t) -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid timespec that outlives the call.
    let ret = unsafe { libc::clock_gettime(id, &mut now) };
    assert_eq!(
        ret, 0,
        "clock_gettime cannot fail for a clock every supported kernel has"
    );
    Duration::new(now.tv_sec.max(0) as u64, now.tv_nsec as u32)
}

/// Time since boot, suspend included (`CLOCK_BOOTTIME`, clock_gettime(2)). Deadlines are kept on
/// this clock.
pub fn boottime() -> Duration {
    clock(libc::CLOCK_BOOTTIME)
}

/// Microseconds of `CLOCK_MONOTONIC`, as sd_notify(3) wants them in `MONOTONIC_USEC=`.
pub fn monotonic_usec() -> u64 {
    clock(libc::CLOCK_MONOTONIC).as_micros() as u64
}

/// The wall clock as time since the epoch (`CLOCK_REALTIME`).
pub fn realtime() -> Duration {
    clock(libc::CLOCK_REALTIME)
}

/// Seconds since the epoch of a local date: year, month, day, hour, minute, second (mktime(3)). None: no such time.
pub fn local_seconds(fields: [i32; 6]) -> Option<i64> {
    let mut broken = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: an all-zero tm is a valid tm, and mktime reads and writes nothing else.
    let seconds = unsafe {
        let tm = &mut *broken.as_mut_ptr();
        tm.tm_year = fields[0] - 1900;
        tm.tm_mon = fields[1] - 1;
        tm.tm_mday = fields[2];
        tm.tm_hour = fields[3];
        tm.tm_min = fields[4];
        tm.tm_sec = fields[5];
        tm.tm_isdst = -1;
        libc::mktime(tm)
    };
    (seconds != -1 && (1..=12).contains(&fields[1])).then_some(seconds)
}

/// A local time as text, RFC 3339 with nanoseconds and numeric offset, in a buffer of its own:
/// `2026-11-22T21:12:21.123456789+00:00`.
#[derive(Clone, Copy)]
pub struct Stamp {
    text: [u8; Stamp::MAX],
    len: usize,
}

impl Stamp {
    /// No stamp is longer, whatever the year.
    pub const MAX: usize = 48;

    /// The stamp of `since_epoch` (as from [`realtime`]) in the local zone of localtime_r(3).
    pub fn local(since_epoch: Duration) -> Stamp {
        let seconds = since_epoch.as_secs() as libc::time_t;
        let mut broken = MaybeUninit::<libc::tm>::zeroed();
        // SAFETY: both pointers are valid for the call; an all-zero tm is a valid tm, so that it
        // may be read even if the year does not fit and localtime_r returns NULL.
        let tm = unsafe {
            libc::localtime_r(&seconds, broken.as_mut_ptr());
            broken.assume_init()
        };
        let minutes = tm.tm_gmtoff / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        let mut stamp = Stamp {
            text: [0; Stamp::MAX],
            len: 0,
        };
        let mut rest = &mut stamp.text[..];
        write!(
            rest,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}{sign}{:02}:{:02}",
            i64::from(tm.tm_year) + 1900,
            tm.tm_mon + 1,
            tm.tm_mday,
            tm.tm_hour,
            tm.tm_min,
            tm.tm_sec,
            since_epoch.subsec_nanos(),
            minutes.abs() / 60,
            minutes.abs() % 60,
        )
        .expect("every field has a bounded width");
        let left = rest.len();
        stamp.len = Stamp::MAX - left;
        stamp
    }

    /// The stamp of a `SystemTime`; one before the epoch counts as the epoch.
    pub fn of(time: SystemTime) -> Stamp {
        Stamp::local(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..self.len]).expect("a stamp is ASCII")
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// The zone is fixed at the first use in a process, so that each zone is asked of a process of
    /// its own.
    #[test]
    fn stamps_are_rfc3339_with_nanoseconds_in_the_zone_of_tz() {
        let at = Duration::new(1_795_381_941, 123_456_789);
        if std::env::var_os("STAMP_PRINT").is_some() {
            println!("[{}]", Stamp::local(at));
            return;
        }
        for (zone, want) in [
            ("UTC0", "[2026-11-22T21:12:21.123456789+00:00]"),
            ("XXX-05:30", "[2026-11-23T02:42:21.123456789+05:30]"),
            ("YYY03:30", "[2026-11-22T17:42:21.123456789-03:30]"),
        ] {
            let out = Command::new("/proc/self/exe")
                .args(["--exact", "--nocapture"])
                .arg("sys::time::tests::stamps_are_rfc3339_with_nanoseconds_in_the_zone_of_tz")
                .env("TZ", zone)
                .env("STAMP_PRINT", "1")
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&out.stdout);
            assert!(text.contains(want), "{zone}: {want} not in {text}");
        }
    }

    #[test]
    fn times_out_of_range_do_not_overflow_the_buffer() {
        for seconds in [0, u64::MAX, i64::MAX as u64, 253_402_300_800] {
            let stamp = Stamp::local(Duration::new(seconds, 999_999_999));
            assert!(stamp.as_str().contains('T'));
        }
        assert!(
            Stamp::of(UNIX_EPOCH - Duration::from_secs(1))
                .as_str()
                .contains("19")
        );
    }

    #[test]
    fn clocks_advance() {
        let (boot, mono) = (boottime(), monotonic_usec());
        std::thread::sleep(Duration::from_millis(2));
        assert!(boottime() > boot && monotonic_usec() > mono);
        assert!(realtime() > Duration::from_secs(1_600_000_000));
    }
}
