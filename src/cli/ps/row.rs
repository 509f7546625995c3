//! One container of the list as templates, JSON and tables show it.

use std::collections::BTreeMap;
use std::fs;

use super::Entry;
use crate::cli::table::{ago, size, span};
use crate::cli::template::Value;
use crate::container::observe::{Observation, State};
use crate::definition::mount::MountKind;
use crate::definition::{Definition, Source};

/// Longest command in the table.
const COMMAND: usize = 17;
/// Go's zero time in seconds since the epoch: never.
const NEVER: i64 = -62_135_596_800;

/// Namespaces by the names of their columns and of their files (proc_pid_ns(5)).
pub(super) const NAMESPACES: [(&str, &str); 7] = [
    ("CGROUPNS", "cgroup"),
    ("IPC", "ipc"),
    ("MNT", "mnt"),
    ("NET", "net"),
    ("PIDNS", "pid"),
    ("USERNS", "user"),
    ("UTS", "uts"),
];

/// The heading of a field in a table.
pub(super) const HEADINGS: &[(&str, &str)] = &[
    ("AutoRemove", "AUTO REMOVE"),
    ("CGROUPNS", "CGROUPNS"),
    ("CIDFile", "CIDFILE"),
    ("Command", "COMMAND"),
    ("Created", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedHuman", "CREATED"),
    ("ExitCode", "EXIT CODE"),
    ("Exited", "EXITED"),
    ("ExitedAt", "EXITED AT"),
    ("ExposedPorts", "EXPOSED PORTS"),
    ("ID", "CONTAINER ID"),
    ("IPC", "IPC"),
    ("Image", "IMAGE"),
    ("ImageID", "IMAGE ID"),
    ("IsInfra", "IS INFRA"),
    ("Label", "LABEL"),
    ("Labels", "LABELS"),
    ("MNT", "MNT"),
    ("Mounts", "MOUNTS"),
    ("NET", "NET"),
    ("Names", "NAMES"),
    ("Namespaces", "NAMESPACES"),
    ("Networks", "NETWORKS"),
    ("PIDNS", "PIDNS"),
    ("Pid", "PID"),
    ("Pod", "POD ID"),
    ("PodName", "PODNAME"),
    ("Ports", "PORTS"),
    ("Restarts", "RESTARTS"),
    ("RunningFor", "RUNNING FOR"),
    ("Size", "SIZE"),
    ("StartedAt", "STARTED AT"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("USERNS", "USERNS"),
    ("UTS", "UTS"),
    ("Unit", "UNIT"),
];

/// The words of the STATUS column.
pub(in crate::cli) fn status(seen: &Observation, now: u64) -> String {
    let words = state(seen, now);
    match &seen.health {
        Some(health) if seen.state != State::Created => format!("{words} ({})", health.status),
        Some(_) | None => words,
    }
}

fn state(seen: &Observation, now: u64) -> String {
    match seen.state {
        State::Created => "Created".to_owned(),
        State::Running => format!("Up {}", span(now.saturating_sub(seen.started))),
        State::Paused => "Paused".to_owned(),
        State::Initialized => "Initialized".to_owned(),
        State::Stopping => "Stopping".to_owned(),
        State::Removing => "Removing".to_owned(),
        State::Unknown => "Unknown".to_owned(),
        State::Exited => match &seen.exit {
            Some(exit) if exit.finished() != 0 => {
                format!(
                    "Exited ({}) {}",
                    exit.code_text(),
                    ago(exit.finished(), now)
                )
            }
            Some(exit) => format!("Exited, code {}", exit.code_text()),
            None => "Exited".to_owned(),
        },
    }
}

/// The command in one line.
pub(super) fn command(entry: &Entry, whole: bool) -> String {
    let text = entry.command.join(" ");
    if whole || text.chars().count() <= COMMAND {
        return text;
    }
    let kept: String = text.chars().take(COMMAND).collect();
    format!("{kept}...")
}

/// The image's name; none for a directory of the host.
pub(super) fn image(definition: &Definition) -> &str {
    match &definition.source {
        Source::Image { name, .. } => name,
        Source::Rootfs { .. } => "",
    }
}

fn image_id(definition: &Definition) -> &str {
    match &definition.source {
        Source::Image { id, .. } => id,
        Source::Rootfs { .. } => "",
    }
}

/// `RW (virtual WHOLE)`.
pub(super) fn sizes(entry: &Entry) -> String {
    match entry.size {
        Some((own, whole)) => format!("{} (virtual {})", size(own, ""), size(whole, "")),
        None => String::new(),
    }
}

/// Where files of the host and volumes are mounted, sorted.
fn mounts(definition: &Definition) -> Value {
    let all = definition.options.files.effective().iter();
    let listed = all.filter(|mount| matches!(mount.kind, MountKind::Bind | MountKind::Volume));
    let mut targets: Vec<&str> = listed.map(|mount| mount.target.as_str()).collect();
    targets.sort_unstable();
    Value::list(targets)
}

/// Number of a namespace of a process; empty if there is none.
pub(super) fn namespace(pid: Option<i32>, file: &str) -> String {
    let link = pid.and_then(|pid| fs::read_link(format!("/proc/{pid}/ns/{file}")).ok());
    let text = link.map(|link| link.to_string_lossy().into_owned());
    let number = text.as_deref().and_then(|text| text.split_once('['));
    number.map_or_else(String::new, |(_, rest)| {
        rest.trim_end_matches(']').to_owned()
    })
}

fn seconds(micros: u64) -> Value {
    match micros {
        0 => Value::Int(NEVER),
        micros => Value::from(micros / 1_000_000),
    }
}

/// When the run that is, or was last, began.
fn started(seen: &Observation) -> u64 {
    match seen.started {
        0 => seen.exit.as_ref().map_or(0, |exit| exit.started()),
        started => started,
    }
}

/// Null where nobody knows; 0 where nothing has ended.
fn exit_code(seen: &Observation) -> Value {
    match &seen.exit {
        // The end of an earlier run is not that of the one that lives.
        _ if seen.state == State::Initialized => 0.into(),
        Some(exit) if !seen.state.has_payload() => exit.code().map(i32::from).into(),
        _ => 0.into(),
    }
}

fn labels(definition: &Definition) -> Value {
    match definition.options.labels.is_empty() {
        true => Value::Null,
        false => Value::map(&definition.options.labels),
    }
}

fn finished(seen: &Observation) -> u64 {
    seen.exit.as_ref().map_or(0, |exit| exit.finished())
}

/// As `ps --format json` has it; with `now` times are said as humans do.
pub(super) fn as_json(entry: &Entry, now: Option<u64>) -> Value {
    let (definition, seen) = (&entry.definition, &entry.seen);
    let created = definition.created;
    let said = |text: fn(u64, &Observation, u64) -> String| {
        Value::from(now.map_or_else(String::new, |now| text(created, seen, now)))
    };
    let size = entry.size.map(|(own, whole)| {
        Value::fields(
            "*define.ContainerSize",
            vec![("rootFsSize", whole.into()), ("rwSize", own.into())],
        )
    });
    let mut fields = vec![
        ("AutoRemove", definition.options.remove.into()),
        ("Command", Value::list(&entry.command)),
        ("CreatedAt", said(|created, _, now| ago(created, now))),
        ("CIDFile", "".into()),
        ("Exited", (seen.state == State::Exited).into()),
        ("ExitedAt", seconds(finished(seen))),
        ("ExitCode", exit_code(seen)),
        ("ExposedPorts", Value::Null),
        ("Id", definition.id.as_str().into()),
        ("Image", image(definition).into()),
        ("ImageID", image_id(definition).into()),
        ("IsInfra", false.into()),
        ("Labels", labels(definition)),
        ("Mounts", mounts(definition)),
        ("Names", Value::list([definition.name.as_str()])),
        ("Namespaces", namespaces(entry)),
        ("Networks", Value::List(Vec::new())),
        ("Pid", seen.pid.unwrap_or(0).into()),
        ("Pod", "".into()),
        ("PodName", "".into()),
        ("Ports", Value::Null),
        ("Restarts", seen.restarts.into()),
        ("Size", size.unwrap_or_default()),
        ("StartedAt", seconds(started(seen))),
        ("State", seen.state.as_str().into()),
        ("Status", said(|_, seen, now| status(seen, now))),
    ];
    match now {
        Some(_) => fields.push(("Created", (created / 1_000_000).into())),
        None => fields.push(("Created", Value::Time(created))),
    }
    fields.push(("Unit", definition.unit().as_str().into()));
    Value::fields("entities.ListContainer", fields)
}

fn namespaces(entry: &Entry) -> Value {
    if !entry.with_namespaces {
        return Value::Map(BTreeMap::new());
    }
    let one = |(column, file): &(&str, &str)| {
        let column = if *column == "CGROUPNS" {
            "Cgroup"
        } else {
            column
        };
        (
            column.to_owned(),
            Value::Str(namespace(entry.seen.pid, file)),
        )
    };
    Value::Map(NAMESPACES.iter().map(one).collect())
}

/// As templates have it.
pub(super) fn as_value(entry: &Entry, whole: bool, now: u64) -> Value {
    let (definition, seen) = (&entry.definition, &entry.seen);
    let id = |id: &str| match whole {
        true => id.to_owned(),
        false => id.chars().take(12).collect(),
    };
    let created = ago(definition.created, now);
    let mut fields = vec![
        ("AutoRemove", definition.options.remove.into()),
        ("CIDFile", "".into()),
        ("Command", command(entry, whole).into()),
        ("Created", Value::Time(definition.created)),
        ("CreatedAt", Value::Time(definition.created)),
        ("CreatedHuman", created.as_str().into()),
        ("ExitCode", exit_code(seen)),
        ("Exited", (seen.state == State::Exited).into()),
        ("ExitedAt", seconds(finished(seen))),
        ("ExposedPorts", Value::Map(BTreeMap::new())),
        ("ID", id(definition.id.as_str()).into()),
        ("Image", image(definition).into()),
        ("ImageID", id(image_id(definition)).into()),
        ("IsInfra", false.into()),
        ("Label", Value::Lookup(definition.options.labels.clone())),
        ("Labels", Value::map(&definition.options.labels)),
        ("Mounts", mounts(definition)),
        ("Names", definition.name.as_str().into()),
        ("Namespaces", namespaces(entry)),
        ("Networks", "".into()),
        ("Pid", seen.pid.unwrap_or(0).into()),
        ("Pod", "".into()),
        ("PodName", "".into()),
        ("Ports", "".into()),
        ("Restarts", seen.restarts.into()),
        ("RunningFor", created.into()),
        ("Size", sizes(entry).into()),
        ("StartedAt", seconds(started(seen))),
        ("State", seen.state.as_str().into()),
        ("Status", status(seen, now).into()),
        ("Unit", definition.unit().as_str().into()),
    ];
    for (column, file) in NAMESPACES {
        fields.push((column, namespace(seen.pid, file).into()));
    }
    Value::fields("containers.psReporter", fields).with_json(as_json(entry, None))
}
