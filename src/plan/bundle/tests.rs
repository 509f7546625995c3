use oci_spec::runtime::Capability;

use super::*;
use crate::definition::{Options, Source, VERSION};
use crate::types::ContainerId;

const HOST: [Capability; 12] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::NetBindService,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
    Capability::SysAdmin,
];

const SECCOMP: &str = r#"{
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_ADMIN"]}, "errnoRet": 1}
    ]
}"#;

pub(super) fn definition(command: &[&str], options: Options) -> Definition {
    Definition {
        version: VERSION,
        id: ContainerId::from_random([0xab; 32]),
        name: "web".parse().unwrap(),
        created: 0,
        source: Source::Rootfs {
            path: "/srv/root".to_owned(),
        },
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        options,
        deployed: None,
    }
}

pub(super) fn facts(image: &ImageDefaults, controllers: &[&str]) -> BundleFacts {
    BundleFacts {
        image: image.clone(),
        rootfs: "/srv/root".into(),
        cgroup: "/system.slice/unitbox-web.service/payload".to_owned(),
        joined: JoinedFacts::default(),
        hooks: HookFacts::default(),
        process: ProcessFacts {
            user: UserFacts {
                groups: vec![0],
                home: Some("/root".to_owned()),
                ..UserFacts::default()
            },
            ..ProcessFacts::default()
        },
        etc: EtcFacts {
            directory: "/run/unitbox/x".into(),
            resolv_conf: "search a.example\nnameserver 127.0.0.9\nnameserver 192.0.2.1\n"
                .to_owned(),
            base_hosts: "127.0.0.1 localhost # ours\n\n192.0.2.9 base\n".to_owned(),
            host_address: Some([192, 0, 2, 5].into()),
            accounts: Vec::new(),
            zone: None,
        },
        conf: Conf::default(),
        files: FileFacts::default(),
        isolation: IsolationFacts {
            host_capabilities: HOST.to_vec(),
            hostname: "lab".to_owned(),
            seccomp: SeccompProfile::parse(SECCOMP).ok(),
            ..IsolationFacts::default()
        },
        limits: LimitFacts {
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            device_rules: true,
            ..LimitFacts::default()
        },
    }
}

fn planned(definition: &Definition, image: &ImageDefaults, controllers: &[&str]) -> Bundle {
    plan(definition, &facts(image, controllers)).unwrap()
}

fn args_of(definition: &Definition, image: &ImageDefaults) -> Vec<String> {
    let bundle = planned(definition, image, &[]);
    bundle
        .spec
        .process()
        .as_ref()
        .unwrap()
        .args()
        .clone()
        .unwrap()
}

#[test]
fn the_command_is_put_together_as_podman_does() {
    let image = ImageDefaults {
        entrypoint: vec!["entry".to_owned()],
        command: vec!["default".to_owned()],
        ..ImageDefaults::default()
    };
    let own = |entrypoint: &str| Options {
        entrypoint: Some(entrypoint.split_whitespace().map(str::to_owned).collect()),
        ..Options::default()
    };
    for (command, options, expected) in [
        (vec![], Options::default(), vec!["entry", "default"]),
        (vec!["x"], Options::default(), vec!["entry", "x"]),
        (vec![], own("mine -v"), vec!["mine", "-v"]),
        (vec!["x"], own("mine"), vec!["mine", "x"]),
        (vec!["x"], own(""), vec!["x"]),
    ] {
        assert_eq!(args_of(&definition(&command, options), &image), expected);
    }
    let none = definition(&[], own(""));
    let facts = facts(&image, &[]);
    assert_eq!(plan(&none, &facts).unwrap_err(), DefinitionError::NoCommand);
}

#[test]
fn the_users_environment_wins_over_the_images() {
    let image = ImageDefaults {
        env: vec!["PATH=/opt/bin".to_owned(), "A=1".to_owned()],
        ..ImageDefaults::default()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let options = Options {
        env: vec![pair("A", "2"), pair("B", "x=y"), pair("A", "3")],
        hostname: Some("box".to_owned()),
        ..Options::default()
    };
    let bundle = planned(&definition(&["sh"], options), &image, &[]);
    let env = bundle
        .spec
        .process()
        .as_ref()
        .unwrap()
        .env()
        .clone()
        .unwrap();
    let expected = [
        "PATH=/opt/bin",
        "container=oci",
        "A=3",
        "B=x=y",
        "HOME=/root",
        "HOSTNAME=box",
    ];
    assert_eq!(env, expected);
}

#[test]
fn a_limit_without_its_controller_is_dropped_and_said_so() {
    let options = Options {
        memory: Some(1 << 20),
        ..Options::default()
    };
    let definition = definition(&["sh"], options);
    let without = planned(&definition, &ImageDefaults::default(), &["pids"]);
    assert_eq!(without.warnings.len(), 1);
    let with = planned(&definition, &ImageDefaults::default(), &["memory"]);
    let linux = with.spec.linux().as_ref().unwrap();
    let memory = linux.resources().as_ref().unwrap().memory().unwrap();
    assert_eq!((memory.limit(), with.warnings.len()), (Some(1 << 20), 0));
}
