//! `HostConfig`: what depends on the host.

use oci_spec::runtime::PosixRlimitType;

use super::{config, container, mounts};
use crate::api::Layout;
use crate::cli::table;
use crate::cli::template::Value;
use crate::container::logs::{LogPlace, place};
use crate::container::observe::Observation;
use crate::container::sketch::Sketch;
use crate::definition::{CapabilityWish, Definition, Device, DeviceLimit, Namespace, Seccomp};

/// Podman's default size of /dev/shm, bytes.
const SHM: u64 = 65_536_000;

pub(super) fn describe(
    layout: &Layout,
    definition: &Definition,
    seen: &Observation,
    sketch: &Sketch,
) -> Value {
    let options = &definition.options;
    let mut fields = general(layout, definition, seen, sketch);
    fields.extend(isolation(definition));
    fields.extend([
        ("ShmSize", options.files.shm_size.unwrap_or(SHM).into()),
        ("Runtime", "oci".into()),
        ("ConsoleSize", Value::list([0, 0])),
        ("Isolation", "".into()),
    ]);
    fields.extend(limits(definition));
    fields.extend([
        ("Ulimits", ulimits(definition, sketch)),
        ("CpuCount", 0.into()),
        ("CpuPercent", 0.into()),
        ("IOMaximumIOps", 0.into()),
        ("IOMaximumBandwidth", 0.into()),
        (
            "CgroupConf",
            match options.limits.cgroup_conf.is_empty() {
                true => Value::Null,
                false => Value::map(&options.limits.cgroup_conf),
            },
        ),
    ]);
    Value::fields("*define.InspectContainerHostConfig", fields)
}

/// What is not a matter of isolation.
fn general(
    layout: &Layout,
    definition: &Definition,
    seen: &Observation,
    sketch: &Sketch,
) -> Vec<(&'static str, Value)> {
    let options = &definition.options;
    let restarts = definition.restarts(seen.restart);
    let cgroup = options.isolation.cgroup.as_ref();
    let cgroup = cgroup.map_or_else(|| "private".to_owned(), Namespace::to_string);
    vec![
        ("Binds", mounts::binds(definition)),
        ("CgroupManager", "systemd".into()),
        ("CgroupMode", cgroup.into()),
        ("ContainerIDFile", "".into()),
        ("LogConfig", log(layout, definition)),
        ("NetworkMode", options.network.to_string().into()),
        ("PortBindings", Value::Map(Default::default())),
        (
            "RestartPolicy",
            Value::fields(
                "*define.InspectRestartPolicy",
                vec![
                    ("Name", restarts.name().into()),
                    ("MaximumRetryCount", restarts.retries().into()),
                ],
            ),
        ),
        ("AutoRemove", options.remove.into()),
        ("AutoRemoveImage", options.remove_image.into()),
        ("Annotations", config::annotations(definition, sketch)),
        ("VolumeDriver", "".into()),
        ("VolumesFrom", or_null(&options.files.volumes_from)),
    ]
}

/// What keeps the payload apart, and what it gets from outside.
fn isolation(definition: &Definition) -> Vec<(&'static str, Value)> {
    let options = &definition.options;
    let isolation = &options.isolation;
    let mode = |own: &Option<Namespace>, default: &str| {
        own.as_ref()
            .map_or_else(|| default.to_owned(), Namespace::to_string)
    };
    let mut fields = vec![
        ("CapAdd", wish(&isolation.cap_add)),
        ("CapDrop", wish(&isolation.cap_drop)),
        (
            "Dns",
            Value::list(options.etc.dns.iter().map(ToString::to_string)),
        ),
        ("DnsOptions", Value::list(&options.etc.dns_options)),
        ("DnsSearch", Value::list(&options.etc.dns_search)),
        (
            "ExtraHosts",
            Value::list(options.etc.hosts.iter().map(ToString::to_string)),
        ),
        (
            "HostsFile",
            options.etc.hosts_file.clone().unwrap_or_default().into(),
        ),
        ("GroupAdd", Value::list(&options.process.groups)),
        ("IpcMode", mode(&isolation.ipc, "shareable").into()),
        ("Cgroup", "".into()),
        ("Cgroups", "default".into()),
        ("Links", Value::Null),
        (
            "OomScoreAdj",
            options.process.oom_score_adj.unwrap_or(0).into(),
        ),
        ("PidMode", mode(&isolation.pid, "private").into()),
        ("Privileged", isolation.privileged.into()),
        ("PublishAllPorts", false.into()),
        ("ReadonlyRootfs", options.files.read_only.into()),
        ("SecurityOpt", security(definition)),
        ("Tmpfs", mounts::tmpfs(definition)),
        ("UTSMode", mode(&isolation.uts, "private").into()),
        (
            "UsernsMode",
            isolation
                .user
                .mode
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default()
                .into(),
        ),
    ];
    let mappings = &isolation.user;
    if mappings.has_mapping() {
        let of = |ranges: &[crate::definition::IdRange]| {
            Value::list(ranges.iter().map(ToString::to_string))
        };
        fields.push((
            "IDMappings",
            Value::fields(
                "*define.InspectIDMappings",
                vec![
                    ("UidMap", of(&mappings.uids)),
                    ("GidMap", of(&mappings.gids)),
                ],
            ),
        ));
    }
    fields
}

fn or_null(words: &[String]) -> Value {
    match words.is_empty() {
        true => Value::Null,
        false => Value::list(words),
    }
}

fn wish(wish: &CapabilityWish) -> Value {
    let all = wish.all.then(|| "all".to_owned());
    let named = wish.named.iter().map(container::capability);
    Value::list(all.into_iter().chain(named))
}

fn log(layout: &Layout, definition: &Definition) -> Value {
    let options = &definition.options;
    let path = match place(layout, definition) {
        Ok(LogPlace::File(path)) => path.display().to_string(),
        Ok(LogPlace::Journal(_)) | Err(_) => String::new(),
    };
    Value::fields(
        "*define.InspectLogConfig",
        vec![
            ("Type", options.log_driver.name().into()),
            ("Config", Value::Null),
            ("Path", path.into()),
            ("Tag", options.log.tag.clone().unwrap_or_default().into()),
            (
                "Size",
                table::size(options.log.max_size.unwrap_or(0), "").into(),
            ),
        ],
    )
}

fn security(definition: &Definition) -> Value {
    let isolation = &definition.options.isolation;
    let mut words = Vec::new();
    if isolation.no_new_privileges {
        words.push("no-new-privileges".to_owned());
    }
    match &isolation.seccomp {
        Some(Seccomp::Unconfined) => words.push("seccomp=unconfined".to_owned()),
        Some(Seccomp::File(path)) => words.push(format!("seccomp={path}")),
        None => {}
    }
    let profile = isolation.apparmor.iter();
    words.extend(profile.map(|name| format!("apparmor={name}")));
    words.extend(isolation.label.iter().map(|text| format!("label={text}")));
    Value::list(words)
}

fn limits(definition: &Definition) -> Vec<(&'static str, Value)> {
    let options = &definition.options;
    let limits = &options.limits;
    let (quota, period) = limits.cpu_time();
    let nano = limits.cpus.map_or(0, |cpus| cpus * 10_000);
    let period = match (quota, limits.cpu_period) {
        (Some(_), _) => period,
        (None, own) => own.unwrap_or(0),
    };
    let devices = options.isolation.devices.iter();
    vec![
        ("CpuShares", limits.cpu_shares.unwrap_or(0).into()),
        ("Memory", options.memory.unwrap_or(0).into()),
        ("NanoCpus", nano.into()),
        (
            "CgroupParent",
            limits.cgroup_parent.clone().unwrap_or_default().into(),
        ),
        (
            "BlkioWeight",
            u32::from(limits.blkio_weight.unwrap_or(0)).into(),
        ),
        (
            "BlkioWeightDevice",
            by_device(&limits.blkio_weight_device, "Weight"),
        ),
        (
            "BlkioDeviceReadBps",
            by_device(&limits.device_read_bps, "Rate"),
        ),
        (
            "BlkioDeviceWriteBps",
            by_device(&limits.device_write_bps, "Rate"),
        ),
        (
            "BlkioDeviceReadIOps",
            by_device(&limits.device_read_iops, "Rate"),
        ),
        (
            "BlkioDeviceWriteIOps",
            by_device(&limits.device_write_iops, "Rate"),
        ),
        ("CpuPeriod", period.into()),
        ("CpuQuota", quota.unwrap_or(0).into()),
        ("CpuRealtimePeriod", 0.into()),
        ("CpuRealtimeRuntime", 0.into()),
        (
            "CpusetCpus",
            limits.cpuset_cpus.clone().unwrap_or_default().into(),
        ),
        (
            "CpusetMems",
            limits.cpuset_mems.clone().unwrap_or_default().into(),
        ),
        ("Devices", Value::List(devices.filter_map(device).collect())),
        ("DiskQuota", 0.into()),
        ("KernelMemory", 0.into()),
        (
            "MemoryReservation",
            limits.memory_reservation.unwrap_or(0).into(),
        ),
        (
            "MemorySwap",
            limits.memory_and_swap(options.memory).unwrap_or(0).into(),
        ),
        (
            "MemorySwappiness",
            limits.memory_swappiness.unwrap_or(0).into(),
        ),
        ("OomKillDisable", options.process.oom_kill_disable.into()),
        (
            "PidsLimit",
            limits.pids().map_or(Value::Int(0), Value::from),
        ),
    ]
}

fn by_device(limits: &[DeviceLimit], value: &'static str) -> Value {
    if limits.is_empty() {
        return Value::Null;
    }
    let one = |limit: &DeviceLimit| {
        Value::fields(
            "define.InspectBlkioDevice",
            vec![
                ("Path", limit.device.as_str().into()),
                (value, limit.value.into()),
            ],
        )
    };
    Value::List(limits.iter().map(one).collect())
}

fn device(device: &Device) -> Option<Value> {
    let text = device.to_string();
    let mut parts = text.split(':');
    let host = parts.next().filter(|path| path.starts_with('/'))?;
    let inside = parts
        .next()
        .filter(|path| path.starts_with('/'))
        .unwrap_or(host);
    Some(Value::fields(
        "define.InspectDevice",
        vec![
            ("PathOnHost", host.into()),
            ("PathInContainer", inside.into()),
            ("CgroupPermissions", "".into()),
        ],
    ))
}

/// What holds in the run, or what the user asked for.
fn ulimits(definition: &Definition, sketch: &Sketch) -> Value {
    let one = |name: String, soft: u64, hard: u64| {
        // Without bounds is -1, as Podman has it.
        let number = |value: u64| i64::try_from(value).unwrap_or(-1);
        Value::fields(
            "define.InspectUlimit",
            vec![
                ("Name", name.into()),
                ("Soft", number(soft).into()),
                ("Hard", number(hard).into()),
            ],
        )
    };
    let process = sketch.spec.as_ref().filter(|_| sketch.is_real);
    let process = process.and_then(|spec| spec.process().as_ref());
    let real = process.and_then(|process| process.rlimits().as_ref());
    let all = match real {
        Some(real) => real
            .iter()
            .map(|limit| one(rlimit(limit.typ()), limit.soft(), limit.hard()))
            .collect(),
        None => {
            let all = definition.options.process.ulimits.iter();
            let name = |resource: &str| format!("RLIMIT_{}", resource.to_uppercase());
            all.map(|(resource, limit)| one(name(resource.name()), limit.soft, limit.hard))
                .collect()
        }
    };
    Value::List(all)
}

fn rlimit(kind: PosixRlimitType) -> String {
    kind.to_string()
}
