//! Limits on what a container may use.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::DefinitionError;

/// Podman's limit of processes for who sets none (containers.conf(5), `pids_limit`).
const PIDS: u64 = 2048;
/// Length in microseconds of the period in which `--cpus` counts.
pub(super) const CPU_PERIOD: u64 = 100_000;

/// How the container's cgroup comes to be (podman-run(1), `--cgroups`); both mean the unit's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cgroups {
    /// As Podman has it by default.
    #[default]
    Enabled,
    /// Monitor and payload apart below the unit's group, which is so in any case.
    Split,
}

/// A limit of one device of the host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceLimit {
    /// Its node below /dev.
    pub device: String,
    /// Weight, bytes per second, or operations per second.
    pub value: u64,
}

/// Limits other than memory.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitOptions {
    /// Memory, bytes, that is taken last when others need some.
    pub memory_reservation: Option<u64>,
    /// Memory and swap together, bytes; -1: any amount of swap. None: twice the memory.
    pub memory_swap: Option<i64>,
    /// How soon the kernel swaps, 0 to 100; only cgroup version 1 has it.
    pub memory_swappiness: Option<u64>,
    /// Processors, in 1/100000 of one (`--cpus`).
    pub cpus: Option<u64>,
    /// Microseconds of processor time in each period; negative: any.
    pub cpu_quota: Option<i64>,
    /// The period, microseconds.
    pub cpu_period: Option<u64>,
    /// Relative weight, 2 to 262144, 1024 being the usual one.
    pub cpu_shares: Option<u64>,
    /// Processors to run on, such as `0-3,8`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes to use.
    pub cpuset_mems: Option<String>,
    /// Processes; -1: any number. None: 2048.
    pub pids_limit: Option<i64>,
    /// Relative weight, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// The same by device.
    pub blkio_weight_device: Vec<DeviceLimit>,
    /// Bytes read per second.
    pub device_read_bps: Vec<DeviceLimit>,
    /// Reads per second.
    pub device_read_iops: Vec<DeviceLimit>,
    /// Bytes written per second.
    pub device_write_bps: Vec<DeviceLimit>,
    /// Writes per second.
    pub device_write_iops: Vec<DeviceLimit>,
    /// Files of the payload's cgroup and what is written to them.
    pub cgroup_conf: BTreeMap<String, String>,
    /// The slice that the unit is in.
    pub cgroup_parent: Option<String>,
    /// Mode of the cgroup.
    pub cgroups: Cgroups,
}

impl LimitOptions {
    /// Highest number of processes in the container; none: any number.
    pub fn pids(&self) -> Option<u64> {
        match self.pids_limit {
            None => Some(PIDS),
            Some(limit) => u64::try_from(limit).ok().filter(|limit| *limit != 0),
        }
    }

    /// Microseconds of processor time and the period they count in; a time of none: any.
    pub fn cpu_time(&self) -> (Option<u64>, u64) {
        let quota = self.cpu_quota.and_then(|quota| u64::try_from(quota).ok());
        let period = self.cpu_period.filter(|period| *period != 0);
        let quota = self.cpus.or(quota.filter(|quota| *quota != 0));
        (quota, period.unwrap_or(CPU_PERIOD))
    }

    /// Memory and swap together, bytes, as the OCI configuration has it: -1 for any, none if nothing is said of it.
    pub fn memory_and_swap(&self, memory: Option<u64>) -> Option<i64> {
        let twice = |memory: u64| i64::try_from(memory.saturating_mul(2)).unwrap_or(i64::MAX);
        self.memory_swap.or(memory.map(twice))
    }

    /// Swap alone, bytes; none: any amount.
    pub fn swap(&self, memory: Option<u64>) -> Option<u64> {
        let both = u64::try_from(self.memory_and_swap(memory)?).ok()?;
        Some(both.saturating_sub(memory?))
    }

    /// Every device that has a limit.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        let all = [
            &self.blkio_weight_device,
            &self.device_read_bps,
            &self.device_read_iops,
            &self.device_write_bps,
            &self.device_write_iops,
        ];
        all.into_iter().flatten().map(|limit| limit.device.as_str())
    }

    /// Checks what single options cannot see.
    ///
    /// # Errors
    /// Two options that exclude each other.
    pub(super) fn check(&self, memory: Option<u64>) -> Result<(), DefinitionError> {
        if self.cpus.is_some() && self.cpu_quota.is_some() {
            return Err(DefinitionError::Conflict("--cpus", "--cpu-quota"));
        }
        if self.cpus.is_some() && self.cpu_period.is_some() {
            return Err(DefinitionError::Conflict("--cpus", "--cpu-period"));
        }
        match (self.memory_swap, memory) {
            (Some(1..), None) => Err(DefinitionError::Needs("--memory-swap", "--memory")),
            (Some(swap @ 1..), Some(memory)) if swap.unsigned_abs() < memory => {
                Err(DefinitionError::SwapBelowMemory)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_is_what_is_left_of_both() {
        let with = |memory_swap| LimitOptions {
            memory_swap,
            ..LimitOptions::default()
        };
        for (both, memory, config, swap) in [
            (None, None, None, None),
            (None, Some(100), Some(200), Some(100)),
            (Some(100), Some(100), Some(100), Some(0)),
            (Some(150), Some(100), Some(150), Some(50)),
            (Some(-1), Some(100), Some(-1), None),
        ] {
            let limits = with(both);
            assert_eq!(limits.memory_and_swap(memory), config);
            assert_eq!(limits.swap(memory), swap);
            assert_eq!(limits.check(memory), Ok(()));
        }
        assert!(with(Some(99)).check(Some(100)).is_err());
        assert!(with(Some(99)).check(None).is_err());
    }

    #[test]
    fn processors_and_processes_have_their_defaults() {
        let mut limits = LimitOptions::default();
        assert_eq!(
            (limits.pids(), limits.cpu_time()),
            (Some(2048), (None, CPU_PERIOD))
        );
        limits.pids_limit = Some(-1);
        limits.cpus = Some(150_000);
        assert_eq!(
            (limits.pids(), limits.cpu_time()),
            (None, (Some(150_000), CPU_PERIOD))
        );
        limits.cpu_quota = Some(5);
        assert!(limits.check(None).is_err());
    }
}
