//! Devices of the host that a container gets, and rules of its cgroup for devices.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A device wished for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// A device node of the host, or a directory with all that are below it.
    Node {
        /// Absolute path on the host.
        host: String,
        /// Absolute path in the container; none: where it is on the host.
        container: Option<String>,
        /// `r`, `w`, `m` in any order; none: all.
        access: Option<String>,
    },
    /// A device of the Container Device Interface: `VENDOR/CLASS=NAME`.
    Cdi(String),
}

/// What the cgroup allows for devices by number (cgroups(7), `devices`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceRule {
    /// `a`, `b` or `c`.
    pub kind: char,
    /// Major number; none: any.
    pub major: Option<u32>,
    /// Minor number; none: any.
    pub minor: Option<u32>,
    /// `r`, `w`, `m` in any order.
    pub access: String,
}

fn is_access(text: &str) -> bool {
    let once = |c: char| text.matches(c).count() == 1 && "rwm".contains(c);
    !text.is_empty() && text.chars().all(once)
}

/// `VENDOR/CLASS=NAME`, each of letters, digits and a few signs (the CDI specification, "kind" and "name").
fn is_cdi(text: &str) -> bool {
    let word = |part: &str, signs: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || signs.contains(c);
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        ends(part.chars().next()) && ends(part.chars().next_back()) && part.chars().all(known)
    };
    let parts = text.split_once('=').and_then(|(kind, name)| {
        let (vendor, class) = kind.split_once('/')?;
        Some((vendor, class, name))
    });
    parts.is_some_and(|(vendor, class, name)| {
        word(vendor, "_-.") && word(class, "_-.") && word(name, "_-.:")
    })
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return match is_cdi(text) {
                true => Ok(Self::Cdi(text.to_owned())),
                false => Err("neither an absolute path nor VENDOR/CLASS=NAME".to_owned()),
            };
        }
        let parts: Vec<&str> = text.split(':').collect();
        let (host, container, access) = match parts[..] {
            [host] => (host, None, None),
            [host, access] if is_access(access) => (host, None, Some(access)),
            [host, container] => (host, Some(container), None),
            [host, container, access] => (host, Some(container), Some(access)),
            _ => return Err("more than three parts".to_owned()),
        };
        let container = container.filter(|path| !path.is_empty());
        if container.is_some_and(|path| !path.starts_with('/')) {
            return Err("neither a path in the container nor letters of rwm".to_owned());
        }
        if access.is_some_and(|access| !is_access(access)) {
            return Err("access is not letters of rwm, each once".to_owned());
        }
        if text.chars().any(char::is_control) {
            return Err("control characters are not allowed".to_owned());
        }
        Ok(Self::Node {
            host: host.to_owned(),
            container: container.map(str::to_owned),
            access: access.map(str::to_owned),
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cdi(name) => out.write_str(name),
            Self::Node {
                host,
                container,
                access,
            } => {
                out.write_str(host)?;
                if let Some(path) = container {
                    write!(out, ":{path}")?;
                }
                match access {
                    Some(access) => write!(out, ":{access}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl FromStr for DeviceRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split(' ').collect();
        let [kind, numbers, access] = words[..] else {
            return Err("not TYPE MAJOR:MINOR ACCESS".to_owned());
        };
        let kind = match kind {
            "a" => 'a',
            "b" => 'b',
            "c" => 'c',
            _ => return Err("the type is not a, b or c".to_owned()),
        };
        if !is_access(access) {
            return Err("access is not letters of rwm, each once".to_owned());
        }
        let number = |text: &str| match text {
            "*" => Ok(None),
            _ => text
                .parse()
                .map(Some)
                .map_err(|_| "not a number or *".to_owned()),
        };
        let (major, minor) = numbers.split_once(':').unwrap_or((numbers, "*"));
        Ok(Self {
            kind,
            major: number(major)?,
            minor: number(minor)?,
            access: access.to_owned(),
        })
    }
}

impl fmt::Display for DeviceRule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |n| n.to_string());
        let (major, minor) = (number(self.major), number(self.minor));
        write!(out, "{} {major}:{minor} {}", self.kind, self.access)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_device_is_refused() {
        for bad in [
            "dev/full",
            "/dev/full:x",
            "/dev/full:/dev/a:q",
            "/dev/full:/dev/a:rr",
            "/dev/full:/dev/a:rw:x",
            "/dev/full:/dev/a:",
            "vendor.com/class",
            "vendor.com/=x",
            "-/c=x",
            "v/c=x y",
            "",
        ] {
            assert!(bad.parse::<Device>().is_err(), "{bad}");
        }
        assert_eq!(
            "/dev/full::rw".parse::<Device>().unwrap().to_string(),
            "/dev/full:rw"
        );
        for bad in [
            "c 1:3", "x 1:3 r", "c 1:3 q", "c 1:3  r", "c -1:3 r", "c 1:3 rr",
        ] {
            assert!(bad.parse::<DeviceRule>().is_err(), "{bad}");
        }
        assert_eq!(
            "c 1 r".parse::<DeviceRule>().unwrap().to_string(),
            "c 1:* r"
        );
    }
}
