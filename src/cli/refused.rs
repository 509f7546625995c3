//! What Podman has and unitbox has not: refused by name, with the tool to use.

use clap::error::{ContextKind, ContextValue, ErrorKind};

const NETWORKS: &str =
    "there are no networks of containers yet; use --network=host, none or container:NAME";
const PODS: &str = "there are no pods; use --network=container:NAME, and a slice (--cgroup-parent)";
const REMOTE: &str = "there is no service to connect to; use ssh, or systemctl --host";
const UNITS: &str = "every container is a unit; use systemctl";

/// Verbs, behind the verb that they stand behind, and what to use.
const VERBS: &[(&str, &str)] = &[
    ("artifact", "use skopeo or oras"),
    (
        "auto-update",
        "use a timer that loads an image and runs systemctl restart",
    ),
    ("build", "use buildah build"),
    ("compose", UNITS),
    ("farm", REMOTE),
    ("kube", "use podman kube, or kubectl"),
    ("login", "use skopeo login"),
    ("logout", "use skopeo logout"),
    (
        "machine",
        "containers run on this machine; use a virtual machine",
    ),
    ("manifest", "use buildah manifest"),
    ("network", NETWORKS),
    ("play", "use podman kube play"),
    ("pod", PODS),
    ("search", "use skopeo list-tags"),
    ("unshare", "use unshare(1)"),
    ("container checkpoint", "use criu, or stop and start"),
    ("container clone", "use create again"),
    ("container restore", "use criu, or stop and start"),
    ("container runlabel", "use image inspect, and run"),
    ("image build", "use buildah build"),
    ("image scp", "use skopeo copy, and scp(1)"),
    ("image search", "use skopeo list-tags"),
    ("image sign", "use skopeo standalone-sign"),
    ("image tree", "use skopeo inspect"),
    ("image trust", "use policy.json(5)"),
    ("system connection", REMOTE),
    ("system df", "use du below /var/lib/unitbox"),
    ("system events", "use events"),
    ("system info", "use info"),
    (
        "system migrate",
        "there is nothing to migrate; use systemctl reload",
    ),
    (
        "system renumber",
        "there are no locks with numbers; use nothing",
    ),
    ("system reset", "use rm, rmi and volume rm with --all"),
    (
        "system service",
        "there is no service; use org.unitbox1(5) on D-Bus",
    ),
    (
        "volume reload",
        "there are no volume plugins; use volume ls",
    ),
];

/// Flags before the verb, and what to use.
const FLAGS: &[(&str, &str)] = &[
    ("cgroup-manager", "it is systemd, always"),
    ("config", "use skopeo login --authfile"),
    (
        "conmon",
        "use systemctl edit: the monitor is the unit's program",
    ),
    ("connection", REMOTE),
    ("events-backend", "it is journald, always"),
    ("identity", REMOTE),
    ("imagestore", "there is one store, /var/lib/unitbox"),
    ("module", "use CONTAINERS_CONF_OVERRIDE"),
    ("network-cmd-path", NETWORKS),
    ("network-config-dir", NETWORKS),
    ("out", "use the shell's redirection"),
    ("remote", REMOTE),
    (
        "runroot",
        "use --root, which is a root directory for all records",
    ),
    ("runtime", "use runtime in containers.conf(5)"),
    (
        "runtime-flag",
        "use runtimes in containers.conf(5), with a program that adds flags",
    ),
    ("ssh", REMOTE),
    ("storage-driver", "it is overlay, always"),
    ("storage-opt", "it is overlay, always, and has no options"),
    ("syslog", "use systemd-cat(1)"),
    (
        "tmpdir",
        "use --root, which is a root directory for all records",
    ),
    ("transient-store", "use run --rm"),
    ("url", REMOTE),
    (
        "volumepath",
        "use --root, which is a root directory for all records",
    ),
];

/// Short forms of [`FLAGS`].
const SHORT: [(&str, &str); 2] = [("-c", "connection"), ("-r", "remote")];

/// What is said of a word that the grammar does not know but Podman does. `words` are all after the program's name.
pub(super) fn reason(error: &clap::Error, words: &[String]) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => verb(context(ContextKind::InvalidSubcommand)?, words),
        ErrorKind::UnknownArgument => flag(context(ContextKind::InvalidArg)?, words),
        _ => None,
    }
}

fn verb(unknown: &str, words: &[String]) -> Option<String> {
    let at = words.iter().position(|word| word == unknown)?;
    let before = at.checked_sub(1).map(|at| words[at].as_str());
    let below = before.map(|before| format!("{before} {unknown}"));
    let find = |name: &str| VERBS.iter().find(|(verb, _)| *verb == name);
    let alone = || match before {
        // `container push` is no verb of Podman's.
        Some("image" | "volume" | "secret" | "system") => None,
        _ => find(unknown),
    };
    let (name, tool) = below.as_deref().and_then(find).or_else(alone)?;
    Some(format!("{name} is not done by unitbox: {tool}"))
}

fn flag(unknown: &str, words: &[String]) -> Option<String> {
    let is_it = |word: &String| word == unknown || word.starts_with(&format!("{unknown}="));
    let at = words.iter().position(is_it)?;
    // Only before the verb.
    if words[..at].iter().any(|word| !word.starts_with('-')) {
        return None;
    }
    let short = SHORT.iter().find(|(short, _)| *short == unknown);
    let long = short.map_or_else(|| unknown.trim_start_matches('-'), |(_, long)| *long);
    let (_, tool) = FLAGS.iter().find(|(flag, _)| *flag == long)?;
    Some(format!("{unknown} is refused: {tool}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    fn said(line: &str) -> Option<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let all = ["unitbox".to_owned()].into_iter().chain(words.clone());
        reason(&command().try_get_matches_from(all).unwrap_err(), &words)
    }

    #[test]
    fn verbs_are_refused_with_the_tool_to_use() {
        for (line, want) in [
            ("build .", "build is not done by unitbox: use buildah build"),
            (
                "build --help",
                "build is not done by unitbox: use buildah build",
            ),
            (
                "--log-level debug login x",
                "login is not done by unitbox: use skopeo login",
            ),
            (
                "container checkpoint web",
                "container checkpoint is not done by unitbox: use criu, or stop and start",
            ),
            (
                "image search x",
                "image search is not done by unitbox: use skopeo list-tags",
            ),
        ] {
            assert_eq!(said(line).as_deref(), Some(want), "{line}");
        }
        assert_eq!(said("nonsense"), None);
        assert_eq!(said("volume build"), None);
    }

    #[test]
    fn flags_before_the_verb_are_refused_by_name() {
        assert_eq!(
            said("--storage-driver=vfs ps").as_deref(),
            Some("--storage-driver is refused: it is overlay, always")
        );
        assert!(said("-r ps").is_some_and(|text| text.contains("systemctl --host")));
        assert_eq!(said("ps --storage-driver=vfs"), None);
        assert_eq!(said("--nonsense ps"), None);
    }
}
