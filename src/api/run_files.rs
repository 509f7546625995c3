//! Two small files the monitor writes at the start of a run: what runs now, and what was started last.
//!
//! Both are `KEY=value` lines like the exit file, written whole (temporary file, rename). The payload file belongs to
//! this boot and goes with the run; the last-start file stays with the container, so that a power cut is told from an
//! end: a start without an exit of the same nonce, of another boot, ended nobody knows how.

use std::path::{Path, PathBuf};

/// A field that is missing or malformed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} file: {key} is missing or malformed")]
pub struct RunFileError {
    /// `payload` or `last-start`.
    pub file: &'static str,
    /// The field.
    pub key: &'static str,
}

/// The running payload ([`super::Layout::payload_file`]).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payload {
    /// PID of its init, in the host's PID namespace.
    pub pid: i32,
    /// Start of that process, clock ticks since boot (proc_pid_stat(5), `starttime`): another process that got the PID
    /// has another one.
    pub start_ticks: u64,
    /// systemd's invocation id of the run.
    pub nonce: String,
    /// When it was started, microseconds since the epoch.
    pub started: u64,
    /// Absolute path of the payload's cgroup.
    pub cgroup: PathBuf,
    /// Restarts by policy since the last start by anybody else.
    pub restarts: u32,
    /// It was told to stop.
    pub stopping: bool,
}

/// The last start of a container ([`super::Layout::last_start`]).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastStart {
    /// systemd's invocation id of the run.
    pub nonce: String,
    /// The boot it happened in (/proc/sys/kernel/random/boot_id).
    pub boot_id: String,
    /// When, microseconds since the epoch.
    pub started: u64,
}

/// The value of a key; a line that lost its newline is a cut file and does not count.
fn value<'t>(
    text: &'t str,
    file: &'static str,
    key: &'static str,
) -> Result<&'t str, RunFileError> {
    text.split_inclusive('\n')
        .find_map(|line| {
            line.strip_prefix(key)?
                .strip_prefix('=')?
                .strip_suffix('\n')
        })
        .ok_or(RunFileError { file, key })
}

fn number<T: std::str::FromStr>(
    text: &str,
    file: &'static str,
    key: &'static str,
) -> Result<T, RunFileError> {
    value(text, file, key)?
        .parse()
        .map_err(|_| RunFileError { file, key })
}

impl Payload {
    const FILE: &'static str = "payload";

    /// The text of the payload file. A cgroup path has no control characters: systemd made it.
    pub fn render(&self) -> String {
        format!(
            "PID={}\nSTART_TICKS={}\nNONCE={}\nSTARTED_USEC={}\nSTOPPING={}\nRESTARTS={}\nCGROUP={}\n",
            self.pid,
            self.start_ticks,
            self.nonce,
            self.started,
            self.stopping,
            self.restarts,
            self.cgroup.display()
        )
    }

    /// Reads the text of a payload file; unknown keys are ignored.
    ///
    /// # Errors
    /// A field is missing or malformed.
    pub fn parse(text: &str) -> Result<Self, RunFileError> {
        let malformed = |key| RunFileError {
            file: Self::FILE,
            key,
        };
        let pid: i32 = number(text, Self::FILE, "PID")?;
        let cgroup = Path::new(value(text, Self::FILE, "CGROUP")?);
        if pid <= 0 {
            return Err(malformed("PID"));
        }
        if !cgroup.is_absolute() {
            return Err(malformed("CGROUP"));
        }
        Ok(Self {
            pid,
            start_ticks: number(text, Self::FILE, "START_TICKS")?,
            nonce: value(text, Self::FILE, "NONCE")?.to_owned(),
            started: number(text, Self::FILE, "STARTED_USEC")?,
            cgroup: cgroup.to_owned(),
            restarts: match value(text, Self::FILE, "RESTARTS") {
                Ok(_) => number(text, Self::FILE, "RESTARTS")?,
                Err(_) => 0,
            },
            // The first version had no such key.
            stopping: value(text, Self::FILE, "STOPPING") == Ok("true"),
        })
    }
}

impl LastStart {
    const FILE: &'static str = "last-start";

    /// The text of the last-start file.
    pub fn render(&self) -> String {
        format!(
            "NONCE={}\nBOOT_ID={}\nSTARTED_USEC={}\n",
            self.nonce, self.boot_id, self.started
        )
    }

    /// Reads the text of a last-start file; unknown keys are ignored.
    ///
    /// # Errors
    /// A field is missing or malformed.
    pub fn parse(text: &str) -> Result<Self, RunFileError> {
        Ok(Self {
            nonce: value(text, Self::FILE, "NONCE")?.to_owned(),
            boot_id: value(text, Self::FILE, "BOOT_ID")?.to_owned(),
            started: number(text, Self::FILE, "STARTED_USEC")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload() -> Payload {
        Payload {
            pid: 4711,
            start_ticks: 99,
            nonce: "0123456789abcdef0123456789abcdef".to_owned(),
            started: 1_795_381_941_000_000,
            cgroup: "/sys/fs/cgroup/system.slice/unitbox-web.service/payload".into(),
            restarts: 2,
            stopping: true,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let last = LastStart {
            nonce: "n".to_owned(),
            boot_id: "b".to_owned(),
            started: 3,
        };
        assert_eq!(Payload::parse(&payload().render()), Ok(payload()));
        assert_eq!(LastStart::parse(&last.render()), Ok(last));
    }

    #[test]
    fn every_cut_is_an_error() {
        let text = payload().render();
        for cut in 0..text.len() {
            assert!(Payload::parse(&text[..cut]).is_err(), "cut at {cut}");
        }
        let text = "NONCE=n\nBOOT_ID=b\nSTARTED_USEC=12\n";
        for cut in 0..text.len() {
            assert!(LastStart::parse(&text[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn the_first_version_knew_no_stopping() {
        let old = payload().render().replace("STOPPING=true\n", "");
        assert!(!Payload::parse(&old).unwrap().stopping);
    }

    #[test]
    fn nonsense_is_named() {
        let error = Payload::parse(&payload().render().replace("PID=4711", "PID=-1")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "payload file: PID is missing or malformed"
        );
        assert!(Payload::parse(&payload().render().replace("=/sys", "=sys")).is_err());
    }
}
