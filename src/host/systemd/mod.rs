//! systemd's manager: jobs and states of units (org.freedesktop.systemd1(5)).

mod boot;
mod client;
mod error;
#[cfg(test)]
pub mod fake;
mod held;
mod jobs;
mod names;
mod properties;
mod status;

pub use client::Systemd;
pub use error::SystemdError;
pub use status::{ActiveState, FreezerState, JobResult, LoadState, UnitStatus, UnitSummary};

use crate::plan::unit::{BusValue, Unit};
use crate::types::UnitName;

/// What we ask of systemd. A call that starts a job returns when the job is over.
pub trait Manager {
    /// Major version of the running systemd, such as 257.
    ///
    /// # Errors
    /// systemd did not answer, or with something that is no version.
    fn version(&self) -> Result<u32, SystemdError>;

    /// Makes a transient unit and starts it. A unit of that name that has ended is cleared away first, for 2 s at most.
    ///
    /// # Errors
    /// [`SystemdError::AlreadyLoaded`]; [`SystemdError::Interrupted`]; systemd refused a property.
    fn start_transient(&self, unit: &Unit) -> Result<JobResult, SystemdError>;

    /// Starts a unit.
    ///
    /// # Errors
    /// There is no such unit, its file is wrong, or [`SystemdError::Interrupted`].
    fn start(&self, unit: &UnitName) -> Result<JobResult, SystemdError>;

    /// Has systemd start a unit when its turn has come, and does not wait for that.
    ///
    /// # Errors
    /// There is no such unit, its file is wrong, or another job is in the way.
    fn enqueue(&self, unit: &UnitName) -> Result<(), SystemdError>;

    /// Has systemd look again for all that the targets need which are being started: it left out what it did not find when
    /// it made its jobs, and what needs that.
    ///
    /// # Errors
    /// systemd did not answer.
    fn look_again(&self) -> Result<(), SystemdError>;

    /// Stops a unit; one that is not loaded counts as stopped.
    ///
    /// # Errors
    /// systemd refused (a frozen unit), or [`SystemdError::Interrupted`].
    fn stop(&self, unit: &UnitName) -> Result<JobResult, SystemdError>;

    /// The state of a unit; one that does not exist is [`LoadState::NotFound`] and inactive. Loads the unit's file where
    /// it is not loaded, as `systemctl show` does.
    ///
    /// # Errors
    /// systemd did not answer.
    fn status(&self, unit: &UnitName) -> Result<UnitStatus, SystemdError>;

    /// Loaded units whose names match a pattern (glob(7)), by name.
    ///
    /// # Errors
    /// systemd did not answer.
    fn list(&self, pattern: &str) -> Result<Vec<(String, UnitSummary)>, SystemdError>;

    /// Forgets a failure; nothing to do for a unit that is not loaded.
    ///
    /// # Errors
    /// systemd did not answer.
    fn reset_failed(&self, unit: &UnitName) -> Result<(), SystemdError>;

    /// Sets properties of a loaded unit until the next boot (SetUnitProperties).
    ///
    /// # Errors
    /// systemd refused one, and has set none.
    fn set_properties(
        &self,
        unit: &UnitName,
        properties: &[(&'static str, BusValue)],
    ) -> Result<(), SystemdError>;

    /// Thaws a unit; nothing to do for one that is not frozen or not loaded.
    ///
    /// # Errors
    /// systemd refused.
    fn thaw(&self, unit: &UnitName) -> Result<(), SystemdError>;

    /// Reads all unit files again (`systemctl daemon-reload`).
    ///
    /// # Errors
    /// systemd refused or did not answer.
    fn reload(&self) -> Result<(), SystemdError>;

    /// Whether systemd would reload this unit: its file names a way, or its own process understands it.
    ///
    /// # Errors
    /// systemd did not answer.
    fn can_reload(&self, unit: &UnitName) -> Result<bool, SystemdError>;

    /// Makes a unit that is active read again what it is to do (`systemctl reload`).
    ///
    /// # Errors
    /// The unit is not active or cannot do that, or [`SystemdError::Interrupted`].
    fn reload_unit(&self, unit: &UnitName) -> Result<JobResult, SystemdError>;

    /// Closes the connection until the next call. Whoever waits for something else does this first: systemd queues
    /// every signal of every unit for a peer that does not read.
    fn disconnect(&self) {}

    /// Whether the caller wants out of what is waited for without a job. Who asks takes the wish, as a job does that ends
    /// with [`SystemdError::Interrupted`].
    fn take_interrupt(&self) -> bool {
        false
    }
}
