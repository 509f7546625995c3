//! What the host has to keep a payload apart.

use std::fs;
use std::path::Path;

use oci_spec::runtime::Capability;

use super::Ground;
use super::error::{PrepareError, effect};
use super::{cdi, devices, seccomp};
use crate::container::apparmor;
use crate::host::world::World;
use crate::plan::bundle::IsolationFacts;

pub(super) fn facts(
    ground: &Ground,
    world: &mut dyn World,
) -> Result<IsolationFacts, PrepareError> {
    Ok(IsolationFacts {
        host_capabilities: host_capabilities()?,
        devices: devices::nodes(ground)?,
        cdi: cdi::edits(&ground.definition.options.isolation.devices, ground.conf)?,
        hostname: nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        seccomp: seccomp::profile(ground)?,
        labels: ground.labels.cloned(),
        apparmor: apparmor::prepare(
            ground.definition,
            ground.conf,
            ground.run.layout.root(),
            world,
        )?,
        mapping: ground.mapping.cloned(),
        kernel: kernel(),
    })
}

/// The first two numbers of the kernel's release (uname(2)).
fn kernel() -> (u32, u32) {
    let name = nix::sys::utsname::uname().ok();
    let release = name.map(|name| name.release().to_string_lossy().into_owned());
    let release = release.unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || {
        numbers
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    };
    (next(), next())
}

/// Our own bounding set (proc_pid_status(5)).
pub(in crate::container) fn host_capabilities() -> Result<Vec<Capability>, PrepareError> {
    let path = Path::new("/proc/self/status");
    let status = effect("read", path, fs::read_to_string(path))?;
    let hex = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let set = hex.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    let set = set.unwrap_or_default();
    let numbered = BY_NUMBER.iter().enumerate();
    let held = numbered.filter(|(number, _)| set & (1 << number) != 0);
    Ok(held.map(|(_, capability)| *capability).collect())
}

/// The bits of capabilities.
pub(in crate::container) fn bits(set: &[Capability]) -> Option<u64> {
    let number = |one| BY_NUMBER.iter().position(|own| own == one);
    set.iter()
        .try_fold(0, |bits, one| Some(bits | 1 << number(one)?))
}

/// By the number of their bit (include/uapi/linux/capability.h).
const BY_NUMBER: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];
