//! The restart policy in systemd's words (systemd.service(5), "Restart=").

use super::{Property, Section, Value};
use crate::definition::Options;
use crate::definition::unit_file::UnitFile;
use crate::types::{NO_RESTART, RESTART_VARIABLE, Restart, RestartPolicy, Signal};

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
    let restart = policy.in_unit(options.health.restarts());
    if restart == Restart::No {
        // A file or a drop-in may say something else.
        return vec![prevented()];
    }
    let mut properties = vec![
        (
            "Environment",
            Value::Fields(vec![(RESTART_VARIABLE.to_owned(), policy.to_string())]),
        ),
        ("Restart", Value::Text(restart.to_string())),
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

/// Of the unit of a file: what the file says of restarts holds, and the monitor hears of it. Only a restart for health's
/// sake is more than `Restart=no`.
pub(super) fn adapt(properties: &mut Vec<Property>, file: &UnitFile) {
    let by_health = properties.iter().any(|property| property.key == "Restart");
    let section = file.section("Service");
    let entry = section.and_then(|section| section.last("Restart"));
    let own = entry.and_then(|entry| entry.value.parse().ok());
    let own = own.unwrap_or(Restart::No);
    properties.retain(|property| match property.key {
        "Environment" => false,
        "Restart" => own == Restart::No,
        _ => true,
    });
    let holds = match own {
        Restart::No if by_health => Restart::OnWatchdog,
        own => own,
    };
    if holds != Restart::No {
        let fields = vec![(RESTART_VARIABLE.to_owned(), holds.to_string())];
        properties.push(Property {
            section: Section::Service,
            key: "Environment",
            value: Value::Fields(fields),
        });
    }
}

/// The end behind which nothing is restarted, whatever Restart= says.
fn prevented() -> (&'static str, Value) {
    let statuses = Value::Statuses(vec![NO_RESTART], vec![]);
    ("RestartPreventExitStatus", statuses)
}
