//! Limits as properties of the unit (systemd.resource-control(5)), and what systemd makes of them in its cgroup.

use super::render::{BusValue, bus_property};
use super::{Property, Section, Value};
use crate::definition::{Definition, DeviceLimit};
use crate::plan::weight;

/// Processes that the unit may have beyond the payload's limit: the monitor's own, and the runtime's threads while it
/// starts the container.
pub const OWN_PIDS: u64 = 64;
/// cpu.max and memory of a group are counted so finely only.
const PAGE: u64 = 4096;

/// The properties, in the order of the file.
pub(super) fn properties(definition: &Definition) -> Vec<(&'static str, Value)> {
    let options = &definition.options;
    let limits = &options.limits;
    let mut all = Vec::new();
    if let Some(slice) = &limits.cgroup_parent {
        all.push(("Slice", Value::Text(slice.clone())));
    }
    if let Some(memory) = options.memory {
        all.push(("MemoryMax", Value::Bytes(memory)));
    }
    if let Some(reservation) = limits.memory_reservation {
        all.push(("MemoryLow", Value::Bytes(reservation)));
    }
    if let Some(swap) = limits.swap(options.memory) {
        all.push(("MemorySwapMax", Value::Bytes(swap)));
    }
    let (quota, period) = limits.cpu_time();
    if let Some(quota) = quota {
        all.push(("CPUQuota", Value::Share(share(quota, period))));
    }
    if limits.cpu_period.is_some_and(|period| period != 0) {
        all.push(("CPUQuotaPeriodSec", Value::Micros(period)));
    }
    if let Some(shares) = limits.cpu_shares {
        all.push(("CPUWeight", Value::Number(weight::of_shares(shares))));
    }
    if let Some(list) = &limits.cpuset_cpus {
        all.push(("AllowedCPUs", Value::Set(list.clone())));
    }
    if let Some(list) = &limits.cpuset_mems {
        all.push(("AllowedMemoryNodes", Value::Set(list.clone())));
    }
    all.push(("TasksMax", Value::Max(tasks(limits.pids()))));
    if let Some(blkio) = limits.blkio_weight {
        all.push((
            "IOWeight",
            Value::Number(weight::of_blkio(u64::from(blkio))),
        ));
    }
    let weights = limits.blkio_weight_device.iter().map(|limit| DeviceLimit {
        value: weight::of_blkio(limit.value),
        device: limit.device.clone(),
    });
    let lists = [
        ("IODeviceWeight", weights.collect()),
        ("IOReadBandwidthMax", limits.device_read_bps.clone()),
        ("IOWriteBandwidthMax", limits.device_write_bps.clone()),
        ("IOReadIOPSMax", limits.device_read_iops.clone()),
        ("IOWriteIOPSMax", limits.device_write_iops.clone()),
    ];
    for (key, list) in lists {
        // One assignment for each device: more of them add up, in a file and on the bus alike.
        all.extend(list.into_iter().map(|limit| (key, Value::Device(limit))));
    }
    all
}

/// The properties that differ, as SetUnitProperties takes them; one that is not set any more gets its default again.
pub fn limit_changes(old: &Definition, new: &Definition) -> Vec<(&'static str, BusValue)> {
    let (before, after) = (properties(old), properties(new));
    let of = |all: &[(&'static str, Value)], key: &str| -> Vec<Value> {
        let own = all.iter().filter(|(other, _)| *other == key);
        own.map(|(_, value)| value.clone()).collect()
    };
    let mut keys: Vec<&'static str> = Vec::new();
    for (key, _) in before.iter().chain(&after) {
        if !keys.contains(key) {
            keys.push(key);
        }
    }
    let mut changes = Vec::new();
    for key in keys {
        let (old, new) = (of(&before, key), of(&after, key));
        if old == new {
            continue;
        }
        let property = |value: Value| {
            bus_property(&Property {
                section: Section::Service,
                key,
                value,
            })
        };
        if let Some(Value::Device(_)) = old.first() {
            // Devices add up: those before go first.
            changes.push((key, BusValue::Devices(Vec::new())));
        } else if new.is_empty() {
            let default = match key {
                "MemoryLow" => Value::Bytes(0),
                "AllowedCPUs" | "AllowedMemoryNodes" => Value::Set(String::new()),
                _ => Value::Max(None),
            };
            changes.push(property(default));
        }
        changes.extend(new.into_iter().map(property));
    }
    changes
}

fn tasks(pids: Option<u64>) -> Option<u64> {
    pids.map(|pids| pids.saturating_add(OWN_PIDS))
}

/// Processor time in 1/10000 of one processor, as finely as CPUQuota= takes it, rounded up.
fn share(quota: u64, period: u64) -> u64 {
    quota.saturating_mul(10_000).div_ceil(period)
}

/// Whether a file of the unit's cgroup says something else than the definition, as a drop-in of the administrator makes
/// it; files that no property of ours is behind never do.
pub fn is_overridden(definition: &Definition, file: &str, content: &str) -> bool {
    let options = &definition.options;
    let limits = &options.limits;
    let bytes = |bytes: Option<u64>, none: &str| {
        bytes.map_or(none.to_owned(), |bytes| (bytes / PAGE * PAGE).to_string())
    };
    let has_devices = limits.devices().next().is_some();
    let expected = match file {
        "memory.max" => bytes(options.memory, "max"),
        "memory.high" => "max".to_owned(),
        _ if file.starts_with("hugetlb.") => "max".to_owned(),
        "memory.low" => bytes(limits.memory_reservation, "0"),
        "memory.swap.max" => bytes(limits.swap(options.memory), "max"),
        "cpu.max" => {
            let (quota, period) = limits.cpu_time();
            match quota {
                None => format!("max {period}"),
                Some(quota) => {
                    let quota = share(quota, period).saturating_mul(period) / 10_000;
                    format!("{} {period}", quota.max(1000))
                }
            }
        }
        "cpu.weight" => limits.cpu_shares.map_or(100, weight::of_shares).to_string(),
        "cpuset.cpus" => return !same_set(limits.cpuset_cpus.as_deref(), content),
        "cpuset.mems" => return !same_set(limits.cpuset_mems.as_deref(), content),
        "pids.max" => match tasks(limits.pids()) {
            Some(tasks) => tasks.to_string(),
            None => "max".to_owned(),
        },
        "io.max" if !has_devices => String::new(),
        "io.weight" if !has_devices => {
            let weight = limits
                .blkio_weight
                .map_or(100, |weight| weight::of_blkio(u64::from(weight)));
            format!("default {weight}")
        }
        _ => return false,
    };
    content.trim() != expected
}

fn same_set(wished: Option<&str>, content: &str) -> bool {
    bitmap(wished.unwrap_or_default()) == bitmap(content)
}

/// A list of numbers and ranges as the bitmap that the bus wants, lowest bits first, without empty bytes at its end.
pub(super) fn bitmap(list: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    for part in list.trim().split(',').filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (Ok(from), Ok(to)) = (from.parse::<u16>(), to.parse::<u16>()) else {
            continue;
        };
        for number in from..=to {
            let at = usize::from(number / 8);
            if bytes.len() <= at {
                bytes.resize(at + 1, 0);
            }
            bytes[at] |= 1 << (number % 8);
        }
    }
    bytes
}
