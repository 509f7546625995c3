use super::*;

/// A value or more for each option.
const SAMPLES: &[&[(&str, &str)]] = &[
    account::SAMPLES,
    env::SAMPLES,
    etc::SAMPLES,
    devices::SAMPLES,
    files::SAMPLES,
    health::SAMPLES,
    identity::SAMPLES,
    isolation::SAMPLES,
    lifecycle::SAMPLES,
    limits::SAMPLES,
    logs::SAMPLES,
    network::SAMPLES,
    process::SAMPLES,
    pull::SAMPLES,
    userns::SAMPLES,
];

fn spec(flag: &str) -> &'static OptionSpec {
    options()
        .find(|spec| spec.flag == flag)
        .unwrap_or_else(|| panic!("no flag {flag}"))
}

fn apply(flag: &str, value: &str) -> Result<Options, OptionError> {
    let mut options = Options::default();
    spec(flag).apply(&mut options, value).map(|()| options)
}

#[test]
fn the_table_is_sorted_and_unique() {
    for area in AREAS {
        assert!(area.windows(2).all(|pair| pair[0].flag < pair[1].flag));
    }
    let mut flags: Vec<&str> = options().map(|spec| spec.flag).collect();
    flags.sort_unstable();
    assert!(flags.windows(2).all(|pair| pair[0] != pair[1]));
    let mut shorts: Vec<char> = options().filter_map(|spec| spec.short).collect();
    shorts.sort_unstable();
    assert!(shorts.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(options().all(|spec| (spec.arity == Arity::Switch) == spec.value.is_empty()));
    assert!(options().all(|spec| refusal(&format!("--{}", spec.flag)).is_none()));
}

#[test]
fn what_is_shown_sets_the_same_again() {
    let mut seen = Vec::new();
    for (flag, value) in SAMPLES.iter().copied().flatten() {
        seen.push(*flag);
        let options = apply(flag, value).unwrap_or_else(|error| panic!("{error}"));
        let mut again = Options::default();
        for shown in spec(flag).values(&options) {
            spec(flag).apply(&mut again, &shown).unwrap();
        }
        assert_eq!(again, options, "--{flag} {value}");
        let json = serde_json::to_vec(&options).unwrap();
        let mut read: Options = serde_json::from_slice(&json).unwrap();
        // How the image is fetched is not kept.
        read.pull = options.pull.clone();
        assert_eq!(read, options, "--{flag} {value}");
    }
    for spec in options() {
        assert!(seen.contains(&spec.flag), "no sample for --{}", spec.flag);
        assert!(
            spec.values(&Options::default()).is_empty(),
            "--{}",
            spec.flag
        );
    }
}

#[test]
fn a_refusal_names_option_value_and_reason() {
    for (flag, value) in [
        ("network", "bridge"),
        ("network", "ns:relative"),
        ("network", "container:"),
        ("device", "relative"),
        ("device-cgroup-rule", "c 1"),
        ("userns", "nomap"),
        ("userns", "ns:x"),
        ("userns", "auto:size=0"),
        ("uidmap", "0"),
        ("pid", "shareable"),
        ("uts", "none"),
        ("ipc", "ns:"),
        ("ipc", "container:"),
        ("cgroupns", ""),
        ("cap-add", "CAP_NONSENSE"),
        ("sysctl", "kernel.core_pattern=|/x"),
        ("security-opt", "nonsense=1"),
        ("stop-timeout", "-1"),
        ("stop-signal", "SIGNOPE"),
        ("memory", "lots"),
        ("workdir", "relative"),
        ("hostname", "a\nb"),
        ("user", "4294967295"),
        ("user", "a:b:c"),
        ("env", "=x"),
        ("env", "A=\0"),
        ("log-opt", "max-file=3"),
        ("log-opt", "path=relative"),
        ("log-opt", "stderr-priority=8"),
        ("log-driver", "syslog"),
        ("runtime", "./runc"),
        ("rm", "maybe"),
        ("name", "-x"),
        ("annotation", "nokey"),
        ("annotation", "org.systemd.property.ExecStopPost=x"),
        ("annotation", "run.oci.keep_original_groups=1"),
    ] {
        let text = apply(flag, value).expect_err(flag).to_string();
        assert!(text.contains(&format!("--{flag}")), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }
}

#[test]
fn values_arrive() {
    assert_eq!(apply("stop-timeout", "0").unwrap().stop_timeout, Some(0));
    assert_eq!(apply("memory", "64m").unwrap().memory, Some(64 << 20));
    assert_eq!(apply("entrypoint", "").unwrap().entrypoint, Some(vec![]));
    let list = Some(vec!["a".to_owned(), "b c".to_owned()]);
    assert_eq!(
        apply("entrypoint", r#"["a","b c"]"#).unwrap().entrypoint,
        list
    );
    assert_eq!(apply("label", "k").unwrap().labels["k"], "");
    assert!(apply("rm", "true").unwrap().remove);
}

#[test]
fn a_flag_of_podman_that_we_refuse_has_a_reason() {
    assert_eq!(refusal("--gpus=all"), Some("use --device with a CDI name"));
    assert_eq!(refusal("--nonsense"), None);
}
