//! Names of systemd on D-Bus.

pub(super) const SERVICE: &str = "org.freedesktop.systemd1";
pub(super) const PATH: &str = "/org/freedesktop/systemd1";
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";
pub(super) const UNIT: &str = "org.freedesktop.systemd1.Unit";
pub(super) const SERVICE_UNIT: &str = "org.freedesktop.systemd1.Service";
pub(super) const JOB: &str = "org.freedesktop.systemd1.Job";
pub(super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// The object path of a unit: every byte but letters and digits as `_xx` (sd_bus_path_encode(3)).
pub(super) fn unit_path(unit: &str) -> String {
    let mut path = format!("{PATH}/unit/");
    for (at, byte) in unit.bytes().enumerate() {
        let plain = byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit());
        if plain {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("_{byte:02x}"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_has_the_path_that_systemd_gives_it() {
        assert_eq!(
            unit_path("unitbox-0a.service"),
            "/org/freedesktop/systemd1/unit/unitbox_2d0a_2eservice"
        );
        assert_eq!(unit_path("0"), "/org/freedesktop/systemd1/unit/_30");
    }
}
