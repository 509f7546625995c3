//! One mount, as a user wants it, and the rules for its options.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::IdRange;

/// What is mounted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    /// A file or directory of the host.
    Bind,
    /// A named volume; an anonymous one if the source is empty.
    Volume,
    /// A new tmpfs.
    Tmpfs,
    /// A new ramfs.
    Ramfs,
    /// A new devpts.
    Devpts,
    /// The files of an image.
    Image,
    /// All paths of the host that match a pattern, each as a bind mount.
    Glob,
}

impl MountKind {
    /// The word of `--mount type=`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Volume => "volume",
            Self::Tmpfs => "tmpfs",
            Self::Ramfs => "ramfs",
            Self::Devpts => "devpts",
            Self::Image => "image",
            Self::Glob => "glob",
        }
    }
}

/// The flag that a mount came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountFlag {
    /// `--volume`
    Volume,
    /// `--mount`
    Mount,
    /// `--tmpfs`
    Tmpfs,
    /// None: an image or another container has it.
    Inherited,
}

/// One mount.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Where it was asked for.
    pub flag: MountFlag,
    /// What.
    pub kind: MountKind,
    /// A path, a volume's name or an image; empty where there is none.
    pub source: String,
    /// Absolute path in the container without `.`, `..` and double slashes; empty for a pattern that mounts all it
    /// matches at their own paths.
    pub target: String,
    /// Options: those of the mount as config.json has them, and `O`, `U`, `z`, `Z`, `copy`, `nocopy`, `idmap`.
    pub options: Vec<String>,
    /// The part of the volume or image that is mounted.
    #[serde(default)]
    pub subpath: Option<String>,
    /// A volume that goes with its last container.
    #[serde(default)]
    pub anonymous: bool,
}

impl Mount {
    /// Whether an option is given, by its word.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|own| own == option)
    }

    /// The mapping of the option `idmap`: one of its own, or none for the container's. None without the option.
    pub fn idmap(&self) -> Option<Result<Option<IdmapOption>, String>> {
        let own = self.value_of("idmap").map(|text| text.parse().map(Some));
        own.or_else(|| self.has("idmap").then_some(Ok(None)))
    }

    /// The value of an option `KEY=value`.
    pub fn value_of(&self, key: &str) -> Option<&str> {
        let values = self.options.iter().filter_map(|own| own.strip_prefix(key));
        values.filter_map(|rest| rest.strip_prefix('=')).next()
    }
}

/// A mapping of a mount's own: `uids=0-100000-10#10-200000-1;gids=...`, from the ids on disk to those of the host, or with
/// `@` before one to those of the container.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IdmapOption {
    uids: Vec<(IdRange, bool)>,
    gids: Vec<(IdRange, bool)>,
}

impl FromStr for IdmapOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut found = Self::default();
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let (key, ranges) = part.split_once('=').unwrap_or((part, ""));
            let list = match key {
                "uids" => &mut found.uids,
                "gids" => &mut found.gids,
                _ => return Err(format!("unknown option {key:?}")),
            };
            for range in ranges.split('#') {
                let relative = range.strip_prefix('@');
                let ids = relative.unwrap_or(range).split('-');
                let ids: Option<Vec<u32>> = ids.map(|id| id.parse().ok()).collect();
                let Some([disk, host, size]) = ids.as_deref() else {
                    return Err(format!("{range:?} is not FROM-TO-SIZE"));
                };
                list.push((IdRange::new(*disk, *host, *size)?, relative.is_some()));
            }
        }
        match found.uids.is_empty() || found.gids.is_empty() {
            true => Err("a mapping needs both uids= and gids=".to_owned()),
            false => Ok(found),
        }
    }
}

impl IdmapOption {
    /// Users and groups, from those on disk to those of the host; the functions tell the host's of a container. None if
    /// the container lacks one.
    pub fn absolute(
        &self,
        user: impl Fn(u32) -> Option<u32>,
        group: impl Fn(u32) -> Option<u32>,
    ) -> Option<(Vec<IdRange>, Vec<IdRange>)> {
        let all = |ranges: &[(IdRange, bool)], host: &dyn Fn(u32) -> Option<u32>| {
            let one = |(range, relative): &(IdRange, bool)| {
                let first = match relative {
                    true => host(range.host)?,
                    false => range.host,
                };
                IdRange::new(range.container, first, range.size).ok()
            };
            ranges.iter().map(one).collect::<Option<Vec<IdRange>>>()
        };
        Some((all(&self.uids, &user)?, all(&self.gids, &group)?))
    }
}

/// Words of which a mount may have one: propagation first, for it has a name of its own.
const EXCLUSIVE: &[&[&str]] = &[
    &[
        "shared",
        "rshared",
        "private",
        "rprivate",
        "slave",
        "rslave",
        "unbindable",
        "runbindable",
    ],
    &["rw", "ro"],
    &["exec", "noexec"],
    &["suid", "nosuid"],
    &["dev", "nodev"],
    &["bind", "rbind"],
    &["z", "Z", "O"],
    &["copy", "nocopy"],
    &["U"],
    &["tmpcopyup", "notmpcopyup"],
    &["idmap"],
    &["noswap"],
    &["no-dereference"],
];

/// Options with a value.
const VALUED: &[&str] = &[
    "size", "mode", "upperdir", "workdir", "uid", "gid", "max", "idmap",
];

/// Refuses options of which a mount may have only one.
///
/// # Errors
/// The words that exclude each other.
pub(super) fn check_exclusive(options: &[String]) -> Result<(), String> {
    for group in EXCLUSIVE {
        let found = options.iter().filter(|own| group.contains(&own.as_str()));
        if found.count() > 1 {
            let words: Vec<String> = group.iter().map(|word| format!("{word:?}")).collect();
            return Err(format!("only one of {} may be given", words.join(", ")));
        }
    }
    let mapped = |own: &&String| *own == "idmap" || own.starts_with("idmap=");
    if options.iter().filter(mapped).count() > 1 {
        return Err("\"idmap\" may be given once".to_owned());
    }
    for key in VALUED {
        let value = |own: &&String| {
            own.strip_prefix(key)
                .is_some_and(|rest| rest.starts_with('='))
        };
        if options.iter().filter(value).count() > 1 {
            return Err(format!("{key:?} may be given once"));
        }
    }
    Ok(())
}

/// Whether a word is an option of any mount that came in by `--volume`.
pub(super) fn is_volume_option(word: &str) -> bool {
    let plain = EXCLUSIVE[..9].iter().any(|group| group.contains(&word));
    let overlay = ["upperdir=", "workdir="];
    plain || overlay.iter().any(|key| word.starts_with(key))
}

/// Whether a word is an option of a tmpfs (`--tmpfs`).
pub(super) fn is_tmpfs_option(word: &str) -> bool {
    let plain = EXCLUSIVE[..5].iter().any(|group| group.contains(&word));
    let own = ["U", "tmpcopyup", "notmpcopyup", "noswap"];
    plain || own.contains(&word) || word.starts_with("size=") || word.starts_with("mode=")
}

/// A path of the container without `.`, `..` and double slashes.
///
/// # Errors
/// It is not absolute, or the root itself, or a place that belongs to the kernel.
pub(super) fn target(path: &str) -> Result<String, String> {
    if path.is_empty() {
        return Err("container directory cannot be empty".to_owned());
    }
    if !path.starts_with('/') {
        return Err(format!(
            "invalid container path {path:?}, must be an absolute path"
        ));
    }
    if path.chars().any(char::is_control) {
        return Err("control characters are not allowed".to_owned());
    }
    let path = clean(path);
    refuse_kernel_place(&path)?;
    Ok(path)
}

/// Refuses places where a mount would stand in for what the kernel says (CVE-2019-19921, CVE-2023-27561).
///
/// # Errors
/// `/`, /proc, /sys, or something below these two.
pub fn refuse_kernel_place(path: &str) -> Result<(), String> {
    let below = |dir: &str| {
        path.strip_prefix(dir)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if path == "/" {
        return Err("cannot mount on the container's root".to_owned());
    }
    if below("/proc") || below("/sys") {
        return Err(format!(
            "mounts on {path} are not allowed: /proc and /sys are the kernel's"
        ));
    }
    Ok(())
}

/// An absolute path as path/filepath.Clean of Go has it: by its text alone.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_by_their_text() {
        assert_eq!(clean("/a//b/./c/../d/"), "/a/b/d");
        assert_eq!(clean("/../.."), "/");
    }

    #[test]
    fn a_mapping_of_a_mount_is_of_disk_and_host_or_container() {
        let of = |text: &str| {
            let parsed: IdmapOption = text.parse()?;
            let host = |id| (id < 10).then_some(id + 1000);
            let found = parsed.absolute(host, host).ok_or("not there")?;
            let show = |ranges: Vec<IdRange>| ranges.iter().map(ToString::to_string).collect();
            Ok::<(Vec<String>, Vec<String>), String>((show(found.0), show(found.1)))
        };
        let text = "uids=0-1-10#10-11-10;gids=@0-3-2";
        let expected = ["0:1:10".to_owned(), "10:11:10".to_owned()].to_vec();
        assert_eq!(of(text), Ok((expected, vec!["0:1003:2".to_owned()])));
        for bad in [
            "bogus",
            "",
            "uids=0-1-10",
            "gids=0-1-10",
            "uids=0-1;gids=0-1-1",
            "uids=0-1-0;gids=0-1-1",
            "uids=0-1-1;gids=0-x-1",
            "uids=@0-10-1;gids=0-1-1",
        ] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_kernels_places_are_refused_however_they_are_written() {
        for bad in [
            "",
            "a",
            "/",
            "//",
            "/x/..",
            "/proc",
            "/proc/self",
            "/a/../sys/fs/cgroup",
            "/a\nb",
        ] {
            assert!(target(bad).is_err(), "{bad:?}");
        }
        assert_eq!(target("/process/").unwrap(), "/process");
    }
}
