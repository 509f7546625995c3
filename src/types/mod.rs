//! Values that must not be mixed up: ids, names, signals, exit status, sizes, durations. No I/O.

mod chain;
mod duration;
mod exit;
mod exit_code;
mod id;
mod journal_text;
mod object_name;
mod restart;
mod signal;
mod size;

pub use chain::chain;
pub use duration::{DurationError, parse_duration};
pub use exit::{Ended, ExitStatus, StopKind};
pub use exit_code::ExitCode;
pub use id::{ContainerId, ContainerName, IdError, NameError, UnitName, UnitNameError};
pub use journal_text::fits_journal;
pub use object_name::{ObjectNameError, SecretName, VolumeName};
pub use restart::{NO_RESTART, RESTART_VARIABLE, RestartError, RestartPolicy};
pub use signal::{Signal, SignalError};
pub use size::{SizeError, parse_size};
