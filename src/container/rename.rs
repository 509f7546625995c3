//! Gives a container another name, and its unit with it.

use super::observe::{State, observe};
use super::{ContainerError, Site, dependencies, events, unit, update};
use crate::api::event::EventKind;
use crate::definition::Definition;
use crate::store::{self, StoreError};
use crate::types::ContainerName;

/// Renames a container. The unit of one that runs, or waits for its start, keeps its name as long as it is up; until the
/// next start, or until the container removes itself, it has the new one as an alias.
///
/// # Errors
/// It can be renamed neither so nor so in its state, others depend on it, the name is taken, or the records cannot be
/// written.
pub fn rename(
    site: Site<'_>,
    definition: &Definition,
    name: &ContainerName,
) -> Result<Definition, ContainerError> {
    let id = &definition.id;
    let lock = store::lock(site.layout, id)?;
    let old = store::load(site.layout, id)?;
    update::refuse_deployed(&old, "rename")?;
    if old.name == *name {
        // As in Podman, that is a rename too.
        events::tell(&old, EventKind::Rename, None);
        return Ok(old);
    }
    let seen = observe(site.layout, site.manager, &old)?;
    let runs = match seen.state {
        State::Created | State::Exited if seen.monitor == 0 => false,
        State::Initialized | State::Running | State::Paused => true,
        state => {
            return Err(ContainerError::State(format!(
                "renaming container {id}: it is {}; its unit keeps the name, stop it first",
                state.as_str()
            )));
        }
    };
    dependencies::check_unneeded(site.layout, &old)?;
    unit::check_free(site, name, Some(&old.unit()))?;
    let mut new = old.clone();
    new.name = name.clone();
    store::rename(site.layout, &lock, &new, &old.name)?;
    let unit_name = old.unit();
    if runs {
        unit::alias(site, &new, &unit_name)?;
        if !site.layout.container(id).is_dir() {
            // It has removed itself meanwhile, and did not see its alias.
            unit::unlink(site, &new.unit())?;
            return Err(StoreError::NoSuchContainer(old.name.to_string()).into());
        }
        events::tell(&new, EventKind::Rename, None);
        return Ok(new);
    }
    unit::unlink(site, &unit_name)?;
    store::remove_tree(&site.layout.runtime_properties(&unit_name))?;
    site.manager.reset_failed(&unit_name)?;
    if !new.options.remove {
        unit::write(site, &unit::plan(site, &new)?)?;
    }
    events::tell(&new, EventKind::Rename, None);
    Ok(new)
}
