//! Two renderings of one plan: the text of a unit file, and names and values for StartTransientUnit.

use super::{Property, Section, Unit, Value};
use super::{escape, limits};

/// A property's value as the manager's D-Bus interface takes it (org.freedesktop.systemd1(5)).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BusValue {
    /// `s`
    Str(String),
    /// `b`
    Bool(bool),
    /// `t`
    U64(u64),
    /// `i`
    I32(i32),
    /// `as`
    Strings(Vec<String>),
    /// `aay`
    ByteArrays(Vec<Vec<u8>>),
    /// `ay`
    Bytes(Vec<u8>),
    /// `a(st)`
    Devices(Vec<(String, u64)>),
    /// `(aiai)`: exit codes and signals.
    Statuses(Vec<i32>, Vec<i32>),
    /// `a(sasb)`: one command line, and whether a failure of it is none of the unit's.
    Exec(Vec<String>, bool),
}

impl Unit {
    /// The text of the unit file.
    pub fn render(&self) -> String {
        let mut text = format!("# Made by unitbox for {}; changes are lost.\n", self.name);
        for (section, title) in [(Section::Unit, "[Unit]"), (Section::Service, "\n[Service]")] {
            text.push_str(title);
            text.push('\n');
            for property in self.properties.iter().filter(|p| p.section == section) {
                text.push_str(property.key);
                text.push('=');
                text.push_str(&file_value(&property.value));
                text.push('\n');
            }
        }
        text
    }

    /// Names and values for StartTransientUnit.
    pub fn bus_properties(&self) -> Vec<(&'static str, BusValue)> {
        self.properties.iter().map(bus_property).collect()
    }
}

fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

/// A path in a list, if systemd can read it there: it takes quotes off and resolves no escapes.
pub(super) fn listed_path(path: &str) -> Option<String> {
    let plain = !path.contains(['"', '\'', '\\']) && !path.chars().any(char::is_control);
    plain.then(|| format!("\"{}\"", path.replace('%', "%%")))
}

pub(super) fn file_value(value: &Value) -> String {
    match value {
        Value::Text(text) => escape::line(text),
        Value::Raw(text) => text.clone(),
        Value::Bool(on) => if *on { "yes" } else { "no" }.to_owned(),
        Value::Bytes(bytes) => bytes.to_string(),
        Value::Number(number) | Value::Max(Some(number)) => number.to_string(),
        Value::Max(None) => "infinity".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Micros(micros) => format!("{micros}us"),
        Value::Share(share) => format!("{}.{:02}%", share / 100, share % 100),
        Value::Set(list) => list.clone(),
        Value::Device(limit) => format!("{} {}", limit.device, limit.value),
        Value::Seconds(seconds) => format!("{seconds}s"),
        Value::Units(names) => join(names.iter().map(|name| name.replace('%', "%%"))),
        Value::Fields(fields) => join(
            fields
                .iter()
                .map(|(key, value)| escape::word(&format!("{key}={value}"))),
        ),
        Value::Statuses(codes, signals) => {
            let codes = codes.iter().map(ToString::to_string);
            join(codes.chain(signals.iter().map(ToString::to_string)))
        }
        Value::Exec(words) => command(words),
        Value::Tried(words) => format!("-{}", command(words)),
    }
}

fn command(words: &[String]) -> String {
    join(expanded_later(words).iter().map(|word| escape::word(word)))
}

/// systemd expands variables when it runs a command, in every word but the program's path, wherever the words came from.
fn expanded_later(words: &[String]) -> Vec<String> {
    let (program, rest) = words.split_at(words.len().min(1));
    let rest = rest.iter().map(|word| word.replace('$', "$$"));
    program.iter().cloned().chain(rest).collect()
}

pub(super) fn bus_property(property: &Property) -> (&'static str, BusValue) {
    let key = match property.key {
        "TimeoutStopSec" => "TimeoutStopUSec",
        "RestartSec" => "RestartUSec",
        "RestartMaxDelaySec" => "RestartMaxDelayUSec",
        "RuntimeMaxSec" => "RuntimeMaxUSec",
        "StartLimitIntervalSec" => "StartLimitIntervalUSec",
        "CPUQuota" => "CPUQuotaPerSecUSec",
        "CPUQuotaPeriodSec" => "CPUQuotaPeriodUSec",
        key => key,
    };
    let value = match &property.value {
        Value::Text(text) if key == "Documentation" => BusValue::Strings(vec![text.clone()]),
        Value::Text(text) | Value::Raw(text) => BusValue::Str(text.clone()),
        Value::Bool(on) => BusValue::Bool(*on),
        Value::Bytes(bytes) => BusValue::U64(*bytes),
        Value::Number(number) | Value::Max(Some(number)) => BusValue::U64(*number),
        // What systemd takes for infinity.
        Value::Max(None) => BusValue::U64(u64::MAX),
        Value::Int(number) => BusValue::I32(*number),
        Value::Micros(micros) => BusValue::U64(*micros),
        Value::Share(share) => BusValue::U64(share.saturating_mul(100)),
        Value::Set(list) => BusValue::Bytes(limits::bitmap(list)),
        Value::Device(limit) => BusValue::Devices(vec![(limit.device.clone(), limit.value)]),
        Value::Seconds(seconds) => BusValue::U64(seconds.saturating_mul(1_000_000)),
        Value::Units(names) => BusValue::Strings(names.clone()),
        Value::Fields(fields) if key == "Environment" => BusValue::Strings(
            fields
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect(),
        ),
        Value::Fields(fields) => BusValue::ByteArrays(
            fields
                .iter()
                .map(|(key, value)| format!("{key}={value}").into_bytes())
                .collect(),
        ),
        Value::Statuses(codes, signals) => BusValue::Statuses(
            codes.iter().map(|code| i32::from(*code)).collect(),
            signals
                .iter()
                .map(|signal| i32::from(signal.number()))
                .collect(),
        ),
        Value::Exec(words) => BusValue::Exec(expanded_later(words), false),
        Value::Tried(words) => BusValue::Exec(expanded_later(words), true),
    };
    (key, value)
}
