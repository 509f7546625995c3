//! A container.

use oci_spec::runtime::{Capability, Spec};

use super::{config, host_config, mounts, network};
use crate::api::Layout;
use crate::cli::size;
use crate::cli::template::Value;
use crate::container::observe::{Observation, State, payload_of};
use crate::container::sketch::{Sketch, sketch};
use crate::container::{apparmor, conf, exec, health, selinux};
use crate::definition::{Definition, Source};
use crate::host::runtime::Runtime;
use crate::image::Images;
use crate::sys::process::parent_of;

/// What `exec` has started and what lives.
fn sessions(layout: &Layout, definition: &Definition) -> Value {
    let payload = payload_of(layout, &definition.id);
    let live = payload.map(|payload| exec::sessions(layout, &definition.id, &payload));
    Value::list(live.unwrap_or_default())
}

/// The state alone.
#[cfg(test)]
pub(in crate::cli) fn state(seen: &Observation) -> Value {
    Value::fields(
        "*define.InspectContainerState",
        state_fields(seen, None, String::new()),
    )
}

fn state_fields(
    seen: &Observation,
    monitor: Option<u32>,
    cgroup: String,
) -> Vec<(&'static str, Value)> {
    let exit = seen.exit.as_ref();
    let started = match seen.started {
        0 => exit.map_or(0, |exit| exit.started()),
        started => started,
    };
    let ended = matches!(seen.state, State::Exited | State::Created);
    // A code that nobody knows is null: neither 0 nor -1 would be true.
    let code = match exit.filter(|_| ended) {
        Some(exit) => exit.code().map(i32::from).into(),
        None => 0.into(),
    };
    let finished = exit.map_or(0, |exit| exit.finished());
    let mut fields = vec![
        ("OciVersion", oci_version().into()),
        ("Status", seen.state.as_str().into()),
        (
            "Running",
            matches!(seen.state, State::Running | State::Stopping).into(),
        ),
        ("Paused", (seen.state == State::Paused).into()),
        ("Restarting", false.into()),
        (
            "OOMKilled",
            exit.is_some_and(|exit| ended && exit.oom()).into(),
        ),
        ("Dead", false.into()),
        ("Pid", seen.pid.unwrap_or(0).into()),
    ];
    fields.extend(monitor.map(|pid| ("ConmonPid", pid.into())));
    let reason = exit.filter(|_| ended).map(|exit| exit.reason());
    fields.extend([
        ("ExitCode", code),
        ("Error", reason.unwrap_or_default().into()),
        ("StartedAt", Value::Time(started)),
        ("FinishedAt", Value::Time(finished)),
    ]);
    if !cgroup.is_empty() {
        fields.push(("CgroupPath", cgroup.into()));
    }
    fields.extend([
        ("CheckpointedAt", Value::Time(0)),
        ("RestoredAt", Value::Time(0)),
    ]);
    fields
}

/// The version of the runtime specification that config.json is of.
fn oci_version() -> String {
    Spec::default().version().clone()
}

/// All that is known of a container.
pub(super) fn describe(
    layout: &Layout,
    definition: &Definition,
    seen: &Observation,
    with_size: bool,
) -> Value {
    let sketch = sketch(layout, definition);
    let args = sketch.spec.as_ref().and_then(|spec| {
        let process = spec.process().as_ref()?;
        process.args().clone()
    });
    let args = args.unwrap_or_else(|| definition.command.clone());
    let (path, args) = match args.as_slice() {
        [] => ("", &[][..]),
        // Podman leaves a word that stands alone where it is.
        [only] => (only.as_str(), args.as_slice()),
        [first, rest @ ..] => (first.as_str(), rest),
    };
    let (image, image_name, rootfs) = match &definition.source {
        Source::Image { id, name } => (id.as_str(), name.as_str(), ""),
        Source::Rootfs { path } => ("", "", path.as_str()),
    };
    let digest = sketch.image.as_ref().map(|image| image.digest.to_string());
    let mut fields = vec![
        ("Id", definition.id.as_str().into()),
        ("Created", Value::Time(definition.created)),
        ("Path", path.into()),
        ("Args", Value::list(args)),
        (
            "State",
            full_state(
                layout,
                definition,
                seen,
                config::is_checked(definition, &sketch),
            ),
        ),
        ("Image", image.into()),
        ("ImageDigest", digest.unwrap_or_default().into()),
        ("ImageName", image_name.into()),
        ("Rootfs", rootfs.into()),
        ("Pod", "".into()),
    ];
    fields.extend(files(layout, definition, &sketch));
    fields.extend([
        ("Name", definition.name.as_str().into()),
        ("RestartCount", seen.restarts.into()),
        ("Driver", "overlay".into()),
    ]);
    fields.extend(confinement(layout, definition));
    fields.extend([
        (
            "EffectiveCaps",
            capabilities(&sketch, |all| all.effective()),
        ),
        ("BoundingCaps", capabilities(&sketch, |all| all.bounding())),
        ("ExecIDs", sessions(layout, definition)),
        ("GraphDriver", graph_driver(layout, definition, &sketch)),
        ("Mounts", mounts::list(layout, definition)),
        (
            "Dependencies",
            Value::list(definition.options.dependencies()),
        ),
        ("NetworkSettings", network::settings(definition, seen)),
        ("Namespace", "".into()),
        ("IsInfra", false.into()),
        ("IsService", false.into()),
        ("KubeExitCodePropagation", "invalid".into()),
        ("lockNumber", 0.into()),
        ("Config", config::describe(definition, &sketch)),
        (
            "HostConfig",
            host_config::describe(layout, definition, seen, &sketch),
        ),
        (
            "UseImageHosts",
            definition.options.etc.no_hosts.unwrap_or(false).into(),
        ),
        (
            "UseImageHostname",
            definition.options.etc.no_hostname.into(),
        ),
    ]);
    if with_size {
        let images = Images::open(&layout.state()).ok();
        let (own, whole) = size::of(layout, images.as_ref(), definition);
        fields.push(("SizeRw", own.into()));
        fields.push(("SizeRootFs", whole.into()));
    }
    fields.push(("Unit", definition.unit().as_str().into()));
    Value::fields("interface {}", fields)
}

/// Labels of SELinux, known with the first start, and the AppArmor profile of the next one; a configuration that cannot
/// be read is for that start to tell.
fn confinement(layout: &Layout, definition: &Definition) -> [(&'static str, Value); 3] {
    let conf = conf::load(layout, &definition.options.conf).unwrap_or_default();
    let labels = selinux::known(definition, layout, &conf);
    let (process, mount) = labels.map_or_else(Default::default, |labels| {
        let process = labels.process.map(|label| label.to_string());
        (process.unwrap_or_default(), labels.mount.to_string())
    });
    let profile = apparmor::profile(definition, &conf);
    [
        ("MountLabel", mount.into()),
        ("ProcessLabel", process.into()),
        ("AppArmorProfile", profile.unwrap_or_default().into()),
    ]
}

fn full_state(
    layout: &Layout,
    definition: &Definition,
    seen: &Observation,
    is_checked: bool,
) -> Value {
    let payload = payload_of(layout, &definition.id).filter(|_| seen.state.has_payload());
    let cgroup = payload.map(|payload| {
        let path = payload.cgroup.strip_prefix("/sys/fs/cgroup");
        path.map_or_else(|_| String::new(), |path| format!("/{}", path.display()))
    });
    // What runs is the monitor's child; before that, systemd was asked.
    let parent = seen.pid.and_then(|pid| parent_of(pid).ok());
    let monitor = parent.or(Some(seen.monitor).filter(|pid| *pid != 0));
    let mut fields = state_fields(seen, monitor, cgroup.unwrap_or_default());
    let kind = "*define.InspectContainerState";
    let health = match is_checked {
        true => health_value(&health::read(layout, &definition.id).unwrap_or_default()),
        false => Value::Null,
    };
    if health == Value::Null {
        let json = Value::fields(kind, fields.clone());
        fields.push(("Health", health));
        return Value::fields(kind, fields).with_json(json);
    }
    fields.push(("Health", health));
    Value::fields(kind, fields)
}

/// The health and the last checks.
fn health_value(record: &health::Record) -> Value {
    let one = |check: &health::Check| {
        Value::fields(
            "define.HealthCheckLog",
            vec![
                ("Start", check.start.as_str().into()),
                ("End", check.end.as_str().into()),
                ("ExitCode", check.exit_code.into()),
                ("Output", check.output.as_str().into()),
            ],
        )
    };
    let log = record.log.as_ref();
    let log = log.map(|log| Value::List(log.iter().map(one).collect()));
    Value::fields(
        "*define.HealthCheckResults",
        vec![
            ("Status", record.status.as_str().into()),
            ("FailingStreak", record.failing_streak.into()),
            ("Log", log.unwrap_or_default()),
        ],
    )
}

/// Files of a run; what is not there is empty.
fn files(layout: &Layout, definition: &Definition, sketch: &Sketch) -> Vec<(&'static str, Value)> {
    let id = &definition.id;
    let shown = |path: std::path::PathBuf| Value::from(path.display().to_string());
    let mounted = |target: &str| {
        let spec = sketch.spec.as_ref().filter(|_| sketch.is_real)?;
        let mut all = spec.mounts().as_ref()?.iter();
        let mount = all.find(|mount| mount.destination().to_str() == Some(target))?;
        Some(mount.source().as_ref()?.display().to_string())
    };
    let source = |target: &str| Value::from(mounted(target).unwrap_or_default());
    let runtime = Runtime::find(definition.options.runtime.as_deref()).ok();
    let runtime = runtime.and_then(|found| {
        let name = found.program.file_name()?;
        Some(name.to_string_lossy().into_owned())
    });
    let options = &definition.options;
    let file = |path: &Option<String>| Value::from(path.clone().unwrap_or_default());
    let mut fields = vec![
        ("ResolvConfPath", source("/etc/resolv.conf")),
        ("HostnamePath", source("/etc/hostname")),
        ("HostsPath", source("/etc/hosts")),
        ("StaticDir", shown(layout.container(id))),
    ];
    if sketch.is_real {
        fields.push((
            "OCIConfigPath",
            shown(layout.bundle(id).join("config.json")),
        ));
    }
    fields.extend([
        ("OCIRuntime", runtime.unwrap_or_default().into()),
        ("ConmonPidFile", file(&options.conmon_pidfile)),
        ("PidFile", file(&options.pidfile)),
    ]);
    fields
}

type Capabilities = std::collections::HashSet<Capability>;

fn capabilities(
    sketch: &Sketch,
    of: fn(&oci_spec::runtime::LinuxCapabilities) -> &Option<Capabilities>,
) -> Value {
    let all = sketch.spec.as_ref().and_then(|spec| {
        let process = spec.process().as_ref()?;
        of(process.capabilities().as_ref()?).clone()
    });
    let Some(all) = all.filter(|all| !all.is_empty()) else {
        return Value::Null;
    };
    let mut names: Vec<String> = all.iter().map(capability).collect();
    names.sort_unstable();
    Value::list(names)
}

/// `CAP_NET_ADMIN`.
pub(super) fn capability(capability: &Capability) -> String {
    let name = capability.to_string();
    match name.starts_with("CAP_") {
        true => name,
        false => format!("CAP_{name}"),
    }
}

fn graph_driver(layout: &Layout, definition: &Definition, sketch: &Sketch) -> Value {
    let root = layout.rootfs(&definition.id);
    let mut data = vec![];
    if let Some(image) = &sketch.image {
        let lower = image.lower_dirs();
        let lower: Vec<String> = lower.iter().map(|dir| dir.display().to_string()).collect();
        data.push(("LowerDir", lower.join(":").into()));
    }
    let has_layer = sketch.image.is_some() || definition.options.files.rootfs_overlay;
    if has_layer {
        if sketch.is_real {
            let merged = layout.bundle(&definition.id).join("rootfs");
            data.push(("MergedDir", merged.display().to_string().into()));
        }
        data.push(("UpperDir", root.join("upper").display().to_string().into()));
        data.push(("WorkDir", root.join("work").display().to_string().into()));
    }
    Value::fields(
        "*define.DriverData",
        vec![
            ("Name", "overlay".into()),
            ("Data", Value::fields("map[string]string", data)),
        ],
    )
}
