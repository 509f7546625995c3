//! Jobs at boot, whose end nobody waits for: systemd has others that come first.

use zbus::zvariant::OwnedObjectPath;

use super::SystemdError;
use super::client::Systemd;

/// Id, unit, type, state and objects of a job (org.freedesktop.systemd1(5), "ListJobs").
type Job = (
    u32,
    String,
    String,
    String,
    OwnedObjectPath,
    OwnedObjectPath,
);

impl Systemd {
    /// Adds the start of a unit, with all that it needs, to what systemd has to do; no other job gives way.
    pub(super) fn add_start(&self, name: &str) -> Result<(), SystemdError> {
        self.call("start", name, "StartUnit", &(name, "fail"))
            .map(drop)
    }

    /// The targets that are being started.
    pub(super) fn starting_targets(&self) -> Result<Vec<String>, SystemdError> {
        let reply = self.call("list jobs", "systemd", "ListJobs", &())?;
        let jobs: Vec<Job> = reply
            .body()
            .deserialize()
            .map_err(|error| SystemdError::of("list jobs", "systemd", error))?;
        let targets = jobs.into_iter().filter_map(|(_, unit, kind, ..)| {
            let starts = kind == "start" && unit.ends_with(".target");
            starts.then_some(unit)
        });
        Ok(targets.collect())
    }
}
