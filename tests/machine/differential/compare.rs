//! What both engines did, made comparable: ids, store paths and what else must differ are taken out, then config.json and
//! the view from inside are compared field by field.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Field and value; fields of config.json begin with `config`, those of the view with `view`.
pub(super) type Fields = BTreeMap<String, String>;

/// What one engine made of a case.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) code: i32,
    pub(super) id: String,
    pub(super) out: String,
    pub(super) err: String,
    pub(super) config: Option<Value>,
    /// Inode of a namespace and whose it is.
    pub(super) namespaces: BTreeMap<String, String>,
}

/// Differences that are meant: where, why, and words of which a case must have one for it. Never exit codes, ids, capabilities,
/// seccomp, mounts or namespaces.
pub(super) const MEANT: &[(&str, &str, &str)] = &[
    (
        "config annotations io.*",
        "Podman's notes to itself: io.podman.*, io.container.manager",
        "",
    ),
    (
        "config annotations org.systemd.property.*",
        "Podman has the runtime make a scope; our unit has these properties itself",
        "",
    ),
    (
        "config annotations created",
        "when the container was made, as image annotations have it; Podman keeps it in its database",
        "",
    ),
    (
        "config ociVersion",
        "the version that the spec was written for; ours uses nothing of 1.1 and later",
        "",
    ),
    ("view etc /run/.containerenv engine", "names the engine", ""),
    (
        "*env container",
        "names the engine; to systemd both words are one, as it looks for /run/.containerenv then",
        "",
    ),
    (
        "view cwd #2",
        "a working directory that is made in a mapped container is its user's; with Podman nobody's, and not writable",
        "idmap=|userns=container",
    ),
    ("view tree /srv/app/work", "the same directory", "idmap="),
];

impl Outcome {
    /// Everything that can be compared.
    pub(super) fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        fields.insert("exit code".to_owned(), self.code.to_string());
        if let Some(config) = &self.config {
            let mut config = config.clone();
            drop_own(&mut config);
            self.drop_made(&mut config);
            self.flatten("config", &config, &mut fields);
        }
        self.view(&mut fields);
        fields
    }

    /// Without ids and without the places where each keeps its things.
    fn plain(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if self.id.len() == 64 {
            text = text.replace(&self.id, "ID");
            // systemd's container_uuid has 32 digits.
            text = text
                .replace(&self.id[..32], "ID")
                .replace(&self.id[..12], "ID");
        }
        text = without_digests(&text);
        for (own, common) in PLACES {
            text = text.replace(own, common);
        }
        text
    }

    /// What an engine makes itself before it is mounted, such as the overlay of an image or a tmpfs for shared memory, is
    /// the same whoever mounts it, the engine or the runtime: that it is mounted counts, and what is seen of it inside.
    fn drop_made(&self, config: &mut Value) {
        let mounts = config.pointer_mut("/mounts").and_then(Value::as_array_mut);
        for mount in mounts.into_iter().flatten() {
            let source = mount["source"].as_str().map(|source| self.plain(source));
            let source = source.unwrap_or_default();
            let shm =
                mount["destination"] == "/dev/shm" && (source == "shm" || source == "RUN/shm");
            let store = ["RUN/", "overlay"]
                .iter()
                .any(|place| source.starts_with(place));
            if let Value::Object(map) = mount
                && (shm || store)
            {
                map.retain(|key, _| key == "destination");
                map.insert("made".to_owned(), "by the engine".into());
            } else if mount["destination"] == "/dev/shm" && is_joined_shm(&source) {
                mount["source"] = "of a joined container".into();
            } else if let Some(Value::Array(options)) = mount.get_mut("options") {
                // A word for the engine, which Podman hands on.
                options.retain(|option| option != "nocopy" && option != "");
            }
        }
    }

    fn flatten(&self, path: &str, value: &Value, fields: &mut Fields) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    self.flatten(&format!("{path} {key}"), value, fields);
                }
            }
            Value::Array(list) => self.flatten_list(path, list, fields),
            // Absent and empty are the same to a runtime.
            Value::Null | Value::Bool(false) => {}
            Value::String(text) if text.is_empty() => {}
            // Ours is written always, as the monitor has another.
            Value::Number(number)
                if path.ends_with(" oomScoreAdj") && number.as_i64() == Some(0) => {}
            // Each has its own way to it; which namespace it is, the view tells.
            Value::String(_)
                if path.starts_with("config linux namespaces") && path.ends_with(" path") =>
            {
                fields.insert(path.to_owned(), "given".to_owned());
            }
            Value::String(text) => drop(fields.insert(path.to_owned(), self.plain(text))),
            other => drop(fields.insert(path.to_owned(), other.to_string())),
        }
    }

    fn flatten_list(&self, path: &str, list: &[Value], fields: &mut Fields) {
        match path {
            "config linux seccomp syscalls" => return syscalls(path, list, fields),
            "config process env" => {
                for text in list.iter().filter_map(Value::as_str) {
                    let (name, value) = text.split_once('=').unwrap_or((text, ""));
                    fields.insert(format!("{path} {name}"), self.plain(value));
                }
                return;
            }
            "config linux maskedPaths"
            | "config linux readonlyPaths"
            | "config linux seccomp architectures" => {}
            // The kernel sorts them.
            "config process user additionalGids" => {}
            _ if path.starts_with("config process capabilities") => {}
            _ if path.starts_with("config mounts") && path.ends_with(" options") => {}
            _ => {
                let mut seen: BTreeMap<String, usize> = BTreeMap::new();
                for (at, value) in list.iter().enumerate() {
                    let kind = if path.ends_with("namespaces") {
                        "type"
                    } else {
                        "path"
                    };
                    let keys = ["destination", kind, "type"];
                    let key = keys.iter().find_map(|key| value.get(key)?.as_str());
                    let key = key.map_or_else(|| at.to_string(), |key| self.plain(key));
                    // Rules of devices have a type that says little of them.
                    let key = match path.ends_with("resources devices") {
                        true => device_rule(value),
                        false => key,
                    };
                    let times = seen.entry(key.clone()).or_default();
                    *times += 1;
                    let again = if *times > 1 {
                        format!("#{times}")
                    } else {
                        String::new()
                    };
                    self.flatten(&format!("{path} {key}{again}"), value, fields);
                }
                return;
            }
        }
        let set: BTreeSet<String> = list.iter().map(ToString::to_string).collect();
        for member in set {
            fields.insert(format!("{path} {member}"), "yes".to_owned());
        }
    }

    fn view(&self, fields: &mut Fields) {
        let text = self.plain(&self.out.replace('\r', ""));
        let (mut section, mut file) = ("before".to_owned(), String::new());
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("== ") {
                section = name.to_owned();
                file.clear();
                continue;
            }
            if let Some(name) = line.strip_prefix("-- ") {
                file = format!(" {name}");
                continue;
            }
            let (key, value) = match section.as_str() {
                // The lab's own, sysfs on sysfs: what it is bound from has it or not.
                "mounts" if line.contains(" /kernel /sys/kernel ") => continue,
                "mounts" => {
                    let (key, value) = mount(line);
                    (key, value)
                }
                "namespaces" => {
                    let (name, inode) = line.split_once(' ').unwrap_or((line, ""));
                    let whose = self.namespaces.get(inode).map_or("own", String::as_str);
                    (name.to_owned(), whose.to_owned())
                }
                "env" | "etc" if line.contains('=') => {
                    let (name, value) = line.split_once('=').unwrap_or((line, ""));
                    (name.to_owned(), value.to_owned())
                }
                // Columns of a fixed width.
                "limits" => {
                    let (name, values) = line.split_at(line.len().min(26));
                    (name.trim_end().to_owned(), values.to_owned())
                }
                "fds" => {
                    let (fd, target) = line.split_once(' ').unwrap_or((line, ""));
                    (
                        fd.to_owned(),
                        target.split('[').next().unwrap_or("").to_owned(),
                    )
                }
                "env" | "etc" | "dev" | "tree" | "status" | "sysctl" | "write" | "masked"
                | "dirs" => {
                    let end = line.find([' ', '\t', ':']).unwrap_or(line.len());
                    (line[..end].to_owned(), line[end..].to_owned())
                }
                _ => (String::new(), line.to_owned()),
            };
            let mut field = format!("view {section}{file} {key}").trim_end().to_owned();
            let count = times.entry(field.clone()).or_default();
            *count += 1;
            if *count > 1 {
                field = format!("{field} #{count}");
            }
            fields.insert(field, value);
        }
    }
}

/// Which devices a rule is about.
fn device_rule(rule: &Value) -> String {
    match rule.get("type").and_then(Value::as_str) {
        None | Some("a") => "all".to_owned(),
        Some(kind) => {
            let number = |key| rule.get(key).map_or("*".to_owned(), ToString::to_string);
            format!("{kind} {}:{}", number("major"), number("minor"))
        }
    }
}

/// Where the engines keep the shared memory of another container.
fn is_joined_shm(source: &str) -> bool {
    source.ends_with("/DIGEST/userdata/shm") || source.ends_with("/unitbox/DIGEST/ns/shm")
}

/// Names that were made up: 64 hexadecimal digits.
fn without_digests(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut run = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() || ('a'..='f').contains(&c) {
            run.push(c);
            continue;
        }
        out.push_str(if run.len() == 64 { "DIGEST" } else { &run });
        run.clear();
        out.push(c);
    }
    out.pop();
    out
}

/// Where each engine keeps what is mounted into a container.
const PLACES: &[(&str, &str)] = &[
    (
        "/var/lib/containers/storage/overlay-containers/ID/userdata",
        "RUN",
    ),
    (
        "/run/containers/storage/overlay-containers/ID/userdata",
        "RUN",
    ),
    ("/containers/storage/overlay-containers/ID/userdata", "RUN"),
    ("/storage/overlay-containers/ID/userdata", "RUN"),
    ("/run/unitbox/ID", "RUN"),
    ("/unitbox/ID", "RUN"),
    ("/var/lib/containers/storage/volumes", "VOLUMES"),
    ("/containers/storage/volumes", "VOLUMES"),
    ("/storage/volumes", "VOLUMES"),
    ("/var/lib/unitbox/volumes", "VOLUMES"),
    ("/unitbox/volumes", "VOLUMES"),
];

/// What each engine has for itself in config.json.
fn drop_own(config: &mut Value) {
    for (parent, own) in [("", "hooks"), ("/root", "path"), ("/linux", "cgroupsPath")] {
        if let Some(Value::Object(map)) = config.pointer_mut(parent) {
            map.remove(own);
        }
    }
}

fn syscalls(path: &str, list: &[Value], fields: &mut Fields) {
    let mut rules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for rule in list {
        let names = rule.get("names").and_then(Value::as_array);
        let mut what = rule.clone();
        if let Value::Object(map) = &mut what {
            map.remove("names");
            map.retain(|_, value| {
                !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty())
            });
        }
        for name in names.into_iter().flatten().filter_map(Value::as_str) {
            rules
                .entry(name.to_owned())
                .or_default()
                .insert(what.to_string());
        }
    }
    for (name, rules) in rules {
        fields.insert(format!("{path} {name}"), format!("{rules:?}"));
    }
}

/// A line of mountinfo: the mount point, and the rest without numbers and without the store's own directories.
fn mount(line: &str) -> (String, String) {
    let (left, right) = line.split_once(" - ").unwrap_or((line, ""));
    let left: Vec<&str> = left.split(' ').collect();
    let [_, _, _, root, target, options, peers @ ..] = &left[..] else {
        return (line.to_owned(), String::new());
    };
    // How deep in the host's tree of cgroups the container's lies.
    let above = root.split('/').skip(1).all(|part| part == "..");
    let root = if above && right.starts_with("cgroup2") {
        "/.."
    } else {
        root
    };
    let peers: Vec<&str> = peers
        .iter()
        .filter_map(|peer| peer.split(':').next())
        .collect();
    let secret =
        right.starts_with("tmpfs ") && (root.starts_with("/secrets") || root.starts_with("/file/"));
    if root.contains("RUN/") || secret {
        // A file or directory of the engine's own: what disk it lies on is the lab's business.
        let access = if options.starts_with("ro") {
            "ro"
        } else {
            "rw"
        };
        return ((*target).to_owned(), format!("of the engine, {access}"));
    }
    let mut right = right.splitn(3, ' ');
    let (kind, source, options_of_fs) = (right.next(), right.next(), right.next());
    let kind = kind.unwrap_or("");
    let dirs = [
        "lowerdir", "upperdir", "workdir", "inode64", "uuid", "metacopy", "volatile",
    ];
    let kept = options_of_fs.unwrap_or("").split(',');
    let mut kept: Vec<&str> = kept
        .filter(|option| !(kind == "overlay" && dirs.iter().any(|dir| option.starts_with(dir))))
        .collect();
    kept.sort_unstable();
    if kind == "overlay" && *target != "/" {
        // Nothing can be written without an upper directory, whatever the mount says.
        let text = options_of_fs.unwrap_or("");
        let writable =
            options.starts_with("rw") && text.contains("upperdir=") && !text.starts_with("ro");
        return (
            (*target).to_owned(),
            format!("overlay, writable: {writable}"),
        );
    }
    // Who mounts the one of a network namespace first says how it is; what counts is the mount.
    let kept = if kind == "sysfs" { Vec::new() } else { kept };
    // Which disk the store lies on is the lab's business.
    let source = source.filter(|_| kind != "overlay").unwrap_or("");
    (
        (*target).to_owned(),
        format!(
            "{kind} {root} {options} {} {source} {}",
            peers.join("+"),
            kept.join(",")
        ),
    )
}

/// Whether a field is the one named; a star at the end or the beginning of the name stands for anything.
fn is_at(field: &str, pattern: &str) -> bool {
    match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
        (Some(begin), _) => field.starts_with(begin),
        (_, Some(end)) => field.ends_with(end),
        _ => field == pattern,
    }
}

fn is_meant(case: &str, field: &str) -> bool {
    MEANT.iter().any(|(pattern, _, words)| {
        is_at(field, pattern) && words.split('|').any(|word| case.contains(word))
    })
}

/// Where both differ, one line each; what is meant is left out.
pub(super) fn differences(case: &str, podman: &Outcome, unitbox: &Outcome) -> Vec<String> {
    if podman.code != unitbox.code || podman.config.is_some() != unitbox.config.is_some() {
        let show = |one: &Outcome| {
            let made = if one.config.is_some() {
                "with"
            } else {
                "without"
            };
            format!("{} {made} config.json, {:?}", one.code, one.err.trim())
        };
        return vec![format!(
            "exit code: podman {} unitbox {}",
            show(podman),
            show(unitbox)
        )];
    }
    let (podman, unitbox) = (podman.fields(), unitbox.fields());
    let names: BTreeSet<&String> = podman.keys().chain(unitbox.keys()).collect();
    let differ = names
        .into_iter()
        .filter(|name| podman.get(*name) != unitbox.get(*name));
    differ
        .filter(|name| !is_meant(case, name))
        .map(|name| {
            let show = |fields: &Fields| {
                fields
                    .get(name)
                    .map_or("-".to_owned(), |value| format!("{value:?}"))
            };
            format!(
                "{name}: podman {} unitbox {}",
                show(&podman),
                show(&unitbox)
            )
        })
        .collect()
}

#[test]
fn what_is_meant_is_little_and_never_what_protects() {
    assert!(MEANT.len() <= 10);
    for (field, reason, _) in MEANT {
        for never in [
            "exit",
            "capabilities",
            "seccomp",
            "mounts",
            "namespaces",
            "user",
            "view id",
            "view status",
        ] {
            assert!(!field.contains(never), "{field}");
        }
        assert!(!reason.is_empty());
    }
}

#[test]
fn a_changed_field_is_seen() {
    let outcome = |json: &str, out: &str| Outcome {
        id: "ab".repeat(32),
        config: Some(serde_json::from_str(json).expect("JSON")),
        out: out.to_owned(),
        ..Outcome::default()
    };
    let first = outcome(
        r#"{"mounts":[{"destination":"/a","options":["ro"]}],"annotations":{"io.x":"1"},"hostname":"abababababab"}"#,
        "== id\n0\n== mounts\n1 2 3:4 /x /a rw shared:7 - overlay o lowerdir=/z,ro\n",
    );
    let second = outcome(
        r#"{"mounts":[{"destination":"/a","options":["rw"]}],"annotations":{"io.x":"2"},"hostname":"abababababab"}"#,
        "== id\n1\n== mounts\n9 9 3:4 /x /a rw shared:8 - overlay p lowerdir=/y,ro\n",
    );
    let lines = differences("", &first, &second);
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(
        lines[0].starts_with("config mounts /a options"),
        "{lines:?}"
    );
    assert!(lines[2].starts_with("view id:"), "{lines:?}");
    assert!(differences("", &first, &first).is_empty());
}
