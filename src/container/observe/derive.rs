//! From facts to state: pure.

use super::{Exit, Facts, Lost, Observation, State};
use crate::api::{Ended, ExitRecord};
use crate::host::systemd::{ActiveState, FreezerState, UnitStatus};
use crate::types::{ExitStatus, Signal};

/// CLD_EXITED, waitid(2).
const EXITED: i32 = 1;

/// Derives the state of a container.
pub fn derive(facts: &Facts) -> Observation {
    let unit = &facts.unit;
    let over = match &unit.active_state {
        ActiveState::Active | ActiveState::Reloading | ActiveState::Refreshing => None,
        ActiveState::Activating if unit.sub_state.starts_with("auto-restart") => Some(true),
        ActiveState::Activating => None,
        ActiveState::Deactivating => None,
        ActiveState::Inactive | ActiveState::Failed => Some(true),
        ActiveState::Maintenance | ActiveState::Other(_) => Some(false),
    };
    let (state, exit) = match over {
        Some(true) => ended(facts),
        Some(false) => (State::Unknown, last_end(facts)),
        None => match of_this_run(facts) {
            // The unit is about to end: its monitor cleans up.
            Some(record) => of_record(record),
            None => (alive(facts), last_end(facts)),
        },
    };
    let state = if facts.removing {
        State::Removing
    } else {
        state
    };
    // systemd forgets its number with the unit, and counts a restart that its start limit refuses.
    let recorded = exit.as_ref().and_then(Exit::restarts);
    let recorded = recorded.filter(|_| over == Some(true));
    let restarts = recorded.unwrap_or(unit.n_restarts);
    let payload = facts
        .payload
        .as_ref()
        .filter(|_| state.has_payload() || state == State::Initialized)
        .filter(|payload| payload.nonce == unit.invocation_id);
    Observation {
        state,
        exit,
        pid: payload.map(|payload| payload.pid),
        started: payload.map_or(0, |payload| payload.started),
        nonce: unit.invocation_id.clone(),
        monitor: unit.main_pid,
        restarts,
        restart: unit.restart,
        health: facts.health.clone(),
    }
}

/// The unit as the files of its runs imply it; none: they do not suffice, and systemd has to be asked. A start removes
/// the exit file of the run before, so that an exit file is always that of the last run.
pub(super) fn implied(facts: &Facts) -> Option<UnitStatus> {
    let populated = facts.cgroup.is_some_and(|events| events.populated);
    let restarts = facts.payload.as_ref().map_or(0, |payload| payload.restarts);
    let (active_state, run) = match (&facts.payload, &facts.exit) {
        (Some(payload), Some(record)) if payload.nonce == record.nonce => {
            (ActiveState::Inactive, &record.nonce)
        }
        (None, Some(record)) => (ActiveState::Inactive, &record.nonce),
        (Some(payload), None) if populated && payload.started == 0 => {
            (ActiveState::Activating, &payload.nonce)
        }
        (Some(payload), None) if populated => (ActiveState::Active, &payload.nonce),
        _ => return None,
    };
    Some(UnitStatus {
        active_state,
        invocation_id: run.clone(),
        n_restarts: restarts,
        ..UnitStatus::not_found()
    })
}

/// The state of a unit that is loaded and not over, and whose run has not ended.
fn alive(facts: &Facts) -> State {
    let unit = &facts.unit;
    let frozen = facts.cgroup.is_some_and(|events| events.frozen)
        || matches!(
            unit.freezer_state,
            FreezerState::Frozen | FreezerState::FrozenByParent
        );
    let payload = facts.payload.as_ref();
    let payload = payload.filter(|payload| payload.nonce == unit.invocation_id);
    let up = match payload {
        Some(payload) if payload.stopping => State::Stopping,
        _ if frozen => State::Paused,
        _ => State::Running,
    };
    match &unit.active_state {
        ActiveState::Deactivating => State::Stopping,
        ActiveState::Activating => {
            let populated = facts.cgroup.is_some_and(|events| events.populated);
            match payload {
                Some(payload) if populated && payload.started == 0 => State::Initialized,
                Some(_) if populated => up,
                _ => State::Created,
            }
        }
        _ => up,
    }
}

/// The exit record of the run that systemd's unit is in, or was in last.
fn of_this_run(facts: &Facts) -> Option<&ExitRecord> {
    facts
        .exit
        .as_ref()
        .filter(|record| record.nonce == facts.unit.invocation_id)
}

fn of_record(record: &ExitRecord) -> (State, Option<Exit>) {
    let state = match record.ended {
        Ended::Payload(_) | Ended::MonitorKilled { .. } => State::Exited,
        Ended::Unstarted { .. } => State::Created,
    };
    (state, Some(Exit::Recorded(record.clone())))
}

/// A unit that is over, or unloaded and forgotten.
fn ended(facts: &Facts) -> (State, Option<Exit>) {
    if let Some(record) = of_this_run(facts) {
        return of_record(record);
    }
    // systemd remembers a run that wrote no record.
    if !facts.unit.invocation_id.is_empty() && facts.unit.exec_main_start != 0 {
        return told(facts);
    }
    match last_end(facts) {
        Some(Exit::Recorded(record)) => of_record(&record),
        Some(exit) => (State::Exited, Some(exit)),
        None => (State::Created, None),
    }
}

/// A run without a record, as systemd tells it.
fn told(facts: &Facts) -> (State, Option<Exit>) {
    let unit = &facts.unit;
    let began = facts
        .last_start
        .as_ref()
        .filter(|start| start.nonce == unit.invocation_id);
    if began.is_none() && unit.exec_main_code != EXITED && unit.result == "success" {
        // systemd's SIGTERM came before the monitor could block it.
        let reason = "stopped before it had started".to_owned();
        return (State::Created, Some(unstarted(facts, reason)));
    }
    if began.is_none() && unit.exec_main_code == EXITED && unit.exec_main_status != 0 {
        // The monitor failed before there was a payload, and could not say why.
        let reason = format!(
            "the monitor failed with status {} ({})",
            unit.exec_main_status, unit.result
        );
        return (State::Created, Some(unstarted(facts, reason)));
    }
    let (started, finished) = (unit.exec_main_start, unit.exec_main_exit);
    let exit = match (unit.result.as_str(), unit.exec_main_code) {
        ("success" | "exit-code", EXITED) => Exit::Told {
            status: ExitStatus::Exited(unit.exec_main_status as u8),
            started,
            finished,
        },
        ("success", _) => match Signal::from_number(i64::from(unit.exec_main_status)) {
            Ok(signal) => Exit::Told {
                status: ExitStatus::Signaled(signal),
                started,
                finished,
            },
            Err(_) => Exit::Unknown {
                lost: Lost::NoRecord,
                started,
            },
        },
        (result, _) => Exit::MonitorKilled {
            result: result.to_owned(),
            started,
            finished,
        },
    };
    (State::Exited, Some(exit))
}

fn unstarted(facts: &Facts, reason: String) -> Exit {
    // The monitor ends with the code that it could not write down.
    let code = match facts.unit.exec_main_status {
        126 => 126,
        127 => 127,
        _ => 125,
    };
    Exit::Recorded(ExitRecord {
        id: facts.id.clone(),
        name: facts.name.clone(),
        nonce: facts.unit.invocation_id.clone(),
        ended: Ended::Unstarted { code, reason },
        oom: false,
        stop: crate::api::StopKind::None,
        restarts: facts.unit.n_restarts,
        started: 0,
        finished: facts.unit.exec_main_exit,
    })
}

/// The last end that the files know of: this boot's record first, then the copy that survives a reboot; unless a later
/// start has no end.
fn last_end(facts: &Facts) -> Option<Exit> {
    let newest = match (&facts.exit, &facts.last_exit) {
        (Some(here), Some(copy)) if copy.finished > here.finished => Some(copy),
        (Some(here), _) => Some(here),
        (None, copy) => copy.as_ref(),
    };
    let recorded = || newest.map(|record| Exit::Recorded(record.clone()));
    let Some(start) = &facts.last_start else {
        return recorded();
    };
    let current = start.nonce == facts.unit.invocation_id && !facts.unit.active_state.is_over();
    let ended = newest
        .is_some_and(|record| record.nonce == start.nonce || record.finished >= start.started);
    if current || ended {
        return recorded();
    }
    let lost = if start.boot_id == facts.boot_id {
        Lost::NoRecord
    } else {
        Lost::PowerCut
    };
    Some(Exit::Unknown {
        lost,
        started: start.started,
    })
}
