use std::path::{Path, PathBuf};

use super::*;
use crate::api::Layout;
use crate::definition::unit_file::parse;

const MONITOR: &str = "/usr/libexec/unitbox/unitbox-monitor";

fn made(path: &str, text: &str) -> Deployed {
    let file = parse(Path::new(path), text).unwrap();
    let kind = Kind::of(Path::new(path)).unwrap();
    let mut set = FileSet::default();
    for (name, text) in [
        ("db.container", "[Container]\nImage=x\n"),
        ("data.volume", "[Volume]\n"),
    ] {
        set.insert(
            name,
            parse(&Path::new("/etc/unitbox").join(name), text).unwrap(),
        );
    }
    let specifiers = Specifiers::new([('m', "0123".to_owned()), ('h', "/root".to_owned())]);
    let layout = Layout::new("/");
    let facts = DeployFacts {
        host: UnitFacts {
            systemd: 257,
            monitor: Path::new(MONITOR),
            layout: &layout,
            dependencies: &[],
        },
        client: Path::new("/usr/bin/unitbox"),
        specifiers: &specifiers,
        set: &set,
        paths: &|name| vec![PathBuf::from(format!("/etc/unitbox/{name}"))],
    };
    deploy(kind, &file, &facts)
}

#[test]
fn the_unit_of_a_container_file_is_as_it_should_be() {
    let text = "[Unit]\nDescription=The web: 100%%\nAfter=x.service\n\
        [Container]\nImage=localhost/web\nContainerName=web\nVolume=data.volume:/d\nVolume=%h/a b:/b\n\
        Environment=SECRET=hidden\nReloadSignal=HUP\nMemory=64m\n\
        [Service]\nRestart=always\nTimeoutStopSec=7\nLimitNOFILE=5\n\
        [Install]\nWantedBy=multi-user.target\n[X-Mine]\na=b\n";
    let made = made("/etc/unitbox/web.container", text);
    assert_eq!(made.errors, []);
    let id = id_of("0123", "web.service");
    let (id, short) = (id.as_str(), id.short());
    let expected = format!(
        r#"# Made by unitbox-generator of /etc/unitbox/web.container; changes are lost.

[Unit]
Documentation=man:unitbox(1)
Wants=unitbox-bus.service
OnFailure=unitbox-cleanup@web.service
SourcePath=/etc/unitbox/web.container
Before=unitbox-cleanup@web.service
Wants=network-online.target
After=network-online.target
Requires=data-volume.service
After=data-volume.service
RequiresMountsFor="/var/lib/unitbox" "/root/a b"
Description=The web: 100%%
After=x.service

[Service]
Type=notify
NotifyAccess=main
ExecStart="{MONITOR}" "--unit=web.service" "--file=/etc/unitbox/web.container" "--file=/etc/unitbox/data.volume" "web"
ExecReload="{MONITOR}" "--reload" "--unit=web.service" "--file=/etc/unitbox/web.container" "--file=/etc/unitbox/data.volume" "web"
SuccessExitStatus=SIGTERM
Delegate=yes
DelegateSubgroup=monitor
KillMode=mixed
OOMPolicy=stop
OOMScoreAdjust=-900
PrivateMounts=yes
RestartPreventExitStatus=199
MemoryMax=67108864
MemorySwapMax=67108864
TasksMax=2112
SyslogIdentifier=unitbox-monitor
LogExtraFields="CONTAINER_NAME=web" "CONTAINER_ID={short}" "CONTAINER_ID_FULL={id}" "IMAGE_NAME=localhost/web"
Environment="UNITBOX_RESTART=always"
ExecReload="/usr/bin/unitbox" "kill" "--signal" "HUP" "web"
Restart=always
TimeoutStopSec=7

[Install]
WantedBy=multi-user.target

[X-Mine]
a=b
"#
    );
    assert_eq!(made.text, expected);
    let link = (
        "multi-user.target.wants/web.service".to_owned(),
        "../web.service".to_owned(),
    );
    assert_eq!(made.links, [link]);
}

/// What is in the unit of it: the lines of restarts, with and without a restart by health checks.
#[test]
fn restarts_are_as_the_file_has_them() {
    let lines = |keys: &str, service: &str| {
        let text = format!("[Container]\nImage=x\n{keys}[Service]\n{service}");
        let made = made("/etc/unitbox/web.container", &text);
        if let Some(error) = made.errors.first() {
            return error.to_string();
        }
        let restarts = |line: &&str| line.contains("RESTART") || line.starts_with("Restart");
        let found: Vec<&str> = made.text.lines().filter(restarts).collect();
        found.join(" ")
    };
    let health = "HealthCmd=true\nHealthOnFailure=restart\n";
    let prevented = "RestartPreventExitStatus=199";
    let steps = "RestartSec=50000us RestartSteps=8 RestartMaxDelaySec=10s RestartMode=direct";
    let told = |word: &str| format!("Environment=\"UNITBOX_RESTART={word}\"");
    assert_eq!(lines("", ""), prevented);
    assert_eq!(lines("", "Restart=no\n"), format!("{prevented} Restart=no"));
    assert_eq!(
        lines("", "Restart=always\nRestart=on-abort\n"),
        format!(
            "{prevented} {} Restart=always Restart=on-abort",
            told("on-abort")
        )
    );
    // The user's are besides ours.
    assert_eq!(
        lines("", "RestartPreventExitStatus=7\n"),
        format!("{prevented} RestartPreventExitStatus=7")
    );
    for none in ["", "Restart=no\n"] {
        assert_eq!(
            lines(health, none),
            format!(
                "Restart=on-watchdog {steps} {prevented} {}",
                told("on-watchdog")
            )
        );
    }
    assert_eq!(
        lines(health, "Restart=on-failure\nRestartSec=3\n"),
        format!(
            "{} {prevented} {} Restart=on-failure RestartSec=3",
            steps.replace("RestartSec=50000us ", ""),
            told("on-failure")
        )
    );
    for word in ["on-success", "on-abort"] {
        assert_eq!(
            lines(health, &format!("Restart={word}\n")),
            "web.container:6: Restart=: a restart by health checks is one of on-watchdog, on-abnormal, on-failure and always"
        );
    }
}

#[test]
fn a_broken_file_has_a_unit_that_says_why() {
    let made = made(
        "/etc/unitbox/web.container",
        "[Container]\nImgae=\"x\" $y 100%\nImage=z\n",
    );
    assert_eq!(made.service, "web.service");
    assert_eq!(made.errors.len(), 1);
    let line = format!(
        r#"ExecStart="{MONITOR}" "--refuse=web.container:2: unknown key \"Imgae\" (did you mean Image?)""#
    );
    assert!(made.text.contains(&line), "{}", made.text);
}

#[test]
fn a_template_leaves_its_instance_to_systemd() {
    let made = made(
        "/etc/unitbox/w@.container",
        "[Container]\nImage=x\nExec=%i\n",
    );
    assert_eq!(made.errors, []);
    let line = format!(
        r#"ExecStart="{MONITOR}" "--unit=w@%i.service" "--file=/etc/unitbox/w@.container" "systemd-w_%i""#
    );
    assert!(made.text.contains(&line), "{}", made.text);
    assert!(!made.text.contains("CONTAINER_ID"), "{}", made.text);
    assert!(!made.text.contains(INSTANCE), "{}", made.text);
}

#[test]
fn other_files_are_needed_by_their_units() {
    let of_db = made(
        "/etc/unitbox/a.container",
        "[Container]\nImage=x\nNetwork=db.container\n",
    );
    assert_eq!(of_db.errors, []);
    assert!(
        of_db.text.contains("\nRequires=db.service\n"),
        "{}",
        of_db.text
    );
    let volume = made(
        "/etc/unitbox/data.volume",
        "[Volume]\n[Quadlet]\nDefaultDependencies=no\n",
    );
    assert_eq!(volume.service, "data-volume.service");
    let line = r#"ExecStart="/usr/bin/unitbox" "volume" "create" "--ignore" "systemd-data""#;
    assert!(volume.text.contains(line), "{}", volume.text);
    assert!(!volume.text.contains("network-online"), "{}", volume.text);
    let pod = made("/etc/unitbox/p.pod", "[Pod]\n");
    assert!(
        pod.text
            .contains("--refuse=p.pod:1: this version has no pods"),
        "{}",
        pod.text
    );
}
