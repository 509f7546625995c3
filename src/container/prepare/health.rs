//! What the checks of a container's health run, and what is known of it before the first.

use std::fs;
use std::io;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Ground;
use super::error::{PrepareError, effect};
use super::root;
use crate::api::Layout;
use crate::container::health::Record;
use crate::definition::{Definition, HealthCommand, HealthOptions, Source};
use crate::host::world::{Durability, World};
use crate::image::Images;
use crate::plan::health;
use crate::types::{HealthPolicy, HealthStatus};

/// config.json, as far as it matters here: behind the host's filters, and without the types of the specification, whose
/// reading is more code than all else that this program reads.
#[derive(Deserialize)]
struct Config {
    process: Map<String, Value>,
}

/// Writes it; the policy, if there is a check.
pub(super) fn prepare(
    ground: &Ground,
    world: &mut dyn World,
) -> Result<Option<HealthPolicy>, PrepareError> {
    let (layout, definition) = (ground.run.layout, ground.definition);
    let policy = write(layout, definition, &ground.image.health, world)?;
    if policy.is_some() {
        begin(layout, definition, world)?;
    }
    Ok(policy)
}

/// The same for a payload that runs: what is known of it stays.
///
/// # Errors
/// The options do not fit together, or a file cannot be read or written.
pub fn change(
    layout: &Layout,
    definition: &Definition,
    world: &mut dyn World,
) -> Result<Option<HealthPolicy>, PrepareError> {
    let image = match &definition.source {
        Source::Rootfs { .. } => HealthOptions::default(),
        Source::Image { id, .. } => {
            let images = Images::open(&layout.state())?;
            root::defaults(&images.resolve(id)?).health
        }
    };
    let policy = write(layout, definition, &image, world)?;
    if policy.is_some() && !layout.health_file(&definition.id).exists() {
        begin(layout, definition, world)?;
    }
    Ok(policy)
}

/// What is known before the first check.
fn begin(
    layout: &Layout,
    definition: &Definition,
    world: &mut dyn World,
) -> Result<(), PrepareError> {
    let path = layout.health_file(&definition.id);
    let known = Record::new(HealthStatus::Starting).render();
    let written = world.write_file(&path, &known, 0o600, Durability::Cached);
    effect("write", &path, written)
}

/// Writes the commands, for processes as that of the payload.
fn write(
    layout: &Layout,
    definition: &Definition,
    image: &HealthOptions,
    world: &mut dyn World,
) -> Result<Option<HealthPolicy>, PrepareError> {
    let id = &definition.id;
    let plan = health::of(&definition.options, image)?;
    let Some(plan) = plan else {
        // That of before an update has taken the check away.
        let record = layout.health_file(id);
        if fs::exists(&record).unwrap_or(false) {
            effect("remove", &record, world.remove_file(&record))?;
        }
        return Ok(None);
    };
    let path = layout.bundle(id).join("config.json");
    let read = fs::read(&path)
        .and_then(|text| serde_json::from_slice::<Config>(&text).map_err(io::Error::other));
    let mut process = effect("read", &path, read)?.process;
    process.remove("consoleSize");
    process.insert("terminal".to_owned(), Value::Bool(false));
    let mut command = |startup: bool, command: &HealthCommand| {
        process.insert("args".to_owned(), command.words().into());
        let json = serde_json::to_string(&process).expect("a process has only string keys");
        let path = layout.probe_process(id, startup);
        let written = world.write_file(&path, &json, 0o600, Durability::Cached);
        effect("write", &path, written)
    };
    command(false, &plan.command)?;
    if let Some(startup) = &plan.startup {
        command(true, startup)?;
    }
    Ok(Some(plan.policy))
}
