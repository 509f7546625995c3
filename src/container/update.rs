//! Changes limits, restart policy and health checks of a container, also of one that runs.

use std::thread;
use std::time::{Duration, Instant};

use super::observe::gather;
use super::{ContainerError, Site, events, prepare, unit};
use crate::api::event::EventKind;
use crate::definition::{Changes, Definition, HealthOptions, Source};
use crate::host::systemd::{ActiveState, JobResult, LoadState, UnitStatus};
use crate::image::Images;
use crate::plan::health;
use crate::plan::unit::{OWN_PIDS, limit_changes};
use crate::store::{self, write_atomic};
use crate::types::{ContainerId, RestartPolicy, StopKind, chain};

/// How long a stop that has taken a reload's place may take to begin, and how often it is looked for.
const STOP_BEGINS: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

/// Changes the definition, the unit's file, and the unit as it runs; what the payload sees of limits follows within a
/// second. The monitor of a run that goes on reads the rest when systemd reloads its unit.
///
/// # Errors
/// The options are refused, or systemd refuses; the definition stays as it was then. [`ContainerError::Untold`]: only the
/// run that goes on does not know.
pub fn update(
    site: Site<'_>,
    id: &ContainerId,
    changes: &Changes,
) -> Result<Definition, ContainerError> {
    let lock = store::lock(site.layout, id)?;
    let old = store::load(site.layout, id)?;
    refuse_deployed(&old, "update")?;
    let new = changed(site, &old, changes)?;
    if old == new {
        return Ok(new);
    }
    let name = old.unit();
    let status = site.manager.status(&name)?;
    let goes_on = is_for_monitor(&old, &new)
        && !status.active_state.is_over()
        && !status.sub_state.starts_with("auto-restart");
    // Asked before the file is written anew: an older unit's monitor does not become one that understands it.
    let can_reload = goes_on && site.manager.can_reload(&name)?;
    if let Err(error) = apply(site, &old, &new, &status) {
        // The first error is the one to tell.
        let _ = write(site, &old);
        return Err(error);
    }
    events::tell(&new, EventKind::Update, None);
    // The monitor takes its own steps.
    drop(lock);
    if goes_on {
        tell_monitor(site, &new, can_reload)?;
    }
    Ok(new)
}

/// The definition as it is to be.
fn changed(
    site: Site<'_>,
    old: &Definition,
    changes: &Changes,
) -> Result<Definition, ContainerError> {
    let mut new = old.clone();
    let image = match changes.touch_health() {
        true => image_health(site, old)?,
        false => HealthOptions::default(),
    };
    changes.apply(&mut new.options, &image)?;
    if changes.touch_health() {
        health::of(&new.options, &image)?;
        prepare::check_log(&new.options.health)?;
    }
    Ok(new)
}

fn image_health(site: Site<'_>, definition: &Definition) -> Result<HealthOptions, ContainerError> {
    match &definition.source {
        Source::Rootfs { .. } => Ok(HealthOptions::default()),
        Source::Image { id, .. } => {
            let image = Images::open(&site.layout.state())?.resolve(id)?;
            Ok(prepare::defaults(&image).health)
        }
    }
}

/// Whether a monitor has to know of a change.
fn is_for_monitor(old: &Definition, new: &Definition) -> bool {
    old.options.restart() != new.options.restart() || old.options.health != new.options.health
}

/// Writes the change down and hands it to systemd.
fn apply(
    site: Site<'_>,
    old: &Definition,
    new: &Definition,
    status: &UnitStatus,
) -> Result<(), ContainerError> {
    let name = old.unit();
    write(site, new)?;
    // A unit that has been changed before keeps that in a drop-in, which would win over its file.
    let changed_before = site.layout.runtime_properties(&name).exists();
    let running = !status.active_state.is_over();
    let limits = limit_changes(old, new);
    if status.load_state == LoadState::Loaded && (running || changed_before) && !limits.is_empty() {
        if let Some(pids) = new.options.limits.pids() {
            let path = site.layout.pids_request(&new.id);
            if site.layout.run_container(&new.id).exists() {
                let text = format!("{} {pids}\n", pids.saturating_add(OWN_PIDS));
                write_atomic(&path, text.as_bytes(), 0o600)?;
            }
        }
        site.manager.set_properties(&name, &limits)?;
    }
    if !is_for_monitor(old, new) {
        return Ok(());
    }
    // systemd reads the file by itself only where it has not loaded the unit.
    if !new.options.remove && site.manager.status(&name)?.need_daemon_reload {
        site.manager.reload()?;
    }
    if new.options.restart() == RestartPolicy::UnlessStopped && is_stopped(site, old, status) {
        write_atomic(&site.layout.stopped_mark(&new.id), b"", 0o600)?;
    }
    Ok(())
}

/// Whether a container was stopped since the boot, which counts for a policy that comes later, too.
fn is_stopped(site: Site<'_>, definition: &Definition, status: &UnitStatus) -> bool {
    let exit = || gather(site.layout, definition, status.clone()).exit;
    status.active_state.is_over() && exit().is_some_and(|exit| exit.stop != StopKind::None)
}

/// Makes the monitor of a run that goes on read the definition again.
fn tell_monitor(
    site: Site<'_>,
    definition: &Definition,
    can_reload: bool,
) -> Result<(), ContainerError> {
    let name = definition.unit();
    let status = site.manager.status(&name)?;
    if has_ended(&status) {
        return Ok(());
    }
    if !can_reload || !status.active_state.is_up() {
        tracing::warn!(
            "container {}: the run that goes on keeps to what was before; the change is written and will hold from the next start on",
            definition.name
        );
        return Ok(());
    }
    let (reason, canceled) = match site.manager.reload_unit(&name) {
        Ok(JobResult::Done) => return Ok(()),
        Ok(result) => {
            let reason = format!("systemd's reload of {name} ended as {}", result.as_str());
            (reason, result == JobResult::Canceled)
        }
        Err(error) => (chain(&error), false),
    };
    // What has taken the reload's place, mostly a stop, may be about to begin.
    let until = Instant::now()
        + if canceled {
            STOP_BEGINS
        } else {
            Duration::ZERO
        };
    loop {
        let now = site.manager.status(&name)?;
        if has_ended(&now) || now.invocation_id != status.invocation_id {
            // Nobody is left who would not know.
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(ContainerError::Untold {
                name: definition.name.clone(),
                reason,
            });
        }
        thread::sleep(PAUSE);
    }
}

/// Whether there is no run, or one that will not do anything any more.
fn has_ended(status: &UnitStatus) -> bool {
    status.active_state.is_over() || status.active_state == ActiveState::Deactivating
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
        unit::rewrite(site, definition)?;
    }
    Ok(())
}
