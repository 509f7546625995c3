//! Changes the limits of a container, also of one that runs.

use super::{ContainerError, Site, events, unit};
use crate::api::event::EventKind;
use crate::definition::{Definition, OptionError, Options};
use crate::host::systemd::LoadState;
use crate::plan::unit::{OWN_PIDS, limit_changes};
use crate::store::{self, write_atomic};
use crate::types::ContainerId;

/// Changes the definition, the unit's file, and the unit as it runs; what the payload sees follows within a second.
///
/// # Errors
/// The options are refused, or systemd refuses; the definition stays as it was then.
pub fn update(
    site: Site<'_>,
    id: &ContainerId,
    change: impl FnOnce(&mut Options) -> Result<(), OptionError>,
) -> Result<Definition, ContainerError> {
    let _lock = store::lock(site.layout, id)?;
    let old = store::load(site.layout, id)?;
    refuse_deployed(&old, "update")?;
    let mut new = old.clone();
    change(&mut new.options)?;
    new.options.check()?;
    let name = old.unit();
    let status = site.manager.status(&name)?;
    let changes = limit_changes(&old, &new);
    if changes.is_empty() && old == new {
        return Ok(new);
    }
    write(site, &new)?;
    // A unit that has been changed before keeps that in a drop-in, which would win over its file.
    let changed_before = site.layout.runtime_properties(&name).exists();
    let running = !status.active_state.is_over();
    if status.load_state == LoadState::Loaded && (running || changed_before) {
        if let Some(pids) = new.options.limits.pids() {
            let path = site.layout.pids_request(id);
            if site.layout.run_container(id).exists() {
                let text = format!("{} {pids}\n", pids.saturating_add(OWN_PIDS));
                write_atomic(&path, text.as_bytes(), 0o600)?;
            }
        }
        if let Err(error) = site.manager.set_properties(&name, &changes) {
            // The first error is the one to tell.
            let _ = write(site, &old);
            return Err(error.into());
        }
    }
    events::tell(&new, EventKind::Update, None);
    Ok(new)
}

/// What a file says is changed there.
///
/// # Errors
/// The container is one of a unit file.
pub(super) fn refuse_deployed(definition: &Definition, verb: &str) -> Result<(), ContainerError> {
    match &definition.deployed {
        None => Ok(()),
        Some(deployed) => Err(ContainerError::Deployed {
            name: definition.name.clone(),
            verb: verb.to_owned(),
            source_file: deployed.source.clone(),
        }),
    }
}

fn write(site: Site<'_>, definition: &Definition) -> Result<(), ContainerError> {
    let path = site.layout.definition(&definition.id);
    write_atomic(&path, &definition.to_json(), 0o600)?;
    if !definition.options.remove {
        unit::write(site, &unit::plan(site, definition)?)?;
    }
    Ok(())
}
