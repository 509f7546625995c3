//! Identity of a container and of its unit.

use std::fmt;
use std::str::FromStr;

/// The 64 lower-case hex digits that name a container for ever.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerId(String);

/// Why a text is not a container id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("container id {0:?} is not 64 hex digits")]
pub struct IdError(String);

impl ContainerId {
    /// Makes an id of 32 random bytes.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        let mut text = String::with_capacity(64);
        for byte in bytes {
            text.push(char::from_digit(u32::from(byte >> 4), 16).expect("a nibble is a digit"));
            text.push(char::from_digit(u32::from(byte & 15), 16).expect("a nibble is a digit"));
        }
        Self(text)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, as tables show it.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl FromStr for ContainerId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A container's name: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, at most 200 bytes so that its unit name fits (systemd.unit(5): 255).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerName(String);

/// Why a text is not a container name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("name {0:?}: names must match [a-zA-Z0-9][a-zA-Z0-9_.-]* and have at most 200 characters")]
pub struct NameError(String);

impl ContainerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        let good = text
            .as_bytes()
            .first()
            .is_some_and(u8::is_ascii_alphanumeric)
            && text.bytes().all(inner)
            && text.len() <= 200;
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a systemd service unit, with its suffix.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnitName(String);

impl UnitName {
    /// The unit of a container made on the command line: `unitbox-NAME.service`.
    pub fn of(name: &ContainerName) -> Self {
        Self(format!("unitbox-{name}.service"))
    }

    /// The shipped unit that cleans up behind a monitor that died. Its instance is the name as it is: every character
    /// of a name may stand in a unit name, and dependencies know no unescaped instance (`%I`).
    pub fn cleanup_of(name: &ContainerName) -> Self {
        Self(format!("unitbox-cleanup@{name}.service"))
    }

    /// Whether the unit is one of ours by its name; those of unit files are named after the file.
    pub fn is_own(&self) -> bool {
        self.0.starts_with("unitbox-")
    }

    /// The unit name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not the name of a service.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a service")]
pub struct UnitNameError(String);

impl FromStr for UnitName {
    type Err = UnitNameError;

    fn from_str(text: &str) -> Result<Self, UnitNameError> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
        let stem = text
            .strip_suffix(".service")
            .filter(|stem| !stem.is_empty());
        match stem.is_some() && text.len() < 256 && text.bytes().all(good) {
            true => Ok(Self(text.to_owned())),
            false => Err(UnitNameError(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

stored_as_text!(ContainerId, ContainerName, UnitName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_64_hex_digits() {
        let id = ContainerId::from_random([0xa5; 32]);
        assert_eq!(id.as_str(), "a5".repeat(32));
        assert_eq!(id.as_str().parse::<ContainerId>().as_ref(), Ok(&id));
        assert!("A5".repeat(32).parse::<ContainerId>().is_err());
        assert!("a5".parse::<ContainerId>().is_err());
    }

    #[test]
    fn names_are_podmans() {
        for good in ["web", "a", "0", "a_b.c-d"] {
            assert!(good.parse::<ContainerName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "ä", "a\n", &"a".repeat(201)] {
            assert!(bad.parse::<ContainerName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn units_are_named_after_the_container() {
        let name: ContainerName = "my-web".parse().unwrap();
        assert_eq!(UnitName::of(&name).as_str(), "unitbox-my-web.service");
        assert_eq!(
            UnitName::cleanup_of(&name).as_str(),
            "unitbox-cleanup@my-web.service"
        );
    }
}
