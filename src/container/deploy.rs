//! A container of a unit file: written down anew at each start of its unit, so that what is on record is what the file
//! says.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::create::{self, Wish};
use super::{ContainerError, cleanup, conf, defaults, dependencies, environment, pull, volumes};
use crate::api::Layout;
use crate::definition::mount::MountKind;
use crate::definition::unit_file::{
    Container, Expander, FileError, FileSet, From, host_specifiers,
};
use crate::definition::{ConfFiles, Definition, Deployed, Options, Source, VERSION};
use crate::host::cgroup::UnitCgroup;
use crate::host::runtime::Runtime;
use crate::host::world::World;
use crate::image::pull::Note;
use crate::store;
use crate::types::{ContainerId, ContainerName, UnitName};

/// What a line of the program that settles begins with, if it tells why it failed; an exit code and the reason follow.
pub const ERROR: &str = "error ";

/// What a unit was started for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deployment<'a> {
    /// The unit.
    pub unit: &'a UnitName,
    /// The file, its drop-ins, and the files that it refers to with theirs.
    pub files: &'a [PathBuf],
    /// The container's name, as the unit has it.
    pub name: &'a ContainerName,
    /// The container's id.
    pub id: &'a ContainerId,
    /// Microseconds since the epoch.
    pub now: u64,
}

/// Writes the container of a file down. Its writable layer stays, unless file, drop-ins or image have changed.
///
/// # Errors
/// The file cannot be used, or the records cannot be written.
pub fn settle(
    layout: &Layout,
    deployment: &Deployment,
    cgroup: &UnitCgroup,
    world: &mut dyn World,
    report: &mut dyn FnMut(Note),
) -> Result<(), ContainerError> {
    let mut wish = read(layout, deployment)?;
    // Nobody reads what skopeo says line by line.
    wish.options.pull.quiet = true;
    pull::ensure(layout, &mut wish, false, report)?;
    let (source, _held) = create::settle(layout, &mut wish, false)?;
    name_anonymous(&mut wish.options, deployment.id);
    let mut new = Definition {
        version: VERSION,
        id: deployment.id.clone(),
        name: deployment.name.clone(),
        created: deployment.now,
        deployed: Some(Deployed {
            unit: deployment.unit.clone(),
            source: deployment
                .files
                .first()
                .map_or_else(String::new, |file| file.display().to_string()),
            digest: digest(deployment.files, &source)?,
        }),
        source,
        command: wish.command,
        options: wish.options,
    };
    let old = match store::load(layout, &new.id) {
        Ok(old) if old.name == new.name => Some(old),
        Ok(old) => {
            let text = format!(
                "container {} was {}, which has to be removed first",
                new.name, old.name
            );
            return Err(ContainerError::UnitFile(text));
        }
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error.into()),
    };
    let _held = dependencies::hold(layout, &new.options, &new.id)?;
    match old {
        None => drop(store::create(layout, &new)?),
        Some(old) => {
            let lock = store::lock(layout, &new.id)?;
            if old.deployed.as_ref().map(|own| &own.digest)
                == new.deployed.as_ref().map(|own| &own.digest)
            {
                new.created = old.created;
            } else {
                tracing::warn!(
                    "the file or its image has changed: container {} begins anew",
                    new.name
                );
                renew(layout, &old, cgroup, world)?;
            }
            store::write_atomic(&layout.definition(&new.id), &new.to_json(), 0o600)?;
            drop(lock);
        }
    }
    volumes::make(layout, &new)
}

/// Takes what may change while the container of a file runs: how its health is looked at.
///
/// # Errors
/// The file cannot be used, or the record cannot be written.
pub fn change(layout: &Layout, deployment: &Deployment) -> Result<(), ContainerError> {
    let wish = read(layout, deployment)?;
    let _lock = store::lock(layout, deployment.id)?;
    let mut definition = store::load(layout, deployment.id)?;
    definition.options.health = wish.options.health;
    store::write_atomic(
        &layout.definition(deployment.id),
        &definition.to_json(),
        0o600,
    )?;
    Ok(())
}

/// What the file asks for, on top of containers.conf(5), as for any container that is made.
fn read(layout: &Layout, deployment: &Deployment) -> Result<Wish, ContainerError> {
    let (file, set) = FileSet::read(deployment.files).map_err(refused)?;
    let unit = deployment.unit.as_str();
    let specifiers = host_specifiers(Path::new("/")).of_unit(unit, &file.path);
    let caller = environment::of_caller();
    let expander = Expander {
        specifiers: &specifiers,
        environment: Some(&caller),
    };
    let container = Container::read(&file, unit, &expander, &set).map_err(refused)?;
    if container.name != *deployment.name {
        let text = format!(
            "{}: its container is now called {}: reload systemd",
            file.path.display(),
            container.name
        );
        return Err(ContainerError::UnitFile(text));
    }
    let conf = conf::load(layout, &ConfFiles::default())?;
    let mut options = defaults::before(&conf, |flag| container.sets(flag))?;
    container.apply(&mut options).map_err(refused)?;
    options.name = Some(container.name);
    let (from, rootfs) = match container.from {
        From::Image(name) => (name, false),
        From::Rootfs(path) => (path, true),
    };
    Ok(Wish {
        options,
        conf,
        from,
        rootfs,
        command: container.command,
        environment: caller,
    })
}

fn refused(errors: Vec<FileError>) -> ContainerError {
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    ContainerError::UnitFile(all.join("; "))
}

/// Anonymous volumes have the same names at each start, as long as their places have.
fn name_anonymous(options: &mut Options, id: &ContainerId) {
    for mount in options.files.settled.iter_mut().flatten() {
        if mount.anonymous && mount.kind == MountKind::Volume {
            let mut hash = Sha256::new();
            hash.update(id.as_str());
            hash.update(&mount.target);
            let name = ContainerId::from_random(hash.finalize().into());
            mount.source = name.as_str().to_owned();
        }
    }
}

/// Of everything that decides whether the writable layer may stay.
fn digest(files: &[PathBuf], source: &Source) -> Result<String, ContainerError> {
    let mut hash = Sha256::new();
    for path in files {
        let text = std::fs::read(path).map_err(ContainerError::io("read", path))?;
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    match source {
        Source::Image { id, .. } => hash.update(id),
        Source::Rootfs { path } => hash.update(path),
    }
    Ok(ContainerId::from_random(hash.finalize().into()).to_string())
}

/// Takes what earlier runs have written, under the container's lock.
fn renew(
    layout: &Layout,
    old: &Definition,
    cgroup: &UnitCgroup,
    world: &mut dyn World,
) -> Result<(), ContainerError> {
    let runtime = Runtime::find(old.options.runtime.as_deref())?;
    // A layer that is still mounted must not be removed.
    let mut problems = cleanup::clear_run(layout, &old.id, &runtime, cgroup, world);
    if problems.is_empty() {
        store::remove_tree(&layout.rootfs(&old.id))?;
        problems = cleanup::forget_volumes(layout, old, world);
    }
    dependencies::release(layout, &old.options, &old.id);
    match problems.is_empty() {
        true => Ok(()),
        false => Err(ContainerError::Cleanup {
            name: old.name.to_string(),
            problems: problems
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
        }),
    }
}
