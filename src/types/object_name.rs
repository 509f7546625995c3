//! Names of what containers use: volumes and secrets.

use std::fmt;
use std::str::FromStr;

/// Why a text is no name of a volume or a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("name {name:?}: {rule}")]
pub struct ObjectNameError {
    name: String,
    rule: &'static str,
}

fn refuse<T>(name: &str, rule: &'static str) -> Result<T, ObjectNameError> {
    let name = name.chars().take(80).collect();
    Err(ObjectNameError { name, rule })
}

/// A volume's name: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, at most 200 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VolumeName(String);

impl FromStr for VolumeName {
    type Err = ObjectNameError;

    fn from_str(text: &str) -> Result<Self, ObjectNameError> {
        if is_plain(text) && text.len() <= 200 {
            return Ok(Self(text.to_owned()));
        }
        refuse(text, "names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*")
    }
}

/// A secret's name: 1 to 253 bytes without control characters, `=`, `/` and `,`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretName(String);

impl FromStr for SecretName {
    type Err = ObjectNameError;

    fn from_str(text: &str) -> Result<Self, ObjectNameError> {
        let bad = |c: char| c.is_control() || matches!(c, '=' | '/' | ',');
        if (1..=253).contains(&text.len()) && !text.contains(bad) {
            return Ok(Self(text.to_owned()));
        }
        let rule = "secret names have 1 to 253 characters, none of them '=', '/', ',' or a control character";
        refuse(text, rule)
    }
}

fn is_plain(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let first = text.as_bytes().first();
    first.is_some_and(u8::is_ascii_alphanumeric) && text.bytes().all(inner)
}

macro_rules! as_text {
    ($type:ty) => {
        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        stored_as_text!($type);
    };
}
as_text!(VolumeName);
as_text!(SecretName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_its_directory() {
        for bad in [
            "", ".", "..", "a/b", "-a", ".new-a", "a\0b", "a b", "ä", "a\n",
        ] {
            assert!(bad.parse::<VolumeName>().is_err(), "{bad:?}");
        }
        for bad in ["", "a/b", "a=b", "a,b", "a\0", "a\n", &"a".repeat(254)] {
            assert!(bad.parse::<SecretName>().is_err(), "{bad:?}");
        }
        for good in ["a", "db-pass", "0.x_y"] {
            assert!(good.parse::<VolumeName>().is_ok(), "{good}");
            assert!(good.parse::<SecretName>().is_ok(), "{good}");
        }
    }
}
