//! The command as we enter the container ourselves, which takes a small part of what the runtime takes for it. What is
//! unusual in any way is left to the runtime.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::resource::Resource;
use oci_spec::runtime::Capability;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::api::Layout;
use crate::container::prepare;
use crate::sys::enter::{Capabilities, Entrant};
use crate::types::ContainerId;

/// config.json, as far as it matters here.
#[derive(Deserialize)]
struct Config {
    process: Confined,
    linux: Option<Linux>,
}

#[derive(Deserialize)]
struct Confined {
    capabilities: Option<Sets>,
}

#[derive(Deserialize)]
struct Linux {
    #[serde(default)]
    namespaces: Vec<Namespace>,
    seccomp: Option<Seccomp>,
    personality: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Namespace {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seccomp {
    #[serde(default)]
    flags: Vec<IgnoredAny>,
    listener_path: Option<IgnoredAny>,
}

/// The process of a check: nothing is overlooked.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Process {
    #[serde(default)]
    terminal: bool,
    user: User,
    args: Vec<String>,
    env: Vec<String>,
    cwd: String,
    capabilities: Option<Sets>,
    #[serde(default)]
    rlimits: Vec<Limit>,
    #[serde(default)]
    no_new_privileges: bool,
    apparmor_profile: Option<String>,
    oom_score_adj: Option<i32>,
    selinux_label: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct User {
    uid: u32,
    gid: u32,
    umask: Option<u32>,
    #[serde(default)]
    additional_gids: Vec<u32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Sets {
    bounding: Vec<Capability>,
    effective: Vec<Capability>,
    permitted: Vec<Capability>,
    inheritable: Vec<Capability>,
    ambient: Vec<Capability>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    #[serde(rename = "type")]
    kind: String,
    soft: u64,
    hard: u64,
}

/// Whom the files describe, in this cgroup; or why it is for the runtime.
pub(super) fn entrant(
    layout: &Layout,
    id: &ContainerId,
    process: &Path,
    group: &Path,
) -> Result<Entrant, String> {
    let config: Config = read(&layout.bundle(id).join("config.json"))?;
    let filter = match confinement(&config)? {
        false => None,
        // What crun has compiled for the payload; runc compiles anew each time.
        true => {
            let path = layout
                .runtime_state(id)
                .join(id.as_str())
                .join("seccomp.bpf");
            Some(fs::read(&path).map_err(|error| why(&path, error))?)
        }
    };
    let process: Process = read(process)?;
    entrant_of(process, filter, group.to_owned())
}

fn read<T: for<'t> Deserialize<'t>>(path: &Path) -> Result<T, String> {
    let text = fs::read(path).map_err(|error| why(path, error))?;
    serde_json::from_slice(&text).map_err(|error| why(path, error.into()))
}

fn why(path: &Path, error: io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// Whether there is a filter of system calls.
fn confinement(config: &Config) -> Result<bool, String> {
    let held = config.process.capabilities.as_ref();
    let traces = held.is_some_and(|sets| sets.bounding.contains(&Capability::SysPtrace));
    let linux = config.linux.as_ref();
    let own_users =
        linux.is_some_and(|linux| linux.namespaces.iter().any(|own| own.kind == "user"));
    if traces && !own_users {
        // It could take over who enters, and this program with it, which it cannot with the copy that a runtime runs.
        return Err("the payload may trace whatever it sees".to_owned());
    }
    if linux.is_some_and(|linux| linux.personality.is_some()) {
        return Err("it has a personality".to_owned());
    }
    match linux.and_then(|linux| linux.seccomp.as_ref()) {
        None => Ok(false),
        Some(filter) if filter.flags.is_empty() && filter.listener_path.is_none() => Ok(true),
        Some(_) => Err("its filter of system calls has flags or a listener".to_owned()),
    }
}

fn entrant_of(
    process: Process,
    filter: Option<Vec<u8>>,
    group: PathBuf,
) -> Result<Entrant, String> {
    let has = |name: &str| {
        let mut pairs = process.env.iter().filter_map(|pair| pair.split_once('='));
        pairs.any(|(own, _)| own == name)
    };
    if process.terminal || !has("HOME") || !has("PATH") {
        return Err("it has a terminal, or no HOME or PATH".to_owned());
    }
    let label = match (process.apparmor_profile, process.selinux_label) {
        (None, None) => None,
        (Some(profile), None) => Some(("apparmor/exec".into(), format!("exec {profile}"))),
        (None, Some(label)) => Some(("exec".into(), label)),
        (Some(_), Some(_)) => return Err("it has two labels".to_owned()),
    };
    let sets = process.capabilities.unwrap_or_default();
    let bits = |set: &[Capability]| prepare::bits(set).ok_or("a capability has no number");
    Ok(Entrant {
        args: process.args,
        env: process.env,
        cwd: process.cwd,
        uid: process.user.uid,
        gid: process.user.gid,
        groups: process.user.additional_gids,
        umask: process.user.umask,
        capabilities: Capabilities {
            bounding: bits(&sets.bounding)?,
            effective: bits(&sets.effective)?,
            permitted: bits(&sets.permitted)?,
            inheritable: bits(&sets.inheritable)?,
            ambient: bits(&sets.ambient)?,
        },
        limits: process
            .rlimits
            .iter()
            .map(limit)
            .collect::<Result<_, _>>()?,
        no_new_privileges: process.no_new_privileges,
        filter,
        oom_score_adj: process.oom_score_adj,
        label,
        group,
    })
}

fn limit(limit: &Limit) -> Result<(Resource, u64, u64), String> {
    let resource = match limit.kind.as_str() {
        "RLIMIT_AS" => Resource::RLIMIT_AS,
        "RLIMIT_CORE" => Resource::RLIMIT_CORE,
        "RLIMIT_CPU" => Resource::RLIMIT_CPU,
        "RLIMIT_DATA" => Resource::RLIMIT_DATA,
        "RLIMIT_FSIZE" => Resource::RLIMIT_FSIZE,
        "RLIMIT_LOCKS" => Resource::RLIMIT_LOCKS,
        "RLIMIT_MEMLOCK" => Resource::RLIMIT_MEMLOCK,
        "RLIMIT_MSGQUEUE" => Resource::RLIMIT_MSGQUEUE,
        "RLIMIT_NICE" => Resource::RLIMIT_NICE,
        "RLIMIT_NOFILE" => Resource::RLIMIT_NOFILE,
        "RLIMIT_NPROC" => Resource::RLIMIT_NPROC,
        "RLIMIT_RSS" => Resource::RLIMIT_RSS,
        "RLIMIT_RTPRIO" => Resource::RLIMIT_RTPRIO,
        "RLIMIT_RTTIME" => Resource::RLIMIT_RTTIME,
        "RLIMIT_SIGPENDING" => Resource::RLIMIT_SIGPENDING,
        "RLIMIT_STACK" => Resource::RLIMIT_STACK,
        other => return Err(format!("no limit is called {other}")),
    };
    Ok((resource, limit.soft, limit.hard))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: &str = r#"{"user": {"uid": 5, "gid": 6, "umask": 18, "additionalGids": [6, 7]}, "args": ["sh"],
        "env": ["PATH=/bin", "HOME=/"], "cwd": "/w", "noNewPrivileges": true, "oomScoreAdj": 7,
        "capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL"], "ambient": ["CAP_CHECKPOINT_RESTORE"]},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 18446744073709551615}]}"#;

    fn of(text: &str) -> Result<Entrant, String> {
        let process = serde_json::from_str(text).map_err(|error| error.to_string())?;
        entrant_of(process, Some(vec![7]), "/g".into())
    }

    #[test]
    fn a_process_of_the_bundle_is_understood_whole() {
        let expected = Entrant {
            args: vec!["sh".to_owned()],
            env: vec!["PATH=/bin".to_owned(), "HOME=/".to_owned()],
            cwd: "/w".to_owned(),
            uid: 5,
            gid: 6,
            groups: vec![6, 7],
            umask: Some(0o22),
            capabilities: Capabilities {
                bounding: 1 | 1 << 5,
                ambient: 1 << 40,
                ..Capabilities::default()
            },
            limits: vec![(Resource::RLIMIT_NOFILE, 1, u64::MAX)],
            no_new_privileges: true,
            filter: Some(vec![7]),
            oom_score_adj: Some(7),
            label: None,
            group: "/g".into(),
        };
        assert_eq!(of(PROCESS), Ok(expected));
        let labelled = |key: &str| {
            let text = PROCESS.replacen('{', &format!("{{\"{key}\": \"x y\", "), 1);
            of(&text).unwrap().label.unwrap()
        };
        let (file, text) = labelled("apparmorProfile");
        assert_eq!((file, text.as_str()), ("apparmor/exec".into(), "exec x y"));
        let (file, text) = labelled("selinuxLabel");
        assert_eq!((file, text.as_str()), ("exec".into(), "x y"));
    }

    #[test]
    fn what_is_unusual_is_for_the_runtime() {
        for (from, to) in [
            ("{\"user\"", "{\"scheduler\": {}, \"user\""),
            ("{\"user\"", "{\"terminal\": true, \"user\""),
            ("\"umask\"", "\"username\": \"x\", \"umask\""),
            ("HOME=", "HOMER="),
            ("PATH=", "PATHS="),
            ("CAP_KILL", "CAP_NEW"),
            ("\"ambient\"", "\"more\""),
            ("RLIMIT_NOFILE", "RLIMIT_NEW"),
        ] {
            let text = PROCESS.replacen(from, to, 1);
            assert_ne!(text, PROCESS, "{from}");
            assert!(of(&text).is_err(), "{to}");
        }
    }

    #[test]
    fn a_payload_that_may_trace_or_is_filtered_in_some_other_way_is_not_entered() {
        let filtered = |bounding: &str, linux: &str| {
            let text = format!(
                r#"{{"process": {{"capabilities": {{"bounding": [{bounding}]}}}}, "linux": {{{linux}}}}}"#
            );
            confinement(&serde_json::from_str(&text).unwrap()).ok()
        };
        let users = r#""namespaces": [{"type": "pid"}, {"type": "user"}]"#;
        for (bounding, linux, expected) in [
            ("\"CAP_KILL\"", "", Some(false)),
            ("", r#""seccomp": {"syscalls": [{"a": 1}]}"#, Some(true)),
            ("", r#""seccomp": {"flags": ["X"]}"#, None),
            ("", r#""seccomp": {"listenerPath": "/x"}"#, None),
            ("", r#""personality": {"domain": "LINUX32"}"#, None),
            ("\"CAP_SYS_PTRACE\"", "", None),
            ("\"CAP_SYS_PTRACE\"", users, Some(false)),
        ] {
            assert_eq!(filtered(bounding, linux), expected, "{bounding} {linux}");
        }
    }
}
