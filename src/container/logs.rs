//! What a container wrote, from where its log driver put it.

use std::ffi::OsString;
use std::path::PathBuf;

use super::ContainerError;
use crate::api::{Layout, journal};
use crate::definition::{Definition, LogDriver};

/// Where the output of a container is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogPlace {
    /// In the journal: what to ask journalctl(1) for.
    Journal(Vec<OsString>),
    /// In a file of the k8s-file form.
    File(PathBuf),
}

/// Finds the output of a container.
///
/// # Errors
/// [`ContainerError::NoLogs`].
pub fn place(layout: &Layout, definition: &Definition) -> Result<LogPlace, ContainerError> {
    match definition.options.log_driver {
        LogDriver::Journald | LogDriver::Passthrough => Ok(LogPlace::Journal(vec![
            // Not by the unit, which has another name after a rename. Nobody but the unit can give a stream this field.
            format!("{}={}", journal::CONTAINER_ID_FULL, definition.id).into(),
            "_TRANSPORT=stdout".into(),
        ])),
        LogDriver::K8sFile => Ok(LogPlace::File(match &definition.options.log.path {
            Some(path) => path.into(),
            None => layout.container(&definition.id).join("ctr.log"),
        })),
        LogDriver::None => Err(ContainerError::NoLogs {
            name: definition.name.clone(),
            driver: definition.options.log_driver.name(),
        }),
    }
}
