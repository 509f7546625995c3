//! What the checks of a container's health run, and what is known of it before the first.

use std::fs;

use super::Ground;
use super::error::{PrepareError, effect};
use crate::container::health::Record;
use crate::definition::{HealthCommand, Options};
use crate::host::world::{Durability, World};
use crate::plan::bundle::Bundle;
use crate::plan::exec::{ExecFacts, process};
use crate::plan::health;
use crate::types::{HealthPolicy, HealthStatus};

/// Writes it; the policy, if there is a check.
pub(super) fn prepare(
    ground: &Ground,
    planned: &Bundle,
    world: &mut dyn World,
) -> Result<Option<HealthPolicy>, PrepareError> {
    let (layout, id) = (ground.run.layout, &ground.definition.id);
    let plan = health::of(&ground.definition.options, &ground.image.health)?;
    let record = layout.health_file(id);
    let (Some(plan), Some(base)) = (plan, planned.spec.process()) else {
        // That of an earlier run, before an update took the check away.
        if fs::exists(&record).unwrap_or(false) {
            effect("remove", &record, world.remove_file(&record))?;
        }
        return Ok(None);
    };
    let mut write = |path: &std::path::Path, text: &str| {
        let written = world.write_file(path, text, 0o600, Durability::Cached);
        effect("write", path, written)
    };
    let mut command = |startup: bool, command: &HealthCommand| {
        let (options, facts) = (Options::default(), ExecFacts::default());
        let planned = process(base, &options, &command.words(), &facts);
        let json = serde_json::to_string(&planned).expect("a process has only string keys");
        write(&layout.probe_process(id, startup), &json)
    };
    command(false, &plan.command)?;
    if let Some(startup) = &plan.startup {
        command(true, startup)?;
    }
    let known = Record::new(HealthStatus::Starting);
    write(&record, &known.render())?;
    Ok(Some(plan.policy))
}
