//! Observes many containers at once: one question to systemd for all, and one more for those few of which their files
//! do not tell enough.

use std::collections::HashMap;
use std::path::Path;

use super::derive::implied;
use super::gather::{is_torn, observe, of_files};
use super::{Observation, derive};
use crate::api::Layout;
use crate::definition::Definition;
use crate::host::restarts::has_drop_ins;
use crate::host::systemd::{ActiveState, Manager, SystemdError, UnitStatus, UnitSummary};

/// What systemd has loaded.
#[derive(Debug)]
pub struct Bulk<'a> {
    layout: &'a Layout,
    manager: &'a dyn Manager,
    loaded: HashMap<String, UnitSummary>,
    /// It is one container only.
    one: bool,
}

impl std::fmt::Debug for dyn Manager + '_ {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Manager")
    }
}

impl<'a> Bulk<'a> {
    /// Asks systemd for all units of containers.
    ///
    /// # Errors
    /// systemd did not answer.
    pub fn new(layout: &'a Layout, manager: &'a dyn Manager) -> Result<Self, SystemdError> {
        let loaded = manager.list("unitbox-*.service")?.into_iter().collect();
        Ok(Self {
            layout,
            manager,
            loaded,
            one: false,
        })
    }

    /// Asks systemd for the unit of one container.
    ///
    /// # Errors
    /// systemd did not answer.
    pub fn of_one(
        layout: &'a Layout,
        manager: &'a dyn Manager,
        definition: &Definition,
    ) -> Result<Self, SystemdError> {
        // A glob, in which a backslash of an escaped name stands for what follows.
        let pattern = definition.unit().as_str().replace('\\', r"\\");
        let loaded = manager.list(&pattern)?.into_iter().collect();
        Ok(Self {
            layout,
            manager,
            loaded,
            one: true,
        })
    }

    /// Observes one container. What only systemd's record of the unit tells ([`Observation::monitor`],
    /// [`Observation::restarts`]) may be 0, and [`Observation::restart`] none where the unit is as it was made.
    ///
    /// # Errors
    /// systemd did not answer.
    pub fn observe(&self, definition: &Definition) -> Result<Observation, SystemdError> {
        let name = definition.unit();
        // What others have written into a unit only systemd knows.
        if definition.deployed.is_some()
            || (self.one && has_drop_ins(Path::new("/"), name.as_str()))
        {
            return observe(self.layout, self.manager, definition);
        }
        let mut facts = of_files(self.layout, definition);
        let status = match self.loaded.get(name.as_str()) {
            None => unloaded(facts.payload.is_some(), implied(&facts)),
            Some(unit) => known(unit, implied(&facts), facts.last_start.is_none()),
        };
        if let Some(status) = status {
            facts.unit = status;
            let seen = derive(&facts);
            if !is_torn(&seen) {
                return Ok(seen);
            }
        }
        observe(self.layout, self.manager, definition)
    }
}

/// A unit that is not loaded is inactive, and systemd knows no more of it than its file; unless it was started since.
fn unloaded(has_payload: bool, implied: Option<UnitStatus>) -> Option<UnitStatus> {
    match implied {
        Some(status) if status.active_state == ActiveState::Inactive => {
            Some(UnitStatus::not_found())
        }
        None if !has_payload => Some(UnitStatus::not_found()),
        _ => None,
    }
}

/// What files and list tell together of a loaded unit; none: not enough, or they contradict each other.
fn known(
    unit: &UnitSummary,
    implied: Option<UnitStatus>,
    never_started: bool,
) -> Option<UnitStatus> {
    let Some(files) = implied else {
        let untouched = never_started && unit.active_state == ActiveState::Inactive;
        return untouched.then(UnitStatus::not_found);
    };
    let runs = files.active_state == ActiveState::Active;
    let agree = match unit.active_state {
        ActiveState::Active | ActiveState::Reloading | ActiveState::Refreshing => runs,
        ActiveState::Inactive | ActiveState::Failed => !runs,
        // The files of the run that ends tell all; a start that goes on has none yet.
        ActiveState::Deactivating => true,
        ActiveState::Activating | ActiveState::Maintenance | ActiveState::Other(_) => false,
    };
    agree.then(|| UnitStatus {
        active_state: unit.active_state.clone(),
        sub_state: unit.sub_state.clone(),
        ..files
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{State, boot_id};
    use super::*;
    use crate::api::LastStart;
    use crate::host::fake_world::FakeWorld;
    use crate::host::systemd::LoadState;
    use crate::host::systemd::fake::FakeManager;

    fn unit(active_state: ActiveState) -> UnitSummary {
        UnitSummary {
            description: String::new(),
            load_state: LoadState::Loaded,
            active_state,
            sub_state: String::new(),
            has_job: false,
        }
    }

    fn files(active_state: ActiveState) -> Option<UnitStatus> {
        Some(UnitStatus {
            active_state,
            ..UnitStatus::not_found()
        })
    }

    /// Where files and list contradict each other, or tell too little, systemd is asked for the unit.
    #[test]
    fn only_what_agrees_is_believed() {
        use ActiveState::{Activating, Active, Deactivating, Failed, Inactive};
        for (listed, implied, never, want) in [
            (Active, Some(Active), false, Some(Active)),
            (Active, Some(Inactive), false, None),
            (Active, None, false, None),
            (Inactive, Some(Inactive), false, Some(Inactive)),
            (Inactive, Some(Active), false, None),
            (Inactive, None, true, Some(Inactive)),
            (Inactive, None, false, None),
            (Failed, Some(Inactive), false, Some(Failed)),
            (Failed, None, true, None),
            (Deactivating, Some(Active), false, Some(Deactivating)),
            (Deactivating, None, false, None),
            (Activating, Some(Inactive), false, None),
            (Activating, None, true, None),
        ] {
            let text = format!("{listed:?} {implied:?} {never}");
            let found = known(&unit(listed), implied.and_then(files), never);
            assert_eq!(found.map(|status| status.active_state), want, "{text}");
        }
        let inactive = || Some(UnitStatus::not_found());
        assert_eq!(unloaded(false, None), inactive());
        assert_eq!(unloaded(true, files(Inactive)), inactive());
        assert_eq!(unloaded(true, None), None);
        assert_eq!(unloaded(true, files(Active)), None);
    }

    /// A start between the list and the look at the files is no run whose end is unknown.
    #[test]
    fn a_start_behind_the_list_is_asked_for() {
        let world = FakeWorld::new();
        let layout = Layout::new(world.root());
        let definition = Definition::sample();
        let manager = FakeManager::default();
        let bulk = Bulk::new(&layout, &manager).unwrap();
        fs::create_dir_all(layout.container(&definition.id)).unwrap();
        let start = LastStart {
            nonce: "one".to_owned(),
            boot_id: boot_id(),
            started: 5,
        };
        fs::write(layout.last_start(&definition.id), start.render()).unwrap();
        assert_eq!(bulk.observe(&definition).unwrap().state, State::Exited);
        let started = UnitStatus {
            load_state: LoadState::Loaded,
            active_state: ActiveState::Activating,
            invocation_id: "one".to_owned(),
            ..UnitStatus::not_found()
        };
        manager.set(&definition.unit(), started);
        assert_eq!(bulk.observe(&definition).unwrap().state, State::Created);
    }
}
