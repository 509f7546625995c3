//! systemd-machined(8): containers that want to be in its list (org.freedesktop.machine1(5)).

use std::path::Path;

use super::dbus::{Kind, Link, system_bus};
use crate::types::ContainerId;

const NAME: &str = "org.freedesktop.machine1";
const PATH: &str = "/org/freedesktop/machine1";
const MANAGER: &str = "org.freedesktop.machine1.Manager";
/// A machine with that name is there.
const EXISTS: &str = "org.freedesktop.machine1.MachineExists";
/// Who runs the machines.
const SERVICE: &str = "unitbox";

/// Why a container is not in the list.
#[derive(Debug, thiserror::Error)]
pub enum MachinedError {
    /// There is no system bus, or it broke off.
    #[error("call systemd-machined")]
    Bus(#[source] Box<zbus::Error>),
    /// It does not want the machine, such as one whose name is no host name, or is not there.
    #[error("register {name} with systemd-machined: {reason}")]
    Refused {
        /// The container's name.
        name: String,
        /// What it said.
        reason: String,
    },
}

impl From<zbus::Error> for MachinedError {
    fn from(error: zbus::Error) -> Self {
        Self::Bus(Box::new(error))
    }
}

/// Puts the container whose first process is `leader` into the list, under its name and with the first half of its id; one
/// of that name which was there before it, such as its last run, is taken off. machined itself forgets it with the unit.
///
/// # Errors
/// See [`MachinedError`].
pub fn register(
    root: &Path,
    name: &str,
    id: &ContainerId,
    leader: u32,
) -> Result<(), MachinedError> {
    let link = Link::connect(&system_bus(root), Kind::Bus)?;
    let connection = link.connection();
    let machine = (name, uuid(id), SERVICE, "container", leader, "");
    let enter = || {
        link.run(connection.call_method(
            Some(NAME),
            PATH,
            Some(MANAGER),
            "RegisterMachine",
            &machine,
        ))
    };
    let mut answer = enter();
    if answer.as_ref().is_err_and(|error| is_named(error, EXISTS)) {
        let leave =
            connection.call_method(Some(NAME), PATH, Some(MANAGER), "UnregisterMachine", &name);
        // It may have gone by itself in between.
        let _ = link.run(leave);
        answer = enter();
    }
    match answer {
        Ok(_) => Ok(()),
        Err(zbus::Error::MethodError(error, text, _)) => Err(MachinedError::Refused {
            name: name.to_owned(),
            reason: text.unwrap_or_else(|| error.to_string()),
        }),
        Err(error) => Err(error.into()),
    }
}

fn is_named(error: &zbus::Error, name: &str) -> bool {
    matches!(error, zbus::Error::MethodError(own, _, _) if own.as_str() == name)
}

/// The first 128 bits of an id.
fn uuid(id: &ContainerId) -> Vec<u8> {
    let digits = id.as_str().as_bytes().chunks(2).take(16);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.filter_map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_cut_to_a_machines() {
        let id = format!("00ff10{}", "ab".repeat(29))
            .parse()
            .expect("64 digits");
        let bytes = uuid(&id);
        assert_eq!((bytes.len(), &bytes[..4]), (16, &[0, 0xff, 0x10, 0xab][..]));
    }
}
