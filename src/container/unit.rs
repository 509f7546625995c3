//! The unit file of a kept container, from `create` to `rm`.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{ContainerError, Site, dependencies};
use crate::definition::Definition;
use crate::host::systemd::UnitStatus;
use crate::plan::unit::{Unit, UnitFacts};
use crate::store::write_atomic;
use crate::types::UnitName;

const INSTALLED: &str = "/usr/libexec/unitbox/unitbox-monitor";

/// Path of the monitor: installed beside this program (`PREFIX/libexec/unitbox`), or in the system's own place.
pub fn monitor_path() -> PathBuf {
    #[cfg(debug_assertions)]
    if let Some(path) = env::var_os("UNITBOX_MONITOR") {
        return path.into();
    }
    let beside = env::current_exe().ok().and_then(|own| {
        let prefix = own.parent()?.parent()?;
        Some(prefix.join("libexec/unitbox/unitbox-monitor"))
    });
    beside
        .filter(|path| path.is_file())
        .unwrap_or_else(|| INSTALLED.into())
}

/// Plans the unit of a container on this host.
///
/// # Errors
/// systemd did not tell its version.
pub fn plan(site: Site<'_>, definition: &Definition) -> Result<Unit, ContainerError> {
    let facts = UnitFacts {
        systemd: site.manager.version()?,
        monitor: &monitor_path(),
        layout: site.layout,
        dependencies: &dependencies::units(site, definition)?,
    };
    Ok(Unit::of(definition, &facts))
}

/// Writes the unit file. systemd.exec(5) data is readable by everybody, so is the file.
///
/// # Errors
/// It cannot be written.
pub fn write(site: Site<'_>, unit: &Unit) -> Result<(), ContainerError> {
    let path = site.layout.unit_file(&unit.name);
    let directory = path.parent().expect("a unit file lies in a directory");
    fs::create_dir_all(directory).map_err(ContainerError::io("make directory", directory))?;
    Ok(write_atomic(&path, unit.render().as_bytes(), 0o644)?)
}

/// Removes the unit file; whether there was one.
///
/// # Errors
/// It cannot be removed.
pub fn unlink(site: Site<'_>, unit: &UnitName) -> Result<bool, ContainerError> {
    if !unit.is_own() {
        // The generator's, or the administrator's.
        return Ok(false);
    }
    let path = site.layout.unit_file(unit);
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(ContainerError::io("remove unit file", path)(error)),
    }
}

/// Makes sure that systemd will run the unit as it is written: its file is there, and is the one that systemd has read.
/// A changed file of a failed unit is read after a reset, that of a referenced one after a reload only.
///
/// # Errors
/// The file cannot be written, or systemd did not answer.
pub fn refresh(
    site: Site<'_>,
    definition: &Definition,
    status: &UnitStatus,
) -> Result<(), ContainerError> {
    let name = definition.unit();
    if definition.deployed.is_none() && !Path::new(&site.layout.unit_file(&name)).exists() {
        write(site, &plan(site, definition)?)?;
    }
    if !status.need_daemon_reload {
        return Ok(());
    }
    site.manager.reset_failed(&name)?;
    if site.manager.status(&name)?.need_daemon_reload {
        tracing::info!(unit = %name, "systemd holds an older text of the unit, reloading");
        site.manager.reload()?;
    }
    Ok(())
}
