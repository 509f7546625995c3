//! Entries for users that a container does not know: programs ask for the name of who they run as.

use super::user::{Accounts, GROUP, PASSWD, UserError, number, split};
use crate::definition::ProcessOptions;

/// Lines to be added to the files of a container; empty: nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Added {
    pub(super) passwd: String,
    pub(super) group: String,
}

/// A file of accounts that is to have more lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Longer {
    /// Its path in the container.
    pub(super) file: &'static str,
    /// The new lines.
    pub(super) added: String,
    /// The file with them.
    pub(super) whole: String,
}

impl Added {
    /// The files that change.
    pub(super) fn files(self, accounts: &Accounts) -> Vec<Longer> {
        let all = [
            (PASSWD, self.passwd, &accounts.passwd),
            (GROUP, self.group, &accounts.group),
        ];
        let changed = all.into_iter().filter(|(_, added, _)| !added.is_empty());
        let longer = changed.map(|(file, added, whole)| Longer {
            file,
            added,
            whole: whole.clone().unwrap_or_default(),
        });
        longer.collect()
    }
}

/// What the entries are made from.
pub(super) struct Wish<'a> {
    pub(super) options: &'a ProcessOptions,
    /// `USER[:GROUP]`.
    pub(super) user: &'a str,
    /// The home directory of all of them, as Podman has it.
    pub(super) workdir: &'a str,
}

/// Plans the lines and puts them into the accounts, as if they had been there.
///
/// # Errors
/// A user of the host that it does not know.
pub(super) fn add(
    accounts: &mut Accounts,
    wish: &Wish,
    host: &Accounts,
) -> Result<Added, UserError> {
    let mut added = Added::default();
    if wish.options.passwd == Some(false) {
        return Ok(added);
    }
    // A field of a line: what an image says must not become one of its own.
    let breaks = |c: char| c == ':' || c.is_control();
    let home = Some(wish.workdir).filter(|dir| !dir.contains(breaks));
    let home = home.unwrap_or("/");
    if accounts.passwd.is_some() {
        for name in &wish.options.host_users {
            let entry = host.user(name);
            let entry = entry.ok_or_else(|| UserError::NotOnHost(name.clone()))?;
            if accounts.user(entry[0]).is_none() && accounts.user(entry[2]).is_none() {
                let full = entry[4].split(',').next().unwrap_or("");
                let (login, uid, gid) = (entry[0], entry[2], entry[3]);
                let line = format!("{login}:*:{uid}:{gid}:{full}:{home}:/bin/sh");
                push(&mut accounts.passwd, &mut added.passwd, &line);
            }
        }
    }
    let (user, group) = split(wish.user);
    // Also without a group of its own: Podman makes one of the user's number.
    let group_name = group.unwrap_or(user);
    if let (Some(gid), false) = (number(group_name), wish.user.is_empty())
        && accounts.group.is_some()
        && !accounts.has_group(group_name)
    {
        let line = match &wish.options.group_entry {
            Some(template) => template
                .replace("$GROUPNAME", group_name)
                .replace("$GID", group_name)
                .replace("$USERLIST", user),
            None => format!("{gid}:x:{gid}:{user}"),
        };
        push(&mut accounts.group, &mut added.group, &line);
    }
    if let Some(uid) = number(user)
        && accounts.passwd.is_some()
        && accounts.user(user).is_none()
    {
        let gid = group.and_then(|name| accounts.group_id(name)).unwrap_or(0);
        let known = host.user(user);
        let (login, full) = match &known {
            Some(entry) => (entry[0], entry[4].split(',').next().unwrap_or("")),
            None => (user, "container user"),
        };
        let line = match &wish.options.passwd_entry {
            Some(template) => template
                .replace("$USERNAME", user)
                .replace("$UID", user)
                .replace("$GID", &gid.to_string())
                .replace("$NAME", "container user")
                .replace("$HOME", home),
            None => format!("{login}:*:{uid}:{gid}:{full}:{home}:/bin/sh"),
        };
        push(&mut accounts.passwd, &mut added.passwd, &line);
    }
    Ok(added)
}

fn push(file: &mut Option<String>, added: &mut String, line: &str) {
    let text = file.get_or_insert_default();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for out in [text, added] {
        out.push_str(line);
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: Some("root:x:0:0:root:/root:/bin/sh".to_owned()),
            group: Some("root:x:0:\ntty:x:5:\n".to_owned()),
        }
    }

    fn added(user: &str, options: &ProcessOptions, workdir: &str) -> Added {
        let host = Accounts {
            passwd: Some(
                "lp:x:7:7:lp,,:/var/spool:/bin/no\njoe:x:1000:1000:Joe:/h:/b\n".to_owned(),
            ),
            group: None,
        };
        let wish = Wish {
            options,
            user,
            workdir,
        };
        add(&mut accounts(), &wish, &host).unwrap()
    }

    /// What Podman 5.4.2 writes for the same.
    #[test]
    fn unknown_numbers_get_the_entries_that_podman_makes() {
        let usual = ProcessOptions::default();
        for (user, passwd, group) in [
            ("", "", ""),
            ("0", "", ""),
            ("7", "lp:*:7:0:lp:/:/bin/sh\n", "7:x:7:7\n"),
            ("7:5", "lp:*:7:5:lp:/:/bin/sh\n", ""),
            ("99:8", "99:*:99:8:container user:/:/bin/sh\n", "8:x:8:99\n"),
            ("root:8", "", "8:x:8:root\n"),
        ] {
            let is = added(user, &usual, "/");
            assert_eq!(
                (is.passwd.as_str(), is.group.as_str()),
                (passwd, group),
                "{user}"
            );
        }
        let templates = ProcessOptions {
            passwd_entry: Some("u$UID:x:$UID:$GID::$HOME:/bin/zz".to_owned()),
            group_entry: Some("g$GID:x:$GID:$NAME".to_owned()),
            ..ProcessOptions::default()
        };
        let is = added("7:8", &templates, "/tmp");
        assert_eq!(is.passwd, "u7:x:7:8::/tmp:/bin/zz\n");
        assert_eq!(is.group, "g8:x:8:$NAME\n");
        let off = ProcessOptions {
            passwd: Some(false),
            ..ProcessOptions::default()
        };
        assert_eq!(added("7:8", &off, "/"), Added::default());
    }

    #[test]
    fn users_of_the_host_are_made_known() {
        let options = |name: &str| ProcessOptions {
            host_users: vec![name.to_owned()],
            ..ProcessOptions::default()
        };
        let is = added("", &options("joe"), "/");
        assert_eq!(is.passwd, "joe:*:1000:1000:Joe:/:/bin/sh\n");
        assert_eq!(added("1000", &options("joe"), "/").passwd, is.passwd);
        let options = options("nobody");
        let wish = Wish {
            options: &options,
            user: "",
            workdir: "/",
        };
        assert!(add(&mut accounts(), &wish, &Accounts::default()).is_err());
    }

    #[test]
    fn a_working_directory_makes_no_lines() {
        let usual = ProcessOptions::default();
        for workdir in ["/a:b", "/a\nroot2::0:0::/:/bin/sh"] {
            let is = added("99", &usual, workdir);
            assert_eq!(is.passwd, "99:*:99:0:container user:/:/bin/sh\n");
        }
    }
}
