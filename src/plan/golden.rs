//! Golden tests: `golden/NAME.args` is a definition, `NAME.json` its config.json with the files beside it, `NAME.service`
//! its unit. `UNITBOX_UPDATE_GOLDEN=1` writes them anew.
//!
//! A line of `.args` is `--flag=value` or `--flag`, through the table of options as from the command line; after a line
//! `--` come the words of the command; `@name value` is a fact of the host or of the image; `#` begins a comment. In a
//! value `\n` is a newline and `\\` a backslash.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::bundle::{
    self, BundleFacts, CdiFile, DeviceNode, Forbids, GivenFile, ImageDefaults, LimitFacts, Mapping,
    MountFacts, NamespaceKind, NamespaceSource, SeccompProfile, UserFacts,
};
use super::conf::Conf;
use super::selinux::{Contexts, LabelWish, Labels};
use super::unit::{Unit, UnitFacts};
use crate::api::Layout;
use crate::definition::mount::MountKind;
use crate::definition::{Arity, Definition, Options, Source, VERSION, options, parse_capability};
use crate::types::{ContainerId, UnitName};

struct Case {
    name: String,
    definition: Definition,
    facts: BundleFacts,
    systemd: u32,
    /// Units that must run before it.
    units: Vec<UnitName>,
    /// Sources of mounts that are files.
    files: Vec<String>,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plan/golden")
}

fn cases() -> Vec<Case> {
    let entries = fs::read_dir(directory()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|kind| kind == "args"))
        .collect();
    paths.sort();
    paths.iter().map(|path| case(path)).collect()
}

fn case(path: &Path) -> Case {
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let mut case = Case {
        definition: Definition {
            version: VERSION,
            id: ContainerId::from_random([0xab; 32]),
            name: "web".parse().unwrap(),
            created: 1_700_000_000_000_000,
            source: Source::Image {
                name: "docker.io/library/busybox:latest".to_owned(),
                id: "cd".repeat(32),
            },
            command: Vec::new(),
            options: Options::default(),
            deployed: None,
        },
        facts: facts(),
        systemd: 257,
        units: Vec::new(),
        files: Vec::new(),
        name,
    };
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    for line in lines.by_ref().take_while(|line| *line != "--") {
        if let Some(fact) = line.strip_prefix('@') {
            let (key, value) = fact.split_once(' ').unwrap_or((fact, ""));
            case.learn(key, &plain(value));
        } else if let Some(option) = line.strip_prefix("--") {
            apply(&mut case.definition.options, option);
        } else {
            let ignored = line.is_empty() || line.starts_with('#');
            assert!(ignored, "{}: {line}", path.display());
        }
    }
    case.definition.command = lines.map(plain).collect();
    if case.definition.command.is_empty() && case.facts.image.command.is_empty() {
        case.definition.command.push("sh".to_owned());
    }
    if let Some(name) = &case.definition.options.name {
        case.definition.name = name.clone();
    }
    case.definition.options.check().unwrap();
    case
}

fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next().unwrap() {
                'n' => out.push('\n'),
                other => out.push(other),
            },
            c => out.push(c),
        }
    }
    out
}

fn apply(wished: &mut Options, option: &str) {
    let (flag, value) = match option.split_once('=') {
        Some((flag, value)) => (flag, plain(value)),
        None => (option, "true".to_owned()),
    };
    let spec = options().find(|spec| spec.flag == flag);
    let spec = spec.unwrap_or_else(|| panic!("no flag {flag}"));
    assert!(
        spec.arity == Arity::Switch || option.contains('='),
        "--{option}"
    );
    spec.apply(wished, &value)
        .unwrap_or_else(|error| panic!("{error}"));
}

/// A host with everything, a user root that the image knows.
fn facts() -> BundleFacts {
    let mut facts = BundleFacts {
        image: ImageDefaults {
            env: vec!["PATH=/usr/bin:/bin".to_owned()],
            ..ImageDefaults::default()
        },
        rootfs: "/run/unitbox/x/bundle/rootfs".into(),
        cgroup: "/system.slice/unitbox-web.service/payload".to_owned(),
        limits: LimitFacts {
            controllers: ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"]
                .map(str::to_owned)
                .to_vec(),
            device_rules: true,
            ..LimitFacts::default()
        },
        ..BundleFacts::default()
    };
    facts.process.user = UserFacts {
        groups: vec![0],
        home: Some("/root".to_owned()),
        ..UserFacts::default()
    };
    facts.etc.directory = "/run/unitbox/x".into();
    facts.etc.resolv_conf = "nameserver 192.0.2.1\n".to_owned();
    facts
}

impl Case {
    fn learn(&mut self, key: &str, value: &str) {
        let text = value.to_owned();
        let number = || value.parse::<u32>().unwrap();
        let (image, user) = (&mut self.facts.image, &mut self.facts.process.user);
        match key {
            "rootfs" => self.definition.source = Source::Rootfs { path: text },
            "image-entrypoint" => image.entrypoint.push(text),
            "image-command" => image.command.push(text),
            "image-env" => image.env.push(text),
            "image-user" => image.user = text,
            "image-workdir" => image.workdir = text,
            "image-stop-signal" => image.stop_signal = Some(value.parse().unwrap()),
            "apparmor" => self.facts.isolation.apparmor = Some(text),
            "selinux" => {
                let contexts = Contexts::parse(value).unwrap();
                let wish = LabelWish::parse(&self.definition.options.isolation.label).unwrap();
                let labels = Labels::of(&contexts, &wish, "s0:c12,c345");
                self.facts.isolation.labels = Some(labels);
            }
            "uid" => user.uid = number(),
            "gid" => user.gid = number(),
            "groups" => user.groups = value.split(',').map(|id| id.parse().unwrap()).collect(),
            "home" => user.home = Some(text).filter(|home| !home.is_empty()),
            "controllers" => {
                let names = value.split_whitespace();
                self.facts.limits.controllers = names.map(str::to_owned).collect();
            }
            "no-device-rules" => self.facts.limits.device_rules = false,
            "systemd" => self.systemd = number(),
            "unit" => self.units.push(UnitName::of(&value.parse().unwrap())),
            other if self.learn_of_host(other, value) || self.learn_of_users(other, value) => {}
            other => panic!("{}: no fact {other}", self.name),
        }
    }

    /// Whether the fact is one of these.
    fn learn_of_host(&mut self, key: &str, value: &str) -> bool {
        let facts = &mut self.facts;
        let words: Vec<&str> = value.split(' ').collect();
        let pair = || value.split_once(' ').unwrap();
        match key {
            "conf" => facts.conf = Conf::parse(value, "containers.conf").unwrap(),
            "hook" => facts
                .hooks
                .files
                .push((pair().0.to_owned(), pair().1.to_owned())),
            "cdi" => {
                let file = CdiFile::parse(pair().1).unwrap();
                facts.isolation.cdi.extend(file.device(pair().0).unwrap());
            }
            "device" => facts.isolation.devices.push(DeviceNode {
                host: words[0].into(),
                path: words[1].into(),
                block: words[2] == "b",
                major: words[3].parse().unwrap(),
                minor: words[4].parse().unwrap(),
                mode: 0o660,
                uid: 0,
                gid: 6,
                access: words[5].to_owned(),
            }),
            "limited-device" => {
                let numbers = (words[1].parse().unwrap(), words[2].parse().unwrap());
                facts.limits.devices.insert(words[0].to_owned(), numbers);
            }
            "unit-limit" => {
                let (file, value) = pair();
                facts
                    .limits
                    .overridden
                    .insert(file.to_owned(), value.to_owned());
            }
            "capabilities" => {
                let names = words.iter().map(|name| parse_capability(name).unwrap());
                facts.isolation.host_capabilities = names.collect();
            }
            "joined" => facts
                .joined
                .sources
                .push((kind(words[0]), source(words[1]))),
            "joined-shm" => facts.joined.shm = Some(value.into()),
            "joined-hosts" => facts.joined.hosts = Some(value.to_owned()),
            "joined-hostname" => facts.joined.hostname = Some(value.to_owned()),
            "base-hosts" => facts.etc.base_hosts = value.to_owned(),
            "host-address" => facts.etc.host_address = Some(value.parse().unwrap()),
            "zone" => facts.etc.zone = Some(value.into()),
            "init" => facts.process.init = Some(value.into()),
            "seccomp" => facts.isolation.seccomp = SeccompProfile::parse(value).ok(),
            "crun" => facts.process.crun = true,
            "file" => self.files.push(value.to_owned()),
            _ => return false,
        }
        true
    }

    fn learn_of_users(&mut self, key: &str, value: &str) -> bool {
        let facts = &mut self.facts;
        match key {
            "mapping" => {
                let ranges = Mapping::ranges(&value.replace(':', " "));
                facts.isolation.mapping = Some(Mapping {
                    uids: ranges.clone(),
                    gids: ranges,
                });
            }
            "user-namespace" => {
                let source = NamespaceSource::Path(value.into());
                facts.joined.sources.push((NamespaceKind::User, source));
            }
            "shm" => facts.files.shm = Some(value.into()),
            // What is known of the user's mounts, in their order.
            "source" => facts.files.mounts.push(MountFacts {
                source: value.into(),
                directory: true,
                forbids: match value.contains("/volumes/") {
                    true => Forbids::VOLUME,
                    false => Forbids::default(),
                },
                overlay: None,
            }),
            "secret" => {
                let (source, target) = value.split_once(' ').unwrap();
                facts.files.given.push(GivenFile {
                    source: source.into(),
                    target: target.to_owned(),
                    read_only: false,
                });
            }
            "secret-env" => {
                let (name, value) = value.split_once('=').unwrap();
                let pair = (name.to_owned(), value.to_owned());
                facts.files.secret_env.push(pair);
            }
            _ => return false,
        }
        true
    }

    /// Sources as the prepare worker finds them: directories, unless a fact says that it is a file.
    fn mounts(&self) -> Vec<MountFacts> {
        let mounts = self.definition.options.files.effective().iter();
        let facts = mounts.map(|mount| MountFacts {
            source: match mount.kind {
                MountKind::Volume => {
                    format!("/var/lib/unitbox/volumes/{}/_data", mount.source).into()
                }
                MountKind::Image => "/run/unitbox/x/mounts/0".into(),
                MountKind::Tmpfs | MountKind::Ramfs | MountKind::Devpts => PathBuf::new(),
                MountKind::Bind | MountKind::Glob => PathBuf::from(&mount.source),
            },
            directory: !self.files.contains(&mount.source),
            forbids: match mount.kind {
                MountKind::Volume => Forbids::VOLUME,
                _ => Forbids::default(),
            },
            overlay: mount
                .has("O")
                .then(|| ("/run/unitbox/x/upper".into(), "/run/unitbox/x/work".into())),
        });
        facts.collect()
    }

    fn bundle(&self) -> String {
        let mut facts = self.facts.clone();
        if facts.files.mounts.is_empty() {
            facts.files.mounts = self.mounts();
        }
        let bundle = bundle::plan(&self.definition, &facts).unwrap();
        let mut config = serde_json::to_value(&bundle.spec).unwrap();
        sort_sets(&mut config);
        let files: serde_json::Map<String, Value> = bundle
            .etc
            .iter()
            .map(|(path, text)| (path.display().to_string(), json!(text)))
            .collect();
        let all = json!({"config.json": config, "files": files, "warnings": bundle.warnings});
        format!("{}\n", serde_json::to_string_pretty(&all).unwrap())
    }

    fn unit(&self) -> String {
        let facts = UnitFacts {
            systemd: self.systemd,
            monitor: Path::new("/usr/libexec/unitbox/unitbox-monitor"),
            layout: &Layout::new("/"),
            dependencies: &self.units,
        };
        Unit::of(&self.definition, &facts).render()
    }
}

fn kind(name: &str) -> NamespaceKind {
    let all = [
        NamespaceKind::Network,
        NamespaceKind::Ipc,
        NamespaceKind::Uts,
        NamespaceKind::Pid,
        NamespaceKind::Cgroup,
    ];
    let found = all.into_iter().find(|kind| kind.file() == name);
    found.unwrap_or_else(|| panic!("no namespace {name}"))
}

fn source(text: &str) -> NamespaceSource {
    match text {
        "host" => NamespaceSource::Host,
        path => NamespaceSource::Path(path.into()),
    }
}

/// Sets of capabilities have no order of their own.
fn sort_sets(config: &mut Value) {
    for set in [
        "bounding",
        "effective",
        "permitted",
        "inheritable",
        "ambient",
    ] {
        let pointer = format!("/process/capabilities/{set}");
        if let Some(Value::Array(list)) = config.pointer_mut(&pointer) {
            list.sort_by_key(ToString::to_string);
        }
    }
}

#[test]
fn every_plan_is_as_it_was() {
    let cases = cases();
    let mut changed = Vec::new();
    for case in &cases {
        for (kind, text) in [("json", case.bundle()), ("service", case.unit())] {
            let path = directory().join(format!("{}.{kind}", case.name));
            if std::env::var_os("UNITBOX_UPDATE_GOLDEN").is_some() {
                fs::write(&path, &text).unwrap();
            }
            let was = fs::read_to_string(&path).unwrap_or_default();
            if was != text {
                changed.push(difference(&path, &was, &text));
            }
        }
    }
    assert!(changed.is_empty(), "{}", changed.join("\n"));
    assert!(cases.len() >= 60, "{} cases", cases.len());
}

/// The lines that are only in one of both.
fn difference(path: &Path, was: &str, is: &str) -> String {
    let mut lines = vec![format!("{}:", path.display())];
    let gone = was
        .lines()
        .filter(|line| !is.lines().any(|other| other == *line));
    lines.extend(gone.map(|line| format!("- {line}")));
    let new = is
        .lines()
        .filter(|line| !was.lines().any(|other| other == *line));
    lines.extend(new.map(|line| format!("+ {line}")));
    lines.join("\n")
}

#[test]
fn no_golden_file_is_left_over() {
    let names: Vec<String> = cases().into_iter().map(|case| case.name).collect();
    for entry in fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(names.contains(&name), "{}", path.display());
    }
}

#[test]
fn every_definition_is_read_as_it_was_written() {
    for case in cases() {
        let read = Definition::from_json(&case.definition.to_json()).unwrap();
        assert_eq!(read, case.definition, "{}", case.name);
        // What the table shows of it makes the same options again.
        let mut again = Options::default();
        for spec in options() {
            for value in spec.values(&case.definition.options) {
                spec.apply(&mut again, &value).unwrap();
            }
        }
        assert_eq!(again, case.definition.options, "{}", case.name);
    }
}
