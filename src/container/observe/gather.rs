//! The facts a state is derived from.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::derive::implied;
use super::{Exit, HealthSeen, Lost, Observation, derive};
use crate::api::{ExitRecord, LastStart, Layout, Payload};
use crate::container::health;
use crate::definition::Definition;
use crate::host::systemd::{Manager, SystemdError, UnitStatus};
use crate::store::read_bounded;
use crate::types::{ContainerId, ContainerName};

/// Longest file of a run, bytes.
const MAX_FILE: u64 = 64 << 10;

/// What cgroup.events says of the payload's cgroup (Linux, admin-guide/cgroup-v2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CgroupEvents {
    /// A process lives in it.
    pub populated: bool,
    /// It is frozen.
    pub frozen: bool,
}

impl CgroupEvents {
    /// Reads the text of cgroup.events.
    pub fn parse(text: &str) -> Self {
        let on = |key| {
            text.lines()
                .filter_map(|line| line.split_once(' '))
                .any(|(name, value)| name == key && value == "1")
        };
        Self {
            populated: on("populated"),
            frozen: on("frozen"),
        }
    }
}

/// Everything a state is derived from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Whose.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// What systemd says of the unit.
    pub unit: UnitStatus,
    /// This boot.
    pub boot_id: String,
    /// The exit file of this boot.
    pub exit: Option<ExitRecord>,
    /// The payload file of this boot.
    pub payload: Option<Payload>,
    /// The payload's cgroup; none: there is none.
    pub cgroup: Option<CgroupEvents>,
    /// What is known of the health.
    pub health: Option<HealthSeen>,
    /// The copy of the last exit file.
    pub last_exit: Option<ExitRecord>,
    /// The last start.
    pub last_start: Option<LastStart>,
    /// The container's directory is gone, or going.
    pub removing: bool,
}

/// Id of this boot (random(4)); empty if /proc does not tell.
pub fn boot_id() -> String {
    static ID: OnceLock<String> = OnceLock::new();
    let read = || {
        fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    ID.get_or_init(read).clone()
}

/// A file that is not there, cut or malformed is no fact.
fn read<T, E>(path: &Path, parse: impl Fn(&str) -> Result<T, E>) -> Option<T>
where
    E: std::fmt::Display,
{
    let bytes = read_bounded(path, MAX_FILE).ok()?;
    match parse(&String::from_utf8_lossy(&bytes)) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "ignoring a damaged file");
            None
        }
    }
}

/// The payload file of a container, if there is one.
pub fn payload_of(layout: &Layout, id: &ContainerId) -> Option<Payload> {
    read(&layout.payload_file(id), Payload::parse)
}

/// The payload's cgroup of a unit.
fn payload_cgroup(unit: &UnitStatus) -> Option<PathBuf> {
    let below = unit.control_group.strip_prefix('/')?;
    (!below.is_empty()).then(|| Path::new("/sys/fs/cgroup").join(below).join("payload"))
}

/// Collects the facts about a container whose unit was asked for already.
pub fn gather(layout: &Layout, definition: &Definition, unit: UnitStatus) -> Facts {
    let cgroup = payload_cgroup(&unit).and_then(|path| events_of(&path));
    let mut facts = of_files(layout, definition);
    (facts.unit, facts.cgroup) = (unit, cgroup);
    facts
}

fn events_of(cgroup: &Path) -> Option<CgroupEvents> {
    let text = fs::read_to_string(cgroup.join("cgroup.events")).ok()?;
    Some(CgroupEvents::parse(&text))
}

/// What the files of the runs say; nothing is asked.
pub(super) fn of_files(layout: &Layout, definition: &Definition) -> Facts {
    let id = &definition.id;
    let payload = payload_of(layout, id);
    Facts {
        id: id.clone(),
        name: definition.name.clone(),
        boot_id: boot_id(),
        exit: read(&layout.exit_file(id), ExitRecord::parse),
        cgroup: payload
            .as_ref()
            .and_then(|payload| events_of(&payload.cgroup)),
        payload,
        health: health_of(layout, id),
        last_exit: read(&layout.last_exit(id), ExitRecord::parse),
        last_start: read(&layout.last_start(id), LastStart::parse),
        removing: !layout.container(id).is_dir(),
        unit: UnitStatus::not_found(),
    }
}

fn health_of(layout: &Layout, id: &ContainerId) -> Option<HealthSeen> {
    let record = health::read(layout, id)?;
    Some(HealthSeen {
        status: record.status,
        streak: record.failing_streak,
    })
}

/// Observes a container.
///
/// # Errors
/// systemd did not answer.
pub fn observe(
    layout: &Layout,
    manager: &dyn Manager,
    definition: &Definition,
) -> Result<Observation, SystemdError> {
    let mut looked = false;
    loop {
        let unit = manager.status(&definition.unit())?;
        let seen = derive(&gather(layout, definition, unit));
        if looked || !is_torn(&seen) {
            return Ok(seen);
        }
        looked = true;
    }
}

/// Whether a start that has no end may have begun between the look at its unit and the look at its files.
pub(super) fn is_torn(seen: &Observation) -> bool {
    matches!(
        seen.exit,
        Some(Exit::Unknown {
            lost: Lost::NoRecord,
            ..
        })
    )
}

/// Observes a container without systemd; none: its files do not suffice. What only systemd knows
/// ([`Observation::monitor`], [`Observation::restarts`]) is 0.
pub fn observe_files(layout: &Layout, definition: &Definition) -> Option<Observation> {
    let mut facts = of_files(layout, definition);
    facts.unit = implied(&facts)?;
    Some(derive(&facts))
}
