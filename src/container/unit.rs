//! The unit file of a kept container, from `create` to `rm`, and the second names of units.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{ContainerError, Site, dependencies};
use crate::definition::Definition;
use crate::host::systemd::UnitStatus;
use crate::plan::unit::{Unit, UnitFacts};
use crate::store::{remove_tree, write_atomic};
use crate::types::{ContainerName, UnitName};

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

/// Writes the unit file of a container that has one; that of its old name, if it was renamed while it ran.
///
/// # Errors
/// It cannot be written.
pub fn rewrite(site: Site<'_>, definition: &Definition) -> Result<(), ContainerError> {
    let mut unit = plan(site, definition)?;
    if let Some(real) = behind(site, &unit.name) {
        unit.name = real;
    }
    write(site, &unit)
}

/// The unit that another name stands for: that of a container which was renamed while it ran.
fn behind(site: Site<'_>, name: &UnitName) -> Option<UnitName> {
    let target = fs::read_link(site.layout.unit_file(name)).ok()?;
    target.to_str()?.parse().ok()
}

/// What systemd calls the unit of this name.
pub(super) fn own_name(site: Site<'_>, name: &UnitName) -> UnitName {
    behind(site, name).unwrap_or_else(|| name.clone())
}

/// Makes the name of a container's unit an alias of the unit that runs. The text of that is the container's from now on:
/// systemd may start it again by itself. A transient one cannot be written anew; it is told who cleans up behind it.
///
/// # Errors
/// The files cannot be written, or systemd did not answer.
pub fn alias(
    site: Site<'_>,
    definition: &Definition,
    running: &UnitName,
) -> Result<(), ContainerError> {
    let real = own_name(site, running);
    if real != *running {
        remove_file(&site.layout.unit_file(running))?;
    }
    let name = definition.unit();
    if name != real {
        let link = site.layout.unit_file(&name);
        let directory = site.layout.unit_files();
        fs::create_dir_all(&directory).map_err(ContainerError::io("make directory", directory))?;
        symlink(real.as_str(), &link).map_err(ContainerError::io("make alias", link))?;
    }
    if definition.options.remove {
        adopt(site, definition, &real)?;
    } else {
        let mut unit = plan(site, definition)?;
        unit.name = real;
        write(site, &unit)?;
    }
    Ok(site.manager.reload()?)
}

/// Tells a transient unit which container it is to clean up behind.
fn adopt(site: Site<'_>, definition: &Definition, unit: &UnitName) -> Result<(), ContainerError> {
    let path = site.layout.transient_drop_in(unit);
    let directory = path.parent().expect("a drop-in lies in a directory");
    fs::create_dir_all(directory).map_err(ContainerError::io("make directory", directory))?;
    let cleanup = UnitName::cleanup_of(&definition.name);
    let text = format!("[Unit]\nOnFailure={cleanup}\n");
    Ok(write_atomic(&path, text.as_bytes(), 0o644)?)
}

/// Gives a container that does not run any more a unit of its own name; whether it had none.
fn follow(site: Site<'_>, definition: &Definition) -> Result<bool, ContainerError> {
    let name = definition.unit();
    if behind(site, &name).is_none() {
        return Ok(false);
    }
    site.manager.reset_failed(&name)?;
    unlink(site, &name)?;
    write(site, &plan(site, definition)?)?;
    site.manager.reload()?;
    Ok(true)
}

/// Whether a name's unit is nobody else's: one that was renamed while it ran has it until its next start. `own` is the
/// unit of who asks.
///
/// # Errors
/// It is; or the unit files cannot be listed.
pub fn check_free(
    site: Site<'_>,
    name: &ContainerName,
    own: Option<&UnitName>,
) -> Result<(), ContainerError> {
    let wanted = UnitName::of(name);
    let files = site.layout.unit_files();
    let entries = match fs::read_dir(&files) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(ContainerError::io("list", files))?,
    };
    for entry in entries.flatten() {
        let alias = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(alias) = alias.filter(|alias: &UnitName| alias.is_own() && own != Some(alias))
        else {
            continue;
        };
        if entry.file_type().is_ok_and(|kind| kind.is_symlink())
            && behind(site, &alias).is_some_and(|real| real == wanted)
        {
            let end = match site.layout.unit_file(&wanted).exists() {
                true => "next start",
                false => "end",
            };
            return Err(ContainerError::State(format!(
                "unit {wanted} is that of a container which was renamed, and which {alias} is until its {end}"
            )));
        }
    }
    Ok(())
}

fn remove_file(path: &Path) -> Result<bool, ContainerError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(ContainerError::io("remove unit file", path)(error)),
    }
}

/// Removes the unit file, and the one that it is an alias of; whether there was one.
///
/// # Errors
/// It cannot be removed.
pub fn unlink(site: Site<'_>, unit: &UnitName) -> Result<bool, ContainerError> {
    if !unit.is_own() {
        // The generator's, or the administrator's.
        return Ok(false);
    }
    if let Some(real) = behind(site, unit) {
        remove_file(&site.layout.unit_file(&real))?;
        remove_tree(&site.layout.runtime_properties(&real))?;
        remove_tree(&site.layout.log_fields(&real))?;
    }
    remove_file(&site.layout.unit_file(unit))
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
    if follow(site, definition)? {
        return Ok(());
    }
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
