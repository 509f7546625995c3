//! containers.conf(5): what the administrator wishes for every container, as far as it concerns a single one.
//!
//! Keys that are not listed here belong to other programs, or to parts of Podman that unitbox has no use for: they are
//! left alone. Values stay text here, but are checked, so that an error can name the file.

mod values;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::definition::{DefinitionError, Options};

/// A list of strings that replaces the one of an earlier file, or with `{append=true}` adds to it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct List {
    values: Option<Vec<String>>,
    append: Option<bool>,
}

impl List {
    /// The list, on top of what holds where no file has it.
    pub fn over(&self, default: &[&str]) -> Vec<String> {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        match (&self.values, self.append) {
            (None, _) => owned(default),
            (Some(values), Some(true)) => {
                let mut all: Vec<String> = owned(default);
                all.extend(values.iter().cloned());
                all
            }
            (Some(values), _) => values.clone(),
        }
    }

    /// The entries of the files; none if no file has the key.
    pub fn values(&self) -> &[String] {
        self.values.as_deref().unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = List;
            fn expecting(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
                out.write_str("a list of strings")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<List, A::Error> {
                let (mut values, mut append) = (Vec::new(), None);
                while let Some(entry) = entries.next_element()? {
                    match entry {
                        Entry::Value(value) => values.push(value),
                        Entry::Append(on) => append = Some(on),
                    }
                }
                Ok(List {
                    values: Some(values),
                    append,
                })
            }
        }
        from.deserialize_seq(Entries)
    }
}

/// An entry of a list: a string, or `{append=true}`. By hand, since serde's own choice of variants loses the line.
enum Entry {
    Value(String),
    Append(bool),
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Entry;
            fn expecting(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
                out.write_str("a string or {append=true}")
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Entry, E> {
                Ok(Entry::Value(value.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
                match map.next_entry::<String, bool>()? {
                    Some((key, on)) if key == "append" => Ok(Entry::Append(on)),
                    _ => Err(A::Error::custom("only append is known here")),
                }
            }
        }
        from.deserialize_any(One)
    }
}

/// How a later file changes what an earlier one said.
trait Merge {
    fn put_on_top(&mut self, later: Self);

    /// Whether a file says anything of it.
    fn is_said(&self) -> bool;
}

impl<T> Merge for Option<T> {
    fn put_on_top(&mut self, later: Self) {
        if later.is_some() {
            *self = later;
        }
    }

    fn is_said(&self) -> bool {
        self.is_some()
    }
}

impl Merge for List {
    fn put_on_top(&mut self, later: Self) {
        let Some(new) = later.values else { return };
        self.append = later.append.or(self.append);
        match &mut self.values {
            Some(values) if self.append == Some(true) => values.extend(new),
            values => *values = Some(new),
        }
    }

    fn is_said(&self) -> bool {
        self.values.is_some()
    }
}

impl<K: Ord, V> Merge for BTreeMap<K, V> {
    fn put_on_top(&mut self, later: Self) {
        self.extend(later);
    }

    fn is_said(&self) -> bool {
        !self.is_empty()
    }
}

/// A table of the file: its fields, and how two of them become one.
macro_rules! table {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$about])*
        #[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[$doc])* pub $field: $kind,)*
        }

        impl $name {
            fn put_on_top(&mut self, later: Self) {
                $(self.$field.put_on_top(later.$field);)*
            }

            /// The keys that a file has.
            fn said(&self) -> Vec<&'static str> {
                let keys = [$((stringify!($field), self.$field.is_said())),*];
                keys.into_iter().filter_map(|(key, said)| said.then_some(key)).collect()
            }

            /// Names of the keys.
            #[cfg(test)]
            const KEYS: &'static [&'static str] = &[$(stringify!($field)),*];
        }
    };
}

table! {
    /// `[containers]`.
    Containers {
        /// `KEY=VALUE`.
        annotations: List,
        /// Name of the AppArmor profile.
        apparmor_profile: Option<String>,
        /// Path, `none` or `image`: what /etc/hosts begins with.
        base_hosts_file: Option<String>,
        /// `private` or `host`.
        cgroupns: Option<String>,
        /// The container's name as its host name.
        container_name_as_hostname: Option<bool>,
        /// Capabilities without `CAP_`.
        default_capabilities: List,
        /// `KEY=VALUE`.
        default_sysctls: List,
        /// `NAME=SOFT[:HARD]`.
        default_ulimits: List,
        /// As `--device`.
        devices: List,
        /// As `--dns-option`.
        dns_options: List,
        /// As `--dns-search`.
        dns_searches: List,
        /// As `--dns`.
        dns_servers: List,
        /// `NAME=VALUE` of every container.
        env: List,
        /// As `--env-host`.
        env_host: Option<bool>,
        /// Address of `host.containers.internal`, or `none`.
        host_containers_internal_ip: Option<String>,
        /// As `--http-proxy`.
        http_proxy: Option<bool>,
        /// As `--init`.
        init: Option<bool>,
        /// As `--init-path`.
        init_path: Option<String>,
        /// As `--ipc`.
        ipcns: Option<String>,
        /// Whether containers get labels of SELinux.
        label: Option<bool>,
        /// As `--log-driver`.
        log_driver: Option<String>,
        /// Bytes; negative: no limit.
        log_size_max: Option<i64>,
        /// As `--log-opt tag=`.
        log_tag: Option<String>,
        /// As `--mount`.
        mounts: List,
        /// As `--network`.
        netns: Option<String>,
        /// As `--no-hosts`.
        no_hosts: Option<bool>,
        /// -1000 to 1000.
        oom_score_adj: Option<i32>,
        /// As `--pid`.
        pidns: Option<String>,
        /// As `--pids-limit`.
        pids_limit: Option<i64>,
        /// As `--privileged`.
        privileged: Option<bool>,
        /// As `--read-only`.
        read_only: Option<bool>,
        /// Path of the seccomp profile.
        seccomp_profile: Option<String>,
        /// As `--shm-size`.
        shm_size: Option<String>,
        /// As `--tz`.
        tz: Option<String>,
        /// As `--umask`.
        umask: Option<String>,
        /// As `--userns`.
        userns: Option<String>,
        /// As `--uts`.
        utsns: Option<String>,
        /// As `--volume`.
        volumes: List,
    }
}

table! {
    /// `[engine]`.
    Engine {
        /// Directories of CDI specifications.
        cdi_spec_dirs: List,
        /// Keys that detach a client from a terminal.
        detach_keys: Option<String>,
        /// Directories in which catatonit is looked for.
        helper_binaries_dir: List,
        /// Directories of OCI hooks.
        hooks_dir: List,
        /// Name or path of the runtime.
        runtime: Option<String>,
        /// Paths of runtimes by name.
        runtimes: BTreeMap<String, Vec<String>>,
        /// Seconds between the stop signal and SIGKILL.
        stop_timeout: Option<u32>,
    }
}

/// All files together.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Conf {
    /// `[containers]`.
    pub containers: Containers,
    /// `[engine]`.
    pub engine: Engine,
    /// The last file that has each key.
    #[serde(skip)]
    files: BTreeMap<&'static str, String>,
}

impl Conf {
    /// Reads the text of one file.
    ///
    /// # Errors
    /// It is none, or a value is not good.
    pub fn parse(text: &str, file: &str) -> Result<Self, DefinitionError> {
        let parsed = basic_toml::from_str(text);
        let mut conf: Self =
            parsed.map_err(|error| DefinitionError::conf_text(file, &error.to_string()))?;
        values::check(&conf, file)?;
        let keys = conf.containers.said().into_iter().chain(conf.engine.said());
        conf.files = keys.map(|key| (key, file.to_owned())).collect();
        Ok(conf)
    }

    /// Puts a later file on top.
    pub fn merge(&mut self, later: Self) {
        self.containers.put_on_top(later.containers);
        self.engine.put_on_top(later.engine);
        self.files.extend(later.files);
    }

    /// The error about a value that cannot be used.
    pub fn refuse(
        &self,
        key: &'static str,
        value: &str,
        reason: impl Into<String>,
    ) -> DefinitionError {
        let file = self
            .files
            .get(key)
            .map_or("containers.conf", String::as_str);
        DefinitionError::conf(file, key, value, reason)
    }

    /// Gives an option the value of a key.
    ///
    /// # Errors
    /// The option does not take it.
    pub fn apply(
        &self,
        options: &mut Options,
        (key, flag): (&'static str, &str),
        value: &str,
    ) -> Result<(), DefinitionError> {
        values::apply(options, flag, value).map_err(|reason| self.refuse(key, value, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Conf {
        let mut all = Conf::default();
        for text in texts {
            all.merge(Conf::parse(text, "x").unwrap());
        }
        all
    }

    #[test]
    fn a_later_file_wins_key_by_key() {
        let conf = of(&[
            "[containers]\ntz = \"UTC\"\numask=\"0027\"\nenv=['A=1']\n[engine]\nstop_timeout=5",
            "[containers]\ntz = \"local\"\nenv=['B=2']\n[engine.runtimes]\ncrun=['/usr/bin/crun']",
        ]);
        let containers = &conf.containers;
        assert_eq!(containers.tz.as_deref(), Some("local"));
        assert_eq!(containers.umask.as_deref(), Some("0027"));
        assert_eq!(containers.env.values(), ["B=2"]);
        assert_eq!(conf.engine.stop_timeout, Some(5));
        assert_eq!(conf.engine.runtimes["crun"], ["/usr/bin/crun"]);
    }

    #[test]
    fn lists_append_where_they_say_so_and_from_then_on() {
        let first = "[containers]\nenv=['A=1', {append=true}]";
        let conf = of(&[first, "[containers]\nenv=['B=2']"]);
        assert_eq!(conf.containers.env.over(&["P=0"]), ["P=0", "A=1", "B=2"]);
        let conf = of(&[first, "[containers]\nenv=['B=2', {append=false}]"]);
        assert_eq!(conf.containers.env.over(&["P=0"]), ["B=2"]);
        assert_eq!(Conf::default().containers.env.over(&["P=0"]), ["P=0"]);
    }

    #[test]
    fn what_is_unknown_is_left_alone() {
        let text = "top=1\n[containers]\nnovel='x'\n[network]\ndns_bind_port=5\n[engine]\nretry=3";
        assert_eq!(of(&[text]), Conf::default());
    }

    #[test]
    fn a_bad_file_is_named_by_line() {
        for (text, part) in [
            ("[containers]\ntz=3\n", "line 2"),
            ("[containers]\n\nenv=[1]\n", "line 3"),
            ("[containers]\nenv='a'\n", "line 2"),
            ("[containers\n", "line 1"),
        ] {
            let error = Conf::parse(text, "/etc/x.conf").unwrap_err().to_string();
            assert!(
                error.starts_with("/etc/x.conf: ") && error.contains(part) && !error.contains('\n'),
                "{error}"
            );
        }
    }

    /// Keys that nobody reads yet.
    const UNREAD: &[&str] = &[];

    #[test]
    fn every_key_of_the_manual_is_read() {
        let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut code = String::new();
        collect(&source, &mut code);
        for key in Containers::KEYS.iter().chain(Engine::KEYS) {
            let ways = ["conf.", "containers.", "engine."].map(|from| format!("{from}{key}"));
            let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            let read = ways.iter().any(|way| {
                code.match_indices(way.as_str())
                    .any(|(at, _)| ends(&code[at + way.len()..]))
            });
            assert_eq!(read, !UNREAD.contains(key), "{key}");
        }
    }

    /// The code that uses the configuration, less what parses it.
    fn collect(directory: &std::path::Path, code: &mut String) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, code);
            } else if !path.ends_with("plan/conf.rs") && !path.ends_with("conf/values.rs") {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                code.extend(text.chars().filter(|c| !c.is_whitespace()));
            }
        }
    }

    #[test]
    fn the_manual_lists_the_keys_that_are_read() {
        let manual = include_str!("../../man/unitbox.1");
        let list = manual.split(".Sh CONFIGURATION").nth(1).unwrap();
        let list = list.split(".Sh ").next().unwrap();
        for key in Containers::KEYS.iter().chain(Engine::KEYS) {
            let named = list.lines().any(|line| {
                let name = line.strip_prefix(".Va ");
                name.is_some_and(|name| name.split(' ').next() == Some(*key))
            });
            let read = !UNREAD.contains(key);
            assert_eq!(
                named, read,
                "{key}: the manual lists what is read, and nothing else"
            );
        }
    }
}
