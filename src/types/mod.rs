//! Values that must not be mixed up: ids, names, signals, exit status, sizes, durations. No I/O.

/// A type that is stored as its text: what is shown is what is read.
macro_rules! stored_as_text {
    ($($type:ty),+) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

mod chain;
mod duration;
mod exit;
mod exit_code;
mod health;
mod id;
mod journal_text;
mod notify;
mod object_name;
mod pull;
mod restart;
mod signal;
mod size;
mod unit_restart;

pub use chain::chain;
pub use duration::{DurationError, parse_duration};
pub use exit::{Ended, ExitStatus, StopKind};
pub use exit_code::ExitCode;
pub use health::{HealthPolicy, HealthStatus, OnFailure, Rhythm, StartupPolicy};
pub use id::{ContainerId, ContainerName, IdError, NameError, UnitName, UnitNameError};
pub use journal_text::fits_journal;
pub use notify::NotifyMode;
pub use object_name::{ObjectNameError, SecretName, VolumeName};
pub use pull::PullPolicy;
pub use restart::{NO_RESTART, RESTART_VARIABLE, RestartError, RestartPolicy};
pub use signal::{Signal, SignalError};
pub use size::{SizeError, parse_size};
pub use unit_restart::{Cause, Restart, Restarts};
