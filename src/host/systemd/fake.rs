//! A systemd that exists in memory only.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use super::{
    ActiveState, FreezerState, JobResult, LoadState, Manager, SystemdError, UnitStatus, UnitSummary,
};
use crate::plan::unit::{BusValue, Unit};
use crate::types::UnitName;

/// Records calls; units become active and inactive as jobs say, unless a result is scripted.
#[derive(Debug, Default)]
pub struct FakeManager {
    inner: RefCell<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    calls: Vec<String>,
    units: BTreeMap<String, UnitStatus>,
    script: VecDeque<Result<JobResult, SystemdError>>,
    interrupt: bool,
    reloadable: bool,
}

impl FakeManager {
    /// Sets the state of a unit.
    pub fn set(&self, unit: &UnitName, status: UnitStatus) {
        let name = unit.as_str().to_owned();
        self.inner.borrow_mut().units.insert(name, status);
    }

    /// The result of the next job without one; a result that is not [`JobResult::Done`] leaves the unit's state alone.
    pub fn script(&self, result: Result<JobResult, SystemdError>) {
        self.inner.borrow_mut().script.push_back(result);
    }

    /// The caller wants out.
    pub fn interrupt(&self) {
        self.inner.borrow_mut().interrupt = true;
    }

    /// Its units can reload.
    pub fn let_reload(&self) {
        self.inner.borrow_mut().reloadable = true;
    }

    /// Every call so far, such as `start unitbox-web.service`.
    pub fn calls(&self) -> Vec<String> {
        self.inner.borrow().calls.clone()
    }

    fn job(
        &self,
        verb: &str,
        unit: &UnitName,
        active: ActiveState,
    ) -> Result<JobResult, SystemdError> {
        let mut inner = self.inner.borrow_mut();
        inner.calls.push(format!("{verb} {unit}"));
        let result = inner.script.pop_front().unwrap_or(Ok(JobResult::Done));
        if matches!(result, Ok(JobResult::Done)) {
            let entry = inner.units.entry(unit.as_str().to_owned());
            let status = entry.or_insert_with(UnitStatus::not_found);
            status.load_state = LoadState::Loaded;
            status.active_state = active;
        }
        result
    }

    fn record(&self, verb: &str, object: &str) {
        let mut inner = self.inner.borrow_mut();
        inner.calls.push(format!("{verb} {object}"));
    }
}

impl Manager for FakeManager {
    fn version(&self) -> Result<u32, SystemdError> {
        Ok(257)
    }

    fn start_transient(&self, unit: &Unit) -> Result<JobResult, SystemdError> {
        self.job("start_transient", &unit.name, ActiveState::Active)
    }

    fn start(&self, unit: &UnitName) -> Result<JobResult, SystemdError> {
        self.job("start", unit, ActiveState::Active)
    }

    fn enqueue(&self, unit: &UnitName) -> Result<(), SystemdError> {
        self.record("enqueue", unit.as_str());
        Ok(())
    }

    fn look_again(&self) -> Result<(), SystemdError> {
        self.record("look_again", "systemd");
        Ok(())
    }

    fn stop(&self, unit: &UnitName) -> Result<JobResult, SystemdError> {
        self.job("stop", unit, ActiveState::Inactive)
    }

    fn status(&self, unit: &UnitName) -> Result<UnitStatus, SystemdError> {
        self.record("status", unit.as_str());
        let inner = self.inner.borrow();
        let known = inner.units.get(unit.as_str()).cloned();
        Ok(known.unwrap_or_else(UnitStatus::not_found))
    }

    /// Knows patterns with one `*`.
    fn list(&self, pattern: &str) -> Result<Vec<(String, UnitSummary)>, SystemdError> {
        self.record("list", pattern);
        let wanted = |name: &str| match pattern.split_once('*') {
            Some((prefix, suffix)) => name.starts_with(prefix) && name.ends_with(suffix),
            None => name == pattern,
        };
        let inner = self.inner.borrow();
        let units = inner.units.iter().filter(|(name, _)| wanted(name));
        let summary = |(name, status): (&String, &UnitStatus)| {
            let summary = UnitSummary {
                description: String::new(),
                load_state: status.load_state.clone(),
                active_state: status.active_state.clone(),
                sub_state: status.sub_state.clone(),
                has_job: false,
            };
            (name.clone(), summary)
        };
        Ok(units.map(summary).collect())
    }

    fn reset_failed(&self, unit: &UnitName) -> Result<(), SystemdError> {
        self.record("reset_failed", unit.as_str());
        let mut inner = self.inner.borrow_mut();
        if let Some(status) = inner.units.get_mut(unit.as_str())
            && status.active_state == ActiveState::Failed
        {
            status.active_state = ActiveState::Inactive;
        }
        Ok(())
    }

    fn set_properties(
        &self,
        unit: &UnitName,
        properties: &[(&'static str, BusValue)],
    ) -> Result<(), SystemdError> {
        let keys: Vec<&str> = properties.iter().map(|(key, _)| *key).collect();
        self.record("set_properties", &format!("{unit} {}", keys.join(" ")));
        Ok(())
    }

    fn thaw(&self, unit: &UnitName) -> Result<(), SystemdError> {
        self.record("thaw", unit.as_str());
        let mut inner = self.inner.borrow_mut();
        if let Some(status) = inner.units.get_mut(unit.as_str()) {
            status.freezer_state = FreezerState::Running;
        }
        Ok(())
    }

    fn reload(&self) -> Result<(), SystemdError> {
        self.record("reload", "systemd");
        for status in self.inner.borrow_mut().units.values_mut() {
            status.need_daemon_reload = false;
        }
        Ok(())
    }

    fn take_interrupt(&self) -> bool {
        std::mem::take(&mut self.inner.borrow_mut().interrupt)
    }

    fn can_reload(&self, unit: &UnitName) -> Result<bool, SystemdError> {
        self.record("can_reload", unit.as_str());
        Ok(self.inner.borrow().reloadable)
    }

    fn reload_unit(&self, unit: &UnitName) -> Result<JobResult, SystemdError> {
        self.job("reload", unit, ActiveState::Active)
    }
}

#[test]
fn the_fake_does_as_it_is_told() {
    let fake = FakeManager::default();
    let unit = UnitName::of(&"web".parse().unwrap());
    assert_eq!(fake.status(&unit).unwrap().load_state, LoadState::NotFound);
    fake.script(Ok(JobResult::Failed));
    assert_eq!(fake.start(&unit).unwrap(), JobResult::Failed);
    assert_eq!(fake.start(&unit).unwrap(), JobResult::Done);
    assert_eq!(
        fake.status(&unit).unwrap().active_state,
        ActiveState::Active
    );
    assert_eq!(fake.list("unitbox-*").unwrap().len(), 1);
    assert_eq!(fake.calls().len(), 5);
}
