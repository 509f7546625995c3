use super::*;
use crate::types::{NO_RESTART, Restart, Rhythm};

const NOW: Duration = Duration::from_secs(100);

fn events() -> Vec<(&'static str, Event)> {
    let after = |secs| Some(StopTimeout::After(Duration::from_secs(secs)));
    vec![
        ("started", Event::Started),
        ("made", Event::Made),
        ("start", Event::StartRequested),
        ("wait-killed", Event::WaitKilled),
        (
            "prepare-failed",
            Event::PrepareFailed(127, "no sh".to_owned()),
        ),
        ("prepare-killed", Event::PrepareKilled),
        ("stop", Event::StopRequested(None)),
        ("stop-0", Event::StopRequested(after(0))),
        ("stop-5", Event::StopRequested(after(5))),
        ("stop-never", Event::StopRequested(Some(StopTimeout::Never))),
        ("ended-7", Event::PayloadEnded(ExitStatus::Exited(7))),
        ("recorded", Event::Recorded),
        ("cleaned", Event::CleanedUp),
        ("cleanup-killed", Event::CleanupKilled),
        ("drained", Event::Drained),
        ("ask-probe", Event::ProbeRequested),
        ("probed", Event::ProbeEnded(ProbeEnd::Failed)),
        ("tick", Event::Tick),
    ]
}

fn states() -> Vec<(&'static str, State)> {
    let drain = Some(NOW + DRAIN_TIME);
    let cleaning = |attempt, drain_until| State::Cleaning {
        attempt,
        give_up_at: NOW + CLEANUP_TIME,
        drain_until,
    };
    vec![
        ("preparing", State::Preparing { attempt: 1 }),
        (
            "preparing-last",
            State::Preparing {
                attempt: WORKER_TRIES,
            },
        ),
        ("aborting", State::Aborting),
        ("held", State::Held { attempt: 1 }),
        (
            "held-last",
            State::Held {
                attempt: WORKER_TRIES,
            },
        ),
        ("releasing", State::Releasing { ended: None }),
        (
            "releasing-ended",
            State::Releasing {
                ended: Some(ExitStatus::Exited(7)),
            },
        ),
        ("running", State::Running),
        ("running-probed", State::Running),
        (
            "stopping",
            State::Stopping {
                kill_at: Some(NOW + Duration::from_secs(1)),
                extend_at: None,
            },
        ),
        (
            "stopping-due",
            State::Stopping {
                kill_at: Some(NOW),
                extend_at: None,
            },
        ),
        (
            "stopping-never",
            State::Stopping {
                kill_at: None,
                extend_at: Some(NOW),
            },
        ),
        (
            "killing",
            State::Killing {
                again_at: NOW + KILL_AGAIN,
            },
        ),
        ("killing-due", State::Killing { again_at: NOW }),
        ("exiting", State::Exiting),
        ("cleaning", cleaning(1, drain)),
        ("cleaning-last", cleaning(WORKER_TRIES, drain)),
        ("cleaning-drained", cleaning(1, None)),
        ("cleaned", cleaning(0, drain)),
        ("cleaned-late", cleaning(0, Some(NOW))),
        ("ended", State::Ended),
    ]
}

fn show(run: &Run, effects: &[Effect]) -> String {
    let state = match &run.state {
        State::Preparing { attempt } => format!("preparing#{attempt}"),
        State::Aborting => "aborting".to_owned(),
        State::Held { attempt } => format!("held#{attempt}"),
        State::Releasing { ended } => match ended {
            None => "releasing".to_owned(),
            Some(status) => format!("releasing {status:?}"),
        },
        State::Running => "running".to_owned(),
        State::Stopping {
            kill_at: Some(at), ..
        } => format!("stopping+{}s", (*at - NOW).as_secs()),
        State::Stopping { kill_at: None, .. } => "stopping-never".to_owned(),
        State::Killing { .. } => "killing".to_owned(),
        State::Exiting => "exiting".to_owned(),
        State::Cleaning {
            attempt,
            drain_until,
            ..
        } => {
            format!(
                "cleaning#{attempt}{}",
                if drain_until.is_some() {
                    ""
                } else {
                    " drained"
                }
            )
        }
        State::Ended => "ended".to_owned(),
    };
    let effects: Vec<String> = effects.iter().map(|effect| format!("{effect:?}")).collect();
    format!("{state} [{}]", effects.join(" "))
}

/// One failure makes it unhealthy, which stops it; a probe runs.
fn probed() -> Health {
    let policy = HealthPolicy {
        rhythm: Rhythm {
            interval: Some(Duration::from_secs(5)),
            timeout: Duration::from_secs(1),
        },
        retries: 1,
        start_period: Duration::ZERO,
        startup: None,
        on_failure: OnFailure::Stop,
    };
    let mut health = Health::begin(policy, NOW);
    health.start(NOW).unwrap();
    health
}

/// Every state and every event, against the table beside this file.
#[test]
fn the_table_is_total_and_as_written() {
    let mut table = String::new();
    for (state_name, state) in states() {
        for (event_name, event) in events() {
            let mut run = Run {
                state: state.clone(),
                ..Run::begin().0
            };
            if matches!(state, State::Cleaning { .. }) {
                run.ended = Some(Ended::Payload(ExitStatus::Exited(7)));
            }
            if state_name == "running-probed" {
                run.health = Some(probed());
            }
            let before = run.clone();
            let effects = run.step(event, NOW);
            let what = match run == before && effects.is_empty() {
                true => "-".to_owned(),
                false => show(&run, &effects),
            };
            table.push_str(&format!("{state_name:16} {event_name:15} {what}\n"));
        }
    }
    let expected = include_str!("table.txt");
    if table != expected && std::env::var_os("UNITBOX_UPDATE_GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lifecycle/table.txt");
        std::fs::write(path, &table).unwrap();
        return;
    }
    assert_eq!(table, expected);
}

/// The exit truth of ordered stops and of ends that nobody ordered.
#[test]
fn the_monitor_ends_as_the_payload_but_for_ordered_stops() {
    let signaled = |number| ExitStatus::Signaled(Signal::from_number(number).unwrap());
    let kill = Finish::Signal(Signal::KILL);
    let segv = Finish::Signal(Signal::from_number(11).unwrap());
    for (stop, status, expected) in [
        (StopKind::None, ExitStatus::Exited(0), Finish::Exit(0)),
        (StopKind::None, ExitStatus::Exited(7), Finish::Exit(7)),
        (StopKind::None, ExitStatus::Exited(143), Finish::Exit(143)),
        (StopKind::None, signaled(15), Finish::Signal(Signal::TERM)),
        (StopKind::None, signaled(9), kill),
        (StopKind::None, signaled(11), segv),
        (StopKind::Ordered, ExitStatus::Exited(0), Finish::Exit(0)),
        (StopKind::Ordered, signaled(15), Finish::Exit(0)),
        (StopKind::Ordered, ExitStatus::Exited(143), Finish::Exit(0)),
        (StopKind::Ordered, ExitStatus::Exited(7), Finish::Exit(7)),
        (
            StopKind::Ordered,
            ExitStatus::Exited(137),
            Finish::Exit(137),
        ),
        (StopKind::Ordered, signaled(9), kill),
        (StopKind::Ordered, signaled(11), segv),
        (StopKind::TimedOut, signaled(9), Finish::Exit(0)),
        (StopKind::TimedOut, ExitStatus::Exited(143), Finish::Exit(0)),
        (StopKind::TimedOut, ExitStatus::Exited(3), Finish::Exit(3)),
    ] {
        let mut run = Run::begin().0;
        run.stop = stop;
        run.ended = Some(Ended::Payload(status));
        assert_eq!(run.finish(), expected, "{stop:?} {status:?}");
    }
}

/// Policy, restarts so far, end, whether a user killed it, and how the monitor ends then.
#[test]
fn systemd_is_told_when_it_must_not_restart() {
    let always = RestartPolicy::Always;
    let failure = RestartPolicy::OnFailure(None);
    let thrice = RestartPolicy::OnFailure(Some(3));
    let (zero, seven) = (ExitStatus::Exited(0), ExitStatus::Exited(7));
    let term = ExitStatus::Signaled(Signal::TERM);
    let for_good = Finish::Exit(NO_RESTART);
    for (policy, restarts, status, killed, expected) in [
        (RestartPolicy::No, 0, seven, true, Finish::Exit(7)),
        (
            RestartPolicy::No,
            0,
            ExitStatus::Exited(NO_RESTART),
            false,
            for_good,
        ),
        (always, 900, zero, false, Finish::Exit(0)),
        (always, 0, zero, true, for_good),
        (
            always,
            0,
            ExitStatus::Exited(NO_RESTART),
            false,
            Finish::Exit(NO_RESTART - 1),
        ),
        (RestartPolicy::UnlessStopped, 0, term, true, for_good),
        (failure, 900, seven, false, Finish::Exit(7)),
        (failure, 0, zero, true, Finish::Exit(0)),
        (failure, 0, term, true, for_good),
        (thrice, 2, seven, false, Finish::Exit(7)),
        (thrice, 2, term, false, Finish::Signal(Signal::TERM)),
        (thrice, 3, seven, false, for_good),
        (thrice, 4, term, false, for_good),
        (thrice, 3, zero, false, Finish::Exit(0)),
    ] {
        let mut run = Run::begin().0;
        (run.restart, run.restarts, run.killed_by_user) =
            (Restarts::Policy(policy), restarts, killed);
        run.ended = Some(Ended::Payload(status));
        let context = format!("{policy} {restarts} {status:?} {killed}");
        assert_eq!(run.finish(), expected, "{context}");
        // Behind a stop by systemd nothing is restarted, and the end is told as it is.
        run.stop = StopKind::Ordered;
        assert_ne!(run.finish(), Finish::Exit(NO_RESTART - 1), "{context}");
        if status != ExitStatus::Exited(NO_RESTART) {
            assert_ne!(run.finish(), for_good, "{context}");
        }
    }
}

#[test]
fn a_start_that_fails_is_tried_again_by_the_policy_only() {
    let mut run = Run::begin().0;
    run.restart = Restarts::Policy(RestartPolicy::Always);
    let reason = "no sh".to_owned();
    run.ended = Some(Ended::Unstarted { code: 127, reason });
    assert_eq!(run.finish(), Finish::Exit(NO_RESTART));
    run.restarts = 1;
    assert_eq!(run.finish(), Finish::Exit(127));
    run.stop = StopKind::Ordered;
    assert_eq!(run.finish(), Finish::Exit(0));
}

/// OOMPolicy= lets systemd order a stop behind which it restarts.
#[test]
fn an_oom_kill_counts_as_a_failure() {
    let mut run = Run::begin().0;
    (run.restart, run.restarts) = (Restarts::Policy(RestartPolicy::OnFailure(Some(1))), 0);
    (run.stop, run.oom) = (StopKind::Ordered, true);
    run.ended = Some(Ended::Payload(ExitStatus::Signaled(Signal::KILL)));
    assert_eq!(run.finish(), Finish::Signal(Signal::KILL));
    run.restarts = 1;
    assert_eq!(run.finish(), Finish::Exit(NO_RESTART));
}

/// So does a watchdog that runs out, whose stop goes as ordered.
#[test]
fn a_watchdog_counts_as_a_failure() {
    let mut run = Run::begin().0;
    run.restart = Restarts::Policy(RestartPolicy::OnFailure(Some(1)));
    (run.stop, run.expired) = (StopKind::Ordered, true);
    run.ended = Some(Ended::Payload(ExitStatus::Signaled(Signal::TERM)));
    assert_eq!(run.finish(), Finish::Exit(0));
    run.restarts = 1;
    assert_eq!(run.finish(), Finish::Exit(NO_RESTART));
    run.expired = false;
    assert_eq!(run.finish(), Finish::Exit(0));
}

/// What a unit says for itself: a user's kill holds wherever systemd would go on, and nothing else is limited.
#[test]
fn a_unit_that_says_restart_is_kept_down_by_users_only() {
    let exit = |code| ExitStatus::Exited(code);
    let signal = ExitStatus::Signaled;
    let (kill, term) = (Signal::KILL, Signal::TERM);
    let for_good = Finish::Exit(NO_RESTART);
    for (restart, status, own, killed) in [
        (
            Restart::No,
            signal(kill),
            Finish::Signal(kill),
            Finish::Signal(kill),
        ),
        (Restart::OnSuccess, exit(0), Finish::Exit(0), for_good),
        (
            Restart::OnSuccess,
            signal(term),
            Finish::Signal(term),
            for_good,
        ),
        (
            Restart::OnSuccess,
            exit(3),
            Finish::Exit(3),
            Finish::Exit(3),
        ),
        (Restart::OnFailure, exit(3), Finish::Exit(3), for_good),
        (
            Restart::OnFailure,
            signal(term),
            Finish::Signal(term),
            Finish::Signal(term),
        ),
        (
            Restart::OnFailure,
            exit(NO_RESTART),
            Finish::Exit(NO_RESTART - 1),
            for_good,
        ),
        (
            Restart::OnAbnormal,
            exit(3),
            Finish::Exit(3),
            Finish::Exit(3),
        ),
        (Restart::OnAbnormal, exit(NO_RESTART), for_good, for_good),
        (
            Restart::OnAbnormal,
            signal(kill),
            Finish::Signal(kill),
            for_good,
        ),
        (
            Restart::OnAbort,
            signal(kill),
            Finish::Signal(kill),
            for_good,
        ),
        (
            Restart::OnWatchdog,
            signal(kill),
            Finish::Signal(kill),
            Finish::Signal(kill),
        ),
        (Restart::Always, exit(0), Finish::Exit(0), for_good),
    ] {
        let mut run = Run::begin().0;
        (run.restart, run.restarts) = (Restarts::Unit(restart), 900);
        run.ended = Some(Ended::Payload(status));
        assert_eq!(run.finish(), own, "{restart} {status:?}");
        run.killed_by_user = true;
        assert_eq!(run.finish(), killed, "{restart} {status:?}");
        run.killed_by_user = false;
        run.restarts = 0;
        let reason = "no sh".to_owned();
        run.ended = Some(Ended::Unstarted { code: 127, reason });
        assert_eq!(run.finish(), Finish::Exit(127), "{restart}");
    }
}

#[test]
fn every_state_with_a_deadline_leaves_it_behind() {
    for (name, state) in states() {
        let mut run = Run {
            state,
            ..Run::begin().0
        };
        let Some(deadline) = run.deadline() else {
            continue;
        };
        run.step(Event::Tick, deadline);
        assert!(
            run.deadline().is_none_or(|next| next > deadline),
            "{name} would spin"
        );
    }
}

#[test]
fn ready_goes_out_before_the_end_of_a_short_run() {
    let (mut run, _) = Run::begin();
    let mut effects = vec![];
    for event in [
        // Before the runtime says that it runs, which says its end once more.
        Event::PayloadEnded(ExitStatus::Exited(0)),
        Event::Started,
        Event::PayloadEnded(ExitStatus::Exited(0)),
    ] {
        effects.extend(run.step(event, NOW));
    }
    assert_eq!(effects, [Effect::Ready, Effect::WriteRecord]);
}

/// What is done with an unhealthy payload, its effects, how the payload ends, and how the monitor ends then, without and
/// with Restart=always.
#[test]
fn an_unhealthy_payload_ends_as_its_policy_says() {
    let term = ExitStatus::Signaled(Signal::TERM);
    let kill = ExitStatus::Signaled(Signal::KILL);
    let own = ExitStatus::Exited(NO_RESTART);
    let signal = Effect::Signal(Signal::KILL);
    let (killed, zero) = (Finish::Signal(Signal::KILL), Finish::Exit(0));
    let for_good = Finish::Exit(NO_RESTART);
    for (action, effect, end, without, always) in [
        (OnFailure::Kill, signal, kill, killed, killed),
        (OnFailure::Stop, Effect::Thaw, term, zero, for_good),
        (OnFailure::Restart, Effect::AskForRestart, term, zero, zero),
        (
            OnFailure::Restart,
            Effect::AskForRestart,
            own,
            Finish::Exit(NO_RESTART - 1),
            Finish::Exit(NO_RESTART - 1),
        ),
    ] {
        for (restart, expected) in [
            (RestartPolicy::No, without),
            (RestartPolicy::Always, always),
        ] {
            let mut health = probed();
            health.policy.on_failure = action;
            let mut run = Run {
                state: State::Running,
                health: Some(health),
                restart: Restarts::Policy(restart),
                ..Run::begin().0
            };
            let effects = run.step(Event::ProbeEnded(ProbeEnd::Failed), NOW);
            assert_eq!(effects[0], Effect::TellHealth(true));
            assert!(effects.contains(&effect), "{action}: {effects:?}");
            assert_eq!(run.state == State::Running, action != OnFailure::Stop);
            if action == OnFailure::Restart {
                // systemd does it with its watchdog's signal; until then nothing is looked at.
                assert_eq!(run.deadline(), None);
                assert_eq!(run.step(Event::ProbeRequested, NOW), []);
                assert_eq!(run.step(Event::ProbeEnded(ProbeEnd::Failed), NOW), []);
                run.step(Event::StopRequested(None), NOW);
            }
            run.step(Event::PayloadEnded(end), NOW);
            assert_eq!(run.finish(), expected, "{action} {restart}");
        }
    }
}

#[test]
fn a_payload_that_runs_is_probed_until_it_is_stopped() {
    let mut run = Run::begin().0;
    run.policy.health = Some(probed().policy);
    assert_eq!(run.step(Event::Started, NOW), [Effect::Ready]);
    assert_eq!(run.deadline(), Some(NOW));
    let begun = run.step(Event::Tick, NOW);
    assert_eq!(begun, [Effect::Probe(Probe::Regular)]);
    assert_eq!(run.deadline(), None);
    let told = run.step(Event::ProbeEnded(ProbeEnd::Passed), NOW);
    assert_eq!(told, [Effect::TellHealth(true)]);
    let asked = run.step(Event::ProbeRequested, NOW);
    assert_eq!(asked, [Effect::Probe(Probe::Regular)]);
    let stopped = run.step(Event::StopRequested(None), NOW);
    assert_eq!(stopped[0], Effect::AbortProbe);
    assert_eq!(run.step(Event::ProbeRequested, NOW), []);
}
