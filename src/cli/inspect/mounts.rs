//! `Mounts` and `Binds`: files of the host and volumes.

use crate::api::Layout;
use crate::cli::template::Value;
use crate::definition::Definition;
use crate::definition::mount::{Mount, MountKind};

const PROPAGATION: [&str; 8] = [
    "shared",
    "rshared",
    "private",
    "rprivate",
    "slave",
    "rslave",
    "unbindable",
    "runbindable",
];

fn listed(definition: &Definition) -> impl Iterator<Item = &Mount> {
    let all = definition.options.files.effective().iter();
    all.filter(|mount| matches!(mount.kind, MountKind::Bind | MountKind::Volume))
}

/// The options of the mount itself: the user's, and what every mount gets that does not say otherwise.
fn options(mount: &Mount) -> Vec<String> {
    let ours = |word: &&String| {
        let word = word.as_str();
        let special = matches!(
            word,
            "rw" | "ro" | "z" | "Z" | "U" | "O" | "copy" | "nocopy"
        );
        !special && !PROPAGATION.contains(&word)
    };
    let mut words: Vec<String> = mount.options.iter().filter(ours).cloned().collect();
    let defaults = [
        ("nosuid", &["suid", "nosuid"][..]),
        ("nodev", &["dev", "nodev"]),
        ("rbind", &["bind", "rbind"]),
    ];
    for (word, other) in defaults {
        if !other.iter().any(|other| mount.has(other)) {
            words.push(word.to_owned());
        }
    }
    words
}

fn propagation(mount: &Mount) -> &'static str {
    let given = PROPAGATION.iter().find(|word| mount.has(word));
    given.copied().unwrap_or("rprivate")
}

pub(super) fn list(layout: &Layout, definition: &Definition) -> Value {
    let one = |mount: &Mount| {
        let mut fields = vec![("Type", mount.kind.as_str().into())];
        let volume = match mount.kind {
            MountKind::Volume => mount.source.parse().ok(),
            _ => None,
        };
        let source = match &volume {
            Some(name) => {
                fields.push(("Name", mount.source.as_str().into()));
                layout.volume_data(name).display().to_string()
            }
            None => mount.source.clone(),
        };
        let driver = if volume.is_some() { "local" } else { "" };
        fields.extend([
            ("Source", source.into()),
            ("Destination", mount.target.as_str().into()),
            ("Driver", driver.into()),
            ("Mode", "".into()),
            ("Options", Value::list(options(mount))),
            ("RW", (!mount.has("ro")).into()),
            ("Propagation", propagation(mount).into()),
        ]);
        if let Some(subpath) = &mount.subpath {
            fields.push(("SubPath", subpath.as_str().into()));
        }
        Value::fields("define.InspectMount", fields)
    };
    Value::List(listed(definition).map(one).collect())
}

/// `Tmpfs`: target and options.
pub(super) fn tmpfs(definition: &Definition) -> Value {
    let all = definition.options.files.effective().iter();
    let one = |mount: &Mount| {
        let mode = if mount.has("ro") { "ro" } else { "rw" };
        let mut words = vec![mode.to_owned(), propagation(mount).to_owned()];
        let of_tmpfs = |word: &String| !matches!(word.as_str(), "bind" | "rbind");
        words.extend(options(mount).into_iter().filter(of_tmpfs));
        if !mount.has("tmpcopyup") && !mount.has("notmpcopyup") {
            words.push("tmpcopyup".to_owned());
        }
        (mount.target.clone(), Value::Str(words.join(",")))
    };
    let tmpfs = all.filter(|mount| mount.kind == MountKind::Tmpfs);
    Value::Map(tmpfs.map(one).collect())
}

pub(super) fn binds(definition: &Definition) -> Value {
    let one = |mount: &Mount| {
        let mode = if mount.has("ro") { "ro" } else { "rw" };
        format!(
            "{}:{}:{mode},{},{}",
            mount.source,
            mount.target,
            propagation(mount),
            options(mount).join(",")
        )
    };
    Value::list(listed(definition).map(one))
}
