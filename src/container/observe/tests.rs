use super::derive::implied;
use super::*;
use crate::api::{LastStart, Payload, StopKind};
use crate::host::systemd::{ActiveState, FreezerState, UnitStatus};
use crate::types::{ContainerId, Signal};

const NOW: &str = "this-boot";
const RUN: &str = "run-2";

fn record(nonce: &str, finished: u64, ended: Ended) -> ExitRecord {
    ExitRecord {
        id: ContainerId::from_random([1; 32]),
        name: "web".parse().unwrap(),
        nonce: nonce.to_owned(),
        ended,
        oom: false,
        stop: StopKind::None,
        restarts: 0,
        started: finished - 5,
        finished,
    }
}

fn exited(nonce: &str, finished: u64) -> Option<ExitRecord> {
    Some(record(
        nonce,
        finished,
        Ended::Payload(ExitStatus::Exited(7)),
    ))
}

fn failed_start(nonce: &str) -> Option<ExitRecord> {
    let reason = "no such file".to_owned();
    Some(record(nonce, 20, Ended::Unstarted { code: 127, reason }))
}

fn start(nonce: &str, boot: &str, started: u64) -> Option<LastStart> {
    Some(LastStart {
        nonce: nonce.to_owned(),
        boot_id: boot.to_owned(),
        started,
    })
}

/// Nothing is known: a container that never ran.
fn nothing() -> Facts {
    Facts {
        id: ContainerId::from_random([1; 32]),
        name: "web".parse().unwrap(),
        unit: UnitStatus::not_found(),
        boot_id: NOW.to_owned(),
        exit: None,
        payload: None,
        health: None,
        cgroup: None,
        last_exit: None,
        last_start: None,
        removing: false,
    }
}

/// A unit in this state whose run is [`RUN`] and whose payload lives.
fn up(state: ActiveState) -> Facts {
    let mut facts = nothing();
    facts.unit.active_state = state;
    facts.unit.invocation_id = RUN.to_owned();
    facts.unit.exec_main_start = 10;
    facts.unit.main_pid = 99;
    facts.payload = Some(Payload {
        pid: 100,
        start_ticks: 1,
        nonce: RUN.to_owned(),
        started: 11,
        cgroup: "/sys/fs/cgroup/x/payload".into(),
        restarts: 0,
        stopping: false,
    });
    facts.cgroup = Some(CgroupEvents {
        populated: true,
        frozen: false,
    });
    facts.last_start = start(RUN, NOW, 11);
    facts
}

/// A unit that systemd still knows and that has ended so.
fn over(state: ActiveState, result: &str, code: i32, status: i32) -> Facts {
    let mut facts = up(state);
    facts.unit.result = result.to_owned();
    facts.unit.exec_main_code = code;
    facts.unit.exec_main_status = status;
    facts.unit.exec_main_exit = 20;
    facts.unit.main_pid = 0;
    facts.payload = None;
    facts.cgroup = None;
    facts
}

fn with(mut facts: Facts, change: impl FnOnce(&mut Facts)) -> Facts {
    change(&mut facts);
    facts
}

/// State, then code and reason if there was an end.
fn seen(facts: &Facts) -> String {
    let seen = derive(facts);
    match seen.exit {
        None => seen.state.as_str().to_owned(),
        Some(exit) => format!(
            "{} {} [{}]",
            seen.state.as_str(),
            exit.code_text(),
            exit.reason()
        ),
    }
}

#[test]
fn living_units() {
    use ActiveState::{Activating, Active, Deactivating, Maintenance, Refreshing, Reloading};
    let frozen = |facts: &mut Facts| facts.cgroup.as_mut().unwrap().frozen = true;
    let preparing = |facts: &mut Facts| facts.payload = None;
    for (facts, want) in [
        (up(Active), "running"),
        (up(Reloading), "running"),
        (up(Refreshing), "running"),
        (with(up(Active), frozen), "paused"),
        (
            with(up(Active), |f| f.unit.freezer_state = FreezerState::Frozen),
            "paused",
        ),
        (
            with(up(Active), |f| {
                f.unit.freezer_state = FreezerState::FrozenByParent
            }),
            "paused",
        ),
        (
            with(up(Active), |f| f.unit.freezer_state = FreezerState::Thawing),
            "running",
        ),
        (
            with(up(Active), |f| f.exit = exited("run-1", 9)),
            "running 7 []",
        ),
        (
            with(up(Active), |f| f.last_exit = exited("run-1", 9)),
            "running 7 []",
        ),
        (
            with(up(Active), |f| f.exit = exited(RUN, 15)),
            "exited 7 []",
        ),
        (
            with(up(Active), |f| f.exit = failed_start(RUN)),
            "created 127 [no such file]",
        ),
        (up(Deactivating), "stopping"),
        (with(up(Deactivating), frozen), "stopping"),
        (
            with(up(Deactivating), |f| f.exit = exited(RUN, 15)),
            "exited 7 []",
        ),
        (up(Activating), "running"),
        (with(up(Activating), frozen), "paused"),
        (with(up(Activating), preparing), "created"),
        (with(up(Activating), |f| f.cgroup = None), "created"),
        (
            with(up(Activating), |f| {
                f.payload.as_mut().unwrap().nonce.clear()
            }),
            "created",
        ),
        (with(up(Active), |f| f.removing = true), "removing"),
        (up(Maintenance), "unknown"),
        (up(ActiveState::Other("x".to_owned())), "unknown"),
    ] {
        assert_eq!(seen(&facts), want, "{facts:?}");
    }
}

#[test]
fn units_that_are_over() {
    use ActiveState::{Activating, Failed, Inactive};
    let restarting = |facts: &mut Facts| facts.unit.sub_state = "auto-restart".to_owned();
    for (facts, want) in [
        (
            with(over(Failed, "exit-code", 1, 7), |f| {
                f.exit = exited(RUN, 20)
            }),
            "exited 7 []",
        ),
        (
            with(with(over(Activating, "exit-code", 1, 7), restarting), |f| {
                f.exit = exited(RUN, 20)
            }),
            "exited 7 []",
        ),
        (
            with(over(Failed, "exit-code", 1, 127), |f| {
                f.exit = failed_start(RUN)
            }),
            "created 127 [no such file]",
        ),
        // The record is that of an earlier run.
        (
            with(over(Failed, "signal", 2, 9), |f| {
                f.exit = exited("run-1", 9)
            }),
            "exited 137 [monitor killed]",
        ),
        (over(Failed, "signal", 2, 9), "exited 137 [monitor killed]"),
        (
            with(over(Failed, "signal", 2, 9), |f| f.last_start = None),
            "exited 137 [monitor killed]",
        ),
        (
            over(Failed, "timeout", 2, 9),
            "exited 137 [monitor killed (timeout)]",
        ),
        (
            over(Failed, "oom-kill", 2, 9),
            "exited 137 [monitor killed (oom-kill)]",
        ),
        // The disk was full: the monitor's own end tells.
        (over(Failed, "exit-code", 1, 7), "exited 7 []"),
        (over(Inactive, "success", 1, 0), "exited 0 []"),
        (over(Inactive, "success", 2, 15), "exited 143 []"),
        (
            with(over(Inactive, "success", 2, 15), |facts| {
                facts.last_start = None;
            }),
            "created 125 [stopped before it had started]",
        ),
        (
            with(over(Failed, "exit-code", 1, 203), |f| f.last_start = None),
            "created 125 [the monitor failed with status 203 (exit-code)]",
        ),
    ] {
        assert_eq!(seen(&facts), want, "{facts:?}");
    }
}

#[test]
fn units_that_are_forgotten() {
    let old_start = |facts: &mut Facts| facts.last_start = start("run-1", "other", 30);
    for (facts, want) in [
        (nothing(), "created"),
        (
            with(nothing(), |f| f.exit = exited("run-1", 9)),
            "exited 7 []",
        ),
        (
            with(nothing(), |f| f.exit = failed_start("run-1")),
            "created 127 [no such file]",
        ),
        // After a reboot.
        (
            with(nothing(), |f| f.last_exit = exited("run-1", 9)),
            "exited 7 []",
        ),
        (
            with(with(nothing(), old_start), |f| {
                f.last_exit = exited("run-1", 9)
            }),
            "exited 7 []",
        ),
        // The last start could not be written down, the last exit could.
        (
            with(with(nothing(), old_start), |f| {
                f.last_exit = exited("run-2", 40)
            }),
            "exited 7 []",
        ),
        (
            with(nothing(), old_start),
            "exited unknown (power cut) [unknown (power cut)]",
        ),
        (
            with(with(nothing(), old_start), |f| {
                f.last_exit = exited("run-0", 9)
            }),
            "exited unknown (power cut) [unknown (power cut)]",
        ),
        (
            with(nothing(), |f| f.last_start = start("run-1", NOW, 30)),
            "exited unknown (no exit record) [unknown (no exit record)]",
        ),
        // The copy on disk is newer than the record in /run.
        (
            with(nothing(), |f| {
                f.exit = failed_start("run-1");
                f.last_exit = exited("run-2", 40);
            }),
            "exited 7 []",
        ),
    ] {
        assert_eq!(seen(&facts), want, "{facts:?}");
    }
}

/// What the files alone tell.
fn seen_without_systemd(mut facts: Facts) -> Option<String> {
    facts.unit = implied(&facts)?;
    Some(seen(&facts))
}

#[test]
fn files_suffice_where_they_say_as_much_as_systemd() {
    use ActiveState::{Active, Failed};
    let stopping = |facts: &mut Facts| facts.payload.as_mut().unwrap().stopping = true;
    let frozen = |facts: &mut Facts| facts.cgroup.as_mut().unwrap().frozen = true;
    for facts in [
        up(Active),
        with(up(Active), stopping),
        with(up(Active), frozen),
        with(with(up(Active), stopping), frozen),
        with(up(Active), |f| f.last_exit = exited("run-1", 9)),
        with(up(Active), |f| f.exit = exited(RUN, 15)),
        with(up(Active), |f| f.exit = failed_start(RUN)),
        with(up(Active), |f| f.removing = true),
        with(over(Failed, "exit-code", 1, 7), |f| {
            f.exit = exited(RUN, 20)
        }),
        with(nothing(), |f| f.exit = exited("run-1", 9)),
        with(nothing(), |f| f.exit = failed_start("run-1")),
    ] {
        assert_eq!(seen_without_systemd(facts.clone()), Some(seen(&facts)));
    }
    let stopped = seen_without_systemd(with(up(Active), stopping));
    assert_eq!(stopped.as_deref(), Some("stopping"));
}

#[test]
fn systemd_is_asked_where_files_do_not_suffice() {
    use ActiveState::{Activating, Active, Failed};
    for facts in [
        nothing(),
        with(up(Activating), |f| f.payload = None),
        // It is about to be recorded, or its monitor was killed.
        with(up(Active), |f| f.cgroup.as_mut().unwrap().populated = false),
        with(up(Active), |f| f.cgroup = None),
        with(up(Active), |f| f.exit = exited("run-1", 9)),
        over(Failed, "signal", 2, 9),
        // After a reboot.
        with(nothing(), |f| f.last_exit = exited("run-1", 9)),
    ] {
        assert_eq!(seen_without_systemd(facts), None);
    }
}

#[test]
fn a_payload_has_a_pid_while_it_can_be_signalled() {
    let running = derive(&up(ActiveState::Active));
    assert_eq!((running.pid, running.started), (Some(100), 11));
    let ended = derive(&with(up(ActiveState::Active), |f| f.exit = exited(RUN, 20)));
    assert_eq!((ended.pid, ended.started), (None, 0));
    let stale = derive(&with(up(ActiveState::Active), |f| {
        f.payload.as_mut().unwrap().nonce.clear();
    }));
    assert_eq!(stale.pid, None);
}

#[test]
fn a_signal_is_a_code_above_128() {
    let killed = Ended::Payload(ExitStatus::Signaled(Signal::KILL));
    let facts = with(over(ActiveState::Failed, "signal", 2, 9), |f| {
        f.exit = Some(record(RUN, 20, killed));
    });
    assert_eq!(seen(&facts), "exited 137 []");
}

#[test]
fn events_are_read() {
    let events = CgroupEvents::parse("populated 1\nfrozen 0\n");
    assert_eq!((events.populated, events.frozen), (true, false));
    let events = CgroupEvents::parse("frozen 1\nother 1\npopulated 0");
    assert_eq!((events.populated, events.frozen), (false, true));
}
