//! The keys of each section, and what each means.

use super::Kind;
use crate::definition::{OptionSpec, options, refusal};

/// What a key of `[Container]` is.
pub(super) enum Meaning {
    /// One of those that are read as a whole ([`OWN`]).
    Own,
    /// An option: its place in the table, and what its value begins with there.
    Option(&'static OptionSpec, Form),
    /// Refused: why.
    Refused(&'static str),
}

/// What becomes of a value before it is the option's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// As it is.
    Plain,
    /// Behind this text.
    Behind(&'static str),
    /// A boolean; if it is true, this text.
    If(&'static str),
    /// A boolean; `true` becomes the first, `false` the second.
    Either(&'static str, &'static str),
}

/// Keys that are no options.
const OWN: &[&str] = &[
    "AutoUpdate",
    "Exec",
    "Group",
    "Image",
    "PodmanArgs",
    "ReloadCmd",
    "ReloadSignal",
    "Rootfs",
    "ServiceName",
];

/// Keys whose option has another form. One whose option does not exist yet is refused until it does.
const FORMS: &[(&str, &str, Form)] = &[
    ("AppArmor", "security-opt", Form::Behind("apparmor=")),
    ("ExposeHostPort", "expose", Form::Plain),
    ("HealthCmd", "health-cmd", Form::Plain),
    ("HealthInterval", "health-interval", Form::Plain),
    (
        "HealthLogDestination",
        "health-log-destination",
        Form::Plain,
    ),
    ("HealthMaxLogCount", "health-max-log-count", Form::Plain),
    ("HealthMaxLogSize", "health-max-log-size", Form::Plain),
    ("HealthOnFailure", "health-on-failure", Form::Plain),
    ("HealthRetries", "health-retries", Form::Plain),
    ("HealthStartPeriod", "health-start-period", Form::Plain),
    ("HealthStartupCmd", "health-startup-cmd", Form::Plain),
    (
        "HealthStartupInterval",
        "health-startup-interval",
        Form::Plain,
    ),
    (
        "HealthStartupRetries",
        "health-startup-retries",
        Form::Plain,
    ),
    (
        "HealthStartupSuccess",
        "health-startup-success",
        Form::Plain,
    ),
    (
        "HealthStartupTimeout",
        "health-startup-timeout",
        Form::Plain,
    ),
    ("HealthTimeout", "health-timeout", Form::Plain),
    ("IP", "ip", Form::Plain),
    ("IP6", "ip6", Form::Plain),
    ("Mask", "security-opt", Form::Behind("mask=")),
    ("NetworkAlias", "network-alias", Form::Plain),
    (
        "NoNewPrivileges",
        "security-opt",
        Form::If("no-new-privileges"),
    ),
    ("Notify", "sdnotify", Form::Either("container", "conmon")),
    ("Pod", "pod", Form::Plain),
    ("PublishPort", "publish", Form::Plain),
    ("Pull", "pull", Form::Plain),
    ("Retry", "retry", Form::Plain),
    ("RetryDelay", "retry-delay", Form::Plain),
    ("SeccompProfile", "security-opt", Form::Behind("seccomp=")),
    (
        "SecurityLabelDisable",
        "security-opt",
        Form::If("label=disable"),
    ),
    (
        "SecurityLabelFileType",
        "security-opt",
        Form::Behind("label=filetype:"),
    ),
    (
        "SecurityLabelLevel",
        "security-opt",
        Form::Behind("label=level:"),
    ),
    (
        "SecurityLabelNested",
        "security-opt",
        Form::If("label=nested"),
    ),
    (
        "SecurityLabelType",
        "security-opt",
        Form::Behind("label=type:"),
    ),
    ("Unmask", "security-opt", Form::Behind("unmask=")),
    (
        "VolatileTmp",
        "tmpfs",
        Form::If("/tmp:rw,size=512M,mode=1777"),
    ),
];

/// Keys that no option will ever be for.
const REFUSED: &[(&str, &str)] = &[
    (
        "ContainersConfModule",
        "modules of containers.conf are not supported",
    ),
    ("GlobalArgs", "unitbox has no arguments before its verbs"),
    ("RemapGid", OLD_REMAP),
    ("RemapUid", OLD_REMAP),
    ("RemapUidSize", OLD_REMAP),
    ("RemapUsers", OLD_REMAP),
    ("StartWithPod", "this version has no pods"),
];

const OLD_REMAP: &str = "use UserNS=, UIDMap= and GIDMap=";
const LATER: &str = "this version does not do that yet";

/// Keys whose value is a list of words (podman-systemd.unit(5)).
pub(super) const WORDS: &[&str] = &[
    "AddCapability",
    "AddDevice",
    "Annotation",
    "DropCapability",
    "Environment",
    "EnvironmentFile",
    "GIDMap",
    "Label",
    "LogOpt",
    "Mount",
    "PodmanArgs",
    "Secret",
    "Sysctl",
    "UIDMap",
    "UnsetEnv",
];

/// What a key of `[Container]` means; none: there is no such key.
pub(super) fn meaning(key: &str) -> Option<Meaning> {
    if OWN.contains(&key) {
        return Some(Meaning::Own);
    }
    if let Some((_, reason)) = REFUSED.iter().find(|(own, _)| *own == key) {
        return Some(Meaning::Refused(reason));
    }
    if let Some((_, flag, form)) = FORMS.iter().find(|(own, ..)| *own == key) {
        return Some(match options().find(|spec| spec.flag == *flag) {
            Some(spec) => Meaning::Option(spec, *form),
            None => Meaning::Refused(refusal(&format!("--{flag}")).unwrap_or(LATER)),
        });
    }
    let spec = options().find(|spec| spec.key == Some(key));
    spec.map(|spec| Meaning::Option(spec, Form::Plain))
}

/// The keys that stand for an option, or for some of its values.
pub(super) fn of(spec: &OptionSpec) -> Vec<(&'static str, Form)> {
    let forms = FORMS.iter().filter(|(_, flag, _)| *flag == spec.flag);
    let own = spec.key.map(|key| (key, Form::Plain));
    own.into_iter()
        .chain(forms.map(|(key, _, form)| (*key, *form)))
        .collect()
}

/// Every key that a section of a kind may have.
pub fn known(kind: Kind) -> Vec<&'static str> {
    if kind == Kind::Container {
        let own = OWN.iter().copied();
        let forms = FORMS.iter().map(|(key, ..)| *key);
        let refused = REFUSED.iter().map(|(key, _)| *key);
        let table = options().filter_map(|spec| spec.key);
        return own.chain(forms).chain(refused).chain(table).collect();
    }
    let own = match kind {
        Kind::Container => "",
        Kind::Pod => POD,
        Kind::Volume => VOLUME,
        Kind::Network => NETWORK,
        Kind::Image => IMAGE,
        Kind::Kube => KUBE,
        Kind::Build => BUILD,
        Kind::Artifact => ARTIFACT,
    };
    own.split_ascii_whitespace().collect()
}

const POD: &str = "AddHost ContainersConfModule DNS DNSOption DNSSearch ExitPolicy GIDMap GlobalArgs HostName IP IP6 \
    Label Network NetworkAlias PodName PodmanArgs PublishPort RemapGid RemapUid RemapUidSize RemapUsers ServiceName \
    ShmSize StopTimeout SubGIDMap SubUIDMap UIDMap UserNS Volume";
const VOLUME: &str = "ContainersConfModule Copy Device Driver GID GlobalArgs Group Image Label Options PodmanArgs \
    ServiceName Type UID User VolumeName";
const NETWORK: &str = "ContainersConfModule DNS DisableDNS Driver Gateway GlobalArgs IPAMDriver IPRange IPv6 \
    InterfaceName Internal Label NetworkDeleteOnStop NetworkName Options PodmanArgs ServiceName Subnet";
const IMAGE: &str = "AllTags Arch AuthFile CertDir ContainersConfModule Creds DecryptionKey GlobalArgs Image ImageTag \
    OS PodmanArgs Policy Retry RetryDelay ServiceName TLSVerify Variant";
const KUBE: &str = "AutoUpdate ConfigMap ContainersConfModule ExitCodePropagation GlobalArgs KubeDownForce LogDriver \
    LogOpt Network PodmanArgs PublishPort RemapGid RemapUid RemapUidSize RemapUsers ServiceName SetWorkingDirectory \
    UserNS Yaml";
const BUILD: &str = "Annotation Arch AuthFile BuildArg ContainersConfModule DNS DNSOption DNSSearch Environment File \
    ForceRM GlobalArgs GroupAdd IgnoreFile ImageTag Label Network PodmanArgs Pull Retry RetryDelay Secret ServiceName \
    SetWorkingDirectory TLSVerify Target Variant Volume";
const ARTIFACT: &str = "Artifact AuthFile CertDir ContainersConfModule Creds DecryptionKey GlobalArgs PodmanArgs Quiet \
    Retry RetryDelay ServiceName TLSVerify";

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that Quadlet has.
    const CONTAINER: &str = "AddCapability AddDevice AddHost Annotation AppArmor AutoUpdate CgroupsMode ContainerName \
        ContainersConfModule DNS DNSOption DNSSearch DropCapability Entrypoint Environment EnvironmentFile \
        EnvironmentHost Exec ExposeHostPort GIDMap GlobalArgs Group GroupAdd HealthCmd HealthInterval \
        HealthLogDestination HealthMaxLogCount HealthMaxLogSize HealthOnFailure HealthRetries HealthStartPeriod \
        HealthStartupCmd HealthStartupInterval HealthStartupRetries HealthStartupSuccess HealthStartupTimeout \
        HealthTimeout HostName HttpProxy IP IP6 Image Label LogDriver LogOpt Mask Memory Mount Network NetworkAlias \
        NoNewPrivileges Notify PidsLimit Pod PodmanArgs PublishPort Pull ReadOnly ReadOnlyTmpfs ReloadCmd ReloadSignal \
        RemapGid RemapUid RemapUidSize RemapUsers Retry RetryDelay Rootfs RunInit SeccompProfile Secret \
        SecurityLabelDisable SecurityLabelFileType SecurityLabelLevel SecurityLabelNested SecurityLabelType ServiceName \
        ShmSize StartWithPod StopSignal StopTimeout SubGIDMap SubUIDMap Sysctl Timezone Tmpfs UIDMap Ulimit Unmask User \
        UserNS VolatileTmp Volume WorkingDir";

    #[test]
    fn every_key_of_quadlet_means_something() {
        for key in CONTAINER.split_ascii_whitespace() {
            assert!(meaning(key).is_some(), "{key}");
        }
        assert!(meaning("Imgae").is_none());
    }

    #[test]
    fn a_key_stands_in_one_table_only() {
        for (key, ..) in FORMS {
            assert!(!OWN.contains(key), "{key}");
            let spec = options().find(|spec| spec.key == Some(key));
            let flag = FORMS.iter().find(|(own, ..)| own == key).unwrap().1;
            assert!(spec.is_none_or(|spec| spec.flag == flag), "{key}");
        }
    }

    #[test]
    fn what_has_no_option_yet_is_refused_and_no_other() {
        for (key, flag, _) in FORMS {
            let there = options().any(|spec| spec.flag == *flag);
            let refused = matches!(meaning(key), Some(Meaning::Refused(_)));
            assert_eq!(refused, !there, "{key}");
        }
    }
}
