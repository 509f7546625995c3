//! User namespaces.

use super::OptionSpec;
use super::parse::{Done, clean, shown_one};
use crate::definition::Options;
use crate::definition::userns::{Kinds, parse_mapping};

pub(super) const SPECS: &[OptionSpec] = &[
    OptionSpec::many(
        "gidmap",
        "MAPPING",
        "Map groups of the container to groups of the host: CONTAINER:HOST[:SIZE]",
        |options, value| map(options, value, Kinds::Groups),
        |options| {
            let gids = options.isolation.user.gids.iter();
            gids.map(|range| format!("g{range}")).collect()
        },
    )
    .key("GIDMap"),
    OptionSpec::one(
        "subgidname",
        "NAME",
        "Map groups to those that a name has in /etc/subgid",
        |options, value| {
            options.isolation.user.subgid_name = Some(clean(value)?);
            Ok(())
        },
        |options| shown_one(options.isolation.user.subgid_name.as_ref()),
    )
    .key("SubGIDMap"),
    OptionSpec::one(
        "subuidname",
        "NAME",
        "Map users to those that a name has in /etc/subuid",
        |options, value| {
            options.isolation.user.subuid_name = Some(clean(value)?);
            Ok(())
        },
        |options| shown_one(options.isolation.user.subuid_name.as_ref()),
    )
    .key("SubUIDMap"),
    OptionSpec::many(
        "uidmap",
        "MAPPING",
        "Map users of the container to users of the host: CONTAINER:HOST[:SIZE]",
        |options, value| map(options, value, Kinds::Users),
        |options| {
            let uids = options.isolation.user.uids.iter();
            uids.map(|range| format!("u{range}")).collect()
        },
    )
    .key("UIDMap"),
    OptionSpec::one(
        "userns",
        "MODE",
        "User namespace: host, keep-id[:uid=N,gid=N], auto[:size=N,uidmapping=MAPPING,gidmapping=MAPPING], container:NAME or ns:PATH",
        |options, value| {
            options.isolation.user.mode = Some(value.parse()?);
            Ok(())
        },
        |options| shown_one(options.isolation.user.mode.as_ref()),
    )
    .key("UserNS"),
];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[
    ("gidmap", "0:200000:5000"),
    ("gidmap", "+g0:@200000:5000"),
    ("subgidname", "bob"),
    ("subuidname", "bob"),
    ("uidmap", "0:100000:5000,5000:1:1"),
    ("userns", "host"),
    ("userns", "keep-id"),
    ("userns", "keep-id:uid=5,gid=6"),
    ("userns", "container:other"),
    ("userns", "ns:/proc/1/ns/user"),
    ("userns", "auto"),
    ("userns", "auto:size=9,gidmapping=0:5:1"),
];

/// A flag of the mapping wins over that of the command line.
fn map(options: &mut Options, value: &str, usual: Kinds) -> Done {
    let user = &mut options.isolation.user;
    for text in value.split(',') {
        let (range, kinds) = parse_mapping(text)?;
        match (kinds, usual) {
            (Kinds::Users, _) | (Kinds::Both, Kinds::Users) => user.uids.push(range),
            (Kinds::Groups, _) | (Kinds::Both, _) => user.gids.push(range),
        }
    }
    Ok(())
}
