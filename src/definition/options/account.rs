//! Who runs: user, groups, and what the container knows of them.

use super::OptionSpec;
use super::parse::{Done, clean, maybe, shown_maybe, shown_one, words};
use crate::definition::Options;

pub(super) const SPECS: &[OptionSpec] = &[
    OptionSpec::many(
        "group-add",
        "GROUP",
        "Add groups, by name or number; keep-groups keeps those of the unit (crun only)",
        group_add,
        |options| match options.process.keep_groups {
            true => vec![KEEP.to_owned()],
            false => options.process.groups.clone(),
        },
    )
    .key("GroupAdd"),
    OptionSpec::one(
        "group-entry",
        "ENTRY",
        "Entry in /etc/group for a group that the container does not know",
        |options, value| entry(&mut options.process.group_entry, value),
        |options| shown_one(options.process.group_entry.as_ref()),
    ),
    OptionSpec::many(
        "hostuser",
        "USER",
        "Make a user of the host known in /etc/passwd",
        hostuser,
        |options| options.process.host_users.clone(),
    ),
    OptionSpec::switch(
        "passwd",
        "Make entries for users that the container does not know (on by default)",
        |options, value| maybe(&mut options.process.passwd, value),
        |options| shown_maybe(options.process.passwd),
    ),
    OptionSpec::one(
        "passwd-entry",
        "ENTRY",
        "Entry in /etc/passwd for a user that the container does not know",
        |options, value| entry(&mut options.process.passwd_entry, value),
        |options| shown_one(options.process.passwd_entry.as_ref()),
    ),
    OptionSpec::one(
        "user",
        "USER[:GROUP]",
        "User and group of the payload, by name or number",
        user,
        |options| shown_one(options.user.as_ref()),
    )
    .short('u')
    .key("User"),
];

const KEEP: &str = "keep-groups";

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[
    ("group-add", "audio,5"),
    ("group-add", "keep-groups"),
    ("group-entry", "g$GID:x:$GID:"),
    ("hostuser", "joe"),
    ("passwd", "false"),
    ("passwd-entry", "u$UID:x:$UID:$GID::$HOME:/bin/sh"),
    ("user", "pg:0"),
];

fn group_add(options: &mut Options, value: &str) -> Done {
    for group in words(value)? {
        match group.as_str() {
            KEEP => options.process.keep_groups = true,
            _ => options.process.groups.push(check(&group)?),
        }
    }
    Ok(())
}

fn hostuser(options: &mut Options, value: &str) -> Done {
    for user in words(value)? {
        options.process.host_users.push(check(&user)?);
    }
    Ok(())
}

/// A name or number of an account.
fn check(name: &str) -> Result<String, String> {
    if name.contains(':') {
        return Err("names have no colon".to_owned());
    }
    let numeric = name.starts_with('-') || name.bytes().all(|b| b.is_ascii_digit());
    if !name.is_empty() && numeric && !name.parse::<u32>().is_ok_and(|id| id != u32::MAX) {
        return Err("a number must be within 0 to 4294967294".to_owned());
    }
    clean(name)
}

/// It becomes a line of a file: one line only.
fn entry(field: &mut Option<String>, value: &str) -> Done {
    *field = Some(clean(value)?);
    Ok(())
}

fn user(options: &mut Options, value: &str) -> Done {
    let mut parts = value.split(':');
    let (user, group) = (parts.next().unwrap_or(""), parts.next());
    if parts.next().is_some() {
        return Err("more than one colon".to_owned());
    }
    for part in std::iter::once(user).chain(group) {
        check(part)?;
    }
    options.user = Some(value.to_owned());
    Ok(())
}
