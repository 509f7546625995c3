//! The one number that a service on the bus asks systemd for while it answers others.

use zbus::Connection;
use zbus::zvariant::OwnedValue;

use super::names::{PROPERTIES, SERVICE, SERVICE_UNIT, unit_path};
use crate::types::UnitName;

/// Automatic restarts of a unit since its last start (NRestarts), by a connection to the system bus.
///
/// # Errors
/// systemd did not answer.
pub async fn restarts(connection: &Connection, unit: &UnitName) -> zbus::Result<u32> {
    let body = (SERVICE_UNIT, "NRestarts");
    let path = unit_path(unit.as_str());
    let call = connection.call_method(Some(SERVICE), path, Some(PROPERTIES), "Get", &body);
    let value: OwnedValue = call.await?.body().deserialize()?;
    Ok(u32::try_from(value)?)
}
