//! The unit of a container: one plan, rendered as a unit file or as properties for StartTransientUnit.

mod deployed;
mod escape;
mod limits;
mod render;
mod restart;

use std::path::Path;

use crate::api::{Layout, journal};
use crate::definition::{Definition, DeviceLimit};
use crate::types::{Signal, UnitName};

pub use deployed::{DeployFacts, Deployed, broken, deploy};
pub use limits::{OWN_PIDS, is_overridden, limit_changes};
pub use render::BusValue;

/// A section of a unit file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// `[Unit]`
    Unit,
    /// `[Service]`
    Service,
}

/// The value of a property, typed so that both renderings come from one source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// Free text.
    Text(String),
    /// Text that is escaped as its key wants it.
    Raw(String),
    /// yes or no.
    Bool(bool),
    /// A number of bytes.
    Bytes(u64),
    /// A number.
    Number(u64),
    /// A number, or none for any.
    Max(Option<u64>),
    /// A small signed number.
    Int(i32),
    /// A time span in whole seconds.
    Seconds(u64),
    /// A time span in microseconds.
    Micros(u64),
    /// Time of processors in 1/10000 of one.
    Share(u64),
    /// A set of numbers: list and ranges (cpuset(7)).
    Set(String),
    /// A limit of one device.
    Device(DeviceLimit),
    /// Names of units.
    Units(Vec<String>),
    /// `FIELD=value` assignments.
    Fields(Vec<(String, String)>),
    /// A command line; the first word is the program's path.
    Exec(Vec<String>),
    /// The same; its failure is nothing to the unit.
    Tried(Vec<String>),
    /// Exit codes and signals.
    Statuses(Vec<u8>, Vec<Signal>),
}

/// One assignment of a unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Property {
    /// Where it stands in the file.
    pub section: Section,
    /// Its name in the file (the name on the bus follows from it).
    pub key: &'static str,
    /// Its value.
    pub value: Value,
}

/// A unit to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unit {
    /// Its name.
    pub name: UnitName,
    /// Its assignments, in the order of the file.
    pub properties: Vec<Property>,
}

/// What the plan of a unit must know of the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitFacts<'a> {
    /// Version of the running systemd.
    pub systemd: u32,
    /// Path of `unitbox-monitor`.
    pub monitor: &'a Path,
    /// Where things are.
    pub layout: &'a Layout,
    /// Units that must run before it.
    pub dependencies: &'a [UnitName],
}

/// Seconds that a stop may take beyond the container's own timeout before systemd steps in; the monitor extends the
/// time itself (EXTEND_TIMEOUT_USEC, sd_notify(3)) when an ordered stop asks for more.
const STOP_MARGIN: u64 = 20;

impl Unit {
    /// Plans the unit of a container.
    pub fn of(definition: &Definition, facts: &UnitFacts) -> Self {
        let mut properties = Vec::with_capacity(24);
        let mut add = |section, key, value| {
            properties.push(Property {
                section,
                key,
                value,
            })
        };
        let name = &definition.name;
        let text = |text: &str| Value::Text(text.to_owned());
        use Section::{Service, Unit};
        add(
            Unit,
            "Description",
            Value::Text(format!("unitbox container {name}")),
        );
        add(Unit, "Documentation", text("man:unitbox(1)"));
        add(
            Unit,
            "Wants",
            Value::Units(vec!["unitbox-bus.service".to_owned()]),
        );
        // The other way round at shutdown: it ends while the network is up, and before what is mounted by it goes.
        let after = ["network.target", "remote-fs.target"];
        add(
            Unit,
            "After",
            Value::Units(after.map(str::to_owned).to_vec()),
        );
        if !facts.dependencies.is_empty() {
            let names = facts.dependencies.iter();
            let names: Vec<String> = names.map(|unit| unit.as_str().to_owned()).collect();
            add(Unit, "Requires", Value::Units(names.clone()));
            add(Unit, "After", Value::Units(names));
        }
        let cleanup = UnitName::cleanup_of(name).as_str().to_owned();
        add(Unit, "OnFailure", Value::Units(vec![cleanup]));
        // Who starts a container by hand may do so as often as it fails.
        add(Unit, "StartLimitIntervalSec", Value::Seconds(0));
        if definition.options.remove {
            add(Unit, "CollectMode", text("inactive-or-failed"));
        }
        add(Service, "Type", text("notify"));
        add(Service, "NotifyAccess", text("main"));
        add(
            Service,
            "ExecStart",
            Value::Exec(exec_start(definition, facts)),
        );
        add(
            Service,
            "ExecReload",
            Value::Exec(reload_of(&exec_start(definition, facts))),
        );
        if definition.options.register {
            add(
                Service,
                "ExecStartPost",
                Value::Tried(register(definition, facts)),
            );
        }
        // A stop that comes while it is reloaded ends that so.
        let told = Value::Statuses(vec![], vec![Signal::TERM]);
        add(Service, "SuccessExitStatus", told);
        add(Service, "Delegate", Value::Bool(true));
        if facts.systemd >= 254 {
            add(Service, "DelegateSubgroup", text("monitor"));
        }
        add(Service, "KillMode", text("mixed"));
        add(Service, "OOMPolicy", text("stop"));
        add(Service, "OOMScoreAdjust", Value::Int(-900));
        // What is mounted inside a shared directory has to reach the host.
        let private = !definition.options.files.shares_mounts();
        add(Service, "PrivateMounts", Value::Bool(private));
        let stop = u64::from(definition.options.stop_timeout_or_default()) + STOP_MARGIN;
        add(Service, "TimeoutStopSec", Value::Seconds(stop));
        if let Some(timeout) = definition.options.timeout {
            add(Service, "RuntimeMaxSec", Value::Seconds(u64::from(timeout)));
        }
        for (key, value) in restart::properties(&definition.options, facts.systemd) {
            add(Service, key, value);
        }
        for (key, value) in limits::properties(definition) {
            add(Service, key, value);
        }
        // What we say ourselves; the payload's output has the container's name.
        add(Service, "SyslogIdentifier", text("unitbox-monitor"));
        add(
            Service,
            "LogExtraFields",
            Value::Fields(log_fields(definition)),
        );
        Self {
            name: definition.unit(),
            properties,
        }
    }
}

/// argv of the monitor carries the name only (and the root directory, where it is not `/`).
fn exec_start(definition: &Definition, facts: &UnitFacts) -> Vec<String> {
    let mut words = vec![facts.monitor.to_string_lossy().into_owned()];
    let root = facts.layout.root();
    if root != Path::new("/") {
        words.push(format!("--root={}", root.to_string_lossy()));
    }
    words.push(definition.name.as_str().to_owned());
    words
}

/// The client of the monitor's installation puts it into the list of systemd-machined.
fn register(definition: &Definition, facts: &UnitFacts) -> Vec<String> {
    let prefix = facts
        .monitor
        .ancestors()
        .nth(3)
        .unwrap_or(Path::new("/usr"));
    let client = prefix.join("bin/unitbox").to_string_lossy().into_owned();
    let words = exec_start(definition, facts);
    let (name, root) = words[1..].split_last().expect("it ends with the name");
    let verb = ["system", "register", name].map(str::to_owned);
    std::iter::once(client)
        .chain(root.iter().cloned())
        .chain(verb)
        .collect()
}

/// The same program lets the monitor, which may be an older one, go on as itself.
fn reload_of(start: &[String]) -> Vec<String> {
    let (program, words) = start.split_first().expect("a command has a program");
    let words = words.iter().cloned();
    [program.clone(), "--reload".to_owned()]
        .into_iter()
        .chain(words)
        .collect()
}

fn log_fields(definition: &Definition) -> Vec<(String, String)> {
    let mut fields = vec![
        (
            journal::CONTAINER_NAME.to_owned(),
            definition.name.as_str().to_owned(),
        ),
        (
            journal::CONTAINER_ID.to_owned(),
            definition.id.short().to_owned(),
        ),
        (
            journal::CONTAINER_ID_FULL.to_owned(),
            definition.id.as_str().to_owned(),
        ),
    ];
    if let Some(tag) = &definition.options.log.tag {
        fields.push((journal::CONTAINER_TAG.to_owned(), tag.clone()));
    }
    fields.push((
        journal::IMAGE_NAME.to_owned(),
        definition.source_name().to_owned(),
    ));
    fields
}

#[cfg(test)]
mod tests;
