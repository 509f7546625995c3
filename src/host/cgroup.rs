//! The unit's cgroup and the payload's below it (cgroups(7), version 2).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::unistd::{getpid, getppid};

use super::gone_is_good;
use crate::sys::paths;
use crate::sys::process::Pidfd;
use crate::sys::time::boottime;
use crate::types::UnitName;

/// Where the cgroup hierarchy is mounted.
pub const MOUNT: &str = "/sys/fs/cgroup";
/// `f_type` of a version 2 hierarchy (statfs(2), CGROUP2_SUPER_MAGIC).
const CGROUP2_MAGIC: u32 = 0x6367_7270;
/// The monitor's own group below the unit's (DelegateSubgroup=, systemd.resource-control(5)).
const MONITOR: &str = "monitor";
/// The payload's group below the unit's.
const PAYLOAD: &str = "payload";
/// That of health checks below the payload's.
pub const PROBE: &str = "unitbox-probe";
/// Longest time between SIGKILL and the end of the last process of a group.
const DEATH_TIME: Duration = Duration::from_secs(5);

/// Why cgroups cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// Version 1 or no cgroups at all.
    #[error("cgroup version 2 is needed at {MOUNT}, which is not mounted or of version 1")]
    NotUnified,
    /// A file of the hierarchy could not be read or written.
    #[error("cgroup {path}", path = path.display())]
    Access {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Refuses a host without the unified hierarchy.
///
/// # Errors
/// [`CgroupError::NotUnified`].
pub fn check_unified() -> Result<(), CgroupError> {
    let mount = fs::File::open(MOUNT).map_err(|_| CgroupError::NotUnified)?;
    match paths::filesystem(&mount) {
        Ok(CGROUP2_MAGIC) => Ok(()),
        _ => Err(CgroupError::NotUnified),
    }
}

/// That of this process, from the root of the hierarchy.
fn own_group() -> Result<String, CgroupError> {
    let path = PathBuf::from("/proc/self/cgroup");
    let text = fs::read_to_string(&path).map_err(|source| CgroupError::Access { path, source })?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::"));
    own.map(str::to_owned).ok_or(CgroupError::NotUnified)
}

/// The cgroups of one run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitCgroup {
    /// The unit's group from the root of the hierarchy, such as `/system.slice/unitbox-web.service`.
    unit: String,
}

impl UnitCgroup {
    /// The unit's group from the root of the hierarchy.
    pub fn new(unit: impl Into<String>) -> Self {
        Self { unit: unit.into() }
    }

    /// The group of a unit as systemd tells it (ControlGroup); where it tells none there is none, or one that it has
    /// forgotten in its usual place.
    pub fn of(control_group: &str, unit: &UnitName) -> Self {
        match control_group.trim_end_matches('/') {
            "" => Self::new(format!("/system.slice/{unit}")),
            group => Self::new(group),
        }
    }

    /// Finds the unit of this process and moves it into the `monitor` group if systemd has not (before version 254).
    ///
    /// # Errors
    /// No unified hierarchy, or the group cannot be made.
    pub fn enter() -> Result<Self, CgroupError> {
        check_unified()?;
        let own = own_group()?;
        if let Some(unit) = own.strip_suffix("/monitor") {
            return Ok(Self::new(unit));
        }
        let cgroup = Self::new(own.trim_end_matches('/'));
        let group = cgroup.path(MONITOR);
        let access = |source| CgroupError::Access {
            path: group.clone(),
            source,
        };
        match fs::create_dir(&group) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(access(error));
            }
            _ => {}
        }
        fs::write(group.join("cgroup.procs"), "0").map_err(access)?;
        Ok(cgroup)
    }

    /// The unit of this process, which systemd has started beside its main process (`.control`, as for ExecReload=).
    ///
    /// # Errors
    /// No unified hierarchy.
    pub fn of_control() -> Result<Self, CgroupError> {
        check_unified()?;
        let own = own_group()?;
        Ok(Self::new(own.strip_suffix("/.control").unwrap_or(&own)))
    }

    /// The unit's name: that of its group.
    pub fn name(&self) -> &str {
        self.unit.rsplit('/').next().unwrap_or_default()
    }

    /// The payload's group from the root of the hierarchy, as config.json wants it.
    pub fn payload(&self) -> String {
        format!("{}/{PAYLOAD}", self.unit)
    }

    /// The payload's group in the file system.
    pub fn payload_path(&self) -> PathBuf {
        self.path(PAYLOAD)
    }

    /// The group of health checks below the payload's.
    pub fn probe_path(&self) -> PathBuf {
        self.payload_path().join(PROBE)
    }

    /// Whether the payload is frozen, whoever did it.
    pub fn is_frozen(&self) -> bool {
        let events = fs::read_to_string(self.payload_path().join("cgroup.events"));
        events.is_ok_and(|text| text.lines().any(|line| line == "frozen 1"))
    }

    /// The monitor's own group in the file system.
    pub fn monitor_path(&self) -> PathBuf {
        self.path(MONITOR)
    }

    /// A file of the unit's own group.
    pub fn unit_file(&self, name: &str) -> PathBuf {
        self.path(name)
    }

    fn path(&self, child: &str) -> PathBuf {
        Path::new(MOUNT)
            .join(self.unit.trim_start_matches('/'))
            .join(child)
    }

    /// Controllers that the unit may hand to the payload.
    pub fn controllers(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("cgroup.controllers")).unwrap_or_default();
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// Kills every process of the payload, also a frozen one (cgroup.kill); gone is good.
    ///
    /// # Errors
    /// The group is there and cannot be killed.
    pub fn kill_payload(&self) -> io::Result<()> {
        kill(&self.payload_path())
    }

    /// Thaws the payload.
    ///
    /// # Errors
    /// The group is there and cannot be thawed.
    pub fn thaw_payload(&self) -> io::Result<()> {
        gone_is_good(fs::write(self.payload_path().join("cgroup.freeze"), "0"))
    }

    /// How much of the processors monitor and workers have taken so far, microseconds (cpu.stat).
    pub fn spent(&self) -> u64 {
        let stat = fs::read_to_string(self.monitor_path().join("cpu.stat")).unwrap_or_default();
        let usage = stat
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "));
        usage
            .and_then(|usage| usage.trim().parse().ok())
            .unwrap_or(0)
    }

    /// Whether the OOM killer hit this run: the unit's group and its counter live as long as the run.
    pub fn oom_killed(&self) -> bool {
        let events = fs::read_to_string(self.path("memory.events")).unwrap_or_default();
        let count = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        count.is_some_and(|count| count.trim() != "0")
    }
}

/// Kills every process of a group and of those below it, also frozen ones (cgroup.kill); gone is good.
///
/// # Errors
/// The group is there and cannot be killed.
pub fn kill(group: &Path) -> io::Result<()> {
    gone_is_good(fs::write(group.join("cgroup.kill"), "1"))
}

/// Kills every process of our own group but this one and its parent, and waits until they are dead. To a worker those are
/// what a killed runtime left running: it would write into what is being cleaned. Of another group nothing is killed: its
/// unit is over, so systemd has killed what was left (KillMode=mixed, systemd.kill(5)), and whoever is there now is the
/// monitor of the next run.
///
/// # Errors
/// The group's processes cannot be listed, or live on after [`DEATH_TIME`].
pub fn kill_strays(group: &Path) -> io::Result<()> {
    let family = family();
    let deadline = boottime() + DEATH_TIME;
    loop {
        let text = match fs::read_to_string(group.join("cgroup.procs")) {
            Err(error) => return gone_is_good(Err(error)),
            Ok(text) => text,
        };
        let pids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        // 0 is a process of another PID namespace.
        let is_stray = |pid: &i32| *pid != 0 && !family.contains(pid);
        let strays: Vec<i32> = pids.iter().copied().filter(is_stray).collect();
        if strays.is_empty() || !pids.contains(&family[0]) {
            return Ok(());
        }
        if boottime() >= deadline {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        for pid in strays {
            // One that has just ended is what was wanted.
            let _ = Pidfd::open(pid).and_then(|pidfd| pidfd.send_signal(nix::libc::SIGKILL));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// This process and those that it works for, itself first: a program that a worker runs must not end its monitor.
fn family() -> Vec<i32> {
    let mut family = vec![getpid().as_raw(), getppid().as_raw()];
    while let Some(parent) = family.last().copied().and_then(parent) {
        family.push(parent);
    }
    family
}

/// The parent of a process (proc_pid_status(5)); none of the first one.
fn parent(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent = text.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    parent.trim().parse().ok().filter(|parent| *parent != 0)
}

/// Removes a group and those below it, which the payload may have made; gone is good. A process that was killed holds
/// its group until it is dead (cgroups(7)), which is waited for.
///
/// # Errors
/// A group that cannot be removed, or is still busy after [`DEATH_TIME`].
pub fn remove(group: &Path) -> io::Result<()> {
    let deadline = boottime() + DEATH_TIME;
    loop {
        match remove_once(group) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && boottime() < deadline => {
                thread::sleep(Duration::from_millis(2));
            }
            other => return other,
        }
    }
}

fn remove_once(group: &Path) -> io::Result<()> {
    match gone_is_good(fs::remove_dir(group)) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
        other => return other,
    }
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_once(&entry.path())?;
        }
    }
    gone_is_good(fs::remove_dir(group))
}
