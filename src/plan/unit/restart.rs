//! The restart policy in systemd's words (systemd.service(5), "Restart=").

use super::Value;
use crate::definition::Options;
use crate::types::{NO_RESTART, OnFailure, RESTART_VARIABLE, RestartPolicy, Signal};

/// The wait before the first restart: what crashes once is back at once.
const FIRST_WAIT: u64 = 50_000;
/// Each wait doubles the one before, up to this.
const LONGEST_WAIT: u64 = 10;
const STEPS: u64 = 8;
/// Where systemd knows no steps: a crash loop must leave the host usable.
const ONLY_WAIT: u64 = 500_000;

/// Properties of the service.
pub(super) fn properties(options: &Options, systemd: u32) -> Vec<(&'static str, Value)> {
    let policy = options.restart();
    let restart = match policy {
        // The monitor ends a run that is to be followed by another for its health's sake like this.
        RestartPolicy::No if options.health.restarts() => "on-watchdog",
        // Whoever wrote Restart= into the file of the unit.
        RestartPolicy::No if options.health.on_failure == OnFailure::Stop => {
            return vec![prevented()];
        }
        RestartPolicy::No => return Vec::new(),
        RestartPolicy::OnFailure(_) => "on-failure",
        RestartPolicy::Always | RestartPolicy::UnlessStopped => "always",
    };
    let mut properties = vec![
        (
            "Environment",
            Value::Fields(vec![(RESTART_VARIABLE.to_owned(), policy.to_string())]),
        ),
        ("Restart", Value::Text(restart.to_owned())),
    ];
    if systemd >= 254 {
        properties.extend([
            ("RestartSec", Value::Micros(FIRST_WAIT)),
            ("RestartSteps", Value::Number(STEPS)),
            ("RestartMaxDelaySec", Value::Seconds(LONGEST_WAIT)),
            // A restart is none of those that need it, and nothing that failed for good.
            ("RestartMode", Value::Text("direct".to_owned())),
        ]);
    } else {
        properties.push(("RestartSec", Value::Micros(ONLY_WAIT)));
    }
    properties.push(prevented());
    if let RestartPolicy::OnFailure(_) = policy {
        // To systemd these are clean ends, to Podman 128 and more.
        let clean = vec![Signal::HUP, Signal::INT, Signal::PIPE, Signal::TERM];
        properties.push(("RestartForceExitStatus", Value::Statuses(vec![], clean)));
    }
    properties
}

/// The end behind which nothing is restarted, whatever Restart= says.
fn prevented() -> (&'static str, Value) {
    let statuses = Value::Statuses(vec![NO_RESTART], vec![]);
    ("RestartPreventExitStatus", statuses)
}
