//! The interfaces on the bus.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zbus::fdo;
use zbus::object_server::SignalEmitter;
use zbus::zvariant::OwnedObjectPath;

use super::snapshot::Snapshot;
use crate::api::{Layout, dbus};
use crate::store;
use crate::types::ContainerId;

/// What is shown of every container.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown(Arc<Mutex<BTreeMap<ContainerId, Snapshot>>>);

impl Shown {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Snapshot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The object path of a container: an element may not begin with a digit unescaped (sd_bus_path_encode(3)).
pub(super) fn path_of(id: &ContainerId) -> OwnedObjectPath {
    let text = id.as_str();
    let (first, rest) = text.split_at(1);
    let first = match first.as_bytes()[0] {
        digit @ b'0'..=b'9' => format!("_{digit:02x}"),
        _ => first.to_owned(),
    };
    let path = format!("{}/{first}{rest}", dbus::CONTAINER_PATH);
    OwnedObjectPath::try_from(path).expect("hex digits and an underscore make a path")
}

/// `org.unitbox1.Manager`
pub(super) struct ManagerObject {
    pub(super) layout: Layout,
    pub(super) shown: Shown,
}

#[zbus::interface(name = "org.unitbox1.Manager")]
impl ManagerObject {
    /// Id, name, state and object of every container.
    fn list_containers(&self) -> Vec<(String, String, String, OwnedObjectPath)> {
        let row = |(id, snapshot): (&ContainerId, &Snapshot)| {
            let (name, state) = (snapshot.name.clone(), snapshot.state.clone());
            (id.to_string(), name, state, path_of(id))
        };
        self.shown.lock().iter().map(row).collect()
    }

    /// The object of a container, by name, id or unique beginning of an id.
    fn get_container(&self, container: &str) -> fdo::Result<OwnedObjectPath> {
        let id = store::lookup(&self.layout, container)
            .map_err(|error| fdo::Error::InvalidArgs(error.to_string()))?;
        if self.shown.lock().contains_key(&id) {
            Ok(path_of(&id))
        } else {
            Err(fdo::Error::UnknownObject(format!(
                "container {id} cannot be read"
            )))
        }
    }
}

/// `org.unitbox1.Container`
pub(super) struct ContainerObject {
    pub(super) id: ContainerId,
    pub(super) shown: Shown,
}

impl ContainerObject {
    fn get<T: Default>(&self, read: impl Fn(&Snapshot) -> T) -> T {
        self.shown
            .lock()
            .get(&self.id)
            .map(read)
            .unwrap_or_default()
    }
}

#[zbus::interface(name = "org.unitbox1.Container")]
impl ContainerObject {
    #[zbus(property)]
    fn name(&self) -> String {
        self.get(|shown| shown.name.clone())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> String {
        self.id.to_string()
    }

    #[zbus(property)]
    fn unit(&self) -> String {
        self.get(|shown| shown.unit.as_ref().map(ToString::to_string))
            .unwrap_or_default()
    }

    #[zbus(property)]
    fn state(&self) -> String {
        self.get(|shown| shown.state.clone())
    }

    /// Empty: the container has no health check.
    #[zbus(property)]
    fn health(&self) -> String {
        self.get(|shown| shown.health.clone())
    }

    #[zbus(property)]
    fn health_failing_streak(&self) -> u32 {
        self.get(|shown| shown.streak)
    }

    /// As the files of the run have it: systemd forgets the number with the unit.
    #[zbus(property)]
    fn restart_count(&self) -> u32 {
        self.get(|shown| shown.restarts)
    }

    #[zbus(property)]
    fn pid(&self) -> u32 {
        self.get(|shown| shown.pid)
    }

    /// 256: no run has ended, or nobody knows how.
    #[zbus(property)]
    fn exit_code(&self) -> u32 {
        self.get(|shown| shown.exit_code)
    }

    #[zbus(property)]
    fn exit_signal(&self) -> u32 {
        self.get(|shown| shown.exit_signal)
    }

    #[zbus(property)]
    fn oom_killed(&self) -> bool {
        self.get(|shown| shown.oom_killed)
    }

    /// Microseconds since the epoch; 0: it never ran.
    #[zbus(property)]
    fn started_at(&self) -> u64 {
        self.get(|shown| shown.started)
    }

    /// Microseconds since the epoch; 0: no run has ended.
    #[zbus(property)]
    fn finished_at(&self) -> u64 {
        self.get(|shown| shown.finished)
    }

    #[zbus(property)]
    fn image(&self) -> String {
        self.get(|shown| shown.image.clone())
    }

    /// A run has ended: ExitCode, ExitSignal, OomKilled.
    #[zbus(signal)]
    pub(super) async fn exited(
        emitter: &SignalEmitter<'_>,
        code: u32,
        signal: u32,
        oom_killed: bool,
    ) -> zbus::Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_element_begins_with_no_digit() {
        let path = |byte: u8| path_of(&ContainerId::from_random([byte; 32])).to_string();
        assert!(path(0x1a).ends_with(&format!("/_31a{}", "1a".repeat(31))));
        assert!(path(0xa1).ends_with(&format!("/{}", "a1".repeat(32))));
    }
}
