//! Containers that a container cannot be without: found at `create`, started before it, kept as long as it is there.

use super::{ContainerError, Site};
use crate::api::Layout;
use crate::definition::{Definition, Namespace, Options};
use crate::lifecycle::{GraphError, order};
use crate::store::{self, ContainerLock, StoreError};
use crate::types::{ContainerId, UnitName, chain};

/// Replaces names of dependencies by ids and checks that all are there, and all behind them.
///
/// # Errors
/// One is missing, is the container itself, or cannot be joined; with the way that leads to it.
pub(super) fn resolve(layout: &Layout, options: &mut Options) -> Result<(), ContainerError> {
    if options.dependencies().is_empty() {
        return Ok(());
    }
    let own = options.name.as_ref().map(|name| name.as_str().to_owned());
    let own = own.as_deref();
    options.resolve_dependencies(|text| {
        if own == Some(text) {
            return Err(ContainerError::DependencyCycle {
                path: format!("{text} -> {text}"),
            });
        }
        Ok(store::lookup(layout, text)?.to_string())
    })?;
    check_joined(layout, options)?;
    let start = own.unwrap_or("the new container").to_owned();
    let direct: Vec<String> = options
        .dependencies()
        .into_iter()
        .map(str::to_owned)
        .collect();
    ordered(layout, &start, direct).map(drop)
}

/// A namespace that its container keeps for itself cannot be joined.
fn check_joined(layout: &Layout, options: &Options) -> Result<(), ContainerError> {
    for (flag, owner) in options.joined() {
        let definition = load(layout, owner)?;
        let kept = matches!(
            definition.options.isolation.ipc,
            Some(Namespace::Private | Namespace::WithoutShm)
        );
        if flag == "--ipc" && kept {
            return Err(ContainerError::NotShareable {
                name: definition.name,
            });
        }
    }
    Ok(())
}

/// Ids of all that a container needs, in the order of their start, and the container itself at the end.
fn ordered(
    layout: &Layout,
    start: &str,
    direct: Vec<String>,
) -> Result<Vec<String>, ContainerError> {
    let found = order(start, |id| {
        if id == start {
            return Ok(direct.clone());
        }
        let definition = load(layout, id)?;
        let needs = definition.options.dependencies();
        Ok(needs.into_iter().map(str::to_owned).collect())
    });
    // People know names.
    let show = |path: Vec<String>| {
        let name = |id: &String| {
            let id: ContainerId = id.parse().ok()?;
            store::name_of(layout, &id).map(|name| name.to_string())
        };
        let names: Vec<String> = path.into_iter().map(|id| name(&id).unwrap_or(id)).collect();
        names.join(" -> ")
    };
    found.map_err(|error| match error {
        GraphError::Cycle(path) => ContainerError::DependencyCycle { path: show(path) },
        GraphError::Missing(path, source) => ContainerError::Dependency {
            path: show(path),
            source,
        },
    })
}

fn load(layout: &Layout, id: &str) -> Result<Definition, StoreError> {
    store::load(layout, &store::lookup(layout, id)?)
}

/// Notes at each dependency who needs it, under its lock, so that none goes before the container is on record: the
/// locks are held until then.
///
/// # Errors
/// One has gone meanwhile, or cannot be written to.
pub(super) fn hold(
    layout: &Layout,
    options: &Options,
    who: &ContainerId,
) -> Result<Vec<ContainerLock>, ContainerError> {
    let mut ids = ids(options);
    // In one order, so that two of us do not wait for each other.
    ids.sort_unstable();
    let mut locks = Vec::with_capacity(ids.len());
    for id in ids {
        locks.push(store::lock(layout, &id)?);
        store::load(layout, &id)?;
        store::add_dependent(layout, &id, who)?;
    }
    Ok(locks)
}

/// Forgets a container that is gone at all it depended on.
pub(super) fn release(layout: &Layout, options: &Options, who: &ContainerId) {
    for id in ids(options) {
        store::remove_dependent(layout, &id, who);
    }
}

fn ids(options: &Options) -> Vec<ContainerId> {
    let all = options.dependencies().into_iter();
    all.filter_map(|id| id.parse().ok()).collect()
}

/// The units that a container's unit requires.
///
/// # Errors
/// A dependency is gone.
pub(super) fn units(
    site: Site<'_>,
    definition: &Definition,
) -> Result<Vec<UnitName>, ContainerError> {
    let all = definition.options.dependencies().into_iter();
    let unit = |id| Ok(load(site.layout, id)?.unit());
    all.map(unit).collect()
}

/// Starts what a container needs and what does not run, in order; systemd would too, but neither tells all that failed
/// nor knows of `--rm` containers that wait for their start.
///
/// # Errors
/// [`ContainerError::Dependencies`] with all that do not run, and why; at once if the caller was interrupted.
pub(super) fn start(
    site: Site<'_>,
    definition: &Definition,
    start: impl Fn(&Definition) -> Result<(), ContainerError>,
) -> Result<(), ContainerError> {
    let direct = definition.options.dependencies();
    if direct.is_empty() {
        return Ok(());
    }
    let direct = direct.into_iter().map(str::to_owned).collect();
    let mut order = ordered(site.layout, definition.id.as_str(), direct)?;
    order.pop();
    let mut failed: Vec<String> = Vec::new();
    let mut problems = Vec::new();
    for id in order {
        let dependency = load(site.layout, &id)?;
        let needs = dependency.options.dependencies();
        let result = match needs
            .iter()
            .find(|id| failed.iter().any(|other| other == *id))
        {
            Some(_) => Err(format!(
                "container {}: what it needs does not run",
                dependency.name
            )),
            None => match start(&dependency) {
                Err(error) if error.is_interrupted() => return Err(error),
                started => started.map_err(|error| chain(&error)),
            },
        };
        if let Err(problem) = result {
            problems.push(problem);
            failed.push(id);
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(ContainerError::Dependencies {
        name: definition.name.clone(),
        problems: problems.join("; "),
    })
}

/// Refuses to remove what others depend on (podman-rm(1)).
///
/// # Errors
/// [`ContainerError::Needed`].
pub(super) fn check_unneeded(
    layout: &Layout,
    definition: &Definition,
) -> Result<(), ContainerError> {
    let dependents = store::dependents(layout, &definition.id);
    if dependents.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = dependents.iter().map(ContainerId::as_str).collect();
    Err(ContainerError::Needed {
        id: definition.id.clone(),
        dependents: ids.join(", "),
    })
}
