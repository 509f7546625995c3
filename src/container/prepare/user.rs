//! Who a container runs as: looked up in its own /etc/passwd and /etc/group, which are untrusted.

use std::io::{self, Read};

use nix::libc::{O_CLOEXEC, O_NONBLOCK, O_RDONLY, S_IFMT, S_IFREG};

use crate::plan::bundle::UserFacts;
use crate::sys::paths::{self, Root};

/// Accounts of users.
pub(super) const PASSWD: &str = "/etc/passwd";
/// Groups.
pub(super) const GROUP: &str = "/etc/group";

/// Larger account files are refused.
const MAX_FILE: u64 = 10 << 20;

/// Why a user cannot be looked up.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// A file of the container cannot be read, or is no regular file of a sane size.
    #[error("read {file} of the container")]
    File {
        /// Path inside the container.
        file: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A user of `--hostuser`.
    #[error("no entry for user {0:?} in /etc/passwd of the host")]
    NotOnHost(String),
    /// Neither a number nor a name in the file.
    #[error("no entry for {kind} {name:?} in {file} of the container")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// Path inside the container.
        file: &'static str,
    },
}

/// /etc/passwd and /etc/group of a container; none: it has no such file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Accounts {
    pub(super) passwd: Option<String>,
    pub(super) group: Option<String>,
}

impl Accounts {
    /// Reads them.
    ///
    /// # Errors
    /// One of them is no plain file of a sane size.
    pub(super) fn read(root: &Root) -> Result<Self, UserError> {
        Ok(Self {
            passwd: read(root, PASSWD)?,
            group: read(root, GROUP)?,
        })
    }

    /// The fields of the entry of a name or number; the first one counts.
    pub(super) fn user(&self, user: &str) -> Option<Vec<&str>> {
        let passwd = self.passwd.as_deref().unwrap_or("");
        passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| {
                fields.len() >= 6
                    && (fields[0] == user
                        || number(user) == number(fields[2]) && number(user).is_some())
            })
    }

    /// The number of a group: that of its entry, or itself.
    pub(super) fn group_id(&self, name: &str) -> Option<u32> {
        let groups = self.group.as_deref().unwrap_or("");
        group_id(groups, name).or_else(|| number(name))
    }

    /// Whether a group has an entry.
    pub(super) fn has_group(&self, name: &str) -> bool {
        let groups = self.group.as_deref().unwrap_or("");
        let mut lines = groups.lines().map(|line| line.split(':'));
        let id = number(name);
        lines.any(|mut fields| {
            let (own, _, number_of) = (fields.next(), fields.next(), fields.next());
            own == Some(name) || id.is_some() && number_of.and_then(number) == id
        })
    }

    /// Looks `USER[:GROUP]` and more groups up; an empty user is root.
    ///
    /// # Errors
    /// An unknown name.
    pub(super) fn look_up(&self, wish: &str, more: &[String]) -> Result<UserFacts, UserError> {
        let (user, group) = split(wish);
        let entry = self.user(user);
        let unknown = |kind, name: &str, file| UserError::Unknown {
            kind,
            name: name.to_owned(),
            file,
        };
        let field = |at: usize| entry.as_ref().and_then(|fields| number(fields[at]));
        let uid = field(2).or_else(|| number(user));
        let uid = uid.ok_or_else(|| unknown("user", user, PASSWD))?;
        let known = |name: &str| {
            let id = self.group_id(name);
            id.ok_or_else(|| unknown("group", name, GROUP))
        };
        let gid = match group {
            Some(name) => known(name)?,
            None => field(3).unwrap_or(0),
        };
        // Nobody asked for a user: then root has no more groups than it is a member of.
        let mut all = Vec::from_iter((!wish.is_empty()).then_some(gid));
        if group.is_none() {
            let login = entry.as_ref().map_or(user, |fields| fields[0]);
            // No login is a number: such a member is one that we have written, and Podman too.
            if number(login).is_none() {
                all.extend(member_of(self.group.as_deref().unwrap_or(""), login));
            }
        }
        for name in more {
            all.push(known(name)?);
        }
        let mut seen = std::collections::HashSet::new();
        all.retain(|id| seen.insert(*id));
        let home = entry.map(|fields| fields[5].to_owned()).filter(|home| {
            // It becomes an environment variable and must not smuggle anything (CVE-2026-15809).
            home.starts_with('/') && !home.chars().any(char::is_control)
        });
        Ok(UserFacts {
            uid,
            gid,
            groups: all,
            home,
        })
    }
}

/// User and group of a wish; an empty user is root.
pub(super) fn split(wish: &str) -> (&str, Option<&str>) {
    let (user, group) = match wish.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (wish, None),
    };
    (if user.is_empty() { "0" } else { user }, group)
}

/// 2^32-1 means "no change" to the kernel and is no user (CVE-2024-40635).
pub(super) fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id != u32::MAX)
}

fn group_id(groups: &str, name: &str) -> Option<u32> {
    let mut lines = groups
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let entry = lines.find(|fields| fields.len() >= 3 && fields[0] == name);
    entry.and_then(|fields| number(fields[2]))
}

fn member_of(groups: &str, login: &str) -> Vec<u32> {
    let fields = groups
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let own = fields
        .filter(|fields| fields.len() >= 4 && fields[3].split(',').any(|member| member == login));
    own.filter_map(|fields| number(fields[2])).collect()
}

/// A file that is not there is none: images without accounts run as numbers.
pub(super) fn read(root: &Root, file: &'static str) -> Result<Option<String>, UserError> {
    let error = |source| UserError::File { file, source };
    let fd = match root.open_in(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0) {
        Ok(fd) => fd,
        Err(source)
            if matches!(
                source.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(source) => return Err(error(source)),
    };
    let stat = paths::stat(&fd).map_err(error)?;
    if stat.st_mode & S_IFMT != S_IFREG {
        return Err(error(io::Error::other("not a regular file")));
    }
    let mut text = Vec::new();
    let mut limited = std::fs::File::from(fd).take(MAX_FILE + 1);
    limited.read_to_end(&mut text).map_err(error)?;
    if text.len() as u64 > MAX_FILE {
        return Err(error(io::Error::other("larger than 10 MiB")));
    }
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_up(rootfs: &std::path::Path, wish: &str) -> Result<UserFacts, UserError> {
        Accounts::read(&Root::open(rootfs).unwrap())?.look_up(wish, &[])
    }

    struct Dir(std::path::PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir =
                std::env::temp_dir().join(format!("unitbox-user-{}-{name}", std::process::id()));
            std::fs::create_dir_all(dir.join("etc")).unwrap();
            Dir(dir)
        }
        fn file(&self, name: &str, text: &str) {
            std::fs::write(self.0.join(name), text).unwrap();
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn names_and_numbers_are_found_in_the_containers_own_files() {
        let dir = Dir::new("names");
        dir.file(
            "etc/passwd",
            "root:x:0:0:r:/root:/bin/sh\npg:x:70:71::/var/pg:/bin/sh\n",
        );
        dir.file(
            "etc/group",
            "root:x:0:\npg:x:71:\nssl:x:101:a,pg\nwheel:x:10:root\n",
        );
        let facts = |wish| look_up(&dir.0, wish).unwrap();
        let of = |uid, gid, groups: &[u32], home: Option<&str>| UserFacts {
            uid,
            gid,
            groups: groups.to_vec(),
            home: home.map(str::to_owned),
        };
        assert_eq!(facts(""), of(0, 0, &[10], Some("/root")));
        assert_eq!(facts("pg"), of(70, 71, &[71, 101], Some("/var/pg")));
        assert_eq!(facts("70"), of(70, 71, &[71, 101], Some("/var/pg")));
        assert_eq!(facts("pg:ssl"), of(70, 101, &[101], Some("/var/pg")));
        assert_eq!(facts("5:6"), of(5, 6, &[6], None));
        assert_eq!(facts("root").groups, [0, 10]);
        let more = ["ssl", "70", "ssl"].map(str::to_owned);
        let accounts = Accounts::read(&Root::open(&dir.0).unwrap()).unwrap();
        assert_eq!(accounts.look_up("5:6", &more).unwrap().groups, [6, 101, 70]);
        assert!(accounts.look_up("5:6", &["none".to_owned()]).is_err());
        for bad in ["nobody", "pg:none", "4294967295", "4294967296", "-1"] {
            assert!(look_up(&dir.0, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hostile_account_files_are_refused_at_once() {
        let dir = Dir::new("hostile");
        for make in ["ln -s /dev/zero", "mkfifo"] {
            let path = dir.0.join("etc/passwd");
            let _ = std::fs::remove_file(&path);
            let script = format!("{make} {}", path.display());
            assert!(
                std::process::Command::new("sh")
                    .args(["-c", &script])
                    .status()
                    .unwrap()
                    .success()
            );
            // Inside the root there is no /dev/zero, so that the link leads nowhere.
            match make {
                "mkfifo" => assert!(look_up(&dir.0, "x").is_err()),
                _ => assert!(matches!(
                    look_up(&dir.0, "x"),
                    Err(UserError::Unknown { .. })
                )),
            }
        }
    }
}
