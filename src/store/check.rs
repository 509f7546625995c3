//! What is wrong with the records: found by reading them, and mended by taking away what nothing can be made of.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::container::{MAKING, REMOVING};
use super::{Listed, StoreError, list, load, names, remove_tree, try_lock, volumes};
use crate::api::Layout;
use crate::sys::paths::Lock;
use crate::types::VolumeName;

/// Something that is wrong.
#[derive(Debug)]
pub struct Problem {
    /// What, in one line.
    pub text: String,
    /// How it is mended.
    pub mend: Mend,
}

/// How a problem is mended.
#[derive(Debug)]
pub enum Mend {
    /// What is there is of no use to anybody, and goes.
    Remove(PathBuf),
    /// A link that leads to nothing goes.
    Unlink(PathBuf),
    /// A link of a name is made again.
    Link(PathBuf, PathBuf),
    /// It is somebody's only copy: with force it goes.
    Force(PathBuf),
}

impl Problem {
    fn new(text: String, mend: Mend) -> Self {
        Self { text, mend }
    }
}

/// Looks at containers, names and volumes. What somebody is making or removing right now is no problem.
///
/// # Errors
/// A directory cannot be read.
pub fn check(layout: &Layout) -> Result<Vec<Problem>, StoreError> {
    let mut problems = Vec::new();
    staged_containers(layout, &mut problems)?;
    for entry in list(layout)? {
        match entry {
            Listed::Broken { id, error } => {
                let text = format!("container {id}: {}", crate::types::chain(&error));
                problems.push(Problem::new(text, Mend::Force(layout.container(&id))));
            }
            Listed::Good(definition) => {
                let (id, name) = (&definition.id, &definition.name);
                let found = names::target(layout, name);
                if found.as_ref() != Some(id)
                    && try_lock(layout, id)?.is_some()
                    && load(layout, id).is_ok()
                {
                    let text = format!("container {id}: its name {name} does not lead to it");
                    let target = Path::new("../containers").join(id.as_str());
                    problems.push(Problem::new(text, Mend::Link(layout.name(name), target)));
                }
            }
        }
    }
    for (name, id) in names::all(layout) {
        if !layout.container(&id).is_dir() && try_lock(layout, &id)?.is_some() {
            let text = format!("name {name}: it leads to container {id}, which is not there");
            problems.push(Problem::new(text, Mend::Unlink(layout.name(&name))));
        }
    }
    check_volumes(layout, &mut problems)?;
    Ok(problems)
}

fn entries(path: &Path) -> Result<Vec<String>, StoreError> {
    match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => {
            let entries = other.map_err(StoreError::io("list", path))?.flatten();
            Ok(entries
                .filter_map(|entry| entry.file_name().into_string().ok())
                .collect())
        }
    }
}

fn staged_containers(layout: &Layout, problems: &mut Vec<Problem>) -> Result<(), StoreError> {
    for name in entries(&layout.containers())? {
        let id = name.strip_prefix(MAKING).or(name.strip_prefix(REMOVING));
        let Some(Ok(id)) = id.map(str::parse) else {
            continue;
        };
        if try_lock(layout, &id)?.is_some() {
            let text = format!("container {id}: half made or removed, left by a crash");
            problems.push(Problem::new(
                text,
                Mend::Remove(layout.containers().join(&name)),
            ));
        }
    }
    Ok(())
}

fn check_volumes(layout: &Layout, problems: &mut Vec<Problem>) -> Result<(), StoreError> {
    let directory = layout.volumes();
    if !directory.is_dir() {
        return Ok(());
    }
    // Whoever makes or removes one has the lock.
    let _hold = volumes::hold(layout, Lock::Exclusive)?;
    for name in entries(&directory)? {
        let path = directory.join(&name);
        if volumes::is_staged(&name) {
            let text = format!("volume {name}: half made or removed, left by a crash");
            problems.push(Problem::new(text, Mend::Remove(path)));
            continue;
        }
        let Ok(volume) = name.parse::<VolumeName>() else {
            continue;
        };
        if let Err(error) = volumes::load(layout, &volume) {
            let text = match error.is_not_found() {
                true => format!("volume {name}: it has no record"),
                false => format!("volume {name}: {}", crate::types::chain(&error)),
            };
            problems.push(Problem::new(text, Mend::Force(path)));
        } else if !layout.volume_data(&volume).is_dir() {
            let text = format!("volume {name}: its files are gone");
            problems.push(Problem::new(text, Mend::Force(path)));
        }
    }
    Ok(())
}

/// Mends a problem; whether it is gone. What is somebody's only copy goes with `force` only.
///
/// # Errors
/// A file operation that failed.
pub fn mend(problem: &Problem, force: bool) -> Result<bool, StoreError> {
    match &problem.mend {
        Mend::Force(_) if !force => return Ok(false),
        Mend::Remove(path) | Mend::Force(path) => remove_tree(path)?,
        Mend::Unlink(path) => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove", path)(error));
            }
            _ => {}
        },
        Mend::Link(path, target) => {
            let made = std::os::unix::fs::symlink(target, path);
            made.map_err(StoreError::io("make link", path))?;
        }
    }
    Ok(true)
}
