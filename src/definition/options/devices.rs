//! Devices.

use super::OptionSpec;
use crate::definition::Options;

pub(super) const SPECS: &[OptionSpec] = &[
    OptionSpec::many(
        "device",
        "DEVICE",
        "Device of the host, PATH[:PATH][:rwm], a directory of them, or a CDI name",
        |options, value| {
            options.isolation.devices.push(value.parse()?);
            Ok(())
        },
        |options| shown(&options.isolation.devices),
    )
    .key("AddDevice"),
    OptionSpec::many(
        "device-cgroup-rule",
        "RULE",
        "Allow devices by number: TYPE MAJOR:MINOR ACCESS, as in `c 1:* rw`",
        device_rule,
        |options| shown(&options.isolation.device_rules),
    ),
];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[
    ("device", "/dev/full:/dev/x:rw"),
    ("device", "/dev/full:m"),
    ("device", "/dev/full"),
    ("device", "vendor.com/class=all"),
    ("device-cgroup-rule", "c 1:3 rw"),
    ("device-cgroup-rule", "b *:* rwm,a 7:* r"),
];

fn device_rule(options: &mut Options, value: &str) -> Result<(), String> {
    for rule in value.split(',') {
        options.isolation.device_rules.push(rule.parse()?);
    }
    Ok(())
}

fn shown(list: &[impl ToString]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}
