//! Files below our directories.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kind, Leak};

pub(super) const NAMES: &str = "/var/lib/unitbox/names/";
const CONTAINERS: &str = "/var/lib/unitbox/containers/";
const RUN: &str = "/run/unitbox/";
const UNIT_FILES: &str = "/run/systemd/system/";
const LOG_FIELDS: &str = "/run/systemd/units/log-extra-fields:";

/// A file, with `%y` of find(1) as kind; a symlink has a target.
#[derive(Debug)]
pub(super) struct File {
    pub(super) kind: String,
    pub(super) path: String,
    pub(super) target: String,
}

/// The container ids in a text.
pub(super) fn ids(text: &str) -> Vec<String> {
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    text.split(|c| !is_hex(c))
        .filter(|word| word.len() == 64)
        .map(str::to_owned)
        .collect()
}

pub(super) fn leaks(files: &[File], live: &BTreeSet<String>) -> BTreeSet<Leak> {
    let containers: BTreeSet<&str> = defined(files).collect();
    let named: BTreeMap<&str, &str> = files
        .iter()
        .filter_map(|file| Some((file.path.strip_prefix(NAMES)?, last(&file.target))))
        .collect();
    let kept = |id: &str| containers.contains(id) || live.contains(id);
    files
        .iter()
        .filter_map(|file| {
            let kind = kind_of(file, live, &kept, &named)?;
            let arrow = if file.target.is_empty() { "" } else { " -> " };
            let what = format!("{}{arrow}{}", file.path, file.target);
            Some(Leak { kind, what })
        })
        .collect()
}

fn kind_of(
    file: &File,
    live: &BTreeSet<String>,
    kept: &dyn Fn(&str) -> bool,
    named: &BTreeMap<&str, &str>,
) -> Option<Kind> {
    let path = file.path.as_str();
    if file.kind == "s" {
        // The sockets have a check of their own, of what the kernel knows; this is a file that nobody listens at.
        return ids(path)
            .iter()
            .any(|id| !live.contains(id))
            .then_some(Kind::Socket);
    }
    if is_temporary(path) && !ids(path).iter().any(|id| live.contains(id)) {
        return Some(Kind::TemporaryFile);
    }
    if path.starts_with(NAMES) {
        return (!kept(last(&file.target))).then_some(Kind::NameLink);
    }
    if let Some(id) = path
        .strip_prefix(CONTAINERS)
        .filter(|rest| !rest.contains('/'))
    {
        return (!kept(id) || !named.values().any(|named| *named == id)).then_some(Kind::Container);
    }
    if let Some(rest) = path.strip_prefix(RUN) {
        return run_file(rest, live, kept);
    }
    let kind = match path.starts_with(LOG_FIELDS) {
        true => Kind::LogFields,
        false => Kind::UnitFile,
    };
    let unit = path
        .strip_prefix(UNIT_FILES)
        .or_else(|| path.strip_prefix(LOG_FIELDS))?;
    let name = unit.strip_prefix("unitbox-")?.strip_suffix(".service")?;
    let has_container = named.get(name).is_some_and(|id| kept(id));
    (file.kind == "f" && !has_container).then_some(kind)
}

/// Of a container that is kept but does not run the exit file stays; of one that is removed, its copy in `exits`.
fn run_file(rest: &str, live: &BTreeSet<String>, kept: &dyn Fn(&str) -> bool) -> Option<Kind> {
    let (top, below) = rest.split_once('/').unwrap_or((rest, ""));
    match (top, below) {
        ("exits" | "locks", "") => None,
        ("exits", _) => None,
        ("locks", id) => (!kept(id)).then_some(Kind::RunFile),
        (id, _) if live.contains(id) => None,
        (id, "") => (ids(id).len() == 1 && !kept(id)).then_some(Kind::RunFile),
        (id, "runtime") if ids(id).len() == 1 => Some(Kind::RuntimeState),
        (id, below) if ids(id).len() == 1 && below.starts_with("runtime/") => {
            Some(Kind::RuntimeState)
        }
        (id, below) => (ids(id).len() == 1 && below != "exit").then_some(Kind::RunFile),
    }
}

/// Ids of the containers that have a definition.
fn defined(files: &[File]) -> impl Iterator<Item = &str> {
    files.iter().filter_map(|file| {
        let rest = file.path.strip_prefix(CONTAINERS)?;
        rest.strip_suffix("/definition.json")
    })
}

/// `x.new` of the run's files, `.x.PID` of the records, `.new-`, `.old-` and `.part-` of directories.
fn is_temporary(path: &str) -> bool {
    let name = last(path);
    let by_pid = || {
        let hidden = name
            .strip_prefix('.')
            .and_then(|name| name.rsplit_once('.'));
        hidden.is_some_and(|(_, pid)| !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()))
    };
    [".new", ".part", ".tmp"]
        .iter()
        .any(|end| name.ends_with(end))
        || [".new-", ".old-", ".part-", ".#"]
            .iter()
            .any(|begin| name.starts_with(begin))
        || by_pid()
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}
