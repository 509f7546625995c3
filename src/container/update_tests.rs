//! What `update` writes, and what it asks of systemd, in which order.

use std::fs;
use std::os::unix::fs::symlink;

use super::update::update;
use super::{ContainerError, Site};
use crate::api::Layout;
use crate::definition::{Changes, Definition, HealthCommand, options};
use crate::host::fake_world::FakeWorld;
use crate::host::systemd::fake::FakeManager;
use crate::host::systemd::{ActiveState, JobResult, LoadState, UnitStatus};
use crate::store;

/// One container on one fake host.
struct Case {
    _world: FakeWorld,
    layout: Layout,
    manager: FakeManager,
    definition: Definition,
}

impl Case {
    fn new(edit: impl FnOnce(&mut Definition)) -> Self {
        let world = FakeWorld::new();
        let layout = Layout::new(world.root());
        let mut definition = Definition::sample();
        edit(&mut definition);
        drop(store::create(&layout, &definition).unwrap());
        Self {
            _world: world,
            layout,
            manager: FakeManager::default(),
            definition,
        }
    }

    /// Its unit is in this state, and systemd has an older text of it.
    fn is(&self, active: ActiveState, sub: &str) {
        let status = UnitStatus {
            load_state: LoadState::Loaded,
            active_state: active,
            sub_state: sub.to_owned(),
            need_daemon_reload: true,
            ..UnitStatus::not_found()
        };
        self.manager.set(&self.definition.unit(), status);
    }

    /// The end of an update, and what was asked of systemd that changes anything.
    fn update(&self, flags: &[(&str, &str)]) -> (Result<Definition, ContainerError>, Vec<String>) {
        let mut changes = Changes::default();
        for (flag, value) in flags {
            let spec = options().find(|spec| spec.flag == *flag).unwrap();
            changes.add(spec, [(*value).to_owned()]).unwrap();
        }
        let site = Site {
            layout: &self.layout,
            manager: &self.manager,
        };
        let before = self.manager.calls().len();
        let done = update(site, &self.definition.id, &changes);
        let mut calls = self.manager.calls().split_off(before);
        calls.retain(|call| !call.starts_with("status") && !call.starts_with("can_reload"));
        (done, calls)
    }

    fn unit_text(&self) -> String {
        fs::read_to_string(self.layout.unit_file(&self.definition.unit())).unwrap_or_default()
    }

    fn stored(&self) -> Definition {
        store::load(&self.layout, &self.definition.id).unwrap()
    }
}

const ALWAYS: (&str, &str) = ("restart", "always");
const UNIT: &str = "unitbox-web.service";

#[test]
fn a_policy_is_written_read_by_systemd_and_told_to_the_monitor() {
    let case = Case::new(|_| {});
    case.is(ActiveState::Active, "running");
    case.manager.let_reload();
    let (done, calls) = case.update(&[ALWAYS]);
    let expected = ["reload systemd".to_owned(), format!("reload {UNIT}")];
    assert_eq!(calls, expected);
    assert_eq!(done.unwrap(), case.stored());
    assert!(case.unit_text().contains("\nRestart=always\n"));
    // What says the same again asks for nothing.
    let (done, calls) = case.update(&[ALWAYS]);
    assert!(done.is_ok() && calls.is_empty(), "{calls:?}");
    let (_, calls) = case.update(&[("restart", "no")]);
    assert_eq!(calls, [format!("reload {UNIT}")]);
    assert!(!case.unit_text().contains("Restart="));
}

/// The same with both kinds of change: a limit needs no reload.
#[test]
fn limits_go_to_systemd_as_properties() {
    let case = Case::new(|_| {});
    case.is(ActiveState::Active, "running");
    case.manager.let_reload();
    let limit = ("memory", "64m");
    let set = format!("set_properties {UNIT} MemoryMax MemorySwapMax");
    let (done, calls) = case.update(&[limit]);
    assert!(done.is_ok());
    assert_eq!(calls, [set.as_str()]);
    let (done, calls) = case.update(&[ALWAYS, ("memory", "32m")]);
    assert!(done.is_ok());
    let reload = format!("reload {UNIT}");
    assert_eq!(calls, [&set, "reload systemd", &reload]);
}

#[test]
fn only_a_run_that_goes_on_is_told() {
    for (active, sub) in [
        (ActiveState::Inactive, "dead"),
        (ActiveState::Failed, "failed"),
        (ActiveState::Deactivating, "stop-sigterm"),
        (ActiveState::Activating, "auto-restart"),
        (ActiveState::Activating, "auto-restart-queued"),
        (ActiveState::Activating, "start"),
    ] {
        let case = Case::new(|_| {});
        case.is(active, sub);
        case.manager.let_reload();
        let (done, calls) = case.update(&[ALWAYS]);
        assert!(done.is_ok(), "{sub}");
        assert_eq!(calls, ["reload systemd"], "{sub}");
    }
    // Nor one whose unit cannot reload.
    let case = Case::new(|_| {});
    case.is(ActiveState::Active, "running");
    let (done, calls) = case.update(&[ALWAYS]);
    assert!(done.is_ok());
    assert_eq!(calls, ["reload systemd"]);
}

#[test]
fn a_reload_that_fails_is_told_and_the_change_stays() {
    // One that was canceled for nothing, too: the run goes on.
    for result in [JobResult::Timeout, JobResult::Canceled] {
        let case = Case::new(|_| {});
        case.is(ActiveState::Active, "running");
        case.manager.let_reload();
        let ended = format!("ended as {}", result.as_str());
        case.manager.script(Ok(result));
        let (done, _) = case.update(&[ALWAYS]);
        let error = done.unwrap_err();
        assert_eq!(error.exit_code(), 125);
        let text = error.to_string();
        assert!(text.contains(&ended), "{text}");
        assert!(text.contains("from the next start on"), "{text}");
        assert!(case.unit_text().contains("Restart=always"));
        assert_eq!(case.stored().options.restart().name(), "always");
    }
}

#[test]
fn a_container_that_removes_itself_has_no_file_and_no_policy() {
    let case = Case::new(|definition| definition.options.remove = true);
    case.is(ActiveState::Active, "running");
    case.manager.let_reload();
    let (done, calls) = case.update(&[ALWAYS]);
    let text = done.unwrap_err().to_string();
    assert_eq!(text, "--rm and --restart cannot be used together");
    assert!(calls.is_empty(), "{calls:?}");
    let (done, calls) = case.update(&[("health-cmd", "true")]);
    assert!(done.is_ok());
    assert_eq!(calls, [format!("reload {UNIT}")]);
    assert_eq!(case.unit_text(), "");
    let command = Some(HealthCommand::Shell("true".to_owned()));
    assert_eq!(case.stored().options.health.command, command);
}

#[test]
fn what_is_refused_changes_nothing() {
    let case = Case::new(|_| {});
    case.is(ActiveState::Active, "running");
    for (flag, value, word) in [
        ("restart", "sometimes", "--restart"),
        ("health-interval", "1s", "healthcheck command is not set"),
        ("health-startup-cmd", "x", "no regular healthcheck"),
        ("health-on-failure", "kill", "without a health check"),
        ("health-log-destination", "/no/such", "/no/such"),
    ] {
        let (done, calls) = case.update(&[("memory", "64m"), (flag, value)]);
        let text = done.unwrap_err().to_string();
        assert!(text.contains(word), "{text}");
        assert!(calls.is_empty(), "{calls:?}");
        assert_eq!(case.stored(), case.definition);
        assert_eq!(case.unit_text(), "");
    }
}

/// The unit of one that was renamed while it ran has its old name; the new one is a link to it.
#[test]
fn an_alias_stays_one() {
    let case = Case::new(|_| {});
    let link = case.layout.unit_file(&case.definition.unit());
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink("unitbox-old.service", &link).unwrap();
    case.is(ActiveState::Active, "running");
    let (done, _) = case.update(&[ALWAYS]);
    assert!(done.is_ok());
    assert!(link.is_symlink());
    let text = fs::read_to_string(link.with_file_name("unitbox-old.service")).unwrap();
    assert!(text.contains("\nRestart=always\n"), "{text}");
}

#[test]
fn one_that_is_gone_is_not_found() {
    let case = Case::new(|_| {});
    fs::remove_dir_all(case.layout.container(&case.definition.id)).unwrap();
    let (done, calls) = case.update(&[ALWAYS]);
    assert!(done.unwrap_err().is_not_found());
    assert!(calls.is_empty(), "{calls:?}");
    assert!(!case.layout.unit_file(&case.definition.unit()).exists());
}
