//! Flags of Podman that `create` and `run` refuse by name, so that nothing is parsed and then ignored.

/// Flag and reason.
const REFUSED: &[(&str, &str)] = &[
    ("cpu-rt-period", NO_REALTIME),
    ("cpu-rt-runtime", NO_REALTIME),
    ("decryption-key", "encrypted images are not supported"),
    ("gpus", "use --device with a CDI name"),
    ("rdt-class", "resctrl is not supported"),
];

const NO_REALTIME: &str = "cgroup version 2 has no realtime limits";

/// Flags of Podman that this version does not know yet: networks and pods.
const NOT_YET: &[&str] = &[
    "expose",
    "init-ctr",
    "ip",
    "ip6",
    "mac-address",
    "network-alias",
    "pod",
    "pod-id-file",
    "publish",
    "publish-all",
];

/// Why a word of the command line that is no flag of ours is refused: `--gpus=all` gives the reason for `gpus`.
pub fn refusal(word: &str) -> Option<&'static str> {
    let flag = word.strip_prefix("--")?.split('=').next()?;
    let reason = REFUSED.iter().find(|(name, _)| *name == flag);
    reason.map(|(_, reason)| *reason).or_else(|| {
        NOT_YET
            .contains(&flag)
            .then_some("this version does not do that yet")
    })
}
