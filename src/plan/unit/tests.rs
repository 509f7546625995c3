use super::*;
use crate::definition::{Options, Source, VERSION};
use crate::types::ContainerId;

fn definition() -> Definition {
    Definition {
        version: VERSION,
        id: ContainerId::from_random([0xab; 32]),
        name: "web".parse().unwrap(),
        created: 0,
        source: Source::Rootfs {
            path: "/srv/100%/\"root\"".to_owned(),
        },
        command: vec!["sleep".to_owned(), "$HOME".to_owned()],
        options: Options {
            stop_timeout: Some(5),
            ..Options::default()
        },
        deployed: None,
    }
}

fn unit(definition: &Definition, systemd: u32) -> Unit {
    let layout = Layout::new("/");
    let monitor = Path::new("/usr/libexec/unitbox/unitbox-monitor");
    Unit::of(
        definition,
        &UnitFacts {
            systemd,
            monitor,
            layout: &layout,
            dependencies: &[],
        },
    )
}

#[test]
fn the_unit_file_is_as_it_should_be() {
    let id = "ab".repeat(32);
    let expected = format!(
        "# Made by unitbox for unitbox-web.service; changes are lost.
[Unit]
Description=unitbox container web
Documentation=man:unitbox(1)
Wants=unitbox-bus.service
After=network.target remote-fs.target
OnFailure=unitbox-cleanup@web.service
StartLimitIntervalSec=0s

[Service]
Type=notify
NotifyAccess=main
ExecStart=\"/usr/libexec/unitbox/unitbox-monitor\" \"web\"
ExecReload=\"/usr/libexec/unitbox/unitbox-monitor\" \"--reload\" \"web\"
SuccessExitStatus=SIGTERM
Delegate=yes
DelegateSubgroup=monitor
KillMode=mixed
OOMPolicy=stop
OOMScoreAdjust=-900
PrivateMounts=yes
TimeoutStopSec=25s
RestartPreventExitStatus=199
TasksMax=2112
SyslogIdentifier=unitbox-monitor
LogExtraFields=\"CONTAINER_NAME=web\" \"CONTAINER_ID={}\" \"CONTAINER_ID_FULL={id}\" \"IMAGE_NAME=/srv/100%%/\\\"root\\\"\"
",
        &id[..12]
    );
    assert_eq!(unit(&definition(), 257).render(), expected);
}

#[test]
fn old_systemd_gets_no_key_it_does_not_know() {
    assert!(
        !unit(&definition(), 252)
            .render()
            .contains("DelegateSubgroup")
    );
}

#[test]
fn both_renderings_have_the_same_properties() {
    let mut definition = definition();
    definition.options.remove = true;
    definition.options.memory = Some(1 << 20);
    let unit = unit(&definition, 257);
    let on_bus: Vec<_> = unit
        .bus_properties()
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    let text = unit.render();
    let in_file: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            line.split_once('=')
                .map(|(key, _)| key.replace("Sec", "USec"))
        })
        .collect();
    assert_eq!(on_bus, in_file);
    assert!(
        unit.bus_properties()
            .contains(&("MemoryMax", BusValue::U64(1 << 20)))
    );
}

#[test]
fn the_command_line_of_the_container_never_lands_in_the_unit() {
    assert!(!unit(&definition(), 257).render().contains("HOME"));
}

#[test]
fn a_dollar_in_a_command_line_is_no_variable() {
    let layout = Layout::new("/a $b");
    let facts = UnitFacts {
        systemd: 257,
        monitor: Path::new("/opt/$x/unitbox-monitor"),
        layout: &layout,
        dependencies: &[],
    };
    let unit = Unit::of(&definition(), &facts);
    let line = r#"ExecStart="/opt/$x/unitbox-monitor" "--root=/a $$b" "web""#;
    assert!(unit.render().contains(line), "{}", unit.render());
    let words = ["/opt/$x/unitbox-monitor", "--root=/a $$b", "web"];
    let wanted = (
        "ExecStart",
        BusValue::Exec(words.map(str::to_owned).to_vec(), false),
    );
    assert!(unit.bus_properties().contains(&wanted));
}
