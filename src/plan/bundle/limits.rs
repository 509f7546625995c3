//! Limits of the payload's cgroup.

use std::collections::{BTreeMap, HashMap};

use oci_spec::runtime::{
    Linux, LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources, LinuxThrottleDevice,
    LinuxThrottleDeviceBuilder, LinuxWeightDeviceBuilder,
};

use crate::definition::{Definition, DeviceLimit, LimitOptions};

/// What the plan must know of the payload's cgroup.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LimitFacts {
    /// Controllers that the payload's cgroup can use.
    pub controllers: Vec<String>,
    /// Whether the runtime can load the device rules of a cgroup.
    pub device_rules: bool,
    /// Major and minor number of each device that has a limit.
    pub devices: BTreeMap<String, (i64, i64)>,
    /// Files of the unit's cgroup that say something else than the definition, as a drop-in makes them.
    pub overridden: BTreeMap<String, String>,
}

pub(super) fn plan(
    definition: &Definition,
    facts: &LimitFacts,
    linux: &mut Linux,
    warnings: &mut Vec<String>,
) {
    let mut plan = Plan {
        facts,
        warnings,
        limits: &definition.options.limits,
        memory: definition.options.memory,
    };
    linux.set_resources(Some(plan.resources()));
}

struct Plan<'a> {
    facts: &'a LimitFacts,
    warnings: &'a mut Vec<String>,
    limits: &'a LimitOptions,
    memory: Option<u64>,
}

impl Plan<'_> {
    fn resources(&mut self) -> LinuxResources {
        let mut resources = LinuxResources::default();
        resources
            .set_memory(self.memory())
            .set_cpu(self.cpu())
            .set_pids(self.pids())
            .set_block_io(self.block_io())
            .set_unified(self.unified());
        resources
    }

    fn has(&self, controller: &str) -> bool {
        self.facts.controllers.iter().any(|name| name == controller)
    }

    /// Whether limits can be set with a controller; those that cannot are dropped, as a runtime would fail with them.
    fn usable(&mut self, controller: &str, flags: &[(&str, bool)]) -> bool {
        let mut set = flags.iter().filter(|(_, set)| *set).peekable();
        if set.peek().is_none() {
            return false;
        }
        if self.has(controller) {
            return true;
        }
        for (flag, _) in set {
            let text = format!("{flag}: no {controller} controller here, no limit set");
            self.warnings.push(text);
        }
        false
    }

    fn memory(&mut self) -> Option<LinuxMemory> {
        let (limits, limit) = (self.limits, self.memory);
        let flags = [
            ("--memory", limit.is_some()),
            ("--memory-reservation", limits.memory_reservation.is_some()),
            ("--memory-swap", limits.memory_swap.is_some()),
        ];
        // Runtimes get it as Podman tells them, and leave it out or refuse it: there is no file that it could go to.
        if limits.memory_swappiness.is_some() {
            let text = "--memory-swappiness: cgroup version 2 has no swappiness, none set";
            self.warnings.push(text.to_owned());
        }
        let mut memory = LinuxMemory::default();
        memory.set_swappiness(limits.memory_swappiness);
        if !self.usable("memory", &flags) {
            return limits.memory_swappiness.map(|_| memory);
        }
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        memory
            .set_limit(limit.map(signed))
            .set_reservation(limits.memory_reservation.map(signed))
            .set_swap(limits.memory_and_swap(limit));
        Some(memory)
    }

    fn cpu(&mut self) -> Option<LinuxCpu> {
        let limits = self.limits;
        let period = limits.cpu_period.filter(|period| *period != 0);
        let time = [
            ("--cpus", limits.cpus.is_some()),
            (
                "--cpu-quota",
                limits.cpu_quota.is_some_and(|quota| quota != 0),
            ),
            ("--cpu-period", period.is_some()),
            ("--cpu-shares", limits.cpu_shares.is_some()),
        ];
        let sets = [
            ("--cpuset-cpus", limits.cpuset_cpus.is_some()),
            ("--cpuset-mems", limits.cpuset_mems.is_some()),
        ];
        let (time, sets) = (self.usable("cpu", &time), self.usable("cpuset", &sets));
        if !time && !sets {
            return None;
        }
        let mut cpu = LinuxCpu::default();
        if time {
            let quota = limits.cpus.and_then(|cpus| i64::try_from(cpus).ok());
            cpu.set_shares(limits.cpu_shares)
                .set_quota(quota.or(limits.cpu_quota.filter(|quota| *quota != 0)))
                .set_period(period.or(limits.cpus.map(|_| limits.cpu_time().1)));
        }
        if sets {
            cpu.set_cpus(limits.cpuset_cpus.clone())
                .set_mems(limits.cpuset_mems.clone());
        }
        Some(cpu)
    }

    /// Podman's own limit, that nobody asked for, is dropped in silence.
    fn pids(&mut self) -> Option<LinuxPids> {
        let wished = self.limits.pids_limit.is_some_and(|limit| limit > 0);
        if !self.has("pids") && !self.usable("pids", &[("--pids-limit", wished)]) {
            return None;
        }
        let mut pids = LinuxPids::default();
        pids.set_limit(i64::try_from(self.limits.pids()?).unwrap_or(i64::MAX));
        Some(pids)
    }

    fn block_io(&mut self) -> Option<LinuxBlockIo> {
        let limits = self.limits;
        let flags = [
            ("--blkio-weight", limits.blkio_weight.is_some()),
            (
                "--blkio-weight-device",
                !limits.blkio_weight_device.is_empty(),
            ),
            ("--device-read-bps", !limits.device_read_bps.is_empty()),
            ("--device-read-iops", !limits.device_read_iops.is_empty()),
            ("--device-write-bps", !limits.device_write_bps.is_empty()),
            ("--device-write-iops", !limits.device_write_iops.is_empty()),
        ];
        if !self.usable("io", &flags) {
            return None;
        }
        let mut io = LinuxBlockIo::default();
        io.set_weight(limits.blkio_weight)
            .set_weight_device(self.each(&limits.blkio_weight_device, |numbers, weight| {
                LinuxWeightDeviceBuilder::default()
                    .major(numbers.0)
                    .minor(numbers.1)
                    .weight(weight as u16)
                    .build()
                    .expect("every field that is needed is given")
            }))
            .set_throttle_read_bps_device(self.each(&limits.device_read_bps, throttle))
            .set_throttle_read_iops_device(self.each(&limits.device_read_iops, throttle))
            .set_throttle_write_bps_device(self.each(&limits.device_write_bps, throttle))
            .set_throttle_write_iops_device(self.each(&limits.device_write_iops, throttle));
        Some(io)
    }

    fn each<T>(&self, limits: &[DeviceLimit], make: fn((i64, i64), u64) -> T) -> Option<Vec<T>> {
        let numbers = |limit: &DeviceLimit| self.facts.devices.get(&limit.device).copied();
        let all: Vec<T> = limits
            .iter()
            .filter_map(|limit| Some(make(numbers(limit)?, limit.value)))
            .collect();
        (!all.is_empty()).then_some(all)
    }

    /// What the unit has been given by others holds from the payload's first instruction on; runtimes write this last.
    fn unified(&mut self) -> Option<HashMap<String, String>> {
        let mut all = HashMap::new();
        for (file, value) in &self.facts.overridden {
            let controller = file.split('.').next().unwrap_or_default();
            // Lists of devices take a write each: the monitor does these, as it does what becomes nothing.
            let one = !value.is_empty() && !value.contains('\n') && controller != "io";
            if one && self.has(controller) {
                all.insert(file.clone(), value.clone());
            }
        }
        for (file, value) in &self.limits.cgroup_conf {
            let controller = file.split('.').next().unwrap_or_default();
            if controller == "cgroup" || self.has(controller) {
                all.insert(file.clone(), value.clone());
            } else {
                let text =
                    format!("--cgroup-conf {file}: no {controller} controller here, not written");
                self.warnings.push(text);
            }
        }
        (!all.is_empty()).then_some(all)
    }
}

fn throttle(numbers: (i64, i64), rate: u64) -> LinuxThrottleDevice {
    LinuxThrottleDeviceBuilder::default()
        .major(numbers.0)
        .minor(numbers.1)
        .rate(rate)
        .build()
        .expect("every field is given")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::definition::{Options, options};

    fn planned(flags: &[(&str, &str)], controllers: &[&str]) -> (Value, Vec<String>) {
        let mut wished = Options::default();
        for (flag, value) in flags {
            let spec = options().find(|spec| spec.flag == *flag).unwrap();
            spec.apply(&mut wished, value).unwrap();
        }
        let facts = LimitFacts {
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            device_rules: true,
            devices: [("/dev/sda".to_owned(), (8, 0))].into(),
            overridden: BTreeMap::new(),
        };
        let mut warnings = Vec::new();
        let mut plan = Plan {
            facts: &facts,
            warnings: &mut warnings,
            limits: &wished.limits,
            memory: wished.memory,
        };
        let mut value = serde_json::to_value(plan.resources()).unwrap();
        value.as_object_mut().unwrap().remove("devices");
        (value, warnings)
    }

    const ALL: &[&str] = &["cpuset", "cpu", "io", "memory", "hugetlb", "pids"];

    #[test]
    fn resources_are_as_podman_has_them() {
        for (flags, expected) in [
            (vec![], json!({"pids": {"limit": 2048}})),
            (vec![("pids-limit", "-1")], json!({})),
            (
                vec![("memory", "64m"), ("pids-limit", "7")],
                json!({"memory": {"limit": 67108864, "swap": 134217728}, "pids": {"limit": 7}}),
            ),
            (
                vec![
                    ("memory", "64m"),
                    ("memory-swap", "-1"),
                    ("memory-reservation", "1m"),
                    ("pids-limit", "0"),
                ],
                json!({"memory": {"limit": 67108864, "swap": -1, "reservation": 1048576}}),
            ),
            (
                vec![
                    ("cpus", "1.5"),
                    ("cpu-shares", "512"),
                    ("cpuset-cpus", "0-1"),
                    ("pids-limit", "-1"),
                ],
                json!({"cpu": {"quota": 150000, "period": 100000, "shares": 512, "cpus": "0-1"}}),
            ),
            (
                vec![
                    ("blkio-weight", "50"),
                    ("device-read-bps", "/dev/sda:1m"),
                    ("pids-limit", "-1"),
                    ("blkio-weight-device", "/dev/sda:70"),
                    ("cgroup-conf", "memory.high=5"),
                ],
                json!({"blockIO": {"weight": 50, "weightDevice": [{"major": 8, "minor": 0, "weight": 70}],
                    "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1048576}]},
                    "unified": {"memory.high": "5"}}),
            ),
        ] {
            assert_eq!(planned(&flags, ALL), (expected, vec![]), "{flags:?}");
        }
    }

    #[test]
    fn what_has_no_controller_is_dropped_and_named() {
        let flags = [
            ("memory", "64m"),
            ("cpus", "1"),
            ("cpuset-mems", "0"),
            ("pids-limit", "9"),
            ("blkio-weight", "10"),
            ("cgroup-conf", "pids.max=1"),
        ];
        let (resources, warnings) = planned(&flags, &[]);
        assert_eq!(resources, json!({}));
        let named: Vec<&str> = warnings
            .iter()
            .filter_map(|warning| warning.split([':', ' ']).next())
            .collect();
        let expected = [
            "--memory",
            "--cpus",
            "--cpuset-mems",
            "--pids-limit",
            "--blkio-weight",
            "--cgroup-conf",
        ];
        assert_eq!(named, expected);
        assert_eq!(planned(&[], &[]).1, Vec::<String>::new());
        let (resources, warnings) = planned(&[("memory-swappiness", "10")], &[]);
        assert_eq!(resources, json!({"memory": {"swappiness": 10}}));
        assert!(
            warnings[0].starts_with("--memory-swappiness: "),
            "{warnings:?}"
        );
    }
}
