//! User namespaces: which users of the host stand behind those of a container (user_namespaces(7)).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A line of a mapping: as many ids, one after the other, from these on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IdRange {
    /// First id in the container.
    pub container: u32,
    /// First id of the host.
    pub host: u32,
    /// How many; not 0.
    pub size: u32,
}

impl IdRange {
    /// The id of the host for one of the container, if it is in this range.
    pub fn to_host(&self, id: u32) -> Option<u32> {
        let offset = id.checked_sub(self.container)?;
        (offset < self.size).then(|| self.host + offset)
    }

    pub(super) fn new(container: u32, host: u32, size: u32) -> Result<Self, String> {
        let ends = [container.checked_add(size), host.checked_add(size)];
        if size == 0 || ends.contains(&None) {
            return Err("the size is 0, or ids get larger than 4294967294".to_owned());
        }
        Ok(Self {
            container,
            host,
            size,
        })
    }
}

impl fmt::Display for IdRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}", self.container, self.host, self.size)
    }
}

/// Which of the two kinds of ids a mapping is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kinds {
    Both,
    Users,
    Groups,
}

/// `[+][u|g]CONTAINER:[@]HOST[:SIZE]`. Without a mapping of a caller below, `+` adds to nothing and `@` means the host's
/// own ids.
pub(super) fn parse_mapping(text: &str) -> Result<(IdRange, Kinds), String> {
    let flags_end = text.find(|c: char| c.is_ascii_digit()).unwrap_or(0);
    let (flags, rest) = text.split_at(flags_end);
    let kinds = match (flags.contains('u'), flags.contains('g')) {
        (true, false) => Kinds::Users,
        (false, true) => Kinds::Groups,
        _ => Kinds::Both,
    };
    let mut parts = rest.split(':');
    let (container, host, size) = (parts.next(), parts.next(), parts.next().unwrap_or("1"));
    let number = |text: &str| text.parse::<u32>().ok();
    let range = || {
        let host = host?;
        let host = host.strip_prefix('@').unwrap_or(host);
        Some((number(container?)?, number(host)?, number(size)?))
    };
    match range() {
        Some((container, host, size))
            if parts.next().is_none() && flags.chars().all(|c| "+ug".contains(c)) =>
        {
            Ok((IdRange::new(container, host, size)?, kinds))
        }
        _ => Err("not CONTAINER:HOST[:SIZE]".to_owned()),
    }
}

/// The mode of the user namespace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserNamespace {
    /// The host's.
    Host,
    /// A new one in which every user is the same as on the host.
    KeepId,
    /// The same, and who the payload is if neither user nor image say so; its group is given in any case.
    KeepIdAs {
        /// User; none: root.
        uid: Option<u32>,
        /// Group; none: root's.
        gid: Option<u32>,
    },
    /// That of another container.
    Container(String),
    /// That of a file (namespaces(7)).
    Path(String),
    /// A new one with ids of the host that no other container has.
    Auto {
        /// How many; none: as the image needs.
        size: Option<u32>,
        /// Users that are mapped to certain ones of the host.
        uids: Vec<IdRange>,
        /// The same for groups.
        gids: Vec<IdRange>,
    },
}

impl FromStr for UserNamespace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mode, options) = text.split_once(':').unwrap_or((text, ""));
        match (mode, options) {
            ("host", "") => Ok(Self::Host),
            ("keep-id", "") => Ok(Self::KeepId),
            ("auto", options) => auto(options),
            ("keep-id", options) => keep_id(options),
            ("nomap", "") => Err("nomap is for rootless containers only".to_owned()),
            ("container", name) if !name.is_empty() => Ok(Self::Container(name.to_owned())),
            ("ns", path) if path.starts_with('/') => Ok(Self::Path(path.to_owned())),
            ("ns", _) => Err("not an absolute path".to_owned()),
            ("private", "") => Err("private needs --uidmap or --gidmap instead".to_owned()),
            _ => Err("not host, keep-id, auto, container:NAME or ns:PATH".to_owned()),
        }
    }
}

fn keep_id(options: &str) -> Result<UserNamespace, String> {
    let (mut uid, mut gid) = (None, None);
    for option in options.split(',') {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        let id = || value.parse().map_err(|_| format!("{key} is not a number"));
        match key {
            "uid" => uid = Some(id()?),
            "gid" => gid = Some(id()?),
            "size" => return Err("a size of keep-id is for rootless containers only".to_owned()),
            _ => return Err(format!("keep-id has no option {key:?}")),
        }
    }
    Ok(UserNamespace::KeepIdAs { uid, gid })
}

fn auto(options: &str) -> Result<UserNamespace, String> {
    let (mut size, mut uids, mut gids) = (None, Vec::new(), Vec::new());
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (key, value) = option.split_once('=').ok_or("an option is not KEY=VALUE")?;
        match key {
            "size" => {
                let number = value.parse().ok().filter(|size| *size != 0);
                size = Some(number.ok_or("the size is not a number above 0")?);
            }
            "uidmapping" => uids.push(parse_mapping(value)?.0),
            "gidmapping" => gids.push(parse_mapping(value)?.0),
            _ => return Err(format!("auto has no option {key:?}")),
        }
    }
    Ok(UserNamespace::Auto { size, uids, gids })
}

impl fmt::Display for UserNamespace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, uids, gids) = match self {
            Self::Auto { size, uids, gids } => (size, uids, gids),
            Self::Host => return out.write_str("host"),
            Self::KeepId => return out.write_str("keep-id"),
            Self::KeepIdAs { uid, gid } => {
                let ids = [("uid", uid), ("gid", gid)].into_iter();
                let given = ids.filter_map(|(key, id)| Some(format!("{key}={}", (*id)?)));
                return write!(out, "keep-id:{}", given.collect::<Vec<_>>().join(","));
            }
            Self::Container(name) => return write!(out, "container:{name}"),
            Self::Path(path) => return write!(out, "ns:{path}"),
        };
        let size = size.map(|size| format!("size={size}"));
        let uids = uids.iter().map(|range| format!("uidmapping={range}"));
        let gids = gids.iter().map(|range| format!("gidmapping={range}"));
        let all: Vec<String> = size.into_iter().chain(uids).chain(gids).collect();
        match all.is_empty() {
            true => out.write_str("auto"),
            false => write!(out, "auto:{}", all.join(",")),
        }
    }
}

/// What a user says of the mapping.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserOptions {
    /// The mode; none: what the host's configuration says, unless there is a mapping.
    pub mode: Option<UserNamespace>,
    /// Mapping of users; none: as of groups.
    pub uids: Vec<IdRange>,
    /// Mapping of groups; none: as of users.
    pub gids: Vec<IdRange>,
    /// A name of /etc/subuid whose ids are mapped.
    pub subuid_name: Option<String>,
    /// A name of /etc/subgid whose ids are mapped.
    pub subgid_name: Option<String>,
}

impl UserOptions {
    /// Whether there is a mapping in so many words.
    pub fn has_mapping(&self) -> bool {
        let named = self.subuid_name.is_some() || self.subgid_name.is_some();
        named || !self.uids.is_empty() || !self.gids.is_empty()
    }

    /// Who the payload is by `keep-id`, if nobody else says so: user and group.
    pub fn kept_ids(&self) -> Option<(u32, u32)> {
        match self.mode {
            Some(UserNamespace::KeepId) => Some((0, 0)),
            Some(UserNamespace::KeepIdAs { uid, gid }) => {
                Some((uid.unwrap_or(0), gid.unwrap_or(0)))
            }
            _ => None,
        }
    }

    /// Two ranges that hold the same id of container or host, which the kernel refuses.
    pub(super) fn overlap(&self) -> Option<(IdRange, IdRange)> {
        let both = |a: (u32, u32), b: (u32, u32)| a.0 < b.0 + b.1 && b.0 < a.0 + a.1;
        [&self.uids, &self.gids].into_iter().find_map(|ranges| {
            let pairs = ranges.iter().enumerate();
            let mut pairs = pairs.flat_map(|(at, a)| ranges[..at].iter().map(move |b| (*a, *b)));
            pairs.find(|(a, b)| {
                both((a.container, a.size), (b.container, b.size))
                    || both((a.host, a.size), (b.host, b.size))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_read_as_podman_does() {
        let range = |container, host, size| IdRange {
            container,
            host,
            size,
        };
        for (text, expected) in [
            ("0:100000:5000", Ok((range(0, 100_000, 5000), Kinds::Both))),
            ("0:@7", Ok((range(0, 7, 1), Kinds::Both))),
            ("+g5:7:2", Ok((range(5, 7, 2), Kinds::Groups))),
            ("u5:7:2", Ok((range(5, 7, 2), Kinds::Users))),
            ("0:1:2:3", Err(())),
            ("0", Err(())),
            ("0:1:0", Err(())),
            ("0:4294967295:2", Err(())),
            ("x0:1:1", Err(())),
            ("0:-1:1", Err(())),
        ] {
            assert_eq!(parse_mapping(text).map_err(drop), expected, "{text}");
        }
    }

    #[test]
    fn modes_are_read_and_refused_as_podman_does_for_root() {
        for good in [
            "host",
            "keep-id",
            "keep-id:uid=5",
            "keep-id:uid=5,gid=6",
            "auto",
            "container:web",
            "ns:/proc/1/ns/user",
        ] {
            let mode: UserNamespace = good.parse().unwrap();
            assert_eq!(mode.to_string(), good);
        }
        for bad in [
            "keep-id:size=9",
            "keep-id:x=9",
            "keep-id:uid=x",
            "nomap",
            "nomap:x",
            "private",
            "container:",
            "ns:",
            "ns:relative",
            "sideways",
        ] {
            assert!(bad.parse::<UserNamespace>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_that_share_an_id_are_found() {
        let ranges = |texts: [&str; 2]| UserOptions {
            uids: texts.map(|text| parse_mapping(text).unwrap().0).to_vec(),
            ..UserOptions::default()
        };
        assert!(ranges(["0:100:10", "5:300:10"]).overlap().is_some());
        assert!(ranges(["0:100:10", "10:109:10"]).overlap().is_some());
        assert!(ranges(["0:100:10", "10:110:10"]).overlap().is_none());
    }
}
