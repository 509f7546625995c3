//! Limits: properties of the unit, mirrored into the payload's cgroup.

use super::OptionSpec;
use super::parse::{Done, clean, number, shown_one};
use crate::definition::limits::CPU_PERIOD;
use crate::definition::{Cgroups, DeviceLimit, Options};
use crate::types::parse_size;

pub(super) const SPECS: &[OptionSpec] = &[
    OptionSpec::one(
        "blkio-weight",
        "WEIGHT",
        "Relative weight of block I/O, 10 to 1000 (IOWeight=)",
        blkio_weight,
        |options| shown_one(options.limits.blkio_weight.as_ref()),
    ),
    OptionSpec::many(
        "blkio-weight-device",
        "DEVICE:WEIGHT",
        "The same for one device (IODeviceWeight=)",
        |options, value| {
            let device = weighted_device(value)?;
            add(&mut options.limits.blkio_weight_device, device);
            Ok(())
        },
        |options| device_limits(&options.limits.blkio_weight_device),
    ),
    OptionSpec::many(
        "cgroup-conf",
        "FILE=VALUE",
        "Write a value to a file of the payload's cgroup",
        cgroup_conf,
        |options| {
            let conf = options.limits.cgroup_conf.iter();
            conf.map(|(key, value)| format!("{key}={value}")).collect()
        },
    ),
    OptionSpec::one(
        "cgroup-parent",
        "SLICE",
        "Slice that the unit is in (Slice=)",
        cgroup_parent,
        |options| shown_one(options.limits.cgroup_parent.as_ref()),
    ),
    OptionSpec::one(
        "cgroups",
        "enabled|split",
        "Mode of the cgroup: both mean that of the unit",
        cgroups,
        |options| match options.limits.cgroups {
            Cgroups::Enabled => Vec::new(),
            Cgroups::Split => vec!["split".to_owned()],
        },
    )
    .key("CgroupsMode"),
    OptionSpec::one(
        "cpu-period",
        "MICROSECONDS",
        "Period in which --cpu-quota counts (CPUQuotaPeriodSec=)",
        |options, value| {
            let period: u64 = number(value, "not a number of microseconds")?;
            if period != 0 && !(1000..=1_000_000).contains(&period) {
                return Err("1000 to 1000000 microseconds are possible".to_owned());
            }
            options.limits.cpu_period = Some(period);
            Ok(())
        },
        |options| shown_one(options.limits.cpu_period.as_ref()),
    ),
    OptionSpec::one(
        "cpu-quota",
        "MICROSECONDS",
        "Processor time in each period (CPUQuota=)",
        |options, value| {
            let quota: i64 = number(value, "not a number of microseconds")?;
            if (1..1000).contains(&quota) {
                return Err("less than 1000 microseconds are not possible".to_owned());
            }
            options.limits.cpu_quota = Some(quota);
            Ok(())
        },
        |options| shown_one(options.limits.cpu_quota.as_ref()),
    ),
    OptionSpec::one(
        "cpu-shares",
        "SHARES",
        "Relative weight of processor time, 1024 being the usual one (CPUWeight=)",
        cpu_shares,
        |options| shown_one(options.limits.cpu_shares.as_ref()),
    )
    .short('c'),
    OptionSpec::one(
        "cpus",
        "NUMBER",
        "Number of processors, such as 1.5 (CPUQuota=)",
        cpus,
        |options| {
            let whole = options.limits.cpus.map(|cpus| {
                let (whole, rest) = (cpus / CPU_PERIOD, cpus % CPU_PERIOD);
                format!("{whole}.{rest:05}")
            });
            shown_one(whole.as_ref())
        },
    ),
    OptionSpec::one(
        "cpuset-cpus",
        "LIST",
        "Processors to run on, such as 0-3,8 (AllowedCPUs=)",
        |options, value| {
            options.limits.cpuset_cpus = list_of_numbers(value)?;
            Ok(())
        },
        |options| shown_one(options.limits.cpuset_cpus.as_ref()),
    ),
    OptionSpec::one(
        "cpuset-mems",
        "LIST",
        "Memory nodes to use (AllowedMemoryNodes=)",
        |options, value| {
            options.limits.cpuset_mems = list_of_numbers(value)?;
            Ok(())
        },
        |options| shown_one(options.limits.cpuset_mems.as_ref()),
    ),
    OptionSpec::many(
        "device-read-bps",
        "DEVICE:SIZE",
        "Bytes per second that may be read from a device (IOReadBandwidthMax=)",
        |options, value| {
            let limit = device(value, size)?;
            add(&mut options.limits.device_read_bps, limit);
            Ok(())
        },
        |options| device_limits(&options.limits.device_read_bps),
    ),
    OptionSpec::many(
        "device-read-iops",
        "DEVICE:NUMBER",
        "Reads per second from a device (IOReadIOPSMax=)",
        |options, value| {
            let limit = device(value, count)?;
            add(&mut options.limits.device_read_iops, limit);
            Ok(())
        },
        |options| device_limits(&options.limits.device_read_iops),
    ),
    OptionSpec::many(
        "device-write-bps",
        "DEVICE:SIZE",
        "Bytes per second that may be written to a device (IOWriteBandwidthMax=)",
        |options, value| {
            let limit = device(value, size)?;
            add(&mut options.limits.device_write_bps, limit);
            Ok(())
        },
        |options| device_limits(&options.limits.device_write_bps),
    ),
    OptionSpec::many(
        "device-write-iops",
        "DEVICE:NUMBER",
        "Writes per second to a device (IOWriteIOPSMax=)",
        |options, value| {
            let limit = device(value, count)?;
            add(&mut options.limits.device_write_iops, limit);
            Ok(())
        },
        |options| device_limits(&options.limits.device_write_iops),
    ),
    OptionSpec::one(
        "memory",
        "SIZE",
        "Memory limit of the unit (MemoryMax=): a number with b, k, m, g or t",
        |options, value| {
            options.memory = bytes(value)?;
            Ok(())
        },
        |options| shown_one(options.memory.as_ref()),
    )
    .short('m')
    .key("Memory"),
    OptionSpec::one(
        "memory-reservation",
        "SIZE",
        "Memory that is taken last when others need some (MemoryLow=)",
        |options, value| {
            options.limits.memory_reservation = bytes(value)?;
            Ok(())
        },
        |options| shown_one(options.limits.memory_reservation.as_ref()),
    ),
    OptionSpec::one(
        "memory-swap",
        "SIZE",
        "Memory and swap together, -1 for any amount of swap (MemorySwapMax=)",
        memory_swap,
        |options| shown_one(options.limits.memory_swap.as_ref()),
    ),
    OptionSpec::one(
        "memory-swappiness",
        "NUMBER",
        "Told to the runtime only: cgroup version 2 has no such setting",
        |options, value| {
            let wished: i64 = number(value, "not a number")?;
            options.limits.memory_swappiness = u64::try_from(wished).ok();
            Ok(())
        },
        |options| shown_one(options.limits.memory_swappiness.as_ref()),
    ),
    OptionSpec::one(
        "pids-limit",
        "NUMBER",
        "Number of processes, -1 for any (2048, TasksMax=)",
        |options, value| {
            let limit: i64 = number(value, "not a number")?;
            options.limits.pids_limit = Some(limit.max(-1));
            Ok(())
        },
        |options| shown_one(options.limits.pids_limit.as_ref()),
    )
    .key("PidsLimit"),
];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[
    ("blkio-weight", "500"),
    ("blkio-weight-device", "/dev/null:10"),
    ("cgroup-conf", "memory.high=1073741824,pids.max=7"),
    ("cgroup-parent", "web-front.slice"),
    ("cgroups", "split"),
    ("cpu-period", "50000"),
    ("cpu-quota", "-1"),
    ("cpu-shares", "512"),
    ("cpus", "1.5"),
    ("cpus", "0.01"),
    ("cpuset-cpus", "0-3,8"),
    ("cpuset-mems", "0"),
    ("device-read-bps", "/dev/sda:1mb"),
    ("device-read-iops", "/dev/disk/by-id/a:b:100"),
    ("device-write-bps", "/dev/sda:1mb"),
    ("device-write-iops", "/dev/sda:5"),
    ("memory", "64m"),
    ("memory", "0"),
    ("memory-reservation", "32m"),
    ("memory-swap", "-1"),
    ("memory-swap", "128m"),
    ("memory-swappiness", "-1"),
    ("memory-swappiness", "10"),
    ("pids-limit", "-1"),
    ("pids-limit", "0"),
];

fn bytes(value: &str) -> Result<Option<u64>, String> {
    Ok(Some(size(value)?).filter(|bytes| *bytes != 0))
}

fn size(value: &str) -> Result<u64, String> {
    parse_size(value).map_err(|error| error.to_string())
}

fn count(value: &str) -> Result<u64, String> {
    number(value, "not a number")
}

fn memory_swap(options: &mut Options, value: &str) -> Done {
    options.limits.memory_swap = match value {
        "-1" => Some(-1),
        _ => bytes(value)?.and_then(|bytes| i64::try_from(bytes).ok()),
    };
    Ok(())
}

fn cpu_shares(options: &mut Options, value: &str) -> Done {
    let shares: u64 = number(value, "not a number")?;
    options.limits.cpu_shares = Some(shares).filter(|shares| *shares != 0);
    Ok(())
}

fn cpus(options: &mut Options, value: &str) -> Done {
    let number: f64 = number(value, "not a number")?;
    let time = (number * CPU_PERIOD as f64).trunc();
    if !(0.0..1e12).contains(&time) || number < 0.0 {
        return Err("not a number of processors".to_owned());
    }
    if time != 0.0 && time < 1000.0 {
        return Err("less than 0.01 is not possible".to_owned());
    }
    options.limits.cpus = Some(time as u64).filter(|time| *time != 0);
    Ok(())
}

/// The list format of cpuset(7): numbers and ranges; an empty one is no limit. Large numbers would make large bitmaps.
fn list_of_numbers(value: &str) -> Result<Option<String>, String> {
    let small = |text: &str| text.parse::<u16>().ok().filter(|number| *number < 8192);
    let good = |part: &str| match part.split_once('-') {
        None => small(part).is_some(),
        Some((from, to)) => {
            small(from).is_some() && small(to).is_some_and(|to| Some(to) >= small(from))
        }
    };
    if value.is_empty() {
        Ok(None)
    } else if value.split(',').all(good) {
        Ok(Some(value.to_owned()))
    } else {
        Err("not a list of numbers and ranges such as 0-3,8".to_owned())
    }
}

fn blkio_weight(options: &mut Options, value: &str) -> Done {
    let value = weight(value)?;
    options.limits.blkio_weight = u16::try_from(value).ok().filter(|weight| *weight != 0);
    Ok(())
}

fn weight(value: &str) -> Result<u64, String> {
    match number(value, "not a number")? {
        weight @ (0 | 10..=1000) => Ok(weight),
        _ => Err("a weight is 10 to 1000".to_owned()),
    }
}

fn weighted_device(value: &str) -> Result<DeviceLimit, String> {
    device(value, weight)
}

/// `DEVICE:VALUE`; the device's name lands in the unit, where systemd would unquote and expand it.
fn device(value: &str, read: fn(&str) -> Result<u64, String>) -> Result<DeviceLimit, String> {
    let (device, value) = value.rsplit_once(':').ok_or("not DEVICE:VALUE")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/_-.:+@#=,".contains(&b);
    if !device.starts_with("/dev/") || !device.bytes().all(plain) {
        return Err("a device is a plain path below /dev".to_owned());
    }
    Ok(DeviceLimit {
        device: device.to_owned(),
        value: read(value)?,
    })
}

/// A later limit of a device replaces an earlier one.
fn add(limits: &mut Vec<DeviceLimit>, limit: DeviceLimit) {
    limits.retain(|other| other.device != limit.device);
    limits.push(limit);
}

fn device_limits(limits: &[DeviceLimit]) -> Vec<String> {
    let shown = |limit: &DeviceLimit| format!("{}:{}", limit.device, limit.value);
    limits.iter().map(shown).collect()
}

/// Files of cgroup.* that are no limits but act on processes.
const ACTING: &[&str] = &[
    "cgroup.freeze",
    "cgroup.kill",
    "cgroup.procs",
    "cgroup.subtree_control",
    "cgroup.threads",
    "cgroup.type",
];

fn cgroup_conf(options: &mut Options, value: &str) -> Done {
    for pair in value.split(',') {
        let (file, value) = pair.split_once('=').ok_or("not FILE=VALUE")?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_');
        if !file.contains('.') || file.starts_with('.') || !file.bytes().all(plain) {
            return Err("not the name of a file of a cgroup, such as memory.high".to_owned());
        }
        if ACTING.contains(&file) {
            return Err(format!("{file} is no limit"));
        }
        options
            .limits
            .cgroup_conf
            .insert(file.to_owned(), clean(value)?);
    }
    Ok(())
}

/// systemd.slice(5): dashes are levels, so that none may be empty.
fn cgroup_parent(options: &mut Options, value: &str) -> Done {
    let stem = value
        .strip_suffix(".slice")
        .ok_or("not the name of a slice, such as web.slice")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b":_.-".contains(&b);
    let levels = stem == "-" || stem.split('-').all(|level| !level.is_empty());
    if !levels || value.len() > 255 || !stem.bytes().all(plain) {
        return Err("not the name of a slice, such as web.slice".to_owned());
    }
    options.limits.cgroup_parent = Some(value.to_owned());
    Ok(())
}

fn cgroups(options: &mut Options, value: &str) -> Done {
    options.limits.cgroups = match value {
        "enabled" => Cgroups::Enabled,
        "split" => Cgroups::Split,
        "disabled" => return Err("a unit has a cgroup in any case".to_owned()),
        "no-conmon" => return Err("there is no conmon: the monitor is in the unit".to_owned()),
        _ => return Err("known modes are enabled and split".to_owned()),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_no_limit_sets_none() {
        for (flag, value) in [
            ("cpus", "0"),
            ("cpuset-cpus", ""),
            ("cpuset-mems", ""),
            ("memory", "0"),
            ("cpu-shares", "0"),
            ("blkio-weight", "0"),
        ] {
            let spec = SPECS.iter().find(|spec| spec.flag == flag).unwrap();
            let mut options = Options::default();
            spec.apply(&mut options, value).unwrap();
            assert_eq!(options, Options::default(), "--{flag} {value:?}");
        }
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for (flag, value) in [
            ("blkio-weight", "9"),
            ("blkio-weight-device", "/dev/sda:1001"),
            ("blkio-weight-device", "/dev/sda"),
            ("device-read-bps", "/etc/passwd:1m"),
            ("device-read-bps", "/dev/a b:1m"),
            ("device-write-iops", "/dev/%i:1"),
            ("cgroup-conf", "memory.high"),
            ("cgroup-conf", "../memory.high=1"),
            ("cgroup-conf", "cgroup.procs=1"),
            ("cgroup-conf", "memory.high=1\n2"),
            ("cgroup-parent", "/machine"),
            ("cgroup-parent", "a--b.slice"),
            ("cgroup-parent", "a b.slice"),
            ("cgroups", "disabled"),
            ("cgroups", "no-conmon"),
            ("cpu-period", "999"),
            ("cpu-quota", "1"),
            ("cpu-shares", "-1"),
            ("cpus", "-1"),
            ("cpus", "0.001"),
            ("cpus", "nan"),
            ("cpuset-cpus", "1-"),
            ("cpuset-cpus", "3-1"),
            ("cpuset-mems", ","),
            ("memory-swap", "-2"),
            ("memory-swappiness", "some"),
            ("pids-limit", "many"),
        ] {
            let spec = SPECS.iter().find(|spec| spec.flag == flag).unwrap();
            let refused = spec.apply(&mut Options::default(), value);
            assert!(refused.is_err(), "--{flag} {value}");
        }
    }
}
