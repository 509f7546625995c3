//! What is wrong with containers besides their records: units without one, images that are gone.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{ContainerError, Site, unit};
use crate::api::Layout;
use crate::definition::{Definition, Source};
use crate::image::Images;
use crate::store::{self, Listed};
use crate::types::{ContainerId, ContainerName};

/// Something that is wrong.
#[derive(Debug)]
pub enum Problem {
    /// A unit file whose container is not there.
    StrayUnit(PathBuf),
    /// A container that is kept and has no unit file.
    NoUnit(Box<Definition>),
    /// A container whose image is gone or damaged.
    NoImage(ContainerId, ContainerName),
}

impl Problem {
    fn is_unit(&self, of: &Path) -> bool {
        matches!(self, Self::StrayUnit(path) if path == of)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::StrayUnit(path) => {
                write!(
                    f,
                    "unit file {}: its container is not there",
                    path.display()
                )
            }
            Self::NoUnit(definition) => {
                write!(f, "container {}: it has no unit file", definition.id)
            }
            Self::NoImage(id, name) => {
                write!(f, "container {id}: the image of {name} is gone or damaged")
            }
        }
    }
}

/// Looks at every container, and at every unit file that is named like one of a container.
///
/// # Errors
/// The records or images cannot be listed.
pub fn check(layout: &Layout) -> Result<Vec<Problem>, ContainerError> {
    let images = Images::open(&layout.state())?.list()?;
    let known: HashSet<&str> = images.iter().map(|image| image.id.as_str()).collect();
    let mut problems = stray_units(layout);
    for entry in store::list(layout)? {
        let Listed::Good(definition) = entry else {
            continue;
        };
        if let Source::Image { id, .. } = &definition.source
            && !known.contains(id.as_str())
        {
            let (id, name) = (definition.id.clone(), definition.name.clone());
            problems.push(Problem::NoImage(id, name));
        }
        let kept = !definition.options.remove && definition.deployed.is_none();
        let file = layout.unit_file(&definition.unit());
        // Who makes or removes it has the lock.
        if kept
            && file.symlink_metadata().is_err()
            && store::try_lock(layout, &definition.id)?.is_some()
            && store::load(layout, &definition.id).is_ok()
            && file.symlink_metadata().is_err()
        {
            problems.push(Problem::NoUnit(definition));
        }
    }
    Ok(problems)
}

/// Unit files of ours that no container has, and no other name of one leads to.
fn stray_units(layout: &Layout) -> Vec<Problem> {
    let entries = fs::read_dir(layout.unit_files())
        .into_iter()
        .flatten()
        .flatten();
    let all: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    // A container that was renamed while it runs has the unit of its old name.
    let targets: HashSet<PathBuf> = all
        .iter()
        .filter_map(|path| fs::read_link(path).ok())
        .collect();
    let is_stray = |path: &&PathBuf| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let container = name
            .strip_prefix("unitbox-")
            .and_then(|name| name.strip_suffix(".service"));
        let Some(Ok(container)) = container.map(str::parse::<ContainerName>) else {
            return false;
        };
        let named = store::lookup(layout, container.as_str());
        let gone = named.is_err_and(|error| error.is_not_found());
        gone && path.is_file() && !targets.contains(&PathBuf::from(name))
    };
    let stray = all.iter().filter(is_stray).cloned();
    stray.map(Problem::StrayUnit).collect()
}

/// Mends a problem; false: only the removal of the container would.
///
/// # Errors
/// The unit file cannot be written or removed.
pub fn mend(site: Site<'_>, problem: &Problem) -> Result<bool, ContainerError> {
    match problem {
        Problem::NoImage(..) => return Ok(false),
        Problem::NoUnit(definition) => unit::rewrite(site, definition)?,
        // One of that name may have come meanwhile.
        Problem::StrayUnit(path)
            if !stray_units(site.layout)
                .iter()
                .any(|stray| stray.is_unit(path)) => {}
        Problem::StrayUnit(path) => {
            fs::remove_file(path).map_err(ContainerError::io("remove", path))?
        }
    }
    Ok(true)
}
