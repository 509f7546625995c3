//! What a user may say in `[Service]`: everything but what is ours, and what would confine the monitor where the
//! container is meant.

use super::Entry;

/// Keys that are made from other keys, or that the monitor relies on.
const OURS: &[(&str, &str)] = &[
    ("BusName", MONITOR),
    ("Delegate", MONITOR),
    ("DelegateSubgroup", MONITOR),
    ("DynamicUser", USER),
    (
        "ExecStart",
        "it is made from Exec= and Image= in [Container]",
    ),
    ("FileDescriptorStoreMax", MONITOR),
    ("Group", USER),
    ("GuessMainPID", MONITOR),
    ("NotifyAccess", MONITOR),
    ("PIDFile", MONITOR),
    ("ReloadSignal", "use ReloadSignal= in [Container]"),
    ("RootDirectory", ROOT),
    ("RootImage", ROOT),
    ("StandardError", OUTPUT),
    ("StandardInput", OUTPUT),
    ("StandardOutput", OUTPUT),
    ("SupplementaryGroups", "use GroupAdd= in [Container]"),
    ("User", USER),
];

const MONITOR: &str = "the monitor of the container relies on its own value";
const USER: &str = "use User= in [Container]";
const ROOT: &str = "use Rootfs= in [Container]";
const OUTPUT: &str = "use LogDriver= in [Container]";

/// Keys of systemd.exec(5) that would confine the monitor and not the container: what to use for that.
const SANDBOX: &[(&str, &str)] = &[
    ("AmbientCapabilities", "AddCapability="),
    ("AppArmorProfile", "AppArmor="),
    ("BindPaths", "Volume="),
    ("BindReadOnlyPaths", "Volume=...:ro"),
    (
        "CapabilityBoundingSet",
        "AddCapability= and DropCapability=",
    ),
    ("ExecPaths", "Mount="),
    ("ExtensionDirectories", "Volume="),
    ("ExtensionImages", "Mount=type=image"),
    ("IPCNamespacePath", "PodmanArgs=--ipc=ns:PATH"),
    ("InaccessiblePaths", "Mask="),
    ("LockPersonality", "SeccompProfile="),
    ("MemoryDenyWriteExecute", "SeccompProfile="),
    ("MountAPIVFS", "Mount="),
    ("MountFlags", "Volume="),
    ("MountImages", "Mount=type=image"),
    ("NetworkNamespacePath", "Network=ns:PATH"),
    ("NoExecPaths", "Mount="),
    ("PrivateDevices", "AddDevice="),
    ("PrivateIPC", "PodmanArgs=--ipc="),
    ("PrivateMounts", "Volume="),
    ("PrivateNetwork", "Network=none"),
    ("PrivatePIDs", "PodmanArgs=--pid="),
    ("PrivateTmp", "Tmpfs=/tmp"),
    ("PrivateUsers", "UserNS="),
    ("ProcSubset", "Mask="),
    ("ProtectClock", "DropCapability="),
    ("ProtectControlGroups", "ReadOnly=yes"),
    ("ProtectHome", "Volume="),
    ("ProtectHostname", "DropCapability="),
    ("ProtectKernelLogs", "DropCapability="),
    ("ProtectKernelModules", "DropCapability="),
    ("ProtectKernelTunables", "Mask="),
    (
        "ProtectProc",
        "PodmanArgs=--security-opt=proc-opts=hidepid=2",
    ),
    ("ProtectSystem", "ReadOnly=yes"),
    ("ReadOnlyPaths", "Mount="),
    ("ReadWritePaths", "Volume="),
    ("RestrictAddressFamilies", "SeccompProfile="),
    ("RestrictFileSystems", "SeccompProfile="),
    ("RestrictNamespaces", "SeccompProfile="),
    ("RestrictRealtime", "SeccompProfile="),
    ("RestrictSUIDSGID", "SeccompProfile="),
    ("SELinuxContext", "SecurityLabelType="),
    ("SecureBits", "DropCapability="),
    ("SmackProcessLabel", "AppArmor="),
    ("SystemCallArchitectures", "SeccompProfile="),
    ("SystemCallErrorNumber", "SeccompProfile="),
    ("SystemCallFilter", "SeccompProfile="),
    ("SystemCallLog", "SeccompProfile="),
    ("TemporaryFileSystem", "Tmpfs="),
];

/// Keys that become options of the container instead: flag, and what its value begins with.
const COMPILED: &[(&str, &str, &str)] = &[
    ("LimitAS", "ulimit", "as="),
    ("LimitCORE", "ulimit", "core="),
    ("LimitDATA", "ulimit", "data="),
    ("LimitFSIZE", "ulimit", "fsize="),
    ("LimitLOCKS", "ulimit", "locks="),
    ("LimitMEMLOCK", "ulimit", "memlock="),
    ("LimitMSGQUEUE", "ulimit", "msgqueue="),
    ("LimitNICE", "ulimit", "nice="),
    ("LimitNOFILE", "ulimit", "nofile="),
    ("LimitNPROC", "ulimit", "nproc="),
    ("LimitRSS", "ulimit", "rss="),
    ("LimitRTPRIO", "ulimit", "rtprio="),
    ("LimitSIGPENDING", "ulimit", "sigpending="),
    ("LimitSTACK", "ulimit", "stack="),
    ("NoNewPrivileges", "security-opt", "no-new-privileges="),
];

/// What a key of `[Service]` becomes.
pub(super) enum Meaning {
    /// An assignment of the unit, as it is.
    Pass,
    /// An option: flag and value.
    Option(&'static str, String),
}

/// What an assignment of a container's `[Service]` means.
///
/// # Errors
/// It is not for the user to say.
pub(super) fn meaning(entry: &Entry) -> Result<Meaning, String> {
    let (key, value) = (entry.key.as_str(), entry.value.as_str());
    if value.is_empty() && key != "ExecStart" {
        return Ok(Meaning::Pass);
    }
    let choice: &[&str] = match key {
        "Type" => &["notify", "oneshot"],
        "KillMode" => &["mixed"],
        _ => &[],
    };
    if !choice.is_empty() && !choice.contains(&value) {
        return Err(format!(
            "{key}={value} is not possible, only {}",
            choice.join(" and ")
        ));
    }
    if let Some((_, reason)) = OURS.iter().find(|(own, _)| *own == key) {
        return Err(format!("{key}= is not possible in [Service]: {reason}"));
    }
    if let Some((_, instead)) = SANDBOX.iter().find(|(own, _)| *own == key) {
        return Err(format!(
            "{key}= in [Service] would confine the monitor instead of the container: use {instead} in [Container]"
        ));
    }
    let Some((_, flag, prefix)) = COMPILED.iter().find(|(own, ..)| *own == key) else {
        return Ok(Meaning::Pass);
    };
    let value = match *flag {
        "ulimit" => limit(value)?,
        _ => truth(value)?.to_string(),
    };
    Ok(Meaning::Option(flag, format!("{prefix}{value}")))
}

/// Whether a key becomes an option of the container.
pub(super) fn compiled(key: &str) -> bool {
    COMPILED.iter().any(|(own, ..)| *own == key)
}

/// A limit of systemd.exec(5), `SOFT[:HARD]` with `infinity` and sizes, as `--ulimit` has it.
fn limit(value: &str) -> Result<String, String> {
    let one = |word: &str| {
        if word == "infinity" {
            return Ok("-1".to_owned());
        }
        let (digits, factor) = match word.as_bytes().last() {
            Some(b'K') => (&word[..word.len() - 1], 1 << 10),
            Some(b'M') => (&word[..word.len() - 1], 1 << 20),
            Some(b'G') => (&word[..word.len() - 1], 1 << 30),
            _ => (word, 1_u64),
        };
        let number = digits
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor));
        let number = number.ok_or_else(|| format!("{value:?} is not a limit"))?;
        Ok::<_, String>(number.to_string())
    };
    let parts: Result<Vec<String>, String> = value.split(':').map(one).collect();
    Ok(parts?.join(":"))
}

/// A boolean as systemd reads it.
///
/// # Errors
/// It is none.
pub(super) fn truth(value: &str) -> Result<bool, String> {
    let lower = value.to_ascii_lowercase();
    match lower.as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Ok(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Ok(false),
        _ => Err(format!("{value:?} is neither yes nor no")),
    }
}
