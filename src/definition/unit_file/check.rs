//! Everything that can be said of a file before it is started.

use super::container::Container;
use super::expand::Expander;
use super::references::service_of;
use super::service::truth;
use super::suggest::{hint, nearest};
use super::{Entry, FileError, FileSet, Kind, Specifiers, UnitFile, keys};
use crate::definition::Options;
use crate::types::{Cause, Restart};

/// Sections of systemd that a file may have besides its own.
const SECTIONS: &[&str] = &["Unit", "Service", "Install", "Quadlet"];

/// What is wrong with a file: its own lines first to last.
pub fn check(kind: Kind, file: &UnitFile, host: &Specifiers, set: &FileSet) -> Vec<FileError> {
    let mut errors = sections(kind, file);
    let quadlet = file.section("Quadlet").into_iter();
    for entry in quadlet.flat_map(|section| &section.entries) {
        errors.extend(default_dependencies(entry).err());
    }
    match kind {
        Kind::Container => errors.extend(container(file, host, set)),
        kind => errors.extend(other(kind, file)),
    }
    errors.sort();
    errors.dedup();
    errors
}

/// What is good but does not do all that it seems to.
pub fn notes(kind: Kind, file: &UnitFile) -> Vec<FileError> {
    let section = file.section(kind.section());
    let update = section.and_then(|section| section.last("AutoUpdate"));
    let text = "AutoUpdate= is a label of the container; this version updates no images by itself";
    update.map(|entry| entry.error(text)).into_iter().collect()
}

/// A section of its own it must have; one whose name is nearly that of a known one is a slip. All others are systemd's,
/// or somebody's.
fn sections(kind: Kind, file: &UnitFile) -> Vec<FileError> {
    let own = kind.section();
    let known = || SECTIONS.iter().copied().chain([own]);
    let mut errors = Vec::new();
    for section in &file.sections {
        let name = section.name.as_str();
        if !known().any(|known| known == name) && nearest(name, known()).is_some() {
            let message = format!("unknown section [{name}]{}", hint(name, known()));
            errors.push(FileError::new(&section.at, message));
        }
    }
    if file.section(own).is_none() && errors.is_empty() {
        errors.push(FileError::new(&file.whole(), format!("no [{own}] section")));
    }
    errors
}

/// Whether a file wants the network to be up before it (`[Quadlet] DefaultDependencies=`).
///
/// # Errors
/// Another key, or no boolean.
fn default_dependencies(entry: &Entry) -> Result<bool, FileError> {
    if entry.key != "DefaultDependencies" {
        let hint = hint(&entry.key, ["DefaultDependencies"]);
        return Err(entry.error(format!("unknown key {:?}{hint}", entry.key)));
    }
    let read = truth(&entry.value);
    read.map_err(|reason| entry.error(format!("{}=: {reason}", entry.key)))
}

fn container(file: &UnitFile, host: &Specifiers, set: &FileSet) -> Vec<FileError> {
    if file.section(Kind::Container.section()).is_none() {
        // It was said.
        return Vec::new();
    }
    let unit = service_of(Kind::Container, file);
    let expander = Expander {
        specifiers: &host.of_unit(&unit, &file.path),
        environment: None,
    };
    let container = match Container::read(file, &unit, &expander, set) {
        Ok(container) => container,
        Err(errors) => return errors,
    };
    let mut options = Options::default();
    if let Err(errors) = container.apply(&mut options) {
        return errors;
    }
    let whole = options.check();
    let whole = whole.map_err(|error| FileError::new(&file.whole(), error.to_string()));
    let restart = restart(file, &options);
    whole.err().into_iter().chain(restart).collect()
}

/// A restart for health's sake is one behind a watchdog (`Restart=no` is made one that follows it).
fn restart(file: &UnitFile, options: &Options) -> Option<FileError> {
    let entry = file.section("Service")?.last("Restart")?;
    let restart: Restart = entry.value.parse().ok()?;
    let fits = restart == Restart::No || restart.follows(Cause::Watchdog);
    (options.health.restarts() && !fits).then(|| {
        let text = "Restart=: a restart by health checks is one of on-watchdog, on-abnormal, on-failure and always";
        entry.error(text)
    })
}

/// Kinds whose work this version does not do: a start would fail, so that it is an error.
fn other(kind: Kind, file: &UnitFile) -> Vec<FileError> {
    let Some(section) = file.section(kind.section()) else {
        return Vec::new();
    };
    let known = keys::known(kind);
    let mut errors = Vec::new();
    for entry in &section.entries {
        let key = entry.key.as_str();
        if !known.contains(&key) && !key.starts_with("X-") {
            let hint = hint(key, known.iter().copied());
            errors.push(entry.error(format!("unknown key {key:?}{hint}")));
        } else if kind == Kind::Volume && !entry.value.is_empty() {
            errors.extend(volume(entry));
        }
    }
    let missing = match kind {
        Kind::Container | Kind::Volume => return errors,
        Kind::Network => "this version has no networks",
        Kind::Pod => "this version has no pods",
        Kind::Image => "this version does not pull images",
        Kind::Kube => "this version does not play Kubernetes files",
        Kind::Build => "this version does not build images",
        Kind::Artifact => "this version has no artifacts",
    };
    errors.push(FileError::new(&section.at, missing));
    errors
}

/// Volumes are directories of ours without options.
fn volume(entry: &Entry) -> Option<FileError> {
    let message = match (entry.key.as_str(), entry.value.as_str()) {
        ("VolumeName", name) if name.contains(['%', '$']) => return None,
        ("VolumeName", name) => {
            let parsed: Result<crate::types::VolumeName, _> = name.parse();
            format!("VolumeName=: {}", parsed.err()?)
        }
        ("ServiceName", _) | ("Driver", "local") => return None,
        (key, _) => format!(
            "{key}= is not supported: volumes of unit files have no options in this version"
        ),
    };
    Some(entry.error(message))
}
